/* SPDX-License-Identifier: MIT
 *
 * test_names.c: conc_getaddrinfo(), on threads and on tasks. The program has a getaddrinfo() of its
 * own (the linker's --wrap), which answers for names under ".test" when, and what, the test says.
 */
#include "ways.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <conc/net.h>
#include <conc/sem.h>

#include "io/names.h"

#define PAST conc_in(0)
#define SOON conc_in(CONC_MS(20))

/* ---- The program's own getaddrinfo() ---- */

typedef int lookup_fn(const char *host, const char *service, const struct addrinfo *hints,
                      struct addrinfo **ret);

static int asked;        /* how often it was asked for a name; atomic */
static conc_sem answers; /* "slow.test" takes one of these before it answers */

lookup_fn __wrap_getaddrinfo, __real_getaddrinfo;

/* "slow.test": this machine, when it is allowed to; "eaiN.test": the error N, with errno EMFILE if
 * that counts; "shortN.test": no such name, with errno N. */
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    if (hints && (hints->ai_flags & AI_NUMERICHOST))
        return __real_getaddrinfo(host, service, hints, ret);
    __atomic_add_fetch(&asked, 1, __ATOMIC_ACQ_REL);
    if (!host || !strstr(host, ".test"))
        return __real_getaddrinfo(host, service, hints, ret);
    int eai;
    if (sscanf(host, "eai%d.test", &eai) == 1) {
        errno = eai == EAI_SYSTEM ? EMFILE : ENOENT;
        return eai;
    }
    if (sscanf(host, "short%d.test", &errno) == 1)
        return EAI_NONAME;
    CHECK_EQUAL(conc_sem_acquire(&answers, CONC_FOREVER), 0);
    return __real_getaddrinfo("127.0.0.1", service, hints, ret);
}

static int times_asked(void) { return __atomic_load_n(&asked, __ATOMIC_ACQUIRE); }

/* ---- Numbers ---- */

static const struct addrinfo *lookup(const char *host, const char *service,
                                     const struct addrinfo *hints, conc_deadline deadline)
{
    struct addrinfo *found = NULL;
    CHECK_EQUAL(conc_getaddrinfo(host, service, hints, &found, deadline), 0);
    CHECK(found != NULL);
    return found;
}

static void drop(const struct addrinfo *found)
{
    freeaddrinfo((struct addrinfo *)(uintptr_t)found);
}

static void test_numbers_are_converted_without_asking(void)
{
    static const struct {
        const char *host;
        int family;
    } cases[] = {{"127.0.0.1", AF_INET}, {"::1", AF_INET6}, {"127.1", AF_INET}};
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int before = times_asked();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct addrinfo *found = lookup(cases[i].host, "80", &hints, CONC_NOW);
        CHECK_EQUAL(found->ai_family, cases[i].family);
        CHECK_EQUAL(found->ai_socktype, SOCK_STREAM);
        const struct sockaddr_in *in = (const struct sockaddr_in *)found->ai_addr;
        CHECK_EQUAL(ntohs(in->sin_port), 80); /* IPv6 has it at the same place */
        drop(found);
        drop(lookup(cases[i].host, NULL, NULL, CONC_FOREVER));
    }
    drop(lookup(NULL, "80", NULL, CONC_NOW));
    CHECK_EQUAL(times_asked(), before);
}

