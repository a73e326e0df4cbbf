/* SPDX-License-Identifier: MIT
 *
 * os_fork.c, the chapter's os_fork.py: fork once; parent and child print the pids that each knows.
 *
 * Watch the lists: the first pid is in both, since the child begins with a copy of all that the
 * parent has; after that each adds its own, and sees nothing of the other's. (fork() is the
 * system's own: a program that uses libconc may call it like any other. process.c leaves it to the
 * library.)
 */
#include <conc.h>
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/child.h"
#include "support/listing.h"

struct pid_list {
    size_t count;
    int pids[2];
};

static struct pid_list pid_list;

static void append(pid_t pid) { pid_list.pids[pid_list.count++] = (int)pid; }

static int child(void)
{
    append(getpid());
    printf("\n"
           "CHLD: hey, I am the child process\n"
           "CHLD: all the pids I know [%d, %d]\n",
           pid_list.pids[0], pid_list.pids[1]);
    return printed();
}

static int parent(pid_t child_pid)
{
    int status;
    append(getpid());
    printf("\n"
           "PRNT: hey, I am the parent process\n"
           "PRNT: the child is pid %d\n"
           "PRNT: all the pids I know [%d, %d]\n",
           (int)child_pid, pid_list.pids[0], pid_list.pids[1]);
    while (waitpid(child_pid, &status, 0) < 0)
        if (errno != EINTR)
            return conc_raise(-errno, "cannot wait for the child: %s", conc_strerror(-errno));
    return status ? conc_raise(-CONC_EBROKEN, "the child has failed") : 0;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "Fork once; parent and child print the pids that they know.", NULL);
    append(getpid());
    fflush(stdout); /* what is in the buffer would be the child's too */
    pid_t child_pid = fork();
    if (child_pid < 0)
        return exit_status(conc_raise(-errno, "cannot fork: %s", conc_strerror(-errno)));
    if (child_pid == 0)
        return child() ? EXIT_FAILURE : EXIT_SUCCESS; /* the parent reports it */
    return exit_status(parent(child_pid));
}
