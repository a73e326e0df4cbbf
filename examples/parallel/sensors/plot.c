/* SPDX-License-Identifier: MIT
 *
 * plot.c: the table of Figure 7-9 as a picture, drawn by gnuplot.
 */
#include "plot.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/buffer.h"
#include "support/gnuplot.h"

enum measure { WALL, CPU, MEMORY, MEASURES };

static double value_of(const struct cost *cost, enum measure what)
{
    return what == WALL ? cost->wall : what == CPU ? cost->cpu : cost->mib;
}

static void CONC_PRINTF(3, 4) add(struct buffer *script, int *err, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!*err)
        *err = buffer_append(script, text, strlen(text));
}

/* A block of data: a column for each mode, a line for each count. */
static void add_data(struct buffer *script, int *err, const struct table *table, enum measure what)
{
    add(script, err, "$data%d <<END\ncount", what);
    for (size_t mode = 0; mode < MODES_COUNT; mode++)
        add(script, err, " %s", MODES[mode].name);
    for (size_t i = 0; i < table->counts_used; i++) {
        add(script, err, "\n%d", (int)table->counts[i]);
        for (size_t mode = 0; mode < MODES_COUNT; mode++)
            add(script, err, " %.4f", value_of(&table->costs[mode][i], what));
    }
    add(script, err, "\nEND\n");
}

static int make_script(struct buffer *script, const struct table *table, const char *terminal)
{
    static const char *const TITLES[MEASURES] = {"wall time, s", "processor time, s",
                                                 "peak memory, MiB"};
    int err = 0;

    for (int what = 0; what < MEASURES; what++)
        add_data(script, &err, table, what);
    add(script, &err, "set terminal %s\n", terminal);
    add(script, &err,
        "set multiplot layout 1,3 title 'N APIs, each answering after %g ms'\n"
        "set linetype 5 linecolor rgb '#d55e00'\n" /* its yellow is hard to see */
        "set logscale x\nset xlabel 'APIs'\nset grid\nset key top left\nset xtics (",
        (double)table->latency / (double)CONC_MS(1));
    for (size_t i = 0; i < table->counts_used; i++)
        add(script, &err, "%s%d", i > 0 ? "," : "", (int)table->counts[i]);
    add(script, &err, ")\n");
    for (int what = 0; what < MEASURES; what++)
        add(script, &err,
            "%s logscale y\nset yrange [%s:*]\nset title '%s'\n"
            "plot for [i=2:%d] $data%d using 1:i with linespoints linewidth 2 title "
            "columnheader(i)\n",
            what == WALL ? "set" : "unset", what == WALL ? "*" : "0", TITLES[what], MODES_COUNT + 1,
            what);
    add(script, &err, "unset multiplot\n");
    return err ? conc_raise(err, "gnuplot: out of memory") : 0;
}

int plot(const struct table *table, const char *base)
{
    static const struct {
        const char *suffix, *terminal;
    } FORMS[] = {
        {".svg", "svg size 1200,420 background 'white'"},
        {".png", "pngcairo size 1200,420"},
    };
    int err = 0;

    for (size_t i = 0; !err && i < sizeof FORMS / sizeof *FORMS; i++) {
        struct buffer script = {0};
        const size_t room = strlen(base) + strlen(FORMS[i].suffix) + 1;
        char *path = malloc(room);

        err = path == NULL ? conc_raise(-ENOMEM, "out of memory")
                           : make_script(&script, table, FORMS[i].terminal);
        if (!err) {
            snprintf(path, room, "%s%s", base, FORMS[i].suffix);
            err = gnuplot_draw(script.data, script.size, path);
        }
        free(path);
        buffer_free(&script);
    }
    return err;
}
