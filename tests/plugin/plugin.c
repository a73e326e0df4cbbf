/* SPDX-License-Identifier: MIT
 *
 * plugin.c: a plugin that uses libconc; built with the shared library, and with a copy of its own.
 */
#include "plugin.h"

#include <signal.h>
#include <string.h>

#include <conc.h>

#define EXPECT(condition)    \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

static int add_one(void *arg, void *result)
{
    *(int *)result = *(int *)arg + 1;
    return 0;
}

static int sleep_and_add_one(void *arg, void *result)
{
    int err = conc_sleep(CONC_US(100));
    return err ? err : add_one(arg, result);
}

static int use_tasks(void *arg, void *result)
{
    (void)arg, (void)result;
    conc_future *f[8];
    for (int i = 0; i < 8; i++)
        f[i] = conc_spawn(sleep_and_add_one, &i, sizeof i, sizeof i);
    for (int i = 0; i < 8; i++) {
        int answer = 0;
        if (conc_future_result(f[i], &answer, CONC_FOREVER) || answer != i + 1)
            return -EIO;
        conc_future_unref(f[i]);
    }
    return 0;
}

static int generate(conc_generator *g, void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int err = conc_generator_yield(g, &i);
        if (err)
            return err;
    }
    return 0;
}

static int use_generator(void)
{
    conc_generator *g;
    int item = 0, sum = 0;
    EXPECT(conc_generator_new(&g, generate, NULL, 0, sizeof item, NULL) == 0);
    while (conc_generator_next(g, &item, CONC_FOREVER) == 1)
        sum += item;
    EXPECT(sum == 3);
    return conc_generator_free(g);
}

static int use_threads(void)
{
    conc_executor *pool;
    int n = 41, answer = 0;
    EXPECT(conc_thread_pool_new(&pool, 2, NULL) == 0);
    EXPECT(conc_call(pool, sleep_and_add_one, &n, sizeof n, &answer, sizeof answer, CONC_FOREVER) ==
           0);
    EXPECT(answer == 42);
    EXPECT(conc_executor_shutdown(pool, CONC_SHUTDOWN_WAIT, CONC_FOREVER) == 0);
    conc_executor_free(pool);
    return 0;
}

static int use_primitives(void)
{
    static conc_lock lock = CONC_LOCK_INIT;
    static conc_local *key; /* without a destructor: a thread may end after that was unloaded */
    static int value;
    conc_queue queue;
    int item = 7;
    conc_with_lock (&lock) {
        if (!key)
            EXPECT(conc_local_new(&key, NULL) == 0);
    }
    EXPECT(conc_local_set(key, &value) == 0);
    EXPECT(conc_queue_init(&queue, sizeof item, 1, CONC_FIFO) == 0);
    EXPECT(conc_queue_put(&queue, &item, CONC_NOW) == 0);
    EXPECT(conc_queue_put(&queue, &item, conc_in(CONC_US(100))) == -ETIMEDOUT);
    EXPECT(conc_queue_get(&queue, &item, CONC_NOW) == 0);
    conc_queue_destroy(&queue);
    EXPECT(conc_raise(-EIO, "a message") == -EIO);
    return 0;
}

int plugin_use(void)
{
    int line = use_primitives();
    if (!line)
        line = use_threads();
    if (!line)
        line = use_generator();
    if (!line)
        EXPECT(conc_run(use_tasks, NULL, 0, NULL, 0) == 0);
    return line;
}

struct call {
    int (*fn)(void *arg);
    void *arg;
};

static int call_it(void *arg, void *result)
{
    struct call *call = arg;
    *(int *)result = call->fn(call->arg);
    return 0;
}

int plugin_run(int (*fn)(void *arg), void *arg)
{
    struct call call = {fn, arg};
    int result = -1;
    EXPECT(conc_run(call_it, &call, sizeof call, &result, sizeof result) == 0);
    return result;
}

static sigset_t set_of(int signo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    return set;
}

int plugin_catch(int signo)
{
    sigset_t set = set_of(signo);
    EXPECT(conc_signal_catch(&set) == 0);
    EXPECT(raise(signo) == 0);
    EXPECT(conc_signal_wait(&set, CONC_FOREVER) == signo);
    return 0;
}

int plugin_release(int signo)
{
    sigset_t set = set_of(signo);
    return conc_signal_release(&set);
}

static int dig(volatile int *depth)
{
    volatile char here[1024];
    memset((char *)here, *depth, sizeof here);
    ++*depth;
    return *depth > 0 ? dig(depth) + here[100] : 0;
}

static int overflow_job(void *arg, void *result)
{
    (void)arg;
    volatile int depth = 0;
    *(int *)result = dig(&depth);
    return 0;
}

void plugin_overflow(void)
{
    int n;
    (void)!conc_run(overflow_job, NULL, 0, &n, sizeof n);
}
