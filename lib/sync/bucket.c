/* SPDX-License-Identifier: MIT
 *
 * bucket.c: a token bucket.
 *
 * How: takers wait in line at a semaphore of one unit, which is first come first served. The taker
 * that has the unit looks how many tokens have gathered since the last look (never more than the
 * burst). It takes what it wants, or sleeps exactly until that many are there and looks again. So
 * no taker spins, none overtakes another, and one that gives up has taken nothing and lets the next
 * one go on.
 *
 * A taker whose tokens cannot be there by its deadline fails at once: before it stands in line, if
 * it could not be served even as the first; else when its turn comes. Otherwise it would sleep at
 * the head of the line until its deadline, for nothing, and those behind it too.
 *
 * Over any t seconds at most burst + rate * t tokens are given, because no more than `burst` are
 * ever there and no more than rate * t come. The sleep's end is rounded up to a whole nanosecond;
 * if the rounding of a double still leaves the level short, the taker sleeps one more nanosecond.
 *
 * `word` guards level and since, which conc_bucket_tokens() reads without the unit.
 */
#include <conc/bucket.h>

#include <conc/context.h>

#include "base/clock.h"
#include "base/guard.h"
#include "wait/wait.h"

#define NS_PER_S ((double)CONC_S(1))

int conc_bucket_init(conc_bucket *bucket, double per_second, double burst)
{
    if (burst == 0)
        burst = per_second > 1 ? per_second : 1;
    if (!__builtin_isfinite(per_second) || per_second <= 0 || !__builtin_isfinite(burst) ||
        burst < 1)
        return -EINVAL;
    *bucket = (conc_bucket)CONC_BUCKET_INIT(per_second, burst);
    bucket->since = conc_now();
    return 0;
}

/* Under the guard: count the tokens that have come by now. */
static void bucket_fill(conc_bucket *bucket, int64_t now)
{
    if (bucket->since == 0)
        bucket->since = now;
    double level = bucket->level + (double)(now - bucket->since) * bucket->per_second / NS_PER_S;
    bucket->level = level < bucket->burst ? level : bucket->burst;
    bucket->since = now;
}

/* Under the guard: when n tokens will be there, if no other taker comes. */
static conc_deadline bucket_ready(const conc_bucket *bucket, uint32_t n)
{
    double delay = (n - bucket->level) * NS_PER_S / bucket->per_second + 1;
    return delay < (double)INT64_MAX / 2 ? conc_in((int64_t)delay) : CONC_FOREVER;
}

/* Take n tokens, if `take` and they are there. 0: they are there; else, if they can be there by the
 * deadline, -EAGAIN, and *ready is when; else -ETIMEDOUT. */
static int bucket_look(conc_bucket *bucket, uint32_t n, bool take, conc_deadline deadline,
                       conc_deadline *ready)
{
    int err = 0;
    guard_lock(&bucket->word);
    bucket_fill(bucket, conc_now());
    if (bucket->level < n) {
        *ready = bucket_ready(bucket, n);
        err = deadline_is_now(deadline) || ready->ns <= deadline.ns ? -EAGAIN : -ETIMEDOUT;
    } else if (take) {
        bucket->level -= n;
    }
    guard_unlock(&bucket->word);
    return err;
}

/* With the semaphore's unit. */
static int bucket_take_in_turn(conc_bucket *bucket, uint32_t n, conc_deadline deadline)
{
    conc_deadline ready;
    int err;
    while ((err = bucket_look(bucket, n, true, deadline, &ready)) == -EAGAIN) {
        if (deadline_is_now(deadline))
            return -EAGAIN;
        err = conc_sleep_until(ready);
        if (err)
            return err;
    }
    return err;
}

int conc_bucket_take(conc_bucket *bucket, uint32_t n, conc_deadline deadline)
{
    if (n == 0)
        return 0;
    /* So written, it finds numbers that are no numbers too: those of CONC_BUCKET_INIT(). */
    if (!(n <= bucket->burst) || !(bucket->per_second > 0))
        return -EINVAL;
    conc_deadline ready;
    int err = wait_checkpoint(deadline);
    if (!err && bucket_look(bucket, n, false, deadline, &ready) == -ETIMEDOUT)
        err = -ETIMEDOUT;
    if (err)
        return err;
    err = conc_sem_acquire(&bucket->turn, deadline);
    if (err)
        return err;
    err = bucket_take_in_turn(bucket, n, deadline);
    conc_sem_release(&bucket->turn, 1);
    return err;
}

double conc_bucket_tokens(const conc_bucket *bucket)
{
    /* The number of tokens does not change, but this takes the guard; and it may be the first use
     * of a static bucket, from which on its tokens gather. */
    conc_bucket *changed = (conc_bucket *)(uintptr_t)bucket;
    guard_lock(&changed->word);
    bucket_fill(changed, conc_now());
    double level = changed->level;
    guard_unlock(&changed->word);
    return level;
}
