/* SPDX-License-Identifier: MIT
 *
 * closing.c: closing a descriptor, so that the operations that wait for it end with -EBADF before
 * its number can mean another file.
 *
 * Who may wait for it: the caller's own driver, other drivers, and contexts that have none and poll
 * (op.c). If nobody does, which two loads tell, or only the caller's own driver, whose ops can be
 * ended at once, it is closed at once. Else there is a closing: everybody concerned is told, ends
 * what it has, and lets go of the number; only then the descriptor is closed. Nobody holds a lock
 * meanwhile, and a loop that is told does not have to stop for it.
 *
 * The states of a closing, by `pending`, the number of those who have not let go:
 *
 *     TELLING    the closer tells them; its own share is one of `pending`
 *     WAITED     pending > 0: the closer waits
 *     OVER       pending = 0: the closer closes the descriptor, and frees the closing
 *     ABANDONED  pending > 0, and CLOSING_ABANDONED is set: the closer has returned. The last that
 *                lets go closes the descriptor, and frees the closing
 *
 *     TELLING -> WAITED, OVER;  WAITED -> OVER, ABANDONED;  ABANDONED -> freed
 *
 * Until close(2) is called, an op that begins is refused (USER_CLOSING): it would not be told.
 *
 * `pending` and the bit change in one atomic operation, so just one of the two closes it. In OVER
 * the event is set by the last that let go, and the closer frees the closing only after that.
 *
 * When the closer does not wait: on a loop's own stack (a callback), where waiting would hold the
 * loop, and two loops that close descriptors of each other would wait for each other for ever; and
 * if all whom it has told are loops that do not run now, which look at it when they run again, or
 * are freed. It waits for CLOSING_PATIENCE at most, in case a loop is busy for long, and is not
 * cancelled. In all these cases the number is free a little later than conc_close() returns, and
 * nothing else changes: until then the number means the old file, so no op can touch another. A
 * task that waits lets its loop run on, which so hears what others tell it. So nothing waits in a
 * circle.
 *
 * What each does when it is told, in its own thread:
 * - a driver has its backend end the ops that it lists (-EBADF). An entry of io_uring that the
 *   kernel has not seen becomes a no-op; one that it has seen holds the file, not the number.
 * - an op that a thread carries out (offload.c) names the number until the thread is done: it is
 *   cancelled, and lets go itself, when it is complete.
 * - a loop has its readers and writers told (loop/readers.c).
 * - a context that polls is kicked, and ends its call.
 * A driver whose loop belongs to the caller's thread but does not run is told by a call, not by its
 * inbox.
 *
 * close(2) itself may take long (fd_close_may_wait()). In a loop's thread such a descriptor is
 * closed by a thread of the driver's; a task waits for that, firmly, and a callback does not.
 *
 * Which drivers: `conc__fd_users` says for each number which driver has begun an op on it since it
 * was last closed; when a second one does, it says 'many', and all are asked. Reading that is all
 * that it costs to begin an op on a descriptor that the same driver has used before. A number that
 * was closed by close(2) is still marked: then somebody is told for nothing.
 *
 * Order: the marks are relaxed. If the beginning of an op happens before the call of conc_close(),
 * by whatever synchronisation, the closer sees the mark. If it does not, then the op may as well
 * have begun after the descriptor was closed: that race is the program's. An op that begins while
 * the mark is being removed is in the same case. The same for the number of waiting contexts, which
 * is read without its guard. `pending` is changed with acquire and release: what those who let go
 * have done with the number is over when it is closed. What is told travels by the inbox, or under
 * the guard.
 *
 * Lives: a driver that is being told is kept by its `posters`; it takes itself out of the list
 * before it waits for these, and takes its inbox once more afterwards. A context that polls cannot
 * leave its list while it is being told, because that happens under the guard of that list.
 *
 * After a fork, in the child: its drivers are dead, and no other thread waits. Everything begins
 * anew.
 */
#include "op/closing.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <conc/context.h>
#include <conc/event.h>

#include "base/alloc.h"
#include "base/guard.h"
#include "op/offload.h"
#include "wait/context.h"

/* How long a close waits for loops to let go of a number. */
#define CLOSING_PATIENCE CONC_S(1)

#define CLOSING_ABANDONED 0x80000000u

enum { BUCKETS = 64 }; /* of contexts that poll, by descriptor */

