/* SPDX-License-Identifier: MIT
 *
 * db_postgres.c: data points in PostgreSQL, by libpq's non-blocking calls.
 *
 * How: whenever libpq would have to wait it says for what, and conc_poll_fd() waits: from a task,
 *      whose loop goes on; from a thread, which sleeps. So one implementation does for all modes,
 *      with deadlines and cancellation, where Python needs psycopg2 and asyncpg. Only names would
 *      be looked up by libpq itself, blocking; so that is done here (conc_getaddrinfo()) and it is
 *      given the addresses.
 * End: a connection that is closed before its COMMIT has been carried out is a rollback, also if
 *      that is because this program was killed.
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "db.h"
#include "support/buffer.h"

struct postgres {
    struct db db;
    PGconn *connection;
};

/* Two programs that create a table at the same moment may both find it missing; and a user that may
 * not create tables may still write to one that is there. So: one at a time, and look first. */
static const char LOCK[] = "SELECT pg_advisory_xact_lock(hashtext('sensor_values'))";
static const char LOOK[] = "SELECT to_regclass('sensor_values')";
static const char CREATE[] = "CREATE TABLE sensor_values ("
                             "id SERIAL PRIMARY KEY, "
                             "sensor_name VARCHAR NOT NULL, "
                             "collected_at TIMESTAMP NOT NULL, "
                             "server VARCHAR NOT NULL, "
                             "data JSONB NOT NULL)";
static const char INSERT[] = "INSERT INTO sensor_values (sensor_name, collected_at, server, data) "
                             "VALUES ($1, $2::timestamp, $3, $4::jsonb)";

enum { INSERT_VALUES = 4 };

/* ---- Errors ---- */

/* The first line of what libpq says: the rest is detail. */
static int postgres_error(int err, const char *message)
{
    const size_t length = strcspn(message, "\n");

    return conc_raise(err, "PostgreSQL: %.*s", length < 200 ? (int)length : 200,
                      length > 0 ? message : "it has gone without a word");
}

static int connection_error(const struct postgres *p)
{
    return postgres_error(-EIO, PQerrorMessage(p->connection));
}

/* What a wait has come to. */
static int wait_error(int err)
{
    if (err == -ETIMEDOUT)
        return conc_raise(err, "PostgreSQL: no answer in time");
    if (err == -ECANCELED)
        return conc_raise(err, "PostgreSQL: cancelled");
    return conc_raise(err, "PostgreSQL: %s", conc_strerror(err));
}

/* 0, or an error. */
static int wait_for(const struct postgres *p, short events)
{
    const int ready = conc_poll_fd(PQsocket(p->connection), events, p->db.deadline);

    return ready < 0 ? wait_error(ready) : 0;
}

/* ---- Statements ---- */

/* Send what libpq has in its buffer, reading meanwhile: a server that has much to say may not
 * listen before it has said it. */
static int flush(struct postgres *p)
{
    int left;

    while ((left = PQflush(p->connection)) > 0) {
        int ready = conc_poll_fd(PQsocket(p->connection), POLLIN | POLLOUT, p->db.deadline);

        if (ready < 0)
            return wait_error(ready);
        if ((ready & POLLIN) != 0 && !PQconsumeInput(p->connection))
            return connection_error(p);
    }
    return left < 0 ? connection_error(p) : 0;
}

/* The statement's next result; NULL: there are no more. */
static int next_result(struct postgres *p, PGresult **ret)
{
    while (PQisBusy(p->connection)) {
        int err = wait_for(p, POLLIN);

        if (err)
            return err;
        if (!PQconsumeInput(p->connection))
            return connection_error(p);
    }
    *ret = PQgetResult(p->connection);
    return 0;
}

/* Carry out a statement, of whose results there is one.
 *
 * is_null: gives whether its first value is NULL; NULL: it has none, or it is not wanted */
