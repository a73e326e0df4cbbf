/* SPDX-License-Identifier: MIT
 *
 * without_io_uring.c: run a command where the system refuses io_uring, as containers do: a seccomp
 * filter, which all its children inherit.
 *
 *     without_io_uring [--enosys] COMMAND [ARGUMENT...]
 *
 * It is refused with EPERM, or as if the kernel had never heard of it.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuse(unsigned err)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (err & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return -errno;
    return 0;
}

int main(int argc, char **argv)
{
    int first = 1;
    unsigned refusal = EPERM;

    if (first < argc && strcmp(argv[first], "--enosys") == 0) {
        refusal = ENOSYS;
        first++;
    }
    if (first >= argc) {
        fprintf(stderr, "usage: without_io_uring [--enosys] COMMAND [ARGUMENT...]\n");
        return 2;
    }
    int err = refuse(refusal);
    if (err < 0) {
        fprintf(stderr, "without_io_uring: no filter: %s\n", strerror(-err));
        return 126;
    }
    execvp(argv[first], &argv[first]);
    fprintf(stderr, "without_io_uring: %s: %s\n", argv[first], strerror(errno));
    return 127;
}
