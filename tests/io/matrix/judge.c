/* SPDX-License-Identifier: MIT
 *
 * judge.c: what is expected of a cell.
 *
 * libconc's outcome is the system call's: its result, the data, and its effect, as the oracle has
 * told them in the same words. Where the system call waits,
 *
 * - CONC_NOW is -EAGAIN, a deadline -ETIMEDOUT, a cancellation -ECANCELED, and the plain call that
 *   follows finds all as if that call had never been;
 * - conc_close() ends it with -EBADF.
 *
 * Where another meaning is documented, it stands in `exceptions`, with its reason.
 */
#include <stdio.h>
#include <string.h>

#include "base/checkers.h"
#include "matrix.h"

static const struct {
    unsigned operations;    /* bits; 0: all */
    unsigned conditions;    /* bits */
    unsigned kind_flags;    /* bits, of which the kind has one; 0: all kinds */
    const char *instead_of; /* what the system call says; NULL: anything */
    const char *expected;   /* NULL: as the system call */
    const char *reason;
} exceptions[] = {
    {0,
     1 << WHEN_NOW | 1 << WHEN_DEADLINE | 1 << WHEN_CANCELLED | 1 << WHEN_CLOSED_MEANWHILE |
         1 << WHEN_CLOSED_BY_THREAD,
     FINISHES, NULL, NULL,
     "a call on a file that has begun is waited for, and its result is the call's own"},
    {1 << DO_PREAD | 1 << DO_PWRITE, ~0u, HAS_NO_PLACES, "-EINVAL", "-ESPIPE",
     "what has no places says so first"},
    {1 << DO_PREAD | 1 << DO_PWRITE, ~0u, HAS_NO_PLACES, "-EINVAL + -EINVAL", "-ESPIPE + -ESPIPE",
     "the same"},
};

const char *cell_is_left_out(enum matrix_way w, enum condition c, const struct kind *kind,
                             enum operation op)
{
    bool closes = c == WHEN_CLOSED_MEANWHILE || c == WHEN_CLOSED_BY_THREAD;
    if (operation_calls_back(op) && w == WITH_THREAD)
        return "only a loop calls back";
    if (operation_calls_back(op) && (c > N_ASKED || c == WHEN_TWO_READY || c == WHEN_TWO))
        return "a callback has no deadline, and there is one for a descriptor";
    if (operation_calls_back(op) && c == WHEN_NOW_READY)
        return "a callback has no deadline, and there is one for a descriptor";
    if (op == DO_STREAM_READ && (c == WHEN_TWO || c == WHEN_TWO_READY))
        return "a stream reads ahead, for itself";
    if (operation_streams(op) && kind->flags & IS_DIRECT)
        return "a stream's buffers are not aligned";
#ifdef WITH_TSAN
    if (closes)
        return "ThreadSanitizer takes a close beside a call for a race";
#endif
    if (operation_streams(op) && closes)
        return "a stream has its descriptor for itself";
    if (operation_opens(op) && closes)
        return "there is no descriptor yet";
    if (c == WHEN_CLOSED_MEANWHILE && w == WITH_THREAD)
        return "there is no loop that would close it";
    if (c == WHEN_TWO && kind->flags & NO_TWO)
        return "two events may become one";
    if (c == WHEN_TWO_READY && kind->flags & LOCKS_NO_POSITION && op != DO_PREAD && op != DO_PWRITE)
        return "the kernel does not lock its position";
    return NULL;
}

static bool exception_is_of(size_t i, enum condition c, const struct kind *kind, enum operation op)
{
    return (!exceptions[i].operations || exceptions[i].operations & 1u << op) &&
           exceptions[i].conditions & 1u << c &&
           (!exceptions[i].kind_flags || exceptions[i].kind_flags & kind->flags);
}

