/* SPDX-License-Identifier: MIT
 *
 * cxx.h: the C++ runtime of the program, if there is one; and fences around calls that no C++
 * exception may leave. See cxx.c.
 */
#ifndef CONC_LIB_CXX_H
#define CONC_LIB_CXX_H

#include <stdbool.h>
#include <stddef.h>

/* What C++ keeps for a thread about its exceptions: those that it handles, and how many are on
 * their way. The layout is that of the Itanium C++ ABI. */
struct conc__cxa_globals {
    void *caught;
    unsigned uncaught;
#ifdef __ARM_EABI_UNWINDER__
    void *propagating;
#endif
};

/* Where they lie for the calling thread. NULL: no C++ runtime is known. Atomic. */
typedef struct conc__cxa_globals *cxx_get_globals_fn(void);
extern cxx_get_globals_fn *conc__cxx_get_globals;

/* Look for a C++ runtime, if none is known and something was loaded since the last look. May
 * allocate. */
void conc__cxx_look(void);

/* ---- Fences ---- */

/* An exception, or the end of the thread, has left a call that it must not leave: print that, and
 * end the program as C++ does, by std::terminate(). */
void conc__fence_broken(const char *what) __attribute__((noreturn, cold));

struct fence {
    const char *what; /* NULL: the call has returned */
};

static inline void fence_leave(const struct fence *fence)
{
    if (fence->what)
        conc__fence_broken(fence->what);
}

/* Make the call, "a callback of a loop": code of the program's in the middle of the library's. */
#define FENCED(text, call)                                                           \
    do {                                                                             \
        struct fence fence_around_it __attribute__((cleanup(fence_leave))) = {text}; \
        call;                                                                        \
        fence_around_it.what = NULL;                                                 \
    } while (0)

/* Is a C++ exception on its way through the calling thread's stack? */
bool conc__cxx_is_throwing(void);

static inline void fence_leave_thrown(const struct fence *fence)
{
    if (fence->what && conc__cxx_is_throwing())
        conc__fence_broken(fence->what);
}

/* The same for a call that may end its thread: what stands around it is made for that. */
#define FENCED_FROM_EXCEPTIONS(text, call)                                                  \
    do {                                                                                    \
        struct fence fence_around_it __attribute__((cleanup(fence_leave_thrown))) = {text}; \
        call;                                                                               \
        fence_around_it.what = NULL;                                                        \
    } while (0)

#endif