static void test_what_cannot_be_is_told_without_asking(void)
{
    const struct addrinfo numeric = {.ai_flags = AI_NUMERICHOST}, six = {.ai_family = AF_INET6},
                          bad = {.ai_flags = 0x40000000};
    struct addrinfo *found = (struct addrinfo *)&found;
    int before = times_asked();
    CHECK_EQUAL(conc_getaddrinfo("slow.test", NULL, &numeric, &found, CONC_NOW), -ENOENT);
    CHECK(!strncmp(conc_error_message(), "slow.test: ", 11));
    CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", NULL, &six, &found, CONC_NOW), -ENOENT);
    CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", NULL, &bad, &found, CONC_NOW), -EINVAL);
    CHECK_EQUAL(conc_getaddrinfo(NULL, NULL, NULL, &found, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", NULL, NULL, NULL, CONC_FOREVER), -EINVAL);
    CHECK(found == (struct addrinfo *)&found);
    CHECK_EQUAL(times_asked(), before);
}

/* ---- Names ---- */

static void test_names_are_looked_up(void)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    const struct addrinfo *found = lookup("localhost", "80", &hints, CONC_FOREVER);
    const struct sockaddr_in *in = (const struct sockaddr_in *)found->ai_addr;
    CHECK_EQUAL(in->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQUAL(ntohs(in->sin_port), 80);
    drop(found);
    drop(lookup("localhost", NULL, NULL, conc_in(CONC_S(30))));
}

static void test_services_are_looked_up(void)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int before = times_asked();
    CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", "no-such-service", &hints, &found, CONC_FOREVER),
                -ENOENT);
    CHECK(!strncmp(conc_error_message(), "no-such-service: ", 17));
    CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", "no-such-service", &hints, &found, CONC_NOW),
                -EAGAIN);
    CHECK_EQUAL(times_asked(), before + 1);
}

static void test_errors_are_told_as_errnos(void)
{
    static const struct {
        int eai, err;
    } cases[] = {
        {EAI_NONAME, -ENOENT},   {EAI_NODATA, -ENOENT},      {EAI_ADDRFAMILY, -ENOENT},
        {EAI_SERVICE, -ENOENT},  {EAI_AGAIN, -EHOSTUNREACH}, {EAI_FAIL, -EHOSTUNREACH},
        {EAI_BADFLAGS, -EINVAL}, {EAI_FAMILY, -EINVAL},      {EAI_SOCKTYPE, -EINVAL},
        {EAI_MEMORY, -ENOMEM},   {EAI_SYSTEM, -EMFILE},      {EAI_OVERFLOW, -EIO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct addrinfo *found = (struct addrinfo *)&found;
        char host[32], expected[128];
        snprintf(host, sizeof host, "eai%d.test", cases[i].eai);
        CHECK_EQUAL(conc_getaddrinfo(host, "80", NULL, &found, CONC_FOREVER), cases[i].err);
        CHECK(found == (struct addrinfo *)&found);
        snprintf(expected, sizeof expected, "%s: %s", cases[i].eai == EAI_SERVICE ? "80" : host,
                 cases[i].eai == EAI_SYSTEM ? conc_strerror(EMFILE) : gai_strerror(cases[i].eai));
        CHECK(!strcmp(conc_error_message(), expected));
    }
}

/* The C library says that there is no such name if it can read no file and ask nobody. */
static void test_a_shortage_is_told_as_what_it_is(void)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};
    static const char *const hosts[] = {"localhost", "eai-2.test", "eai-3.test", "eai-4.test"};
    struct addrinfo *found;
    char host[32];
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        snprintf(host, sizeof host, "short%d.test", errors[i]);
        CHECK_EQUAL(conc_getaddrinfo(host, "80", NULL, &found, CONC_FOREVER), -errors[i]);
        CHECK(strstr(conc_error_message(), conc_strerror(-errors[i])));
    }
    take_descriptors_but(0);
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        CHECK_EQUAL(conc_getaddrinfo(hosts[i], "80", NULL, &found, CONC_FOREVER), -EMFILE);
    CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", "no-such", NULL, &found, CONC_FOREVER), -EMFILE);
    CHECK_EQUAL(conc_getaddrinfo("eai-1.test", NULL, NULL, &found, CONC_FOREVER), -EINVAL);
    drop(lookup("127.0.0.1", "80", NULL, CONC_FOREVER));
    give_descriptors();
}

/* There may be no network here, and no name server: but an end there is. */
static void test_an_unknown_name_ends_within_its_deadline(void)
{
    struct addrinfo *found;
    int err = conc_getaddrinfo("no-such-name.invalid", "80", NULL, &found, conc_in(CONC_S(2)));
    CHECK(err == -ENOENT || err == -EHOSTUNREACH || err == -ETIMEDOUT);
    CHECK(strstr(conc_error_message(), "no-such-name.invalid"));
}

