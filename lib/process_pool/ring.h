/* SPDX-License-Identifier: MIT
 *
 * ring.h: a stream of bytes from one process to another through shared memory. There is one
 * writer and one reader, and each has a position that the other watches.
 *
 * A position counts bytes modulo 2^31 (RING_SIZE divides that). Its highest bit, RING_ASLEEP, is
 * set by the other side before it sleeps, in the same word, by compare-and-swap. So that side
 * cannot fall asleep on a position that has moved meanwhile. The side that moves the position
 * (by an exchange, which takes the bit off) learns in the same operation that it has to wake the
 * other. How it does that is its own matter.
 *
 * Order: a side that moves its position releases what it has written (or read), and a side that
 * looks at the other's position acquires. What the other side says is believed only so far that
 * no byte outside of the ring is touched: the other process may be corrupted.
 */
#ifndef CONC_LIB_PROCESS_POOL_RING_H
#define CONC_LIB_PROCESS_POOL_RING_H

#include <stddef.h>
#include <string.h>

#include "base/atomic.h"

#define RING_SIZE (256u << 10)
#define RING_PIECE (RING_SIZE / 8) /* of a long stream: the other side is told after each */
#define RING_ASLEEP 0x80000000u
#define RING_MASK 0x7fffffffu

struct ring {
    uint32_t head; /* bytes written; moved by the writer */
    char pad1[60]; /* a cache line for each position */
    uint32_t tail; /* bytes read; moved by the reader */
    char pad2[60];
    char bytes[RING_SIZE];
};

_Static_assert(__atomic_always_lock_free(sizeof(uint32_t), NULL),
               "positions work between processes: a lock would be one process's own");
_Static_assert(offsetof(struct ring, tail) == 64 && offsetof(struct ring, bytes) == 128 &&
                   sizeof(struct ring) == 128 + RING_SIZE,
               "the layout of a ring crosses processes; each position has a cache line");
_Static_assert((RING_MASK + 1u) % RING_SIZE == 0, "a position that wraps names the same byte");

/* What one side knows of the ring by itself. */
struct ring_end {
    struct ring *ring;
    uint32_t at; /* its position; the other side sees it once it is published */
};

/* How many bytes may be read; 0 also if the writer's position makes no sense. */
static inline uint32_t ring_filled(const struct ring_end *reader)
{
    uint32_t n = (load_acquire(&reader->ring->head) - reader->at) & RING_MASK;
    return n <= RING_SIZE ? n : 0;
}

/* How many bytes may be written; 0 also if the reader's position makes no sense. */
static inline uint32_t ring_room(const struct ring_end *writer)
{
    uint32_t n = (writer->at - load_acquire(&writer->ring->tail)) & RING_MASK;
    return n <= RING_SIZE ? RING_SIZE - n : 0;
}

/* Write as much of n bytes as there is room for, at most a piece. */
static inline size_t ring_write(struct ring_end *writer, const void *from, size_t n)
{
    const uint32_t room = ring_room(writer), at = writer->at % RING_SIZE;
    if (n > RING_PIECE)
        n = RING_PIECE;
    if (n > room)
        n = room;
    size_t first = n < RING_SIZE - at ? n : RING_SIZE - at;
    if (first)
        memcpy(writer->ring->bytes + at, from, first);
    if (n > first)
        memcpy(writer->ring->bytes, (const char *)from + first, n - first);
    writer->at = (writer->at + (uint32_t)n) & RING_MASK;
    return n;
}

/* Read as much of n bytes as is there, at most a piece; to NULL: skip it. */
static inline size_t ring_read(struct ring_end *reader, void *to, size_t n)
{
    const uint32_t filled = ring_filled(reader), at = reader->at % RING_SIZE;
    if (n > RING_PIECE)
        n = RING_PIECE;
    if (n > filled)
        n = filled;
    size_t first = n < RING_SIZE - at ? n : RING_SIZE - at;
    if (first && to)
        memcpy(to, reader->ring->bytes + at, first);
    if (n > first && to)
        memcpy((char *)to + first, reader->ring->bytes, n - first);
    reader->at = (reader->at + (uint32_t)n) & RING_MASK;
    return n;
}

/* Let the other side see this side's position. True: the other side sleeps, and is to be woken. */
static inline bool ring_publish(uint32_t *word, uint32_t at)
{
    return exchange_acq_rel(word, at) & RING_ASLEEP;
}

/* Say in the other side's position that this side sleeps until that is no longer `at`. False: it is
 * not `at` already, and nothing was said. */
static inline bool ring_fall_asleep(uint32_t *word, uint32_t at)
{
    uint32_t v = at;
    while (!cas_acquire(word, &v, at | RING_ASLEEP)) {
        if (v == (at | RING_ASLEEP))
            return true; /* this side has said so before */
        if (v != at)
            return false;
    }
    return true;
}

#endif
