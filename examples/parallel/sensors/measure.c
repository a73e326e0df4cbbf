/* SPDX-License-Identifier: MIT
 *
 * measure.c: run the program as a child, and add up what it and its own children cost.
 *
 * Processor time is what wait4() tells: of the child, of those that it has waited for, and, since
 * this process adopts what the child leaves behind (PR_SET_CHILD_SUBREAPER), of the rest too: the
 * servers and workers of a process pool. (conc_subprocess_join() doesn't tell, hence the fork()
 * here.)
 *
 * Memory is looked at every 25 ms: each process' share of what it has in common with others counted
 * once (PSS), since fifty workers are copies of one process, and hold most of it together. A run
 * that is over before the first look has what wait4() tells, the largest process' peak.
 */
#include "measure.h"

#include <conc.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const int64_t LOOK_EVERY = CONC_MS(25);

enum { DEPTH_MAX = 8, ARGUMENTS = 7 };

/* ---- Memory ---- */

static double process_kib(int pid)
{
    char path[64], line[128];
    double kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    file = fopen(path, "re");
    if (file == NULL) /* it has just ended */
        return 0;
    while (kib == 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Pss: %lf", &kib) != 1)
            kib = 0;
    fclose(file);
    return kib;
}

static double tree_kib(int pid, int depth);

/* The children that one of a process' threads has started. */
static double children_kib(int pid, const char *thread, int depth)
{
    char path[320];
    double kib = 0;
    int child;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, thread);
    file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%d", &child) == 1)
        kib += tree_kib(child, depth + 1);
    if (file != NULL)
        fclose(file);
    return kib;
}

/* A process and its descendants. */
static double tree_kib(int pid, int depth)
{
    char path[64];
    double kib = process_kib(pid);
    struct dirent *entry;
    DIR *threads;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    threads = depth < DEPTH_MAX ? opendir(path) : NULL;
    while (threads != NULL && (entry = readdir(threads)) != NULL)
        if (entry->d_name[0] != '.')
            kib += children_kib(pid, entry->d_name, depth);
    if (threads != NULL)
        closedir(threads);
    return kib;
}

/* ---- The child ---- */

/* This program's command line for a run; free() it. */
static char **make_arguments(const struct order *order, const char *db, const char *timeout)
{
    const char *const first[ARGUMENTS] = {"sensors", "--mode",    order->mode, "--db",
                                          db,        "--timeout", timeout};
    const size_t count = (size_t)order->count;
    char **argv = calloc(ARGUMENTS + count + 1, sizeof *argv);

    if (argv == NULL)
        return NULL;
    for (size_t i = 0; i < ARGUMENTS + count; i++)
        argv[i] = (char *)(i < ARGUMENTS ? first[i] : order->url);
    return argv;
}

/* In the child: become the program. It prints only what goes wrong. */
static void __attribute__((noreturn)) become(const char *program, char **argv, int errors)
{
    const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    setpgid(0, 0); /* out of the reach of a Ctrl-C, which is this program's, not the run's */
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would wait for it */
    if (nothing >= 0 && dup2(nothing, STDOUT_FILENO) >= 0 && dup2(errors, STDERR_FILENO) >= 0)
        execv(program, argv);
    _exit(127);
}

/* Wait for the child and for all that it leaves behind. @return the child's status; an error */
static int wait_for_all(pid_t child, struct cost *cost)
{
    const int64_t started = conc_now();
    double kib = 0, largest = 0;
    int status, child_status = 0;
    struct rusage used;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (;;) {
        const pid_t pid = wait4(-1, &status, WNOHANG, &used);

        if (pid < 0)
            break; /* there are no more */
        if (pid == 0) {
            double now;

            if (conc_signal_wait(&set, conc_in(LOOK_EVERY)) != -ETIMEDOUT)
                continue;
            now = tree_kib((int)child, 0);
            kib = now > kib ? now : kib;
            continue;
        }
        if (pid == child) {
            cost->wall = (double)(conc_now() - started) / (double)CONC_S(1);
            child_status = status;
        }
        cost->cpu += (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
        largest = (double)used.ru_maxrss > largest ? (double)used.ru_maxrss : largest;
    }
    cost->mib = (kib > 0 ? kib : largest) / 1024;
    return child_status;
}

/* What a run that failed has said first. */
static int run_error(const struct order *order, int errors, int status)
{
    char said[CONC_MESSAGE_MAX];
    ssize_t n = pread(errors, said, sizeof said - 1, 0);

    said[n > 0 ? n : 0] = '\0';
    said[strcspn(said, "\n")] = '\0';
    return conc_raise(-EIO, "--mode %s has failed with %s %d: %.190s", order->mode,
                      WIFSIGNALED(status) ? "signal" : "exit status",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                      *said != '\0' ? said : "without a word");
}

/* ---- A run ---- */

static int run(const struct order *order, const char *program, int errors, struct cost *cost)
{
    char db[PATH_MAX + 8], timeout[32];
    char **argv;
    pid_t child;
    int status;

    snprintf(db, sizeof db, "sqlite:%s", order->file);
    snprintf(timeout, sizeof timeout, "%.3f", (double)order->timeout / (double)CONC_S(1));
    argv = make_arguments(order, db, timeout);
    if (argv == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    child = fork();
    if (child == 0)
        become(program, argv, errors);
    free(argv);
    if (child < 0)
        return conc_raise(-errno, "cannot start a run: %s", conc_strerror(errno));
    status = wait_for_all(child, cost);
    return status != 0 ? run_error(order, errors, status) : 0;
}

int measure(void *arg, void *result)
{
    char program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    sigset_t set;
    int errors, err;

    if (n < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return conc_raise(-errno, "cannot measure: %s", conc_strerror(errno));
    program[n] = '\0';
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD); /* caught before there is a child whose end could be missed */
    err = conc_signal_catch(&set);
    if (err)
        return conc_raise(err, "cannot wait for signals: %s", conc_strerror(err));
    errors = memfd_create("errors", MFD_CLOEXEC);
    if (errors < 0)
        return conc_raise(-errno, "cannot measure: %s", conc_strerror(errno));
    err = run(arg, program, errors, result);
    close(errors);
    return err;
}
