/* SPDX-License-Identifier: MIT
 *
 * points.h: one server's sensors: the chapter's get_data_points(), as a job for any executor.
 *
 * What it takes and what it gives are values, so that it can be called, or run in a thread, in
 * another process, or as a task. The non-blocking collector uses its two halves, the request and
 * the answer.
 */
#ifndef SENSORS_POINTS_H
#define SENSORS_POINTS_H

#include <conc.h>

#include "support/http.h"
#include "support/http_wire.h"

enum { API_KEY_MAX = 256 };

/** Whom to ask. */
struct query {
    char url[HTTP_URL_MAX];
    char api_key[API_KEY_MAX]; /* "": none */
    int64_t timeout;           /* nanoseconds */
};

/** What a sensor has said. */
struct data_point {
    int64_t collected_at; /* microseconds since 1970, UTC */
    char sensor_name[120];
    char data[896]; /* its value, as JSON: a number, a text, an object ... */
};

/**
 * Make a query: the server's address, and the path of its sensors.
 *
 * @param api_key  NULL: none
 * @return 0; -EINVAL: too long a server or key, or not a key that fits into a header; with a
 * message
 */
int query_make(struct query *ret, const char *server, const char *api_key, int64_t timeout);

/**
 * A conc_fn: get all data points of a server, in libconc's way of waiting: it blocks a thread, and
 * sets a task aside.
 *
 * @param arg     a struct query
 * @param result  a conc_bytes (CONC_BYTES): an array of struct data_point
 * @return 0; the errors of http_fetch() and http_check(); -EBADMSG: an answer that makes no sense;
 *         -EFBIG: a name or a value that is too long. All with a message that begins with the URL.
 */
int get_data_points(void *arg, void *result);

/* ---- Its halves ---- */

/** The request. @return as http_request_make(); with a message */
int make_request(const struct query *query, struct http_request *ret);

/**
 * The data points of an answer.
 *
 * @param ret  gives an array of struct data_point, for conc_bytes_free(); untouched on failure
 * @return 0; as get_data_points()
 */
int prepare_datapoints_from_response(const char *url, const struct http_response *response,
                                     conc_bytes *ret);

#endif
