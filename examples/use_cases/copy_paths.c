/* SPDX-License-Identifier: MIT
 *
 * copy_paths.c: two folders are the same if their device and inode numbers are, whatever names,
 * symbolic links or dots lead to them. So the target's parents are looked at one by one, up to the
 * root.
 */
#include "use_cases/copy_paths.h"

#include <conc.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *target_path(const char *from, const char *to, const char *path)
{
    char *target;
    size_t length = strlen(from);
    while (length > 0 && from[length - 1] == '/')
        length--;
    const char *rest = path + length;
    if (rest[strspn(rest, "/")] == '\0') /* `from` itself, written with a slash */
        rest = "";
    return asprintf(&target, "%s%s", to, rest) < 0 ? NULL : target;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is the open folder `fd`, or one around it, the one that `st` is of? Takes fd. @return 1, 0,
 * error */
static int is_within(int fd, const struct stat *st)
{
    struct stat here, last = {0};
    for (bool first = true;; first = false) {
        if (fd < 0 || fstat(fd, &here) != 0)
            break;
        bool found = is_same(&here, st), at_root = !first && is_same(&here, &last);
        if (found || at_root) {
            close(fd);
            return found;
        }
        last = here;
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int err = errno;
        close(fd);
        errno = err;
        fd = up;
    }
    int err = -errno;
    if (fd >= 0)
        close(fd);
    return err;
}

int check_paths(const char *from, const char *to)
{
    struct stat st;
    if (stat(from, &st) != 0)
        return conc_raise(-errno, "cannot read %s: %s", from, conc_strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return conc_raise(-ENOTDIR, "cannot copy %s: not a folder", from);

    char *copy = strdup(to);
    if (copy == NULL)
        return conc_raise(-ENOMEM, "cannot copy %s: %s", from, conc_strerror(ENOMEM));
    int within = is_within(open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC), &st);
    free(copy);
    if (within > 0)
        return conc_raise(-EINVAL, "cannot copy a folder into itself: %s lies in %s", to, from);
    if (within < 0)
        return conc_raise(within, "cannot make %s: %s", to, conc_strerror(within));
    return 0;
}
