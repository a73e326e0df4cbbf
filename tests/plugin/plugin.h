/* SPDX-License-Identifier: MIT
 *
 * plugin.h: what the plugins of these tests have for a host that knows nothing of libconc.
 */
#ifndef CONC_TESTS_PLUGIN_H
#define CONC_TESTS_PLUGIN_H

/* Use something of every part of the library; 0: all was right, else the line that was not. */
typedef int plugin_use_fn(void);

/* Call fn(arg) in a task of a loop of its own; its result. */
typedef int plugin_run_fn(int (*fn)(void *arg), void *arg);

/* Catch a signal, wait for it after it was raised, release it; 0. */
typedef int plugin_signal_fn(int signo);

/* Overflow the stack of a task. */
typedef void plugin_overflow_fn(void);

plugin_use_fn plugin_use;
plugin_run_fn plugin_run;
plugin_signal_fn plugin_catch, plugin_release;
plugin_overflow_fn plugin_overflow;

#endif
