/* SPDX-License-Identifier: MIT
 *
 * identity.h: is it still the same file that has this number? See identity.c.
 */
#ifndef CONC_LIB_OP_IDENTITY_H
#define CONC_LIB_OP_IDENTITY_H

#include "op/op.h"

/* All-zero: not known; then every file is the same. */
struct file_identity {
    uint64_t inode;
    uint32_t device;
    uint32_t mode; /* with the type */
};

/* Note which file the descriptor is, before the op begins to wait for it. 0, or -EBADF. */
int conc__identity_note(struct file_identity *identity, int fd);

/* Make one attempt at the op, after a wait, as conc__perform_when_ready(op); -EBADF if the
 * descriptor is another file now. */
ssize_t conc__identity_perform(const struct file_identity *identity, struct op *op);

/* Copy the number of a socket or pipe for one attempt, so that the attempt is made with the file
 * that was looked at. -1: no copy is to be had, or the file is of another kind. */
int conc__identity_copy(int fd, mode_t mode);

/* Make the attempt with that copy (-1: with the number itself). */
ssize_t conc__identity_perform_copy(struct op *op, int copy);

#endif
