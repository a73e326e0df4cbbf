/* SPDX-License-Identifier: MIT
 *
 * conc/bucket.h: a token bucket, to keep to a rate: "at most ten requests a second".
 *
 * It starts empty and never holds more than `burst` tokens, so over any t seconds at most burst +
 * rate * t tokens are given, and under steady demand the rate is reached. With a burst of 1 tokens
 * are at least 1/rate seconds apart, so the time that a late wake-up has cost cannot be made up
 * for. With a burst of 2 it can.
 */
#ifndef CONC_BUCKET_H
#define CONC_BUCKET_H

#include <conc/sem.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All fields are private. */
typedef struct conc_bucket {
    conc_sem turn; /* its holder may look at the tokens; first come first served */
    double per_second;
    double burst;
    uint32_t word; /* the guard of the two below */
    double level;  /* tokens at the time `since` */
    int64_t since; /* conc_now()'s nanoseconds; 0: not used yet */
} conc_bucket;

#ifdef __cplusplus
#define CONC_BUCKET_INIT(per_second_, burst_)              \
    {                                                      \
        CONC_SEM_INIT(1), (per_second_), (burst_), 0, 0, 0 \
    }
#else
/**
 * For static objects: tokens begin to gather at the first use. The numbers as of
 * conc_bucket_init(), but that a burst of 0 stays 0.
 */
#define CONC_BUCKET_INIT(per_second_, burst_)                                    \
    {                                                                            \
        .turn = CONC_SEM_INIT(1), .per_second = (per_second_), .burst = (burst_) \
    }
#endif

/**
 * Make a bucket, empty; tokens gather from now on. There is nothing to destroy.
 *
 * @param per_second  tokens that come in a second; above 0, and finite
 * @param burst       the most that it holds; at least 1, or 0 for one second's worth (at least 1)
 * @return 0; -EINVAL: a number that is none of these
 *
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_bucket_init(conc_bucket *bucket, double per_second, double burst);

/**
 * Take n tokens; sleep until they are there. Takers are served in order of arrival. One whose
 * tokens cannot be there by its deadline does not wait for it, but fails when that is known: at
 * once, or when it has become the first in line. (A deadline of a scope around it is waited for.)
 *
 * @param n  0: nothing to take, returns 0
 * @return 0; -ETIMEDOUT (the deadline has come, or comes too early), -EAGAIN (not there, and
 *         CONC_NOW), -ECANCELED: none were taken; -EINVAL: n is more than the bucket ever holds
 *
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_bucket_take(conc_bucket *bucket, uint32_t n,
                                              conc_deadline deadline);

/** How many tokens there are now. */
CONC_API double conc_bucket_tokens(const conc_bucket *bucket);

#ifdef __cplusplus
}
#endif
#endif
