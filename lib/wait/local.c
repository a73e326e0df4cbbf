/* SPDX-License-Identifier: MIT
 *
 * local.c: values that each context has for itself.
 *
 * How: a context has a table, a small hash table with open addressing, from keys to *values*: boxes
 * with what the user gave. Tables and boxes are counted by reference.
 *
 *     key    <- its boxes and, until conc_local_free(), the user
 *     box    <- the tables that it stands in, and tokens
 *     table  <- the contexts that have it
 *
 * A context that starts another, or registers a callback, gives it a reference to its table: that
 * is all that inheriting costs. A table that several contexts share never changes: a context that
 * wants to set a value makes a copy for itself first. A table that only its own context has changes
 * in place. So conc_local_get() needs no atomics: what it reads does not change, or only by the
 * reader itself.
 *
 * A box holds a reference to its key. So while a table knows a key no other key has its address,
 * and comparing addresses is enough: a new key never finds the value of an old one. Boxes of keys
 * that were freed are not copied when a table is copied, and it is copied before it is full, so
 * they cannot accumulate.
 *
 * A key that is not set may have a box too, one without a value: with it a token can restore that
 * state without memory. Such boxes are not copied either.
 *
 * Invariant: destructors run last, when the context's table is in its new state: they may call any
 * function of this file.
 *
 * A stay (conc__locals_enter()) is code of others that runs in a context with a table of its own:
 * that of whoever registered it. So it sees what that one had, what it sets is its own, and a
 * registrant without values costs it two assignments.
 *
 * The end: values are released until there are none left, because destructors may set new ones.
 * After CONC_LOCAL_ROUNDS rounds the context gets table_closed, in which nothing can be set, and
 * the last values are released. So nothing leaks, and it ends. (A thread whose end cannot be seen,
 * thread.c, has that table from the start.)
 *
 * Order: dropping a reference releases, and dropping the last one acquires (fetch_sub_acq_rel): the
 * destructor sees what every context did with the value. A context that finds itself alone with its
 * table acquires too: the readers that the table had are done before it writes.
 */
#include "wait/local.h"

#include "base/alloc.h"
#include "base/cxx.h"

struct conc_local {
    uint32_t refs;  /* the boxes, and the user */
    uint32_t freed; /* the user has given up its reference. Atomic */
    uint32_t hash;
    conc_destructor_fn *destructor;
};

struct box {
    uint32_t refs;
    bool is_set;
    void *value;
    struct conc_local *key;
};

struct table_entry {
    const struct conc_local *key; /* NULL: free */
    struct box *box;
};

struct locals {
    uint32_t refs;
    uint32_t mask; /* one less than the room, a power of two */
    uint32_t count;
    struct table_entry entries[];
};

enum { TABLE_ROOM_MIN = 4 };

/* A table always has a free entry, where a search ends: at most three of four are used. */
static bool table_has_room(const struct locals *locals)
{
    return locals->count < (locals->mask + 1) / 4 * 3;
}

/* The table of a context that keeps no more values. Never written to. */
static struct locals table_closed = {.refs = 2, .entries = {{NULL, NULL}}};

/* ---- Keys ---- */

static void key_unref(struct conc_local *key)
{
    if (fetch_sub_acq_rel(&key->refs, 1) == 1)
        free_bytes(key);
}

int conc_local_new(conc_local **ret, conc_destructor_fn *destructor)
{
    static uint32_t made;
    struct conc_local *key = alloc_one(struct conc_local);
    if (!key)
        return -ENOMEM;
    key->refs = 1;
    key->hash = fetch_add_relaxed(&made, 1); /* relaxed: a number. Successive ones don't collide */
    key->destructor = destructor;
    *ret = key;
    return 0;
}

void conc_local_free(conc_local *key)
{
    if (!key)
        return;
    store_relaxed(&key->freed, 1); /* relaxed: a context that sees it late keeps a value longer */
    key_unref(key);
}

/* ---- Boxes ---- */

static struct box *box_new(struct conc_local *key)
{
    struct box *box = alloc_one(struct box);
    if (!box)
        return NULL;
    box->refs = 1;
    box->key = key;
    fetch_add_relaxed(&key->refs, 1); /* relaxed: the caller has the key */
    return box;
}

static struct box *box_ref(struct box *box)
{
    fetch_add_relaxed(&box->refs, 1); /* relaxed: the caller has a reference */
    return box;
}

/* The destructor may run. */
static void box_unref(struct box *box)
{
    if (!box || fetch_sub_acq_rel(&box->refs, 1) != 1)
        return;
    struct conc_local *key = box->key;
    void *value = box->value;
    free_bytes(box);
    if (key->destructor && value)
        FENCED("the destructor of a local value", key->destructor(value));
    key_unref(key);
}

static bool box_is_wanted(const struct box *box)
{
    return box->is_set && !load_relaxed(&box->key->freed); /* relaxed: see conc_local_free() */
}

/* ---- Tables ---- */

/* The key's entry, or the free one where it belongs. */
static struct table_entry *table_find(struct locals *locals, const struct conc_local *key)
{
    uint32_t i = key->hash & locals->mask;
    while (locals->entries[i].key && locals->entries[i].key != key)
        i = (i + 1) & locals->mask;
    return &locals->entries[i];
}

/* Put the box in, and return the one that it replaces. There is room. Takes and gives
 * references. */
static struct box *table_put(struct locals *locals, struct box *box)
{
    struct table_entry *entry = table_find(locals, box->key);
    struct box *before = entry->box;
    locals->count += !entry->key;
    *entry = (struct table_entry){box->key, box};
    return before;
}

