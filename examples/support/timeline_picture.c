/* SPDX-License-Identifier: MIT
 *
 * timeline_picture.c: timelines as a picture, one below the other, in the same scale.
 *
 * The picture is bars and words, and a pen knows two ways to put these down: as SVG, which is
 * written as it is, and as a script for gnuplot, which makes a PNG of it. Both count from the top
 * left corner in pixels.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/gnuplot.h"
#include "support/timeline.h"

/* In pixels. */
enum {
    WIDTH = 1000,
    LEFT = 110, /* of the bars; the names stand before it */
    RIGHT = 30,
    TOP = 15,
    TITLE = 28,
    LANE = 26,
    BAR = 18,     /* of a lane, while it works ... */
    WAIT_BAR = 6, /* ... and while it waits */
    SCALE = 40,   /* the numbers below a timeline, and the gap to the next */
    LEGEND = 30,
    LEGEND_ITEM = 120,
    TICKS_MAX = 12,
    NAMES_MAX = 16, /* of steps, each with a colour of its own as far as these go */
};

static const double LEAST_BAR = 4;

/* For the colour-blind too: the palette of Okabe and Ito. */
static const char *const COLOURS[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                      "#d55e00", "#56b4e9", "#999933"};
static const char WAITING_COLOUR[] = "#b0b0b0", INK[] = "#222222", PALE[] = "#dddddd";

enum { COLOURS_COUNT = sizeof COLOURS / sizeof *COLOURS };

enum anchor { AT_LEFT, AT_MIDDLE, AT_RIGHT };

/* ---- The pen ---- */

struct pen {
    FILE *out;
    bool gnuplot; /* else SVG */
};

/* Words, in XML or between double quotes in a script: there gnuplot would run what stands in
 * backquotes, and replace what follows an @. */
static void put_words(const struct pen *pen, const char *words)
{
    for (const char *p = words; *p != '\0'; p++) {
        if (pen->gnuplot && strchr("\"\\`@", *p) != NULL)
            fprintf(pen->out, "\\%03o", (unsigned)*p);
        else if (!pen->gnuplot && *p == '&')
            fputs("&amp;", pen->out);
        else if (!pen->gnuplot && *p == '<')
            fputs("&lt;", pen->out);
        else
            fputc((unsigned char)*p < ' ' ? '?' : *p, pen->out);
    }
}

static void begin_picture(const struct pen *pen, int height)
{
    if (pen->gnuplot)
        fprintf(
            pen->out,
            "set terminal pngcairo size %d,%d background rgb 'white' font 'sans,10' noenhanced\n"
            "set lmargin at screen 0\nset rmargin at screen 1\n"
            "set tmargin at screen 1\nset bmargin at screen 0\n"
            "unset border\nunset tics\nunset key\n"
            "set xrange [0:%d]\nset yrange [%d:0]\n",
            WIDTH, height, WIDTH, height);
    else
        fprintf(pen->out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\">\n"
                "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
                WIDTH, height, WIDTH, height, WIDTH, height);
}

static void end_picture(const struct pen *pen, int height)
{
    if (pen->gnuplot) /* it draws nothing before it has a curve; this one is outside */
        fprintf(pen->out, "plot %d\n", 2 * height);
    else
        fprintf(pen->out, "</svg>\n");
}

/* `tip`: what a viewer shows of a bar that is pointed at; NULL: nothing. */
static void draw_bar(const struct pen *pen, double x, double y, double width, double height,
                     const char *colour, const char *tip)
{
    if (pen->gnuplot) {
        fprintf(pen->out,
                "set object rectangle from %.2f,%.2f to %.2f,%.2f fillcolor rgb '%s' "
                "fillstyle solid noborder\n",
                x, y, x + width, y + height, colour);
        return;
    }
    fprintf(pen->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\">", x,
            y, width, height, colour);
    if (tip != NULL) {
        fputs("<title>", pen->out);
        put_words(pen, tip);
        fputs("</title>", pen->out);
    }
    fputs("</rect>\n", pen->out);
}

