/* SPDX-License-Identifier: MIT
 *
 * stay.h: the code of the library is never unmapped; see stay.c.
 */
#ifndef CONC_LIB_STAY_H
#define CONC_LIB_STAY_H

/* Have the shared object that the library is in kept, whatever the program unloads. To be called
 * once, when it is loaded. */
void conc__stay_loaded(void);

#endif
