/* SPDX-License-Identifier: MIT
 *
 * db.c: which database a URL means.
 */
#include "db.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* The kind, and the URL's rest behind the prefix; NULL: none. */
static const struct db_kind *find_kind(const char *url, const char **rest)
{
    static const struct db_kind *const KINDS[] = {&DB_SQLITE, &DB_POSTGRES};

    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        for (const char *const *prefix = KINDS[i]->prefixes; *prefix != NULL; prefix++)
            if (strncmp(url, *prefix, strlen(*prefix)) == 0) {
                *rest = url + strlen(*prefix);
                return KINDS[i];
            }
    return NULL;
}

int db_check(const char *url)
{
    const char *rest;
    const struct db_kind *kind = find_kind(url, &rest);

    /* The URL itself is not shown: there may be a password in it. */
    if (kind == NULL)
        return conc_raise(-EINVAL, "a database is sqlite:FILE or postgresql://...");
    if (kind == &DB_SQLITE && *rest == '\0')
        return conc_raise(-EINVAL, "sqlite: no file");
    return 0;
}

bool db_blocks(const char *url)
{
    const char *rest;
    const struct db_kind *kind = find_kind(url, &rest);

    return kind != NULL && kind->blocks;
}

int db_open(struct db **ret, const char *url, conc_deadline deadline)
{
    const char *rest;
    int err = db_check(url);

    return err ? err : find_kind(url, &rest)->open(ret, url, rest, deadline);
}

/* "2020-04-01 12:00:00.000123", as SQLAlchemy writes it into either database. */
static void format_time(int64_t microseconds, char *ret, size_t room)
{
    const time_t seconds = (time_t)(microseconds / 1000000);
    struct tm utc;
    char text[32];

    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc);
    snprintf(ret, room, "%s.%06d", text, (int)(microseconds % 1000000));
}

int db_add(struct db *db, const char *server, const struct data_point *point)
{
    char when[48];

    format_time(point->collected_at, when, sizeof when);
    return db->kind->add(db, server, point, when);
}

int db_commit(struct db *db) { return db->kind->commit(db); }

void db_close(struct db *db)
{
    if (db != NULL)
        db->kind->close(db);
}
