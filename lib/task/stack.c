/* SPDX-License-Identifier: MIT
 *
 * stack.c: the pool of stacks.
 *
 * How: stacks come in classes, whose usable sizes are the powers of two from 16 KiB to 1 GiB. A
 * class takes memory from the kernel in slabs of some 64 MiB of address space, so that a million
 * stacks are a few thousand mappings (a process may have 65,530). Pages that are never touched take
 * no memory. A slab is one mapping:
 *
 *     descriptor, cells | guard, stack 0 | guard, stack 1 | ...
 *
 * An access to a guard page kills the program. MADV_GUARD_INSTALL (Linux 6.13) makes guards inside
 * the mapping; where it is refused mprotect() does, which splits the mapping in two at each guard,
 * so there the limit on mappings allows some 32,000 stacks. A guard is made when its stack is first
 * handed out.
 *
 * A stack that is free is one of these, and taken in this order:
 *
 *     warm       in class->warm, last in first out: its memory has been touched, and may still be
 *                in the caches
 *     cold       in slab->cold: it was used, and its memory was given back to the kernel
 *     untouched  slab->cells[slab->touched] and those after it
 *
 * A freed stack becomes warm, until there are so many that they may hold WARM_BYTES (first touching
 * a page costs 2 us, many times what a task costs otherwise). Of those, what was not needed for
 * TRIM_PERIOD becomes cold, but for KEPT_BYTES: `spare` is how many stacks have been warm all the
 * time since the period began. A loop that has nothing to do trims them (conc__stack_trim()), a few
 * at a time, because giving back their memory takes some time for each page; so a burst of tasks
 * now and then costs the first touches anew, and a steady stream of bursts does not. Generators
 * that plain threads free are trimmed when a loop rests or ends.
 *
 * A slab without stacks in use or warm is unmapped, except the last of its class, so that a program
 * that goes from no stacks to one and back does not map each time.
 *
 * Everything is under one guard, which is not held during system calls. The cell of a stack in use
 * belongs to the user of the stack. The guard is taken around fork(), so a child finds the pool
 * whole; the stacks of the parent's tasks, which do not run in the child, stay in use there.
 */
#include "task/stack.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checkers.h"
#include "base/clock.h"
#include "base/guard.h"
#include "base/hooks.h"
#include "base/invariant.h"
#include "base/list.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#define MADV_NONE_SUCH 0x7fff /* an advice that no kernel knows */

#define SMALLEST_BITS 14 /* 16 KiB: fprintf(stderr) takes 10 */
#define LARGEST_BITS 30
#define CLASSES (LARGEST_BITS - SMALLEST_BITS + 1)

/* Large enough for many stacks to share one mapping and its page tables. A slab that is hardly used
 * wastes little, since a page of page tables serves 2 MiB. */
#define SLAB_BYTES ((size_t)64 << 20)

/* The warm stacks of a class, if each had been touched wholly. Mostly it is a page or two. */
#define WARM_BYTES ((size_t)256 << 20)

/* The warm stacks of a class that stay so, needed or not, if each had been touched wholly. */
#define KEPT_BYTES ((size_t)8 << 20)

/* How long a warm stack may lie about. Below what a user notices, and long enough for the next
 * request of a busy server to come. */
#define TRIM_PERIOD CONC_MS(10)

/* Stacks that a loop trims before it looks for events again. */
enum { TRIM_STEP = 8 };

struct stack_cell {
    struct stack_cell *next; /* in class->warm or slab->cold; under the pool's guard */
    uint32_t index;
    bool guarded;
    unsigned valgrind_id;
};

struct slab {
    struct list_node node; /* in class->open */
    struct stack_class *class;
    size_t bytes;        /* of the mapping */
    char *first;         /* the first stack's guard */
    size_t page, usable; /* sizes: of a guard, of a stack */
    struct stack_cell *cold;
    uint32_t count;
    uint32_t touched; /* how many have ever been handed out */
    uint32_t busy;    /* in use or warm */
    struct stack_cell cells[];
};

struct stack_class {
    struct stack_cell *warm;
    uint32_t warm_count;
    uint32_t spare; /* the least warm_count since the period has begun */
    uint32_t slabs;
    struct list open; /* slabs that have cold or untouched stacks */
};

