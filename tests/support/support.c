/* SPDX-License-Identifier: MIT
 *
 * support.c: see support.h.
 */
#include "support.h"

#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/checkers.h"

#define NS_PER_S INT64_C(1000000000)
#define STACK_SIZE (256 * 1024)
#define POLL_NS 50000

static void die(void) __attribute__((noreturn));

/* Of a test that hangs, one needs to know which context waits for which. */
static void die(void)
{
    fflush(stdout);
    conc_dump(stderr);
    abort();
}

void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    die();
}

void check_equal(intmax_t actual, intmax_t expected, const char *what, const char *file, int line)
{
    if (actual == expected)
        return;
    fprintf(stderr, "%s:%d: %s is %jd, not %jd\n", file, line, what, actual, expected);
    die();
}

/* ---- Time ---- */

int64_t real_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

void poll_again(int64_t give_up_at, const char *what, const char *file, int line)
{
    if (real_now() > give_up_at) {
        fprintf(stderr, "%s:%d: never came true: %s\n", file, line, what);
        die();
    }
    nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
}

struct stress stress_begin(void)
{
    const char *seconds = getenv("CONC_STRESS_SECONDS");
    double length = seconds ? strtod(seconds, NULL) : 1.0;
    return (struct stress){.end = real_now() + (int64_t)(length * (double)NS_PER_S)};
}

bool stress_goes_on(const struct stress *stress) { return real_now() < stress->end; }

bool on_valgrind(void) { return RUNNING_ON_VALGRIND; }

size_t crowd_of(size_t n)
{
#ifdef WITH_TSAN
    return n / 4;
#else
    return on_valgrind() ? n / 10 : n;
#endif
}

/* ---- The watchdog ---- */

static struct {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool watches, stop;
    struct timespec bites_at;
} dog = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* It doesn't call libconc before it has to, so no test sees it among the contexts. */
static void *watch(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&dog.mutex);
    dog.watches = true;
    pthread_cond_signal(&dog.changed);
    int err = 0;
    while (!dog.stop && !err)
        err = pthread_cond_timedwait(&dog.changed, &dog.mutex, &dog.bites_at);
    bool stop = dog.stop;
    pthread_mutex_unlock(&dog.mutex);
    if (!stop) {
        fprintf(stderr, "the test program takes too long; it has these contexts:\n");
        die();
    }
    return NULL;
}

/* How many times as long everything may take. */
static unsigned slowness(void)
{
#if defined(WITH_TSAN) || defined(WITH_ASAN)
    return 4;
#endif
    return on_valgrind() ? 10 : 1;
}

void watchdog_start(unsigned seconds)
{
    clock_gettime(CLOCK_REALTIME, &dog.bites_at);
    dog.bites_at.tv_sec += (time_t)seconds * slowness();
    if (pthread_create(&dog.thread, NULL, watch, NULL) != 0)
        abort();
    /* A thread that is being made has locks of the sanitizers', which would never be free again in
     * a child that a test forks meanwhile. */
    pthread_mutex_lock(&dog.mutex);
    while (!dog.watches)
        pthread_cond_wait(&dog.changed, &dog.mutex);
    pthread_mutex_unlock(&dog.mutex);
}

void watchdog_stop(void)
{
    pthread_mutex_lock(&dog.mutex);
    dog.stop = true;
    pthread_cond_signal(&dog.changed);
    pthread_mutex_unlock(&dog.mutex);
    pthread_join(dog.thread, NULL);
}

/* ---- Addresses ---- */

static char own_address[16];

/* Before there are threads; a fork's child keeps it. */
__attribute__((constructor)) static void choose_address(void)
{
    const unsigned pid = (unsigned)getpid();
    snprintf(own_address, sizeof own_address, "127.%u.%u.%u", 1 + (pid >> 16 & 63), pid >> 8 & 255,
             pid & 255);
}

const char *own_host(void) { return own_address; }

/* ---- Blocked contexts ---- */

struct look {
    const char *name;
    const char *what;
    const void *object;
    size_t found;
};

