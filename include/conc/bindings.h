/* SPDX-License-Identifier: MIT
 *
 * conc/bindings.h: what a binding to another language cannot take from the headers: how much memory
 * a struct takes that its user has to make room for.
 *
 *     size_t align, size = conc_struct_size("conc_lock", &align);
 *
 * Options are structs too: zeroed, they are the defaults, also those that a later version adds.
 */
#ifndef CONC_BINDINGS_H
#define CONC_BINDINGS_H

#include <conc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The size of a public struct, in the library that is linked.
 *
 * @param name   "conc_lock", "conc_queue", "conc_task_options" ...; borrowed
 * @param align  gives its alignment, in bytes; untouched if there is no such struct; NULL: not
 *               wanted
 * @return bytes; 0: there is no such struct
 *
 * Python: ctypes.sizeof(), ctypes.alignment()
 * [anywhere | no | no]
 */
CONC_API size_t conc_struct_size(const char *name, size_t *align);

#ifdef __cplusplus
}
#endif
#endif
