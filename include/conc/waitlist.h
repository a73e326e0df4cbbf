/* SPDX-License-Identifier: MIT
 *
 * conc/waitlist.h: what the primitives' structs are made of. Nothing here is for users: the structs
 * stand in the user's memory, so their sizes must be known, and this header is only for that.
 */
#ifndef CONC_WAITLIST_H
#define CONC_WAITLIST_H

#include <conc/base.h>

struct conc__waiter;

/* The calls that wait, first come first. All-zero is an empty list. The list is circular and doubly
 * linked, and under the guard of the primitive it lies in. */
struct conc__waitlist {
    struct conc__waiter *head;
};

#define CONC__CONCAT2(a, b) a##b
#define CONC__CONCAT(a, b) CONC__CONCAT2(a, b)
/* A for statement whose block runs once, with `held` as its object: whatever way the block is left,
 * `leave` is called with its address. The second pointer tells the compiler that the block runs,
 * and once: so what is set in it counts as set. */
#define CONC__WITH(type, enter, leave, held)                                                       \
    for (type * held __attribute__((cleanup(leave))) = enter, **CONC__CONCAT(held, _once) = &held; \
         CONC__CONCAT(held, _once); leave(&held), CONC__CONCAT(held, _once) = NULL)

#endif
