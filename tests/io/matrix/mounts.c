/* SPDX-License-Identifier: MIT
 *
 * mounts.c: see mounts.h.
 *
 * Images are sparse files in the program's folder; mount(8) gives each a loop device that goes with
 * its mount. The namespace is the program's own, and nothing in it is seen outside: so whatever
 * ends the program, nothing stays mounted. A FUSE server is told to die with the program.
 */
#include "mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "matrix.h"
#include "support.h"

const char *const filesystem_names[N_FILESYSTEMS] = {
    [EXT4] = "ext4",           [TMPFS] = "tmpfs",       [XFS] = "xfs",
    [BTRFS] = "btrfs",         [OVERLAY] = "overlayfs", [FUSE] = "FUSE",
    [SLOW_FUSE] = "slow FUSE",
};

static struct {
    char path[128], below[128];
    const char *why; /* NULL: it is there */
    pid_t server;
} mounts[N_FILESYSTEMS];

/* Each command says itself where its output goes. */
static bool command_run(const char *command)
{
    int status = system(command);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool command_is_there(const char *name)
{
    char command[128];
    snprintf(command, sizeof command, "PATH=$PATH:/sbin:/usr/sbin command -v %s >/dev/null", name);
    return command_run(command);
}

/* ---- Each of them ---- */

/* Why not; NULL: it is mounted. */
static const char *mount_image(enum filesystem fs, const char *make, const char *size)
{
    char command[1200];
    const char *at = mounts[fs].path;
    if (!command_is_there(make))
        return "there is no mkfs for it here";
    snprintf(command, sizeof command,
             "exec >/dev/null 2>&1; PATH=$PATH:/sbin:/usr/sbin; truncate -s %s %s.img && %s -q "
             "%s.img && "
             "mount -o loop %s.img %s && rm %s.img",
             size, at, make, at, at, at, at);
    return command_run(command) ? NULL : "it cannot be mounted here";
}

static const char *mount_overlay(const char *at)
{
    char command[1200];
    const char *in = mounts[TMPFS].path;
    if (mounts[TMPFS].why)
        return mounts[TMPFS].why;
    snprintf(command, sizeof command,
             "exec >/dev/null 2>&1; cd %s && mkdir lower upper work && "
             "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work %s",
             in, at);
    return command_run(command) ? NULL : "it cannot be mounted here";
}

static bool folder_is_mount(const char *at)
{
    struct stat inside, outside;
    char parent[160];
    snprintf(parent, sizeof parent, "%s/..", at);
    return stat(at, &inside) == 0 && stat(parent, &outside) == 0 && inside.st_dev != outside.st_dev;
}

static const char *mount_fuse(enum filesystem fs)
{
    if (mounts[TMPFS].why)
        return mounts[TMPFS].why;
    if (!command_is_there("bindfs"))
        return "there is no bindfs here";
    snprintf(mounts[fs].below, sizeof mounts[fs].below, "%.90s/below-%d", mounts[TMPFS].path, fs);
    CHECK_EQUAL(mkdir(mounts[fs].below, 0700), 0);
    pid_t pid = mounts[fs].server = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++)
            dup2(null, i);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("bindfs", "bindfs", "-f", mounts[fs].below, mounts[fs].path, NULL);
        _exit(1);
    }
    for (int64_t end = real_now() + CONC_S(10); real_now() < end;) {
        if (folder_is_mount(mounts[fs].path))
            return NULL;
        if (waitpid(pid, NULL, WNOHANG) == pid)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    mounts[fs].server = 0;
    return "FUSE cannot be mounted here";
}

static const char *mount_make(enum filesystem fs)
{
    switch (fs) {
    case EXT4:
        return mount_image(fs, "mkfs.ext4", "16M");
    case XFS:
        return mount_image(fs, "mkfs.xfs", "320M");
    case BTRFS:
        return mount_image(fs, "mkfs.btrfs", "128M");
    case TMPFS:
        return mount("tmpfs", mounts[fs].path, "tmpfs", 0, NULL) == 0 ? NULL : "no rights to mount";
    case OVERLAY:
        return mount_overlay(mounts[fs].path);
    default:
        return mount_fuse(fs);
    }
}

/* ---- All ---- */

void mounts_make(void)
{
    const char *why = NULL;
    (void)!unshare(CLONE_NEWIPC); /* limits of our own, where that is allowed */
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        why = "no rights to mount";
    static const enum filesystem order[] = {TMPFS, EXT4, XFS, BTRFS, OVERLAY, FUSE, SLOW_FUSE};
    for (size_t i = 0; i < N_FILESYSTEMS; i++) {
        enum filesystem fs = order[i];
        snprintf(mounts[fs].path, sizeof mounts[fs].path, "%s/mount-%d", rig_folder(), fs);
        CHECK_EQUAL(mkdir(mounts[fs].path, 0700), 0);
        mounts[fs].why = why ? why : mount_make(fs);
    }
}

void mounts_end(void)
{
    for (int fs = N_FILESYSTEMS - 1; fs >= 0; fs--) {
        if (mounts[fs].path[0] && !mounts[fs].why)
            umount2(mounts[fs].path, MNT_DETACH);
        if (mounts[fs].server > 0) {
            kill(mounts[fs].server, SIGKILL);
            waitpid(mounts[fs].server, NULL, 0);
        }
    }
}

const char *mount_of(enum filesystem fs, const char **why)
{
    *why = mounts[fs].why;
    return *why ? NULL : mounts[fs].path;
}

const char *mount_below(enum filesystem fs) { return mounts[fs].below; }
pid_t mount_server(enum filesystem fs) { return mounts[fs].server; }