struct closing_post {
    struct item item;
    struct driver *driver;
    struct closing *closing;
};

struct closing {
    int fd;
    uint32_t pending; /* atomic; and CLOSING_ABANDONED */
    bool waits;       /* somebody was told who will let go soon */
    conc_event over;
    size_t n; /* drivers to be told */
    struct closing_post posts[];
};

uint8_t conc__fd_users[USERS_MAX];

static struct {
    uint32_t word;             /* the guard of all that follows */
    struct list list;          /* in the order of their serials */
    uint64_t serial;           /* of the last */
    bool in_use[USER_CLOSING]; /* by index */
} drivers = {.in_use[USER_NONE] = true};

static struct bucket {
    uint32_t word; /* the guard */
    uint32_t n;    /* in the list; atomic */
    struct list waits;
} buckets[BUCKETS];

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void closing_after_fork_in_child(void)
{
    memset(&drivers, 0, sizeof drivers);
    drivers.in_use[USER_NONE] = true;
    memset(buckets, 0, sizeof buckets);
}

static void closing_watch_forks(void)
{
    /* If there is no memory, a child must not use libconc. */
    pthread_atfork(NULL, NULL, closing_after_fork_in_child);
}

/* ---- Which drivers ---- */

bool conc__fd_add_user(int fd, uint8_t index)
{
    uint8_t user = load_relaxed(&conc__fd_users[fd]); /* relaxed: see above, as the swap */
    do
        if (user == USER_CLOSING)
            return false;
    while (!cas8_relaxed(&conc__fd_users[fd], &user, user == USER_NONE ? index : USER_MANY));
    return true;
}

static uint8_t fd_user(int fd)
{
    return fd < USERS_MAX ? load_relaxed(&conc__fd_users[fd]) : USER_MANY; /* relaxed: see above */
}

static void fd_set_user(int fd, uint8_t user)
{
    if (fd < USERS_MAX)
        store_relaxed(&conc__fd_users[fd], user); /* relaxed: see above */
}

void conc__closing_register(struct driver *driver)
{
    pthread_once(&once, closing_watch_forks);
    guard_lock(&drivers.word);
    uint8_t index = USER_NONE;
    while (index < USER_CLOSING && drivers.in_use[index])
        index++;
    if (index < USER_CLOSING)
        drivers.in_use[index] = true;
    driver->index = index < USER_CLOSING ? index : USER_MANY;
    driver->serial = ++drivers.serial;
    list_push(&drivers.list, &driver->node);
    guard_unlock(&drivers.word);
}

void conc__closing_unregister(struct driver *driver)
{
    guard_lock(&drivers.word);
    list_remove(&drivers.list, &driver->node);
    if (driver->index != USER_MANY)
        drivers.in_use[driver->index] = false;
    guard_unlock(&drivers.word);
}

static bool driver_may_use(const struct driver *driver, uint8_t user)
{
    return user == USER_MANY || driver->index == user;
}

/* How many drivers may have ops on the descriptor; *serial: of the last of them. */
static size_t drivers_count(uint8_t user, uint64_t *serial)
{
    size_t n = 0;
    guard_lock(&drivers.word);
    for (struct list_node *d = drivers.list.head; d; d = list_next(&drivers.list, d))
        n += driver_may_use(list_entry(d, struct driver, node), user);
    *serial = drivers.serial;
    guard_unlock(&drivers.word);
    return n;
}

/* ---- Closing itself ---- */

/* After EINTR the descriptor is closed too: Linux frees its number first. */
static int fd_close(int fd)
{
    if (fd_user(fd) != USER_NONE)
        fd_set_user(fd, USER_NONE);
    return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

/* May the system wait: for the peer of a socket that lingers, for a disk, for the server of a file
 * system, for a line that sends what was written? The first of the character devices, /dev/null and
 * its like, never do. */
static bool fd_close_may_wait(int fd)
{
    enum { MEMORY_DEVICES = 1 };
    struct statx st;
    struct linger linger;
    socklen_t size = sizeof linger;
    if (getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &size) == 0)
        return linger.l_onoff && linger.l_linger > 0;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) != 0)
        return false;
    if (S_ISCHR(st.stx_mode))
        return st.stx_rdev_major != MEMORY_DEVICES;
    return S_ISREG(st.stx_mode) || S_ISBLK(st.stx_mode);
}

