/* SPDX-License-Identifier: MIT
 *
 * db.h: a database for data points, in one transaction: SQLite, or PostgreSQL.
 *
 *     struct db *db;
 *     int err = db_open(&db, "sqlite:sensors.db", conc_in(CONC_S(10)));
 *     if (err)
 *         return err;
 *     err = db_add(db, "http://127.0.0.1:8080/", &point);      // as often as needed
 *     if (!err)
 *         err = db_commit(db);                                 // without it nothing is written
 *     db_close(db);
 *
 * The table is the chapter's sensor_values, and what server it came from: the chapter knows a
 * server by its deployment's id, which it is told in a later version of the API.
 *
 * All errors have a message. All calls but db_close() are cancellation points, and keep to the
 * deadline that db_open() was given. One context at a time may use a database.
 */
#ifndef SENSORS_DB_H
#define SENSORS_DB_H

#include "points.h"

struct db;

/** Open a database and begin a transaction; the table is created if it is missing.
 *
 * @param url       "sqlite:FILE", or "postgresql://..." (also "postgres://...")
 * @param ret       gives it, for db_close(); untouched on failure
 * @return 0; a negative error
 */
int db_open(struct db **ret, const char *url, conc_deadline deadline);

/** Add a data point of a server. */
int db_add(struct db *db, const char *server, const struct data_point *point);

/** Make what was added last. 0: all of it is written; else nothing, or the message says so. */
int db_commit(struct db *db);

/** Give up what was not committed, and close. NULL is ignored. */
void db_close(struct db *db);

/** Is it a URL that db_open() knows? 0; -EINVAL with a message */
int db_check(const char *url);

/** Does it wait in a way of its own, so that a task had better leave it to a thread? */
bool db_blocks(const char *url);

/* ---- For those who implement it ---- */

/** What a kind of database can do. A struct db begins with a pointer to it. */
struct db_kind {
    const char *const *prefixes; /* of its URLs; the last is followed by NULL */
    bool blocks;
    int (*open)(struct db **ret, const char *url, const char *rest, conc_deadline deadline);
    int (*add)(struct db *db, const char *server, const struct data_point *point, const char *when);
    int (*commit)(struct db *db);
    void (*close)(struct db *db);
};

struct db {
    const struct db_kind *kind;
    conc_deadline deadline;
};

extern const struct db_kind DB_SQLITE, DB_POSTGRES;

#endif
