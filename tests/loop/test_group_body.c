/* SPDX-License-Identifier: MIT
 *
 * test_group_body.c: the body of a group, as a thread and as a task: what it blocks in, and how it
 * learns what has happened to the members.
 */
#include "ways.h"

#include <string.h>

#include <conc/group.h>
#include <conc/queue.h>
#include <conc/task.h>

/* Where start() submits; members run beside the body. */
static conc_executor *members(void) { return way_executor(); }

/* ---- A member fails while the body waits for what it should have given ---- */

static int job_produce(void *arg, void *result)
{
    (void)result;
    conc_queue *queue = *(conc_queue **)arg;
    for (int i = 1; i <= 3; i++)
        CHECK_EQUAL(conc_queue_put(queue, &i, CONC_FOREVER), 0);
    return conc_raise(-EIO, "the producer has failed");
}

static void test_a_body_that_waits_for_a_failed_member_learns_of_it(void)
{
    conc_queue queue, *q = &queue;
    int err = 0, item, sum = 0;
    CHECK_EQUAL(conc_queue_init(&queue, sizeof(int), 1, CONC_FIFO), 0);
    conc_with_group (g, &err, CONC_FOREVER) {
        conc_group_submit(g, members(), job_produce, &q, sizeof q, NULL, 0);
        while ((err = conc_queue_get(&queue, &item, CONC_FOREVER)) == 0)
            sum += item;
        CHECK_EQUAL(err, -ECANCELED);
    }
    CHECK_EQUAL(err, -EIO);
    CHECK(!strcmp(conc_error_message(), "the producer has failed"));
    CHECK(sum <= 6); /* what it had put, or less: the error came first */
    CHECK_EQUAL(conc_check_cancel(), 0);
    conc_queue_destroy(&queue);
}

/* ---- The first to connect wins ---- */

struct race {
    conc_group *group;
    int winner;
};

struct runner {
    struct race *race;
    int number;
    int64_t ns;
};

static int job_run(void *arg, void *result)
{
    (void)result;
    struct runner *r = arg;
    int err = conc_sleep(r->ns);
    if (err)
        return err;
    r->race->winner = r->number;
    conc_group_cancel(r->race->group);
    return 0;
}

static void test_a_member_that_has_what_is_wanted_ends_the_group_well(void)
{
    struct race race = {0};
    int err = 0;
    conc_with_group (g, &err, CONC_FOREVER) {
        race.group = g;
        const struct runner slow = {&race, 1, CONC_S(1000)}, fast = {&race, 2, CONC_MS(1)};
        conc_group_start_soon(g, members(), job_run, &slow, sizeof slow);
        conc_group_start_soon(g, members(), job_run, &fast, sizeof fast);
        err = conc_sleep(CONC_S(1000));
    }
    CHECK_EQUAL(err, 0);
    CHECK_EQUAL(race.winner, 2);
}

/* ---- Everything at the same time ---- */

static int job_end_somehow(void *arg, void *result)
{
    (void)result;
    int us = *(int *)arg;
    int err = conc_sleep(CONC_US(us < 0 ? -us : us));
    return err ? err : us < 0 ? -EIO : 0;
}

/* A member fails, the body ends, the program cancels, an outer deadline comes: all at about the
 * same time. */
static void race_once(struct test_random *r)
{
    conc_scope scope;
    int err = 0;
    conc_scope_enter(&scope, conc_in(CONC_US((int64_t)test_random_below(r, 400))));
    conc_with_group (g, &err,
                     test_random_below(r, 3)
                         ? CONC_FOREVER
                         : conc_in(CONC_US((int64_t)test_random_below(r, 300)))) {
        for (int i = 0; i < 4; i++) {
            int us = (int)test_random_below(r, 300);
            us = test_random_below(r, 4) ? us : -us;
            conc_group_submit(g, members(), job_end_somehow, &us, sizeof us, NULL, 0);
        }
        err = conc_sleep(CONC_US((int64_t)test_random_below(r, 300)));
        if (test_random_below(r, 8) == 0)
            conc_group_cancel(g);
        if (test_random_below(r, 8) == 0)
            break;
    }
    CHECK(err == 0 || err == -EIO || err == -ETIMEDOUT || err == -ECANCELED);
    int why = conc_scope_exit(&scope);
    CHECK(why == 0 || why == -ETIMEDOUT);
    CHECK(err != -ECANCELED || why == -ETIMEDOUT); /* it has one meaning */
    CHECK_EQUAL(conc_check_cancel(), 0);
}

static void test_whatever_comes_first_the_group_ends_in_one_piece(void)
{
    struct test_random r = test_random_for(7);
    for (int i = 0; i < (int)crowd_of(300); i++)
        race_once(&r);
}

static const struct CMUnitTest tests[] = {
    ON_EVERY_WAY(test_a_body_that_waits_for_a_failed_member_learns_of_it),
    ON_EVERY_WAY(test_a_member_that_has_what_is_wanted_ends_the_group_well),
    ON_EVERY_WAY(test_whatever_comes_first_the_group_ends_in_one_piece),
};

TEST_MAIN(tests, 60)
