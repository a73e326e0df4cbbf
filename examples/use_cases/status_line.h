/* SPDX-License-Identifier: MIT
 *
 * status_line.h: the line at the bottom of a terminal that says how far a program has come, and
 * complaints that do not get into it.
 */
#ifndef EXAMPLES_STATUS_LINE_H
#define EXAMPLES_STATUS_LINE_H

#include <conc.h>

/** Is stdout a terminal, so that there can be a status line? */
bool status_is_possible(void);

/** Show a text, shorter than the terminal is wide, in the place of the last one. */
void status_show(const char *text);

/** Take the line away: what is printed next stands in its place. */
void status_clear(void);

/**
 * complain(), from any thread, above the status line. And nothing is cut, and what is no text in a
 * file's name is escaped, as print_escaped() does (text.h): two names never look the same.
 */
void complain_above(const char *fmt, ...) CONC_PRINTF(1, 2);

#endif
