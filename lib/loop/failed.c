/* SPDX-License-Identifier: MIT
 *
 * failed.c: tasks that have failed, and whose error nobody has asked for yet. A future that is
 * given back reports such an error by itself (conc_future_unref() looks whether only the loop is
 * left, FUTURE_LISTED); but one that the program has lost never is. So the loop keeps a reference
 * of its own, and reports at its end.
 *
 * The list would grow with every error that is asked for after the task's end, so it is swept
 * whenever it has become twice as long as the last sweep has left it: what has been asked for goes,
 * and so does what only this list still knows. So each failed task costs constant time in all, and
 * the list is at most twice as long as it must be. All of it belongs to the loop's thread.
 */
#include "future/future_impl.h"
#include "loop/loop_impl.h"

enum { FIRST_SWEEP_AT = 32 };

static void failed_sweep(struct failed_tasks *failed)
{
    conc_future **at = &failed->first;
    while (*at) {
        conc_future *job = *at;
        /* relaxed: if it is 1 nobody else can take another */
        if (future_is_news(job) && load_relaxed(&job->refs) > 1) {
            at = &job->link;
            continue;
        }
        *at = job->link;
        failed->n--;
        conc_future_unref(job);
    }
    failed->sweep_at = failed->n < FIRST_SWEEP_AT / 2 ? FIRST_SWEEP_AT : 2 * failed->n;
}

void conc__failed_take(struct failed_tasks *failed, conc_future *job)
{
    /* relaxed: as above */
    if (!future_is_news(job) || load_relaxed(&job->refs) == 1) {
        conc_future_unref(job);
        return;
    }
    fetch_or_release(&job->word, FUTURE_LISTED);
    job->link = failed->first;
    failed->first = job;
    if (++failed->n >= failed->sweep_at)
        failed_sweep(failed);
}

void conc__failed_forget(struct failed_tasks *failed, const conc_future *job)
{
    conc_future **at = &failed->first;
    while (*at && *at != job)
        at = &(*at)->link;
    if (!*at)
        return;
    conc_future *found = *at;
    *at = found->link;
    failed->n--;
    fetch_and_release(&found->word,
                      ~FUTURE_LISTED); /* it is the program's to ask, or to give back */
    conc_future_unref(found);
}

void conc__failed_report(struct failed_tasks *failed)
{
    conc_future *job;
    while ((job = failed->first)) {
        failed->first = job->link;
        conc__future_report(job);
        conc_future_unref(job);
    }
    failed->n = 0;
}
