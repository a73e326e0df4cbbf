/* SPDX-License-Identifier: MIT
 *
 * demo.h: a demo server inside the test program, and a socket to talk to it in any way at all.
 */
#ifndef TESTS_EXAMPLES_DEMO_H
#define TESTS_EXAMPLES_DEMO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <conc.h>

#include "support/http.h"
#include "support/server/server.h"

struct demo {
    struct server_model model;
    struct server *server;
};

/** Start a server on any port; fails the test if it can't. Without a model: "tasks". */
void demo_start(struct demo *demo, const struct server_options *options, const char *model,
                size_t workers);

/** Stop and free it. */
void demo_stop(struct demo *demo, int64_t grace);

/** GET a path; the test fails if there is no answer. @return the status; the body in `body` */
int demo_get(const struct demo *demo, const char *path, char *body, size_t size);

/** A number in /stats: "requests", "answers.200" ... */
int64_t demo_stat(const struct demo *demo, const char *name);

/** Connect a socket whose reads give up after ten seconds. */
int demo_connect(const struct demo *demo);

void raw_send(int fd, const char *text, size_t n);

/**
 * Read until the other end closes.
 *
 * @return the bytes, zero-terminated; for free()
 */
char *raw_read_all(int fd);

/**
 * Read one answer: head and body by its Content-Length.
 *
 * @param text  gives head and body; cut if it doesn't fit
 * @return the status; 0: the connection was closed before
 */
int raw_read_answer(int fd, char *text, size_t size);

/** How often `needle` stands in `text`. */
int count_of(const char *text, const char *needle);

#endif