/* `y`: the middle of the line. */
static void draw_words(const struct pen *pen, double x, double y, enum anchor anchor, bool large,
                       const char *words)
{
    static const char *const GNUPLOT[] = {"left", "center", "right"};
    static const char *const SVG[] = {"start", "middle", "end"};
    const int size = large ? 15 : 12;

    if (pen->gnuplot) {
        fputs("set label \"", pen->out);
        put_words(pen, words);
        fprintf(pen->out, "\" at %.2f,%.2f %s font 'sans,%d' textcolor rgb '%s'\n", x, y,
                GNUPLOT[anchor], large ? 12 : 10, INK);
    } else {
        fprintf(pen->out,
                "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%d\" text-anchor=\"%s\" fill=\"%s\">", x,
                y + 0.35 * size, size, SVG[anchor], INK);
        put_words(pen, words);
        fputs("</text>\n", pen->out);
    }
}

/* ---- The colours ---- */

/* Names of steps in the order of their first appearance. */
struct legend {
    const char *names[NAMES_MAX];
    size_t count;
    bool waiting;
};

static const char *colour_of(struct legend *l, const struct timeline_step *step)
{
    size_t i = 0;

    if (step->waits) {
        l->waiting = true;
        return WAITING_COLOUR;
    }
    while (i < l->count && strcmp(l->names[i], step->name) != 0)
        i++;
    if (i == l->count && l->count < NAMES_MAX)
        l->names[l->count++] = step->name;
    return COLOURS[i % COLOURS_COUNT];
}

static void draw_legend(const struct pen *pen, const struct legend *l, double y)
{
    double x = LEFT;

    for (size_t i = 0; i < l->count; i++, x += LEGEND_ITEM) {
        draw_bar(pen, x, y - 6, 12, 12, COLOURS[i % COLOURS_COUNT], NULL);
        draw_words(pen, x + 18, y, AT_LEFT, false, l->names[i]);
    }
    if (l->waiting) {
        draw_bar(pen, x, y - WAIT_BAR / 2.0, 12, WAIT_BAR, WAITING_COLOUR, NULL);
        draw_words(pen, x + 18, y, AT_LEFT, false, "waiting");
    }
}

/* ---- A timeline ---- */

struct scale {
    int64_t longest; /* the whole width, in nanoseconds */
    int64_t tick;
};

static double pixels(const struct scale *scale, int64_t ns)
{
    return (double)(WIDTH - LEFT - RIGHT) * (double)ns / (double)scale->longest;
}

/* 1, 2 or 5 times a power of ten: at most TICKS_MAX of them. */
static struct scale choose_scale(int64_t longest)
{
    static const int NEXT[] = {2, 5, 10};
    int64_t power = 1, tick = 1;

    for (size_t i = 0; longest / tick > TICKS_MAX; i++) {
        tick = power * NEXT[i % 3];
        if (i % 3 == 2)
            power = tick;
    }
    return (struct scale){.longest = longest > 0 ? longest : 1, .tick = tick};
}

static void draw_step(const struct pen *pen, double x, double y, double width,
                      const struct timeline_step *step, struct legend *legend)
{
    const double height = step->waits ? WAIT_BAR : BAR;
    char tip[200];

    snprintf(tip, sizeof tip, "%s%s%s%s: %.3f ms", step->waits ? "waiting for " : "", step->name,
             *step->about != '\0' ? ", " : "", step->about,
             (double)(step->end - step->begin) / (double)CONC_MS(1));
    draw_bar(pen, x, y - height / 2, width, height, colour_of(legend, step), tip);
}

/* What is done is never too short to be seen. What would be hidden by that begins a little later,
 * until a wait makes up for it. */
