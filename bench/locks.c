/* SPDX-License-Identifier: MIT
 *
 * locks.c: conc_lock against pthread_mutex; conc_rlock against a recursive one.
 *
 * Uncontended: nanoseconds of acquire + release, with another thread alive (in a process of one
 * thread glibc leaves the atomics out, and the comparison would lie). Contended: millions of pairs
 * per second by 2, 4 and 8 threads, spread over the cores, with nothing to do inside and outside,
 * and with about 20 ns inside and 400 ns outside. Fairness (the slowest thread's pairs over the
 * fastest's) comes from the same rounds; the longest wait from rounds of its own, because reading
 * the clock twice a pair is work outside. With more threads than cores both are the scheduler's as
 * much as the lock's.
 */
#include <conc.h>
#include <pthread.h>
#include <stdio.h>

#include "bench.h"

#define INLINE static inline __attribute__((always_inline))

/* Each lock on lines of its own, apart from what it protects. */
struct locks {
    _Alignas(128) conc_lock conc;
    _Alignas(128) pthread_mutex_t plain;
    _Alignas(128) conc_rlock conc_r;
    _Alignas(128) pthread_mutex_t plain_r;
    _Alignas(128) uint64_t counter; /* under whichever lock is measured */
};

static struct locks locks = {.plain = PTHREAD_MUTEX_INITIALIZER};

INLINE void take(enum peer peer)
{
    if (peer == CONC)
        conc_lock_enter(&locks.conc);
    else
        pthread_mutex_lock(&locks.plain);
}

INLINE void give(enum peer peer)
{
    if (peer == CONC)
        conc_lock_release(&locks.conc);
    else
        pthread_mutex_unlock(&locks.plain);
}

INLINE void take_r(enum peer peer)
{
    if (peer == CONC)
        conc_rlock_enter(&locks.conc_r);
    else
        pthread_mutex_lock(&locks.plain_r);
}

INLINE void give_r(enum peer peer)
{
    if (peer == CONC)
        conc_rlock_release(&locks.conc_r);
    else
        pthread_mutex_unlock(&locks.plain_r);
}

/* ---- Uncontended ---- */

INLINE void pairs(enum peer peer, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        take(peer);
        locks.counter++;
        give(peer);
    }
}

INLINE void pairs_r(enum peer peer, uint64_t n, bool nested)
{
    for (uint64_t i = 0; i < n; i++) {
        take_r(peer);
        if (nested) {
            take_r(peer);
            locks.counter++;
            give_r(peer);
        }
        give_r(peer);
    }
}

enum pair_kind { PAIR, PAIR_R, PAIR_R_NESTED };

static struct figures uncontended(enum peer peer, const void *setup)
{
    const enum pair_kind *kind = setup;
    const uint64_t n = amount(2000000);
    struct stopwatch w = start_clock();
    if (*kind == PAIR)
        peer == CONC ? pairs(CONC, n) : pairs(PLAIN, n);
    else if (*kind == PAIR_R)
        peer == CONC ? pairs_r(CONC, n, false) : pairs_r(PLAIN, n, false);
    else
        peer == CONC ? pairs_r(CONC, n, true) : pairs_r(PLAIN, n, true);
    w = stop_clock(w);
    return (struct figures){.value = (double)w.wall_ns / (double)n};
}

/* ---- Contended ---- */

struct contended_setup {
    size_t threads;
    double inside_ns, outside_ns;
    bool time_waits;
};

struct contended {
    const struct contended_setup *setup;
    enum peer peer;
    int64_t end_ns;
    struct tally {
        _Alignas(128) uint64_t pairs;
        int64_t longest_ns;
    } tallies[MAX_THREADS];
};

INLINE void contend(struct contended *c, struct tally *tally, enum peer peer, bool time_waits)
{
    const double inside = c->setup->inside_ns, outside = c->setup->outside_ns;
    uint64_t n = 0;
    int64_t longest = 0;
    for (;;) {
        int64_t before = time_waits ? conc_now() : 0;
        take(peer);
        if (time_waits) {
            int64_t waited = conc_now() - before;
            longest = waited > longest ? waited : longest;
        }
        locks.counter++;
        if (inside > 0)
            work(inside);
        give(peer);
        if (outside > 0)
            work(outside);
        /* The clock now and then only: it costs as much as the pair. */
        if (++n % 64 == 0 && conc_now() >= c->end_ns)
            break;
    }
    tally->pairs = n;
    tally->longest_ns = longest;
}

