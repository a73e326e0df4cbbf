/* SPDX-License-Identifier: MIT
 *
 * db_sqlite.c: data points in an SQLite file.
 *
 * The transaction is of the kind IMMEDIATE: if somebody else is writing, its beginning waits for
 * them, by conc_sleep() between two looks, so that the wait has a deadline and can be cancelled. So
 * can a statement that takes long.
 * What a program that is killed leaves behind, SQLite rolls back from its journal when the file is
 * next opened.
 */
#include <sqlite3.h>
#include <stdlib.h>

#include "db.h"

static const int64_t LOOK_AGAIN = CONC_MS(10); /* is it still locked? */

enum { STEPS = 10000 }; /* of SQLite's virtual machine, before it asks: well under a millisecond */

struct sqlite {
    struct db db;
    sqlite3 *connection;
    sqlite3_stmt *insert;
    const char *path; /* borrowed; for messages */
};

static const char CREATE[] =
    "CREATE TABLE IF NOT EXISTS sensor_values ("
    "id INTEGER PRIMARY KEY, "
    "sensor_name VARCHAR NOT NULL, "
    "collected_at TIMESTAMP NOT NULL, "
    "server VARCHAR NOT NULL, "
    "data TEXT NOT NULL)"; /* JSON; a column of that type would take "0.17" for a number */

static const char INSERT[] = "INSERT INTO sensor_values (sensor_name, collected_at, server, data) "
                             "VALUES (?, ?, ?, ?)";

/* SQLite's error, unless it is our own: no more time, or cancelled. */
static int sqlite_error(const struct sqlite *s, int code)
{
    switch (code) {
    case SQLITE_OK:
    case SQLITE_DONE:
        return 0;
    case SQLITE_INTERRUPT: /* by give_up() */
    case SQLITE_BUSY:
        if (conc_is_cancelled())
            return conc_raise(-ECANCELED, "%.160s: cancelled", s->path);
        return conc_raise(-ETIMEDOUT, "%.160s: %s", s->path,
                          code == SQLITE_BUSY ? "locked by another program" : "not done in time");
    case SQLITE_NOMEM:
        return conc_raise(-ENOMEM, "%.160s: out of memory", s->path);
    default:
        return conc_raise(-EIO, "%.160s: %s", s->path,
                          s->connection != NULL ? sqlite3_errmsg(s->connection)
                                                : sqlite3_errstr(code));
    }
}

/* The file is locked: try again? */
static int wait_a_little(void *arg, int times)
{
    const struct sqlite *s = arg;

    return conc_remaining(s->db.deadline) > 0 && conc_sleep(LOOK_AGAIN) == 0;
}

/* Asked now and then during a statement: leave it? */
static int give_up(void *arg)
{
    const struct sqlite *s = arg;

    return conc_remaining(s->db.deadline) == 0 || conc_is_cancelled();
}

static int execute(struct sqlite *s, const char *statement)
{
    int err = conc_check_cancel();

    return err ? err : sqlite_error(s, sqlite3_exec(s->connection, statement, NULL, NULL, NULL));
}

static void sqlite_close(struct db *db)
{
    struct sqlite *s = (struct sqlite *)db;

    sqlite3_finalize(s->insert);
    sqlite3_close(s->connection); /* what was not committed is rolled back */
    free(s);
}

static int begin(struct sqlite *s)
{
    int err;

    sqlite3_busy_handler(s->connection, wait_a_little, s);
    sqlite3_progress_handler(s->connection, STEPS, give_up, s);
    err = execute(s, "BEGIN IMMEDIATE");
    if (!err)
        err = execute(s, CREATE);
    if (!err)
        err = sqlite_error(s, sqlite3_prepare_v2(s->connection, INSERT, -1, &s->insert, NULL));
    return err;
}

static int sqlite_open(struct db **ret, const char *url, const char *path, conc_deadline deadline)
{
    struct sqlite *s = calloc(1, sizeof *s);
    int err;

    if (s == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    s->db = (struct db){&DB_SQLITE, deadline};
    s->path = path;
    err = sqlite_error(
        s, sqlite3_open_v2(path, &s->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL));
    if (!err)
        err = begin(s);
    if (err)
        sqlite_close(&s->db);
    else
        *ret = &s->db;
    return err;
}

static int sqlite_add(struct db *db, const char *server, const struct data_point *point,
                      const char *when)
{
    struct sqlite *s = (struct sqlite *)db;
    const char *const values[] = {point->sensor_name, when, server, point->data};
    int code = SQLITE_OK, err = conc_check_cancel();

    if (err)
        return err;
    for (int i = 0; i < 4 && code == SQLITE_OK; i++)
        code = sqlite3_bind_text(s->insert, i + 1, values[i], -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(s->insert);
    err = sqlite_error(s, code);
    sqlite3_reset(s->insert);
    sqlite3_clear_bindings(s->insert);
    return err;
}

static int sqlite_commit(struct db *db) { return execute((struct sqlite *)db, "COMMIT"); }

static const char *const PREFIXES[] = {"sqlite:", NULL};

const struct db_kind DB_SQLITE = {
    .prefixes = PREFIXES,
    .blocks = true,
    .open = sqlite_open,
    .add = sqlite_add,
    .commit = sqlite_commit,
    .close = sqlite_close,
};
