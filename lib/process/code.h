/* SPDX-License-Identifier: MIT
 *
 * code.h: naming a function so that another process of the same program finds it, wherever code
 * lies there: by its object (the program or a library) and the place in the object.
 */
#ifndef CONC_LIB_PROCESS_CODE_H
#define CONC_LIB_PROCESS_CODE_H

#include <limits.h>
#include <stdint.h>

#include <conc/base.h>

struct code_place {
    uintptr_t base;      /* the object's, in this process */
    char path[PATH_MAX]; /* the object's; "": the program itself */
};

/* Find the object in which a function lies: 0; -EINVAL: there is none. */
int conc__code_find(conc_fn *fn, struct code_place *ret);

/* Find where an object lies in this process; it is loaded if it is not there. 0, or an error with
 * a message. */
int conc__code_base(const char *path, uintptr_t *ret);

static inline conc_fn *code_at(uintptr_t base, uint64_t offset)
{
    return (conc_fn *)(base + (uintptr_t)offset);
}

/* Run the constructors of the program itself. None of them may have run. */
void conc__code_construct(int argc, char **argv, char **env);

/* Is libconc a shared library, or a part of the program? */
bool conc__code_is_shared(void);

#endif