static int look_at(const conc_context_info *info, void *arg)
{
    struct look *look = arg;
    bool is_it = info->blocked_on && (!look->name || !strcmp(info->name, look->name)) &&
                 (!look->what || !strcmp(info->blocked_on, look->what)) &&
                 (!look->object || info->object == look->object);
    look->found += is_it;
    return 0;
}

static size_t count_blocked(struct look look)
{
    CHECK_EQUAL(conc_context_foreach(look_at, &look), 0);
    return look.found;
}

void wait_until_blocked(const char *name, const char *what)
{
    WAIT_UNTIL(count_blocked((struct look){.name = name, .what = what}) > 0);
}

size_t n_blocked(const void *object) { return count_blocked((struct look){.object = object}); }

void wait_until_n_blocked(const void *object, size_t n) { WAIT_UNTIL(n_blocked(object) == n); }

/* ---- Threads ---- */

static void *thread_main(void *arg)
{
    struct test_thread *t = arg;
    if (t->name)
        conc_context_set_name(t->name);
    t->fn(t->arg);
    return NULL;
}

void test_thread_start(struct test_thread *t, const char *name, void (*fn)(void *arg), void *arg)
{
    *t = (struct test_thread){.name = name, .fn = fn, .arg = arg};
    pthread_attr_t attr;
    CHECK_EQUAL(pthread_attr_init(&attr), 0);
    CHECK_EQUAL(pthread_attr_setstacksize(&attr, STACK_SIZE), 0);
    CHECK_EQUAL(pthread_create(&t->id, &attr, thread_main, t), 0);
    pthread_attr_destroy(&attr);
}

void test_thread_join(struct test_thread *t) { CHECK_EQUAL(pthread_join(t->id, NULL), 0); }

static cpu_set_t all_cores;

void use_one_core(void)
{
    CHECK_EQUAL(sched_getaffinity(0, sizeof all_cores, &all_cores), 0);
    int core = 0;
    while (!CPU_ISSET(core, &all_cores))
        core++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    CHECK_EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
}

void use_all_cores(void) { CHECK_EQUAL(sched_setaffinity(0, sizeof all_cores, &all_cores), 0); }

/* In the child; does not return. It ends by a signal, or valgrind would take the stacks of the
 * threads that it has not inherited for leaks. */
static void run_in_child(int (*fn)(void *arg), void *arg, int *result)
{
    static const int caught_by_cmocka[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS};
    for (size_t i = 0; i < sizeof caught_by_cmocka / sizeof *caught_by_cmocka; i++)
        signal(caught_by_cmocka[i], SIG_DFL);
    alarm(60); /* the watchdog stays with the parent */
    *result = fn(arg);
    kill(getpid(), SIGKILL);
}

int in_child(int (*fn)(void *arg), void *arg)
{
    const int shared = MAP_SHARED | MAP_ANONYMOUS;
    int *result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, shared, -1, 0);
    CHECK(result != MAP_FAILED);
    *result = -1;
    fflush(stdout);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        run_in_child(fn, arg, result);
    int status, returned;
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    returned = *result;
    munmap(result, sizeof *result);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && returned >= 0)
        return returned;
    return WIFSIGNALED(status) ? 100 + WTERMSIG(status) : 100;
}

void forbid_kill(void)
{
    const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kill, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)getpid(), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code,
                                       .filter = (struct sock_filter *)(uintptr_t)code};
    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* ---- Chance ---- */

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void choose_seed(void)
{
    const char *given = getenv("CONC_TEST_SEED");
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)real_now() ^ (uint64_t)getpid() << 32;
    printf("# CONC_TEST_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
}

/* splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"). */
uint64_t test_random_next(struct test_random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

struct test_random test_random_for(unsigned index)
{
    pthread_once(&seed_once, choose_seed);
    struct test_random r = {.state = seed + index};
    r.state = test_random_next(&r); /* far from its neighbours' */
    return r;
}

uint64_t test_random_below(struct test_random *r, uint64_t n) { return test_random_next(r) % n; }
