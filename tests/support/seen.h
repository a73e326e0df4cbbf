/* SPDX-License-Identifier: MIT
 *
 * seen.h: what conc_context_foreach() shows: how many contexts, in which order, and one of them by
 * its name.
 */
#ifndef CONC_TESTS_SEEN_H
#define CONC_TESTS_SEEN_H

#include <string.h>

#include <conc/context.h>

#include "support.h"

#define MOST 64

struct seen {
    size_t n;
    uint64_t ids[MOST];
    conc_context_info info; /* of the one that is sought */
    char name[CONC_NAME_MAX], holder_name[CONC_NAME_MAX];
    const char *seek;
};

static inline int see(const conc_context_info *info, void *arg)
{
    struct seen *seen = arg;
    if (seen->n < MOST)
        seen->ids[seen->n] = info->id;
    seen->n++;
    if (seen->seek && !strcmp(info->name, seen->seek)) {
        seen->info = *info;
        strcpy(seen->name, info->name);
        strcpy(seen->holder_name, info->holder_name);
    }
    return 0;
}

static inline struct seen look_for(const char *name)
{
    struct seen seen = {.seek = name};
    CHECK_EQUAL(conc_context_foreach(see, &seen), 0);
    return seen;
}

#endif
