/* SPDX-License-Identifier: MIT
 *
 * processes.h: what the long tests of processes share: jobs of any size whose bytes are checked on
 * both sides, the processes that descend from this one, and that nothing of them is left.
 */
#ifndef CONC_TESTS_PROCESSES_H
#define CONC_TESTS_PROCESSES_H

#include <sys/types.h>

#include <conc/process.h>
#include <conc/process_pool.h>

#include "ways.h"

/* Far beyond any honest delay, and within the watchdog's. */
#define PATIENT conc_in(CONC_S(60))

/* gcc's TSan cannot start a thread in a child whose parent had several ("dup thread with used
 * id"). */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define CHILD_MAY_START_THREADS false
#else
#define CHILD_MAY_START_THREADS true
#endif

/* Sanitizers need terabytes of addresses, and keep what was freed for a while. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define WITH_SANITIZER true
#endif
#endif
#ifndef WITH_SANITIZER
#define WITH_SANITIZER false
#endif

/* ---- Jobs of any size ---- */

/* An argument of `in` bytes behind this, a result of `out` bytes; the one, the other or both as a
 * conc_bytes. */
struct sized {
    uint32_t in, out, seed;
    bool in_bytes, out_bytes;
};

/* Plain ones. */
static inline struct sized sized_of(uint32_t in, uint32_t out, uint32_t seed)
{
    return (struct sized){.in = in, .out = out, .seed = seed};
}

/* Up to `most` bytes each way, mostly few. */
struct sized random_sized(struct test_random *random, uint32_t most);

/* The job checks its argument, and fills its result. */
conc_future *submit_sized(conc_executor *pool, struct sized s);

/* Is it the result that this job gives? For one that has succeeded. */
bool is_result_of(conc_future *f, struct sized s);

/* Waits; it must have succeeded. Gives the future back. */
void check_sized(conc_future *f, struct sized s);

/* ---- Other jobs ---- */

conc_fn job_pid;    /* its process */
conc_fn job_parent; /* the fork server of its process */
conc_fn job_stop;   /* stops its process, until the test lets it go on or kills it */

conc_executor *make_pool(size_t n, const conc_process_pool_options *options);

/* Asks a job that gives a process. */
pid_t call_for_pid(conc_executor *pool, conc_fn *fn);

/* Does the pool still give right results? */
void check_works(conc_executor *pool);

/* ---- The family ---- */

enum { FAMILY_MAX = 1024 };

struct relative {
    pid_t pid, parent;
    char state; /* as ps shows it */
};

/* All that descend from a process, also what has ended and was not reaped; how many. */
size_t family_of(pid_t head, struct relative family[FAMILY_MAX]);

/* The process' state; 'Z': it is gone. */
char state_of(pid_t pid);
bool is_gone(pid_t pid);

/* From now on what a death orphans becomes our child, so that nothing can hide; or no longer. It is
 * buried by check_nothing_remains(). */
void adopt_orphans(bool yes);

/* This process' fork server: its only child. 0: there is none that lives. */
pid_t fork_server(void);

/* Processes, descriptors, mapped memory files (or names in /dev/shm). */
struct remains {
    size_t family, descriptors, maps;
};

struct remains remains_now(void);

/* Until there is no more than there was. */
void check_nothing_remains(const struct remains *before);

/* Memory files and files of /dev/shm that a process has mapped. */
size_t shared_maps_of(pid_t pid);

/* Bytes of memory that this process has now. */
size_t resident_bytes(void);

#endif
