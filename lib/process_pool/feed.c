/* SPDX-License-Identifier: MIT
 *
 * feed.c: giving jobs to the workers of a process pool.
 *
 * Jobs are given by the *feeder*: a context that submits, or the manager when there is room
 * again. There is one feeder at a time; a context that wants to feed meanwhile leaves a note
 * (feed_again). So a job gets into its ring without a trip to another thread, no context waits
 * for another, and nothing is copied under the guard. An argument that is larger than the ring
 * stays unfinished (`writing`) until the worker has made room; then the worker wakes the
 * manager, which goes on.
 *
 * A worker may have jobs ahead, or it would wait for the next job each time. How many depends on
 * how long jobs have lately taken (none if that is near a millisecond) and on how many are
 * waiting. When another worker has nothing to do and the queue is empty, the jobs ahead are
 * taken back: `turn` counts the records that a worker has begun, and the worker counts by
 * compare-and-swap. The program sets TURN_REVOKED there, also by compare-and-swap, and only if
 * the first of the records ahead is the next. The worker then throws away the records before
 * `revoked_to`.
 */
#include "base/checkers.h"
#include "base/clock.h"
#include "base/futex.h"
#include "base/invariant.h"
#include "process_pool/pool_impl.h"

enum {
    FUNCTION_ALIGN = 16, /* bytes: compilers begin functions at multiples of it */
    FEED_CROWD = 8, /* waiting jobs for each worker that let a worker have one more job ahead */
};

/* How many jobs a worker may have at once, by how long they take on average: the longer, the
 * less the wait for the next job matters. */
#define FEED_ONE_FROM CONC_US(800) /* 1 */
#define FEED_TWO_FROM CONC_US(200) /* 2 */
#define FEED_FOUR_FROM CONC_US(30) /* 4; WINDOW_MAX if they are shorter */

/* ---- The queue, under the guard ---- */

/* The next job, claimed. Jobs that must not begin any more are chained into *dropped. NULL:
 * there is none. */
static conc_future *feed_dequeue(struct process_pool *pool, conc_future **dropped)
{
    conc_future *job;
    if (pool->returned)
        return job_chain_pop(&pool->returned);
    while ((job = job_queue_pop(&pool->queue))) {
        if (conc_job_claim(job))
            return job;
        job->link = *dropped;
        *dropped = job;
    }
    return NULL;
}

/* ---- Which worker gets something, under the guard ---- */

/* How many jobs a worker may have. A job that it has ahead can no longer be cancelled, so it is
 * only given where that pays: when there are many short jobs. */
static size_t feed_window(const struct process_pool *pool)
{
    const int64_t ns = pool->typical;
    const size_t by_queue = 1 + pool->queue.length / (FEED_CROWD * pool->n);
    size_t by_time = WINDOW_MAX;
    if (ns == 0 || ns > FEED_ONE_FROM)
        by_time = 1;
    else if (ns > FEED_TWO_FROM)
        by_time = 2;
    else if (ns > FEED_FOUR_FROM)
        by_time = 4;
    return by_time < by_queue ? by_time : by_queue;
}

static bool feed_is_open(const struct process_pool *pool, const struct pool_worker *w)
{
    return load_relaxed(&w->state) == WORKER_ALIVE && !w->writing &&
           !(pool->max_jobs && w->jobs >= pool->max_jobs);
}

static void feed_look_for_revoked(struct pool_worker *w)
{
    if (w->revoking && !(load_acquire(&w->lane->turn) & TURN_REVOKED))
        w->revoking = false;
}

/* The worker with the fewest jobs, if it may have one more. */
static struct pool_worker *feed_worker_for_job(struct process_pool *pool)
{
    struct pool_worker *best = NULL;
    for (size_t i = 0; i < pool->n; i++) {
        struct pool_worker *w = &pool->workers[i];
        if (!feed_is_open(pool, w))
            continue;
        feed_look_for_revoked(w);
        if (w->n_given < (w->revoking ? 1 : feed_window(pool)) &&
            (!best || w->n_given < best->n_given))
            best = w;
    }
    return best;
}

