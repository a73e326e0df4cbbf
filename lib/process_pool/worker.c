/* SPDX-License-Identifier: MIT
 *
 * worker.c: a worker of a process pool, in its own process.
 *
 * It is one loop: read a record from the ring of jobs, begin it, run it, write its end into the
 * ring of results. Before it sleeps it yields its core for a while and looks again, as threads
 * do (wait/thread.c): waking a process on another core takes many times as long as a small job.
 *
 * A record is begun by counting it in `turn`. If the program has revoked it before (feed.c), it
 * and all records behind it that were revoked are read and thrown away.
 *
 * The worker need not look whether the program or the fork server still lives: it is killed when
 * one of them ends.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/futex.h"
#include "base/invariant.h"
#include "process_pool/pool_impl.h"

static struct {
    struct lane *lane;
    int wake_fd;
    struct ring_end in, out;
    uint32_t forks;
    jmp_buf serving; /* where it begins to serve */
    struct spinner spinner;
    uintptr_t bases[OBJECTS_MAX];
    bool known[OBJECTS_MAX]; /* which of `bases` are set */
} worker;

/* ---- Waiting ---- */

struct worker_position {
    const uint32_t *word;
    uint32_t at;
};

static bool worker_has_moved(const void *arg)
{
    const struct worker_position *p = arg;
    return load_relaxed(p->word) != p->at; /* relaxed: reading the ring acquires */
}

/* Wait until the program's position is no longer `at`. */
static void worker_wait_moved(uint32_t *word, uint32_t at)
{
    static uint32_t none;
    const struct worker_position here = {word, at};
    if (worker_has_moved(&here) ||
        spinner_wait(&worker.spinner, &pool_spin_limits, worker_has_moved, &here))
        return;
    while (ring_fall_asleep(word, at))
        conc__futex_wait_shared(word, at | RING_ASLEEP, &none, 0, CONC_FOREVER);
}

/* Let the program see the position, and wake it if it sleeps. If it cannot be woken, a job has
 * closed a descriptor that is not its own: then this process ends, which the program learns. */
static void worker_publish(uint32_t *word, uint32_t at)
{
    if (ring_publish(word, at) && eventfd_write(worker.wake_fd, 1))
        _exit(1);
}

/* Read n bytes, to NULL: skip them. */
static void worker_read(void *to, size_t n)
{
    for (char *p = to; n;) {
        size_t got = ring_read(&worker.in, p, n);
        n -= got;
        p = p ? p + got : NULL;
        if (got)
            worker_publish(&worker.in.ring->tail, worker.in.at);
        else
            worker_wait_moved(&worker.in.ring->head, worker.in.at);
    }
}

/* Write n bytes, and publish all but the last piece. */
static void worker_write(const void *from, size_t n)
{
    for (const char *p = from; n;) {
        size_t put = ring_write(&worker.out, p, n);
        n -= put;
        p += put;
        if (n) /* it is long, or there is no room */
            worker_publish(&worker.out.ring->head, worker.out.at);
        if (!put)
            worker_wait_moved(&worker.out.ring->tail, (worker.out.at - RING_SIZE) & RING_MASK);
    }
}

/* ---- Jobs ---- */

/* Write the end of a job, or of the initialiser. True: the data is in a block, which is the
 * program's from now on. */
static bool worker_give_result(enum result_kind kind, int err, const char *message,
                               const void *data, size_t size)
{
    struct result r = {.kind = kind,
                       .err = err,
                       .message_size = (uint32_t)strlen(message),
                       .size = err ? 0 : size};
    if (r.size)
        r.block = conc__arena_find(data, &r.at, &r.capacity);
    worker_write(&r, sizeof r);
    worker_write(message, r.message_size);
    if (!r.block)
        worker_write(data, r.size);
    worker_publish(&worker.out.ring->head, worker.out.at);
    return r.block;
}

/* Begin the next record. False: it is revoked. */
static bool worker_begin(void)
{
    uint32_t turn = load_acquire(&worker.lane->turn);
    while (!(turn & TURN_REVOKED))
        if (cas_acquire(&worker.lane->turn, &turn, (turn + 1) & TURN_MASK))
            return true;
    return false;
}

/* Find where the function's object lies, which may be new to this process. 0, or an error with a
 * message. */
static int worker_find_object(const struct record *r)
{
    char path[PATH_MAX]; /* not cleared: it is 4 KiB, and mostly nothing is read into it */
    invariant(r->path_size <= sizeof path, "the path of an object has room");
    worker_read(path, r->path_size);
    if (r->object >= OBJECTS_MAX && r->offset == ENOMEM)
        return -ENOMEM;
    if (r->object >= OBJECTS_MAX)
        return conc_raise(-EINVAL, "the job is no function of the program or its libraries");
    if (worker.known[r->object])
        return 0;
    if (!r->path_size) /* its path came with an earlier record */
        return conc_raise(-ENOENT, "the job's library could not be loaded before");
    int err = conc__code_base(path, &worker.bases[r->object]);
    if (err)
        return err;
    worker.known[r->object] = true;
    return 0;
}

