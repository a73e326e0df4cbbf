/* SPDX-License-Identifier: MIT
 *
 * page.c: docs/descriptors.md, which tells what each kind does. Its lines are made of what the run
 * has found (the system call's answers, which libconc's were compared with), and of the library's
 * own table of ways (op/kind.h).
 *
 * With CONC_MATRIX_PAGE=FILE the lines are appended to FILE, for scripts/descriptors; else they are
 * compared with those of the page. What could not be tried here is not compared. Answers are the
 * kernel's: one that is of another version than the page was made with may give others, and then
 * they are only told.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "matrix.h"
#include "op/kind.h"
#include "support.h"

#define NO_SUCH_CELL "·"
#define CELL_NOT_TRIED "not tried"

enum { N_HOW = 3, COLUMN_MOST = 64 };

/* The conditions that have a column. What the others give follows from these. */
static const enum condition columns[] = {WHEN_READY,     WHEN_LATER,     WHEN_ENDED, WHEN_BROKEN,
                                         WHEN_WRONG_WAY, WHEN_TWO_READY, WHEN_TWO};

enum { N_ANSWERS = sizeof columns / sizeof *columns, N_COLUMNS = N_HOW + N_ANSWERS };

struct line {
    char columns[N_COLUMNS][COLUMN_MOST];
};

/* ---- Ways ---- */

static struct op op_of(enum operation op, const struct rig *r)
{
    static const enum op_code codes[N_OPERATIONS] = {
        [DO_OPEN_READ] = OP_OPEN, [DO_OPEN_WRITE] = OP_OPEN,   [DO_READ] = OP_READ,
        [DO_WRITE] = OP_WRITE,    [DO_READ_NOTHING] = OP_READ, [DO_WRITE_NOTHING] = OP_WRITE,
        [DO_PREAD] = OP_PREAD,    [DO_PWRITE] = OP_PWRITE,     [DO_POLL_IN] = OP_POLL,
        [DO_POLL_OUT] = OP_POLL,  [DO_POLL_PRI] = OP_POLL,     [DO_READER] = OP_POLL,
        [DO_WRITER] = OP_POLL,    [DO_STREAM_READ] = OP_READ,  [DO_STREAM_WRITE] = OP_WRITE,
        [DO_ACCEPT] = OP_ACCEPT,
    };
    struct op result = {.code = codes[op], .fd = r->fd};
    if (op == DO_POLL_PRI)
        result.flags = POLLPRI;
    else if (operation_polls(op))
        result.flags = operation_side(op) == TO_READ ? POLLIN : POLLOUT;
    else if (op != DO_READ_NOTHING && op != DO_WRITE_NOTHING)
        result.size = record_of(r->kind);
    return result;
}

static void line_add_ways(struct line *line, enum operation op, struct rig *r)
{
    static const char *const words[] = {
        [WAY_CALL] = "call",         [WAY_ENTRY] = "entry",  [WAY_READY] = "readiness",
        [WAY_FILES] = "file thread", [WAY_WAITS] = "thread",
    };
    for (int i = 0; i < N_HOW; i++) {
        struct op o = op_of(op, r);
        const char *word = conc__op_ask(&o) ? NO_SUCH_CELL : words[conc__op_way(&o, i)];
        if (i == BY_CALLER && operation_calls_back(op))
            word = NO_SUCH_CELL;
        snprintf(line->columns[i], COLUMN_MOST, "%s", word);
    }
}

/* A descriptor of the kind, to be asked. False: there is none here. */
static bool rig_find(struct rig *r, const struct kind *kind, enum side side)
{
    static const enum state states[] = {IS_READY, IS_WAITING};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        struct setup setup = rig_prepare(r, kind, side, states[i], false, 1);
        if (!setup.none && !setup.not_tried) {
            conc__kind_learn(r->fd);
            return true;
        }
        rig_release(r);
    }
    return false;
}

/* ---- Answers ---- */

/* The result of one call alone: without the data. */
static void answer_shorten(const struct kind *kind, const char *text, size_t length, char *ret)
{
    char word[COLUMN_MOST];
    bool is_number = text[0] >= '0' && text[0] <= '9';
    if (is_number)
        length = strcspn(text, " ;");
    snprintf(word, sizeof word, "%.*s", (int)length, text);
    if (is_number && (size_t)atoi(word) == record_of(kind))
        snprintf(word, sizeof word, "done");
    for (char *p = word; *p; p++)
        if (*p == '|')
            *p = '/'; /* which would end the column */
    strcpy(ret, word);
}

/* The results, of one call or of two, without their effect. */
static void answers_shorten(const struct kind *kind, const char *text, char *ret)
{
    char first[COLUMN_MOST], second[COLUMN_MOST];
    size_t length = strcspn(text, ";");
    const char *plus = strstr(text, " + ");
    if (!plus || plus > text + length) {
        answer_shorten(kind, text, length, ret);
        return;
    }
    answer_shorten(kind, text, (size_t)(plus - text), first);
    answer_shorten(kind, plus + 3, length - (size_t)(plus + 3 - text), second);
    if (!strcmp(first, second))
        snprintf(ret, COLUMN_MOST, "both %.50s", first);
    else
        snprintf(ret, COLUMN_MOST, "%.28s; %.28s", first, second);
}

