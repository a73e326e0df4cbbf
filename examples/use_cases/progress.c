/* SPDX-License-Identifier: MIT
 *
 * progress.c: the numbers, and the line in which they are shown.
 */
#include "use_cases/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "use_cases/status_line.h"

enum {
    WIDTH_UNKNOWN = 80, /* columns of a terminal that does not tell */
    BAR_LEAST = 10,     /* columns between the brackets */
    BAR_MOST = 40,
    TEXT_MAX = 160,
    TIME_MAX = 40,
};

/* The rate that is shown is that of the last few seconds, the nearest counting most. */
static const double RATE_MEMORY = 3;

struct tally progress_now(struct progress *progress)
{
    struct tally tally = {0};
    conc_with_lock (&progress->lock) {
        tally = progress->tally;
    }
    return tally;
}

const char *format_bytes(uint64_t bytes, char text[AMOUNT_MAX])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double number = (double)bytes;
    size_t unit = 0;
    while (number >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
        number /= 1000;
        unit++;
    }
    snprintf(text, AMOUNT_MAX, "%.*f %s", unit == 0 ? 0 : 1, number, units[unit]);
    return text;
}

/* ---- The bar ---- */

void bar_start(struct bar *bar)
{
    int64_t now = conc_now();
    *bar = (struct bar){.on_terminal = status_is_possible(), .started = now, .drawn = now};
}

static void update_rate(struct bar *bar, const struct tally *tally)
{
    int64_t now = conc_now();
    double seconds = (double)(now - bar->drawn) / (double)CONC_S(1);
    /* A file that failed in its middle is taken back. */
    uint64_t more = tally->bytes_done > bar->bytes_drawn ? tally->bytes_done - bar->bytes_drawn : 0;
    if (seconds > 0)
        bar->rate += ((double)more / seconds - bar->rate) * seconds / (seconds + RATE_MEMORY);
    /* In the first seconds there is no memory yet. */
    double all = (double)(now - bar->started) / (double)CONC_S(1);
    if (all > 0 && all < RATE_MEMORY)
        bar->rate = (double)tally->bytes_done / all;
    bar->drawn = now;
    bar->bytes_drawn = tally->bytes_done;
}

static void format_time_left(const struct bar *bar, const struct tally *tally, char text[TIME_MAX])
{
    uint64_t left =
        tally->bytes_found > tally->bytes_done ? tally->bytes_found - tally->bytes_done : 0;
    double seconds = bar->rate > 0 ? (double)left / bar->rate : -1;
    if (!tally->all_found)
        snprintf(text, TIME_MAX, "still searching"); /* how much there is isn't known yet */
    else if (seconds < 0 || seconds > 99 * 3600)
        snprintf(text, TIME_MAX, "-:-- left");
    else if (seconds < 3600)
        snprintf(text, TIME_MAX, "%d:%02d left", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, TIME_MAX, "%d:%02d:%02d left", (int)seconds / 3600, (int)seconds / 60 % 60,
                 (int)seconds % 60);
}

static int percent_of(const struct tally *tally)
{
    if (tally->bytes_found == 0)
        return tally->all_found && tally->files_done == tally->files_found ? 100 : 0;
    double share = (double)tally->bytes_done / (double)tally->bytes_found;
    return share >= 1 ? 100 : (int)(share * 100);
}

/* A bar between brackets, in what is left of the terminal's line beside the text: nothing if it is
 * too narrow. */
static void format_bar(int percent, size_t beside, char text[BAR_MOST + 4])
{
    struct winsize size = {0};
    size_t columns = WIDTH_UNKNOWN, n = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    text[0] = '\0';
    if (columns < beside + BAR_LEAST + 4)
        return;
    size_t width = columns - beside - 4; /* the brackets, a space, and the cursor behind it all */
    if (width > BAR_MOST)
        width = BAR_MOST;
    text[n++] = '[';
    for (size_t i = 0; i < width; i++)
        text[n++] = i < width * (size_t)percent / 100 ? '#' : '.';
    text[n++] = ']';
    text[n++] = ' ';
    text[n] = '\0';
}

void bar_draw(struct bar *bar, const struct tally *tally)
{
    char left[TIME_MAX], done[AMOUNT_MAX], found[AMOUNT_MAX], text[TEXT_MAX];
    char drawn[BAR_MOST + 4], line[TEXT_MAX + sizeof drawn];
    update_rate(bar, tally);
    format_time_left(bar, tally, left);
    int percent = percent_of(tally);
    snprintf(text, sizeof text, "%3d%%  %s of %s  %.1f MB/s  %s", percent,
             format_bytes(tally->bytes_done, done), format_bytes(tally->bytes_found, found),
             bar->rate / 1e6, left);
    if (!bar->on_terminal) {
        puts(text);
        return;
    }
    format_bar(percent, strlen(text), drawn);
    snprintf(line, sizeof line, "%s%s", drawn, text);
    status_show(line);
}
