/* SPDX-License-Identifier: MIT
 *
 * conc/process_pool.h: an executor that runs its jobs in processes.
 *
 *     conc_executor *pool;
 *     int err = conc_process_pool_new(&pool, 4, NULL);
 *     err = conc_map(pool, is_prime, numbers, n, sizeof *numbers, answers, sizeof *answers, NULL,
 *                    CONC_FOREVER);
 *     conc_executor_free(pool);
 *
 * A job that runs on threads runs here unchanged, if its argument and result are values: a pointer
 * in them means nothing in another process. What the job finds in the program's variables: see
 * conc/process.h.
 *
 * Arguments and results of any size go and come as conc_bytes (conc/bytes.h). A large result is
 * written by the job right into memory that the program shares: conc_future_value() finds it there,
 * and nothing is copied, if conc_bytes_new() gave the job the room for it, or its size was given.
 *
 * A job's error and message come back as always. Cancelling a future keeps a job from starting, but
 * does not reach one that a worker has been given: one at a time; and a few ahead, while jobs take
 * far less than a millisecond and many are waiting.
 *
 * Workers ignore SIGINT, which a terminal's Ctrl-C sends to them too: the program decides what it
 * means.
 *
 * A worker that dies (by a signal, by exit(), for lack of memory) breaks the pool: all futures that
 * are not done fail with -CONC_EBROKEN and a message that tells of the death, and so does every
 * later submission. When the program ends, in whatever way, its workers end too.
 *
 * Callbacks of futures run in a thread of the pool's, and hold up its other results; to wait there
 * for the pool's end is -EDEADLK. A job may make pools and start processes of its own, but not use
 * those of the program. After a fork the child cannot use its parent's pools (-ESHUTDOWN), nor the
 * values of futures that came from them: the parent uses their memory again.
 */
#ifndef CONC_PROCESS_POOL_H
#define CONC_PROCESS_POOL_H

#include <conc/executor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most descriptors that workers can be given. */
#define CONC_PROCESS_POOL_FDS_MAX 30

/** All-zero: the defaults. */
typedef struct conc_process_pool_options {
    /* Workers are called name-0, name-1 ...: what is too long (CONC_NAME_MAX) is cut off the name,
     * not the number. NULL: "worker". */
    const char *name;

    /* Called in each new worker, without room for a result; if it fails the pool is broken. */
    conc_fn *init;
    const void *arg; /* for init: arg_size bytes, copied */
    size_t arg_size; /* or CONC_BYTES: it is a conc_bytes */

    const int *fds; /* descriptors that each worker gets: conc_process_fd(); borrowed */
    size_t n_fds;   /* up to CONC_PROCESS_POOL_FDS_MAX */

    size_t max_jobs_per_worker; /* then a fresh process takes its place; 0: no limit */
} conc_process_pool_options;

/**
 * A pool of processes, all of which are started at once.
 *
 * @param ret      gives an executor, for conc_executor_free()
 * @param workers  how many; 0: as many as there are usable CPUs
 * @param options  borrowed; NULL: all-zero
 * @return 0; -EINVAL: no ret, too many workers or descriptors, no arg with a size; -EBADF; -EAGAIN:
 *         too many processes; -ENOMEM: or too many threads; -EMFILE, -CONC_EBROKEN: as
 *         conc_process_start()
 *
 * Python: ProcessPoolExecutor(max_workers, initializer, initargs, max_tasks_per_child)
 * [any | yes (until the processes are there) | no]
 */
CONC_API CONC_MUST_CHECK int conc_process_pool_new(conc_executor **ret, size_t workers,
                                                   const conc_process_pool_options *options);

/**
 * Ask the workers of a process pool to end, by SIGTERM: it is shut down, and breaks.
 *
 * @return 0; -EINVAL: not a process pool; -ESHUTDOWN: it is the parent's
 *
 * Python: ProcessPoolExecutor.terminate_workers()
 */
CONC_API int conc_process_pool_terminate_workers(conc_executor *pool);

/**
 * End the workers of a process pool, by SIGKILL: it is shut down, and breaks.
 *
 * @return as conc_process_pool_terminate_workers()
 *
 * Python: ProcessPoolExecutor.kill_workers()
 */
CONC_API int conc_process_pool_kill_workers(conc_executor *pool);

#ifdef __cplusplus
}
#endif
#endif
