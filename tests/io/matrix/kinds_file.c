/* SPDX-License-Identifier: MIT
 *
 * kinds_file.c: regular files on each file system, directories, files in memory, and what the
 * kernel shows as files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kinds.h"
#include "mounts.h"
#include "support.h"

/* ---- Regular files ---- */

struct file_of {
    enum filesystem fs;
    int flags;
};

/* To be read: n records. To be written: one, which is of zs. */
static void file_write_content(struct rig *r, int fd)
{
    char record[RECORD_MOST];
    memset(record, 'z', sizeof record);
    for (unsigned i = 0; r->side == TO_READ && i < r->n; i++)
        rig_supply(r, fd);
    if (r->side == TO_WRITE)
        CHECK_EQUAL(write(fd, record, record_of(r->kind)), record_of(r->kind));
}

static void file_make(struct rig *r, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    file_write_content(r, fd);
    close(fd);
}

static int file_access(const struct rig *r)
{
    if (r->state != IS_WRONG_WAY)
        return O_RDWR;
    return r->side == TO_READ ? O_WRONLY : O_RDONLY;
}

static struct setup file_bring_to_state(struct rig *r)
{
    if (r->state == IS_ENDED)
        CHECK(lseek(r->fd, 0, SEEK_END) > 0);
    if (r->state == IS_BROKEN)
        return NO_SUCH("nothing else can go wrong");
    return PREPARED;
}

static struct setup file_prepare(struct rig *r)
{
    const struct file_of *of = r->kind->of;
    const char *why, *folder = mount_of(of->fs, &why);
    if (!folder)
        return NOT_TRIED(why);
    if (r->state == IS_WAITING)
        return NO_SUCH("a file never waits");
    rig_name_path(r, folder);
    file_make(r, r->path);
    r->fd = open(r->path, file_access(r) | of->flags | O_CLOEXEC);
    if (r->fd < 0)
        return NOT_TRIED("this file system does not open it so");
    return file_bring_to_state(r);
}

static void file_tell(struct rig *r, char *text)
{
    unsigned counts[256] = {0};
    unsigned char buf[4 * RECORD_MOST];
    rig_tell_position(r, text);
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    ssize_t n = read(fd, buf, sizeof buf);
    for (ssize_t i = 0; i < n; i++)
        counts[buf[i]]++;
    close(fd);
    text_add(text, "; in it:");
    text_add_counts(text, counts);
}

static void file_release(struct rig *r)
{
    if (r->path[0])
        unlink(r->path);
}

#define FILE_KIND(words, filesystem, size, open_flags)                                  \
    {                                                                                   \
        .name = words, .record = size, .flags = (open_flags)&O_DIRECT ? IS_DIRECT : 0,  \
        .of = &(const struct file_of){filesystem, open_flags}, .prepare = file_prepare, \
        .tell = file_tell, .release = file_release,                                     \
    }
#define FILE_KINDS(name, filesystem)                                   \
    FILE_KIND("file on " name, filesystem, 16, 0),                     \
        FILE_KIND("O_APPEND file on " name, filesystem, 16, O_APPEND), \
        FILE_KIND("O_DIRECT file on " name, filesystem, RECORD_MOST, O_DIRECT)

const struct kind file_kinds[N_FILE_KINDS] = {
    FILE_KINDS("ext4", EXT4),   FILE_KINDS("tmpfs", TMPFS),       FILE_KINDS("xfs", XFS),
    FILE_KINDS("btrfs", BTRFS), FILE_KINDS("overlayfs", OVERLAY), FILE_KINDS("FUSE", FUSE),
};

/* ---- A file system that does not answer ---- */

/* Its server stands still from when all is prepared until the first rig is unblocked. */
static bool server_stands;

static struct setup slow_prepare(struct rig *r)
{
    const char *why, *folder = mount_of(SLOW_FUSE, &why);
    char below[sizeof r->path];
    if (!folder)
        return NOT_TRIED(why);
    if (r->state != IS_WAITING)
        return NO_SUCH("as any file on FUSE");
    rig_name_path(r, folder);
    snprintf(below, sizeof below, "%.60s%.60s", mount_below(SLOW_FUSE), strrchr(r->path, '/'));
    file_make(r, below); /* nothing of it is in the cache */
    if (!r->opens) {
        r->fd = open(r->path, O_RDWR | O_CLOEXEC);
        CHECK(r->fd >= 0);
    }
    return PREPARED;
}

/* Do all its threads stand? A signal takes a moment. */
static bool server_is_stopped(void)
{
    char path[320], line[512];
    bool all = true;
    snprintf(path, sizeof path, "/proc/%d/task", (int)mount_server(SLOW_FUSE));
    DIR *d = opendir(path);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/stat", (int)mount_server(SLOW_FUSE),
                 e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        const char *end = f && fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
        all = all && (!end || end[2] == 'T');
        if (f)
            fclose(f);
    }
    closedir(d);
    return all;
}

static void slow_seal(struct rig *r)
{
    (void)r;
    if (server_stands)
        return;
    CHECK_EQUAL(kill(mount_server(SLOW_FUSE), SIGSTOP), 0);
    WAIT_UNTIL(server_is_stopped());
    server_stands = true;
}

