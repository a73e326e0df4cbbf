/* SPDX-License-Identifier: MIT
 *
 * test_executor_stress.c: every executor in a storm: threads that submit jobs, cancel them, time
 * out on them, drop their futures, wait for several at once; jobs that fail, block, and submit
 * further ones; and a shutdown in the middle of it, with any flags. Every job runs at most once,
 * every one that was taken and not cancelled just once, its result is in its future, and nothing is
 * left behind.
 */
#include "executors.h"

#include <stdlib.h>

enum {
    SUBMITTERS = 3,
    JOBS = 24, /* of each submitter */
    HELD = 6,  /* futures that it holds at a time */
    NAP_NS = 60000,
};

/* One job: how often it ran, and how it ended. */
struct entry {
    int runs;     /* atomic */
    int end;      /* what it returned */
    int accepted; /* not refused */
    /* conc_future_cancel() said true; or a call or a shutdown may have cancelled it. */
    int cancelled;
    int last_error; /* of its future, if it was done when it was dropped; else -EAGAIN */
};

struct storm {
    const struct executor_case *c;
    unsigned round;
    struct entry entries[SUBMITTERS][JOBS];
    int inner_submitted, inner_ran; /* jobs submitted by jobs, waited for; atomic */
    bool shut_down;
};

struct order {
    struct storm *storm;
    struct entry *entry;
    unsigned seed;
};

static int job_inner(void *arg, void *result)
{
    struct storm *s = *(struct storm **)arg;
    __atomic_add_fetch(&s->inner_ran, 1, __ATOMIC_ACQ_REL);
    return 0;
}

static int wait_for_inner(struct storm *s)
{
    conc_future *f = conc_submit(s->c->executor, job_inner, &s, sizeof s, 0);
    int err = conc_future_result(f, NULL, CONC_FOREVER);
    if (err == 0)
        __atomic_add_fetch(&s->inner_submitted, 1, __ATOMIC_ACQ_REL);
    else if (!conc_future_is_done(f)) /* we are cancelled: it may still run */
        conc_future_cancel(f);
    conc_future_unref(f);
    return err == -ESHUTDOWN ? 0 : err;
}

static int job_order(void *arg, void *result)
{
    struct order *o = arg;
    struct test_random random = test_random_for(o->seed);
    int err = 0;
    CHECK_EQUAL(__atomic_add_fetch(&o->entry->runs, 1, __ATOMIC_ACQ_REL), 1);
    switch (test_random_below(&random, 8)) {
    case 0:
        err = conc_raise(-EIO, "as planned");
        break;
    case 1:
        err = conc_sleep((int64_t)test_random_below(&random, NAP_NS));
        break;
    case 2:
        err = wait_for_inner(o->storm);
        break;
    case 3:
        for (uint64_t n = test_random_below(&random, 4000); n > 0; n--)
            cpu_relax();
        break;
    default:
        break;
    }
    *(unsigned *)result = o->seed;
    o->entry->end = err;
    return err;
}

/* Check a done future against its entry, and note how it ended. */
static void look(conc_future *f, struct entry *e, unsigned seed)
{
    int err = conc_future_error(f);
    unsigned value = 0;
    e->last_error = err;
    if (err == 0) {
        CHECK_EQUAL(conc_future_result(f, &value, CONC_NOW), 0);
        CHECK_EQUAL(value, seed);
    }
    if (err != -ESHUTDOWN && err != -ECANCELED)
        CHECK_EQUAL(load_acquire(&e->runs), 1);
    if (err == -EIO)
        CHECK(conc_future_message(f)[0] == 'a');
}

struct submitter {
    struct test_thread thread;
    struct storm *storm;
    unsigned number;
    conc_future *held[HELD];
    unsigned place[HELD]; /* in entries */
};

static unsigned seed_of(const struct submitter *s, unsigned i)
{
    return s->storm->round * 1000 + 100 + s->number * JOBS + i;
}

static void submit_one(struct submitter *s, unsigned i, unsigned slot)
{
    struct storm *storm = s->storm;
    struct entry *e = &storm->entries[s->number][i];
    struct order o = {storm, e, seed_of(s, i)};
    s->held[slot] = conc_submit(storm->c->executor, job_order, &o, sizeof o, sizeof(unsigned));
    s->place[slot] = i;
    e->last_error = -EAGAIN;
    e->accepted =
        !conc_future_is_done(s->held[slot]) || conc_future_error(s->held[slot]) != -ESHUTDOWN;
}

