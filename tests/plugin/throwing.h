/* SPDX-License-Identifier: MIT
 *
 * throwing.h: what throwing.cc has for a program in C.
 */
#ifndef CONC_TESTS_THROWING_H
#define CONC_TESTS_THROWING_H

#ifdef __cplusplus
extern "C" {
#endif

typedef int throwing_keeps_fn(const char *name, void (*block)(void));
typedef int throwing_throws_fn(void);
typedef int throwing_catches_fn(int (*fn)(void));

throwing_keeps_fn throwing_keeps_its_own;
throwing_throws_fn throwing_throws;
throwing_catches_fn throwing_catches;

#ifdef __cplusplus
}
#endif
#endif
