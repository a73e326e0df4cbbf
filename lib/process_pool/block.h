/* SPDX-License-Identifier: MIT
 *
 * block.h: large results in shared memory, as both sides see them.
 *
 * A block is a piece of the lane's file: a header, then room for one result. The worker makes
 * blocks, at the end of the file, and remembers a few of them. It takes a free one for a result
 * that is going to be large, has the job write right into it, and tells the program which one it
 * is. The program maps it, once, and the future's value is there: nothing is copied, and after
 * the first time no new memory is touched. When the future is freed, the program sets the block
 * free.
 *
 *     free  -> taken   by the worker, for a result (compare-and-swap, acquire: nobody reads it any
 *                      more)
 *     taken -> free    by the worker, if the job has failed; else by the program (release)
 *
 * Only the owner of a taken block touches it. The worker may give up a free block: its memory
 * goes, and its number to another block at another place. The program notices by the place.
 */
#ifndef CONC_LIB_PROCESS_POOL_BLOCK_H
#define CONC_LIB_PROCESS_POOL_BLOCK_H

#include <stddef.h>
#include <stdint.h>

enum {
    BLOCKS_MAX = 16,       /* how many a worker remembers */
    BLOCK_MIN = 32 << 10,  /* bytes: smaller results go through the ring */
    BLOCK_UNIT = 64 << 10, /* bytes: the size of a block is this times a power of two */
    BLOCK_KEPT = 4 << 20,  /* bytes: a larger block gives its memory back each time it is freed */
    /* bytes: no page is larger, so giving back the memory behind it spares the header */
    BLOCK_PAGE = 64 << 10,
};

struct block {
    uint32_t taken;
    char pad[60];
    char data[];
};

_Static_assert(offsetof(struct block, data) == 64,
               "the layout of a block crosses processes; its data is aligned for every type");
_Static_assert(BLOCK_UNIT % BLOCK_PAGE == 0, "a block can be mapped: it begins with a page");

/* Set it free. */
void conc__block_release(struct block *block, size_t capacity);

/* ---- The worker's side: arena.c ---- */

/* This process is a worker; `fd` is its lane's file, which is `size` bytes long. */
void conc__arena_init(int fd, uint64_t size);

/* Room for a result of n bytes; NULL: there is none, or the result is too small for a block. The
 * threads of a job may call this, and the next. */
void *conc__arena_alloc(size_t n);

/* Free what conc__arena_alloc() gave. False: it does not lie in a block. */
bool conc__arena_free(void *data);

/* In which block does it lie? Returns its number, from 1 on, and gives place and capacity; 0: it
 * lies in none. */
uint32_t conc__arena_find(const void *data, uint64_t *at, uint64_t *capacity);

#endif