static int execute(struct postgres *p, const char *statement, const char *const *values,
                   size_t count, bool *is_null)
{
    PGresult *result = NULL;
    int err = 0;

    if (!PQsendQueryParams(p->connection, statement, (int)count, NULL, values, NULL, NULL, 0))
        return connection_error(p);
    err = flush(p);
    if (err)
        return err;
    for (;;) {
        int broken = next_result(p, &result);
        ExecStatusType status;

        if (broken)
            return broken;
        if (result == NULL)
            return err;
        status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
            if (!err)
                err = postgres_error(-EIO, PQresultErrorMessage(result));
        } else if (is_null != NULL) {
            *is_null = PQntuples(result) == 0 || PQgetisnull(result, 0, 0);
        }
        PQclear(result);
    }
}

/* ---- Names ---- */

/* What libpq is told besides the URL: the host, once for each of its addresses, and these. */
struct addresses {
    struct buffer hosts, numbers; /* "a,a", "::1,127.0.0.1"; empty: it needs none */
};

static int add_address(struct addresses *ret, const char *host, const char *number)
{
    const char *comma = ret->hosts.size > 0 ? "," : "";

    if (buffer_append(&ret->hosts, comma, strlen(comma)) < 0 ||
        buffer_append(&ret->hosts, host, strlen(host)) < 0 ||
        buffer_append(&ret->numbers, comma, strlen(comma)) < 0 ||
        buffer_append(&ret->numbers, number, strlen(number)) < 0)
        return conc_raise(-ENOMEM, "PostgreSQL: out of memory");
    return 0;
}

static int look_up(const char *host, struct addresses *ret, conc_deadline deadline)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    char number[INET6_ADDRSTRLEN + 16]; /* and a scope */
    int err = conc_getaddrinfo(host, NULL, &hints, &list, deadline);

    if (err == -ETIMEDOUT || err == -ECANCELED)
        return wait_error(err);
    if (err)
        return conc_raise(err, "PostgreSQL: %.100s: %s", host,
                          err == -ENOENT ? "no such host" : conc_strerror(err));
    for (const struct addrinfo *a = list; a != NULL && !err; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, number, sizeof number, NULL, 0,
                        NI_NUMERICHOST) == 0)
            err = add_address(ret, host, number);
    freeaddrinfo(list);
    return err;
}

/* The addresses of the URL's host, if it has one by name. (Several hosts, or one from the
 * environment, are left to libpq.) */
static int find_addresses(const char *url, struct addresses *ret, conc_deadline deadline)
{
    char *problem = NULL;
    const char *host = NULL, *given = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &problem);
    int err = 0;

    if (options == NULL) {
        /* What is wrong, but not the part of the URL that is quoted behind it: there may be a
         * password in it. */
        const char *what = problem != NULL ? problem : "out of memory";
        size_t length = strcspn(what, "\"\n");

        while (length > 0 && strchr(": ", what[length - 1]) != NULL)
            length--;
        err = conc_raise(-EINVAL, "PostgreSQL: the URL: %.*s", (int)length, what);
        PQfreemem(problem);
        return err;
    }
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "host") == 0)
            host = o->val;
        if (strcmp(o->keyword, "hostaddr") == 0)
            given = o->val;
    }
    if (given == NULL && host != NULL && *host != '\0' && strpbrk(host, "/@,") == NULL)
        err = look_up(host, ret, deadline);
    PQconninfoFree(options);
    return err;
}

/* ---- The connection ---- */

static void ignore_notice(void *arg, const PGresult *result) {}

/* libpq's own state machine, with our waits. It may change the socket between two steps. */
static int finish_connecting(struct postgres *p)
{
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;

    while (want != PGRES_POLLING_OK) {
        int err = 0;

        if (want == PGRES_POLLING_FAILED || PQsocket(p->connection) < 0)
            return connection_error(p);
        err = wait_for(p, want == PGRES_POLLING_READING ? POLLIN : POLLOUT);
        if (err)
            return err;
        want = PQconnectPoll(p->connection);
    }
    if (PQsetnonblocking(p->connection, 1) != 0)
        return connection_error(p);
    return 0;
}

