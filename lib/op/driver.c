/* SPDX-License-Identifier: MIT
 *
 * driver.c: what carries out operations: its inbox, its beginning and its end.
 *
 * The inbox is one word:
 *
 *     NULL      empty, and its thread is awake
 *     ASLEEP    empty, and its thread sleeps in the backend, or is about to
 *     an item   the last one posted; each leads to the one before
 *
 *     NULL -> ASLEEP        its thread, before it sleeps (swap): fails if something is there, and then
 *                           it does not sleep
 *     ASLEEP, item -> item  whoever posts (swap); who finds ASLEEP there writes to the eventfd, nobody
 *                           else: one write wakes the thread however many post
 *     any -> NULL           its thread, when it is awake (exchange): the items are its own
 *
 * So no wake-up is lost: an item is posted either before the swap to ASLEEP, which then fails, or
 * after it, and then its poster wakes the backend. One that comes late wakes the next sleep for
 * nothing.
 *
 * Posting touches the driver last when it has woken it. `posters` counts those who are at it; the
 * driver is freed when there are none.
 *
 * Order: what a poster did before is seen by the driver's thread: the swap releases, the exchange
 * acquires. The swap to ASLEEP is relaxed: it publishes nothing. `posters` is decremented with
 * release, and read with acquire before the free.
 */
#include "op/driver.h"

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/atomic.h"

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
    struct item *head =
        load_relaxed(&driver->inbox); /* relaxed: the swap releases, nothing is read */
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
    while (item) { /* the first posted to the front */
        struct item *before = item->next;
        item->next = first;
        first = item;
        item = before;
    }
    while (first) {
        item = first;
        first = item->next; /* before it runs: then it may be posted again, or gone */
        item->run(item);
    }
}

bool conc__driver_fall_asleep(struct driver *driver)
{
    struct item *nothing = NULL;
    return cas_pointer_strong_relaxed(&driver->inbox, &nothing, DRIVER_ASLEEP);
}

/* ---- Beginning and end ---- */

int conc__driver_init(struct driver *driver)
{
    /* In blocking mode: io_uring's read of another would not wait. */
    driver->wake_fd = eventfd(0, EFD_CLOEXEC);
    return driver->wake_fd < 0 ? -errno : 0;
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
    if (driver->backend && !driver->dead)
        driver->backend->fini(driver->state);
    while (load_acquire(&driver->posters))
        sched_yield();
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
