/* SPDX-License-Identifier: MIT
 *
 * text.h: bytes of unknown origin as text: what converters print, and names of files, which may be
 * any bytes but '/' and zero.
 */
#ifndef EXAMPLES_TEXT_H
#define EXAMPLES_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct text {
    char *bytes; /* owned; NULL: none */
    size_t size;
};

/** Free the bytes; it is empty then. */
void text_free(struct text *text);

/** The length of the character of UTF-8 at the beginning of n bytes; 0: there is none. */
size_t utf8_length(const char *bytes, size_t n);

/** Put a space in the place of each byte that is not UTF-8, or that controls a terminal. */
void text_clean(struct text *text);

/** Print bytes on a line: what is no UTF-8, or controls a terminal, as \n or \x1b, a backslash
 * doubled. So different names look different. */
void print_escaped(FILE *out, const char *bytes, size_t n);

#endif