static struct {
    uint32_t word; /* the guard of all */
    uint32_t
        crowded; /* classes that have more warm stacks than they keep; read without the guard */
    int64_t period_began;
    struct stack_class classes[CLASSES];
} stack_pool;

__thread const struct stack *conc__stack_here __attribute__((tls_model("initial-exec")));

static void stack_before_fork(void) { guard_lock(&stack_pool.word); }
static void stack_after_fork(void) { guard_unlock(&stack_pool.word); }

__attribute__((constructor)) static void stack_watch_forks(void)
{
    /* If there is no memory this early, a child that was forked while another thread held the guard
     * waits for it in vain. */
    pthread_atfork(stack_before_fork, stack_after_fork, stack_after_fork);
}

static size_t stack_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static size_t stack_round_up(size_t n, size_t multiple)
{
    return (n + multiple - 1) & ~(multiple - 1);
}

/* ---- Slabs ---- */

static struct slab *slab_of_cell(struct stack_cell *cell)
{
    return (struct slab *)(void *)((char *)(cell - cell->index) - offsetof(struct slab, cells));
}

static size_t class_stack_size(const struct stack_class *class)
{
    size_t size = (size_t)1 << (SMALLEST_BITS + (class - stack_pool.classes));
    return stack_round_up(size, stack_page_size());
}

static bool slab_has_room(const struct slab *slab)
{
    return slab->cold || slab->touched < slab->count;
}

/* A slab of n stacks, in no class yet; NULL: no memory. */
static struct slab *slab_map(struct stack_class *class, uint32_t n)
{
    size_t page = stack_page_size();
    size_t head = stack_round_up(sizeof(struct slab) + n * sizeof(struct stack_cell), page);
    size_t usable = class_stack_size(class);
    size_t bytes = head + n * (page + usable);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    /* Otherwise the kernel would use huge pages and fill in 2 MiB at the first touch of a stack.
     * EINVAL: it has none. */
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    struct slab *slab = (struct slab *)(void *)memory;
    slab->class = class;
    slab->bytes = bytes;
    slab->first = memory + head;
    slab->page = page;
    slab->usable = usable;
    slab->count = n;
    return slab;
}

static struct slab *slab_new(struct stack_class *class)
{
    size_t n = SLAB_BYTES / class_stack_size(class);
    if (n < 1)
        n = 1;
    if (n > SLAB_STACKS_MAX)
        n = SLAB_STACKS_MAX;
    struct slab *slab = slab_map(class, (uint32_t)n);
    /* Where address space is limited, or counted as memory, there may still be room for one. */
    return slab || n == 1 ? slab : slab_map(class, 1);
}

static void slab_unmap(struct slab *slab)
{
    if (RUNNING_ON_VALGRIND)
        for (uint32_t i = 0; i < slab->touched; i++)
            if (slab->cells[i].guarded)
                VALGRIND_STACK_DEREGISTER(slab->cells[i].valgrind_id);
    munmap(slab, slab->bytes);
}

/* ---- Taking ---- */

/* The class of the stacks of at least `size` bytes; NULL: it is too much. */
static struct stack_class *class_for_size(size_t size)
{
    if (size > (size_t)1 << LARGEST_BITS)
        return NULL;
    if (size <= (size_t)1 << SMALLEST_BITS)
        return &stack_pool.classes[0];
    int bits = CHAR_BIT * (int)sizeof(long) - __builtin_clzl(size - 1);
    return &stack_pool.classes[bits - SMALLEST_BITS];
}

static uint32_t class_kept(const struct stack_class *class)
{
    return (uint32_t)(KEPT_BYTES >> (SMALLEST_BITS + (class - stack_pool.classes)));
}

/* Under the guard. The store is relaxed: a loop that does not see it yet does at its next turn. */
static void class_count_warm(struct stack_class *class, uint32_t count)
{
    uint32_t kept = class_kept(class);
    uint32_t crowded = stack_pool.crowded - (class->warm_count > kept) + (count > kept);
    if (crowded != stack_pool.crowded)
        store_relaxed(&stack_pool.crowded, crowded);
    class->warm_count = count;
    if (class->spare > count)
        class->spare = count;
}

