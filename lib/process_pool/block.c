/* SPDX-License-Identifier: MIT
 *
 * block.c: the program's side of large results (block.h).
 *
 * A block that was mapped stays mapped while something refers to it: the table of its worker,
 * and the future whose value lies in it, which may outlive both worker and pool. What a worker
 * says about its blocks is checked against its file, which cannot shrink: a worker that is
 * corrupted may spoil results, but not crash the program. After a fork the child has the mapping
 * too, but a block is the parent's to release.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/quiet.h"
#include "process_pool/pool_impl.h"

struct pool_block {
    struct value_keeper keeper;
    uint32_t refs;
    uint32_t forks;
    uint64_t at;
    size_t capacity;
    struct block *block;
};

_Static_assert(offsetof(struct pool_block, keeper) == 0,
               "the keeper of a value in a block is its struct pool_block");

void conc__pool_block_unref(struct pool_block *b)
{
    if (!b || fetch_sub_acq_rel(&b->refs, 1) != 1)
        return;
    munmap(b->block, b->capacity);
    free_bytes(b);
}

static void pool_block_release(struct value_keeper *keeper)
{
    struct pool_block *b = (struct pool_block *)(void *)keeper;
    if (b->forks == conc__forks())
        conc__block_release(b->block, b->capacity);
    conc__pool_block_unref(b);
}

bool conc__pool_block_makes_sense(const struct pool_worker *w)
{
    const struct result *r = &w->result;
    struct stat st;
    if (!r->block)
        return true;
    if (r->block > BLOCKS_MAX || r->at < sizeof *w->lane || r->at % BLOCK_UNIT)
        return false;
    if (r->size == 0 || r->size > SIZE_MAX / 4 || r->capacity % BLOCK_UNIT ||
        r->capacity < sizeof(struct block) + r->size)
        return false;
    return fstat(w->lane_fd, &st) == 0 && r->at <= (uint64_t)st.st_size &&
           r->capacity <= (uint64_t)st.st_size - r->at;
}

static struct pool_block *pool_block_map(const struct pool_worker *w)
{
    const struct result *r = &w->result;
    struct pool_block *b = alloc_one(struct pool_block);
    void *at = MAP_FAILED;
    if (b)
        at = mmap(NULL, r->capacity, PROT_READ | PROT_WRITE, MAP_SHARED, w->lane_fd, (off_t)r->at);
    if (at == MAP_FAILED) {
        free_bytes(b);
        return NULL;
    }
    *b = (struct pool_block){.keeper.release = pool_block_release,
                             .refs = 1,
                             .forks = conc__forks(),
                             .at = r->at,
                             .capacity = r->capacity,
                             .block = at};
    return b;
}

/* Set a block free that cannot be mapped, or it would stay taken for ever. */
static void pool_block_free_unmapped(const struct pool_worker *w)
{
    const uint32_t not_taken = 0;
    if (conc__quiet_pwrite(w->lane_fd, &not_taken, sizeof not_taken, (off_t)w->result.at) < 0)
        return; /* it stays taken: the worker has one block less */
}

bool conc__pool_block_settle(struct pool_worker *w, conc_future *job)
{
    const struct result *r = &w->result;
    struct pool_block **place = &w->blocks[r->block - 1];
    if (*place && ((*place)->at != r->at || (*place)->capacity != r->capacity)) {
        conc__pool_block_unref(*place);
        *place = NULL;
    }
    if (!*place)
        *place = pool_block_map(w);
    if (!*place) {
        pool_block_free_unmapped(w);
        return false;
    }
    fetch_add_relaxed(&(*place)->refs, 1); /* relaxed: the table's reference keeps it */
    conc__future_place_value(job, (*place)->block->data, r->size, &(*place)->keeper);
    return true;
}
