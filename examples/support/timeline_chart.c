/* SPDX-License-Identifier: MIT
 *
 * timeline_chart.c: a timeline as text.
 *
 * The moments at which a step begins or ends are sorted; between two of them nothing changes. Each
 * of these spans gets a column, and what is left of the line is shared out by their lengths. So the
 * chart shows the order of all that happened as it was, and an answer of twenty microseconds beside
 * a wait of a hundred milliseconds too.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support/timeline.h"

enum {
    KINDS_MAX = 24,   /* names of steps, each with a letter of its own */
    TICK_COLUMNS = 9, /* between the numbers of the scale */
};

static const char WAITING = '.';

static int no_memory(const struct timeline *t)
{
    return conc_raise(-ENOMEM, "%s: out of memory", t->title);
}

static double milliseconds(int64_t ns) { return (double)ns / (double)CONC_MS(1); }

/* ---- Time and columns ---- */

struct moments {
    int64_t *at;    /* ascending, each once */
    size_t count;   /* at least 2, if there is a step */
    size_t columns; /* of the whole chart */
};

static int by_time(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static size_t count_steps(const struct timeline *t)
{
    size_t count = 0;

    for (size_t i = 0; i < t->count; i++)
        count += t->lanes[i].count;
    return count;
}

/* gives at[], for free(). @return 0; -ENOMEM */
static int find_moments(const struct timeline *t, size_t width, struct moments *ret)
{
    int64_t *at = malloc((2 * count_steps(t) + 1) * sizeof *at);
    size_t n = 0, count = 0;

    if (at == NULL)
        return no_memory(t);
    for (size_t i = 0; i < t->count; i++)
        for (size_t j = 0; j < t->lanes[i].count; j++) {
            at[n++] = t->lanes[i].steps[j].begin;
            at[n++] = t->lanes[i].steps[j].end;
        }
    qsort(at, n, sizeof *at, by_time);
    for (size_t i = 0; i < n; i++)
        if (count == 0 || at[i] != at[count - 1])
            at[count++] = at[i];
    const size_t spans = count > 0 ? count - 1 : 0;
    *ret = (struct moments){.at = at, .count = count, .columns = spans > width ? spans : width};
    return 0;
}

/* The column in which the span after moment i begins; for the last moment: the chart's end. */
static size_t column_of(const struct moments *m, size_t i)
{
    const double whole = (double)(m->at[m->count - 1] - m->at[0]);
    const size_t spare = m->columns - (m->count - 1);

    return i + (size_t)((double)spare * ((double)(m->at[i] - m->at[0]) / whole));
}

static size_t column_at(const struct moments *m, int64_t time)
{
    const int64_t *found = bsearch(&time, m->at, m->count, sizeof *m->at, by_time);

    return column_of(m, (size_t)(found - m->at)); /* every step's ends are among them */
}

/* The time at which a column begins, since the chart's begin. */
static int64_t time_at(const struct moments *m, size_t column)
{
    size_t i = 0;

    while (i + 2 < m->count && column_of(m, i + 1) <= column)
        i++;
    const size_t from = column_of(m, i), to = column_of(m, i + 1);
    const double share = (double)(column - from) / (double)(to - from);
    return m->at[i] - m->at[0] + (int64_t)(share * (double)(m->at[i + 1] - m->at[i]));
}

/* ---- Letters ---- */

struct letters {
    const char *names[KINDS_MAX];
    char letters[KINDS_MAX];
    size_t count;
};

static bool is_taken(const struct letters *l, char letter)
{
    return memchr(l->letters, letter, l->count) != NULL;
}

/* The first of its name that no other step has, as a capital; else any that is free. */
static char choose_letter(const struct letters *l, const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        const char letter = (char)toupper((unsigned char)*p);
        if (isalpha((unsigned char)*p) && !is_taken(l, letter))
            return letter;
    }
    for (char letter = 'A'; letter <= 'Z'; letter++)
        if (!is_taken(l, letter))
            return letter;
    return '#';
}

static char letter_of(struct letters *l, const struct timeline_step *step)
{
    if (step->waits)
        return WAITING;
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->names[i], step->name) == 0)
            return l->letters[i];
    if (l->count == KINDS_MAX)
        return '#';
    l->letters[l->count] = choose_letter(l, step->name);
    l->names[l->count] = step->name;
    return l->letters[l->count++];
}