/* Under the guard: a warm stack; NULL: there is none. */
static struct stack_cell *class_take_warm(struct stack_class *class)
{
    struct stack_cell *cell = class->warm;
    if (cell) {
        class->warm = cell->next;
        class_count_warm(class, class->warm_count - 1);
    }
    return cell;
}

/* Under the guard: a free stack; NULL: there is none. */
static struct stack_cell *class_take_free(struct stack_class *class)
{
    struct stack_cell *cell = class_take_warm(class);
    if (cell)
        return cell;
    if (list_is_empty(&class->open))
        return NULL;
    struct slab *slab = list_entry(class->open.head, struct slab, node);
    invariant(slab_has_room(slab), "an open slab has a stack to give");
    cell = slab->cold;
    if (cell) {
        slab->cold = cell->next;
    } else {
        cell = &slab->cells[slab->touched];
        cell->index = slab->touched++;
    }
    slab->busy++;
    if (!slab_has_room(slab))
        list_remove(&class->open, &slab->node);
    return cell;
}

/* Under the guard: back to its slab. Returns the slab if it is to be unmapped, which is then in no
 * class any more. */
static struct slab *cell_put_cold(struct stack_cell *cell)
{
    struct slab *slab = slab_of_cell(cell);
    struct stack_class *class = slab->class;
    invariant(slab->busy > 0, "a stack that is freed was in use");
    if (!slab_has_room(slab))
        list_push(&class->open, &slab->node);
    cell->next = slab->cold;
    slab->cold = cell;
    if (--slab->busy > 0 || class->slabs == 1)
        return NULL;
    list_remove(&class->open, &slab->node);
    class->slabs--;
    return slab;
}

static struct stack_cell *class_take(struct stack_class *class)
{
    guard_lock(&stack_pool.word);
    struct stack_cell *cell = class_take_free(class);
    guard_unlock(&stack_pool.word);
    if (cell)
        return cell;
    struct slab *slab = slab_new(class);
    if (!slab)
        return NULL;
    guard_lock(&stack_pool.word);
    class->slabs++;
    list_push(&class->open, &slab->node);
    cell = class_take_free(class); /* there is one, at least in the new slab */
    guard_unlock(&stack_pool.word);
    return cell;
}

/* MADV_GUARD_INSTALL; false: refused. An emulator may accept any advice and do nothing (qemu does):
 * then the guard is not made so. */
static bool stack_install_guard(char *guard, size_t page)
{
    enum { NOT_KNOWN, IS_CHECKED, IS_IGNORED };
    static uint32_t advice;
    uint32_t is = load_relaxed(&advice); /* relaxed: every thread finds the same */
    if (is == NOT_KNOWN) {
        is = madvise(guard, page, MADV_NONE_SUCH) != 0 ? IS_CHECKED : IS_IGNORED;
        store_relaxed(&advice, is);
    }
    return is == IS_CHECKED && madvise(guard, page, MADV_GUARD_INSTALL) == 0;
}

/* Make the guard below a stack, when it is used first; false: no more mappings. */
static bool stack_make_guard(struct stack_cell *cell, const struct stack *stack)
{
    if (cell->guarded)
        return true;
    size_t page = stack->slab->page;
    char *guard = stack->base - page;
    if (!stack_install_guard(guard, page) && mprotect(guard, page, PROT_NONE) != 0)
        return false;
    cell->guarded = true;
    cell->valgrind_id = VALGRIND_STACK_REGISTER(stack->base, stack->base + stack->size - 1);
    return true;
}

static struct stack stack_of_cell(const struct stack_cell *cell, struct slab *slab)
{
    return (struct stack){
        .base = slab->first + slab->page + cell->index * (slab->page + slab->usable),
        .size = slab->usable,
        .slab = slab,
        .index = cell->index,
    };
}

int conc__stack_alloc(struct stack *ret, size_t size)
{
#ifdef CONC_TEST_HOOKS
    if (conc__test_fails(&conc__hooks.fail_alloc_in))
        return -ENOMEM;
#endif
    struct stack_class *class = class_for_size(size ? size : STACK_DEFAULT_SIZE);
    if (!class)
        return -EINVAL;
    struct stack_cell *cell = class_take(class);
    if (!cell)
        return -ENOMEM;
    struct stack stack = stack_of_cell(cell, slab_of_cell(cell));
    if (!stack_make_guard(cell, &stack)) {
        conc__stack_free(&stack);
        return -ENOMEM;
    }
    /* The last user has left it inaccessible, as memory below a stack pointer is. */
    VALGRIND_MAKE_MEM_UNDEFINED(stack.base, stack.size);
    *ret = stack;
    return 0;
}

