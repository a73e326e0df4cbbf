/* SPDX-License-Identifier: MIT
 *
 * test_timeline.c: noting steps in many contexts at once; charts and pictures of steps whose times
 * are known.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <conc.h>

#include "support/timeline.h"

/* ---- Noting ---- */

enum { CONTEXTS = 8, ROUNDS = 200 };

struct noter {
    struct timeline *timeline;
    conc_barrier *barrier; /* NULL: none */
    int number;
};

/* Each has a name of its own, but the last two. */
static int note_steps(void *arg, void *result)
{
    struct noter *n = arg;
    char name[CONC_NAME_MAX];

    snprintf(name, sizeof name, "noter %d", n->number < CONTEXTS - 1 ? n->number : CONTEXTS - 2);
    conc_context_set_name(name);
    if (n->barrier != NULL && conc_barrier_wait(n->barrier, CONC_FOREVER) < 0)
        return -EIO;
    for (int i = 0; i < ROUNDS; i++) {
        timeline_about(n->timeline, "round %d of %d", i, n->number);
        timeline_begin(n->timeline, "work");
        timeline_wait(n->timeline, "others");
        conc_yield();
        timeline_end(n->timeline);
    }
    return 0;
}

/* Every lane has all steps of one context, in their order. */
static void check_lanes(struct timeline *t)
{
    bool seen[CONTEXTS] = {false};

    assert_int_equal(timeline_finish(t), 0);
    assert_int_equal(t->count, CONTEXTS);
    for (size_t i = 0; i < t->count; i++) {
        const struct timeline_lane *lane = &t->lanes[i];
        int round, number;

        assert_int_equal(lane->count, 2 * ROUNDS);
        for (size_t j = 0; j < lane->count; j++) {
            const struct timeline_step *step = &lane->steps[j];

            assert_string_equal(step->name, j % 2 == 0 ? "work" : "others");
            assert_int_equal(step->waits, j % 2 == 1);
            assert_int_equal(sscanf(step->about, "round %d of %d", &round, &number), 2);
            assert_int_equal(round, j / 2);
            assert_true(step->begin < step->end);
            assert_true(j == 0 || lane->steps[j - 1].end <= step->begin);
        }
        assert_false(seen[number]);
        seen[number] = true;
        if (i >= 2)
            assert_true(strcmp(t->lanes[i - 1].name, lane->name) <= 0);
    }
}

static void test_threads_at_once_have_a_lane_each(void **state)
{
    conc_barrier barrier;
    conc_thread *threads[CONTEXTS];
    struct timeline t;

    timeline_init(&t, "threads");
    assert_int_equal(conc_barrier_init(&barrier, CONTEXTS, NULL, NULL), 0);
    for (int i = 0; i < CONTEXTS; i++) {
        struct noter n = {&t, &barrier, i};
        assert_int_equal(conc_thread_start(&threads[i], note_steps, &n, sizeof n, NULL), 0);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        assert_int_equal(conc_thread_join(threads[i], NULL, CONC_FOREVER), 0);
        conc_thread_free(threads[i]);
    }
    check_lanes(&t);
    timeline_destroy(&t);
}

static int spawn_noters(void *arg, void *result)
{
    int err = 0;

    conc_with_group (group, &err, CONC_FOREVER) {
        for (int i = 0; i < CONTEXTS; i++) {
            struct noter n = {*(struct timeline **)arg, NULL, i};
            conc_group_submit(group, NULL, note_steps, &n, sizeof n, NULL, 0);
        }
    }
    return err;
}

static void test_tasks_of_one_thread_have_a_lane_each(void **state)
{
    struct timeline t, *arg = &t;

    timeline_init(&t, "tasks");
    assert_int_equal(conc_run(spawn_noters, &arg, sizeof arg, NULL, 0), 0);
    check_lanes(&t);
    timeline_destroy(&t);
}

static void test_a_step_that_has_not_ended_ends_with_the_timeline(void **state)
{
    struct timeline t;
    int64_t begin;

    timeline_init(&t, "open");
    timeline_end(&t); /* nothing has begun: nothing happens */
    assert_int_equal(timeline_length(&t, &begin), 0);
    timeline_begin(&t, "work");
    assert_int_equal(t.lanes[0].steps[0].end, 0);
    assert_int_equal(timeline_finish(&t), 0);
    const int64_t end = t.lanes[0].steps[0].end;
    assert_true(end > t.lanes[0].steps[0].begin);
    assert_int_equal(timeline_finish(&t), 0);
    assert_int_equal(t.lanes[0].steps[0].end, end);
    const int64_t length = timeline_length(&t, &begin);
    assert_int_equal(length, end - begin);
    timeline_destroy(&t);
}