static int connect_to(struct postgres *p, const char *url)
{
    struct addresses found = {.hosts = {0}};
    const char *keys[] = {"dbname", "client_encoding", "fallback_application_name", NULL, NULL,
                          NULL};
    const char *values[] = {url, "UTF8", "sensors", NULL, NULL, NULL};
    int err = find_addresses(url, &found, p->db.deadline);

    if (err)
        goto out;
    if (buffer_terminate(&found.hosts) < 0 || buffer_terminate(&found.numbers) < 0) {
        err = conc_raise(-ENOMEM, "PostgreSQL: out of memory");
        goto out;
    }
    if (found.hosts.size > 0) {
        keys[3] = "host";
        values[3] = found.hosts.data;
        keys[4] = "hostaddr";
        values[4] = found.numbers.data;
    }
    p->connection = PQconnectStartParams(keys, values, 1);
    if (p->connection == NULL)
        err = conc_raise(-ENOMEM, "PostgreSQL: out of memory");
    else if (PQstatus(p->connection) == CONNECTION_BAD)
        err = connection_error(p);
out:
    buffer_free(&found.hosts);
    buffer_free(&found.numbers);
    if (err)
        return err;
    PQsetNoticeReceiver(p->connection, ignore_notice, NULL);
    return finish_connecting(p);
}

static int begin(struct postgres *p)
{
    bool missing = false;
    int err = execute(p, "BEGIN", NULL, 0, NULL);

    if (err)
        return err;
    err = execute(p, LOCK, NULL, 0, NULL);
    if (err)
        return err;
    err = execute(p, LOOK, NULL, 0, &missing);
    if (err)
        return err;
    return missing ? execute(p, CREATE, NULL, 0, NULL) : 0;
}

/* ---- As a database ---- */

static void postgres_close(struct db *db)
{
    struct postgres *p = (struct postgres *)db;

    PQfinish(p->connection); /* what was not committed is rolled back */
    free(p);
}

static int postgres_open(struct db **ret, const char *url, const char *rest, conc_deadline deadline)
{
    struct postgres *p = calloc(1, sizeof *p);
    int err;

    if (p == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    p->db = (struct db){&DB_POSTGRES, deadline};
    err = connect_to(p, url);
    if (err)
        goto fail;
    err = begin(p);
    if (err)
        goto fail;
    *ret = &p->db;
    return 0;

fail:
    postgres_close(&p->db);
    return err;
}

static int postgres_add(struct db *db, const char *server, const struct data_point *point,
                        const char *when)
{
    const char *const values[INSERT_VALUES] = {point->sensor_name, when, server, point->data};

    return execute((struct postgres *)db, INSERT, values, INSERT_VALUES, NULL);
}

/* In a shield: a caller that stopped waiting for this answer would not know whether the rows were
 * written. */
static int postgres_commit(struct db *db)
{
    conc_scope shield;
    char why[CONC_MESSAGE_MAX];
    int err = conc_check_cancel();

    if (err)
        return err;
    conc_shield_enter(&shield);
    err = execute((struct postgres *)db, "COMMIT", NULL, 0, NULL);
    conc_shield_exit(&shield);
    if (!err)
        return 0;
    snprintf(why, sizeof why, "%s", conc_describe(err));
    if (PQstatus(((struct postgres *)db)->connection) == CONNECTION_OK && err != -ETIMEDOUT)
        return conc_raise(err, "%s", why); /* it has answered: no */
    return conc_raise(err, "%.160s: perhaps all was written, perhaps nothing", why);
}

static const char *const PREFIXES[] = {"postgresql://", "postgres://", NULL};

const struct db_kind DB_POSTGRES = {
    .prefixes = PREFIXES,
    .blocks = false,
    .open = postgres_open,
    .add = postgres_add,
    .commit = postgres_commit,
    .close = postgres_close,
};
