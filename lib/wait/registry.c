/* SPDX-License-Identifier: MIT
 *
 * registry.c: the list of all contexts, and what each one is doing.
 *
 * How: a list under one guard. A snapshot copies what it needs while it holds the guard, so that no
 * context leaves. It calls back afterwards with no guard held, so that the callback may do
 * anything, and a context that ends never waits for a slow terminal.
 *
 * A context that blocks writes what it blocks on, then sets BLOCKED in its `blocked` word
 * (release), also while another context holds the guard of that word. The snapshot takes the guard
 * in that word and, if it sees BLOCKED (acquire), may follow the pointers: the context cannot clear
 * BLOCKED without that guard, so it is still inside the call, and the object it blocks on is alive.
 *
 * Locks: the registry's guard, then one context's `blocked`.
 *
 * Ids: whatever remembers a context (a lock's owner, a token, a loop's thread) remembers its id,
 * because a later context may lie at the same address. So an id is never used again: it is a count
 * of 64 bits, which at 10 million contexts a second lasts for 58,000 years. Of 32 bits there would
 * have to be a record of those in use, and a remembered one could still be a later context's.
 *
 * A lock notes only the low 32 bits of its holder's id, for reports: with all of them each lock
 * would have 24 bytes instead of 16. snapshot_holder() makes the id of them again. That is exact
 * until 2^32 contexts have been made. After that it names the one living context with these bits,
 * if there is just one. (It is wrong only if the holder has ended and left the lock held, and a
 * context that lives was made just a multiple of 2^32 later.)
 *
 * After a fork only the caller is left in the child, and the contexts below it on its stack: the
 * others are dropped from its list.
 */
#include "wait/registry.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cxx.h"
#include "base/guard.h"
#include "base/quiet.h"

#define BLOCKED 1u

/* Contexts that may come while a snapshot allocates, before it has to allocate again. */
enum { SNAPSHOT_SPARE = 16 };

static struct {
    uint32_t word;        /* the guard of the next two */
    struct list contexts; /* the oldest first */
    size_t count;
    uint64_t last_id; /* atomic */
} registry;

/* ---- Contexts come and go ---- */

uint64_t conc__registry_new_id(void)
{
    return fetch_add_relaxed(&registry.last_id, 1) + 1; /* relaxed: only a new one is needed */
}

#ifdef CONC_TEST_HOOKS
void conc__test_set_last_id(uint64_t last) { store_relaxed(&registry.last_id, last); }
#endif

void conc__registry_add(struct conc_context *context)
{
    guard_lock(&registry.word);
    list_push(&registry.contexts, &context->node);
    registry.count++;
    guard_unlock(&registry.word);
}

void conc__registry_remove(struct conc_context *context)
{
    guard_lock(&registry.word);
    if (list_is_on(&context->node)) { /* not if a fork has dropped it */
        list_remove(&registry.contexts, &context->node);
        registry.count--;
    }
    guard_unlock(&registry.word);
}

static uint32_t forks;

uint32_t conc__forks(void)
{
    return load_relaxed(&forks); /* relaxed: it changes while there is one thread */
}

static void registry_before_fork(void) { guard_lock(&registry.word); }
static void registry_after_fork_in_parent(void) { guard_unlock(&registry.word); }

static void registry_after_fork_in_child(void)
{
    struct conc_context *self = conc__self;
    store_relaxed(&forks, forks + 1); /* relaxed: as above */
    registry.contexts.head = NULL;
    registry.count = 0;
    for (; self; self = self->outer) { /* the outermost is the oldest */
        self->node = (struct list_node){0};
        list_push(&registry.contexts, &self->node);
        registry.contexts.head = &self->node;
        registry.count++;
    }
    guard_unlock(&registry.word);
}

__attribute__((constructor)) static void registry_watch_forks(void)
{
    /* Out of memory this early: then a child must not use libconc. */
    pthread_atfork(registry_before_fork, registry_after_fork_in_parent,
                   registry_after_fork_in_child);
}

/* ---- Blocking ---- */

void conc__blocked_begin(struct conc_context *self, const char *what, const void *object,
                         const uint32_t *holder)
{
    self->blocked_on = what;
    self->object = object;
    self->holder = holder;
    self->blocked_since = conc__coarse_now();
    /* A reader that has seen no BLOCKED may hold the guard now: keep its bits. */
    fetch_or_release(&self->blocked, BLOCKED);
}

void conc__blocked_end(struct conc_context *self)
{
    uint32_t v = BLOCKED;
    /* acquire: a reader that was here before must not see what is written to these fields next */
    if (!cas_acquire(&self->blocked, &v, 0)) {
        guard_lock(&self->blocked);
        guard_unlock_with(&self->blocked, BLOCKED, 0);
    }
}

/* ---- Looking ---- */

