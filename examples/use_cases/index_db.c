/* SPDX-License-Identifier: MIT
 *
 * index_db.c: two tables. `files` has a row for each file; its path is a BLOB, since it need not be
 * text in any encoding. `contents` is the full-text index: the same row numbers, the file's name
 * and its text. What belongs together is written in one transaction, so that whatever ends the
 * program, the database is sound and each file is wholly in it or not at all.
 *
 * SQLite: https://www.sqlite.org/fts5.html, https://www.sqlite.org/c3ref/intro.html
 */
#include "use_cases/index_db.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "use_cases/index_excerpt.h"

enum {
    APPLICATION_ID = 0x636e6978, /* "cnix": tells our databases from others */
    BUSY_WAIT_MS = 20,           /* between two attempts, while another program writes */
    BUSY_ATTEMPTS = 500,
    ROOM_FIRST = 64,
};

/* A statement of each kind, prepared once. */
enum { PUT_FILE, FIND_ID, DROP_TEXT, PUT_TEXT, DROP_FILE, STATEMENTS };

static const char *const SQL[STATEMENTS] = {
    [PUT_FILE] =
        "INSERT INTO files (path, size, mtime, type, converted) VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT (path) DO UPDATE SET size = ?2, mtime = ?3, type = ?4,"
        " converted = ?5",
    [FIND_ID] = "SELECT id FROM files WHERE path = ?1",
    [DROP_TEXT] = "DELETE FROM contents WHERE rowid = ?1",
    [PUT_TEXT] = "INSERT INTO contents (rowid, name, text) VALUES (?1, ?2, ?3)",
    [DROP_FILE] = "DELETE FROM files WHERE id = ?1",
};

static const char SCHEMA[] =
    "CREATE TABLE files (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,"
    " mtime INTEGER NOT NULL, type TEXT NOT NULL, converted INTEGER NOT NULL);"
    "CREATE VIRTUAL TABLE contents USING fts5(name, text);";

struct index_db {
    sqlite3 *sqlite;
    char *path;
    sqlite3_stmt *statements[STATEMENTS];
};

/* ---- Errors, transactions ---- */

/* Make an error of SQLite's last one, with a message. */
static int fail(struct index_db *db)
{
    int code = sqlite3_errcode(db->sqlite);
    if (code == SQLITE_BUSY && conc_is_cancelled()) /* it has not waited for the other program */
        return -ECANCELED;
    int err = code == SQLITE_NOMEM ? -ENOMEM : -EIO;
    return conc_raise(err, "%.160s: %s", db->path, sqlite3_errmsg(db->sqlite));
}

static int execute(struct index_db *db, const char *sql)
{
    return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(db);
}

/* Run a statement that gives no rows, and let go of what was bound to it. */
static int step(struct index_db *db, sqlite3_stmt *statement)
{
    int err = sqlite3_step(statement) == SQLITE_DONE ? 0 : fail(db);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return err;
}

/* Another program writes: SQLite asks whether to try again. To sleep here is libconc's business: a
 * cancelled caller doesn't wait. */
static int wait_for_others(void *arg, int attempts)
{
    return attempts < BUSY_ATTEMPTS && conc_sleep(CONC_MS(BUSY_WAIT_MS)) == 0;
}

/* End a transaction: commit it, or, after an error, undo it. */
static int end_transaction(struct index_db *db, int err)
{
    if (!err)
        err = execute(db, "COMMIT");
    if (err)
        sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

/* ---- Opening ---- */

/* The number that a statement gives. */
static int get_number(struct index_db *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *statement = NULL;
    int err = sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL) == SQLITE_OK &&
                      sqlite3_step(statement) == SQLITE_ROW
                  ? 0
                  : fail(db);
    if (!err)
        *ret = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return err;
}

/* In a transaction: make the tables if the database is empty; refuse one that is not ours. */
static int make_tables(struct index_db *db, bool create)
{
    char pragma[64];
    int64_t id = 0, tables = 0;
    int err = get_number(db, "PRAGMA application_id", &id);
    if (err)
        return err;
    err = get_number(db, "SELECT count(*) FROM sqlite_master", &tables);
    if (err)
        return err;
    if (id == APPLICATION_ID)
        return 0;
    if (id != 0 || tables != 0 || !create)
        return conc_raise(-EINVAL, "%.160s: not an index of this program", db->path);
    err = execute(db, SCHEMA);
    if (err)
        return err;
    sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA application_id = %d", APPLICATION_ID);
    return execute(db, pragma);
}

static int prepare_schema(struct index_db *db, bool create)
{
    /* The transaction comes first, so that no other program makes the tables in between. */
    int err = execute(db, create ? "BEGIN IMMEDIATE" : "BEGIN");
    if (err)
        return err;
    return end_transaction(db, make_tables(db, create));
}

