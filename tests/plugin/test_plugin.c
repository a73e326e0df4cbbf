/* SPDX-License-Identifier: MIT
 *
 * test_plugin.c: a program that does not know libconc loads plugins that use it, in threads that
 * were there before and end later, and unloads them. One plugin has the shared library, the other a
 * copy of its own.
 *
 * Usage: test_plugin SHARED STATIC: the paths of the plugins.
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
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checkers.h"
#include "plugin.h"

#ifdef WITH_LIBCONC
#include <conc/context.h>
#endif

static const char *const *paths; /* of the plugins */

struct plugin {
    void *handle;
    plugin_use_fn *use;
    plugin_run_fn *run;
    plugin_signal_fn *take, *let_go;
    plugin_overflow_fn *overflow;
};

static void *plugin_symbol(const struct plugin *p, const char *name)
{
    void *symbol = dlsym(p->handle, name);
    assert_non_null(symbol);
    return symbol;
}

static struct plugin plugin_load(const char *path)
{
    struct plugin p = {.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!p.handle)
        fail_msg("%s", dlerror());
    p.use = (plugin_use_fn *)plugin_symbol(&p, "plugin_use");
    p.run = (plugin_run_fn *)plugin_symbol(&p, "plugin_run");
    p.take = (plugin_signal_fn *)plugin_symbol(&p, "plugin_catch");
    p.let_go = (plugin_signal_fn *)plugin_symbol(&p, "plugin_release");
    p.overflow = (plugin_overflow_fn *)plugin_symbol(&p, "plugin_overflow");
    return p;
}

static void plugin_unload(const struct plugin *p) { assert_int_equal(dlclose(p->handle), 0); }

/* ---- Threads that outlive the plugin ---- */

struct user {
    pthread_t thread;
    struct plugin plugin;
    pthread_barrier_t *used, *unloaded;
    int line; /* what was not right there */
};

static void *use_and_stay(void *arg)
{
    struct user *u = arg;
    u->line = u->plugin.use();
    pthread_barrier_wait(u->used);
    pthread_barrier_wait(u->unloaded);
    return NULL;
}

static void *end_at_once(void *arg) { return arg; }

static void end_a_thread(void)
{
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, end_at_once, NULL), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
}

static void use_in_threads_and_unload(const char *path)
{
    enum { USERS = 3 };
    struct user users[USERS];
    pthread_barrier_t used, unloaded;
    struct plugin p = plugin_load(path);
    pthread_barrier_init(&used, NULL, USERS + 1);
    pthread_barrier_init(&unloaded, NULL, USERS + 1);
    assert_int_equal(p.use(), 0);
    for (int i = 0; i < USERS; i++) {
        users[i] = (struct user){.plugin = p, .used = &used, .unloaded = &unloaded};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use_and_stay, &users[i]), 0);
    }
    pthread_barrier_wait(&used);
    plugin_unload(&p);
    pthread_barrier_wait(&unloaded);
    for (int i = 0; i < USERS; i++) {
        assert_int_equal(pthread_join(users[i].thread, NULL), 0);
        assert_int_equal(users[i].line, 0);
    }
    pthread_barrier_destroy(&used);
    pthread_barrier_destroy(&unloaded);
    end_a_thread();
}

static void test_threads_end_after_the_plugin_was_unloaded(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 2; i++)
            use_in_threads_and_unload(paths[i]);
}

static void test_signal_thread_outlives_the_plugin(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct plugin p = plugin_load(paths[i]);
        assert_int_equal(p.take(SIGUSR1), 0);
        plugin_unload(&p);
        assert_int_equal(raise(SIGUSR1), 0); /* is kept: the handler is still there */
        p = plugin_load(paths[i]);
        assert_int_equal(p.take(SIGUSR1), 0);
        assert_int_equal(p.let_go(SIGUSR1), 0);
        plugin_unload(&p);
    }
}

static int child_of_fork(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct plugin p = plugin_load(paths[0]);
        int line = p.use();
        p = plugin_load(paths[1]);
        _exit(line ? line : p.use());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_fork_after_the_plugin_was_unloaded(void **state)
{
    (void)state;
    use_in_threads_and_unload(paths[0]);
    use_in_threads_and_unload(paths[1]);
#ifndef WITH_TSAN /* it allows no threads in the child of a process with several */
    assert_int_equal(child_of_fork(), 0);
#else
    (void)child_of_fork;
#endif
}

/* ---- Two copies ---- */

static int use_plugin(void *plugin) { return ((struct plugin *)plugin)->use(); }

static void test_copies_run_inside_each_other(void **state)
{
    (void)state;
    struct plugin p[2] = {plugin_load(paths[0]), plugin_load(paths[1])};
    assert_ptr_not_equal(p[0].use, p[1].use);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p[i].run(use_plugin, &p[!i]), 0);
    for (int i = 0; i < 2; i++) /* and each alone, as before */
        assert_int_equal(p[i].use(), 0);
    plugin_unload(&p[0]);
    plugin_unload(&p[1]);
}

static void assert_default(int signo)
{
    struct sigaction action;
    assert_int_equal(sigaction(signo, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_DFL);
}

static void test_copies_catch_a_signal_one_after_the_other(void **state)
{
    (void)state;
    struct plugin p[2] = {plugin_load(paths[0]), plugin_load(paths[1])};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(p[i].take(SIGUSR2), 0);
        assert_int_equal(p[!i].take(SIGUSR2), 0); /* the last one has it */
        assert_int_equal(p[!i].let_go(SIGUSR2), 0);
        assert_int_equal(p[i].take(SIGUSR2), 0); /* now the first again */
        assert_int_equal(p[i].let_go(SIGUSR2), 0);
        assert_default(SIGUSR2);
    }
    plugin_unload(&p[0]);
    plugin_unload(&p[1]);
}

static int run_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* The child's end, and in `words` what it has said. */
static int overflow_in_child(struct plugin *p, char words[256])
{
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        dup2(fds[1], STDERR_FILENO);
        p->overflow();
        _exit(0);
    }
    close(fds[1]);
    ssize_t n, length = 0;
    while ((n = read(fds[0], words + length, 255 - (size_t)length)) > 0)
        length += n;
    words[length] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_overflow_is_reported_once_by_the_copy_that_it_happens_in(void **state)
{
    (void)state;
    struct plugin p[2] = {plugin_load(paths[0]), plugin_load(paths[1])};
    signal(SIGSEGV, SIG_DFL); /* cmocka's, which it sets for each test: so this one is the first */
    for (int i = 0; i < 2; i++) /* the handlers of both are set */
        assert_int_equal(p[i].run(run_nothing, NULL), 0);
    for (int i = 0; i < 2; i++) {
        char words[256];
        int status = overflow_in_child(&p[i], words);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        const char *first = strstr(words, "has overflowed its stack");
        assert_non_null(first);
        assert_null(strstr(first + 1, "has overflowed its stack"));
    }
    plugin_unload(&p[0]);
    plugin_unload(&p[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overflow_is_reported_once_by_the_copy_that_it_happens_in),
        cmocka_unit_test(test_threads_end_after_the_plugin_was_unloaded),
        cmocka_unit_test(test_signal_thread_outlives_the_plugin),
        cmocka_unit_test(test_fork_after_the_plugin_was_unloaded),
        cmocka_unit_test(test_copies_run_inside_each_other),
        cmocka_unit_test(test_copies_catch_a_signal_one_after_the_other),
    };
    if (argc < 3)
        return 2;
#ifdef WITH_LIBCONC
    conc_context_set_name("main"); /* so that the library is there from the beginning */
#endif
    paths = (const char *const *)argv + 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
