/* SPDX-License-Identifier: MIT
 *
 * timeline.c: noting steps, under one lock: a step more costs a look at the clock and a line in an
 * array.
 *
 * The clock is read before the lock is taken, so that waiting for it belongs to the step that
 * begins, or to none; but never within the lane of a context, which knows only one thing at a time.
 * A context is its id and its name together: a thread of a pool that is renamed for its next job
 * begins a lane, and so does a thread that has the name of another.
 */
#include "support/timeline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void timeline_init(struct timeline *t, const char *title)
{
    *t = (struct timeline){.title = title};
}

void timeline_destroy(struct timeline *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->lanes[i].steps);
    free(t->lanes);
    *t = (struct timeline){.title = t->title};
}

/* ---- Noting, under the lock ---- */

/* Room for one element more. The array may move. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;

    const size_t more = *room > 0 ? 2 * *room : 8;
    void *grown = realloc(*array, more * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

/* The caller's; NULL: there is none. */
static struct timeline_lane *find_lane(struct timeline *t)
{
    const char *name = conc_context_name(NULL);
    const uint64_t context = conc_context_id(NULL);

    for (size_t i = 0; i < t->count; i++)
        if (t->lanes[i].context == context && strcmp(t->lanes[i].name, name) == 0)
            return &t->lanes[i];
    return NULL;
}

static struct timeline_lane *find_or_add_lane(struct timeline *t)
{
    struct timeline_lane *lane = find_lane(t);

    if (lane != NULL)
        return lane;
    void *lanes = t->lanes;
    if (!grow(&lanes, t->count, &t->room, sizeof *t->lanes)) {
        t->incomplete = true;
        return NULL;
    }
    t->lanes = lanes;
    lane = &t->lanes[t->count++];
    *lane = (struct timeline_lane){.context = conc_context_id(NULL)};
    snprintf(lane->name, sizeof lane->name, "%s", conc_context_name(NULL));
    return lane;
}

/* End the lane's step, if it is in one. @return when the next can begin: no step is without any
 * length, or it could not be seen. */
static int64_t end_step(struct timeline_lane *lane, int64_t now)
{
    struct timeline_step *last = lane->count > 0 ? &lane->steps[lane->count - 1] : NULL;

    if (last != NULL && last->end == 0)
        last->end = now > last->begin ? now : last->begin + 1;
    return last != NULL && last->end > now ? last->end : now;
}

static void add_step(struct timeline *t, const char *name, bool waits, int64_t now)
{
    struct timeline_lane *lane = find_or_add_lane(t);

    if (lane == NULL)
        return;
    const int64_t begin = end_step(lane, now);
    void *steps = lane->steps;
    if (!grow(&steps, lane->count, &lane->room, sizeof *lane->steps)) {
        t->incomplete = true;
        return;
    }
    lane->steps = steps;
    struct timeline_step *step = &lane->steps[lane->count++];
    *step = (struct timeline_step){.name = name, .waits = waits, .begin = begin};
    memcpy(step->about, lane->about, sizeof step->about);
}

/* ---- For everybody ---- */

void timeline_begin(struct timeline *t, const char *step)
{
    const int64_t now = conc_now();

    conc_with_lock (&t->lock)
        add_step(t, step, false, now);
}

void timeline_wait(struct timeline *t, const char *step)
{
    const int64_t now = conc_now();

    conc_with_lock (&t->lock)
        add_step(t, step, true, now);
}

void timeline_end(struct timeline *t)
{
    const int64_t now = conc_now();

    conc_with_lock (&t->lock) {
        struct timeline_lane *lane = find_lane(t);
        if (lane != NULL) {
            end_step(lane, now);
            *lane->about = '\0';
        }
    }
}

void timeline_about(struct timeline *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    conc_with_lock (&t->lock) {
        struct timeline_lane *lane = find_or_add_lane(t);
        if (lane != NULL)
            vsnprintf(lane->about, sizeof lane->about, fmt, args);
    }
    va_end(args);
}

/* ---- Afterwards ---- */

static int by_name(const void *a, const void *b)
{
    const struct timeline_lane *left = a, *right = b;
    const int order = strcmp(left->name, right->name);

    return order != 0 ? order : (left->context > right->context) - (left->context < right->context);
}

int timeline_finish(struct timeline *t)
{
    const int64_t now = conc_now();

    if (t->incomplete)
        return conc_raise(-ENOMEM, "%s: out of memory", t->title);
    for (size_t i = 0; i < t->count; i++)
        end_step(&t->lanes[i], now);
    if (t->count > 1) /* the order among the others is chance */
        qsort(t->lanes + 1, t->count - 1, sizeof *t->lanes, by_name);
    return 0;
}

int64_t timeline_length(const struct timeline *t, int64_t *begin)
{
    int64_t first = INT64_MAX, last = 0;

    for (size_t i = 0; i < t->count; i++) {
        const struct timeline_lane *lane = &t->lanes[i];
        if (lane->count == 0)
            continue;
        if (lane->steps[0].begin < first)
            first = lane->steps[0].begin;
        if (lane->steps[lane->count - 1].end > last)
            last = lane->steps[lane->count - 1].end;
    }
    *begin = last > 0 ? first : 0;
    return last > 0 ? last - first : 0;
}
