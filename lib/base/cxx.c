/* SPDX-License-Identifier: MIT
 *
 * cxx.c: the C++ runtime of the program. The library itself has none, and does not need one.
 *
 * A thread's exceptions belong to the stack that it stands on, so a switch of stacks has to
 * exchange them (task/coroutine.h), and has to know where they lie. The C++ runtime is found
 *
 * - when the library is loaded, if the program has one then (the weak reference);
 * - when C++ code that includes the library's headers is loaded: it tells (conc/base.h). This also
 *   finds a runtime that is linked statically into a plugin;
 * - by a look at what was loaded since the last one: before a loop runs, and in each of its turns.
 *   So C++ that knows nothing of the library is noticed when a program in C has loaded it. (Not in
 *   the same turn: a task that loads it and at once blocks in one of its catch blocks is too
 *   early.)
 *
 * The first that is found is the one: of two C++ runtimes in one program the exceptions of the
 * second are not exchanged.
 *
 * Fences: the library is compiled with -fexceptions, so a cleanup function runs when an exception,
 * pthread_exit() or pthread_cancel() unwinds its frame. A call whose sudden end would leave a loop
 * or a primitive in the middle of something has such a cleanup around it, which ends the program.
 * While the call goes well this costs nothing.
 *
 * Order: the pointers are set once each, to functions that are there; relaxed.
 */
#include "base/cxx.h"

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <conc/base.h>

#include "base/atomic.h"
#include "base/quiet.h"

#pragma weak dlopen
#pragma weak dlsym

/* std::terminate() */
#define TERMINATE "_ZSt9terminatev"

struct conc__cxa_globals *__cxa_get_globals(void) __attribute__((weak));
void cxx_terminate(void) __asm__(TERMINATE) __attribute__((weak));

cxx_get_globals_fn *conc__cxx_get_globals = __cxa_get_globals;
static conc__cxx_terminate_fn *terminate_fn = cxx_terminate;

void conc__cxx_is_here(conc__cxx_globals_fn *get_globals, conc__cxx_terminate_fn *terminate)
{
    if (!load_relaxed(&conc__cxx_get_globals))
        store_relaxed(&conc__cxx_get_globals, (cxx_get_globals_fn *)(void (*)(void))get_globals);
    if (!load_relaxed(&terminate_fn))
        store_relaxed(&terminate_fn, terminate);
}

/* ---- Looking ---- */

static int cxx_count_loads(struct dl_phdr_info *object, size_t size, void *adds)
{
    (void)size;
    *(uint64_t *)adds = object->dlpi_adds;
    return 1; /* it is the same for all */
}

enum { RUNTIMES_MAX = 8, NAME_MAX_BYTES = 4096 };

struct cxx_names {
    size_t n;
    char *names[RUNTIMES_MAX]; /* of objects that may be a C++ runtime; owned */
};

/* Only names: the list must not change while it is walked. */
static int cxx_note_runtime(struct dl_phdr_info *object, size_t size, void *arg)
{
    struct cxx_names *found = arg;
    (void)size;
    if (strstr(object->dlpi_name, "libstdc++.so") || strstr(object->dlpi_name, "libc++abi.so"))
        found->names[found->n] = strndup(object->dlpi_name, NAME_MAX_BYTES);
    if (found->names[found->n])
        found->n++;
    return found->n == RUNTIMES_MAX;
}

/* It is never closed: its functions are in use. */
static void cxx_take_runtime(const char *name)
{
    void *object = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (!object)
        return;
    void *get_globals = dlsym(object, "__cxa_get_globals");
    if (get_globals)
        conc__cxx_is_here((conc__cxx_globals_fn *)get_globals,
                          (conc__cxx_terminate_fn *)dlsym(object, TERMINATE));
    else
        dlclose(object);
}

void conc__cxx_look(void)
{
    static uint64_t adds_before; /* atomic */
    uint64_t adds = 0;
    if (load_relaxed(&conc__cxx_get_globals) || !dlopen || !dlsym)
        return;
    dl_iterate_phdr(cxx_count_loads, &adds);
    if (adds == load_relaxed(&adds_before)) /* relaxed: a hint */
        return;
    store_relaxed(&adds_before, adds);
    struct cxx_names found = {.n = 0};
    dl_iterate_phdr(cxx_note_runtime, &found);
    for (size_t i = 0; i < found.n; i++) {
        if (!load_relaxed(&conc__cxx_get_globals))
            cxx_take_runtime(found.names[i]);
        free(found.names[i]);
    }
}

/* ---- Fences ---- */

bool conc__cxx_is_throwing(void)
{
    conc__cxx_look(); /* it may have been loaded since, and no loop have run */
    cxx_get_globals_fn *get_globals = load_relaxed(&conc__cxx_get_globals);
    return get_globals && get_globals()->uncaught > 0;
}

void conc__fence_broken(const char *what)
{
    conc__report(
        "libconc: a C++ exception, pthread_exit() or pthread_cancel() has left %s, which it "
        "must not\n",
        what);
    conc__cxx_terminate_fn *terminate = load_relaxed(&terminate_fn);
    if (terminate)
        terminate();
    abort();
}
