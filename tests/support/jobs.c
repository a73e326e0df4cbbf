/* SPDX-License-Identifier: MIT
 *
 * jobs.c: see jobs.h.
 */
#include "jobs.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include <conc/thread.h>

#include "op/offload.h"

/* The sanitizers end a program that asks for impossibly much memory, if they are not told to let it
 * see its failure; and one of them a forked child that starts a thread. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void) { return "allocator_may_return_null=1:die_after_fork=0"; }

/* ---- Jobs ---- */

int job_square(void *arg, void *result)
{
    int n = *(int *)arg;
    *(int *)result = n * n;
    return 0;
}

int job_return(void *arg, void *result) { return *(int *)arg; }

int job_raise(void *arg, void *result)
{
    int err = *(int *)arg;
    return conc_raise(err, "job failed: %d", err);
}

int job_count(void *arg, void *result)
{
    __atomic_add_fetch(*(int **)arg, 1, __ATOMIC_ACQ_REL);
    return 0;
}

int job_until_cancelled(void *arg, void *result) { return conc_sleep_until(CONC_FOREVER); }

int job_gate(void *arg, void *result)
{
    struct gate *gate = *(struct gate **)arg;
    __atomic_add_fetch(&gate->runs, 1, __ATOMIC_ACQ_REL);
    conc_event_set(&gate->entered);
    int err = conc_event_wait(&gate->open, CONC_FOREVER);
    store_release(&gate->end, err);
    if (result)
        *(int *)result = 7;
    return err;
}

int job_gate_shielded(void *arg, void *result)
{
    conc_scope shield;
    conc_shield_enter(&shield);
    int err = job_gate(arg, result);
    CHECK_EQUAL(conc_shield_exit(&shield), 0);
    return err;
}

void gate_entered(struct gate *gate)
{
    CHECK_EQUAL(conc_event_wait(&gate->entered, CONC_FOREVER), 0);
}

conc_future *submit_gate(conc_executor *executor, struct gate *gate)
{
    return conc_submit(executor, job_gate, &gate, sizeof gate, sizeof(int));
}

/* ---- What a test leaves behind ---- */

static struct {
    int allocated, threads;
} before;

static int count_entries(const char *directory)
{
    int n = 0;
    DIR *entries = opendir(directory);
    CHECK(entries != NULL);
    for (const struct dirent *e; (e = readdir(entries));)
        n += e->d_name[0] != '.';
    closedir(entries);
    return n;
}

/* Those for files stay for a while, for the whole process. */
int count_threads(void)
{
    bool settled;
    int others = (int)conc__offload_threads(&settled);
    return count_entries("/proc/self/task") - others;
}

/* While none begins or ends, so that it can be compared later. */
static int count_settled_threads(void)
{
    bool settled;
    for (;;) {
        int n = count_threads();
        usleep(1000); /* one that has just ended may still be listed */
        conc__offload_threads(&settled);
        if (settled && count_threads() == n)
            return n;
    }
}

int count_descriptors(void) { return count_entries("/proc/self/fd"); }

void wait_until_threads(int more)
{
    /* An ended thread that was joined may stay in /proc for a moment. */
    WAIT_UNTIL(count_threads() == before.threads + more);
}

int leaks_setup(void **state)
{
    conc_raise(-EIO, "stale");
    before.threads = count_settled_threads();
    before.allocated = load_relaxed(&conc__hooks.allocated);
    return 0;
}

int timers_setup(void **state)
{
    conc_timer *timer;
    CHECK_EQUAL(conc_timer_start(&timer, CONC_S(1), job_until_cancelled, NULL, 0), 0);
    CHECK(conc_timer_cancel(timer));
    conc_timer_free(timer);
    wait_until_blocked("timers", NULL);
    return leaks_setup(state);
}

int leaks_teardown(void **state)
{
    fail_alloc(0);
    fail_thread(0);
    conc_future_on_unobserved(NULL, NULL);
    /* A bound of its own: a test that has failed leaves its threads, and is to be reported. Fewer
     * than before: one that had ended was still listed then. */
    int threads;
    for (int64_t end = real_now() + CONC_S(10);
         (threads = count_threads() - before.threads) > 0 && real_now() < end;)
        conc_yield();
    int blocks = load_relaxed(&conc__hooks.allocated) - before.allocated;
    if (threads <= 0 && !blocks && !conc_check_cancel())
        return 0;
    fprintf(stderr, "the test leaves %d threads, %d blocks%s\n", threads, blocks,
            conc_check_cancel() ? ", a cancelled scope" : "");
    return 1;
}

void fail_alloc(int n) { store_relaxed(&conc__hooks.fail_alloc_in, n); }

void fail_thread(int n) { store_relaxed(&conc__hooks.fail_thread_in, n); }

bool alloc_has_failed(void)
{
    bool has = load_relaxed(&conc__hooks.fail_alloc_in) <= 0;
    fail_alloc(0);
    return has;
}

/* ---- Unobserved errors ---- */

static void note_unobserved(int err, const char *message, void *arg)
{
    struct unobserved *u = arg;
    u->err = err;
    snprintf(u->message, sizeof u->message, "%s", message);
    u->context = conc_context_id(NULL);
    __atomic_add_fetch(&u->count, 1, __ATOMIC_ACQ_REL);
}

void unobserved_watch(struct unobserved *u)
{
    *u = (struct unobserved){0};
    conc_future_on_unobserved(note_unobserved, u);
}

/* Step by step: valgrind takes a great leap of the stack pointer for another stack. The frame's
 * address shows how far it has come, as sanitizers make frames larger and lay variables elsewhere.
 * Each call reads its caller's room, so that the compiler cannot make a loop of it. */
__attribute__((noinline)) static int use_stack(const char *begin, size_t size,
                                               volatile char *callers)
{
    volatile char room[1024];
    const char *here = __builtin_frame_address(0);
    room[0] = *callers;
    if ((size_t)(begin - here) < size)
        room[0] = (char)use_stack(begin, size, room);
    return room[0];
}

int job_use_stack(void *arg, void *result)
{
    char one = 1;
    return use_stack(__builtin_frame_address(0), *(size_t *)arg, &one) == 1 ? 0 : -EIO;
}
