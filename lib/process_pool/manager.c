/* SPDX-License-Identifier: MIT
 *
 * manager.c: the thread of a process pool that takes its results and looks after its workers.
 *
 * It takes the results that have come from each worker, then feeds. If no result came it looks
 * again a few times, yielding its core (as threads do before they sleep: wait/thread.c). Then it
 * says in each worker's ring that it sleeps, and polls its eventfd and the workers' reports.
 * While there is always something to do, it looks at the reports every REPORTS_EVERY.
 *
 * A result is read straight into the future of its job, as far as it has come; how far that is
 * stands in the worker's struct. A worker whose results make no sense is corrupted: it is
 * killed.
 *
 * When a report says that a worker has ended, the results that it had still written count. If it
 * was told to quit it may be replaced; else the pool is broken. Then the other workers are
 * killed, and the manager goes on until all have ended. While the manager is the feeder itself,
 * it may miss the notes that other contexts leave: so it feeds in each turn.
 *
 * Callbacks of jobs run in the manager, and none of the pool's jobs ends meanwhile: a callback that
 * waits for one, or for the pool's end, is told so (-EDEADLK).
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checkers.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/futex.h"
#include "base/invariant.h"
#include "base/quiet.h"
#include "process_pool/pool_impl.h"

/* The last job counts for one part of so many in the average of all. */
enum { TYPICAL_WEIGHT = 8 };

/* The longest time that a busy manager takes to notice that a worker has ended. */
#define REPORTS_EVERY CONC_MS(10)

/* ---- A worker's beginning and end ---- */

