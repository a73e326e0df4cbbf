/* SPDX-License-Identifier: MIT
 *
 * pool_impl.h: the process pool inside, for its files: pool.c (submitting, the end), feed.c (giving
 * jobs to workers), manager.c (results, the workers' lives), worker.c (the worker itself), arena.c
 * and block.c (large results). See pool.c for how it works.
 */
#ifndef CONC_LIB_PROCESS_POOL_POOL_IMPL_H
#define CONC_LIB_PROCESS_POOL_POOL_IMPL_H

#include <conc/executor_impl.h>
#include <conc/process_pool.h>
#include <poll.h>
#include <pthread.h>

#include "future/future_impl.h"
#include "process/code.h"
#include "process/spawner.h"
#include "process_pool/block.h"
#include "process_pool/ring.h"

enum {
    WINDOW_MAX = 16,  /* jobs that a worker has at once, at most */
    OBJECTS_MAX = 63, /* libraries whose place a worker remembers */
};

/* ---- Between the processes ---- */

#define TURN_REVOKED 0x80000000u /* in `turn` */
#define TURN_MASK 0x7fffffffu

/* What a worker shares with the program. */
struct lane {
    uint32_t turn;       /* how many records the worker has begun; see pool.c */
    uint32_t revoked_to; /* with TURN_REVOKED: the records before this one are not to be begun */
    char pad[56];
    struct ring jobs, results;
};

#define LANE_SIZE \
    ((sizeof(struct lane) + BLOCK_PAGE - 1) / BLOCK_PAGE * BLOCK_PAGE) /* its file's */

enum record_kind { RECORD_JOB = 1, RECORD_QUIT };

/* A job; then the path of its object, if the worker does not know that yet, and its argument. */
struct record {
    uint32_t kind;
    uint32_t object; /* by number; OBJECTS_MAX: not to be remembered */
    uint32_t path_size;
    uint32_t arg_is_bytes;
    uint64_t offset;                /* of the function */
    uint64_t arg_size, result_size; /* the latter may be CONC_BYTES */
};

enum result_kind { RESULT_JOB = 1, RESULT_INIT_FAILED };

/* Its end; then the message, without a zero, and if there is no error and no block the result. */
struct result {
    uint32_t kind;
    int32_t err;
    uint32_t message_size;
    uint32_t block;        /* which the result is in; 0: in none */
    uint64_t size;         /* of the result */
    uint64_t at, capacity; /* of the block */
};

/* ---- In the program ---- */

enum worker_state { WORKER_NONE, WORKER_ALIVE, WORKER_LEAVING };

struct pool_worker {
    struct child child;
    struct lane *lane;
    int lane_fd; /* -1: none */

    /* Under the pool's guard. */
    uint32_t state; /* enum worker_state; the manager also looks without */
    bool writing;   /* a record is not completely written: the feeder's business */
    bool revoking;  /* it has not yet seen that records were revoked */
    uint32_t sent;  /* records */
    size_t jobs;    /* that it was given in all */
    size_t first, n_given;
    conc_future *given[WINDOW_MAX]; /* a circle: the one that it runs, and those ahead */
    int64_t began;                  /* when it began that one, as far as we know */

    /* The feeder's: the record that is being written. */
    struct ring_end out;
    struct record record;
    conc_future *job; /* NULL: none, it is to quit */
    const char *path;
    size_t written;     /* bytes of record, path and argument together */
    uint64_t announced; /* objects whose paths it has been told */

    /* The manager's: the result that is being read. */
    struct ring_end in;
    struct result result;
    size_t got;    /* bytes of the result, the message and the data together */
    bool has_room; /* there was room made for the data: */
    char *value;   /* where it goes; NULL: out of memory, away with it */
    char message[CONC_MESSAGE_MAX];
    struct pool_block *blocks[BLOCKS_MAX]; /* as far as they were used */
};

struct known_code {
    conc_fn *fn;
    uint32_t object;
    uint64_t offset;
    const char *path;
};

struct process_pool {
    struct conc_executor base;

    /* constant */
    size_t n;
    uint32_t forks; /* of the process that has made it */
    int wake_fd;    /* wakes the manager; the workers have it too */
    pthread_t manager;
    uint32_t manager_id; /* of its context; 0: it has not begun */
    size_t max_jobs;
    size_t n_fds;
    int fds[CONC_PROCESS_POOL_FDS_MAX]; /* duplicates of those that the workers get */
    char name[CONC_NAME_MAX];
    conc_bytes start;      /* the first message to a worker */
    struct pollfd *polled; /* the manager's */

    uint32_t word;             /* the guard of the rest, but for the feeder's */
    conc_future *first, *last; /* the queue, chained by `link` */
    size_t queued;
    conc_future *returned; /* taken back from workers: claimed, and first in line */
    struct conc__waitlist closers;
    bool feeding;               /* somebody is the feeder */
    bool feed_again;            /* and has to look once more */
    bool closed, broken, ended; /* ended: the manager has nothing more to do */
    bool joined;
    char why[CONC_MESSAGE_MAX]; /* it is broken; constant then */
    int signo;       /* that the workers have been sent, and those that come are; 0: none */
    int64_t typical; /* nanoseconds that a job takes with all that belongs to it; 0: not known */

    /* The feeder's. */
    struct known_code code[64];
    char *objects[OBJECTS_MAX];
    uint32_t n_objects;

    struct pool_worker workers[];
};

/* Give jobs to workers, as far as there are both; done by one context at a time. */
void conc__pool_feed(struct process_pool *pool);

/* Cancel a chain of jobs, not under the guard. Takes their references. */
void conc__pool_drop(conc_future *chain);

/* Become the feeder, until conc__pool_stop_feeding(). Waits for the one that there is. */
void conc__pool_start_feeding(struct process_pool *pool);
void conc__pool_stop_feeding(struct process_pool *pool);

/* Make the manager look. */
void conc__pool_wake(const struct process_pool *pool);

/* Start the worker in its place, which is WORKER_NONE; it is WORKER_ALIVE then. */
int conc__pool_start_worker(struct process_pool *pool, struct pool_worker *w);

/* Give back what there is of a worker here. */
void conc__pool_close_worker(struct process_pool *pool, struct pool_worker *w);

/* Does what a worker says of the block that its result is in make sense? */
bool conc__pool_block_makes_sense(const struct pool_worker *w);

/* Make the result, which is in a block, the job's. False: out of memory. */
bool conc__pool_block_settle(struct pool_worker *w, conc_future *job);

void conc__pool_block_unref(struct pool_block *block);

void *conc__pool_manager(void *pool);

#endif