/* Make the job without its argument, but with room for it. A large result lies in a block. */
static conc_future *worker_make_job(const struct record *r, conc_fn *fn)
{
    const bool is_bytes = r->result_size == CONC_BYTES;
    void *block = is_bytes ? NULL : conc__arena_alloc(r->result_size);
    const size_t result_size = is_bytes ? sizeof(conc_bytes) : r->result_size;
    const size_t own = block ? 0 : value_align_up(result_size);
    conc_future *job = conc__job_new(fn, NULL, 0, own + r->arg_size);
    if (!job) {
        conc__arena_free(block);
        return NULL;
    }
    job->value_is_bytes = is_bytes;
    job->result_size = result_size;
    job->value = block ? block : (void *)job->data;
    job->arg_is_bytes = r->arg_is_bytes;
    job->arg_size = r->arg_size;
    job->arg = (char *)job->data + own;
    return job;
}

/* Give the job's end to the program, and with it the block that the result is in, if there is
 * one. */
static void worker_finish(conc_future *job)
{
    int err = conc_future_error(job);
    conc_bytes *bytes = job->value_is_bytes ? job->value : NULL;
    const void *data = bytes ? bytes->data : job->value;
    bool given = worker_give_result(RESULT_JOB, err, conc_future_message(job), data,
                                    bytes ? bytes->size : job->result_size);
    if (bytes && given)
        *bytes = (conc_bytes){0};
    else if (!bytes && !given)
        conc__arena_free(job->value);
    conc_future_unref(job);
}

/* The record's job cannot be run. */
static void worker_refuse(const struct record *r, int err)
{
    const char *message = conc__message_for(context_self(), err);
    worker_read(NULL, r->arg_size);
    worker_give_result(RESULT_JOB, err, message ? message : "", NULL, 0);
}

struct worker_job {
    conc_future *job;
    bool returned;
};

/* If the job has left the thread in the middle (pthread_exit()) its stack is being unwound. That
 * ends here: the worker goes on. */
static void worker_end_job(struct worker_job *here)
{
    if (conc__forks() != worker.forks) /* the job has forked, and returned in its child too */
        conc__child_exit(0);
    worker_finish(here->job);
    if (!here->returned)
        longjmp(worker.serving, 1);
}

static void worker_run(const struct record *r)
{
    int err = worker_find_object(r);
    if (err) {
        worker_refuse(r, err);
        return;
    }
    conc_future *job = worker_make_job(r, code_at(worker.bases[r->object], r->offset));
    if (!job) {
        worker_refuse(r, -ENOMEM);
        return;
    }
    worker_read(job->arg, r->arg_size);
    if (job->arg_is_bytes)
        arg_repoint(job->arg);
    struct worker_job here __attribute__((cleanup(worker_end_job))) = {.job = job};
    conc__job_execute(here.job);
    here.returned = true;
}

/* Throw away this record and all others that are revoked. */
static void worker_skip_revoked(struct record *r)
{
    const uint32_t to = load_relaxed(&worker.lane->revoked_to); /* relaxed: with `turn` */
    uint32_t turn = load_acquire(&worker.lane->turn) & TURN_MASK;
    for (;;) {
        worker_find_object(r);
        worker_read(NULL, r->arg_size);
        turn = (turn + 1) & TURN_MASK;
        if (turn == to)
            break;
        worker_read(r, sizeof *r);
    }
    store_release(&worker.lane->turn, turn);
}

static void worker_serve(void)
{
    for (;;) {
        struct record r;
        worker_read(&r, sizeof r);
        if (!worker_begin())
            worker_skip_revoked(&r);
        else if (r.kind == RECORD_QUIT)
            return;
        else
            worker_run(&r);
    }
}

static bool worker_run_init(conc_fn *init, const struct child_start *start, const void *arg)
{
    conc_future *job = conc__child_job(start, init, arg);
    if (!job) {
        worker_give_result(RESULT_INIT_FAILED, -ENOMEM, "", NULL, 0);
        return false;
    }
    conc__job_execute(job);
    int err = conc_future_error(job);
    if (err)
        worker_give_result(RESULT_INIT_FAILED, err, conc_future_message(job), NULL, 0);
    conc_future_unref(job);
    return !err;
}

/* `init` may be NULL. */
__attribute__((noreturn)) static void worker_main(conc_pipe *channel,
                                                  const struct child_start *start, conc_fn *init,
                                                  conc_bytes *message, void *arg, const int *fds,
                                                  size_t n_fds)
{
    memset(&worker, 0, sizeof worker); /* this process may be a descendant of another worker */
    invariant(n_fds >= POOL_OWN_FDS, "a worker gets its lane and what wakes the manager");
    worker.lane = mmap(NULL, sizeof *worker.lane, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (worker.lane == MAP_FAILED)
        _exit(1);
    conc__process_set_here(start->name, fds + POOL_OWN_FDS, n_fds - POOL_OWN_FDS);
    conc__arena_init(fds[0], LANE_SIZE);
    conc_pipe_free(channel);
    worker.wake_fd = fds[1];
    worker.forks = conc__forks();
    worker.in.ring = &worker.lane->jobs;
    worker.out.ring = &worker.lane->results;
    bool good = !init || worker_run_init(init, start, arg);
    conc_bytes_free(message);
    if (good) {
        setjmp(worker.serving); /* also returns when a job has left worker_serve() in the middle */
        worker_serve();
    }
    conc__child_exit(good ? 0 : 1);
}

const struct child_role conc__worker_role = {.main = worker_main, .ignores_interrupt = true};
