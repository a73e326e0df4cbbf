/* SPDX-License-Identifier: MIT
 *
 * figures07.h: the runs that figures07_timelines draws. Each notes its steps, in the contexts that
 * do them, and gives 0 or an error with a message. `server` is a URL.
 */
#ifndef FIGURES07_H
#define FIGURES07_H

#include <string.h>

#include "support/timeline.h"

extern int64_t request_timeout;

int figure7_1(struct timeline *t, const char *server);
int figure7_2(struct timeline *t, const char *server);
int figure7_3(struct timeline *t, const char *server);
int figure7_7(struct timeline *t, const char *server);

/** What stands between a server's URL and a path. */
static inline const char *slash_after(const char *server)
{
    const size_t length = strlen(server);
    return length > 0 && server[length - 1] == '/' ? "" : "/";
}

#endif
