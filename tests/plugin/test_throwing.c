/* SPDX-License-Identifier: MIT
 *
 * test_throwing.c: a program in C that loads C++: the exceptions of its tasks and generators are
 * their own; and those that leave a callback end the program, with a message. Each test is run in a
 * child, which is the first there to load anything.
 *
 * Usage: test_throwing KNOWING BARE: the paths of throwing.cc, with the library's headers and
 * without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <conc.h>

#include "throwing.h"

static char **paths;

static throwing_keeps_fn *keeps_its_own;
static throwing_throws_fn *throws;
static throwing_catches_fn *catches;

static int load(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return -ENOENT;
    keeps_its_own = (throwing_keeps_fn *)dlsym(handle, "throwing_keeps_its_own");
    throws = (throwing_throws_fn *)dlsym(handle, "throwing_throws");
    catches = (throwing_catches_fn *)dlsym(handle, "throwing_catches");
    return keeps_its_own && throws && catches ? 0 : -ENOENT;
}

/* ---- Children ---- */

enum { WORDS_MAX = 1024 };

/* Run fn in a child; what it says on stderr goes to `words`. Returns its end, as waitpid() does. */
static int in_child(int (*fn)(void), const char *backend, char words[WORDS_MAX])
{
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL); /* cmocka's */
        dup2(fds[1], STDERR_FILENO);
        setenv("CONC_BACKEND", backend, 1);
        alarm(30);
        _exit(fn());
    }
    close(fds[1]);
    ssize_t n;
    size_t length = 0;
    while ((n = read(fds[0], words + length, WORDS_MAX - 1 - length)) > 0)
        length += (size_t)n;
    words[length] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static const char *const backends[] = {"epoll", "uring"};

static int do_nothing(void *arg, void *result) { return arg || result; }

static bool have_uring(void)
{
    conc_loop *loop;
    const conc_loop_options options = {.backend = CONC_BACKEND_URING};
    if (conc_loop_new(&loop, &options))
        return false;
    conc_future *f = conc_task_start(loop, do_nothing, NULL, 0, 0, NULL);
    int err = conc_loop_run_until_complete(loop, f);
    conc_future_unref(f);
    (void)conc_loop_free(loop);
    return err == 0;
}

static void on_every_backend(int (*fn)(void))
{
    char words[WORDS_MAX];
    for (int i = 0; i < 1 + have_uring(); i++) {
        int status = in_child(fn, backends[i], words);
        if (status)
            fail_msg("%s: status %#x; %s", backends[i], (unsigned)status, words);
    }
}

/* ---- Their own exceptions ---- */

static void sleep_a_while(void)
{
    static int turns;
    (void)!conc_sleep(turns++ % 2 ? CONC_MS(2) : CONC_MS(1));
}

static int keep_own(void *arg, void *result)
{
    (void)result;
    return keeps_its_own(*(const char **)arg, sleep_a_while) ? 0 : -EIO;
}

static int spawn_two(void *arg, void *result)
{
    (void)arg, (void)result;
    static const char *const names[] = {"one", "two", "three"};
    conc_future *f[3];
    int err = 0;
    for (int i = 0; i < 3; i++)
        f[i] = conc_spawn(keep_own, &names[i], sizeof names[i], 0);
    for (int i = 0; i < 3; i++) {
        int e = conc_future_result(f[i], NULL, CONC_FOREVER);
        err = err ? err : e;
        conc_future_unref(f[i]);
    }
    return err;
}

static int run_knowing(void) { return load(paths[0]) || conc_run(spawn_two, NULL, 0, NULL, 0); }

static int run_bare(void) { return load(paths[1]) || conc_run(spawn_two, NULL, 0, NULL, 0); }

static int load_and_spawn_two(void *arg, void *result)
{
    int err = load(paths[0]);
    return err ? err : spawn_two(arg, result);
}

static int run_and_load(void) { return conc_run(load_and_spawn_two, NULL, 0, NULL, 0) ? 1 : 0; }

static int load_bare_and_spawn_two(void *arg, void *result)
{
    int err = load(paths[1]);
    if (!err)
        err = conc_sleep(CONC_MS(1)); /* a turn of the loop: it has not told by itself */
    return err ? err : spawn_two(arg, result);
}

