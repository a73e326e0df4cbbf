/* SPDX-License-Identifier: MIT
 *
 * Stress: workers, and the fork server, are killed at random moments under load, while threads and
 * tasks submit jobs of all sizes and cancel them, and pools are shut down, made and freed. Every
 * future is done in the end, with the right bytes or a documented error that names the death; every
 * call returns; nothing is left.
 */
#include "processes.h"
#include "storms.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUBMITTERS = 3, IN_FLIGHT = 24, JOBS = 200, MOST = 300 << 10, VICTIMS_MAX = 64, KEPT = 8 };

/* What happens to the pool of a round. */
enum blow { KILL_ONE, KILL_ALL, KILL_WORKERS, TERMINATE_WORKERS, SHUT_DOWN, CANCEL, BLOWS };

struct round {
    conc_executor *pool;
    size_t workers, max_jobs;
    enum blow blow;
    bool shuts;                        /* the pool is shut down too, beside the blow */
    pid_t victims[VICTIMS_MAX];        /* that were killed, or are to be, from outside; atomic */
    size_t n_victims;                  /* atomic */
    uint32_t right, broken, cancelled; /* futures; atomic */
};

/* A future, and what it is to give. NULL: none. */
struct slot {
    conc_future *future;
    struct sized sized;
    bool cancelled;
};

static struct {
    uint64_t right, broken, cancelled;
    unsigned rounds;
} sum;

/* ---- What a future may end with ---- */

static void show(const struct round *r, conc_future *f)
{
    fprintf(stderr, "blow %d, %zu workers, max %zu: error %d (%s)\n", (int)r->blow, r->workers,
            r->max_jobs, conc_future_error(f), conc_future_message(f));
}

static bool is_victim(const struct round *r, int pid)
{
    size_t n = load_acquire(&r->n_victims);
    for (size_t i = 0; i < n; i++)
        if (r->victims[i] == pid)
            return true;
    return false;
}

/* "worker 123 was killed by signal 9 (Killed)": by the right one, and one of those that were. A
 * refusal, after the pool has broken, has no words of its own. */
static bool is_death(const struct round *r, const char *message)
{
    int pid, signo, at = 0;
    if (!*message)
        return true;
    if (sscanf(message, "worker %d was killed by signal %d (%n", &pid, &signo, &at) != 2 || !at)
        return false;
    if (r->blow == TERMINATE_WORKERS)
        return signo == SIGTERM;
    return signo == SIGKILL && (r->blow == KILL_WORKERS || is_victim(r, pid));
}

static void settle(struct round *r, struct slot *slot)
{
    conc_future *f = slot->future;
    CHECK_EQUAL(conc_future_wait(f, PATIENT), 0);
    const int err = conc_future_error(f);
    bool fits = false;
    if (err == 0) {
        fits = is_result_of(f, slot->sized);
        fetch_add_relaxed(&r->right, 1);
    } else if (err == -CONC_EBROKEN) {
        fits = r->blow <= TERMINATE_WORKERS && is_death(r, conc_future_message(f));
        fetch_add_relaxed(&r->broken, 1);
    } else if (err == -ECANCELED) {
        fits = slot->cancelled || r->blow == CANCEL;
        fetch_add_relaxed(&r->cancelled, 1);
    } else if (err == -ESHUTDOWN)
        fits = r->shuts || (r->blow >= KILL_WORKERS);
    if (!fits)
        show(r, f);
    CHECK(fits);
}

/* ---- Submitting ---- */

struct submitter {
    struct round *round;
    struct test_random random;
    struct slot *kept; /* KEPT results that are looked at when the pool has gone */
};

static int job_submit(void *arg, void *result)
{
    struct submitter *s = arg;
    struct slot slots[IN_FLIGHT] = {0};
    for (size_t i = 0; i < JOBS + IN_FLIGHT; i++) {
        struct slot *slot = &slots[i % IN_FLIGHT];
        struct slot *other = &slots[test_random_below(&s->random, IN_FLIGHT)];
        struct slot *kept = &s->kept[test_random_below(&s->random, KEPT)];
        if (slot->future) {
            settle(s->round, slot);
            conc_future_unref(kept->future);
            *kept = *slot;
        }
        *slot = (struct slot){0};
        if (i < JOBS) {
            slot->sized = random_sized(&s->random, MOST);
            slot->future = submit_sized(s->round->pool, slot->sized);
        }
        if (other->future && test_random_below(&s->random, 8) == 0) {
            conc_future_cancel(other->future);
            other->cancelled = true;
        }
    }
    return 0;
}

/* ---- The blow ---- */

