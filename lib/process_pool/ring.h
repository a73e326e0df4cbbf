/* SPDX-License-Identifier: MIT
 *
 * ring.h: a stream of bytes from one process to another through shared memory: one writer, one
 * reader, each with a position of its own that the other watches.
 *
 * A position counts bytes modulo 2^31 (RING_SIZE divides that). Its highest bit, ASLEEP, is set by
 * the other side before it sleeps, in the same word, by compare-and-swap: so it cannot fall asleep
 * on a position that has moved meanwhile, and whoever moves it (an exchange, which takes the bit
 * off) learns in the same operation that it has to wake somebody. How is the matter of the two.
 *
 * Order: who moves a position releases what it has written (or read), who looks at it acquires.
 * What the other side says is not believed further than that no byte outside of the ring is
 * touched: it may have gone wild.
 */
#ifndef CONC_LIB_PROCESS_POOL_RING_H
#define CONC_LIB_PROCESS_POOL_RING_H

#include <string.h>

#include "base/atomic.h"

#define RING_SIZE (256u << 10)
#define RING_PIECE (RING_SIZE / 8) /* of a long stream: after so much the other side is told */
#define RING_ASLEEP 0x80000000u
#define RING_MASK 0x7fffffffu

struct ring {
    uint32_t head; /* bytes written; the writer's */
    char pad1[60]; /* a cache line each */
    uint32_t tail; /* bytes read; the reader's */
    char pad2[60];
    char bytes[RING_SIZE];
};

/* A side's own view. */
struct ring_end {
    struct ring *ring;
    uint32_t at; /* where it is; the other side sees it once it is published */
};

/* How many bytes may be read; 0 also if the writer has gone wild. */
static inline uint32_t ring_filled(const struct ring_end *reader)
{
    uint32_t n = (load_acquire(&reader->ring->head) - reader->at) & RING_MASK;
    return n <= RING_SIZE ? n : 0;
}

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

/* Let the other side see how far we are. True: it sleeps, and is to be woken. */
static inline bool ring_publish(uint32_t *word, uint32_t at)
{
    return exchange_acq_rel(word, at) & RING_ASLEEP;
}

/* Say that we sleep until the other side's position is no longer `at`. False: it is not already. */
static inline bool ring_fall_asleep(uint32_t *word, uint32_t at)
{
    uint32_t v = at;
    while (!cas_acquire(word, &v, at | RING_ASLEEP)) {
        if (v == (at | RING_ASLEEP))
            return true; /* we have said so before */
        if (v != at)
            return false;
    }
    return true;
}

#endif
