/* SPDX-License-Identifier: MIT
 *
 * store.c: the memory of a queue.
 *
 * Ring: the elements lie at first, first + 1, ... first + count - 1, modulo room. FIFO takes from
 * the front, LIFO from the back; both add at the back. A batch is one or two copies.
 *
 * Heap: 4-ary, the smallest element at 0, the children of i at 4i + 1 to 4i + 4: half as deep as a
 * binary one, and the children lie side by side. Each element is followed by its sequence number,
 * which breaks ties, so that equals come out in the order they came. There is no swapping: a hole
 * moves to the place where the element belongs.
 *
 * Alignment: elements lie at multiples of their size (heap: of their size and number, rounded up to
 * the size's largest power of two), from an address that suits malloc's largest alignment. So
 * `compare` and `drop` may look at them in place.
 *
 * Memory: a bounded store of at most STORE_AT_ONCE bytes has all of it from the start, so that
 * adding never fails. Others grow, at least by half at a time beyond the first few elements and
 * never beyond the limit. The queue's guard is held meanwhile, but the longer the queue is, the
 * more seldom it grows. A store does not shrink: a queue that was long once may be long again, and
 * then a put might not get the memory again.
 *
 * Invariants: count <= room <= limit. first < room, or both are 0. Sizes in bytes never overflow:
 * conc__store_grow() checks them.
 */
#include "queue/store.h"

#include "base/alloc.h"

enum {
    STORE_AT_ONCE = 64 * 1024, /* bytes that a bounded store takes at once */
    STORE_FIRST_ROOM = 16,     /* elements that the first growth makes room for */
    STORE_ARITY = 4,           /* children of an element of the heap */
};

/* ---- Memory ---- */

static unsigned char *store_at(const struct conc__store *store, size_t index)
{
    return store->items + index * store->stride;
}

/* Where in an element of the heap its sequence number lies. */
static size_t store_number_offset(size_t elem_size)
{
    const size_t to = sizeof(uint64_t) - 1;
    return (elem_size + to) & ~to;
}

/* From one element of the heap to the next; 0: it would overflow. */
static size_t store_heap_stride(size_t elem_size)
{
    size_t align = elem_size & -elem_size; /* no type of that size can need more */
    if (align < sizeof(uint64_t))
        align = sizeof(uint64_t);
    if (align > _Alignof(max_align_t))
        align = _Alignof(max_align_t);
    size_t stride = store_number_offset(elem_size) + sizeof(uint64_t);
    stride = (stride + align - 1) & ~(align - 1);
    return stride > elem_size ? stride : 0;
}

int conc__store_init(struct conc__store *store, size_t elem_size, size_t limit,
                     conc_queue_order order, conc_compare_fn *compare, void *compare_arg)
{
    size_t stride = order == CONC_PRIORITY ? store_heap_stride(elem_size) : elem_size;
    if (stride == 0 || stride >= PTRDIFF_MAX) /* no memory will ever hold one */
        return -ENOMEM;
    *store = (struct conc__store){.elem_size = elem_size,
                                  .stride = stride,
                                  .limit = limit,
                                  .order = order,
                                  .compare = compare,
                                  .compare_arg = compare_arg};
    return limit <= STORE_AT_ONCE / stride ? conc__store_grow(store, limit) : 0;
}

/* How much room to make for `needed` elements. */
static size_t store_next_room(const struct conc__store *store, size_t needed)
{
    size_t room = store->room + store->room / 2;
    if (room < store->room)
        room = SIZE_MAX;
    if (room < STORE_FIRST_ROOM)
        room = STORE_FIRST_ROOM;
    if (room < needed)
        room = needed;
    return room < store->limit ? room : store->limit;
}

/* Copy the ring's elements in one piece: those from first on, then those at the array's start. */
static void store_copy_straight(const struct conc__store *store, unsigned char *to)
{
    size_t ahead = store->room - store->first;
    if (ahead > store->count)
        ahead = store->count;
    if (ahead > 0)
        memcpy(to, store_at(store, store->first), ahead * store->stride);
    if (store->count > ahead)
        memcpy(to + ahead * store->stride, store->items, (store->count - ahead) * store->stride);
}

int conc__store_grow(struct conc__store *store, size_t n)
{
    if (n <= conc__store_spare(store))
        return 0;
    size_t needed, bytes;
    if (__builtin_add_overflow(store->count, n, &needed))
        return -ENOMEM;
    size_t room = store_next_room(store, needed);
    if (__builtin_mul_overflow(room, store->stride, &bytes) || bytes > PTRDIFF_MAX)
        return -ENOMEM;
    unsigned char *items = alloc_bytes(bytes);
    if (!items)
        return -ENOMEM;
    store_copy_straight(store, items); /* a heap's `first` is 0: it is in one piece already */
    free_bytes(store->items);
    store->items = items;
    store->room = room;
    store->first = 0;
    return 0;
}

/* ---- Ring ---- */

/* The index of the ring's i-th element, or of the next one to be added (i = count). */
static size_t store_ring_place(const struct conc__store *store, size_t i)
{
    size_t ahead = store->room - store->first;
    return i < ahead ? store->first + i : i - ahead;
}

static void store_ring_push(struct conc__store *store, const unsigned char *items, size_t n)
{
    size_t to = store_ring_place(store, store->count), ahead = store->room - to;
    if (n <= ahead) {
        conc__store_copy(store, store_at(store, to), items, n);
    } else {
        conc__store_copy(store, store_at(store, to), items, ahead);
        conc__store_copy(store, store->items, items + ahead * store->stride, n - ahead);
    }
    conc__store_set_count(store, store->count + n);
}