static void test_what_a_step_is_about_holds_until_an_end(void **state)
{
    struct timeline t;

    timeline_init(&t, "about");
    timeline_about(&t, "%s", "this");
    timeline_begin(&t, "one");
    timeline_begin(&t, "two");
    timeline_end(&t);
    timeline_begin(&t, "three");
    timeline_about(&t, "%0*d", 2 * TIMELINE_ABOUT_MAX, 1); /* cut */
    timeline_begin(&t, "four");
    assert_int_equal(timeline_finish(&t), 0);
    assert_int_equal(t.count, 1);
    assert_string_equal(t.lanes[0].steps[0].about, "this");
    assert_string_equal(t.lanes[0].steps[1].about, "this");
    assert_string_equal(t.lanes[0].steps[2].about, "");
    assert_int_equal(strlen(t.lanes[0].steps[3].about), TIMELINE_ABOUT_MAX - 1);
    timeline_destroy(&t);
}

static void test_a_thread_that_is_renamed_begins_a_lane(void **state)
{
    struct timeline t;

    timeline_init(&t, "names");
    for (int i = 0; i < 4; i++) {
        conc_context_set_name(i % 2 == 0 ? "one" : "two");
        timeline_begin(&t, "work");
        timeline_end(&t);
    }
    conc_context_set_name("main");
    assert_int_equal(timeline_finish(&t), 0);
    assert_int_equal(t.count, 2);
    assert_string_equal(t.lanes[0].name, "one");
    assert_string_equal(t.lanes[1].name, "two");
    assert_int_equal(t.lanes[0].count, 2);
    assert_int_equal(t.lanes[1].count, 2);
    timeline_destroy(&t);
}

/* ---- Charts ---- */

/* A step of a context that never was. Times are in milliseconds after a moment. */
static void add(struct timeline *t, uint32_t context, const char *name, const char *step,
                bool waits, double begin, double end)
{
    static const int64_t MOMENT = CONC_S(1000);
    struct timeline_lane *lane = NULL;

    for (size_t i = 0; i < t->count; i++)
        if (t->lanes[i].context == context)
            lane = &t->lanes[i];
    if (lane == NULL) {
        t->lanes = realloc(t->lanes, (t->count + 1) * sizeof *t->lanes);
        assert_non_null(t->lanes);
        lane = &t->lanes[t->count++];
        *lane = (struct timeline_lane){.context = context};
        strcpy(lane->name, name);
    }
    lane->steps = realloc(lane->steps, (lane->count + 1) * sizeof *lane->steps);
    assert_non_null(lane->steps);
    lane->steps[lane->count++] = (struct timeline_step){
        .name = step,
        .waits = waits,
        .begin = MOMENT + (int64_t)(begin * CONC_MS(1)),
        .end = MOMENT + (int64_t)(end * CONC_MS(1)),
    };
}

static void prints(struct timeline *t, size_t width, const char *expected)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    assert_int_equal(timeline_finish(t), 0);
    assert_int_equal(timeline_print(t, out, width), 0);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
    timeline_destroy(t);
}

static void test_chart_of_nothing(void **state)
{
    struct timeline t;

    timeline_init(&t, "Nothing");
    prints(&t, 40, "Nothing: 0.0 ms\n");
}

static void test_chart_shares_out_the_columns_by_time(void **state)
{
    struct timeline t;

    timeline_init(&t, "Even");
    add(&t, 1, "main", "work", false, 0, 10);
    add(&t, 1, "main", "others", true, 10, 30);
    add(&t, 1, "main", "work", false, 35, 40);
    prints(&t, 40,
           "Even: 40.0 ms\n"
           "  main |WWWWWWWWWW...................     WWWWWW|\n"
           "        '0.0     '9.0     '18.4    '27.9    '36.7 ms\n"
           "        W work   . waiting\n");
}

