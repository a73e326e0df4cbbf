/* SPDX-License-Identifier: MIT
 *
 * unobserved.h: errors that no caller has asked for.
 */
#ifndef CONC_LIB_UNOBSERVED_H
#define CONC_LIB_UNOBSERVED_H

/* Pass the error to the hook, or print it on stderr. */
void conc__report_unobserved(int err, const char *message);

#endif