static void contend_body(void *arg, size_t index)
{
    struct contended *c = arg;
    struct tally *tally = &c->tallies[index];
    if (c->peer == CONC)
        c->setup->time_waits ? contend(c, tally, CONC, true) : contend(c, tally, CONC, false);
    else
        c->setup->time_waits ? contend(c, tally, PLAIN, true) : contend(c, tally, PLAIN, false);
}

static struct figures contended(enum peer peer, const void *setup)
{
    const struct contended_setup *s = setup;
    /* Not a tenth of it with --quick: a thread that has to wait for its turn on a core may need 10
     * ms for that alone. */
    const int64_t length_ns = options.quick ? CONC_MS(50) : CONC_MS(100);
    int cores[MAX_THREADS];
    spread_cores(cores);
    struct contended c = {.setup = s, .peer = peer, .end_ns = conc_now() + length_ns};
    struct stopwatch w = run_threads(s->threads, contend_body, &c, cores);
    uint64_t sum = 0, least = UINT64_MAX, most = 0;
    int64_t longest = 0;
    for (size_t i = 0; i < s->threads; i++) {
        const struct tally *t = &c.tallies[i];
        sum += t->pairs;
        least = t->pairs < least ? t->pairs : least;
        most = t->pairs > most ? t->pairs : most;
        longest = t->longest_ns > longest ? t->longest_ns : longest;
    }
    struct figures f = {.value = (double)sum * 1e3 / (double)w.wall_ns, .cores = cores_of(w)};
    if (s->time_waits)
        return (struct figures){.value = (double)longest / 1e3};
    f.fairness = (double)least / (double)most;
    return f;
}

static void bench_contended(double inside_ns, double outside_ns)
{
    const bool waits[] = {false, true};
    for (size_t k = 0; k < 2; k++)
        for (size_t threads = 2; threads <= 8; threads *= 2) {
            struct contended_setup s = {threads, inside_ns, outside_ns, waits[k]};
            char what[64];
            snprintf(what, sizeof what, "%zu threads, %.0f/%.0f ns in/outside", threads, inside_ns,
                     outside_ns);
            if (waits[k])
                compare(what, "longest us", LESS_IS_BETTER, contended, &s);
            else
                compare(what, "M pairs/s", MORE_IS_BETTER, contended, &s);
        }
}

/* ---- All of them ---- */

static void *idle_main(void *arg)
{
    pthread_barrier_wait(arg);
    return NULL;
}

static void bench_uncontended(void)
{
    pthread_t second;
    pthread_barrier_t end;
    must(pthread_barrier_init(&end, NULL, 2), "pthread_barrier_init");
    must(pthread_create(&second, NULL, idle_main, &end), "pthread_create");
    compare("lock, acquire + release", "ns", LESS_IS_BETTER, uncontended, &(enum pair_kind){PAIR});
    compare("rlock, acquire + release", "ns", LESS_IS_BETTER, uncontended,
            &(enum pair_kind){PAIR_R});
    compare("rlock, taken twice, released twice", "ns", LESS_IS_BETTER, uncontended,
            &(enum pair_kind){PAIR_R_NESTED});
    pthread_barrier_wait(&end);
    pthread_join(second, NULL);
    pthread_barrier_destroy(&end);
}

void bench_locks(void)
{
    if (!section("locks", "conc_lock and pthread_mutex; conc_rlock and a recursive one"))
        return;
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    must(pthread_mutex_init(&locks.plain_r, &recursive), "pthread_mutex_init");
    pthread_mutexattr_destroy(&recursive);
    bench_uncontended();
    bench_contended(0, 0);
    bench_contended(20, 400);
    pthread_mutex_destroy(&locks.plain_r);
}
