/* SPDX-License-Identifier: MIT
 *
 * One open file, and its one position: tasks of a loop, plain threads and another process read it,
 * or write to it, at the same time, on every file system at hand and in each mode. As with read(2)
 * and write(2), each record is read or written once, and whole.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc/executor.h>
#include <conc/future.h>
#include <conc/io.h>
#include <conc/loop.h>
#include <conc/task.h>

#include "matrix.h"
#include "mounts.h"
#include "support.h"

enum { TASKS = 4, THREADS = 2, WRITERS = TASKS + THREADS + 1, PIECES = 40, ALL = WRITERS * PIECES };

static const struct {
    const char *name;
    int flags;
    size_t record;
} modes[] = {{"buffered", 0, 64}, {"O_APPEND", O_APPEND, 64}, {"O_DIRECT", O_DIRECT, 4096}};

/* What all contexts work on; seen also by the other process. */
static struct work {
    int fd;
    size_t record;
    bool reads;
    atomic_uint begun;     /* how many contexts are there: they begin together */
    atomic_uint seen[ALL]; /* how often each record was read */
    atomic_uint wrong;     /* calls that failed, records that were none */
} * work;

/* ---- Records ---- */

/* All of a record is made of its number. */
static void record_make(unsigned *record, unsigned number)
{
    for (size_t i = 0; i < work->record / sizeof *record; i++)
        record[i] = number + 1;
}

static void record_note(const unsigned *record)
{
    unsigned number = record[0] - 1;
    for (size_t i = 1; i < work->record / sizeof *record; i++)
        if (record[i] != record[0]) {
            atomic_fetch_add(&work->wrong, 1);
            return;
        }
    atomic_fetch_add(number < ALL ? &work->seen[number] : &work->wrong, 1);
}

/* ---- Contexts ---- */

/* Its records, one after another; or those that it gets, until there are no more. */
static void transfer_records(unsigned writer, bool plainly)
{
    unsigned *record = aligned_alloc(4096, 4096);
    CHECK(record);
    atomic_fetch_add(&work->begun, 1);
    for (unsigned i = 0; work->reads || i < PIECES; i++) {
        size_t size = work->record;
        ssize_t n;
        if (!work->reads)
            record_make(record, writer * PIECES + i);
        if (work->reads)
            n = plainly ? read(work->fd, record, size)
                        : conc_read(work->fd, record, size, CONC_FOREVER);
        else
            n = plainly ? write(work->fd, record, size)
                        : conc_write(work->fd, record, size, CONC_FOREVER);
        if (n == 0 && work->reads)
            break;
        if (n != (ssize_t)size) {
            atomic_fetch_add(&work->wrong, 1);
            break;
        }
        if (work->reads)
            record_note(record);
    }
    free(record);
}

static int transfer_in_context(void *arg, void *unused)
{
    (void)unused;
    transfer_records(*(unsigned *)arg, false);
    return 0;
}

static void *transfer_in_thread(void *arg)
{
    while (!atomic_load(&work->begun))
        sched_yield();
    transfer_records((unsigned)(uintptr_t)arg, true);
    return NULL;
}

static pid_t transfer_in_process(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid)
        return pid;
    while (!atomic_load(&work->begun))
        sched_yield();
    transfer_records(WRITERS - 1, true);
    _exit(0);
}

/* ---- Running ---- */

static int await_contexts(void *executor, void *unused)
{
    conc_future *futures[TASKS];
    (void)unused;
    for (unsigned i = 0; i < TASKS; i++)
        futures[i] = conc_submit(*(conc_executor **)executor, transfer_in_context, &i, sizeof i, 0);
    for (unsigned i = 0; i < TASKS; i++) {
        CHECK_EQUAL(conc_future_wait(futures[i], CONC_FOREVER), 0);
        conc_future_unref(futures[i]);
    }
    return 0;
}

/* False: there is no such loop here. */
static bool run_contexts(enum matrix_way way)
{
    conc_executor *executor;
    if (way == WITH_THREAD) {
        CHECK_EQUAL(conc_thread_per_job_new(&executor), 0);
        await_contexts(&executor, NULL);
        CHECK_EQUAL(conc_executor_free(executor), 0);
        return true;
    }
    const conc_loop_options options = {.backend = way == WITH_URING ? CONC_BACKEND_URING
                                                                    : CONC_BACKEND_EPOLL};
    conc_loop *loop;
    CHECK_EQUAL(conc_loop_new(&loop, &options), 0);
    executor = conc_loop_executor(loop);
    conc_future *f = conc_task_start(loop, await_contexts, &executor, sizeof executor, 0, NULL);
    int err = conc_loop_run_until_complete(loop, f);
    if (err == -ENOSYS)
        conc_future_cancel(f);
    else
        CHECK_EQUAL(err, 0);
    conc_future_unref(f);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return !err;
}