/* ---- The chart ---- */

static int name_width(const struct timeline *t)
{
    size_t width = 0;

    for (size_t i = 0; i < t->count; i++)
        if (strlen(t->lanes[i].name) > width)
            width = strlen(t->lanes[i].name);
    return (int)width;
}

static void print_lane(const struct timeline_lane *lane, const struct moments *m, struct letters *l,
                       char *line, int names, FILE *out)
{
    memset(line, ' ', m->columns);
    for (size_t i = 0; i < lane->count; i++) {
        const struct timeline_step *step = &lane->steps[i];
        const size_t from = column_at(m, step->begin), to = column_at(m, step->end);
        memset(line + from, letter_of(l, step), to - from);
    }
    fprintf(out, "  %-*s |%.*s|\n", names, lane->name, (int)m->columns, line);
}

/* Numbers under the columns at which they are true. */
static void print_scale(const struct moments *m, int names, FILE *out)
{
    size_t column = 0;

    fprintf(out, "  %*s  ", names, "");
    while (column < m->columns) {
        const double ms = milliseconds(time_at(m, column));
        const int n = fprintf(out, "'%.*f", ms < 99.95 ? 1 : 0, ms);
        size_t next = column + TICK_COLUMNS;
        if (n >= TICK_COLUMNS) /* a number that would touch the next */
            next = column + (size_t)n + 1;
        if (next < m->columns)
            fprintf(out, "%*s", (int)(next - column) - n, "");
        column = next;
    }
    fprintf(out, " ms\n");
}

static void print_legend(const struct letters *l, int names, FILE *out)
{
    fprintf(out, "  %*s  ", names, "");
    for (size_t i = 0; i < l->count; i++)
        fprintf(out, "%c %s   ", l->letters[i], l->names[i]);
    fprintf(out, "%c waiting\n", WAITING);
}

int timeline_print(const struct timeline *t, FILE *out, size_t width)
{
    struct letters letters = {.count = 0};
    struct moments m;
    int64_t begin;
    int err;

    fprintf(out, "%s: %.1f ms\n", t->title, milliseconds(timeline_length(t, &begin)));
    if (count_steps(t) == 0)
        return 0;
    err = find_moments(t, width, &m);
    if (err)
        return err;
    char *line = malloc(m.columns);
    if (line == NULL) {
        free(m.at);
        return no_memory(t);
    }
    const int names = name_width(t);
    for (size_t i = 0; i < t->count; i++)
        print_lane(&t->lanes[i], &m, &letters, line, names, out);
    print_scale(&m, names, out);
    print_legend(&letters, names, out);
    free(line);
    free(m.at);
    return 0;
}

/* ---- The list ---- */

struct row {
    const struct timeline_lane *lane;
    const struct timeline_step *step;
};

static int by_begin(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    const int order = by_time(&left->step->begin, &right->step->begin);

    return order != 0 ? order : (left->lane > right->lane) - (left->lane < right->lane);
}

int timeline_print_steps(const struct timeline *t, FILE *out)
{
    const int names = name_width(t);
    struct row *rows = malloc((count_steps(t) + 1) * sizeof *rows);
    size_t count = 0;
    int64_t begin;

    if (rows == NULL)
        return no_memory(t);
    for (size_t i = 0; i < t->count; i++)
        for (size_t j = 0; j < t->lanes[i].count; j++)
            rows[count++] = (struct row){&t->lanes[i], &t->lanes[i].steps[j]};
    qsort(rows, count, sizeof *rows, by_begin);
    timeline_length(t, &begin);
    for (size_t i = 0; i < count; i++) {
        const struct timeline_step *step = rows[i].step;
        fprintf(out, "  %-*s  %-9s %10.3f %10.3f  %s%s%s\n", names, rows[i].lane->name,
                step->waits ? "waits for" : "does", milliseconds(step->begin - begin),
                milliseconds(step->end - begin), step->name, *step->about != '\0' ? ": " : "",
                step->about);
    }
    free(rows);
    return 0;
}