static struct locals *table_new(uint32_t room)
{
    struct locals *locals = alloc_bytes(sizeof *locals + room * sizeof(struct table_entry));
    if (!locals)
        return NULL;
    *locals = (struct locals){.refs = 1, .mask = room - 1};
    for (uint32_t i = 0; i < room; i++)
        locals->entries[i] = (struct table_entry){NULL, NULL};
    return locals;
}

static struct locals *table_ref(struct locals *locals)
{
    fetch_add_relaxed(&locals->refs, 1); /* relaxed: the caller has a reference */
    return locals;
}

/* A copy of what is still wanted, with room for as much again, at least for one more. NULL: no
 * memory. */
static struct locals *table_copy(const struct locals *from)
{
    uint32_t wanted = 0, room = TABLE_ROOM_MIN;
    for (uint32_t i = 0; from && i <= from->mask; i++)
        wanted += from->entries[i].box && box_is_wanted(from->entries[i].box);
    while (room / 2 <= wanted)
        room *= 2;
    struct locals *copy = table_new(room);
    /* A key that was freed after it was counted only leaves more room. */
    for (uint32_t i = 0; copy && from && i <= from->mask; i++)
        if (from->entries[i].box && box_is_wanted(from->entries[i].box))
            table_put(copy, box_ref(from->entries[i].box));
    return copy;
}

void conc__locals_unref(struct locals *locals)
{
    if (!locals || locals == &table_closed || fetch_sub_acq_rel(&locals->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i <= locals->mask; i++)
        box_unref(locals->entries[i].box);
    free_bytes(locals);
}

/* ---- A context's values ---- */

/* Make a box the caller's for its key. Takes the reference to it on 0; the box before it is
 * released at the end. */
static int local_bind(struct conc_context *self, struct box *box)
{
    struct locals *locals = self->locals;
    if (locals == &table_closed)
        return -ESHUTDOWN;
    /* acquire: the contexts that shared it are done reading */
    if (locals && load_acquire(&locals->refs) == 1 &&
        (table_has_room(locals) || table_find(locals, box->key)->key)) {
        box_unref(table_put(locals, box));
        return 0;
    }
    struct locals *copy = table_copy(locals);
    if (!copy)
        return -ENOMEM;
    struct box *before = table_put(copy, box);
    self->locals = copy;
    box_unref(before);
    conc__locals_unref(locals);
    return 0;
}

static struct box *local_box_of(const struct conc_local *key)
{
    const struct conc_context *self = conc__self; /* a thread without a context has no values */
    return self && self->locals ? table_find(self->locals, key)->box : NULL;
}

static int local_set(struct conc_context *self, conc_local *key, void *value)
{
    struct box *box = box_new(key);
    if (!box)
        return -ENOMEM;
    box->value = value;
    box->is_set = true;
    int err = local_bind(self, box);
    if (err) {
        box->value = NULL; /* it stays the caller's */
        box_unref(box);
    }
    return err;
}

int conc_local_set(conc_local *key, void *value) { return local_set(context_self(), key, value); }

int conc_local_set_token(conc_local *key, void *value, conc_local_token *token)
{
    struct conc_context *self = context_self();
    struct box *before = local_box_of(key);
    before = before ? box_ref(before) : box_new(key);
    if (!before)
        return -ENOMEM;
    int err = local_set(self, key, value);
    if (err) {
        box_unref(before);
        return err;
    }
    *token = (conc_local_token){.key = key, .before = before, .context = self->id};
    return 0;
}

int conc_local_reset(conc_local_token *token)
{
    struct conc_context *self = context_self();
    if (!token->key || token->context != self->id)
        return -EINVAL;
    struct box *before = token->before;
    if (self->locals == &table_closed) {
        token->key = NULL;
        box_unref(before);
        return -ESHUTDOWN;
    }
    int err = local_bind(self, before);
    if (err)
        return err;
    token->key = NULL;
    return 0;
}

void *conc_local_get(const conc_local *key)
{
    const struct box *box = local_box_of(key);
    return box ? box->value : NULL;
}

bool conc_local_is_set(const conc_local *key)
{
    const struct box *box = local_box_of(key);
    return box && box->is_set;
}

/* ---- Beginning and end ---- */

struct locals *conc__locals_inherit(struct conc_context *from)
{
    struct locals *locals = from->locals;
    return locals && locals != &table_closed ? table_ref(locals) : NULL;
}

struct locals *conc__locals_ref(struct locals *locals) { return locals ? table_ref(locals) : NULL; }

void conc__locals_adopt(struct conc_context *self, struct locals *locals) { self->locals = locals; }

static struct locals *locals_swap(struct conc_context *self, struct locals *locals)
{
    struct locals *before = self->locals;
    self->locals = locals;
    return before;
}

void conc__locals_drop(struct conc_context *self)
{
    for (int round = 1; self->locals && self->locals != &table_closed; round++)
        conc__locals_unref(locals_swap(self, round < CONC_LOCAL_ROUNDS ? NULL : &table_closed));
    self->locals = &table_closed;
}

void conc__locals_enter(struct locals_stay *stay, struct locals **locals, bool keep)
{
    struct conc_context *self = context_self();
    *stay = (struct locals_stay){
        .self = self, .before = locals_swap(self, *locals), .kept = keep ? locals : NULL};
    *locals = NULL;
}

void conc__locals_exit(struct locals_stay *stay)
{
    if (stay->kept)
        *stay->kept = stay->self->locals;
    else
        conc__locals_drop(stay->self);
    stay->self->locals = stay->before;
}