static bool run_all(enum matrix_way way)
{
    pthread_t threads[THREADS];
    pid_t other = transfer_in_process();
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQUAL(
            pthread_create(&threads[i], NULL, transfer_in_thread, (void *)(uintptr_t)(TASKS + i)),
            0);
    bool there = run_contexts(way);
    atomic_fetch_add(&work->begun, 1); /* the others wait for it */
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
    int status;
    CHECK_EQUAL(waitpid(other, &status, 0), other);
    CHECK_EQUAL(status, 0);
    return there;
}

/* Once each? */
static bool records_are_right(const char *what)
{
    unsigned lost = 0, doubled = 0, wrong = atomic_load(&work->wrong);
    for (unsigned i = 0; i < ALL; i++) {
        unsigned seen = atomic_load(&work->seen[i]);
        lost += !seen;
        doubled += seen > 1;
    }
    if (lost || doubled || wrong)
        printf("# wrong: %s: of %d records %u are lost, %u doubled, %u calls are wrong\n", what,
               ALL, lost, doubled, wrong);
    return !lost && !doubled && !wrong;
}

static void work_begin(int fd, size_t record, bool reads)
{
    memset(work, 0, sizeof *work);
    work->fd = fd;
    work->record = record;
    work->reads = reads;
}

static void file_read_back(const char *path)
{
    unsigned *record = aligned_alloc(4096, 4096);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && record);
    while (read(fd, record, work->record) == (ssize_t)work->record)
        record_note(record);
    close(fd);
    free(record);
}

static bool try_to_write(const char *path, size_t mode, enum matrix_way way, const char *what)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | modes[mode].flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return true; /* not on this file system */
    work_begin(fd, modes[mode].record, false);
    bool there = run_all(way);
    off_t position = lseek(fd, 0, SEEK_CUR);
    file_read_back(path);
    close(fd);
    return !there || (records_are_right(what) && position == (off_t)(ALL * modes[mode].record));
}

/* What is to be read is not in memory, as far as that can be. */
static bool try_to_read(const char *path, size_t mode, enum matrix_way way, const char *what)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    work_begin(fd, modes[mode].record, true);
    unsigned *record = aligned_alloc(4096, 4096);
    for (unsigned i = 0; i < ALL; i++) {
        record_make(record, i);
        CHECK_EQUAL(write(fd, record, work->record), work->record);
    }
    free(record);
    fdatasync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    work->fd = fd = open(path, O_RDONLY | modes[mode].flags | O_CLOEXEC);
    if (fd < 0)
        return true;
    bool there = run_all(way); /* where there is no io_uring, the others have read it all */
    close(fd);
    (void)there;
    return records_are_right(what);
}

static void test_position(void **state)
{
    enum filesystem fs = (enum filesystem)(uintptr_t)*state;
    const char *why, *folder = mount_of(fs, &why);
    char path[160], what[160];
    unsigned wrong = 0;
    if (!folder) {
        printf("# not tried: %s: %s\n", filesystem_names[fs], why);
        return;
    }
    snprintf(path, sizeof path, "%s/position", folder);
    for (size_t mode = 0; mode < sizeof modes / sizeof *modes; mode++)
        for (int way = WITH_URING; way < N_WAYS; way++) {
            snprintf(what, sizeof what, "%s, %s, %s, writing", filesystem_names[fs],
                     modes[mode].name, way_names[way]);
            wrong += !try_to_write(path, mode, way, what);
            snprintf(what, sizeof what, "%s, %s, %s, reading", filesystem_names[fs],
                     modes[mode].name, way_names[way]);
            wrong += !try_to_read(path, mode, way, what);
        }
    unlink(path);
    assert_int_equal(wrong, 0);
}

static int work_map(void **state)
{
    (void)state;
    work = mmap(NULL, sizeof *work, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(work != MAP_FAILED);
    mounts_make();
    return 0;
}

static int work_unmap(void **state)
{
    (void)state;
    mounts_end();
    rig_folder_remove();
    return munmap(work, sizeof *work);
}

int main(void)
{
    struct CMUnitTest tests[SLOW_FUSE];
    for (size_t fs = 0; fs < SLOW_FUSE; fs++)
        tests[fs] = (struct CMUnitTest){.name = filesystem_names[fs],
                                        .test_func = test_position,
                                        .initial_state = (void *)(uintptr_t)fs};
    watchdog_start(60);
    int failed = _cmocka_run_group_tests("positions", tests, SLOW_FUSE, work_map, work_unmap);
    watchdog_stop();
    return failed;
}