static int open_and_prepare(struct index_db *db, bool create)
{
    const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(db->path, &db->sqlite, flags, NULL) != SQLITE_OK)
        return db->sqlite != NULL ? fail(db) : -ENOMEM;
    sqlite3_busy_handler(db->sqlite, wait_for_others, NULL);
    int err = prepare_schema(db, create);
    for (size_t i = 0; !err && i < STATEMENTS; i++)
        if (sqlite3_prepare_v2(db->sqlite, SQL[i], -1, &db->statements[i], NULL) != SQLITE_OK)
            err = fail(db);
    return err;
}

int index_db_open(struct index_db **ret, const char *path, bool create)
{
    struct index_db *db = calloc(1, sizeof *db);
    if (db == NULL || (db->path = strdup(path)) == NULL) {
        free(db);
        return -ENOMEM;
    }
    int err = open_and_prepare(db, create);
    if (err)
        index_db_close(db);
    else
        *ret = db;
    return err;
}

void index_db_close(struct index_db *db)
{
    if (db == NULL)
        return;
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->sqlite);
    free(db->path);
    free(db);
}

/* ---- What is known ---- */

static int bind_path(sqlite3_stmt *statement, int which, const char *path)
{
    return sqlite3_bind_blob(statement, which, path, (int)strlen(path), SQLITE_STATIC);
}

static int read_known(sqlite3_stmt *row, struct known *known)
{
    const char *path = sqlite3_column_blob(row, 1);
    *known = (struct known){
        .id = sqlite3_column_int64(row, 0),
        .path = strndup(path != NULL ? path : "", (size_t)sqlite3_column_bytes(row, 1)),
        .size = sqlite3_column_int64(row, 2),
        .mtime = sqlite3_column_int64(row, 3),
        .converted = sqlite3_column_int(row, 4) != 0,
    };
    return known->path == NULL ? -ENOMEM : 0;
}

/* All rows of a statement. */
static int read_all_known(struct index_db *db, sqlite3_stmt *statement, struct known **known,
                          size_t *n)
{
    size_t room = 0;
    for (;;) {
        int status = sqlite3_step(statement);
        if (status == SQLITE_DONE)
            return 0;
        if (status != SQLITE_ROW)
            return fail(db);
        if (*n == room) {
            room = room == 0 ? ROOM_FIRST : 2 * room;
            struct known *more = reallocarray(*known, room, sizeof *more);
            if (more == NULL)
                return -ENOMEM;
            *known = more;
        }
        if (read_known(statement, &(*known)[*n]) != 0)
            return -ENOMEM;
        (*n)++;
    }
}

int index_db_known(struct index_db *db, const char *folder, struct known **ret, size_t *n)
{
    /* From "/some/folder/" to below "/some/folder0": '0' comes after '/'. */
    static const char sql[] = "SELECT id, path, size, mtime, converted FROM files"
                              " WHERE path > ?1 AND path < ?2 ORDER BY path";
    sqlite3_stmt *statement = NULL;
    struct known *known = NULL;
    size_t count = 0;
    char *end = strdup(folder);
    if (end == NULL)
        return -ENOMEM;
    end[strlen(end) - 1] = '/' + 1;
    int err = sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL) == SQLITE_OK &&
                      bind_path(statement, 1, folder) == SQLITE_OK &&
                      bind_path(statement, 2, end) == SQLITE_OK
                  ? 0
                  : fail(db);
    if (!err)
        err = read_all_known(db, statement, &known, &count);
    sqlite3_finalize(statement);
    free(end);
    if (err) {
        known_free(known, count);
        return err;
    }
    *ret = known;
    *n = count;
    return 0;
}

void known_free(struct known *known, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(known[i].path);
    free(known);
}

/* ---- Writing ---- */

/* The row number of a file that is in the table. */
static int find_id(struct index_db *db, const char *path, int64_t *id)
{
    sqlite3_stmt *find = db->statements[FIND_ID];
    bind_path(find, 1, path);
    int err = sqlite3_step(find) == SQLITE_ROW ? 0 : fail(db);
    if (!err)
        *id = sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    sqlite3_clear_bindings(find);
    return err;
}

/* The file's name as text: the last part of its path. */
static int bind_name(sqlite3_stmt *statement, int which, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct text name = {.bytes = strdup(slash != NULL ? slash + 1 : path)};
    if (name.bytes == NULL)
        return -ENOMEM;
    name.size = strlen(name.bytes);
    text_clean(&name);
    return sqlite3_bind_text(statement, which, name.bytes, (int)name.size, free) == SQLITE_OK
               ? 0
               : -ENOMEM;
}

