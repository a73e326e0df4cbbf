/* SPDX-License-Identifier: MIT
 *
 * test_group_stress.c: groups at random: members that succeed, fail, block until they are
 * cancelled, and submit further members, while others submit from outside, cancel, and time runs
 * out. No member may run once the wait is over, every result and error must be in its place, and
 * the group may be freed at once.
 */
#include "executors.h"

#include <conc/group.h>

enum {
    OUTSIDE = 2, /* threads that submit from outside */
    PER_THREAD = 6,
    DEPTH = 2,
    WAIT_NS = 300000,
};

struct play {
    conc_group *group;
    const struct executor_case *c;
    unsigned round;
    int running, begun; /* members; atomic */
    uint32_t over;      /* the wait has ended: no member may run any more */
    uint32_t serial;    /* atomic: for the members' random numbers */
};

struct member {
    struct play *play;
    int depth;
};

static int job_member(void *arg, void *result);

/* Returns its future, if `lent`; else NULL. */
static conc_future *submit_member(struct play *play, int depth, int *ret, bool lent)
{
    struct member m = {play, depth};
    if (lent)
        return conc_group_submit(play->group, play->c->executor, job_member, &m, sizeof m, ret,
                                 sizeof(int));
    int err = conc_group_start_soon(play->group, play->c->executor, job_member, &m, sizeof m);
    CHECK(err == 0 || err == -ECANCELED);
    return NULL;
}

static int act(const struct member *m, struct test_random *random)
{
    switch (test_random_below(random, 16)) {
    case 0:
        return conc_raise(-EIO, "bad luck");
    case 1:
    case 2:
        return conc_sleep_until(CONC_FOREVER);
    case 3:
        return conc_sleep((int64_t)test_random_below(random, WAIT_NS));
    case 4:
    case 5:
    case 6:
        for (int i = 0; i < 2 && m->depth > 0; i++)
            submit_member(m->play, m->depth - 1, NULL, i == 0);
        return 0;
    case 7:
        conc_group_cancel(m->play->group);
        return conc_check_cancel();
    default:
        return 0;
    }
}

static int job_member(void *arg, void *result)
{
    struct member *m = arg;
    struct play *p = m->play;
    CHECK_EQUAL(load_acquire(&p->over), 0);
    __atomic_add_fetch(&p->running, 1, __ATOMIC_ACQ_REL);
    __atomic_add_fetch(&p->begun, 1, __ATOMIC_ACQ_REL);
    struct test_random random =
        test_random_for(p->round * 1000 + 10 + __atomic_add_fetch(&p->serial, 1, __ATOMIC_ACQ_REL));
    int err = act(m, &random);
    if (result)
        *(int *)result = 42;
    CHECK_EQUAL(load_acquire(&p->over), 0);
    __atomic_sub_fetch(&p->running, 1, __ATOMIC_ACQ_REL);
    return err;
}

struct outside {
    struct test_thread thread;
    struct play *play;
    unsigned number;
    int results[PER_THREAD];
    conc_future *futures[PER_THREAD];
};

static void submit_from_outside(void *arg)
{
    struct outside *o = arg;
    struct test_random random = test_random_for(o->play->round * 1000 + o->number);
    for (int i = 0; i < PER_THREAD; i++) {
        o->results[i] = -1;
        o->futures[i] = conc_future_ref(submit_member(o->play, DEPTH, &o->results[i], true));
        if (test_random_below(&random, 2))
            conc_yield();
        if (test_random_below(&random, 40) == 0)
            conc_group_cancel(o->play->group);
        if (test_random_below(&random, 20) == 0)
            conc_future_cancel(o->futures[i]);
    }
}

static int body(struct play *play, struct outside *outsides, struct test_random *random)
{
    int err = 0;
    for (int i = 0; i < 4 && !err; i++) { /* races the submissions */
        submit_member(play, DEPTH, NULL, i % 2);
        err = conc_sleep((int64_t)test_random_below(random, WAIT_NS));
    }
    if (play->c->queue == 1) /* or the members that block would keep those outside waiting */
        conc_group_cancel(play->group);
    for (int i = 0; i < OUTSIDE; i++)
        test_thread_join(&outsides[i].thread);
    return test_random_below(random, 8) == 0 ? -EPROTO : err;
}

static void check_end(int err)
{
    CHECK(err == 0 || err == -EIO || err == -EPROTO || err == -ETIMEDOUT);
    if (err == -EIO)
        assert_string_equal(conc_error_message(), "bad luck");
}

static void check_members(const struct play *play, struct outside *outsides)
{
    for (int t = 0; t < OUTSIDE; t++) {
        for (int i = 0; i < PER_THREAD; i++) {
            conc_future *f = outsides[t].futures[i];
            assert_true(conc_future_is_done(f));
            int err = conc_future_error(f);
            assert_true(err == 0 || err == -EIO || err == -ECANCELED);
            assert_string_equal(conc_future_message(f), err == -EIO ? "bad luck" : "");
            assert_int_equal(outsides[t].results[i], err == 0 ? 42 : -1);
            conc_future_unref(f);
        }
    }
}

static void play_once(const struct executor_case *c, unsigned round)
{
    struct test_random random = test_random_for(round * 1000);
    struct play play = {.group = test_malloc(sizeof(conc_group)), .c = c, .round = round};
    struct outside outsides[OUTSIDE];
    /* Members that block wait for it, if nothing else ends the group. */
    conc_group_enter(play.group, conc_in((int64_t)test_random_below(&random, 16 * WAIT_NS)));
    for (unsigned i = 0; i < OUTSIDE; i++) {
        outsides[i].play = &play;
        outsides[i].number = i + 1;
        test_thread_start(&outsides[i].thread, "outside", submit_from_outside, &outsides[i]);
    }
    int err = body(&play, outsides, &random);
    if (!err && test_random_below(&random, 4) == 0)
        conc_group_cancel(play.group);
    check_end(conc_group_exit(play.group, err));
    store_release(&play.over, 1);
    assert_int_equal(load_acquire(&play.running), 0);
    test_free(play.group);
    check_members(&play, outsides);
}

static void test_no_member_outlives_its_group(void **state)
{
    static unsigned round;
    const struct executor_case *c = *state;
    for (struct stress s = stress_begin(); stress_goes_on(&s);)
        play_once(c, round++);
}

static const struct CMUnitTest tests[] = {
    ON_EXECUTOR(test_no_member_outlives_its_group, POOL_OF_4, "pool_of_4"),
    ON_EXECUTOR(test_no_member_outlives_its_group, BOUNDED_POOL, "bounded_pool"),
    ON_EXECUTOR(test_no_member_outlives_its_group, THREAD_PER_JOB, "thread_per_job"),
};

TEST_MAIN(tests, 60)
