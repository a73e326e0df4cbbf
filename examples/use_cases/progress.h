/* SPDX-License-Identifier: MIT
 *
 * progress.h: how far a copy has come: numbers that its threads add to, and the bar that shows
 * them.
 */
#ifndef EXAMPLES_PROGRESS_H
#define EXAMPLES_PROGRESS_H

#include <conc.h>
#include <stdint.h>

/** What has been found and done until now. */
struct tally {
    uint64_t files_found, files_done;
    uint64_t bytes_found, bytes_done;
    uint64_t folders, links;
    uint64_t problems; /* what could not be copied */
    bool all_found;    /* nothing more will be found */
};

/** A tally that several threads change. All-zero: nothing yet. */
struct progress {
    conc_lock lock;
    struct tally tally; /* under `lock` */
};

/** What the tally is now. */
struct tally progress_now(struct progress *progress);

/** The line at the bottom of a terminal (status_line.h); on anything else one plain line after
 * another. */
struct bar {
    bool on_terminal;
    int64_t started, drawn; /* times of conc_now() */
    uint64_t bytes_drawn;   /* done by then */
    double rate;            /* bytes a second, of late */
};

void bar_start(struct bar *bar);
/** Show how far it has come. */
void bar_draw(struct bar *bar, const struct tally *tally);

enum { AMOUNT_MAX = 24 };

/** A number of bytes in a suitable unit: "999 B", "1.2 kB", "345.6 MB". @return text */
const char *format_bytes(uint64_t bytes, char text[AMOUNT_MAX]);

#endif
