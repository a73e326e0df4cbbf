/* SPDX-License-Identifier: MIT
 *
 * driver.c: what carries out operations: its inbox, its beginning and its end.
 *
 * The inbox is one word:
 *
 *     NULL      it is empty, and the driver's thread is awake
 *     ASLEEP    it is empty, and the driver's thread sleeps in the backend, or is about to
 *     an item   the last one posted; each leads to the one posted before it
 *
 *     NULL -> ASLEEP        by the driver's thread, before it sleeps (swap): fails if an
 *                           item is there, and then the thread does not sleep
 *     ASLEEP, item -> item  by a thread that posts (swap). Only a thread that finds ASLEEP
 *                           writes to the eventfd: one write wakes the driver however many post
 *     any -> NULL           by the driver's thread, when it is awake (exchange): it takes the items
 *
 * So no wake-up is lost: an item is posted either before the swap to ASLEEP, which then fails, or
 * after it, and then its poster wakes the backend. A wake-up that comes late ends the next sleep
 * for nothing.
 *
 * A thread that posts touches the driver last when it wakes it. `posters` counts the threads that
 * are posting; the driver is freed when there are none.
 *
 * Order: the driver's thread sees what a poster did before: the swap releases, the exchange
 * acquires. The swap to ASLEEP is relaxed, as it publishes nothing. `posters` is decremented with
 * release, and read with acquire before the driver is freed.
 */
#include "op/driver.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/fd.h"
#include "base/invariant.h"
#include "op/closing.h"

#define DRIVER_ASLEEP ((struct item *)(uintptr_t)1)

__thread struct driver *conc__driver_here __attribute__((tls_model("initial-exec")));

/* ---- The inbox ---- */

static void driver_wake(struct driver *driver)
{
    const uint64_t one = 1;
    /* Cannot fail: the counter would have to be full. */
    if (write(driver->wake_fd, &one, sizeof one) < 0)
        return;
}

void conc__driver_post(struct driver *driver, struct item *item)
{
    fetch_add_relaxed(&driver->posters, 1); /* relaxed: the caller keeps it alive until here */
    /* relaxed: the swap releases, and nothing that the items hold is read. */
    struct item *head = load_relaxed(&driver->inbox);
    do
        item->next = head == DRIVER_ASLEEP ? NULL : head;
    while (!cas_pointer_release(&driver->inbox, &head, item));
    if (head == DRIVER_ASLEEP)
        driver_wake(driver);
    fetch_sub_release(&driver->posters, 1);
}

void conc__driver_take(struct driver *driver)
{
    if (!load_relaxed(&driver->inbox)) /* relaxed: a hint; the exchange acquires */
        return;
    struct item *item = exchange_acquire(&driver->inbox, NULL), *first = NULL;
    if (item == DRIVER_ASLEEP)
        return;
    while (item) { /* reverse them: the item posted first runs first */
        struct item *before = item->next;
        item->next = first;
        first = item;
        item = before;
    }
    while (first) {
        item = first;
        first = item->next; /* before it runs: afterwards it may be posted again, or be freed */
        item->run(item);
    }
}

bool conc__driver_fall_asleep(struct driver *driver)
{
    struct item *nothing = NULL;
    return cas_pointer_strong_relaxed(&driver->inbox, &nothing, DRIVER_ASLEEP);
}

/* ---- The thread ---- */

void conc__driver_enter(struct driver *driver)
{
    conc__driver_here = driver;
    store_release(&driver->thread, &conc__driver_here);
    store_release(&driver->running, true);
}

void conc__driver_leave(void)
{
    store_release(&conc__driver_here->running, false);
    conc__driver_here = NULL;
}

void conc__driver_start(struct driver *driver, struct op *op)
{
    op->driver = driver;
    op->closing = NULL;
    driver->ops++;
    if (fd_note_user(op_fd(op), driver))
        driver->backend->start(driver->state, op);
    else
        conc__op_complete(op, -EBADF);
}

/* ---- Beginning and end ---- */

int conc__driver_init(struct driver *driver)
{
    /* In blocking mode: io_uring does not wait for one that is not. */
    driver->wake_fd = conc__fd_own(eventfd(0, EFD_CLOEXEC));
    if (driver->wake_fd < 0)
        return driver->wake_fd;
    conc__closing_register(driver);
    return 0;
}

int conc__driver_open(struct driver *driver, const struct backend *backend)
{
    int err = backend->init(&driver->state, driver->wake_fd);
    if (err)
        return err;
    driver->backend = backend;
    return 0;
}

void conc__driver_fini(struct driver *driver)
{
    invariant(driver->dead || driver->ops == 0, "no op is in flight when its driver is freed");
    if (!driver->dead)
        conc__closing_unregister(driver);
    while (load_acquire(&driver->posters))
        sched_yield();
    if (!driver->dead)
        conc__driver_take(driver); /* descriptors that are being closed */
    if (driver->backend && !driver->dead)
        driver->backend->fini(driver->state);
    if (!driver->dead)
        close(driver->wake_fd);
}

void conc__driver_forget(struct driver *driver)
{
    driver->dead = true;
    driver->inbox = NULL;
    driver->posters = 0;
    if (driver->backend)
        driver->backend->forget(driver->state);
    close(driver->wake_fd);
}