static int run_and_load_bare(void)
{
    return conc_run(load_bare_and_spawn_two, NULL, 0, NULL, 0) ? 1 : 0;
}

static conc_generator *now;

static void yield_now(void) { (void)!conc_generator_yield(now, NULL); }

static int generate_in_catch(conc_generator *g, void *arg)
{
    (void)arg;
    now = g;
    return keeps_its_own("generator's", yield_now) ? 0 : -EIO;
}

static void step_generator(void) { (void)!conc_generator_next(now, NULL, CONC_FOREVER); }

static int run_generator(void)
{
    conc_generator *g;
    if (load(paths[0]) || conc_generator_new(&g, generate_in_catch, NULL, 0, 0, NULL))
        return 1;
    if (conc_generator_next(g, NULL, CONC_FOREVER) != 1)
        return 2;
    int own = keeps_its_own("consumer's", step_generator);
    return !own || conc_generator_free(g);
}

static void test_tasks_keep_their_exceptions(void **state)
{
    (void)state;
    on_every_backend(run_knowing);
    on_every_backend(run_bare);
}

static void test_tasks_that_load_cxx_keep_their_exceptions(void **state)
{
    (void)state;
    on_every_backend(run_and_load);
    on_every_backend(run_and_load_bare);
}

static void test_generator_and_consumer_keep_their_exceptions(void **state)
{
    (void)state;
    on_every_backend(run_generator);
}

/* ---- Callbacks that must not throw ---- */

static void callback(void *arg)
{
    (void)arg;
    throws();
}

static void callback_that_ends_the_thread(void *arg) { pthread_exit(arg); }

static int compare(const void *a, const void *b, void *arg)
{
    (void)a, (void)b, (void)arg;
    return throws();
}

static void drop(void *item, void *arg)
{
    (void)item;
    callback(arg);
}

static void done(conc_future *future, void *arg)
{
    (void)future;
    callback(arg);
}

static int action(void *arg)
{
    (void)arg;
    return throws();
}

static int source(void *item, void *arg)
{
    (void)item;
    return action(arg);
}

static int look(const conc_context_info *info, void *arg)
{
    (void)info;
    return action(arg);
}

static int call_soon(void *arg, void *result)
{
    (void)result;
    (void)!conc_loop_call_soon(conc_loop_current(), *(conc_callback_fn **)arg, NULL, NULL);
    return conc_sleep(CONC_S(5));
}

static int call_later(void *arg, void *result)
{
    (void)arg, (void)result;
    (void)!conc_loop_call_later(conc_loop_current(), 1, callback, NULL, NULL);
    return conc_sleep(CONC_S(5));
}

static int add_writer(void *arg, void *result)
{
    int fds[2];
    (void)arg, (void)result;
    if (pipe(fds) || conc_loop_add_writer(conc_loop_current(), fds[1], callback, NULL))
        return -EIO;
    return conc_sleep(CONC_S(5));
}

static int add_signal(void *arg, void *result)
{
    (void)arg, (void)result;
    (void)!conc_loop_add_signal_handler(conc_loop_current(), SIGUSR1, callback, NULL);
    raise(SIGUSR1);
    return conc_sleep(CONC_S(5));
}

static int run_with(conc_fn *fn)
{
    conc_callback_fn *arg = callback;
    return conc_run(fn, &arg, sizeof arg, NULL, 0);
}

static int throw_in_call_soon(void) { return run_with(call_soon); }
static int throw_in_call_later(void) { return run_with(call_later); }
static int throw_in_writer(void) { return run_with(add_writer); }
static int throw_in_signal_handler(void) { return run_with(add_signal); }

static int end_thread_in_call_soon(void)
{
    conc_callback_fn *arg = callback_that_ends_the_thread;
    return conc_run(call_soon, &arg, sizeof arg, NULL, 0);
}

static int throw_in_done_callback(void)
{
    conc_executor *pool;
    (void)!conc_thread_pool_new(&pool, 1, NULL);
    conc_future *f = conc_submit(pool, do_nothing, NULL, 0, 0);
    (void)!conc_future_add_done_callback(f, done, NULL);
    return conc_sleep(CONC_S(5));
}

