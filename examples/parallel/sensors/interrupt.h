/* SPDX-License-Identifier: MIT
 *
 * interrupt.h: Ctrl-C as a cancellation: what runs gets -ECANCELED, cleans up, and returns.
 */
#ifndef SENSORS_INTERRUPT_H
#define SENSORS_INTERRUPT_H

#include <conc.h>

/**
 * Call a function; when a SIGINT or SIGTERM comes meanwhile, it is cancelled.
 *
 * In a task the signal is awaited by another task of the loop, elsewhere by a thread: the executor
 * makes the difference, the job is the same.
 *
 * @param signo  gives the signal that came; 0: none
 * @return what the function has returned; -ENOMEM: it was not called
 *
 * Called from: any thread or task. Blocks: as the function does.
 */
int run_until_interrupted(int (*fn)(void *arg), void *arg, int *signo);

/**
 * conc_process_prepare(), so that processes made by libconc ignore these signals: a terminal's
 * Ctrl-C comes to all of a program's processes, but only the parent is to act on it. At the top of
 * main(): while it runs a signal is lost.
 *
 * @return as conc_process_prepare()
 */
int init_deaf_processes(void);

#endif
