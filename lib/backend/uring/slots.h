/* SPDX-License-Identifier: MIT
 *
 * slots.h: the table of the ops that the io_uring backend carries out, and the names by which the
 * kernel knows them.
 *
 * A name is the index of the slot and its generation, which changes when the slot is freed. So a
 * cancel that comes too late names an op that does not exist any more, and never the next op in the
 * same slot or at the same address; and a completion that should not come is noticed.
 *
 * The table also answers whether any op uses a descriptor, which is asked before each close.
 * `users` of the slot at index fd mod size (which has nothing to do with the op in that slot)
 * counts the ops whose descriptors fall there. There are as many such counts as slots, so
 * descriptors rarely share one.
 *
 * Pointers to slots are valid until the next op is put in: the table may move then.
 */
#ifndef CONC_LIB_BACKEND_URING_SLOTS_H
#define CONC_LIB_BACKEND_URING_SLOTS_H

#include "op/identity.h"

/* How far an op is; see uring.c. */
enum slot_phase { SLOT_WAITING, SLOT_ENTERED, SLOT_CANCEL_DUE };

/* What its entry asks for. */
enum slot_step { STEP_OWN, STEP_READY };

struct slot {
    struct op *op; /* NULL: free */
    uint32_t generation;

    /* The place of its last entry in the submission queue. In a free slot: the index + 1 of the
     * next free slot. */
    uint32_t place;

    int fd; /* the op's; -1: it has none */
    uint32_t users;
    uint8_t phase; /* enum slot_phase */
    uint8_t step;  /* enum slot_step */
    bool quiet;    /* its entry has the flag against SIGPIPE */
    bool cancelled;
    bool closed; /* cancelled because its descriptor is being closed */

    struct file_identity identity; /* the file that its entry waits for, in STEP_READY */
};

struct slots { /* all-zero: empty */
    struct slot *table;
    uint32_t size; /* 0, or a power of two */
    uint32_t used; /* the slots from this index on have never been in use */
    uint32_t free; /* the index + 1 of the first free slot below `used`; 0: none is free */
};

/* Put an op into a slot: sets op->slot. NULL: there is no memory. */
struct slot *conc__slots_put(struct slots *slots, struct op *op, int fd);

/* Take the op out of the slot: clears op->slot. */
void conc__slots_remove(struct slots *slots, struct slot *slot);

/* May any op use the descriptor? If so, look at the ops themselves. */
static inline bool slots_may_use(const struct slots *slots, int fd)
{
    return fd >= 0 && slots->size && slots->table[(uint32_t)fd & (slots->size - 1)].users;
}

static inline struct slot *slot_of(const struct slots *slots, const struct op *op)
{
    return &slots->table[op->slot - 1];
}

static inline uint64_t slot_name(const struct slots *slots, const struct slot *slot)
{
    return (uint64_t)slot->generation << 32 | (uint32_t)(slot - slots->table);
}

/* The slot of that name; NULL: its op has ended. */
static inline struct slot *slot_named(const struct slots *slots, uint64_t name)
{
    uint32_t index = (uint32_t)name;
    if (index >= slots->used)
        return NULL;
    struct slot *slot = &slots->table[index];
    return slot->op && slot->generation == name >> 32 ? slot : NULL;
}

/* The completion of a request to cancel an op has the op's name with this bit: no index has it. */
#define NAME_CANCELS UINT64_C(0x80000000)

/* Names that no slot has, as there are fewer slots. */
#define NAME_OF_NONE UINT64_C(0xffffffff)
#define NAME_OF_WAKE UINT64_C(0x1ffffffff)

#endif
