/* SPDX-License-Identifier: MIT
 *
 * http_fetch.h: http_get() once more, over libconc's sockets, in the role of Python's aiohttp.
 *
 * It reads like any blocking client. In a thread it blocks the thread; in a task it sets the task
 * aside while its loop goes on with others: what libcurl's http_get(), which waits in a way of its
 * own, cannot do. It follows no redirects and speaks no TLS.
 */
#ifndef EXAMPLES_HTTP_FETCH_H
#define EXAMPLES_HTTP_FETCH_H

#include "support/http.h"

/**
 * Fetch a URL.
 *
 * @return as http_get(); -EPROTONOSUPPORT: an https:// URL
 *
 * Called from: any thread or task. Blocks: yes. Cancellation point: yes.
 */
int http_fetch(const char *url, struct http_response *ret, conc_deadline deadline);

#endif