/* ---- Giving up ---- */

static int job_lookup(void *arg, void *result)
{
    struct addrinfo *found = NULL;
    int err = conc_getaddrinfo("slow.test", "80", NULL, &found, CONC_FOREVER);
    CHECK_EQUAL(!err, found != NULL);
    if (!err)
        freeaddrinfo(found);
    return err;
}

static void let_answer(int n) { CHECK_EQUAL(conc_sem_release(&answers, (uint32_t)n), 0); }

/* All that were asked have answered; what is left of them goes with their threads. */
static void wait_until_answered(void) { UNTIL(blocked_on("semaphore") == 0); }

static void test_the_answer_ends_the_wait(void)
{
    conc_future *f = start(job_lookup, NULL, 0);
    UNTIL(blocked_on("semaphore") == 1 && blocked_on("event") == 1);
    let_answer(1);
    CHECK_EQUAL(end_of(f), 0);
}

static void test_a_lookup_has_a_deadline(void)
{
    struct addrinfo *found = (struct addrinfo *)&found;
    int before = times_asked();
    CHECK_EQUAL(conc_getaddrinfo("slow.test", "80", NULL, &found, CONC_NOW), -EAGAIN);
    CHECK_EQUAL(times_asked(), before);
    int64_t begin = real_now();
    CHECK_EQUAL(conc_getaddrinfo("slow.test", "80", NULL, &found, SOON), -ETIMEDOUT);
    CHECK(real_now() - begin >= CONC_MS(20));
    CHECK(strstr(conc_error_message(), "slow.test"));
    CHECK_EQUAL(conc_getaddrinfo("slow.test", "80", NULL, &found, PAST), -ETIMEDOUT);
    CHECK(found == (struct addrinfo *)&found);
    UNTIL(blocked_on("semaphore") == 1);
    CHECK_EQUAL(times_asked(), before + 1);
    let_answer(1);
    wait_until_answered();
}

static void test_a_lookup_can_be_cancelled(void)
{
    conc_future *f = start(job_lookup, NULL, 0);
    UNTIL(blocked_on("semaphore") == 1);
    conc_future_cancel(f);
    CHECK_EQUAL(end_of(f), -ECANCELED);
    let_answer(1);
    wait_until_answered();
    int before = times_asked();
    conc_scope scope;
    conc_scope_enter(&scope, PAST);
    struct addrinfo *found;
    CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", "80", NULL, &found, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_getaddrinfo("slow.test", "80", NULL, &found, CONC_FOREVER), -ECANCELED);
    CHECK_EQUAL(conc_scope_exit(&scope), -ETIMEDOUT);
    CHECK_EQUAL(times_asked(), before);
}

/* Cancel just as the answer comes: it is given or dropped, never lost. */
static void test_answers_race_with_giving_up(void)
{
    for (int i = 0; i < 200; i++) {
        conc_future *f = start(job_lookup, NULL, 0);
        UNTIL(blocked_on("semaphore") == 1);
        let_answer(1);
        for (int spin = 0; spin < i * 20; spin++)
            cpu_relax();
        conc_future_cancel(f);
        int err = end_of(f);
        CHECK(err == 0 || err == -ECANCELED);
        wait_until_answered();
    }
}

/* ---- Many ---- */

enum { MORE = 3 }; /* than there may be at once */