static void slow_unblock(struct rig *r)
{
    (void)r;
    if (server_stands)
        CHECK_EQUAL(kill(mount_server(SLOW_FUSE), SIGCONT), 0);
    server_stands = false;
}

static void slow_release(struct rig *r)
{
    slow_unblock(r);
    file_release(r);
}

const struct kind kind_slow_fuse = {
    .name = "file on FUSE whose server does not answer",
    .flags = FINISHES,
    .prepare = slow_prepare,
    .seal = slow_seal,
    .unblock = slow_unblock,
    .tell = file_tell,
    .release = slow_release,
};

/* ---- Files in memory ---- */

static struct setup memfd_prepare(struct rig *r)
{
    if (r->state == IS_WAITING || r->state == IS_WRONG_WAY)
        return NO_SUCH("it is for both directions, and never waits");
    r->fd = memfd_create("matrix", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(r->fd >= 0);
    file_write_content(r, r->fd);
    CHECK_EQUAL(lseek(r->fd, 0, SEEK_SET), 0);
    if (r->state != IS_BROKEN)
        return file_bring_to_state(r);
    if (r->side == TO_READ)
        return NO_SUCH("nothing can go wrong with reading");
    CHECK_EQUAL(fcntl(r->fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    return PREPARED;
}

static void memfd_tell(struct rig *r, char *text)
{
    unsigned counts[256] = {0};
    unsigned char buf[1024];
    rig_tell_position(r, text);
    ssize_t n = pread(r->fd, buf, sizeof buf, 0);
    for (ssize_t i = 0; i < n; i++)
        counts[buf[i]]++;
    text_add(text, "; in it:");
    text_add_counts(text, counts);
}

const struct kind kind_memfd = {
    .name = "memfd",
    .flags = LOCKS_NO_POSITION,
    .prepare = memfd_prepare,
    .tell = memfd_tell,
};

/* ---- Directories ---- */

static struct setup directory_prepare(struct rig *r)
{
    if (r->state != IS_READY)
        return NO_SUCH("it is always the same");
    snprintf(r->path, sizeof r->path, "%s", rig_folder());
    r->fd = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(r->fd >= 0);
    return PREPARED;
}

const struct kind kind_directory = {.name = "directory", .prepare = directory_prepare};

/* ---- What the kernel shows ---- */

struct shown_of {
    const char *to_read, *to_write; /* NULL: there is no such that would do no harm */
    const char *write;              /* what; NULL: the number that is there */
    char pad;                       /* '0': before it; else behind it */
};

static struct setup shown_prepare(struct rig *r)
{
    const struct shown_of *of = r->kind->of;
    const char *path = r->side == TO_READ ? of->to_read : of->to_write;
    bool wrong = r->state == IS_WRONG_WAY, writes = (r->side == TO_WRITE) != wrong;
    if (r->state != IS_READY && r->state != IS_ENDED && !wrong)
        return NO_SUCH("it never waits");
    if (wrong)
        path = of->to_write;
    if (!path)
        return NOT_TRIED("none is known that writing does no harm to");
    snprintf(r->path, sizeof r->path, "%s", path);
    r->fd = open(path, (writes ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    if (r->fd < 0)
        return NOT_TRIED("there is no such file here, or no right to it");
    char all[4096];
    while (r->state == IS_ENDED && !writes && read(r->fd, all, sizeof all) > 0)
        ;
    return PREPARED;
}

/* A record that does no harm. */
static void shown_compose(const struct rig *r, unsigned number, void *buf)
{
    const struct shown_of *of = r->kind->of;
    char value[32] = "";
    (void)number;
    int fd = of->write || !of->to_write ? -1 : open(of->to_write, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, value, sizeof value - 1) < 0)
        value[0] = 0;
    if (fd >= 0)
        close(fd);
    memset(buf, of->pad, record_of(r->kind));
    if (of->write)
        snprintf(value, sizeof value, "%s", of->write);
    size_t length = strcspn(value, "\n");
    memcpy((char *)buf + (of->pad == '0' ? record_of(r->kind) - length : 0), value, length);
}

#define SHOWN_KIND(variable, words, what, ...)       \
    const struct kind variable = {                   \
        .name = words,                               \
        .flags = what,                               \
        .of = &(const struct shown_of){__VA_ARGS__}, \
        .prepare = shown_prepare,                    \
        .compose = shown_compose,                    \
    }

SHOWN_KIND(kind_procfs, "procfs", 0, "/proc/version", "/proc/self/comm", "matrix", '-');
SHOWN_KIND(kind_sysctl, "/proc/sys", 0, "/proc/sys/kernel/ostype", "/proc/sys/kernel/shmmni", NULL,
           '\n');
SHOWN_KIND(kind_pressure, "pressure stall information", DATA_VARIES, "/proc/pressure/cpu", NULL,
           NULL, 0);
SHOWN_KIND(kind_sysfs, "sysfs", 0, "/sys/devices/system/cpu/online",
           "/sys/kernel/mm/ksm/pages_to_scan", NULL, '0');
