/* SPDX-License-Identifier: MIT
 *
 * names.h: the bound of names.c, for it and for its tests.
 */
#ifndef CONC_LIB_IO_NAMES_H
#define CONC_LIB_IO_NAMES_H

/* Lookups that run at the same time, with those that nobody waits for any more. Each has a thread:
 * without a limit, name servers that do not answer could take all threads that the process may
 * have. */
enum { LOOKUPS_MAX = 64 };

#endif