static int manager_make_lane(struct lane **ret, int *fd)
{
    int err, file = conc__fd_own(memfd_create("libconc-pool", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (file < 0)
        return file;
    err = conc__quiet_ftruncate(file, LANE_SIZE);
    if (err)
        goto failed;
    void *lane = mmap(NULL, sizeof **ret, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (lane == MAP_FAILED || fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK)) {
        err = -errno;
        goto failed;
    }
    *ret = lane;
    *fd = file;
    return 0;
failed:
    close(file);
    return err;
}

_Static_assert(POOL_OWN_FDS + CONC_PROCESS_POOL_FDS_MAX <= CONC_PIPE_FDS_MAX,
               "a worker's descriptors fit into its first message");

static int manager_start_child(struct process_pool *pool, struct pool_worker *w, size_t number,
                               int lane_fd)
{
    conc_pipe *channel;
    int fds[POOL_OWN_FDS + CONC_PROCESS_POOL_FDS_MAX] = {lane_fd, pool->wake_fd};
    struct child_start *start = pool->start.data;
    memcpy(fds + POOL_OWN_FDS, pool->fds, pool->n_fds * sizeof *fds);
    char end[24];
    snprintf(end, sizeof end, "-%zu", number);
    conc__name_join(start->name, pool->name, end);
    int err =
        conc__child_launch(&w->child, &channel, &pool->start, fds, POOL_OWN_FDS + pool->n_fds);
    if (err)
        return err;
    conc_pipe_free(channel); /* nothing else goes through it */
    return 0;
}

/* Release what the program has of the worker. One that still runs is killed. */
static void manager_close_worker(struct pool_worker *w)
{
    for (size_t i = 0; i < BLOCKS_MAX; i++)
        conc__pool_block_unref(w->blocks[i]);
    if (w->lane)
        munmap(w->lane, sizeof *w->lane);
    if (w->lane_fd >= 0)
        close(w->lane_fd);
    if (w->child.report_fd >= 0 && w->child.forks == conc__forks())
        conc__child_signal(&w->child, SIGKILL);
    conc__child_close(&w->child);
}

static void manager_put_in_place(struct process_pool *pool, struct pool_worker *w,
                                 const struct pool_worker *new, uint32_t state)
{
    guard_lock(&pool->word);
    *w = *new;
    store_relaxed(&w->state, state);
    guard_unlock(&pool->word);
}

int conc__pool_start_worker(struct process_pool *pool, struct pool_worker *w)
{
    struct pool_worker new = {.child.report_fd = -1, .lane_fd = -1};
    invariant(load_relaxed(&w->state) == WORKER_NONE, "a worker is started where there is none");
    int err = manager_make_lane(&new.lane, &new.lane_fd);
    if (err)
        return err;
    new.out.ring = &new.lane->jobs;
    new.in.ring = &new.lane->results;
    err = manager_start_child(pool, &new, (size_t)(w - pool->workers), new.lane_fd);
    if (err) {
        manager_close_worker(&new);
        return err;
    }
    manager_put_in_place(pool, w, &new, WORKER_ALIVE);
    return 0;
}

void conc__pool_close_worker(struct process_pool *pool, struct pool_worker *w)
{
    const struct pool_worker none = {.child.report_fd = -1, .lane_fd = -1};
    struct pool_worker old = *w;
    manager_put_in_place(pool, w, &none, WORKER_NONE);
    manager_close_worker(&old);
}

/* ---- Results ---- */

/* Let the worker see that there is room again for what was read. */
static void manager_publish(struct pool_worker *w)
{
    if (ring_publish(&w->in.ring->tail, w->in.at))
        conc__futex_wake_shared(&w->in.ring->tail, 1);
}

/* Read as much as has come of this part, which begins at *at of the whole result, and move *at
 * behind it. To NULL: skip it. True: the part is complete. */
static bool manager_read_part(struct pool_worker *w, void *part, size_t size, size_t *at)
{
    *at += size;
    while (w->got < *at) {
        size_t left = *at - w->got;
        size_t n = ring_read(&w->in, part ? (char *)part + (size - left) : NULL, left);
        if (!n)
            return false;
        if (n == RING_PIECE)
            manager_publish(w);
        w->got += n;
    }
    return true;
}

/* Take the job that the worker has done off its circle. */
static conc_future *manager_take_given(struct process_pool *pool, struct pool_worker *w)
{
    TSAN_ACQUIRE(w); /* see feed_publish() in feed.c */
    guard_lock(&pool->word);
    invariant(w->n_given > 0, "a worker that has done a job was given one");
    const int64_t now = conc_now(), took = now - w->began;
    conc_future *job = w->given[w->first];
    w->first = (w->first + 1) % WINDOW_MAX;
    w->n_given--;
    w->began = now;
    pool->typical += pool->typical ? (took - pool->typical) / TYPICAL_WEIGHT : took;
    guard_unlock(&pool->word);
    return job;
}

/* Does the size of a job's value make sense? */
static bool manager_size_makes_sense(const struct result *r, const conc_future *job)
{
    if (r->err)
        return r->size == 0;
    if (job->value_is_bytes)
        return r->size <= SIZE_MAX / 4;
    return r->size == job->result_size;
}

static bool manager_makes_sense(const struct pool_worker *w, const conc_future *job)
{
    const struct result *r = &w->result;
    if (r->message_size >= sizeof w->message ||
        (r->kind != RESULT_JOB && r->kind != RESULT_INIT_FAILED))
        return false;
    if (r->kind == RESULT_INIT_FAILED)
        return true;
    return job && manager_size_makes_sense(r, job) && conc__pool_block_makes_sense(w);
}

/* Take the value, as far as it has come. 1: all of it; 0: not all yet; -ENOMEM: all, but there
 * was no room for it. */
static int manager_collect_value(struct pool_worker *w, conc_future *job, size_t *at)
{
    const size_t size = w->result.size;
    if (w->result.block)
        return conc__pool_block_settle(w, job) ? 1 : -ENOMEM;
    if (!w->has_room) {
        w->value = conc__future_room(job, size);
        w->has_room = true;
    }
    if (!manager_read_part(w, w->value, size, at))
        return 0;
    w->has_room = false;
    return size && !w->value ? -ENOMEM : 1;
}

/* Take the results that have come. 1: something has; 0: nothing; -EBADMSG: it makes no sense;
 * -CONC_EBROKEN: the worker could not be initialised. */
static int manager_collect(struct process_pool *pool, struct pool_worker *w)
{
    const uint32_t before = w->in.at;
    for (;;) {
        size_t at = 0;
        if (!manager_read_part(w, &w->result, sizeof w->result, &at))
            break;
        guard_lock(&pool->word);
        conc_future *job = w->n_given ? w->given[w->first] : NULL;
        guard_unlock(&pool->word);
        if (!manager_makes_sense(w, job))
            return -EBADMSG;
        if (!manager_read_part(w, w->message, w->result.message_size, &at))
            break;
        w->message[w->result.message_size] = '\0';
        if (w->result.kind == RESULT_INIT_FAILED)
            return -CONC_EBROKEN;
        int err = w->result.err < 0 ? w->result.err : 0;
        int there = err ? 1 : manager_collect_value(w, job, &at);
        if (!there)
            break;
        w->got = 0;
        job = manager_take_given(pool, w);
        conc__future_settle(job, there < 0 ? there : err, w->message);
        conc_future_unref(job);
    }
    if (w->in.at == before)
        return 0;
    manager_publish(w);
    return 1;
}

/* ---- Breaking ---- */

static conc_future *manager_take_all_jobs(struct process_pool *pool)
{
    conc_future *all = job_queue_take_all(&pool->queue);
    while (pool->returned) {
        conc_future *job = job_chain_pop(&pool->returned);
        job->link = all;
        all = job;
    }
    for (size_t i = 0; i < pool->n; i++) {
        struct pool_worker *w = &pool->workers[i];
        for (; w->n_given; w->n_given--, w->first = (w->first + 1) % WINDOW_MAX) {
            w->given[w->first]->link = all;
            all = w->given[w->first];
        }
        w->writing = false;
    }
    return all;
}

static void manager_break_pool(struct process_pool *pool, const char *message)
{
    conc__pool_start_feeding(pool);
    guard_lock(&pool->word);
    pool->broken = pool->closed = true;
    snprintf(pool->why, sizeof pool->why, "%s", message);
    conc_future *jobs = manager_take_all_jobs(pool);
    guard_unlock(&pool->word);
    conc__pool_stop_feeding(pool);
    for (size_t i = 0; i < pool->n; i++)
        if (load_relaxed(&pool->workers[i].state) != WORKER_NONE)
            conc__child_signal(&pool->workers[i].child, SIGKILL);
    while (jobs) {
        conc_future *job = jobs;
        jobs = job->link;
        if (conc__future_claim(job, NULL) || conc_future_is_running(job))
            conc__future_settle(job, -CONC_EBROKEN, message);
        else
            future_cancel_pending(job); /* it must not begin any more */
        conc_future_unref(job);
    }
}

static void manager_break_by_init(struct process_pool *pool, const struct pool_worker *w)
{
    char message[CONC_MESSAGE_MAX];
    snprintf(message, sizeof message, "the initialiser of a worker failed: %.200s (%d)",
             w->message[0] ? w->message : conc_strerror(w->result.err), w->result.err);
    manager_break_pool(pool, message);
}

static void manager_break_by_death(struct process_pool *pool, const struct pool_worker *w,
                                   const char *how)
{
    char message[CONC_MESSAGE_MAX];
    snprintf(message, sizeof message, "worker %d %.200s", (int)w->child.pid, how);
    manager_break_pool(pool, message);
}

/* ---- Reports ---- */

static void manager_replace(struct process_pool *pool, struct pool_worker *w)
{
    char message[CONC_MESSAGE_MAX];
    int err = conc__pool_start_worker(pool, w);
    if (err) {
        snprintf(message, sizeof message, "a worker could not be replaced: %.200s",
                 conc_describe(err));
        manager_break_pool(pool, message);
        return;
    }
    guard_lock(&pool->word);
    const int signo = pool->signo;
    guard_unlock(&pool->word);
    if (signo) /* the worker was not there yet when the others were sent it */
        conc__child_signal(&w->child, signo);
}

static void manager_end_worker(struct process_pool *pool, struct pool_worker *w, bool lost,
                               int status)
{
    char how[CONC_MESSAGE_MAX / 2] = "was lost: the fork server has ended";
    int said = 0;
    while (!pool->broken && (said = manager_collect(pool, w)) > 0)
        continue;
    if (!lost)
        conc__child_words(how, sizeof how, status);
    guard_lock(&pool->word);
    bool expected = load_relaxed(&w->state) == WORKER_LEAVING && !lost && !status;
    bool more = !pool->closed || !job_queue_is_empty(&pool->queue) || pool->returned;
    guard_unlock(&pool->word);
    if (!expected && !pool->broken && said == -CONC_EBROKEN)
        manager_break_by_init(pool, w);
    else if (!expected && !pool->broken)
        manager_break_by_death(pool, w, how);
    conc__pool_start_feeding(pool); /* the feeder may still be writing to it */
    conc__pool_close_worker(pool, w);
    conc__pool_stop_feeding(pool);
    if (expected && more && !pool->broken)
        manager_replace(pool, w);
}

static void manager_look_at_reports(struct process_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) {
        struct pool_worker *w = &pool->workers[i];
        struct report r;
        int there = load_relaxed(&w->state) == WORKER_NONE ? 0 : conc__child_report(&w->child, &r);
        if (there < 0 || (there && r.kind == REPORT_ENDED))
            manager_end_worker(pool, w, there < 0, there < 0 ? 0 : r.value);
    }
}

/* ---- The loop ---- */

/* Take the results of all workers. True: something has come. */
static bool manager_collect_all(struct process_pool *pool)
{
    bool any = false;
    for (size_t i = 0; i < pool->n && !pool->broken; i++) {
        struct pool_worker *w = &pool->workers[i];
        int said = load_relaxed(&w->state) == WORKER_NONE ? 0 : manager_collect(pool, w);
        any |= said > 0;
        if (said == -CONC_EBROKEN)
            manager_break_by_init(pool, w);
        else if (said < 0)
            conc__child_signal(&w->child, SIGKILL);
    }
    return any;
}

static bool manager_has_results(const void *arg)
{
    const struct process_pool *pool = arg;
    for (size_t i = 0; i < pool->n; i++) {
        const struct pool_worker *w = &pool->workers[i];
        if (load_relaxed(&w->state) != WORKER_NONE && load_relaxed(&w->in.ring->head) != w->in.at)
            return true; /* relaxed: reading it acquires */
    }
    return false;
}

/* Tell the workers that the manager sleeps. False: one has written meanwhile. */
static bool manager_fall_asleep(const struct process_pool *pool)
{
    bool asleep = true;
    for (size_t i = 0; i < pool->n && asleep; i++) {
        const struct pool_worker *w = &pool->workers[i];
        asleep =
            load_relaxed(&w->state) == WORKER_NONE || ring_fall_asleep(&w->in.ring->head, w->in.at);
    }
    return asleep;
}

/* Tell the workers that it does not sleep any more. */
static void manager_wake_up(const struct process_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++)
        if (load_relaxed(&pool->workers[i].state) != WORKER_NONE)
            fetch_and_release(&pool->workers[i].in.ring->head, RING_MASK);
}

