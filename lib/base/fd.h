/* SPDX-License-Identifier: MIT
 *
 * fd.h: descriptors for the library's own use. None of them is 0, 1 or 2: a program that was
 * started with these closed may open them at any time, and children take them for theirs.
 */
#ifndef CONC_LIB_FD_H
#define CONC_LIB_FD_H

/* Where the library's own begin. */
enum { FD_OWN_MIN = 3 };

/* Take a new descriptor over for the library; below 0: it was not made, and errno says why. The
 * descriptor, perhaps under another number, closed on exec; or an error, after closing it. */
int conc__fd_own(int fd);

/* The same for both of a pair; 0, or an error. */
int conc__fd_own_pair(int fds[2]);

#endif
