/* SPDX-License-Identifier: MIT
 *
 * json.h: JSON from a server, by jansson. A json_t is one context's at a time: jansson counts
 * references without locks in some builds.
 */
#ifndef EXAMPLES_JSON_H
#define EXAMPLES_JSON_H

#include <jansson.h>

#include "support/http.h"

/**
 * Parse an answer's body.
 *
 * @param url  for the message
 * @param ret  gives a reference, for json_decref()
 * @return 0; -EBADMSG: malformed
 */
int http_json(const char *url, const struct http_response *response, json_t **ret);

/**
 * Fetch a URL, check the status, parse the body: http_get_with(), http_check() and http_json() in
 * one.
 *
 * @param headers  as for http_get_with(); NULL: none
 * @param ret      gives a reference, for json_decref()
 */
int http_get_json(const char *url, const char *const *headers, json_t **ret,
                  conc_deadline deadline);

#endif
