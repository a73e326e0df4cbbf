/* SPDX-License-Identifier: MIT
 *
 * stay.c: the code of the library is never unmapped.
 *
 * A program may load something that uses libconc, use it, and unload it. But the library's own
 * threads, the ends of threads that have called it, signal handlers, and forks come back to its
 * code. So the shared library is linked with -z nodelete. A copy that is linked statically into
 * what is loaded (a plugin) makes that stay too: the dynamic linker is asked to keep the object
 * that this code is in.
 *
 * All of this is looked up weakly: in a program that is linked statically there is nothing to do.
 */
#include "base/stay.h"

#include <dlfcn.h>
#include <link.h>
#include <stddef.h>

#pragma weak dladdr1
#pragma weak dlopen

/* Never closed, as that is what it is for. It is open already: the name is only compared. */
void conc__stay_loaded(void)
{
    Dl_info info;
    struct link_map *object = NULL;
    if (!dladdr1 || !dlopen ||
        !dladdr1((void *)conc__stay_loaded, &info, (void **)&object, RTLD_DL_LINKMAP))
        return;
    if (object && object->l_name && *object->l_name) /* else it is the program itself */
        dlopen(object->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}
