/* SPDX-License-Identifier: MIT
 *
 * conc/generator.h: a function that gives one item after another, and goes on only when the next is
 * wanted.
 *
 *     static int count_to(conc_generator *g, void *arg)
 *     {
 *         int end = *(int *)arg;
 *         for (int i = 1; i <= end; i++)
 *             if (conc_generator_yield(g, &i) != 0)
 *                 break; // nobody wants more
 *         return 0;
 *     }
 *     ...
 *     conc_generator *g;
 *     int i, end = 3;
 *     int err = conc_generator_new(&g, count_to, &end, sizeof end, sizeof i, NULL);
 *     if (err)
 *         return err;
 *     while ((err = conc_generator_next(g, &i, CONC_FOREVER)) == 1)
 *         printf("%d\n", i);
 *     conc_generator_free(g);
 *     return err; // 0, or the error that the body has ended with
 *
 * The function, the generator's body, has a stack of its own but runs in the context of its
 * consumer: the context that calls conc_generator_next(). It may block like any function; then the
 * consumer, be it a thread or a task, blocks. What belongs to a context is the consumer's, so a
 * body that may be resumed by different contexts must not hold an rlock while it yields; and if
 * they are different threads, not keep the address of a thread-local variable (nor use errno across
 * a yield).
 *
 * Cancellation and deadlines: while the body runs, the scopes around its consumer, and the deadline
 * given to conc_generator_next(), hold for it too. While it is suspended at a yield its own scopes
 * do not hold for the consumer: each side leaves only scopes that it has entered. Another context
 * may cancel a scope that the body has entered only if the generator isn't resumed or suspended
 * meanwhile.
 */
#ifndef CONC_GENERATOR_H
#define CONC_GENERATOR_H

#include <conc/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_generator conc_generator;

/**
 * A generator's body.
 *
 * @param generator  for conc_generator_yield()
 * @param arg        a private copy of the argument, as a job's
 * @return 0: there are no more items; or a negative error (see conc_raise()). A positive return is
 *         a mistake and becomes -EINVAL.
 */
typedef int conc_generator_fn(conc_generator *generator, void *arg);

/** All-zero: the defaults. */
typedef struct conc_generator_options {
    /* Bytes at least; 0: 256 KiB of address space, of which only what is touched takes memory. */
    size_t stack_size;
} conc_generator_options;

/**
 * Make a generator. Its body begins with the first conc_generator_next().
 *
 * @param ret        gives a generator, for conc_generator_free()
 * @param fn         its body
 * @param arg        the body's argument, of arg_size bytes: copied (NULL if arg_size is 0)
 * @param item_size  bytes of an item; may be 0
 * @param options    borrowed; NULL: all-zero
 * @return 0; -ENOMEM; -EINVAL: no fn, no arg with a size, or a stack of more than 1 GiB
 *
 * Python: calling a generator function, async or not
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_generator_new(conc_generator **ret, conc_generator_fn *fn,
                                                const void *arg, size_t arg_size, size_t item_size,
                                                const conc_generator_options *options);

/**
 * Get the next item: run the body until it yields, or ends.
 *
 * When the deadline comes, or the caller is cancelled, while the body runs, the body's blocking
 * calls return -ECANCELED. It may still yield an item then, which is returned as always. But
 * mostly it ends, and with it the generator. So to be asked again after a while without an item, a
 * body yields an item that means so.
 *
 * @param item      room for an item; NULL: it is thrown away; untouched unless 1 is returned
 * @param deadline  CONC_NOW suits a body that never has to wait: its calls that could block fail
 * @return 1: an item; 0: the body has ended (now or before); the body's own error, once (message in
 *         conc_describe()); -EOWNERDEAD: it was left in the middle, by pthread_exit() or
 *         pthread_cancel() (as a job, conc_fn). -ETIMEDOUT, -ECANCELED, -EAGAIN (CONC_NOW): a call
 *         in the body was told so, and the body has ended; or, of the first two, it was so from the
 *         start, and the body was not run. -EBUSY: it runs already (in another context, or the body
 *         is the caller)
 *
 * Python: next(), anext()
 * [any | as the body | yes]
 */
CONC_API int conc_generator_next(conc_generator *generator, void *item, conc_deadline deadline);

/**
 * In the body: give the consumer a copy of an item, and wait until it wants the next.
 *
 * @param item  of the item size; borrowed
 * @return 0: the next is wanted; -ECANCELED: nothing more is, the generator is being freed: the
 *         body must return; or a scope that the body has entered has ended, and the item was not
 *         given. -EPERM: the caller is not the body, or has a group open (PEP 789 tells what would
 *         happen otherwise)
 *
 * Python: yield
 * [body | yes | yes (of the body's own scopes)]
 */
CONC_API int conc_generator_yield(conc_generator *generator, const void *item);

/**
 * End a generator and free it; NULL is ignored. A body that is suspended at a yield goes on there,
 * cancelled (its yields and blocking calls return -ECANCELED), and must return, so that it can tidy
 * up; in a shield it may block for that. What it returns is lost.
 *
 * @return 0; -EBUSY (it runs: the body is the caller, or another context is in
 *         conc_generator_next()): refused, nothing is freed
 *
 * Python: close(), aclose()
 * [any | as the body | no]
 */
CONC_API int conc_generator_free(conc_generator *generator);

#ifdef __cplusplus
}
#endif
#endif