static void manager_sleep(struct process_pool *pool)
{
    struct pollfd *fds = pool->polled;
    eventfd_t count;
    fds[pool->n] = (struct pollfd){.fd = pool->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < pool->n; i++)
        fds[i] = (struct pollfd){.fd = pool->workers[i].child.report_fd, .events = POLLIN};
    struct conc_context *self = context_self();
    conc__blocked_begin(self, "work", pool, NULL);
    if (manager_fall_asleep(pool))
        poll(fds, pool->n + 1, -1);
    conc__blocked_end(self);
    manager_wake_up(pool);
    eventfd_read(pool->wake_fd, &count); /* it fails if nobody has written */
}

static bool manager_has_workers(const struct process_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++)
        if (load_relaxed(&pool->workers[i].state) != WORKER_NONE)
            return true;
    return false;
}

static void manager_finish(struct process_pool *pool)
{
    guard_lock(&pool->word);
    pool->is_over = true;
    struct conc__waiter *closers = waitlist_take_all(&pool->closers);
    guard_unlock(&pool->word);
    conc__waiter_deliver_all(closers, 0);
}

static void manager_go_on(struct process_pool **pool);

static void manager_run(struct process_pool *p)
{
    struct process_pool *pool __attribute__((cleanup(manager_go_on))) = p;
    struct spinner spinner = {0};
    int64_t looked = 0;
    while (manager_has_workers(pool)) {
        bool any = manager_collect_all(pool);
        conc__pool_feed(pool);
        if (!any && !spinner_wait(&spinner, &pool_spin_limits, manager_has_results, pool)) {
            manager_sleep(pool);
            looked = 0;
        }
        if (conc_now() - looked > REPORTS_EVERY) {
            manager_look_at_reports(pool);
            looked = conc_now();
        }
    }
}

/* If a callback has ended the thread (pthread_exit()) the pool still needs it: it ends later. */
static void manager_go_on(struct process_pool **pool)
{
    if (manager_has_workers(*pool))
        manager_run(*pool);
    else
        manager_finish(*pool);
}

void *conc__pool_manager(void *arg)
{
    struct process_pool *pool = arg;
    char name[CONC_NAME_MAX];
    conc__name_join(name, pool->name, "-manager");
    conc_context_set_name(name);
    context_self()->holds_up = &pool->base; /* its callbacks must not wait for the pool */
    manager_run(pool);
    return NULL;
}
