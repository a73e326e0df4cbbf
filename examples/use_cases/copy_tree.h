/* SPDX-License-Identifier: MIT
 *
 * copy_tree.h: copy a folder with all that is in it, by several threads, so that it can be
 * cancelled at any moment.
 */
#ifndef EXAMPLES_COPY_TREE_H
#define EXAMPLES_COPY_TREE_H

#include "use_cases/progress.h"

struct copy_request {
    const char *from; /* a folder */
    const char *to;   /* what it is copied to; must not be there yet */
    size_t workers;   /* threads that copy files; at least 1 */
    double rate;      /* the most bytes a second; 0: any */
    int64_t timeout;  /* nanoseconds, of which it may take so many */
    struct progress *progress;
};

/**
 * Copy a folder.
 *
 * Files, folders and symbolic links are copied with their modes and times (as the caller's own: the
 * set-user-ID and set-group-ID bits are left out), holes in files stay holes. Several names of one
 * file (hard links) become several files. Fifos, sockets and devices are skipped.
 *
 * What cannot be copied is told on stderr and counted in progress->tally.problems; the others are
 * copied all the same. But when the disk is full, nothing more is begun.
 *
 * A file gets its name only when it is whole. So when the caller is cancelled, those that are there
 * are whole, and nothing else is left.
 *
 * @return 0: done, but for the problems; -ECANCELED; -ETIMEDOUT; else the error that has ended it,
 *         which has been told
 */
int copy_tree(const struct copy_request *request);

#endif
