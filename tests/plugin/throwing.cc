/* SPDX-License-Identifier: MIT
 *
 * throwing.cc: C++ code that a program in C loads. With WITH_LIBCONC it includes the library's
 * headers, else it knows nothing of it.
 */
#ifdef WITH_LIBCONC
#include <conc.h>
#endif

#include <stdexcept>
#include <string>

#include "throwing.h"

/* Handle an exception while other code runs; is it still there afterwards? */
extern "C" int throwing_keeps_its_own(const char *name, void (*block)(void))
{
    try {
        try {
            throw std::runtime_error(name);
        } catch (const std::exception &) {
            block();
            throw; /* the one that is handled here */
        }
    } catch (const std::exception &e) {
        return e.what() == std::string(name);
    }
    return 0;
}

extern "C" int throwing_throws(void) { throw std::runtime_error("boom"); }

/* Not everything that is thrown: a thread that ends goes on. */
extern "C" int throwing_catches(int (*fn)(void))
{
    try {
        return fn();
    } catch (const std::exception &) {
        return 77;
    }
}
