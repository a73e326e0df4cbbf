/* SPDX-License-Identifier: MIT
 *
 * conc/waitlist.h: what the primitives' structs are made of. Nothing here is for users: the structs
 * stand in the user's memory, so their sizes must be known, and that is all that this header tells.
 */
#ifndef CONC_WAITLIST_H
#define CONC_WAITLIST_H

#include <conc/base.h>

struct conc__waiter;

/* The callers who wait, first come first. All-zero is an empty list. */
struct conc__waitlist {
    struct conc__waiter
        *head; /* circular, doubly linked; under the guard of the primitive it lies in */
};

/* In a for statement, the object of conc_with_lock(): released when the block is left, however it
 * is. */
struct conc__with {
    void *lock; /* NULL: not held */
};

#define CONC__CONCAT2(a, b) a##b
#define CONC__CONCAT(a, b) CONC__CONCAT2(a, b)
/* The pointer tells the compiler that the block runs, and once: so what is set in it counts as set.
 * */
#define CONC__WITH(acquire, release, with)                                   \
    for (struct conc__with with __attribute__((cleanup(release))) = acquire, \
                                *CONC__CONCAT(with, _once) = &with;          \
         CONC__CONCAT(with, _once); release(&with), CONC__CONCAT(with, _once) = NULL)

#endif
