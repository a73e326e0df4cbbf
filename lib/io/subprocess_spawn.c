/* SPDX-License-Identifier: MIT
 *
 * subprocess_spawn.c: making a process run a program.
 *
 * posix_spawn(3) does it: the child shares the parent's memory until it runs the program. So it
 * costs the same however large the parent is, no other thread's lock can be held in the child for
 * ever, and an error on the way to the program is returned by this call. What has to be done in the
 * child is planned before.
 */
#include <spawn.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "io/subprocess_impl.h"

#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define SPAWN_CAN_CLOSE_REST 1
#endif
#endif

/* Plan what the child does with its descriptors and its directory before the program. 0, or a
 * positive error, as posix_spawn's functions return it; so do the other functions here. */
static int spawn_plan_files(posix_spawn_file_actions_t *plan,
                            const conc_subprocess_options *options, const int fds[SUBPROCESS_FDS],
                            bool merge)
{
    int err = 0;
    for (int i = 0; i < SUBPROCESS_FDS; i++) {
        if (fds[i] >= 0)
            err = posix_spawn_file_actions_adddup2(plan, fds[i], i);
        if (err)
            return err;
    }
    if (merge) {
        err = posix_spawn_file_actions_adddup2(plan, STDOUT_FILENO, STDERR_FILENO);
        if (err)
            return err;
    }
    if (options->cwd) {
        err = posix_spawn_file_actions_addchdir_np(plan, options->cwd);
        if (err)
            return err;
    }
#ifdef SPAWN_CAN_CLOSE_REST
    err = posix_spawn_file_actions_addclosefrom_np(plan, SUBPROCESS_FDS);
#endif
    return err;
}

static int spawn_plan_signals(posix_spawnattr_t *attr, bool new_group)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int err = posix_spawnattr_setsigmask(attr, &none);
    if (err)
        return err;
    err = posix_spawnattr_setsigdefault(attr, &all);
    if (err)
        return err;
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    if (new_group)
        flags |= POSIX_SPAWN_SETPGROUP; /* into group 0, the default: one with the child's id */
    return posix_spawnattr_setflags(attr, flags);
}

/* Raise a positive error. The message names the program, or the directory if that is the reason. */
static int spawn_raise(int err, const char *program, const char *cwd)
{
    if (cwd && access(cwd, X_OK) != 0)
        return conc_raise(-err, "cannot run %s in %s: %s", program, cwd, conc_strerror(err));
    return conc_raise(-err, "cannot run %s: %s", program, conc_strerror(err));
}

static char *const *spawn_strings(const char *const *strings)
{
    return (char *const *)(uintptr_t)strings;
}

pid_t conc__spawn_program(const char *const *argv, const conc_subprocess_options *options,
                          const int fds[SUBPROCESS_FDS], bool merge)
{
    posix_spawn_file_actions_t plan;
    posix_spawnattr_t attr;
    pid_t pid = -1;
    int err = posix_spawn_file_actions_init(&plan);
    if (err)
        goto raise;
    err = posix_spawnattr_init(&attr);
    if (err)
        goto destroy_plan;
    err = spawn_plan_files(&plan, options, fds, merge);
    if (err)
        goto destroy_attr;
    err = spawn_plan_signals(&attr, options->new_group);
    if (err)
        goto destroy_attr;
    err = posix_spawnp(&pid, argv[0], &plan, &attr, spawn_strings(argv),
                       options->env ? spawn_strings(options->env) : environ);

destroy_attr:
    posix_spawnattr_destroy(&attr);
destroy_plan:
    posix_spawn_file_actions_destroy(&plan);
raise:
    return err ? spawn_raise(err, argv[0], options->cwd) : pid;
}
