/* SPDX-License-Identifier: MIT
 *
 * test_unix.c: the files of Unix sockets: what is there before one listens, and what is removed.
 */
#include "ways.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <conc/context.h>
#include <conc/net.h>
#include <conc/server.h>

static char folder[64], path[128], other[128];

static void folder_make(void)
{
    snprintf(folder, sizeof folder, "/tmp/conc_unix.XXXXXX");
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(other, sizeof other, "%s/other", folder);
}

static void folder_remove(void) { CHECK_EQUAL(rmdir(folder), 0); }

static void write_file(const char *at)
{
    int fd = open(at, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
}

static void leave_stale_socket(const char *at)
{
    int fd = conc_unix_listen(at, 0);
    CHECK(fd >= 0);
    CHECK_EQUAL(conc_close(fd), 0);
}

static void check_listens(void)
{
    int fd = conc_unix_listen(path, 0);
    CHECK(fd >= 0);
    int client = conc_unix_connect(path, CONC_FOREVER);
    CHECK(client >= 0);
    close_both((int[]){fd, client});
}

static void test_what_a_killed_process_has_left_keeps_nobody_from_listening(void)
{
    folder_make();
    check_listens(); /* nothing there */
    check_listens(); /* a stale socket */
    CHECK_EQUAL(unlink(path), 0);
    folder_remove();
}

static void check_is_refused_and_stays(void)
{
    struct stat before, after;
    CHECK_EQUAL(lstat(path, &before), 0);
    CHECK_EQUAL(conc_unix_listen(path, 0), -EADDRINUSE);
    CHECK_EQUAL(lstat(path, &after), 0);
    CHECK(before.st_ino == after.st_ino && before.st_mode == after.st_mode);
}

static void test_what_is_not_stale_stays(void)
{
    folder_make();
    int fd = conc_unix_listen(path, 0);
    check_is_refused_and_stays(); /* somebody listens */
    CHECK_EQUAL(conc_close(fd), 0);
    CHECK_EQUAL(unlink(path), 0);
    write_file(path);
    check_is_refused_and_stays();
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(mkdir(path, 0700), 0);
    check_is_refused_and_stays();
    CHECK_EQUAL(rmdir(path), 0);
    leave_stale_socket(other);
    CHECK_EQUAL(symlink(other, path), 0);
    check_is_refused_and_stays();
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(unlink(other), 0);
    folder_remove();
}

static int handle_nothing(conc_stream *stream, void *arg) { return 0; }

static int job_serve(void *arg, void *result)
{
    return conc_unix_serve(path, handle_nothing, NULL, NULL, CONC_FOREVER);
}

static conc_future *start_server(void)
{
    conc_future *f = start(job_serve, NULL, 0);
    int client;
    UNTIL((client = conc_unix_connect(path, CONC_FOREVER)) >= 0);
    CHECK_EQUAL(conc_close(client), 0);
    return f;
}

static void end_server(conc_future *f)
{
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
}

static void test_a_server_removes_at_its_end_its_own_file_alone(void)
{
    folder_make();
    end_server(start_server());
    CHECK_EQUAL(access(path, F_OK), -1);
    conc_future *f = start_server();
    CHECK_EQUAL(rename(path, other), 0);
    int fd = conc_unix_listen(path, 0); /* another server has come */
    CHECK(fd >= 0);
    end_server(f);
    int client = conc_unix_connect(path, CONC_FOREVER);
    CHECK(client >= 0);
    close_both((int[]){fd, client});
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(unlink(other), 0);
    folder_remove();
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_what_a_killed_process_has_left_keeps_nobody_from_listening),
    ON_EVERY_WAY(test_what_is_not_stale_stays),
    ON_EVERY_LOOP(test_a_server_removes_at_its_end_its_own_file_alone),
};

TEST_MAIN(tests, 60)
