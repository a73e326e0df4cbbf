/* SPDX-License-Identifier: MIT
 *
 * query.h: a geocoding as a job for any executor: all that it needs is in its argument, and its
 * result is a value.
 *
 * A pointer to the name would do for threads; in another process it points to nothing.
 */
#ifndef EXAMPLES_QUERY_H
#define EXAMPLES_QUERY_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/geocode.h"

/** What is to be asked, and of whom. */
struct query {
    int64_t timeout; /* nanoseconds */
    char server[HTTP_URL_MAX];
    char place[HTTP_URL_MAX];
};

/**
 * One query for each of the places.
 *
 * @param ret  gives api->count queries, for free(); untouched on failure
 * @return 0; -EINVAL: too long a name; -ENOMEM. With a message.
 */
static inline int make_queries(const struct geocoding *api, struct query **ret)
{
    struct query *queries = calloc(api->count, sizeof *queries);

    if (queries == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    for (size_t i = 0; i < api->count; i++) {
        const char *place = api->places[i];

        if (strlen(api->server) >= HTTP_URL_MAX || strlen(place) >= HTTP_URL_MAX) {
            free(queries);
            return conc_raise(-EINVAL, "%.64s: the name is too long", place);
        }
        queries[i].timeout = api->timeout;
        strcpy(queries[i].server, api->server);
        strcpy(queries[i].place, place);
    }
    *ret = queries;
    return 0;
}

#endif
