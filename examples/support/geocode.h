/* SPDX-License-Identifier: MIT
 *
 * geocode.h: where is a place? The client of the server's /geocode, in the role of Python's `from
 * gmaps import Geocoding`.
 */
#ifndef EXAMPLES_GEOCODE_H
#define EXAMPLES_GEOCODE_H

#include <stddef.h>
#include <stdint.h>

#include <conc/base.h>

#include "support/http.h"
#include "support/options.h"

/** What the command line said: the server, how long a request may take, and the places. */
struct geocoding {
    const char *server;
    int64_t timeout; /* nanoseconds */
    const char *const *places;
    size_t count;
    /* how geocode() asks: as http_get(); NULL: by http_get() */
    int (*get)(const char *url, struct http_response *ret, conc_deadline deadline);
};

/** Where a place is. A value, so that it can be copied into results and queues. */
struct place {
    char formatted_address[160];
    double lat, lng;
};

/**
 * Read a geocoding program's command line: --server, --timeout, --help, and places, which stand in
 * for the default ones.
 *
 * @param about    the program in a line
 * @param more     options of its own; may be NULL
 * @param places   the default places, `count` of them
 * @return ends the program with EXIT_USAGE if the command line is wrong
 */
struct geocoding geocoding_options(int argc, char **argv, const char *about,
                                   const struct option_spec *more, const char *const *places,
                                   size_t count);

/**
 * Ask the server where a place is.
 *
 * @param ret  gives the place; untouched on failure
 * @return 0; -ENOENT: the server doesn't know it; -EBUSY: asked too often (429); -EBADMSG: an
 *         answer that makes no sense; -EINVAL: too long a name; the errors of http_get() and
 *         http_check(). All with a message that begins with the place's name.
 *
 * Called from: any thread. Blocks: yes. Cancellation point: yes.
 */
int geocode(const struct geocoding *api, const char *name, struct place *ret,
            conc_deadline deadline);

/**
 * The field width that makes printf("%*s") fill up to `columns` characters: it counts bytes, and
 * 'ł' has two.
 */
int field_width(int columns, const char *text);

#endif