static void treat(struct submitter *s, unsigned slot, struct test_random *random)
{
    conc_future *f = s->held[slot];
    struct entry *e = &s->storm->entries[s->number][s->place[slot]];
    switch (test_random_below(random, 6)) {
    case 0:
        e->cancelled |= conc_future_cancel(f);
        break;
    case 1:
        e->cancelled |=
            conc_wait_for(f, NULL, conc_in((int64_t)test_random_below(random, NAP_NS))) ==
            -ETIMEDOUT;
        break;
    case 2:
        (void)conc_future_wait(f, conc_in((int64_t)test_random_below(random, NAP_NS)));
        break;
    case 3:
        CHECK_EQUAL(conc_future_wait(f, CONC_FOREVER), 0);
        break;
    default: /* drop it */
        break;
    }
    if (conc_future_is_done(f))
        look(f, e, seed_of(s, s->place[slot]));
    conc_future_unref(f);
    s->held[slot] = NULL;
}

static void submitter_main(void *arg)
{
    struct submitter *s = arg;
    struct test_random random = test_random_for(s->storm->round * 1000 + s->number);
    for (unsigned i = 0; i < JOBS; i++) {
        unsigned slot = (unsigned)test_random_below(&random, HELD);
        if (s->held[slot])
            treat(s, slot, &random);
        submit_one(s, i, slot);
        if (test_random_below(&random, 4) == 0) {
            conc_future *some[HELD];
            size_t n = 0;
            for (int j = 0; j < HELD; j++)
                if (s->held[j])
                    some[n++] = s->held[j];
            (void)conc_wait(some, n, (conc_wait_mode)test_random_below(&random, 3),
                            conc_in((int64_t)test_random_below(&random, NAP_NS)));
        }
    }
    for (unsigned slot = 0; slot < HELD; slot++)
        if (s->held[slot])
            treat(s, slot, &random);
}

static void check_entry(const struct storm *storm, const struct entry *e)
{
    assert_in_range(e->runs, 0, 1);
    if (!e->accepted)
        assert_int_equal(e->runs, 0);
    else if (!e->cancelled && !storm->shut_down)
        assert_int_equal(e->runs, 1);
    if (e->last_error == 0 || e->last_error == -EIO)
        assert_int_equal(e->end, e->last_error);
}

static void ignore(int err, const char *message, void *arg) {}

static void blow(struct executor_case *c, unsigned round)
{
    struct test_random random = test_random_for(round * 1000 + 99);
    struct storm *storm = test_calloc(1, sizeof *storm);
    struct submitter submitters[SUBMITTERS] = {0};
    storm->c = c;
    storm->round = round;
    for (unsigned i = 0; i < SUBMITTERS; i++) {
        submitters[i].storm = storm;
        submitters[i].number = i;
        test_thread_start(&submitters[i].thread, "submitter", submitter_main, &submitters[i]);
    }
    if (test_random_below(&random, 3) == 0) {
        unsigned flags = (unsigned)test_random_below(&random, 8);
        storm->shut_down = flags & (CONC_SHUTDOWN_CANCEL_PENDING | CONC_SHUTDOWN_CANCEL_RUNNING);
        for (uint64_t n = test_random_below(&random, 20000); n > 0; n--)
            cpu_relax();
        int err = conc_executor_shutdown(c->executor, flags,
                                         conc_in((int64_t)test_random_below(&random, NAP_NS)));
        assert_true(err == 0 || (err == -ETIMEDOUT && (flags & CONC_SHUTDOWN_WAIT)));
    }
    for (unsigned i = 0; i < SUBMITTERS; i++)
        test_thread_join(&submitters[i].thread);
    assert_int_equal(conc_executor_free(c->executor), 0);
    for (unsigned i = 0; i < SUBMITTERS; i++)
        for (unsigned j = 0; j < JOBS; j++)
            check_entry(storm, &storm->entries[i][j]);
    assert_true(storm->inner_ran >= storm->inner_submitted);
    c->executor = executor_of(c->kind);
    test_free(storm);
}

static void test_a_storm(void **state)
{
    static unsigned round;
    struct stress s = stress_begin();
    s.end -= (s.end - real_now()) / 2; /* there are many kinds */
    conc_future_on_unobserved(ignore, NULL);
    while (stress_goes_on(&s))
        blow(*state, round++);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_EXECUTOR(test_a_storm),
};

TEST_MAIN(tests, 90)
