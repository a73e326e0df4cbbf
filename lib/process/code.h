/* SPDX-License-Identifier: MIT
 *
 * code.h: naming a function so that another process of the same program finds it, wherever things
 * lie there: by the object (program or library) and the place in it.
 */
#ifndef CONC_LIB_CODE_H
#define CONC_LIB_CODE_H

#include <limits.h>
#include <stdint.h>

#include <conc/base.h>

struct code_place {
    uintptr_t base;      /* the object's, in this process */
    char path[PATH_MAX]; /* the object's; "": the program itself */
};

/* In which object a function lies: 0; -EINVAL: in none. */
int conc__code_find(conc_fn *fn, struct code_place *ret);

/* Where an object lies in this process; it is loaded if it is not there. 0, or an error with a
 * message. */
int conc__code_base(const char *path, uintptr_t *ret);

static inline conc_fn *code_at(uintptr_t base, uint64_t offset)
{
    return (conc_fn *)(base + (uintptr_t)offset);
}

/* Run the constructors of the program itself, of which none has run. */
void conc__code_construct(int argc, char **argv, char **env);

/* Is libconc a shared library, or a part of the program? */
bool conc__code_is_shared(void);

#endif
