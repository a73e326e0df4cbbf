/* SPDX-License-Identifier: MIT
 *
 * mounts.h: file systems of each kind, in a mount namespace of the program's own, where the machine
 * lets it.
 */
#ifndef CONC_TESTS_MOUNTS_H
#define CONC_TESTS_MOUNTS_H

#include <sys/types.h>

enum filesystem { EXT4, TMPFS, XFS, BTRFS, OVERLAY, FUSE, SLOW_FUSE, N_FILESYSTEMS };

extern const char *const filesystem_names[N_FILESYSTEMS];

/* Mount all; and end the servers of FUSE. The mounts go with the program. */
void mounts_make(void);
void mounts_end(void);

/* A folder there; NULL: none, and why. */
const char *mount_of(enum filesystem fs, const char **why);

/* The folder that lies under a FUSE mount, and its server. */
const char *mount_below(enum filesystem fs);
pid_t mount_server(enum filesystem fs);

#endif
