/* SPDX-License-Identifier: MIT
 *
 * test_process_early.c: processes whose fork server is a fork of the program, made while that had
 * one thread. test_process.c: the other case.
 */
#include "ways.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/generator.h>
#include <conc/io.h>
#include <conc/process.h>

#define PATIENT conc_in(CONC_S(60))

static int value = 1;
static int left_open;

static int job_value(void *arg, void *result) { return value == *(int *)arg ? 0 : -EIO; }

static void check_value_is(int expected)
{
    conc_process *p;
    CHECK_EQUAL(conc_process_start(&p, job_value, &expected, sizeof expected, NULL), 0);
    CHECK_EQUAL(conc_process_join(p, PATIENT), 0);
    conc_process_free(p);
}

/* Where every thread of the program's counts as one (a sanitizer has one of its own), the server
 * was not made by a fork: then the value is that of before main(). */
static int expected_value(void) { return value == 3 ? 2 : 1; }

static void test_job_sees_the_program_as_at_the_servers_start(void)
{
    value = 3;
    check_value_is(expected_value());
}

/* None but the standard ones is of a file. */
static int job_has_file(void *arg, void *result)
{
    struct stat st;
    for (int fd = 3; fd < 100; fd++)
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
            return conc_raise(-EIO, "descriptor %d is a file", fd);
    return 0;
}

static void test_job_has_none_of_the_programs_descriptors(void)
{
    conc_process *p;
    CHECK_EQUAL(conc_process_start(&p, job_has_file, NULL, 0, NULL), 0);
    CHECK_EQUAL(conc_process_join(p, PATIENT), 0);
    conc_process_free(p);
}

/* What was in a stream's buffer when the server was made is written once. */
static void test_buffers_are_not_written_twice(void)
{
    char text[64] = "";
    check_value_is(expected_value());
    ssize_t n = pread(left_open, text, sizeof text - 1, 0);
    CHECK_EQUAL(n, 6);
    CHECK(!strcmp(text, "before"));
}

/* ---- A server that comes too late ---- */

#define MAIN_RUNS "TEST_MAIN_RUNS" /* a descriptor, to which main() is to write then */

static void idle(void *unused) { pause(); }

/* The program has threads: so its server is the program once more. Then it ends at once. */
static void start_server_and_end(int fd)
{
    char number[16];
    struct test_thread thread;
    snprintf(number, sizeof number, "%d", fd);
    setenv(MAIN_RUNS, number, 1);
    test_thread_start(&thread, NULL, idle, NULL);
    conc_process_prepare();
    _exit(0);
}

static void test_main_never_runs_in_the_server(void)
{
    int fds[2];
    char byte;
    CHECK_EQUAL(pipe(fds), 0);
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        if (pid == 0)
            start_server_and_end(fds[1]);
        CHECK(pid > 0);
        CHECK_EQUAL(waitpid(pid, NULL, 0), pid);
    }
    close(fds[1]);
    CHECK_EQUAL(read(fds[0], &byte, 1), 0); /* all have ended, and none has written */
    close(fds[0]);
}

/* ---- A server that is wanted on a small stack ---- */

static int start_server_in_body(conc_generator *g, void *arg) { return conc_process_prepare(); }

/* One thread, and yet the server is the program once more, whose children have a stack of the usual
 * size: they see what was there before main(). */
static int start_in_generator(void *arg)
{
    conc_generator *g;
    CHECK_EQUAL(conc_generator_new(&g, start_server_in_body, NULL, 0, 0, NULL), 0);
    CHECK_EQUAL(conc_generator_next(g, NULL, CONC_FOREVER), 0);
    conc_generator_free(g);
    check_value_is(1);
    return 0;
}

static void test_a_server_that_a_generator_starts_is_no_fork_of_its_stack(void)
{
    CHECK_EQUAL(in_child(start_in_generator, NULL), 0);
}

int main(void)
{
    if (getenv(MAIN_RUNS))
        return write(atoi(getenv(MAIN_RUNS)), "!", 1) != 1;
    const struct CMUnitTest tests[] = {
        ON_EVERY_WAY(test_job_sees_the_program_as_at_the_servers_start),
        ON_EVERY_WAY(test_job_has_none_of_the_programs_descriptors),
        ON_EVERY_WAY(test_buffers_are_not_written_twice),
        ON_WAY(test_main_never_runs_in_the_server, ON_THREADS, "threads"),
        ON_WAY(test_a_server_that_a_generator_starts_is_no_fork_of_its_stack, ON_THREADS,
               "threads"),
    };
    FILE *file = tmpfile();
    value = 2;
    if (!file || fputs("before", file) < 0)
        return 1;
    left_open = fileno(file);
    if (conc_process_prepare() != 0 || conc_process_prepare() != 0)
        return 1;
    watchdog_start(60);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    fclose(file);
    return failed;
}
