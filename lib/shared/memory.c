/* SPDX-License-Identifier: MIT
 *
 * memory.c: blocks of memory shared between processes.
 *
 * How: a block is a memory file without a name (memfd_create(2)), mapped. A fork's child has the
 * mapping and the descriptor; any other process can be sent the descriptor and map it. When the
 * last of them is gone so is the memory: nothing is left behind by whoever is killed.
 *
 * The file's size is sealed, so that nobody who has been given a descriptor can shrink it under the
 * others (who would get a SIGBUS); and a descriptor without the seals is none of ours.
 *
 * What is mapped in this process stands in a list, under a guard that is held over a fork, so that
 * the child finds the list whole. It holds the child's blocks too: they are the same.
 *
 *     conc_shared_fd(block), conc_shared_free(block)    look for it: a program has a few
 */
#include <conc/shared.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/guard.h"
#include "base/list.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct block {
    struct list_node node; /* in the list; under its guard */
    void *at;
    size_t size;
    int fd;
};

static struct {
    uint32_t word; /* the guard of the list */
    struct list list;
} blocks;

static void shared_memory_before_fork(void) { guard_lock(&blocks.word); }
static void shared_memory_after_fork(void) { guard_unlock(&blocks.word); }

/* Out of memory: then a child must not use libconc. */
static void shared_memory_watch_forks(void)
{
    pthread_atfork(shared_memory_before_fork, shared_memory_after_fork, shared_memory_after_fork);
}

static void shared_memory_enlist(struct block *b)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, shared_memory_watch_forks);
    guard_lock(&blocks.word);
    list_push(&blocks.list, &b->node);
    guard_unlock(&blocks.word);
}

/* Under the guard. NULL: there is none. */
static struct block *shared_memory_find(const void *at)
{
    for (struct list_node *n = blocks.list.head; n; n = list_next(&blocks.list, n)) {
        struct block *b = list_entry(n, struct block, node);
        if (b->at == at)
            return b;
    }
    return NULL;
}

/* Map the file and enlist it. Takes the descriptor on 0. */
static int shared_memory_map_file(int fd, size_t size, void **ret)
{
    struct block *b = alloc_one(struct block);
    if (!b)
        return -ENOMEM;
    b->fd = fd;
    b->size = size;
    b->at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (b->at == MAP_FAILED) {
        int err = -errno;
        free_bytes(b);
        return err == -EACCES || err == -EPERM ? -EINVAL : err; /* not open for writing */
    }
    shared_memory_enlist(b);
    *ret = b->at;
    return 0;
}

static int shared_memory_make_file(size_t size)
{
    int fd = memfd_create("conc_shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, SEALS)) {
        int err = -errno;
        close(fd);
        return err == -EFBIG ? -ENOMEM : err;
    }
    return fd;
}

int conc_shared_new(void **ret, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (size == 0 || size > PTRDIFF_MAX - page)
        return -EINVAL;
    size = (size + page - 1) / page * page;
    int fd = shared_memory_make_file(size);
    if (fd < 0)
        return fd;
    int err = shared_memory_map_file(fd, size, ret);
    if (err)
        close(fd);
    return err;
}

/* The size of a block's file; or -EINVAL: it is none; -EBADF. */
static int64_t shared_memory_file_size(int fd)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return errno == EBADF ? -EBADF : -EINVAL;
    if ((seals & SEALS) != SEALS || fstat(fd, &st) || st.st_size == 0)
        return -EINVAL;
    return st.st_size;
}

int conc_shared_map(void **ret, size_t *size, int fd)
{
    int64_t n = shared_memory_file_size(fd);
    if (n < 0)
        return (int)n;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return errno == EINVAL ? -EMFILE : -errno;
    int err = shared_memory_map_file(own, (size_t)n, ret);
    if (err)
        close(own);
    else if (size)
        *size = (size_t)n;
    return err;
}

int conc_shared_fd(const void *block)
{
    guard_lock(&blocks.word);
    const struct block *b = shared_memory_find(block);
    int fd = b ? b->fd : -EINVAL;
    guard_unlock(&blocks.word);
    return fd;
}

int conc_shared_free(void *block)
{
    if (!block)
        return 0;
    guard_lock(&blocks.word);
    struct block *b = shared_memory_find(block);
    if (b)
        list_remove(&blocks.list, &b->node);
    guard_unlock(&blocks.word);
    if (!b)
        return -EINVAL;
    munmap(b->at, b->size);
    close(b->fd);
    free_bytes(b);
    return 0;
}