/* It is done already, so the callback is called here. */
static int throw_in_late_callback(void)
{
    conc_future *f;
    (void)!conc_future_new(&f, 0);
    conc_future_set_result(f, NULL);
    return conc_future_add_done_callback(f, done, NULL);
}

static int throw_in_initialiser(void)
{
    conc_executor *pool;
    const conc_thread_pool_options options = {.init = action};
    (void)!conc_thread_pool_new(&pool, 1, &options);
    conc_future *f = conc_submit(pool, do_nothing, NULL, 0, 0);
    return conc_future_result(f, NULL, CONC_FOREVER);
}

static int throw_in_comparison(void)
{
    conc_queue queue;
    int item = 1;
    (void)!conc_queue_init_priority(&queue, sizeof item, 0, compare, NULL);
    for (int i = 0; i < 2; i++)
        (void)!conc_queue_put(&queue, &item, CONC_NOW);
    return 0;
}

static int throw_in_drop(void)
{
    conc_queue queue;
    int item = 1;
    (void)!conc_queue_init(&queue, sizeof item, 0, CONC_FIFO);
    conc_queue_on_drop(&queue, drop, NULL);
    (void)!conc_queue_put(&queue, &item, CONC_NOW);
    conc_queue_destroy(&queue);
    return 0;
}

static int throw_in_destructor(void)
{
    conc_local *local;
    (void)!conc_local_new(&local, callback);
    (void)!conc_local_set(local, &local);
    (void)!conc_local_set(local, NULL);
    return 0;
}

static int throw_in_action(void)
{
    conc_barrier barrier;
    (void)!conc_barrier_init(&barrier, 1, action, NULL);
    return conc_barrier_wait(&barrier, CONC_FOREVER);
}

static int throw_in_source(void)
{
    conc_executor *ex;
    conc_imap *imap;
    const conc_imap_options options = {.next = source};
    (void)!conc_inline_new(&ex);
    (void)!conc_imap_new(&imap, ex, do_nothing, NULL, 0, 0, 0, &options);
    return conc_imap_next(imap, NULL, NULL, CONC_FOREVER);
}

static int throw_in_foreach(void) { return conc_context_foreach(look, NULL); }

static int (*throw_there)(void);

/* With a handler around it, so that the exception gets as far as the fence; in another thread there
 * is none, and the C++ runtime says so. */
static int load_and_throw(void) { return load(paths[1]) || catches(throw_there); }

static void test_exception_out_of_a_callback_ends_the_program_with_a_message(void **state)
{
    (void)state;
    static const struct {
        int (*fn)(void);
        const char *what;
        bool elsewhere; /* in a thread of the library's */
    } cases[] = {
        {throw_in_call_soon, "a callback of a loop", false},
        {throw_in_call_later, "a callback of a loop", false},
        {end_thread_in_call_soon, "a callback of a loop", false},
        {throw_in_writer, "a reader or writer of a loop", false},
        {throw_in_signal_handler, "a signal handler of a loop", false},
        {throw_in_done_callback, "a callback of a future", true},
        {throw_in_late_callback, "a callback of a future", false},
        {throw_in_initialiser, "the initialiser of a pool", true},
        {throw_in_comparison, "the comparison of a queue", false},
        {throw_in_drop, "the drop function of a queue", false},
        {throw_in_destructor, "the destructor of a local value", false},
        {throw_in_action, "the action of a barrier", false},
        {throw_in_source, "the source of an imap", false},
        {throw_in_foreach, "a callback of conc_context_foreach()", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[WORDS_MAX], expected[WORDS_MAX];
        throw_there = cases[i].fn;
        int status = in_child(load_and_throw, "epoll", words);
        snprintf(expected, sizeof expected, "has left %s, which it must not\n", cases[i].what);
        bool told = strstr(words, expected) || (cases[i].elsewhere && strstr(words, "boom"));
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !told)
            fail_msg("%s: status %#x; %s", cases[i].what, (unsigned)status, words);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_keep_their_exceptions),
        cmocka_unit_test(test_tasks_that_load_cxx_keep_their_exceptions),
        cmocka_unit_test(test_generator_and_consumer_keep_their_exceptions),
        cmocka_unit_test(test_exception_out_of_a_callback_ends_the_program_with_a_message),
    };
    if (argc < 3)
        return 2;
    paths = argv + 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
