/* SPDX-License-Identifier: MIT
 *
 * memory.c: memory that processes share.
 *
 * How: shared memory is a memory file without a name (memfd_create(2)), mapped. The child of a
 * fork has the mapping and the descriptor; any other process can be sent the descriptor, and map
 * it. The memory goes when the last process that has it ends or frees it. So a process that is
 * killed leaves nothing behind.
 *
 * The size of the file is sealed. So no process that was given a descriptor can shrink the file
 * under the others, which would get a SIGBUS. A descriptor without these seals is none of
 * libconc's.
 *
 * The mappings of this process stand in a list, under a guard that is held over a fork, so that the
 * child finds the list whole. The child's list is right: it has the same mappings.
 *
 * conc_shared_fd() and conc_shared_free() search the list: a program has only a few mappings.
 */
#include <conc/shared.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/guard.h"
#include "base/list.h"
#include "base/quiet.h"

#define SHARED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct shared_mapping {
    struct list_node node; /* in shared_mappings.list; under its guard */
    void *at;
    size_t size;
    int fd;
};

static struct {
    uint32_t word; /* the guard of the list */
    struct list list;
} shared_mappings;

static void shared_memory_before_fork(void) { guard_lock(&shared_mappings.word); }
static void shared_memory_after_fork(void) { guard_unlock(&shared_mappings.word); }

/* If there is no memory for this, the child of a fork must not use libconc. */
static void shared_memory_watch_forks(void)
{
    pthread_atfork(shared_memory_before_fork, shared_memory_after_fork, shared_memory_after_fork);
}

static void shared_memory_enlist(struct shared_mapping *b)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, shared_memory_watch_forks);
    guard_lock(&shared_mappings.word);
    list_push(&shared_mappings.list, &b->node);
    guard_unlock(&shared_mappings.word);
}

/* Under the guard. NULL: there is none. */
static struct shared_mapping *shared_memory_find(const void *at)
{
    for (struct list_node *n = shared_mappings.list.head; n;
         n = list_next(&shared_mappings.list, n)) {
        struct shared_mapping *b = list_entry(n, struct shared_mapping, node);
        if (b->at == at)
            return b;
    }
    return NULL;
}

/* Map the file and put the mapping on the list. Takes the descriptor on 0. */
static int shared_memory_map_file(int fd, size_t size, void **ret)
{
    struct shared_mapping *b = alloc_one(struct shared_mapping);
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
    int fd = conc__fd_own(memfd_create("conc_shared", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return fd;
    int err = conc__quiet_ftruncate(fd, (off_t)size);
    if (!err && fcntl(fd, F_ADD_SEALS, SHARED_SEALS))
        err = -errno;
    if (err) {
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

/* The size of the file; or -EINVAL: it is no file of conc_shared_new(); -EBADF. */
static int64_t shared_memory_file_size(int fd)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return errno == EBADF ? -EBADF : -EINVAL;
    if ((seals & SHARED_SEALS) != SHARED_SEALS || fstat(fd, &st) || st.st_size == 0)
        return -EINVAL;
    return st.st_size;
}

int conc_shared_map(void **ret, size_t *size, int fd)
{
    int64_t n = shared_memory_file_size(fd);
    if (n < 0)
        return (int)n;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, FD_OWN_MIN);
    if (own < 0)
        return errno == EINVAL ? -EMFILE : -errno;
    int err = shared_memory_map_file(own, (size_t)n, ret);
    if (err) {
        close(own);
        return err;
    }
    if (size)
        *size = (size_t)n;
    return 0;
}

int conc_shared_fd(const void *block)
{
    guard_lock(&shared_mappings.word);
    const struct shared_mapping *b = shared_memory_find(block);
    int fd = b ? b->fd : -EINVAL;
    guard_unlock(&shared_mappings.word);
    return fd;
}

int conc_shared_free(void *block)
{
    if (!block)
        return 0;
    guard_lock(&shared_mappings.word);
    struct shared_mapping *b = shared_memory_find(block);
    if (b)
        list_remove(&shared_mappings.list, &b->node);
    guard_unlock(&shared_mappings.word);
    if (!b)
        return -EINVAL;
    munmap(b->at, b->size);
    close(b->fd);
    free_bytes(b);
    return 0;
}
