/* SPDX-License-Identifier: MIT
 *
 * switch.h: the few instructions under coroutine.h, written for each architecture
 * (switch_<cpu>.S), or with <ucontext.h> where there are none (switch_ucontext.c).
 *
 * What a function must keep for its caller by the architecture's calling convention is kept: the
 * callee-saved registers, and how the caller wants floating-point numbers computed (rounding,
 * traps; not the sticky flags of exceptions). The signal mask is not: it belongs to the thread.
 */
#ifndef CONC_LIB_SWITCH_H
#define CONC_LIB_SWITCH_H

/* Prepare a stack that no code runs on, so that a switch to the place returned calls
 * conc__switch_begin(pass, main, arg) below `top` (aligned to 64). What is kept for a caller begins
 * as it is now. */
void *conc__switch_prepare(void *top, void *bottom, void (*main)(void *arg), void *arg);

/* Store the caller's place in *here, and go on at `there`, a place that was stored so: the call
 * that stored it returns `pass`. *here is valid once the other side runs. */
void *conc__switch(void **here, void *there, void *pass);

/* The same; faster if the other side stands in another function, slower if in this one. */
void *conc__switch_apart(void **here, void *there, void *pass);

/* In coroutine.c. */
void conc__switch_begin(void *pass, void (*main)(void *arg), void *arg) __attribute__((noreturn));

#endif