/* One of the pool's workers, or all, as the system knows them. */
static void kill_from_outside(struct round *r, struct test_random *random)
{
    struct relative family[FAMILY_MAX];
    const pid_t server = fork_server();
    size_t n = server ? family_of(server, family) : 0;
    const size_t skip = n ? test_random_below(random, n) : 0;
    for (size_t k = 0; k < n; k++) {
        pid_t pid = family[(k + skip) % n].pid;
        size_t at = r->n_victims;
        if (at == VICTIMS_MAX || family[(k + skip) % n].state == 'Z')
            continue;
        r->victims[at] = pid;
        store_release(&r->n_victims, at + 1);
        kill(pid, SIGKILL);
        if (r->blow == KILL_ONE)
            return;
    }
}

static void strike(struct round *r, struct test_random *random)
{
    switch (r->blow) {
    case KILL_ONE:
    case KILL_ALL:
        kill_from_outside(r, random);
        break;
    case KILL_WORKERS:
        CHECK_EQUAL(conc_process_pool_kill_workers(r->pool), 0);
        break;
    case TERMINATE_WORKERS:
        CHECK_EQUAL(conc_process_pool_terminate_workers(r->pool), 0);
        break;
    case SHUT_DOWN:
        CHECK_EQUAL(conc_executor_shutdown(r->pool, 0, CONC_NOW), 0);
        break;
    default:
        CHECK_EQUAL(conc_executor_shutdown(r->pool, CONC_SHUTDOWN_CANCEL_PENDING, CONC_NOW), 0);
    }
}

/* A worker that had not been told to quit was killed: sooner or later the pool takes no more. */
static void check_breaks(struct round *r)
{
    for (bool broken = false; !broken;) {
        conc_future *f = submit_sized(r->pool, sized_of(4, 4, 1));
        CHECK_EQUAL(conc_future_wait(f, PATIENT), 0);
        broken = conc_future_error(f) == -CONC_EBROKEN;
        CHECK(broken || conc_future_error(f) == 0);
        conc_future_unref(f);
    }
}

/* What lies in memory of a pool and of workers that have gone is there all the same. */
static void check_kept(struct slot kept[SUBMITTERS * KEPT])
{
    for (size_t i = 0; i < SUBMITTERS * KEPT; i++) {
        struct slot *slot = &kept[i];
        if (slot->future && conc_future_error(slot->future) == 0)
            CHECK(is_result_of(slot->future, slot->sized));
        conc_future_unref(slot->future);
    }
}

static void storm_of_workers(struct test_random *random)
{
    static const size_t maxima[] = {0, 0, 1, 7, 50};
    struct round r = {.workers = 1 + test_random_below(random, 4),
                      .max_jobs = maxima[test_random_below(random, 5)],
                      .blow = (enum blow)test_random_below(random, BLOWS)};
    r.shuts = test_random_below(random, 4) == 0 || r.blow >= SHUT_DOWN;
    const struct remains before = remains_now();
    conc_future *submitters[SUBMITTERS];
    struct slot kept[SUBMITTERS * KEPT] = {0};
    r.pool = make_pool(r.workers, &(conc_process_pool_options){.max_jobs_per_worker = r.max_jobs});
    for (size_t i = 0; i < SUBMITTERS; i++) {
        struct submitter s = {&r, test_random_for((unsigned)test_random_next(random)),
                              &kept[i * KEPT]};
        submitters[i] = run_somewhere(random, job_submit, &s, sizeof s);
    }
    conc_sleep((int64_t)test_random_below(random, CONC_MS(8)));
    strike(&r, random);
    if (r.shuts)
        conc_executor_shutdown(r.pool, 0, CONC_NOW);
    for (size_t i = 0; i < SUBMITTERS; i++)
        CHECK_EQUAL(end_of(submitters[i]), 0);
    if (r.n_victims && !r.shuts && !r.max_jobs)
        check_breaks(&r);
    CHECK_EQUAL(conc_executor_shutdown(r.pool, CONC_SHUTDOWN_WAIT, PATIENT), 0);
    CHECK_EQUAL(conc_executor_free(r.pool), 0);
    check_kept(kept);
    /* Descriptors: the loops and threads make theirs when they need them; see the test's end. */
    check_nothing_remains(&(struct remains){before.family, SIZE_MAX, before.maps});
    sum.right += r.right;
    sum.broken += r.broken;
    sum.cancelled += r.cancelled;
    sum.rounds++;
}

static void test_workers_killed_at_random_break_the_pool_and_no_more(void)
{
    CHECK_EQUAL(conc_process_prepare(), 0);
    memset(&sum, 0, sizeof sum);
    storm(1, storm_of_workers);
    printf("# %u pools; %ju jobs right, %ju broken, %ju cancelled\n", sum.rounds, sum.right,
           sum.broken, sum.cancelled);
    CHECK(sum.right > 0);
}

