/* SPDX-License-Identifier: MIT
 *
 * conc/imap.h: a job over many elements, whose results are taken one by one while the others are
 * still made: as soon as they are there, and without an array for all of them.
 *
 *     conc_imap *squares;
 *     int err = conc_imap_new(&squares, pool, square, in, n, sizeof *in, sizeof(int), NULL);
 *     if (err)
 *         return err;
 *     int answer;
 *     while ((err = conc_imap_next(squares, &answer, NULL, CONC_FOREVER)) == 1)
 *         printf("%d\n", answer);
 *     conc_imap_free(squares);
 *     return err; // 0, or the error of the first element that failed
 *
 * Elements are submitted on demand: when it is made, and in each conc_imap_next(), one in the place
 * of the one that is about to be taken, and then as many as there is room for, unless one can be
 * taken already. So a source may be endless, an inline executor is one element ahead at most, and a
 * bounded one does not hold back what is there until all have found room.
 */
#ifndef CONC_IMAP_H
#define CONC_IMAP_H

#include <conc/executor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct conc_imap conc_imap;

/**
 * A source of elements, instead of an array.
 *
 * It is called by the context that calls conc_imap_new() or conc_imap_next(), and only when there
 * is room for the element that it is asked for. If it waits, results that have come meanwhile wait
 * with it. The deadline of the call ends its waits too: if it returns the -ECANCELED that it then
 * gets, it is asked again by the next call.
 *
 * @param item  where it stores the element: in_size bytes, zeroed; NULL if that is 0. A conc_bytes
 *              that it sets is borrowed until it is called again.
 * @param arg   as given in the options
 * @return 1: an element; 0: there are no more; a negative error: there are no more either, and
 *         conc_imap_next() returns the error once all others are taken. Another positive return is
 *         a mistake and becomes -EINVAL.
 */
typedef int conc_imap_source_fn(void *item, void *arg);

/** All-zero: the defaults. */
typedef struct conc_imap_options {
    /* The most elements that are submitted and not taken; 0: 64, which is two for each thread of
     * the largest pool that conc_thread_pool_new() makes by itself: when a worker is done, the next
     * job is there. */
    size_t ahead;

    bool unordered;            /* give them as they end; else in order */
    conc_imap_source_fn *next; /* the source; NULL: there is an array */
    void *arg;                 /* given to it */
} conc_imap_options;

/** Which element it is that conc_imap_next() gives. */
typedef struct conc_imap_item {
    size_t index; /* its place in the array, or among those that the source has given; from 0 */
    int error;    /* its job's, or why it was not run; 0: it has succeeded */
} conc_imap_item;

/**
 * Make an iterator, and begin to run the job once for every element.
 *
 * It blocks as conc_submit() and the source do, until an element has ended. A scope bounds that;
 * then conc_imap_next() goes on with what is not submitted.
 *
 * @param ret       gives an iterator, for conc_imap_free()
 * @param executor  runs the jobs; borrowed until the iterator is freed
 * @param in        n elements of in_size bytes each, borrowed until the iterator is freed; NULL,
 *                  and n is 0, if there is a source
 * @param in_size   may be 0 (jobs without an argument), or CONC_BYTES
 * @param out_size  bytes of a result; may be 0, or CONC_BYTES
 * @param options   borrowed; NULL: all-zero
 * @return 0; -ENOMEM; -EINVAL: no ret, executor, fn or in, or both an array and a source
 *
 * Python: Pool.imap(), Pool.imap_unordered(), Executor.map(buffersize)
 * [any | as conc_submit() | as conc_submit()]
 */
CONC_API CONC_MUST_CHECK int conc_imap_new(conc_imap **ret, conc_executor *executor, conc_fn *fn,
                                           const void *in, size_t n, size_t in_size,
                                           size_t out_size, const conc_imap_options *options);

/**
 * Take the next element that has ended; wait for it if need be. A failed one is an element too, and
 * the call after it goes on with the next.
 *
 * @param out   room for the result; untouched unless the element has succeeded; NULL: not wanted
 * @param item  gives which element it is, and its error; NULL: a failed one's error is returned
 * @return 1: an element was taken; 0: there are no more; a negative error: that of a failed
 *         element, if item is NULL; the source's, once, as the last before 0. With either goes its
 *         message, in conc_describe(). Or nothing was taken, and nothing is lost: -ETIMEDOUT,
 *         -EAGAIN (CONC_NOW), -ECANCELED (the caller was cancelled), -ENOMEM (for the copy of a
 *         conc_bytes). As in conc_call(), the deadline also ends what blocks in an inline job: then
 *         that element has failed with -ECANCELED.
 *
 * Python: next(), of what Pool.imap() returns
 * [one | yes | yes]
 */
CONC_API int conc_imap_next(conc_imap *imap, void *out, conc_imap_item *item,
                            conc_deadline deadline);

/**
 * Free the iterator, also one that has not given all: jobs that have not ended are cancelled, and
 * not waited for. NULL is ignored.
 *
 * [one | no | no]
 */
CONC_API void conc_imap_free(conc_imap *imap);

#ifdef __cplusplus
}
#endif
#endif
