/* SPDX-License-Identifier: MIT
 *
 * names.h: the bounds of names.c, for it and for its tests; and the hosts file.
 */
#ifndef CONC_LIB_IO_NAMES_H
#define CONC_LIB_IO_NAMES_H

/* Lookups that run at the same time, with those that nobody waits for any more: those that may ask
 * a name server, and those that only read files. Each has a thread: without a limit, name servers
 * that do not answer could take all threads that the process may have. */
enum { LOOKUPS_MAX = 64, LOCAL_LOOKUPS_MAX = 16 };

/* Does a name stand in the file, with an address of that family (AF_UNSPEC: any)? 0; -ENOENT: it
 * does not, or there is no file; -EMFILE and what else fopen() tells. Blocks as reading a file. */
int conc__hosts_have(const char *path, const char *host, int family);

#endif
