/* SPDX-License-Identifier: MIT
 *
 * pool_impl.h: the process pool inside, for its files: pool.c (submitting, the end), feed.c
 * (giving jobs to workers), manager.c (results, the workers' lives), worker.c (the worker
 * itself), arena.c and block.c (large results). pool.c tells how it works.
 */
#ifndef CONC_LIB_PROCESS_POOL_POOL_IMPL_H
#define CONC_LIB_PROCESS_POOL_POOL_IMPL_H

#include <conc/executor_impl.h>
#include <conc/process_pool.h>
#include <poll.h>
#include <pthread.h>

#include "base/backoff.h"
#include "executor/job_queue.h"
#include "future/future_impl.h"
#include "process/code.h"
#include "process/spawner.h"
#include "process_pool/block.h"
#include "process_pool/ring.h"

enum {
    POOL_OWN_FDS = 2, /* the lane's file and the wake_fd: a worker gets them before the user's */
    WINDOW_MAX = 16,  /* the most jobs that a worker has at once */
    OBJECTS_MAX = 63, /* the most libraries whose place a worker remembers: bits of `announced` */
};

/* Before a worker or the manager sleeps: waking a process on another core takes many times as long
 * as a small job. One sleep in 16 is preceded by a spin even if the last ones were fruitless. */
static const struct spin_limits pool_spin_limits = {
    .yields_max = 64, .skips_max = 15, .time_max = CONC_US(100)};

/* ---- Between the processes ---- */

#define TURN_REVOKED 0x80000000u /* in `turn` */
#define TURN_MASK 0x7fffffffu

/* The memory that the program shares with one worker. */
struct lane {
    uint32_t turn;       /* how many records the worker has begun; see feed.c */
    uint32_t revoked_to; /* with TURN_REVOKED: the records before this one are not to be begun */
    char pad[56];        /* a cache line */
    struct ring jobs, results;
};

/* Of the lane's file, before there are blocks in it. */
#define LANE_SIZE ((sizeof(struct lane) + BLOCK_PAGE - 1) / BLOCK_PAGE * BLOCK_PAGE)

_Static_assert(offsetof(struct lane, revoked_to) == 4 && offsetof(struct lane, jobs) == 64 &&
                   offsetof(struct lane, results) == 64 + sizeof(struct ring) &&
                   sizeof(struct lane) == 64 + 2 * sizeof(struct ring),
               "the layout of a lane crosses processes; `turn` has a cache line");
_Static_assert(LANE_SIZE % BLOCK_UNIT == 0, "the first block begins where blocks may begin");

enum record_kind { RECORD_JOB = 1, RECORD_QUIT };

/* A job. Behind it in the ring: the path of its object, if the worker does not know that yet, then
 * its argument. */
struct record {
    uint32_t kind;
    uint32_t
        object; /* its number; OBJECTS_MAX: there is none, and `offset` is an error, positive */
    uint32_t path_size;
    uint32_t arg_is_bytes;
    uint64_t offset; /* of the function in its object */
    uint64_t arg_size;
    uint64_t result_size; /* may be CONC_BYTES */
};

_Static_assert(sizeof(struct record) == 40 && offsetof(struct record, offset) == 16,
               "a record crosses processes: it has no padding, which would be sent as it is");

enum result_kind { RESULT_JOB = 1, RESULT_INIT_FAILED };

/* The end of a job. Behind it in the ring: the message, without a zero; then the result, if
 * there is no error and no block. */
struct result {
    uint32_t kind;
    int32_t err;
    uint32_t message_size;
    uint32_t block;    /* the number of the block that the result is in; 0: it is in none */
    uint64_t size;     /* of the result */
    uint64_t at;       /* of the block in the lane's file */
    uint64_t capacity; /* of the block */
};

_Static_assert(sizeof(struct result) == 40 && offsetof(struct result, size) == 16,
               "a result crosses processes: it has no padding, which would be sent as it is");

/* ---- In the program ---- */

enum worker_state { WORKER_NONE, WORKER_ALIVE, WORKER_LEAVING };

struct pool_worker {
    struct child child;
    struct lane *lane;
    int lane_fd; /* -1: none */

