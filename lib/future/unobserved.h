/* SPDX-License-Identifier: MIT
 *
 * unobserved.h: errors that nobody looked at.
 */
#ifndef CONC_LIB_UNOBSERVED_H
#define CONC_LIB_UNOBSERVED_H

/* Tell the hook, or stderr. */
void conc__report_unobserved(int err, const char *message);

#endif
