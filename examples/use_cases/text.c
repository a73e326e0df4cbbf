/* SPDX-License-Identifier: MIT
 *
 * text.c: UTF-8, as RFC 3629 has it: no surrogates, nothing longer than it need be.
 */
#include "use_cases/text.h"

#include <stdlib.h>

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){NULL, 0};
}

size_t utf8_length(const char *bytes, size_t n)
{
    const unsigned char *p = (const unsigned char *)bytes;
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */
    size_t length;
    if (n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (n < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* Also U+0080 to U+009F, which some terminals obey. */
static bool is_control(const char *bytes, size_t length)
{
    const unsigned char *p = (const unsigned char *)bytes;
    return length == 1 ? p[0] < ' ' || p[0] == 0x7f : p[0] == 0xc2 && p[1] < 0xa0;
}

void text_clean(struct text *text)
{
    for (size_t i = 0, length; i < text->size; i += length) {
        length = utf8_length(text->bytes + i, text->size - i);
        if (length > 0 && (text->bytes[i] == '\n' || !is_control(text->bytes + i, length)))
            continue;
        if (length == 0)
            length = 1;
        for (size_t j = 0; j < length; j++)
            text->bytes[i + j] = ' ';
    }
}

void print_escaped(FILE *out, const char *bytes, size_t n)
{
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_length(bytes + i, n - i);
        if (length > 0 && !is_control(bytes + i, length)) {
            if (bytes[i] == '\\')
                putc('\\', out);
            fwrite(bytes + i, 1, length, out);
            continue;
        }
        if (length == 0)
            length = 1;
        if (bytes[i] == '\n')
            fputs("\\n", out);
        else
            for (size_t j = 0; j < length; j++)
                fprintf(out, "\\x%02x", (unsigned char)bytes[i + j]);
    }
}
