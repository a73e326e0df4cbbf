/* SPDX-License-Identifier: MIT
 *
 * copy_paths.h: where a copy's files go, and whether they may.
 */
#ifndef EXAMPLES_COPY_PATHS_H
#define EXAMPLES_COPY_PATHS_H

/** What `path`, which is `from` or lies in it, is called in the copy. @return gives a string; NULL:
 * no memory */
char *target_path(const char *from, const char *to, const char *path);

/**
 * See that `from` is a folder, and that `to` does not lie in it: the copy would find itself, and
 * never end.
 *
 * @return 0; an error with a message
 */
int check_paths(const char *from, const char *to);

#endif