/* A descriptor that a thread of the driver's closes. */
struct fd_closer {
    struct op op;
    int fd;
    bool done;
};

static ssize_t fd_closer_call(void *arg)
{
    struct fd_closer *closer = arg;
    closer->done = true;
    return fd_close(closer->fd);
}

static void fd_closer_complete(struct op *op)
{
    struct fd_closer *closer = list_entry(op, struct fd_closer, op);
    if (!closer->done) /* there was no thread */
        fd_close(closer->fd);
    free_bytes(closer);
}

/* Without waiting for the end of it. */
static int fd_hand_over(struct driver *driver, int fd)
{
    struct fd_closer *closer = alloc_one(struct fd_closer);
    if (!closer)
        return fd_close(fd);
    closer->fd = fd;
    closer->op = (struct op){
        .code = OP_CALL, .call = fd_closer_call, .arg = closer, .complete = fd_closer_complete};
    conc__driver_start(driver, &closer->op);
    return 0;
}

/* Close it without holding up the loop of the thread, if there is one. */
static int fd_close_aside(int fd, bool may_wait)
{
    struct driver *here = conc__driver_here;
    if (!here || here->dead || !fd_close_may_wait(fd))
        return fd_close(fd);
    if (!may_wait || !context_self()->driver)
        return fd_hand_over(here, fd);
    struct fd_closer closer = {.fd = fd};
    closer.op = (struct op){.code = OP_CALL, .call = fd_closer_call, .arg = &closer};
    ssize_t result = conc__op_run_firmly(&closer.op, "close");
    return closer.done ? (int)result : fd_close(fd);
}

void conc__closing_let_go(struct closing *closing)
{
    uint32_t before = fetch_sub_acq_rel(&closing->pending, 1);
    if (before == 1) {
        conc_event_set(&closing->over);
    } else if (before == (CLOSING_ABANDONED | 1)) {
        fd_close_aside(closing->fd, false);
        free_bytes(closing);
    }
}

/* ---- Telling ---- */

static struct op *op_to_take_back(const struct driver *driver, int fd)
{
    const struct list *list = &driver->offloaded;
    for (struct list_node *n = list->head; n; n = list_next(list, n)) {
        struct op *op = list_entry(n, struct op, offloaded);
        if (op_fd(op) == fd && !op->closing)
            return op;
    }
    return NULL;
}

/* In the driver's thread. True: a thread still has an op on the descriptor in hand. */
static bool driver_hear(struct driver *driver, int fd, struct closing *closing)
{
    struct op *op;
    bool in_hand = false;
    if (driver->dead)
        return false;
    if (driver->on_close)
        driver->on_close(driver, fd);
    if (driver->backend)
        driver->backend->closing(driver->state, fd);
    while (closing && (op = op_to_take_back(driver, fd))) {
        fetch_add_relaxed(&closing->pending, 1); /* relaxed: the caller has a share still */
        op->closing = closing;
        in_hand = true;
        conc__offload_cancel(op); /* perhaps it ends here */
    }
    return in_hand;
}

static void closing_post_run(struct item *item)
{
    struct closing_post *post = list_entry(item, struct closing_post, item);
    driver_hear(post->driver, post->closing->fd, post->closing);
    conc__closing_let_go(post->closing);
}

/* Take a share for each driver concerned, which keeps it alive. */
static void closing_find_drivers(struct closing *c, uint8_t user, uint64_t last)
{
    size_t n = 0;
    guard_lock(&drivers.word);
    for (struct list_node *at = drivers.list.head; at; at = list_next(&drivers.list, at)) {
        struct driver *driver = list_entry(at, struct driver, node);
        if (n == c->n || driver->serial > last || !driver_may_use(driver, user))
            continue;
        fetch_add_relaxed(&driver->posters, 1); /* relaxed: the guard orders it */
        c->posts[n++] =
            (struct closing_post){.item.run = closing_post_run, .driver = driver, .closing = c};
    }
    guard_unlock(&drivers.word);
    c->n = n;
}

static bool driver_is_mine(const struct driver *driver)
{
    if (driver == conc__driver_here)
        return true;
    return load_acquire(&driver->thread) == &conc__driver_here && !load_acquire(&driver->running);
}