struct snapshot {
    conc_context_info info;
    char name[CONC_NAME_MAX];
    char holder_name[CONC_NAME_MAX];
    uint32_t holder_bits; /* the low bits of the holder's id; 0: there is none */
};

static void snapshot_fill(struct conc_context *context, struct snapshot *s, int64_t now)
{
    memset(s, 0, sizeof *s);
    s->info.id = context->id;
    s->info.kind = context->ops->kind;
    guard_lock(&context->blocked);
    memcpy(s->name, context->name, sizeof s->name);
    /* It may have been set since the guard was taken. */
    if (load_acquire(&context->blocked) & BLOCKED) {
        s->info.blocked_on = context->blocked_on;
        s->info.object = context->object;
        /* relaxed: a report */
        s->holder_bits = context->holder ? load_relaxed(context->holder) : 0;
        s->info.blocked_ns = now > context->blocked_since ? now - context->blocked_since : 0;
    }
    guard_unlock(&context->blocked);
}

/* The living context whose id has these low bits; NULL: there is none, or more than one. */
static const struct snapshot *snapshot_find(const struct snapshot *all, size_t n, uint32_t bits)
{
    const struct snapshot *found = NULL;
    for (size_t i = 0; i < n; i++) {
        if ((uint32_t)all[i].info.id != bits)
            continue;
        if (found)
            return NULL;
        found = &all[i];
    }
    return found;
}

/* Make the holder's id and name of its bits. */
static void snapshot_set_holder(struct snapshot *s, const struct snapshot *all, size_t n)
{
    const struct snapshot *holder = s->holder_bits ? snapshot_find(all, n, s->holder_bits) : NULL;
    if (holder) {
        s->info.holder = holder->info.id;
        memcpy(s->holder_name, holder->name, sizeof s->holder_name);
    } else if (load_relaxed(&registry.last_id) <= UINT32_MAX) { /* relaxed: a report */
        s->info.holder = s->holder_bits;                        /* it has ended */
    }
}

/* The strings lie in the snapshot itself, so they are set when it does not move any more. */
static void snapshot_set_strings(struct snapshot *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct snapshot *s = &all[i];
        snapshot_set_holder(s, all, n);
        s->info.name = s->name;
        s->info.holder_name = s->holder_name;
    }
}

static struct snapshot *snapshot_take(size_t *n)
{
    struct snapshot *all = NULL;
    size_t room = 0;
    guard_lock(&registry.word);
    while (registry.count > room) { /* allocate with the guard released, then look again */
        room = registry.count + SNAPSHOT_SPARE;
        guard_unlock(&registry.word);
        free_bytes(all);
        all = alloc_array(room, sizeof *all);
        if (!all)
            return NULL;
        guard_lock(&registry.word);
    }
    int64_t now = conc_now();
    *n = 0;
    for (struct list_node *i = registry.contexts.head; i; i = list_next(&registry.contexts, i))
        snapshot_fill(list_entry(i, struct conc_context, node), &all[(*n)++], now);
    guard_unlock(&registry.word);
    snapshot_set_strings(all, *n);
    return all;
}

int conc_context_foreach(conc_context_fn *fn, void *arg)
{
    context_self(); /* so that the caller has one, and is listed */
    size_t n;
    struct snapshot *all = snapshot_take(&n);
    if (!all)
        return -ENOMEM;
    int result = 0;
    for (size_t i = 0; i < n && !result; i++)
        FENCED("a callback of conc_context_foreach()", result = fn(&all[i].info, arg));
    free_bytes(all);
    return result;
}

static int registry_print_state(const conc_context_info *info, FILE *out)
{
    if (!info->blocked_on)
        return fprintf(out, "running");
    return fprintf(out, "blocked on %s for %.3f s", info->blocked_on,
                   (double)info->blocked_ns / (double)CONC_S(1));
}

static int registry_print_context(const conc_context_info *info, void *arg)
{
    FILE *out = arg;
    if (fprintf(out, "%6" PRIu64 " %-6s %-20s ", info->id, info->kind, info->name) < 0)
        return -EIO;
    if (registry_print_state(info, out) < 0)
        return -EIO;
    if (info->object && fprintf(out, " (%p)", info->object) < 0)
        return -EIO;
    if (info->holder &&
        fprintf(out, ", held by %" PRIu64 " %s", info->holder, info->holder_name) < 0)
        return -EIO;
    return fprintf(out, "\n") < 0 ? -EIO : 0;
}

int conc_dump(FILE *out)
{
    struct quiet quiet;
    conc__quiet_begin(&quiet);
    int err = conc_context_foreach(registry_print_context, out);
    if (!err && fflush(out) != 0) /* a program that hangs will not flush it later */
        err = -EIO;
    conc__quiet_end(&quiet, err);
    return err;
}
