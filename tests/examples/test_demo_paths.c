/* SPDX-License-Identifier: MIT
 *
 * test_demo_paths.c: what the demo server answers on each of its paths.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"
#include "support/geocode.h"
#include "support/json.h"

static struct demo demo;

static int start(void **state)
{
    demo_start(&demo, &(struct server_options){.api_key = "sesame"}, "threads", 0);
    return 0;
}

static int stop(void **state)
{
    demo_stop(&demo, CONC_S(1));
    return 0;
}

static const char *url_of(const char *path)
{
    static char url[HTTP_URL_MAX];

    snprintf(url, sizeof url, "%s%s", server_url(demo.server), path);
    return url;
}

static json_t *get_json(const char *path)
{
    json_t *json = NULL;

    if (http_get_json(url_of(path), NULL, &json, conc_in(CONC_S(20))) < 0)
        fail_msg("%s", conc_error_message());
    return json;
}

/* ---- /geocode ---- */

static void test_geocode_of_a_known_city_gives_its_place(void **state)
{
    static const struct {
        const char *name, *address;
        int lat, lng; /* whole degrees, towards zero */
    } ROWS[] = {
        {"Reykjavik", "Reykjavík, Iceland", 64, -21},
        {"Vien", "Vienna, Austria", 48, 16},
        {"Vienna", "Vienna, Austria", 48, 16},
        {"Zadar", "Zadar, Croatia", 44, 15},
        {"Venice", "Venice, Italy", 45, 12},
        {"Wrocław", "Wrocław, Poland", 51, 17},
        {"Bologna", "Bologna, Italy", 44, 11},
        {"BERLIN", "Berlin, Germany", 52, 13},
        {"Słubice", "Słubice, Poland", 52, 14},
        {"New York", "New York, NY, USA", 40, -74},
        {"Dehli", "Delhi, India", 28, 77},
        {"Delhi", "Delhi, India", 28, 77},
        {"Warsaw", "Warsaw, Poland", 52, 21},
        {"東京", "Tokyo, Japan", 35, 139},
    };
    const struct geocoding api = {.server = server_url(demo.server)};

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct place place;

        if (geocode(&api, ROWS[i].name, &place, conc_in(CONC_S(20))) < 0)
            fail_msg("%s", conc_error_message());
        assert_string_equal(place.formatted_address, ROWS[i].address);
        assert_int_equal((int)place.lat, ROWS[i].lat);
        assert_int_equal((int)place.lng, ROWS[i].lng);
    }
}

static void test_geocode_decodes_its_query(void **state)
{
    char body[512];

    assert_int_equal(demo_get(&demo, "/geocode?x=1&address=new+york&y=2", body, sizeof body), 200);
    assert_non_null(strstr(body, "New York, NY, USA"));
    assert_int_equal(demo_get(&demo, "/geocode?address=%62erlin", body, sizeof body), 200);
    assert_non_null(strstr(body, "Berlin"));
}

static void test_geocode_of_bad_names_says_so(void **state)
{
    static const struct {
        const char *path;
        int status;
    } ROWS[] = {
        {"/geocode?address=Atlantis", 404}, {"/geocode", 400},
        {"/geocode?address=", 400},         {"/geocode?addres=Berlin", 400},
        {"/geocode?address=%zz", 400},      {"/geocode?address=Ber%00lin", 400},
        {"/geocode?address=%e", 400},       {"/geocode/deeper?address=Berlin", 404},
        {"/geocodes?address=Berlin", 404},  {"/geocode?address=Berlin%7CBerlin", 404},
    };
    char body[512];

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        assert_int_equal(demo_get(&demo, ROWS[i].path, body, sizeof body), ROWS[i].status);
        assert_non_null(strstr(body, "\"error\""));
    }
}

/* ---- /latest ---- */

