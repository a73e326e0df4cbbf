/* SPDX-License-Identifier: MIT
 *
 * invariant.h: what only a mistake of libconc's own can break. It is checked in release builds too:
 * the checks are a comparison each, and going on would corrupt a program's data.
 *
 *     invariant(node->list == NULL, "a node that is pushed is on no list");
 *
 * What a caller, a peer or the system can cause is no invariant: that is an error to be returned.
 */
#ifndef CONC_LIB_BASE_INVARIANT_H
#define CONC_LIB_BASE_INVARIANT_H

#define invariant(holds, text)                                \
    do {                                                      \
        if (__builtin_expect(!(holds), 0))                    \
            conc__invariant_broken(__FILE__, __LINE__, text); \
    } while (0)

/* Print "libconc: FILE:LINE: broken: TEXT" on stderr, and end the program (SIGABRT). Takes no
 * memory and no lock. */
void conc__invariant_broken(const char *file, int line, const char *text)
    __attribute__((noreturn, cold));

/* The program has made a mistake after which no call could report an error, and going on would
 * corrupt its data: print "libconc: TEXT" on stderr, and end the program in the same way. */
void conc__misuse(const char *text) __attribute__((noreturn, cold));

#endif