static void test_so_many_at_once_and_no_more(void)
{
    conc_future *f[LOOKUPS_MAX + MORE];
    int before = times_asked();
    for (int i = 0; i < LOOKUPS_MAX; i++)
        f[i] = start(job_lookup, NULL, 0);
    UNTIL(times_asked() == before + LOOKUPS_MAX);
    struct addrinfo *found;
    CHECK_EQUAL(conc_getaddrinfo("slow.test", NULL, NULL, &found, SOON), -ETIMEDOUT);
    drop(lookup("127.0.0.1", "80", NULL, CONC_FOREVER)); /* that needs no place */
    for (int i = LOOKUPS_MAX; i < LOOKUPS_MAX + MORE; i++)
        f[i] = start(job_lookup, NULL, 0);
    UNTIL(blocked_on("semaphore") == LOOKUPS_MAX + MORE);
    CHECK_EQUAL(times_asked(), before + LOOKUPS_MAX);
    conc_future_cancel(f[0]); /* its lookup keeps the place */
    CHECK_EQUAL(end_of(f[0]), -ECANCELED);
    CHECK_EQUAL(times_asked(), before + LOOKUPS_MAX);
    let_answer(LOOKUPS_MAX + MORE);
    for (int i = 1; i < LOOKUPS_MAX + MORE; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    wait_until_answered();
}

/* What is in a file does not wait for those who do not answer. */
static void test_files_are_read_beside_stuck_lookups(void)
{
    const struct addrinfo v4 = {.ai_family = AF_INET};
    struct addrinfo *found;
    conc_future *f[LOOKUPS_MAX];
    int before = times_asked();
    for (int i = 0; i < LOOKUPS_MAX; i++)
        f[i] = start(job_lookup, NULL, 0);
    UNTIL(times_asked() == before + LOOKUPS_MAX);
    for (int i = 0; i < LOCAL_LOOKUPS_MAX + MORE; i++) {
        drop(lookup("localhost", "80", &v4, CONC_FOREVER));
        CHECK_EQUAL(conc_getaddrinfo("127.0.0.1", "no-such", NULL, &found, CONC_FOREVER), -ENOENT);
        CHECK_EQUAL(conc_getaddrinfo("eai-2.test", NULL, NULL, &found, conc_in(CONC_MS(1))),
                    -ETIMEDOUT); /* it stands in no file */
    }
    conc_future *late = start(job_lookup, NULL, 0);
    UNTIL(blocked_on("semaphore") == LOOKUPS_MAX + 1);
    take_descriptors_but(0);
    CHECK_EQUAL(conc_getaddrinfo("localhost", NULL, NULL, &found, CONC_FOREVER), -EMFILE);
    give_descriptors();
    let_answer(LOOKUPS_MAX + 1);
    CHECK_EQUAL(end_of(late), 0);
    for (int i = 0; i < LOOKUPS_MAX; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
    wait_until_answered();
}

/* It has a place if it comes as far as starting a thread. */
static int look_up_in_child(void *arg)
{
    struct addrinfo *found;
    fail_thread(1);
    CHECK_EQUAL(conc_getaddrinfo("slow.test", NULL, NULL, &found, conc_in(CONC_S(5))), -ENOMEM);
    return 0;
}

/* The parent's stuck lookups are not the child's. */
static void test_a_child_has_places(void)
{
    conc_future *f[LOOKUPS_MAX];
    int before = times_asked();
    for (int i = 0; i < LOOKUPS_MAX; i++)
        f[i] = start(job_lookup, NULL, 0);
    UNTIL(times_asked() == before + LOOKUPS_MAX);
    CHECK_EQUAL(in_child(look_up_in_child, NULL), 0);
    let_answer(LOOKUPS_MAX);
    for (int i = 0; i < LOOKUPS_MAX; i++)
        CHECK_EQUAL(end_of(f[i]), 0);
}

static void test_out_of_memory_or_threads_is_an_error(void)
{
    struct addrinfo *found;
    int before = times_asked();
    fail_alloc(1);
    CHECK_EQUAL(conc_getaddrinfo("slow.test", NULL, NULL, &found, CONC_FOREVER), -ENOMEM);
    for (int i = 0; i < LOOKUPS_MAX + MORE; i++) { /* it gives its place back */
        fail_thread(1);
        CHECK_EQUAL(conc_getaddrinfo("slow.test", NULL, NULL, &found, CONC_FOREVER), -ENOMEM);
    }
    CHECK_EQUAL(times_asked(), before);
    CHECK_EQUAL(conc_getaddrinfo("eai-2.test", NULL, NULL, &found, CONC_FOREVER), -ENOENT);
}

/* ---- The hosts file ---- */

static void test_names_in_a_hosts_file_are_found(void **state)
{
    static const char text[] = "# comment first.test\n"
                               "192.0.2.1 first.test\n"
                               "\n"
                               "   192.0.2.2\tsecond.test  alias.test#not.test\r\n"
                               "2001:db8::3 third.test # 192.0.2.3 hidden.test\n"
                               "word fourth.test\n"
                               "192.0.2.4\n"
                               "fifth.test\n"
                               "192.0.2.6 last.test";
    static const struct {
        const char *host;
        int any, v4, v6;
    } cases[] = {
        {"first.test", 0, 0, -ENOENT},
        {"FIRST.Test", 0, 0, -ENOENT},
        {"second.test", 0, 0, -ENOENT},
        {"alias.test", 0, 0, -ENOENT},
        {"third.test", 0, -ENOENT, 0},
        {"last.test", 0, 0, -ENOENT},
        {"not.test", -ENOENT, -ENOENT, -ENOENT},
        {"hidden.test", -ENOENT, -ENOENT, -ENOENT},
        {"fourth.test", -ENOENT, -ENOENT, -ENOENT},
        {"fifth.test", -ENOENT, -ENOENT, -ENOENT},
        {"192.0.2.1", -ENOENT, -ENOENT, -ENOENT},
        {"first", -ENOENT, -ENOENT, -ENOENT},
        {"comment", -ENOENT, -ENOENT, -ENOENT},
        {"", -ENOENT, -ENOENT, -ENOENT},
    };
    char path[] = "/tmp/test_names.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(conc__hosts_have(path, cases[i].host, AF_UNSPEC), cases[i].any);
        assert_int_equal(conc__hosts_have(path, cases[i].host, AF_INET), cases[i].v4);
        assert_int_equal(conc__hosts_have(path, cases[i].host, AF_INET6), cases[i].v6);
    }
    unlink(path);
    assert_int_equal(conc__hosts_have(path, "first.test", AF_UNSPEC), -ENOENT);
}

static void test_a_word_of_any_length_in_a_hosts_file_does_no_harm(void **state)
{
    char path[] = "/tmp/test_names.XXXXXX";
    int fd = mkstemp(path);
    FILE *out = fdopen(fd, "w");
    assert_non_null(out);
    fprintf(out, "192.0.2.1 ");
    for (int i = 0; i < 100000; i++)
        fputc('x', out);
    fprintf(out, " behind.test\n");
    fclose(out);
    assert_int_equal(conc__hosts_have(path, "behind.test", AF_INET), 0);
    assert_int_equal(conc__hosts_have(path, "x", AF_INET), -ENOENT);
    unlink(path);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_names_in_a_hosts_file_are_found),
    cmocka_unit_test(test_a_word_of_any_length_in_a_hosts_file_does_no_harm),
    ON_EVERY_WAY(test_numbers_are_converted_without_asking),
    ON_EVERY_WAY(test_what_cannot_be_is_told_without_asking),
    ON_EVERY_WAY(test_names_are_looked_up),
    ON_EVERY_WAY(test_services_are_looked_up),
    ON_EVERY_WAY(test_errors_are_told_as_errnos),
    ON_EVERY_WAY(test_a_shortage_is_told_as_what_it_is),
    ON_EVERY_WAY(test_an_unknown_name_ends_within_its_deadline),
    ON_EVERY_WAY(test_the_answer_ends_the_wait),
    ON_EVERY_WAY(test_a_lookup_has_a_deadline),
    ON_EVERY_WAY(test_a_lookup_can_be_cancelled),
    ON_EVERY_WAY(test_answers_race_with_giving_up),
    ON_EVERY_WAY(test_so_many_at_once_and_no_more),
    ON_EVERY_WAY(test_files_are_read_beside_stuck_lookups),
    ON_EVERY_WAY(test_a_child_has_places),
    ON_EVERY_WAY(test_out_of_memory_or_threads_is_an_error),
};

TEST_MAIN(tests, 60)
