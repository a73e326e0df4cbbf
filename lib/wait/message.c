/* SPDX-License-Identifier: MIT
 *
 * message.c: the message that an error carries. It belongs to the context that raised it, with the
 * error it was raised with, so that the message of an error that was handled is not taken for that
 * of another number.
 */
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "wait/context.h"

/* The context's buffer; NULL: out of memory. */
static char *message_buffer(struct conc_context *self)
{
    if (!self->message)
        self->message = alloc_bytes(CONC_MESSAGE_MAX);
    return self->message;
}

int conc_raise(int err, const char *fmt, ...)
{
    struct conc_context *self = context_self();
    char text[CONC_MESSAGE_MAX]; /* a copy: the arguments may include the old message */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    conc__set_message(self, err, text);
    return err;
}

void conc__set_message(struct conc_context *self, int err, const char *message)
{
    self->message_err = 0;
    if (message && *message && message_buffer(self)) {
        size_t n = strnlen(message, CONC_MESSAGE_MAX - 1);
        memmove(self->message, message, n);
        self->message[n] = '\0';
        self->message_err = err;
    }
}

const char *conc__message_for(const struct conc_context *self, int err)
{
    return self->message_err == err && err != 0 ? self->message : NULL;
}

const char *conc_error_message(void)
{
    struct conc_context *self = context_self();
    return self->message_err ? self->message : "";
}

const char *conc_describe(int err)
{
    const struct conc_context *self = context_self();
    const char *message = conc__message_for(self, err);
    if (!message && err > 0)
        message = conc__message_for(self, -err);
    return message ? message : conc_strerror(err);
}
