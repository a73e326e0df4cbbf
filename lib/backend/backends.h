/* SPDX-License-Identifier: MIT
 *
 * backends.h: the two backends that there are: uring/uring.c and epoll.c.
 */
#ifndef CONC_LIB_BACKEND_BACKENDS_H
#define CONC_LIB_BACKEND_BACKENDS_H

#include "op/backend.h"

extern const struct backend conc__uring, conc__epoll;

#endif