/* Take back the jobs that the worker has ahead, if it has begun just the first. */
static bool feed_take_back(struct process_pool *pool, struct pool_worker *w)
{
    uint32_t begun = (w->sent - (uint32_t)w->n_given + 1) & TURN_MASK, turn = begun;
    if (w->writing || w->revoking || w->n_given < 2)
        return false;
    store_relaxed(&w->lane->revoked_to, w->sent); /* relaxed: the swap releases */
    do {
        if (turn != begun)
            return false;
    } while (!cas_release(&w->lane->turn, &turn, begun | TURN_REVOKED));
    w->revoking = true;
    w->jobs -= w->n_given - 1;
    while (w->n_given > 1) {
        conc_future *job = w->given[(w->first + --w->n_given) % WINDOW_MAX];
        job->link = pool->returned;
        pool->returned = job;
    }
    return true;
}

/* If a worker is idle while others have jobs ahead: take back those of one of them. */
static bool feed_take_back_for_idle(struct process_pool *pool)
{
    bool idle = false;
    for (size_t i = 0; i < pool->n; i++)
        idle |= feed_is_open(pool, &pool->workers[i]) && !pool->workers[i].n_given;
    for (size_t i = 0; idle && i < pool->n; i++)
        if (feed_take_back(pool, &pool->workers[i]))
            return true;
    return false;
}

static void feed_give(struct pool_worker *w, conc_future *job)
{
    invariant(w->n_given < WINDOW_MAX && !w->writing, "a worker that gets a job has room for it");
    if (!w->n_given)
        w->began = conc_now();
    w->given[(w->first + w->n_given++) % WINDOW_MAX] = job;
    w->jobs++;
    w->sent = (w->sent + 1) & TURN_MASK;
    w->writing = true;
    w->job = job;
    w->record.kind = RECORD_JOB;
    w->written = 0;
}

static void feed_tell_to_quit(struct pool_worker *w)
{
    store_relaxed(&w->state, WORKER_LEAVING); /* relaxed: for the manager a hint */
    w->sent = (w->sent + 1) & TURN_MASK;
    w->writing = true;
    w->job = NULL;
    w->record = (struct record){.kind = RECORD_QUIT};
    w->path = "";
    w->written = 0;
}

/* How many bytes are still to be written. */
static size_t feed_unwritten(const struct pool_worker *w)
{
    return sizeof w->record + w->record.path_size + (w->job ? w->job->arg_size : 0) - w->written;
}

static bool feed_can_go_on(const struct pool_worker *w)
{
    const size_t left = feed_unwritten(w);
    return ring_room(&w->out) >= (left < RING_PIECE ? left : RING_PIECE);
}

/* The worker that the feeder writes to next: one whose record can go on; else one that may have a
 * job, which it is given; else one that is to quit. NULL: there is nothing to do. */
static struct pool_worker *feed_choose(struct process_pool *pool, conc_future **dropped)
{
    if (pool->broken)
        return NULL;
    for (size_t i = 0; i < pool->n; i++)
        if (pool->workers[i].writing && feed_can_go_on(&pool->workers[i]))
            return &pool->workers[i];
    struct pool_worker *w = NULL;
    if (!job_queue_is_empty(&pool->queue) || pool->returned || feed_take_back_for_idle(pool)) {
        conc_future *job = (w = feed_worker_for_job(pool)) ? feed_dequeue(pool, dropped) : NULL;
        if (job) {
            feed_give(w, job);
            return w;
        }
    }
    const bool no_more = pool->closed && job_queue_is_empty(&pool->queue) && !pool->returned;
    for (size_t i = 0; i < pool->n; i++) {
        w = &pool->workers[i];
        bool is_done = no_more || (pool->max_jobs && w->jobs >= pool->max_jobs);
        if (load_relaxed(&w->state) == WORKER_ALIVE && !w->writing && !w->n_given && is_done) {
            feed_tell_to_quit(w);
            return w;
        }
    }
    return NULL;
}

/* Before the feeder stops: let the workers that make room for an unfinished record wake the
 * manager. False: one has made room already. */
static bool feed_leave_to_manager(struct process_pool *pool)
{
    for (size_t i = 0; i < pool->n && !pool->broken; i++) {
        struct pool_worker *w = &pool->workers[i];
        uint32_t tail = w->writing ? load_acquire(&w->out.ring->tail) & RING_MASK : 0;
        if (w->writing && (feed_can_go_on(w) || !ring_fall_asleep(&w->out.ring->tail, tail)))
            return false;
    }
    return true;
}

/* ---- Writing records: only the feeder ---- */

