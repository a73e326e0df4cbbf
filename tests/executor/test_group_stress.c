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

static ptrdiff_t submit_member(struct play *play, int depth, int *ret)
{
    struct member m = {play, depth};
    ptrdiff_t index = conc_group_submit(play->group, play->c->executor, job_member, &m, sizeof m,
                                        ret, sizeof(int));
    CHECK(index >= 0 || index == -ECANCELED);
    return index;
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
            submit_member(m->play, m->depth - 1, NULL);
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
    ptrdiff_t indices[PER_THREAD];
};

static void submit_from_outside(void *arg)
{
    struct outside *o = arg;
    struct test_random random = test_random_for(o->play->round * 1000 + o->number);
    for (int i = 0; i < PER_THREAD; i++) {
        o->results[i] = -1;
        o->indices[i] = submit_member(o->play, DEPTH, &o->results[i]);
        if (test_random_below(&random, 2))
            conc_yield();
        if (test_random_below(&random, 40) == 0)
            conc_group_cancel(o->play->group);
    }
}

static void check_wait(int err)
{
    CHECK(err == 0 || err == -EIO || err == -ECANCELED || err == -ETIMEDOUT);
    if (err == -EIO)
        assert_string_equal(conc_error_message(), "bad luck");
}

static void check_members(const struct play *play, const struct outside *outsides)
{
    int ended = 0;
    size_t n = conc_group_size(play->group);
    for (size_t i = 0; i < n; i++) {
        const char *message = NULL;
        int err = conc_group_error(play->group, i, &message);
        assert_true(err == 0 || err == -EIO || err == -ECANCELED);
        assert_string_equal(message, err == -EIO ? "bad luck" : "");
        ended += err != -ECANCELED;
    }
    assert_true(ended <= play->begun && (size_t)play->begun <= n);
    for (int t = 0; t < OUTSIDE; t++) {
        for (int i = 0; i < PER_THREAD; i++) {
            ptrdiff_t index = outsides[t].indices[i];
            bool good = index >= 0 && conc_group_error(play->group, (size_t)index, NULL) == 0;
            assert_int_equal(outsides[t].results[i], good ? 42 : -1);
        }
    }
}

static void play_once(const struct executor_case *c, unsigned round)
{
    struct test_random random = test_random_for(round * 1000);
    struct play play = {.group = test_malloc(sizeof(conc_group)), .c = c, .round = round};
    struct outside outsides[OUTSIDE];
    conc_group_init(play.group);
    for (unsigned i = 0; i < OUTSIDE; i++) {
        outsides[i].play = &play;
        outsides[i].number = i + 1;
        test_thread_start(&outsides[i].thread, "outside", submit_from_outside, &outsides[i]);
    }
    if (test_random_below(&random, 4)) /* races the submissions */
        check_wait(
            conc_group_wait(play.group, conc_in((int64_t)test_random_below(&random, WAIT_NS))));
    if (c->queue == 1) /* or the members that block would keep those outside waiting for room */
        conc_group_cancel(play.group);
    for (int i = 0; i < OUTSIDE; i++)
        test_thread_join(&outsides[i].thread);
    int err = -EAGAIN;
    if (test_random_below(&random, 4)) {
        err =
            conc_group_wait(play.group, conc_in((int64_t)test_random_below(&random, 2 * WAIT_NS)));
        check_wait(err);
    } else {
        conc_group_destroy(play.group); /* without a wait */
        conc_group_init(play.group);
    }
    store_release(&play.over, 1);
    assert_int_equal(load_acquire(&play.running), 0);
    if (err != -EAGAIN)
        check_members(&play, outsides);
    conc_group_destroy(play.group);
    test_free(play.group);
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
