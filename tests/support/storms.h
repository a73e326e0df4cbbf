/* SPDX-License-Identifier: MIT
 *
 * storms.h: what the storms of input and output share: threads, tasks over io_uring and tasks over
 * epoll that do their calls with deadlines and cancellations at any moment.
 */
#ifndef CONC_TESTS_STORMS_H
#define CONC_TESTS_STORMS_H

#include "ways.h"

#include <conc/lock.h>

/* Bytes of buffers: of one that no call uses, and of one that is to be read into. */
enum { POISON = 0xa5, UNTOUCHED = 0x5a };

bool is_all(const unsigned char *p, size_t n, unsigned char value);

/* ---- Where ---- */

/* Threads, and two loops in threads of their own. Without io_uring both are epoll's. */
void places_open(void);
void places_close(void);

conc_future *run_somewhere(struct test_random *random, conc_fn *fn, const void *arg, size_t size);

/* ---- Calls that may be cancelled ---- */

/* A context that makes calls, and the scope in which it does. */
struct caller {
    struct test_random random;
    conc_lock lock; /* of the next */
    conc_scope *scope;
};

conc_deadline some_deadline(struct test_random *random);

void begin_call(struct caller *c, conc_scope *scope);

/* With what it returned, which must fit. True: it had an effect. */
bool end_call(struct caller *c, conc_scope *scope, ssize_t result);

/* From another context: end the call that is under way, if there is one. */
void cancel_call(struct caller *c);

/* Run the body in rounds, one after another, as long as a stress test does. */
void storm(unsigned seed, void (*round)(struct test_random *random));

#endif
