/* SPDX-License-Identifier: MIT
 *
 * arena.c: a worker's blocks for large results (block.h).
 *
 * Strings of bytes that a job makes are allocated here too, if they are large: they are likely
 * to be its result. If all blocks are taken, or there is no room for one, the heap is used.
 *
 * The table is under a guard, because a job may have threads. The child of a fork of a worker
 * has no arena: the blocks are its parent's. Nor has a process that was started by a job.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/guard.h"
#include "base/quiet.h"
#include "process/spawner.h"
#include "process_pool/block.h"

struct arena_place {
    struct block *block; /* NULL: none */
    size_t capacity;
    uint64_t at;
};

static struct {
    uint32_t word; /* the guard of all */
    int fd;
    uint32_t forks;
    uint64_t end; /* of the file */
    struct arena_place places[BLOCKS_MAX];
} arena;

void conc__block_release(struct block *block, size_t capacity)
{
    if (capacity > BLOCK_KEPT) /* if it fails, the memory stays: that is no error */
        madvise((char *)block + BLOCK_PAGE, capacity - BLOCK_PAGE, MADV_REMOVE);
    store_release(&block->taken, 0);
}

static void arena_give_up(struct arena_place *p)
{
    madvise(p->block, p->capacity, MADV_REMOVE);
    munmap(p->block, p->capacity);
    p->block = NULL;
}

static bool arena_make(struct arena_place *p, size_t capacity)
{
    const uint64_t end = arena.end + capacity;
    if (conc__quiet_ftruncate(arena.fd, (off_t)end))
        return false;
    void *at = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED, arena.fd, (off_t)arena.end);
    if (at == MAP_FAILED)
        return false;
    *p = (struct arena_place){at, capacity, arena.end};
    arena.end = end;
    return true;
}

static bool arena_take(const struct arena_place *p)
{
    uint32_t taken = 0;
    return cas_acquire(&p->block->taken, &taken, 1);
}

/* A free block of that capacity, which is taken then (*has_taken); else a place for one, which may
 * have a free block of another capacity. NULL: all blocks are taken. */
static struct arena_place *arena_find_place(size_t capacity, bool *has_taken)
{
    struct arena_place *other = NULL;
    *has_taken = false;
    for (size_t i = 0; i < BLOCKS_MAX; i++) {
        struct arena_place *p = &arena.places[i];
        if (p->block && p->capacity == capacity && arena_take(p)) {
            *has_taken = true;
            return p;
        }
        bool is_empty = !p->block;
        if (is_empty || (!other && p->capacity != capacity && !load_acquire(&p->block->taken)))
            other = other && !other->block ? other : p;
    }
    return other;
}

void *conc__arena_alloc(size_t n)
{
    size_t capacity = BLOCK_UNIT;
    if (n < BLOCK_MIN || n > SIZE_MAX / 8 || arena.forks != conc__forks())
        return NULL;
    while (capacity < n + sizeof(struct block))
        capacity *= 2;
    bool taken;
    guard_lock(&arena.word);
    struct arena_place *p = arena_find_place(capacity, &taken);
    if (p && !taken) {
        if (p->block)
            arena_give_up(p);
        taken = arena_make(p, capacity) && arena_take(p);
    }
    void *data = taken ? p->block->data : NULL;
    guard_unlock(&arena.word);
    return data;
}

/* Under the guard, or as the owner of the data. */
static struct arena_place *arena_place_of(const void *data)
{
    for (size_t i = 0; data && i < BLOCKS_MAX; i++)
        if (arena.places[i].block && data == arena.places[i].block->data)
            return &arena.places[i];
    return NULL;
}

bool conc__arena_free(void *data)
{
    guard_lock(&arena.word);
    struct arena_place *p = arena_place_of(data);
    if (p && arena.forks == conc__forks())
        conc__block_release(p->block, p->capacity);
    guard_unlock(&arena.word);
    return p;
}

uint32_t conc__arena_find(const void *data, uint64_t *at, uint64_t *capacity)
{
    guard_lock(&arena.word);
    const struct arena_place *p = arena_place_of(data);
    if (p) {
        *at = p->at;
        *capacity = p->capacity;
    }
    guard_unlock(&arena.word);
    return p ? (uint32_t)(p - arena.places) + 1 : 0;
}

void conc__arena_init(int fd, uint64_t size)
{
    static const struct bytes_place place = {conc__arena_alloc, conc__arena_free};
    memset(&arena, 0, sizeof arena); /* this process may be a descendant of another worker */
    arena.fd = fd;
    arena.end = size;
    arena.forks = conc__forks();
    conc__bytes_place = &place;
}
