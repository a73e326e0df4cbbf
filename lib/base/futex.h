/* SPDX-License-Identifier: MIT
 *
 * futex.h: sleep while a word has a value; wake those who sleep on it. See futex(2).
 *
 * Waking an address whose memory has been freed does no harm: it gives an error that is ignored, or
 * a wake-up without cause to a thread that sleeps on what lies there now. For that every wait must
 * stand in a loop, and all waits of libconc do.
 */
#ifndef CONC_LIB_FUTEX_H
#define CONC_LIB_FUTEX_H

#include <stdint.h>

#include <conc/base.h>

/* Sleep if *word is still `value`, until woken or the deadline; may return at any time for no
 * reason. */
void conc__futex_wait(uint32_t *word, uint32_t value, conc_deadline deadline);

/* Wake at most n of those who sleep on the word. */
void conc__futex_wake(uint32_t *word, int n);

/* Between processes: sleep if *shared is still `value`, and the caller's own word is still
 * `own_value`, until one of them is woken, or the deadline; may return at any time for no reason.
 * Where the system cannot wait for two words it returns every few milliseconds. */
void conc__futex_wait_shared(uint32_t *shared, uint32_t value, uint32_t *own, uint32_t own_value,
                             conc_deadline deadline);

/* Wake at most n of those who sleep on a word in shared memory. */
void conc__futex_wake_shared(uint32_t *word, int n);

#endif