static void line_add_answer(struct line *line, size_t column, size_t kind, enum operation op)
{
    const struct outcome *answer = outcome_of_cell(WITH_CALL, columns[column], kind, op);
    char *ret = line->columns[N_HOW + column];
    char text[COLUMN_MOST];
    if (answer->state == IS_NONE) {
        snprintf(ret, COLUMN_MOST, NO_SUCH_CELL);
    } else if (answer->state != HAS_ENDED) {
        snprintf(ret, COLUMN_MOST, CELL_NOT_TRIED);
    } else {
        answers_shorten(matrix_kinds[kind], answer->text, text);
        bool waits = !(matrix_kinds[kind]->flags & FINISHES) && answer->waited &&
                     strncmp(text, "both blocks", 11) != 0 && strcmp(text, "blocks") != 0;
        snprintf(ret, COLUMN_MOST, "%s%.40s", waits ? "waits, then " : "", text);
    }
}

static struct line line_make(size_t kind, enum operation op)
{
    struct line line = {0};
    struct rig r;
    if (rig_find(&r, matrix_kinds[kind], operation_side(op))) {
        line_add_ways(&line, op, &r);
        rig_release(&r);
    } else {
        for (int i = 0; i < N_HOW; i++)
            snprintf(line.columns[i], COLUMN_MOST, CELL_NOT_TRIED);
    }
    for (size_t i = 0; i < N_ANSWERS; i++)
        line_add_answer(&line, i, kind, op);
    return line;
}

/* ---- Writing ---- */

void page_print(void)
{
    const char *path = getenv("CONC_MATRIX_PAGE");
    if (!path)
        return;
    FILE *f = fopen(path, "a");
    CHECK(f);
    for (size_t kind = 0; kind < n_matrix_kinds; kind++)
        for (int op = 0; op < N_OPERATIONS; op++) {
            struct line line = line_make(kind, op);
            fprintf(f, "%s\t%s", matrix_kinds[kind]->name, operation_name(op));
            for (size_t i = 0; i < N_COLUMNS; i++)
                fprintf(f, "\t%s", line.columns[i]);
            fprintf(f, "\n");
        }
    CHECK_EQUAL(fclose(f), 0);
}

/* ---- Comparing ---- */

/* Does the page tell of the kernel that runs here? */
static bool page_is_of_this_kernel(FILE *f)
{
    struct utsname name;
    char line[1024], words[128];
    uname(&name);
    snprintf(words, sizeof words, "Linux %.*s.", (int)strspn(name.release, "0123456789."),
             name.release);
    char *second = strchr(strchr(words, '.') ? strchr(words, '.') + 1 : words, '.');
    if (second)
        second[1] = 0; /* version and patch level, as "6.18." */
    rewind(f);
    while (fgets(line, sizeof line, f))
        if (strstr(line, words))
            return true;
    return false;
}

/* Go to the lines of the kind. */
static bool page_find(FILE *f, const char *kind)
{
    char line[1024], name[160];
    snprintf(name, sizeof name, "`%s`", kind);
    rewind(f);
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "Kinds: ", 7) && strstr(line, name))
            return true;
    return false;
}

/* The columns of the next line of the table that is about the operation. */
static bool page_find_line(FILE *f, const char *operation, struct line *ret)
{
    char line[1024];
    while (fgets(line, sizeof line, f) && strncmp(line, "Kinds: ", 7) != 0) {
        char *rest = NULL, *column = strtok_r(line, "|\n", &rest);
        if (!column || strlen(column) < 3 || strncmp(column + 1, operation, strlen(operation)) ||
            strlen(column) != strlen(operation) + 2)
            continue;
        for (size_t i = 0; i < N_COLUMNS && (column = strtok_r(NULL, "|\n", &rest)); i++)
            snprintf(ret->columns[i], COLUMN_MOST, "%.*s", (int)strlen(column) - 2, column + 1);
        return true;
    }
    return false;
}

static bool line_is_right(const struct line *page, const struct line *now, bool same_kernel,
                          const char *kind, const char *operation)
{
    bool right = true;
    for (size_t i = 0; i < N_COLUMNS; i++) {
        if (!strcmp(page->columns[i], now->columns[i]) ||
            !strcmp(now->columns[i], CELL_NOT_TRIED) || !strcmp(page->columns[i], CELL_NOT_TRIED))
            continue;
        printf("# docs/descriptors.md: %s, %s: '%s' is now '%s'\n", kind, operation,
               page->columns[i], now->columns[i]);
        right = right && i >= N_HOW && !same_kernel;
    }
    return right;
}

bool page_is_right(size_t kind)
{
    const char *name = matrix_kinds[kind]->name;
    bool right = true;
    FILE *f = fopen(MATRIX_PAGE, "r");
    CHECK(f);
    bool same_kernel = page_is_of_this_kernel(f);
    for (int op = 0; op < N_OPERATIONS; op++) {
        struct line page = {0}, now = line_make(kind, op);
        if (page_find(f, name) && page_find_line(f, operation_name(op), &page)) {
            right &= line_is_right(&page, &now, same_kernel, name, operation_name(op));
        } else {
            printf("# docs/descriptors.md does not tell of %s, %s\n", name, operation_name(op));
            right = false;
        }
    }
    fclose(f);
    return right;
}
