/* SPDX-License-Identifier: MIT
 *
 * test_file_storm.c: threads and tasks make, read, write, open and remove files, with deadlines and
 * cancellations at any moment: either a file is changed and the call says so, or it is not changed.
 */
#include "storms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <conc/io.h>

enum { CLERKS = 6, ERRANDS = 60, PAGE = 1024 };

struct clerk {
    struct caller caller;
    char directory[64], file[64];
    int fd; /* of the file */
    bool ended;
};

static ssize_t change_directory(struct clerk *k, bool there, conc_deadline deadline)
{
    return there ? conc_rmdir(k->directory, deadline) : conc_mkdir(k->directory, 0700, deadline);
}

/* Make it, or remove it: or nothing has happened. */
static void do_directory(struct clerk *k)
{
    bool there = access(k->directory, F_OK) == 0;
    conc_scope scope;
    begin_call(&k->caller, &scope);
    ssize_t result = change_directory(k, there, some_deadline(&k->caller.random));
    bool changed = end_call(&k->caller, &scope, result);
    CHECK_EQUAL(access(k->directory, F_OK) == 0, there != changed);
}

static void do_write(struct clerk *k)
{
    unsigned char buf[PAGE], before[PAGE], after[PAGE];
    unsigned char value = (unsigned char)test_random_next(&k->caller.random);
    CHECK_EQUAL(pread(k->fd, before, PAGE, 0), PAGE);
    memset(buf, value, PAGE);
    conc_scope scope;
    begin_call(&k->caller, &scope);
    ssize_t n = conc_pwrite(k->fd, buf, PAGE, 0, some_deadline(&k->caller.random));
    size_t written = end_call(&k->caller, &scope, n) ? (size_t)n : 0;
    memset(buf, POISON, PAGE);
    CHECK_EQUAL(pread(k->fd, after, PAGE, 0), PAGE);
    CHECK(is_all(after, written, value));
    CHECK(!memcmp(after + written, before + written, PAGE - written));
}

static void do_read(struct clerk *k)
{
    unsigned char buf[PAGE], there[PAGE];
    CHECK_EQUAL(pread(k->fd, there, PAGE, 0), PAGE);
    memset(buf, UNTOUCHED, PAGE);
    conc_scope scope;
    begin_call(&k->caller, &scope);
    ssize_t n = conc_pread(k->fd, buf, PAGE, 0, some_deadline(&k->caller.random));
    size_t got = end_call(&k->caller, &scope, n) ? (size_t)n : 0;
    CHECK(!memcmp(buf, there, got));
    CHECK(is_all(buf + got, PAGE - got, UNTOUCHED));
}

/* A descriptor that is made is given: the test's end counts them. */
static void do_open(struct clerk *k)
{
    struct stat st;
    conc_scope scope;
    begin_call(&k->caller, &scope);
    int fd = conc_open(k->file, O_RDWR, 0, some_deadline(&k->caller.random));
    if (end_call(&k->caller, &scope, fd)) {
        CHECK_EQUAL(fstat(fd, &st), 0);
        CHECK_EQUAL(st.st_size, PAGE);
        CHECK_EQUAL(conc_close(fd), 0);
    }
}

static int job_errands(void *arg, void *result)
{
    static void (*const errands[])(struct clerk *) = {do_directory, do_write, do_read, do_open};
    struct clerk *k = *(struct clerk **)arg;
    for (int i = 0; i < ERRANDS; i++)
        errands[test_random_below(&k->caller.random, 4)](k);
    __atomic_store_n(&k->ended, true, __ATOMIC_RELEASE);
    return 0;
}

static void employ(struct clerk *k, struct test_random *random, const char *folder, int number)
{
    const char zeros[PAGE] = "";
    k->caller.random.state = test_random_next(random);
    snprintf(k->directory, sizeof k->directory, "%s/d%d", folder, number);
    snprintf(k->file, sizeof k->file, "%s/f%d", folder, number);
    k->fd = conc_open(k->file, O_RDWR | O_CREAT | O_EXCL, 0600, CONC_FOREVER);
    CHECK(k->fd >= 0);
    CHECK_EQUAL(conc_write_all(k->fd, zeros, PAGE, CONC_FOREVER), 0);
}

static void dismiss(struct clerk *k)
{
    CHECK_EQUAL(conc_close(k->fd), 0);
    CHECK_EQUAL(conc_unlink(k->file, CONC_FOREVER), 0);
    (void)rmdir(k->directory);
}

static void office_round(struct test_random *random)
{
    char folder[] = "/tmp/test_io_storm.XXXXXX";
    struct clerk clerks[CLERKS] = {0};
    conc_future *f[CLERKS];
    CHECK(mkdtemp(folder) != NULL);
    for (int i = 0; i < CLERKS; i++) {
        struct clerk *k = &clerks[i];
        employ(k, random, folder, i);
        f[i] = run_somewhere(random, job_errands, &k, sizeof k);
    }
    for (int i = 0; i < CLERKS; i++) {
        while (!__atomic_load_n(&clerks[i].ended, __ATOMIC_ACQUIRE)) {
            cancel_call(&clerks[test_random_below(random, CLERKS)].caller);
            conc_sleep((int64_t)test_random_below(random, CONC_US(50)));
        }
        CHECK_EQUAL(end_of(f[i]), 0);
        dismiss(&clerks[i]);
    }
    CHECK_EQUAL(rmdir(folder), 0);
}

static void test_every_file_is_changed_or_it_is_not(void) { storm(2, office_round); }

/* Where the body itself runs; the storm is everywhere. */
static const struct CMUnitTest tests[] = {
    ON_WAY(test_every_file_is_changed_or_it_is_not, ON_THREADS, "all"),
};

TEST_MAIN(tests, 90)