/* What is closed tells of no effect any more. */
static bool outcome_is(const char *text, const char *expected, enum condition c)
{
    bool closes = c == WHEN_CLOSED_MEANWHILE || c == WHEN_CLOSED_BY_THREAD;
    size_t length = strcspn(expected, ";");
    if (!closes)
        return !strcmp(text, expected);
    return !strncmp(text, expected, length) && (!text[length] || text[length] == ';');
}

/* Does the outcome follow a documented exception? */
static bool outcome_is_excepted(const struct outcome *out, const struct outcome *answer,
                                enum condition c, const struct kind *kind, enum operation op)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
        const char *expected = exceptions[i].expected;
        if (exception_is_of(i, c, kind, op) &&
            (!exceptions[i].instead_of || !strcmp(exceptions[i].instead_of, answer->text)) &&
            outcome_is(out->text, expected ? expected : answer->text, c))
            return true;
    }
    return false;
}

/* What ends a call of this condition that waits. NULL: nothing. */
static const char *end_of_waiting(enum condition c)
{
    switch (c) {
    case WHEN_NOW_READY:
    case WHEN_NOW:
        return "-EAGAIN";
    case WHEN_DEADLINE:
        return "-ETIMEDOUT";
    case WHEN_CANCELLED:
        return "-ECANCELED";
    case WHEN_CLOSED_MEANWHILE:
    case WHEN_CLOSED_BY_THREAD:
        return "-EBADF";
    default:
        return NULL;
    }
}

static bool outcome_is_in_time(const struct outcome *out, char *ret)
{
    if (out->stood_ns > PAUSE_MOST)
        snprintf(ret, 2 * TEXT_MOST, "the loop goes on (it stood still for %d ms)",
                 (int)(out->stood_ns / CONC_MS(1)));
    else if (out->took_ns > CONC_MS(500) && times_count())
        snprintf(ret, 2 * TEXT_MOST, "in time (it came %d ms late)",
                 (int)(out->took_ns / CONC_MS(1)));
    else if (out->took_ns < -CONC_MS(1) && strstr(out->text, "-ETIMEDOUT"))
        snprintf(ret, 2 * TEXT_MOST, "in time (it came %d us too soon)",
                 (int)(-out->took_ns / CONC_US(1)));
    else
        return true;
    return false;
}

static bool outcome_is_as_expected(const struct outcome *out, const struct outcome *answer,
                                   enum condition c, char *ret)
{
    const char *end = answer->waited ? end_of_waiting(c) : NULL;
    snprintf(ret, 2 * TEXT_MOST, "%s", end ? end : answer->text);
    if (!end || c == WHEN_NOW_READY || !strcmp(end, "-EBADF"))
        return !strncmp(out->text, ret, strlen(ret)) && (end || !strcmp(out->text, ret));
    if (strcmp(out->text, end) != 0)
        return false;
    snprintf(ret, 2 * TEXT_MOST, "%s, then as if it had not been: %s", end, answer->text);
    return !strcmp(out->after, answer->text);
}

bool cell_is_right(enum matrix_way w, enum condition c, size_t kind, enum operation op,
                   char ret[2 * TEXT_MOST])
{
    const struct outcome *out = outcome_of_cell(w, c, kind, op);
    const struct outcome *answer = outcome_of_cell(WITH_CALL, conditions[c].asks, kind, op);
    if (out->state != HAS_ENDED && out->state != IS_BEGUN)
        return true;
    if (answer->state != HAS_ENDED) {
        snprintf(ret, 2 * TEXT_MOST, "(the system call has no answer: %s)", answer->text);
        return false;
    }
    snprintf(ret, 2 * TEXT_MOST, "%s", answer->text);
    if (out->state == IS_BEGUN || out->stuck)
        return false;
    if (!outcome_is_as_expected(out, answer, c, ret) &&
        !outcome_is_excepted(out, answer, c, matrix_kinds[kind], op))
        return false;
    if (matrix_kinds[kind]->flags & FINISHES)
        return out->stood_ns <= PAUSE_MOST || outcome_is_in_time(out, ret);
    return outcome_is_in_time(out, ret);
}