/* ---- Freeing ---- */

static bool cell_put_warm(struct stack_class *class, struct stack_cell *cell, size_t size)
{
    size_t most = WARM_BYTES / size < WARM_STACKS_MAX ? WARM_BYTES / size : WARM_STACKS_MAX;
    guard_lock(&stack_pool.word);
    bool warm = class->warm_count < most;
    if (warm) {
        cell->next = class->warm;
        class->warm = cell;
        class_count_warm(class, class->warm_count + 1);
    }
    guard_unlock(&stack_pool.word);
    return warm;
}

/* Give a stack's memory back to the kernel. */
static void cell_cool(struct stack_cell *cell)
{
    struct stack stack = stack_of_cell(cell, slab_of_cell(cell));
    madvise(stack.base, stack.size, MADV_DONTNEED); /* the guard stays */
    guard_lock(&stack_pool.word);
    struct slab *unused = cell_put_cold(cell);
    guard_unlock(&stack_pool.word);
    if (unused)
        slab_unmap(unused);
}

void conc__stack_free(const struct stack *stack)
{
    struct stack_cell *cell = &stack->slab->cells[stack->index];
    /* Frames that were left for good have not unpoisoned their memory. */
    ASAN_UNPOISON_MEMORY_REGION(stack->base, stack->size);
    if (!cell_put_warm(stack->slab->class, cell, stack->size))
        cell_cool(cell);
}

/* ---- Trimming ---- */

bool conc__stack_is_crowded(void) { return load_relaxed(&stack_pool.crowded); }

/* Under the guard: a warm stack of a class that has more than it keeps, and was not needed in the
 * period if it `must_be_spare`; NULL: there is none. */
static struct stack_cell *stack_take_surplus(bool must_be_spare)
{
    for (size_t i = 0; stack_pool.crowded && i < CLASSES; i++) {
        struct stack_class *class = &stack_pool.classes[i];
        uint32_t kept = class_kept(class);
        if (class->warm_count <= kept || (must_be_spare && class->spare <= kept))
            continue;
        if (class->spare > 0)
            class->spare--;
        return class_take_warm(class);
    }
    return NULL;
}

/* Under the guard. */
static void stack_begin_period(int64_t now)
{
    stack_pool.period_began = now;
    for (size_t i = 0; i < CLASSES; i++)
        stack_pool.classes[i].spare = stack_pool.classes[i].warm_count;
}

/* Take what is to be trimmed now, TRIM_STEP stacks at most. Returns how many; gives *again, when to
 * look again. */
static size_t stack_take_spare(struct stack_cell *cells[TRIM_STEP], conc_deadline *again)
{
    size_t n = 0;
    int64_t now = conc_now();
    guard_lock(&stack_pool.word);
    bool over = now - stack_pool.period_began >= TRIM_PERIOD;
    while (over && n < TRIM_STEP && (cells[n] = stack_take_surplus(true)))
        n++;
    if (over && n == 0)
        stack_begin_period(now);
    if (n > 0)
        *again = CONC_NOW;
    else
        *again = stack_pool.crowded ? conc_at(stack_pool.period_began + TRIM_PERIOD) : CONC_FOREVER;
    guard_unlock(&stack_pool.word);
    return n;
}

conc_deadline conc__stack_trim(void)
{
    struct stack_cell *cells[TRIM_STEP];
    conc_deadline again;
    size_t n = stack_take_spare(cells, &again);
    for (size_t i = 0; i < n; i++)
        cell_cool(cells[i]);
    return again;
}

void conc__stack_trim_all(void)
{
    struct stack_cell *cell;
    do {
        guard_lock(&stack_pool.word);
        cell = stack_take_surplus(false);
        guard_unlock(&stack_pool.word);
        if (cell)
            cell_cool(cell);
    } while (cell);
}

bool conc__stack_guards(const struct stack *stack, const void *address)
{
    uintptr_t base = (uintptr_t)stack->base, at = (uintptr_t)address;
    return at < base && base - at <= stack->slab->page;
}
