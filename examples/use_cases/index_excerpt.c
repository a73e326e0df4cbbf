/* SPDX-License-Identifier: MIT
 *
 * index_excerpt.c: what FTS5's own snippet() and highlight() are for, but they take a time that
 * grows with the square of the number of matches: seconds for a large text in which a common word
 * was sought. This takes only the first match and what is near it.
 *
 * How: FTS5 tells matches as the numbers of words (tokens). The text is taken apart into words once
 *      more, up to the last of those that are shown, to learn where they stand in it.
 * Source: https://www.sqlite.org/fts5.html, 'Custom Auxiliary Functions'
 */
#include "use_cases/index_excerpt.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    NAME = 0, /* the table's columns */
    TEXT = 1,
    BYTES_BEFORE = 40, /* of the excerpt, before the first match */
    BYTES = 120,       /* in all */
    MATCHES = 8,       /* that are shown */
};

/* A match: the numbers of its first and last word, and where it stands. */
struct match {
    int first, last;
    int begin, end; /* bytes; `end` is 0 as long as it is not known */
};

struct matches {
    struct match array[MATCHES]; /* in the order of the text */
    int count, words;            /* words: seen until now */
};

/* Take the first matches in a column. */
static int find_matches(const Fts5ExtensionApi *api, Fts5Context *fts, int column,
                        struct matches *found)
{
    int count, phrase, in, word, status = api->xInstCount(fts, &count);
    *found = (struct matches){.count = 0};
    for (int i = 0; status == SQLITE_OK && i < count && found->count < MATCHES; i++) {
        status = api->xInst(fts, i, &phrase, &in, &word);
        /* Phrases may overlap. */
        bool behind = found->count == 0 || word > found->array[found->count - 1].last;
        if (status == SQLITE_OK && in == column && behind)
            found->array[found->count++] =
                (struct match){.first = word, .last = word + api->xPhraseSize(fts, phrase) - 1};
    }
    return status;
}

/* The next word of the text. */
static int on_word(void *arg, int flags, const char *word, int size, int begin, int end)
{
    struct matches *found = arg;
    (void)word;
    (void)size;
    if (flags & FTS5_TOKEN_COLOCATED) /* the same word in another form */
        return SQLITE_OK;
    for (int i = 0; i < found->count; i++) {
        struct match *match = &found->array[i];
        if (found->words == match->first)
            match->begin = begin;
        if (found->words == match->last)
            match->end = end;
    }
    found->words++;
    return found->array[found->count - 1].end > 0 ? SQLITE_DONE : SQLITE_OK;
}

/* Where the character begins that the byte at `at` belongs to. */
static int character_at(const char *text, int at)
{
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static void append(sqlite3_str *out, const char *bytes, int n)
{
    if (n > 0)
        sqlite3_str_append(out, bytes, n);
}

/* The text from before the first match on, with brackets around those that are wholly in it. */
static void write_excerpt(sqlite3_str *out, const char *text, int size, const struct matches *found)
{
    int first = found->array[0].begin;
    int at = first > BYTES_BEFORE ? character_at(text, first - BYTES_BEFORE) : 0;
    int end = size - at > BYTES ? character_at(text, at + BYTES) : size;
    append(out, "...", at > 0 ? 3 : 0);
    for (int i = 0; i < found->count; i++) {
        const struct match *match = &found->array[i];
        if (match->end == 0 || match->end > end)
            break;
        append(out, text + at, match->begin - at);
        append(out, "[", 1);
        append(out, text + match->begin, match->end - match->begin);
        append(out, "]", 1);
        at = match->end;
    }
    append(out, text + at, end - at);
    append(out, "...", end < size ? 3 : 0);
}

static void excerpt(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context,
                    int arguments, sqlite3_value **values)
{
    struct matches found;
    const char *text = NULL;
    int size = 0, column = TEXT;
    (void)arguments;
    (void)values;
    int status = find_matches(api, fts, TEXT, &found);
    if (status == SQLITE_OK && found.count == 0) {
        column = NAME;
        status = find_matches(api, fts, NAME, &found);
    }
    if (status == SQLITE_OK)
        status = api->xColumnText(fts, column, &text, &size);
    if (status == SQLITE_OK && found.count > 0)
        status = api->xTokenize(fts, text, size, &found, on_word);
    if (status != SQLITE_OK && status != SQLITE_DONE) {
        sqlite3_result_error_code(context, status);
        return;
    }
    sqlite3_str *out = sqlite3_str_new(NULL);
    write_excerpt(out, text, size, &found);
    size = sqlite3_str_length(out);
    char *made = sqlite3_str_finish(out);
    if (made == NULL && size > 0)
        sqlite3_result_error_nomem(context);
    else
        sqlite3_result_text(context, made != NULL ? made : "", made != NULL ? size : 0,
                            made != NULL ? sqlite3_free : SQLITE_STATIC);
}

int excerpt_register(sqlite3 *sqlite)
{
    fts5_api *api = NULL;
    sqlite3_stmt *statement = NULL;
    int status = sqlite3_prepare_v2(sqlite, "SELECT fts5(?1)", -1, &statement, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", NULL);
    if (status == SQLITE_OK)
        sqlite3_step(statement);
    sqlite3_finalize(statement);
    if (status == SQLITE_OK && api == NULL)
        status = SQLITE_ERROR;
    return status == SQLITE_OK ? api->xCreateFunction(api, "excerpt", NULL, excerpt, NULL) : status;
}