/* Posting is the last touch of the post. */
static void closing_tell_drivers(struct closing *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct closing_post *post = &c->posts[i];
        struct driver *driver = post->driver;
        if (driver_is_mine(driver)) {
            c->waits |= driver_hear(driver, c->fd, c);
        } else {
            c->waits |= load_acquire(&driver->running);
            fetch_add_relaxed(&c->pending, 1); /* relaxed: the post releases */
            conc__driver_post(driver, &post->item);
        }
        fetch_sub_release(&driver->posters, 1);
    }
}

/* ---- Contexts that poll ---- */

static struct bucket *bucket_of(int fd) { return &buckets[(unsigned)fd % BUCKETS]; }

void conc__fd_wait_begin(struct fd_wait *wait, int fd)
{
    struct bucket *bucket = bucket_of(fd);
    pthread_once(&once, closing_watch_forks);
    *wait = (struct fd_wait){.fd = fd, .context = context_self()};
    guard_lock(&bucket->word);
    list_push(&bucket->waits, &wait->node);
    store_relaxed(&bucket->n, bucket->n + 1); /* relaxed: see above */
    guard_unlock(&bucket->word);
}

void conc__fd_wait_end(struct fd_wait *wait)
{
    struct bucket *bucket = bucket_of(wait->fd);
    guard_lock(&bucket->word);
    list_remove(&bucket->waits, &wait->node);
    store_relaxed(&bucket->n, bucket->n - 1);
    guard_unlock(&bucket->word);
    if (wait->closing)
        conc__closing_let_go(wait->closing);
}

bool conc__fd_wait_is_closed(const struct fd_wait *wait)
{
    return load_acquire(&wait->closing) || fd_user(wait->fd) == USER_CLOSING;
}

static bool fd_is_polled(int fd) { return load_relaxed(&bucket_of(fd)->n) > 0; }

static void closing_tell_polling(struct closing *c)
{
    struct bucket *bucket = bucket_of(c->fd);
    guard_lock(&bucket->word);
    for (struct list_node *n = bucket->waits.head; n; n = list_next(&bucket->waits, n)) {
        struct fd_wait *wait = list_entry(n, struct fd_wait, node);
        if (wait->fd != c->fd || wait->closing)
            continue;
        fetch_add_relaxed(&c->pending, 1); /* relaxed: the next store releases */
        c->waits = true;
        store_release(&wait->closing, c);
        wait->context->ops->kick(wait->context);
    }
    guard_unlock(&bucket->word);
}

/* ---- The closer ---- */

/* True: all have let go. */
static bool closing_await(struct closing *c)
{
    bool may_wait = c->waits && (!conc__driver_here || context_self()->driver);
    conc_scope shield;
    conc_shield_enter(&shield);
    int err = conc_event_wait(&c->over, may_wait ? conc_in(CLOSING_PATIENCE) : CONC_NOW);
    bool over = !err || !(fetch_or_acq_rel(&c->pending, CLOSING_ABANDONED) & ~CLOSING_ABANDONED);
    if (err && over) /* the last is about to set it */
        conc_event_wait(&c->over, CONC_FOREVER);
    conc_shield_exit(&shield);
    return over;
}

static int fd_close_used(int fd, uint8_t user)
{
    uint64_t last = 0;
    size_t n = user == USER_NONE ? 0 : drivers_count(user, &last);
    struct closing *c = alloc_bytes(sizeof *c + n * sizeof c->posts[0]);
    if (!c)
        return -ENOMEM;
    *c = (struct closing){.fd = fd, .pending = 1, .n = n};
    fd_set_user(fd, USER_CLOSING);
    if (n)
        closing_find_drivers(c, user, last);
    closing_tell_polling(c);
    closing_tell_drivers(c);
    conc__closing_let_go(c);
    if (!closing_await(c))
        return 0;
    free_bytes(c);
    return fd_close_aside(fd, true);
}

int conc__fd_close(int fd)
{
    struct driver *here = conc__driver_here;
    if (fd < 0)
        return -EBADF;
    uint8_t user = fd_user(fd);
    if (user == USER_CLOSING)
        return -EBADF;
    bool only_here = here && !here->dead && user == here->index && user != USER_MANY;
    if (fd_is_polled(fd) || (user != USER_NONE && !only_here) ||
        (only_here && op_to_take_back(here, fd)))
        return fd_close_used(fd, user);
    if (only_here) {
        fd_set_user(fd, USER_CLOSING);
        driver_hear(here, fd, NULL);
    }
    return fd_close_aside(fd, true);
}