static int drop_row(struct index_db *db, int which, int64_t id)
{
    sqlite3_bind_int64(db->statements[which], 1, id);
    return step(db, db->statements[which]);
}

static int put_entry(struct index_db *db, const struct entry *entry)
{
    sqlite3_stmt *put = db->statements[PUT_FILE];
    int64_t id;
    bind_path(put, 1, entry->path);
    sqlite3_bind_int64(put, 2, entry->size);
    sqlite3_bind_int64(put, 3, entry->mtime);
    sqlite3_bind_text(put, 4, entry->type, -1, SQLITE_STATIC);
    sqlite3_bind_int(put, 5, entry->converted);
    int err = step(db, put);
    if (err)
        return err;
    err = find_id(db, entry->path, &id);
    if (err)
        return err;
    err = drop_row(db, DROP_TEXT, id); /* if it was there */
    if (err)
        return err;
    put = db->statements[PUT_TEXT];
    sqlite3_bind_int64(put, 1, id);
    if (bind_name(put, 2, entry->path) != 0)
        return -ENOMEM;
    sqlite3_bind_text(put, 3, entry->text.bytes != NULL ? entry->text.bytes : "",
                      (int)entry->text.size, SQLITE_STATIC);
    return step(db, put);
}

int index_db_put(struct index_db *db, const struct entry *entries, size_t n)
{
    int err = execute(db, "BEGIN IMMEDIATE");
    if (err)
        return err;
    for (size_t i = 0; !err && i < n; i++)
        err = put_entry(db, &entries[i]);
    return end_transaction(db, err);
}

/* In a transaction. */
static int drop_unseen(struct index_db *db, const struct known *known, size_t n, size_t *count)
{
    for (size_t i = 0; i < n; i++) {
        if (known[i].seen)
            continue;
        int err = drop_row(db, DROP_TEXT, known[i].id);
        if (err)
            return err;
        err = drop_row(db, DROP_FILE, known[i].id);
        if (err)
            return err;
        ++*count;
    }
    return 0;
}

int index_db_remove_unseen(struct index_db *db, const struct known *known, size_t n,
                           size_t *removed)
{
    size_t count = 0;
    int err = execute(db, "BEGIN IMMEDIATE");
    if (err)
        return err;
    err = end_transaction(db, drop_unseen(db, known, n, &count));
    if (err)
        return err;
    *removed = count;
    return 0;
}

/* ---- Searching ---- */

/* The words as FTS5 wants them: each in quotes, so that nothing in it is taken for an operator; a
 * star behind them stays one. @return gives a string; NULL: no memory */
static char *make_query(const char *words)
{
    char *query = malloc(5 * strlen(words) + 1), *out = query; /* "x*" from x*: at most so much */
    if (query == NULL)
        return NULL;
    for (size_t n; *(words += strspn(words, " \t\n")) != '\0'; words += n) {
        n = strcspn(words, " \t\n");
        bool prefix = n > 1 && words[n - 1] == '*';
        *out++ = '"';
        for (size_t i = 0; i < n - prefix; i++) {
            if (words[i] == '"')
                *out++ = '"';
            *out++ = words[i];
        }
        *out++ = '"';
        if (prefix)
            *out++ = '*';
        *out++ = ' ';
    }
    *out = '\0';
    return query;
}

ptrdiff_t index_db_search(struct index_db *db, const char *words,
                          void (*found)(const char *path, size_t n, const char *excerpt))
{
    /* In this order of the tables FTS5 sorts by rank itself, and one text at a time is in
     * memory. */
    static const char sql[] =
        "SELECT path, excerpt(contents) FROM contents CROSS JOIN files ON files.id = contents.rowid"
        " WHERE contents MATCH ?1 ORDER BY rank";
    sqlite3_stmt *statement = NULL;
    ptrdiff_t count = 0;
    int status = SQLITE_ERROR;
    char *query = make_query(words);
    if (query == NULL)
        return -ENOMEM;
    if (excerpt_register(db->sqlite) == SQLITE_OK &&
        sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_bind_text(statement, 1, query, -1, SQLITE_STATIC) == SQLITE_OK)
        while ((status = sqlite3_step(statement)) == SQLITE_ROW) {
            const char *path = sqlite3_column_blob(statement, 0);
            size_t n = (size_t)sqlite3_column_bytes(statement, 0);
            const char *excerpt = (const char *)sqlite3_column_text(statement, 1);
            found(path, n, excerpt != NULL ? excerpt : "");
            count++;
        }
    if (status != SQLITE_DONE)
        count = fail(db);
    sqlite3_finalize(statement);
    free(query);
    return count;
}
