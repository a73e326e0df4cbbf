/* SPDX-License-Identifier: MIT
 *
 * timeline.h: what each context did and waited for, and when: noted by the contexts themselves,
 * drawn afterwards, a lane for each.
 *
 *     struct timeline t;
 *     timeline_init(&t, "Three answers");
 *     ...                                  // in any thread or task:
 *     timeline_begin(&t, "connect");
 *     int fd = conc_tcp_connect(host, port, deadline);
 *     timeline_wait(&t, "the answer");       // ends the step before
 *     ssize_t n = conc_recv(fd, data, sizeof data, 0, deadline);
 *     timeline_end(&t);
 *     ...                                  // once nobody notes any more:
 *     err = timeline_print(&t, stdout, 72);
 *     timeline_destroy(&t);
 */
#ifndef EXAMPLES_TIMELINE_H
#define EXAMPLES_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <conc/context.h>
#include <conc/lock.h>

enum {
    TIMELINE_ABOUT_MAX = 48,   /* of what a step is about, the zero included; more is cut */
    TIMELINE_WIDTH_MIN = 20,   /* columns of a chart */
    TIMELINE_WIDTH_MAX = 1000, /* but more steps than columns make it wider */
};

/** What a context did, or waited for, from a time to a time (of conc_now()). */
struct timeline_step {
    const char *name; /* borrowed: a literal */
    bool waits;
    char about[TIMELINE_ABOUT_MAX];
    int64_t begin, end; /* begin < end; end 0: it has not ended */
};

/** A context's steps. They follow one another and never overlap. */
struct timeline_lane {
    uint64_t context; /* conc_context_id(NULL) */
    char name[CONC_NAME_MAX];
    char about[TIMELINE_ABOUT_MAX]; /* of the steps to come */
    struct timeline_step *steps;
    size_t count, room;
};

/** All fields are private while somebody may still note. */
struct timeline {
    conc_lock lock; /* of all that follows */
    const char *title;
    struct timeline_lane *lanes; /* in the order of their first steps */
    size_t count, room;
    bool incomplete; /* out of memory: a step is missing */
};

/** @param title  borrowed as long as the timeline is there */
void timeline_init(struct timeline *t, const char *title);

void timeline_destroy(struct timeline *t);

/* ---- Noting: from any thread or task; none of these is a cancellation point ---- */

/**
 * The caller begins a step; the one that it was in ends. Its lane is the one of its
 * conc_context_name() at that moment.
 *
 * @param step  what it does; a literal
 */
void timeline_begin(struct timeline *t, const char *step);

/** The same, but the caller will wait: drawn as dots, whatever it waits for. */
void timeline_wait(struct timeline *t, const char *step);

/** What the steps are about that the caller begins from now on, up to its next timeline_end():
 * "server 2". */
void timeline_about(struct timeline *t, const char *fmt, ...) CONC_PRINTF(2, 3);

/** The caller's step ends; none begins. */
void timeline_end(struct timeline *t);

/* ---- Drawing: once no context notes any more ---- */

/**
 * Lanes in the order in which they are drawn: that of the first step of all on top, then by name.
 * Steps that have not ended end now. To be called before what is below; a second call does nothing.
 *
 * @return 0; -ENOMEM: steps are missing; with a message
 */
int timeline_finish(struct timeline *t);

/** From the first step's begin to the last one's end, in nanoseconds. 0: there are no steps. */
int64_t timeline_length(const struct timeline *t, int64_t *begin);

/**
 * Print a chart: a line for each context, a letter for a step, a dot for waiting.
 *
 * No step is too short to be seen, and of two moments the earlier stands further left: where much
 * happens at once, a column stands for less time than elsewhere. The scale below tells.
 *
 * @return 0; -ENOMEM, with a message
 */
int timeline_print(const struct timeline *t, FILE *out, size_t width);

/** Print a line for each step, in the order of their beginnings: the context, begin and end in
 * milliseconds, what it does or waits for, and what that is about. @return 0; -ENOMEM, with a
 * message */
int timeline_print_steps(const struct timeline *t, FILE *out);

/**
 * Draw all of the timelines as one picture, in the same scale: BASE.svg, and BASE.png by gnuplot.
 *
 * @return 0; -ENOPKG: gnuplot is not installed, and there is no PNG; -ENAMETOOLONG; -ENOMEM; what
 *         open(2) and write(2) tell; -EIO: gnuplot failed; with a message
 *
 * Blocks: yes. Cancellation point: yes.
 */
int timeline_picture(const struct timeline *timelines, size_t n, const char *base);

#endif
