/* SPDX-License-Identifier: MIT
 *
 * program.h: demo_server as a program of its own, watched from outside; and a client whose calls
 * work in threads and tasks alike.
 *
 * The test program is given the server's path as its first argument.
 */
#ifndef TESTS_EXAMPLES_PROGRAM_H
#define TESTS_EXAMPLES_PROGRAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <conc.h>

struct program {
    conc_subprocess *child;
    uint16_t port;
    int complaints;  /* a file that its stderr goes to */
    int descriptors; /* that it has when nobody is connected */
    int threads;
};

/** Start the server at `path` on a port of its own; fails the test if it can't. */
void program_start(struct program *program, const char *path);

/**
 * Ask it to stop, and see that it does so in time and well.
 *
 * @param complaint  what it must have written on stderr (among other things); NULL: nothing at all
 */
void program_stop(struct program *program, const char *complaint);

/** Has it written this on stderr by now? */
bool program_has_said(const struct program *program, const char *text);

/** How many threads it has. */
int program_threads(const struct program *program);

/** How many descriptors it has open. */
int program_descriptors(const struct program *program);

/** How many bytes of memory it uses. */
int64_t program_memory(const struct program *program);

/** Lower the number of descriptors that it may have. */
void program_limit_descriptors(const struct program *program, int most);

/** Wait until it has as many descriptors as at the beginning: nothing is left of its clients. */
void program_wait_until_alone(const struct program *program);

/** Wait until a number of /stats is as large as that. */
void program_wait_for_stat(const struct program *program, const char *name, int64_t least);

/* ---- Clients ---- */

/** Raise this process's own limit of descriptors. @return how many sockets it can have, at most n
 */
int sockets_allowed(int n);

/** Connect a plain socket; fails the test if it can't. Its reads give up after a while. */
int program_connect(const struct program *program);

/** Close it with a reset. */
void reset(int fd);

/**
 * GET a path, on a connection that stays open.
 *
 * @param body  gives the body, which must be short, zero-terminated; NULL: not wanted
 * @return the status; a negative error
 */
int get(conc_stream *stream, const char *path, char *body, size_t size);

/** GET a path, on a connection of its own. @return the same */
int get_once(uint16_t port, const char *path);

/** A number of /stats; a negative error. */
int64_t get_stat(uint16_t port, const char *name);

#endif