/* ---- The fork server's death ---- */

static uint32_t enough;                                 /* atomic */
static uint32_t pools, processes, refusals, lost, kept; /* atomic */

static bool is_loss(const char *message)
{
    return !*message || strstr(message, "was lost: the fork server has ended") ||
           strstr(message, "a worker could not be replaced");
}

static void use_a_pool(struct test_random *random)
{
    const conc_process_pool_options options = {.max_jobs_per_worker = test_random_below(random, 3)};
    conc_executor *pool;
    conc_future *futures[IN_FLIGHT];
    struct sized sized[IN_FLIGHT];
    int err = conc_process_pool_new(&pool, 1 + test_random_below(random, 2), &options);
    fetch_add_relaxed(err ? &refusals : &pools, 1);
    if (err) {
        CHECK_EQUAL(err, -CONC_EBROKEN);
        return;
    }
    for (size_t i = 0; i < IN_FLIGHT; i++)
        futures[i] = submit_sized(pool, sized[i] = random_sized(random, 50000));
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        CHECK_EQUAL(conc_future_wait(futures[i], PATIENT), 0);
        err = conc_future_error(futures[i]);
        if (err)
            CHECK_EQUAL(err, -CONC_EBROKEN);
        if (err && !is_loss(conc_future_message(futures[i])))
            check_failed(conc_future_message(futures[i]), __FILE__, __LINE__);
        CHECK(err || is_result_of(futures[i], sized[i]));
        fetch_add_relaxed(err ? &lost : &kept, 1);
        conc_future_unref(futures[i]);
    }
    CHECK_EQUAL(conc_executor_free(pool), 0);
}

static void use_a_process(struct test_random *random)
{
    conc_process *p;
    int zero = 0;
    int err = conc_process_start(&p, job_return, &zero, sizeof zero, NULL);
    fetch_add_relaxed(err ? &refusals : &processes, 1);
    if (err) {
        CHECK_EQUAL(err, -CONC_EBROKEN);
        return;
    }
    if (test_random_below(random, 3)) {
        err = conc_process_join(p, PATIENT);
        if (err)
            CHECK_EQUAL(err, -CONC_EBROKEN);
        if (err && !is_loss(conc_error_message()))
            check_failed(conc_error_message(), __FILE__, __LINE__);
    }
    conc_process_free(p);
}

static int job_use(void *arg, void *result)
{
    struct test_random *random = arg;
    while (!load_acquire(&enough))
        test_random_below(random, 2) ? use_a_pool(random) : use_a_process(random);
    return 0;
}

static void storm_of_servers(struct test_random *random)
{
    conc_future *users[SUBMITTERS];
    pid_t victim = 0;
    store_release(&enough, 0);
    for (size_t i = 0; i < SUBMITTERS; i++) {
        struct test_random own = test_random_for((unsigned)test_random_next(random));
        users[i] = run_somewhere(random, job_use, &own, sizeof own);
    }
    for (int i = 0; i < 8; i++) {
        conc_sleep((int64_t)test_random_below(random, CONC_MS(20)));
        pid_t server = fork_server();
        if (server && kill(server, SIGKILL) == 0)
            victim = server;
    }
    store_release(&enough, 1);
    for (size_t i = 0; i < SUBMITTERS; i++)
        CHECK_EQUAL(end_of(users[i]), 0);
    UNTIL(!victim || is_gone(victim));
    conc_executor *pool = make_pool(1, NULL); /* starts another server, if need be */
    check_works(pool);
    CHECK_EQUAL(conc_executor_free(pool), 0);
    check_nothing_remains(&(struct remains){1, SIZE_MAX, 0}); /* the server */
    sum.rounds++;
}

static void test_server_killed_at_random_ends_its_children_and_no_more(void)
{
    memset(&sum, 0, sizeof sum);
    adopt_orphans(true);
    storm(2, storm_of_servers);
    adopt_orphans(false);
    printf("# %u rounds; %u pools, %u processes, %u not started; jobs: %u right, %u lost\n",
           sum.rounds, pools, processes, refusals, kept, lost);
    CHECK(pools > 0 && kept > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_WAY(test_workers_killed_at_random_break_the_pool_and_no_more, ON_THREADS, "all"),
        ON_WAY(test_server_killed_at_random_ends_its_children_and_no_more, ON_THREADS, "all"),
    };
    watchdog_start(100);
    int failed = conc_process_prepare(); /* its descriptor stays, so before the first test counts */
    if (!failed)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    watchdog_stop();
    return failed;
}