static void draw_lane(const struct pen *pen, const struct scale *scale, int64_t begin, double y,
                      const struct timeline_lane *lane, struct legend *legend)
{
    double x = LEFT;

    draw_words(pen, LEFT - 12, y, AT_RIGHT, false, lane->name);
    for (size_t i = 0; i < lane->count; i++) {
        const struct timeline_step *step = &lane->steps[i];
        const double from = LEFT + pixels(scale, step->begin - begin);
        const double to = LEFT + pixels(scale, step->end - begin);
        const double least = step->waits ? 0 : LEAST_BAR;

        x = from > x ? from : x;
        const double width = to - x > least ? to - x : least;
        draw_step(pen, x, y, width, step, legend);
        x += width;
    }
}

static void draw_scale(const struct pen *pen, const struct scale *scale, int64_t length, double top,
                       double bottom)
{
    for (int64_t at = 0; at <= length; at += scale->tick) {
        char number[32];
        const double x = LEFT + pixels(scale, at);
        draw_bar(pen, x, top, 1, bottom - top + 4, PALE, NULL);
        snprintf(number, sizeof number, "%g%s", (double)at / (double)CONC_MS(1),
                 at == 0 ? " ms" : "");
        draw_words(pen, x, bottom + 13, AT_MIDDLE, false, number);
    }
}

/* @return where the next begins */
static double draw_timeline(const struct pen *pen, const struct scale *scale,
                            const struct timeline *t, struct legend *legend, double y)
{
    char title[200];
    int64_t begin, length = timeline_length(t, &begin);

    snprintf(title, sizeof title, "%s: %.1f ms", t->title, (double)length / (double)CONC_MS(1));
    draw_words(pen, LEFT, y + TITLE / 2.0 - 2, AT_LEFT, true, title);
    y += TITLE;
    draw_scale(pen, scale, length, y, y + (double)t->count * LANE);
    for (size_t i = 0; i < t->count; i++, y += LANE)
        draw_lane(pen, scale, begin, y + LANE / 2.0, &t->lanes[i], legend);
    return y + SCALE;
}

/* ---- The picture ---- */

static void draw_picture(const struct pen *pen, const struct timeline *timelines, size_t n)
{
    struct legend legend = {.count = 0};
    int64_t begin, longest = 0;
    double y = TOP;
    int height = TOP + LEGEND;

    for (size_t i = 0; i < n; i++) {
        const int64_t length = timeline_length(&timelines[i], &begin);
        longest = length > longest ? length : longest;
        height += TITLE + (int)timelines[i].count * LANE + SCALE;
    }
    const struct scale scale = choose_scale(longest);
    begin_picture(pen, height);
    for (size_t i = 0; i < n; i++)
        y = draw_timeline(pen, &scale, &timelines[i], &legend, y);
    draw_legend(pen, &legend, y + LEGEND / 2.0 - 5);
    end_picture(pen, height);
}

/* gives the SVG, or the script, for free(). */
static int make(const struct timeline *timelines, size_t n, bool gnuplot, char **ret, size_t *size)
{
    struct pen pen = {.out = open_memstream(ret, size), .gnuplot = gnuplot};

    if (pen.out == NULL)
        return conc_raise(-ENOMEM, "a picture: out of memory");
    draw_picture(&pen, timelines, n);
    const bool bad = ferror(pen.out) != 0;
    if (fclose(pen.out) == 0 && !bad)
        return 0;
    free(*ret);
    return conc_raise(-ENOMEM, "a picture: out of memory");
}

static int write_picture(const struct timeline *timelines, size_t n, const char *base, bool gnuplot)
{
    const char *suffix = gnuplot ? ".png" : ".svg";
    const size_t room = strlen(base) + strlen(suffix) + 1;
    char *path = malloc(room), *data;
    size_t size;
    int err = path == NULL ? conc_raise(-ENOMEM, "a picture: out of memory")
                           : make(timelines, n, gnuplot, &data, &size);

    if (!err) {
        snprintf(path, room, "%s%s", base, suffix);
        err = gnuplot ? gnuplot_draw(data, size, path) : picture_write(path, data, size);
        free(data);
    }
    free(path);
    return err;
}

int timeline_picture(const struct timeline *timelines, size_t n, const char *base)
{
    int err = write_picture(timelines, n, base, false);

    return err ? err : write_picture(timelines, n, base, true);
}
