/* SPDX-License-Identifier: MIT
 *
 * spawner.h: the fork server and its children: the packets between the two sides, and what the rest
 * of the floor uses. See spawner.c (the program's side) and spawner_main.c (the server's).
 */
#ifndef CONC_LIB_PROCESS_SPAWNER_H
#define CONC_LIB_PROCESS_SPAWNER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <conc/future.h>
#include <conc/pipe.h>

#include "wait/registry.h"

/* ---- The packets ---- */

enum request_kind {
    REQUEST_START = 1, /* with two descriptors: the child's channel, and where to report on it */
    REQUEST_SIGNAL,
};

struct request {
    uint32_t kind;
    int32_t signo;
    uint64_t child; /* its number, for a signal */
};

_Static_assert(sizeof(struct request) == 16, "a request crosses processes");

/* The descriptors that come with REQUEST_START. */
enum { REQUEST_FDS = 2 };

enum report_kind {
    REPORT_STARTED = 1, /* value: the pid; or a negative error, and there is no child */
    REPORT_ENDED,       /* value: the exit status, or -N for signal N */
    REPORT_NOT_KILLED,  /* it was to be killed, which is not allowed; only once for a child */
};

struct report {
    uint32_t kind;
    int32_t value;
    uint64_t child;
};

_Static_assert(sizeof(struct report) == 16, "a report crosses processes");

/* The server's descriptor, if it was started by running the program once more. */
#define SERVER_FD 3

/* Serve until the other end of the socket is closed. `argc` ... of the program. Does not return. */
void conc__server_main(int fd) __attribute__((noreturn));

/* ---- Children ---- */

/* What the first message through a channel begins with. */
enum child_kind { CHILD_PROCESS = 1, CHILD_WORKER };

struct child_start {
    uint32_t kind;
    uint32_t path_size; /* of the path of fn's object, zero included, which follows */
    uint64_t offset;    /* of fn in it */
    uint64_t arg_size;  /* which follows the path */
    uint64_t is_bytes;  /* it is the content of a conc_bytes, CONC_BYTES was its size */
    char name[CONC_NAME_MAX];
};

_Static_assert(sizeof(struct child_start) == 64 && offsetof(struct child_start, name) == 32,
               "the start of a first message crosses processes: the path lies right behind it");

/* A child as its starter sees it. */
struct child {
    pid_t pid;
    int report_fd;   /* its reports: a packet socket; -1: closed */
    uint64_t number; /* as the server counts */
    uint32_t server; /* which server it is a child of */
    uint32_t forks;  /* conc__forks() of the process that has started it */
};

/* Make the first message to a child: which function it is to run (NULL: none), with which argument.
 * Gives *ret. 0; -EINVAL: that is no function of the program or its libraries; -ENOMEM. */
int conc__child_message(conc_bytes *ret, enum child_kind kind, const char *name, conc_fn *fn,
                        const void *arg, size_t arg_size);

/* Start a child and send it its first message, with descriptors, through *channel, which it gives.
 * 0 also if the child has ended before it took the message: its report tells how. On an error there
 * is neither. */
int conc__child_launch(struct child *child, conc_pipe **channel, const conc_bytes *message,
                       const int *fds, size_t n_fds);

/* Start a child, which gets the descriptor `channel` (the caller keeps its own), and wait until the
 * child is there. 0, or an error. Without `wait` the first report is left to the caller. */
int conc__child_start(struct child *child, int channel, bool wait);

/* Take the next report. 1; 0: there is none yet; -ESRCH: none will come, as the server has
 * ended. */
int conc__child_report(struct child *child, struct report *ret);

/* Send the child a signal. 0; -ESRCH: its server has ended. */
int conc__child_signal(const struct child *child, int signo);

void conc__child_close(struct child *child);

/* Describe how a child has ended: "was killed by signal 9 (Killed)". */
void conc__child_words(char *to, size_t size, int status);

/* What a kind of child does. */
struct child_role {
    /* Gets the first message (`arg` lies in it, and it may be freed) and the descriptors that came
     * with it. `fn` is NULL if the message names none. */
    void (*main)(conc_pipe *channel, const struct child_start *start, conc_fn *fn,
                 conc_bytes *message, void *arg, const int *fds, size_t n_fds)
        __attribute__((noreturn));

    /* SIGINT does nothing; else it does what it does in the program. */
    bool ignores_interrupt;
};

/* Of CHILD_PROCESS: process.c. */
extern const struct child_role conc__process_role;

/* Of CHILD_WORKER: the floor above defines it (process_pool/worker.c). It is a constant, as the
 * server may serve in a constructor, before any code could register something. */
extern const struct child_role conc__worker_role;

/* A job with the argument that was sent; NULL: there is no memory. */
conc_future *conc__child_job(const struct child_start *start, conc_fn *fn, const void *arg);

/* Set what conc_process_current_name() and conc_process_fd() give. The name must stay for ever. */
void conc__process_set_here(const char *name, const int *fds, size_t n_fds);

/* End a child. What it has written to its streams is flushed, but the program's exit functions are
 * not called. */
void conc__child_exit(int status) __attribute__((noreturn));

#endif