static void test_latest_has_all_rates_for_each_base(void **state)
{
    static const char *const NAMES[] = {"USD", "EUR", "PLN", "NOK", "CZK"};

    for (size_t i = 0; i < 5; i++) {
        char path[32];
        json_t *json, *rates;

        snprintf(path, sizeof path, "/latest?base=%s", NAMES[i]);
        json = get_json(path);
        rates = json_object_get(json, "rates");
        assert_string_equal(json_string_value(json_object_get(json, "base")), NAMES[i]);
        assert_int_equal(json_object_size(rates), 5);
        assert_true(json_number_value(json_object_get(rates, NAMES[i])) == 1.0);
        json_decref(json);
    }
    assert_int_equal(demo_get(&demo, "/latest?base=XXX", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/latest?base=TOOLONGANAME", NULL, 0), 400);
}

/* ---- /posts ---- */

static void test_posts_have_the_sizes_of_the_chapter(void **state)
{
    static const struct {
        const char *path;
        size_t size;
    } ROWS[] = {{"/posts?userId=1", 27520}, {"/posts?userId=5", 3707}, {"/posts?userId=8", 2255}};

    for (size_t i = 0; i < 3; i++) {
        struct http_response response;
        json_t *json;

        assert_int_equal(http_get(url_of(ROWS[i].path), &response, conc_in(CONC_S(20))), 0);
        assert_int_equal(response.size, ROWS[i].size);
        assert_int_equal(http_json("posts", &response, &json), 0);
        assert_int_equal(json_array_size(json), 10);
        json_decref(json);
        http_response_free(&response);
    }
}

static void test_posts_of_everybody_and_of_nobody(void **state)
{
    json_t *json = get_json("/posts");

    assert_int_equal(json_array_size(json), 100);
    json_decref(json);
    json = get_json("/posts?userId=11");
    assert_int_equal(json_array_size(json), 0);
    json_decref(json);
    assert_int_equal(demo_get(&demo, "/posts?userId=one", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/posts?userId=-1", NULL, 0), 400);
}

/* ---- /repos ---- */

static void test_commits_follow_the_links_to_the_last_page(void **state)
{
    char url[HTTP_URL_MAX];
    size_t commits = 0;
    int pages = 0;
    bool more = true;

    snprintf(url, sizeof url, "%s", url_of("/repos/MatthewWilkes/apd.aggregation/commits"));
    while (more) {
        struct http_response response;
        json_t *json;

        assert_int_equal(http_get(url, &response, conc_in(CONC_S(20))), 0);
        assert_int_equal(http_json(url, &response, &json), 0);
        assert_int_equal(strlen(json_string_value(json_object_get(json_array_get(json, 0), "sha"))),
                         40);
        commits += json_array_size(json);
        json_decref(json);
        more = http_next_link(&response, url, sizeof url);
        http_response_free(&response);
        assert_true(++pages < 10);
    }
    assert_int_equal(pages, 4);
    assert_int_equal(commits, 95);
}

static void test_commits_refuse_what_is_no_repository(void **state)
{
    static const struct {
        const char *path;
        int status;
    } ROWS[] = {
        {"/repos/a/b/commits", 200},
        {"/repos/a/b/commits?page=9999", 200},
        {"/repos/a/b/commits?page=0", 400},
        {"/repos/a/b/commits?page=x", 400},
        {"/repos/a/b", 404},
        {"/repos/a//commits", 404},
        {"/repos//b/commits", 404},
        {"/repos", 404},
        {"/repos/a/b/commits/more", 404},
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        assert_int_equal(demo_get(&demo, ROWS[i].path, NULL, 0), ROWS[i].status);
}

static void test_links_name_the_host_that_was_asked_unless_it_is_a_strange_one(void **state)
{
    static const char *const HOSTS[] = {"example.org:81", "<evil>; rel=next, <x>"};

    for (int i = 0; i < 2; i++) {
        int fd = demo_connect(&demo);
        char text[65536];

        snprintf(text, sizeof text,
                 "GET /repos/MatthewWilkes/apd.sensors/commits HTTP/1.1\r\nHost: %s\r\n\r\n",
                 HOSTS[i]);
        raw_send(fd, text, strlen(text));
        assert_int_equal(raw_read_answer(fd, text, sizeof text), 200);
        if (i == 0)
            assert_non_null(strstr(text, "<http://example.org:81/repos/MatthewWilkes/apd.sensors/"
                                         "commits?page=2>; rel=\"next\""));
        else
            assert_null(strstr(text, "evil"));
        close(fd);
    }
}

/* ---- /v/2.0/sensors/ ---- */

static void test_sensors_want_the_key(void **state)
{
    static const char *const GOOD[] = {"x-api-key: sesame", NULL};
    static const char *const BAD[] = {"X-API-KEY: Sesame", NULL};
    json_t *json = NULL;
    const char *error;

    assert_int_equal(http_get_json(url_of("/v/2.0/sensors/"), GOOD, &json, conc_in(CONC_S(20))), 0);
    assert_int_equal(json_array_size(json_object_get(json, "sensors")), 5);
    for (size_t i = 0; i < 5; i++) {
        json_t *sensor = json_array_get(json_object_get(json, "sensors"), i);

        assert_true(json_is_string(json_object_get(sensor, "id")));
        assert_true(json_is_string(json_object_get(sensor, "title")));
        assert_non_null(json_object_get(sensor, "value"));
        assert_true(json_is_string(json_object_get(sensor, "human_readable")));
    }
    json_decref(json);
    assert_int_equal(http_get_json(url_of("/v/2.0/sensors/"), BAD, &json, conc_in(CONC_S(20))),
                     -EACCES);
    error = conc_error_message();
    assert_non_null(strstr(error, "403 Forbidden (Supply API key in X-API-KEY header)"));
    assert_int_equal(demo_get(&demo, "/v/2.0/sensors", NULL, 0), 403);
}

/* ---- The others ---- */

static void test_page_has_the_size_asked_for(void **state)
{
    static const int SIZES[] = {1, 2, 100, 16384};

    for (size_t i = 0; i < 4; i++) {
        struct http_response response;
        char path[32];

        snprintf(path, sizeof path, "/page/%d", SIZES[i]);
        assert_int_equal(http_get(url_of(path), &response, conc_in(CONC_S(20))), 0);
        assert_int_equal(response.size, SIZES[i] * 1024);
        assert_memory_equal(response.body, "<!DOCTYPE html>", 15);
        assert_string_equal(response.body + response.size - 8, "</html>\n");
        http_response_free(&response);
    }
    assert_int_equal(demo_get(&demo, "/page/0", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/page/16385", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/page/", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/page", NULL, 0), 400);
}

static void test_delay_takes_its_time(void **state)
{
    int64_t started = conc_now();

    assert_int_equal(demo_get(&demo, "/delay/100", NULL, 0), 200);
    assert_true(conc_now() - started >= CONC_MS(100));
    assert_int_equal(demo_get(&demo, "/delay/-1", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/delay/60001", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/delay/99999999999999999999", NULL, 0), 400);
}

static void test_status_is_as_asked_for(void **state)
{
    static const int STATUSES[] = {200, 204, 404, 429, 500, 503, 599};

    for (size_t i = 0; i < 7; i++) {
        char path[32];

        snprintf(path, sizeof path, "/status/%d", STATUSES[i]);
        assert_int_equal(demo_get(&demo, path, NULL, 0), STATUSES[i]);
    }
    assert_int_equal(demo_get(&demo, "/status/500/geocode?address=Berlin", NULL, 0), 500);
    assert_int_equal(demo_get(&demo, "/status/100", NULL, 0), 400);
    assert_int_equal(demo_get(&demo, "/status/600", NULL, 0), 400);
}

static void test_stats_count_what_was_answered(void **state)
{
    int64_t good = demo_stat(&demo, "answers.200"), missing = demo_stat(&demo, "answers.404");

    assert_int_equal(demo_get(&demo, "/nowhere", NULL, 0), 404);
    assert_int_equal(demo_get(&demo, "/geocode?address=Rome", NULL, 0), 200);
    assert_int_equal(demo_stat(&demo, "answers.404"), missing + 1);
    /* The city, and those of /stats itself except the one that says so. */
    assert_int_equal(demo_stat(&demo, "answers.200"), good + 4);
    assert_true(demo_stat(&demo, "busy_most") >= 1);
}

static void test_root_lists_the_paths(void **state)
{
    char body[4096];

    assert_int_equal(demo_get(&demo, "/", body, sizeof body), 200);
    assert_non_null(strstr(body, "/geocode?address=NAME"));
    assert_non_null(strstr(body, "/bad/hang"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geocode_of_a_known_city_gives_its_place),
        cmocka_unit_test(test_geocode_decodes_its_query),
        cmocka_unit_test(test_geocode_of_bad_names_says_so),
        cmocka_unit_test(test_latest_has_all_rates_for_each_base),
        cmocka_unit_test(test_posts_have_the_sizes_of_the_chapter),
        cmocka_unit_test(test_posts_of_everybody_and_of_nobody),
        cmocka_unit_test(test_commits_follow_the_links_to_the_last_page),
        cmocka_unit_test(test_commits_refuse_what_is_no_repository),
        cmocka_unit_test(test_links_name_the_host_that_was_asked_unless_it_is_a_strange_one),
        cmocka_unit_test(test_sensors_want_the_key),
        cmocka_unit_test(test_page_has_the_size_asked_for),
        cmocka_unit_test(test_delay_takes_its_time),
        cmocka_unit_test(test_status_is_as_asked_for),
        cmocka_unit_test(test_stats_count_what_was_answered),
        cmocka_unit_test(test_root_lists_the_paths),
    };

    return cmocka_run_group_tests_name("demo_paths", tests, start, stop);
}
