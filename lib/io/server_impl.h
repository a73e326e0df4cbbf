/* SPDX-License-Identifier: MIT
 *
 * server_impl.h: what server_serve.c needs of server.c.
 */
#ifndef CONC_LIB_SERVER_IMPL_H
#define CONC_LIB_SERVER_IMPL_H

#include <conc/server.h>

/* Wait until the accepting has ended. Returns why it has: an error; or -ETIMEDOUT, -ECANCELED. */
int conc__server_wait(conc_server *server, conc_deadline deadline);

#endif