    /* Under the pool's guard. */
    uint32_t state; /* enum worker_state; the manager also looks without the guard */
    bool writing;   /* a record is not completely written: the feeder goes on with it */
    bool revoking;  /* the worker has not yet seen that records were revoked */
    uint32_t sent;  /* records, modulo TURN_MASK + 1 */
    size_t jobs;    /* how many it was given in all */
    size_t first, n_given;
    /* A circle: the job that it runs, and those that it has ahead. */
    conc_future *given[WINDOW_MAX];
    int64_t began; /* when it began the one that it runs, as far as the program knows */

    /* Only the feeder's: the record that is being written. */
    struct ring_end out;
    struct record record;
    conc_future *job; /* NULL: the worker is to quit */
    const char *path;
    size_t written;     /* bytes of record, path and argument together */
    uint64_t announced; /* a bit for each object whose path the worker was sent */

    /* Only the manager's: the result that is being read. */
    struct ring_end in;
    struct result result;
    size_t got;    /* bytes of the result, the message and the data together */
    bool has_room; /* room was made for the data */
    char *value;   /* where the data goes; NULL: out of memory, it is skipped */
    char message[CONC_MESSAGE_MAX];
    struct pool_block *blocks[BLOCKS_MAX]; /* those that were used */
};

struct known_code {
    conc_fn *fn;
    uint32_t object;
    uint64_t offset;
    const char *path;
};

/* How many functions a pool remembers the place of. */
enum { CODE_KNOWN_MAX = 64 };

struct process_pool {
    struct conc_executor base;

    /* Constant. */
    size_t n;
    uint32_t forks; /* conc__forks() of the process that has made it */
    int wake_fd;    /* an eventfd that wakes the manager; the workers have it too */
    pthread_t manager;
    uint64_t manager_id; /* of the manager's context; 0: it has not begun */
    size_t max_jobs;
    size_t n_fds;
    int fds[CONC_PROCESS_POOL_FDS_MAX]; /* duplicates of those that the workers get */
    char name[CONC_NAME_MAX];
    conc_bytes start;      /* the first message to a worker; its name changes: the manager's */
    struct pollfd *polled; /* room for what the manager polls */

    uint32_t word; /* the guard of the fields down to `typical` */
    struct job_queue queue;
    conc_future *returned; /* taken back from workers: claimed, and before the queue */
    struct conc__waitlist closers;
    bool feeding;    /* some context is the feeder */
    bool feed_again; /* and has to look once more */
    bool closed, broken;
    bool is_over; /* the manager does nothing more */
    bool joined;
    char why[CONC_MESSAGE_MAX]; /* why it is broken; constant from then on */
    int signo;       /* sent to all workers, and to each that is started later; 0: none */
    int64_t typical; /* nanoseconds that a job takes, with all around it; 0: not known */

    /* Only the feeder's. */
    struct known_code code[CODE_KNOWN_MAX];
    char *objects[OBJECTS_MAX];
    uint32_t n_objects;

    struct pool_worker workers[];
};

_Static_assert(OBJECTS_MAX < 64, "`announced` has a bit for each object");
_Static_assert(offsetof(struct process_pool, base) == 0,
               "an executor of the process pool's is its struct process_pool");

/* Give jobs to workers, as far as there are both. One context at a time does that: the feeder. */
void conc__pool_feed(struct process_pool *pool);

/* Become the feeder, until conc__pool_stop_feeding(). Waits while another context is. */
void conc__pool_start_feeding(struct process_pool *pool);
void conc__pool_stop_feeding(struct process_pool *pool);

/* Make the manager look. */
void conc__pool_wake(const struct process_pool *pool);

/* Start the worker in its place, which is WORKER_NONE; it is WORKER_ALIVE then. */
int conc__pool_start_worker(struct process_pool *pool, struct pool_worker *w);

/* Release what the program has of a worker. One that still runs is killed. */
void conc__pool_close_worker(struct process_pool *pool, struct pool_worker *w);

/* Does what a worker says of the block that its result is in make sense? */
bool conc__pool_block_makes_sense(const struct pool_worker *w);

/* Give the job its result, which is in a block. False: out of memory. */
bool conc__pool_block_settle(struct pool_worker *w, conc_future *job);

void conc__pool_block_unref(struct pool_block *block);

void *conc__pool_manager(void *pool);

#endif