static void test_chart_has_a_column_for_the_shortest_step_and_keeps_the_order(void **state)
{
    struct timeline t;

    timeline_init(&t, "Short");
    add(&t, 1, "main", "work", false, 0, 1000);
    add(&t, 2, "b", "one", false, 500, 500.001);
    add(&t, 2, "b", "other", false, 500.001, 500.002);
    add(&t, 3, "a", "one", false, 500.002, 500.003);
    prints(&t, 20,
           "Short: 1000.0 ms\n"
           "  main |WWWWWWWWWWWWWWWWWWWW|\n"
           "  a    |          O         |\n"
           "  b    |        OT          |\n"
           "        '0.0     '500     '889 ms\n"
           "        W work   O one   T other   . waiting\n");
}

static void test_chart_is_wider_than_asked_for_where_there_are_more_steps(void **state)
{
    struct timeline t;

    timeline_init(&t, "Many");
    for (int i = 0; i < 30; i++)
        add(&t, 1, "main", i % 2 == 0 ? "a" : "b", false, i, i + 1);
    prints(&t, 20,
           "Many: 30.0 ms\n"
           "  main |ABABABABABABABABABABABABABABAB|\n"
           "        '0.0     '9.0     '18.0    '27.0 ms\n"
           "        A a   B b   . waiting\n");
}

static void test_letters_differ_as_long_as_there_are_any(void **state)
{
    static const char *const NAMES[] = {"parse", "put", "p", "Parse it", "pup", "9", "parse"};
    struct timeline t;

    timeline_init(&t, "Letters");
    for (int i = 0; i < 7; i++)
        add(&t, 1, "main", NAMES[i], false, i, i + 1);
    prints(&t, 21,
           "Letters: 7.0 ms\n"
           "  main |PPPUUUAAARRRBBBCCCPPP|\n"
           "        '0.0     '3.0     '6.0 ms\n"
           "        P parse   U put   A p   R Parse it   B pup   C 9   . waiting\n");
}

/* ---- Pictures ---- */

/* A file's text; the file is removed. */
static void take_file(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    text[fread(text, 1, room - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_int_equal(remove(path), 0);
}

static void test_picture_of_any_words(void **state)
{
    char folder[] = "/tmp/timeline-XXXXXX", base[64], path[80], text[16384];
    struct timeline t;

    assert_non_null(mkdtemp(folder));
    snprintf(base, sizeof base, "%s/picture", folder);
    timeline_init(&t, "A & B < 'C' \"D\" \\ E `F` @G");
    add(&t, 1, "<main>", "'work' & more", false, 0, 1);
    add(&t, 1, "<main>", "the rest", true, 1, 1000);
    assert_int_equal(timeline_finish(&t), 0);
    const int err = timeline_picture(&t, 1, base);
    assert_true(err == 0 || err == -ENOPKG);
    timeline_destroy(&t);

    snprintf(path, sizeof path, "%s.svg", base);
    take_file(path, text, sizeof text);
    assert_non_null(strstr(text, ">A &amp; B &lt; 'C' \"D\" \\ E `F` @G: 1000.0 ms</text>"));
    assert_non_null(strstr(text, ">&lt;main></text>"));
    assert_non_null(strstr(text, "<title>'work' &amp; more: 1.000 ms</title>"));
    assert_non_null(strstr(text, "<title>waiting for the rest: 999.000 ms</title>"));
    if (err == 0) { /* else gnuplot is not installed */
        snprintf(path, sizeof path, "%s.png", base);
        take_file(path, text, sizeof text);
        assert_memory_equal(text, "\x89PNG", 4);
    }
    assert_int_equal(remove(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_at_once_have_a_lane_each),
        cmocka_unit_test(test_tasks_of_one_thread_have_a_lane_each),
        cmocka_unit_test(test_a_step_that_has_not_ended_ends_with_the_timeline),
        cmocka_unit_test(test_what_a_step_is_about_holds_until_an_end),
        cmocka_unit_test(test_a_thread_that_is_renamed_begins_a_lane),
        cmocka_unit_test(test_chart_of_nothing),
        cmocka_unit_test(test_chart_shares_out_the_columns_by_time),
        cmocka_unit_test(test_chart_has_a_column_for_the_shortest_step_and_keeps_the_order),
        cmocka_unit_test(test_chart_is_wider_than_asked_for_where_there_are_more_steps),
        cmocka_unit_test(test_letters_differ_as_long_as_there_are_any),
        cmocka_unit_test(test_picture_of_any_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
