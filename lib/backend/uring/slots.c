/* SPDX-License-Identifier: MIT
 *
 * slots.c: see slots.h. The table doubles when it is full, and does not shrink. Slots are used
 * again last in, first out, while they are in the cache.
 */
#include "backend/uring/slots.h"

#include <string.h>

#include "base/alloc.h"
#include "base/invariant.h"

enum { SLOTS_MIN = 64 };

static void slots_count_users(struct slots *slots, int fd, int change)
{
    if (fd >= 0)
        slots->table[(uint32_t)fd & (slots->size - 1)].users += (uint32_t)change;
}

static bool slots_grow(struct slots *slots)
{
    uint32_t size = slots->size ? 2 * slots->size : SLOTS_MIN;
    struct slot *table = size ? alloc_array(size, sizeof *table) : NULL;
    if (!table)
        return false;
    if (slots->used)
        memcpy(table, slots->table, slots->used * sizeof *table);
    free_bytes(slots->table);
    slots->table = table;
    slots->size = size;
    for (uint32_t i = 0; i < slots->used; i++)
        table[i].users = 0;
    for (uint32_t i = 0; i < slots->used; i++)
        if (table[i].op)
            slots_count_users(slots, table[i].fd, 1);
    return true;
}

struct slot *conc__slots_put(struct slots *slots, struct op *op, int fd)
{
    uint32_t index;
    if (slots->free) {
        index = slots->free - 1;
        slots->free = slots->table[index].place;
    } else {
        if (slots->used == slots->size && !slots_grow(slots))
            return NULL;
        index = slots->used++;
    }
    struct slot *slot = &slots->table[index];
    slot->op = op;
    slot->fd = fd;
    slot->step = STEP_OWN;
    slot->cancelled = slot->closed = false;
    slots_count_users(slots, fd, 1);
    op->slot = index + 1;
    return slot;
}

void conc__slots_remove(struct slots *slots, struct slot *slot)
{
    uint32_t index = (uint32_t)(slot - slots->table);
    invariant(slot->op, "a slot that is freed has an op");
    slots_count_users(slots, slot->fd, -1);
    slot->op->slot = 0;
    slot->op = NULL;
    slot->generation++;
    slot->place = slots->free;
    slots->free = index + 1;
}