static void store_fifo_pop(struct conc__store *store, unsigned char *items, size_t n)
{
    size_t ahead = store->room - store->first;
    if (n < ahead) {
        conc__store_copy(store, items, store_at(store, store->first), n);
        store->first += n;
    } else {
        conc__store_copy(store, items, store_at(store, store->first), ahead);
        if (n > ahead)
            conc__store_copy(store, items + ahead * store->stride, store->items, n - ahead);
        store->first = n - ahead;
    }
    conc__store_set_count(store, store->count - n);
}

static void store_lifo_pop(struct conc__store *store, unsigned char *items, size_t n)
{
    for (; n > 0; n--, items += store->stride) {
        conc__store_set_count(store, store->count - 1);
        conc__store_copy(store, items, store_at(store, store_ring_place(store, store->count)), 1);
    }
}

/* ---- Heap ---- */

static uint64_t store_number(const struct conc__store *store, size_t index)
{
    uint64_t number;
    memcpy(&number, store_at(store, index) + store_number_offset(store->elem_size), sizeof number);
    return number;
}

/* Does element a come out before element b? */
static bool store_comes_before(const struct conc__store *store, size_t a, size_t b)
{
    int order = store->compare(store_at(store, a), store_at(store, b), store->compare_arg);
    return order != 0 ? order < 0 : store_number(store, a) < store_number(store, b);
}

static void store_move(const struct conc__store *store, size_t to, size_t from)
{
    memcpy(store_at(store, to), store_at(store, from), store->stride);
}

static void store_heap_push_one(struct conc__store *store, const unsigned char *item)
{
    size_t hole = store->count;
    while (hole > 0) {
        size_t parent = (hole - 1) / STORE_ARITY;
        /* An equal parent came earlier: it stays. */
        if (store->compare(item, store_at(store, parent), store->compare_arg) >= 0)
            break;
        store_move(store, hole, parent);
        hole = parent;
    }
    conc__store_copy(store, store_at(store, hole), item, 1);
    uint64_t number = store->sequence++;
    memcpy(store_at(store, hole) + store_number_offset(store->elem_size), &number, sizeof number);
    conc__store_set_count(store, store->count + 1);
}

static void store_heap_push(struct conc__store *store, const unsigned char *items, size_t n)
{
    for (; n > 0; n--, items += store->elem_size)
        store_heap_push_one(store, items);
}

/* The first to come out of the children from `child` on, in a heap of `count` elements. */
static size_t store_heap_first_child(const struct conc__store *store, size_t child, size_t count)
{
    size_t best = child, end = count - child < STORE_ARITY ? count : child + STORE_ARITY;
    for (size_t i = child + 1; i < end; i++)
        if (store_comes_before(store, i, best))
            best = i;
    return best;
}

/* Remove the element at 0: the hole moves down, and the last element fills it. */
static void store_heap_remove_first(struct conc__store *store)
{
    size_t last = store->count - 1, hole = 0;
    for (size_t child; (child = hole * STORE_ARITY + 1) < last; hole = child) {
        child = store_heap_first_child(store, child, last);
        if (!store_comes_before(store, child, last))
            break;
        store_move(store, hole, child);
    }
    if (hole != last)
        store_move(store, hole, last);
    conc__store_set_count(store, last);
}

static void store_heap_pop(struct conc__store *store, unsigned char *items, size_t n)
{
    for (; n > 0; n--, items += store->elem_size) {
        conc__store_copy(store, items, store->items, 1);
        store_heap_remove_first(store);
    }
}

/* ---- Ring or heap ---- */

void conc__store_push(struct conc__store *store, const void *items, size_t n)
{
    if (store->order == CONC_PRIORITY)
        store_heap_push(store, items, n);
    else
        store_ring_push(store, items, n);
}

size_t conc__store_pop(struct conc__store *store, void *items, size_t n)
{
    if (n > store->count)
        n = store->count;
    if (n == 0)
        return 0;
    if (store->order == CONC_FIFO)
        store_fifo_pop(store, items, n);
    else if (store->order == CONC_LIFO)
        store_lifo_pop(store, items, n);
    else
        store_heap_pop(store, items, n);
    return n;
}

struct conc__store conc__store_split(struct conc__store *store)
{
    struct conc__store all = *store;
    store->items = NULL;
    store->room = store->first = 0;
    conc__store_set_count(store, 0);
    return all;
}

/* Throw away the element that would come out next. */
static void store_drop_next(struct conc__store *store, conc_drop_fn *drop, void *arg)
{
    if (store->order == CONC_LIFO) {
        drop(store_at(store, store_ring_place(store, store->count - 1)), arg);
        store->count--;
    } else if (store->order == CONC_FIFO) {
        drop(store_at(store, store->first), arg);
        store->first = store_ring_place(store, 1);
        store->count--;
    } else {
        drop(store->items, arg); /* this element is not compared any more */
        store_heap_remove_first(store);
    }
}

void conc__store_destroy(struct conc__store *store, conc_drop_fn *drop, void *arg)
{
    while (drop && store->count > 0)
        store_drop_next(store, drop, arg);
    free_bytes(store->items);
    store->items = NULL;
    store->room = store->first = store->count = 0;
}