/* Where the function lies; a few are remembered. NULL: *err says why not. */
static const struct known_code *feed_find_code(struct process_pool *pool, conc_fn *fn, int *err)
{
    struct known_code *known = &pool->code[(uintptr_t)fn / FUNCTION_ALIGN % CODE_KNOWN_MAX];
    struct code_place place;
    *err = -EINVAL;
    if (known->fn == fn)
        return known;
    if (conc__code_find(fn, &place))
        return NULL;
    uint32_t i = 0;
    while (i < pool->n_objects && strcmp(pool->objects[i], place.path) != 0)
        i++;
    if (i == OBJECTS_MAX)
        return NULL;
    if (i == pool->n_objects) {
        char *copy = alloc_bytes(strlen(place.path) + 1);
        if (!copy) {
            *err = -ENOMEM;
            return NULL;
        }
        strcpy(copy, place.path);
        pool->objects[pool->n_objects++] = copy;
    }
    *known = (struct known_code){fn, i, (uintptr_t)fn - place.base, pool->objects[i]};
    return known;
}

static void feed_prepare(struct process_pool *pool, struct pool_worker *w)
{
    int err;
    const struct known_code *code = feed_find_code(pool, w->job->fn, &err);
    w->record = (struct record){.kind = RECORD_JOB,
                                .arg_is_bytes = w->job->arg_is_bytes,
                                .arg_size = w->job->arg_size,
                                .result_size = future_asked_size(w->job)};
    w->path = "";
    if (!code) { /* the worker will report the error */
        w->record.object = OBJECTS_MAX;
        w->record.offset = (uint64_t)-err;
        return;
    }
    w->record.object = code->object;
    w->record.offset = code->offset;
    w->path = code->path;
    if (!(w->announced >> code->object & 1))
        w->record.path_size = (uint32_t)strlen(code->path) + 1;
    w->announced |= UINT64_C(1) << code->object;
}

/* Let the worker see what was written. After this the job may be done, and its future freed. */
static void feed_publish(struct pool_worker *w)
{
    TSAN_RELEASE(w); /* TSan cannot see the way through the other process */
    if (ring_publish(&w->out.ring->head, w->out.at))
        conc__futex_wake_shared(&w->out.ring->head, 1);
}

/* Write as much as there is room for of this part, which begins at *at of the whole record, and
 * move *at behind it. True: the part is complete. */
static bool feed_write_part(struct pool_worker *w, const void *part, size_t size, size_t *at)
{
    *at += size;
    while (w->written < *at) {
        size_t left = *at - w->written;
        size_t n = ring_write(&w->out, (const char *)part + (size - left), left);
        if (!n)
            return false;
        if (n == RING_PIECE)
            feed_publish(w);
        w->written += n;
    }
    return true;
}

/* Write as much of the record as there is room for. True: it is complete. */
static bool feed_write_on(struct process_pool *pool, struct pool_worker *w)
{
    size_t at = 0;
    if (!w->written && w->job)
        feed_prepare(pool, w);
    bool complete =
        feed_write_part(w, &w->record, sizeof w->record, &at) &&
        feed_write_part(w, w->path, w->record.path_size, &at) &&
        (!w->job || !w->job->arg_size || feed_write_part(w, w->job->arg, w->job->arg_size, &at));
    feed_publish(w);
    return complete;
}

/* ---- The feeder ---- */

void conc__pool_feed(struct process_pool *pool)
{
    conc_future *dropped = NULL;
    guard_lock(&pool->word);
    if (pool->feeding) {
        pool->feed_again = true;
        guard_unlock(&pool->word);
        return;
    }
    pool->feeding = true;
    for (;;) {
        pool->feed_again = false;
        struct pool_worker *w = feed_choose(pool, &dropped);
        if (!w && feed_leave_to_manager(pool))
            break;
        if (!w)
            continue;
        guard_unlock(&pool->word);
        bool complete = feed_write_on(pool, w);
        guard_lock(&pool->word);
        if (complete)
            w->writing = false;
    }
    pool->feeding = false;
    guard_unlock(&pool->word);
    job_chain_cancel(dropped);
}

void conc__pool_start_feeding(struct process_pool *pool)
{
    for (;;) {
        guard_lock(&pool->word);
        bool got = !pool->feeding;
        pool->feeding = true;
        guard_unlock(&pool->word);
        if (got)
            return;
        sched_yield(); /* the other feeder copies a few pieces at most */
    }
}

void conc__pool_stop_feeding(struct process_pool *pool)
{
    guard_lock(&pool->word);
    invariant(pool->feeding, "only the feeder stops feeding");
    pool->feeding = false;
    guard_unlock(&pool->word);
}
