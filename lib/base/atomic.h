/* SPDX-License-Identifier: MIT
 *
 * atomic.h: the atomic operations of the library. All of them go through here, always with the
 * order in the name, so that a test scheduler can replace them one day. Fields stay plain
 * integers and pointers, because they stand in public headers, which C++ reads too.
 */
#ifndef CONC_LIB_ATOMIC_H
#define CONC_LIB_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define exchange_acquire(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define exchange_acq_rel(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define fetch_add_acq_rel(p, v) __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define fetch_add_release(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELEASE)
#define fetch_sub_acq_rel(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define fetch_sub_release(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELEASE)
#define fetch_or_acq_rel(p, v) __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define fetch_or_release(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELEASE)
#define fetch_and_acq_rel(p, v) __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
#define fetch_and_release(p, v) __atomic_fetch_and((p), (v), __ATOMIC_RELEASE)

/* Write `desired` if *p is *expected; on failure *expected becomes what *p is. May fail for no
 * reason (weak): for loops. */
static inline bool cas_acquire(uint32_t *p, uint32_t *expected, uint32_t desired)
{
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline bool cas_release(uint32_t *p, uint32_t *expected, uint32_t desired)
{
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_RELEASE,
                                       __ATOMIC_RELAXED);
}

static inline bool cas_relaxed(uint32_t *p, uint32_t *expected, uint32_t desired)
{
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static inline bool cas8_relaxed(uint8_t *p, uint8_t *expected, uint8_t desired)
{
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* The same for a pointer. */
#define cas_pointer_release(p, expected, desired)                                   \
    __atomic_compare_exchange_n((p), (expected), (desired), true, __ATOMIC_RELEASE, \
                                __ATOMIC_RELAXED)
/* Not weak: fails only if *p is something else. */
#define cas_pointer_strong_relaxed(p, expected, desired)                             \
    __atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_RELAXED, \
                                __ATOMIC_RELAXED)

/* For a state of 64 bits. */
static inline bool cas64_acq_rel(uint64_t *p, uint64_t *expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(p, expected, desired, true, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* Tell the core that this is a waiting loop. */
static inline void core_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

#endif
