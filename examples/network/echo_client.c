/* SPDX-License-Identifier: MIT
 *
 * echo_client.c: the smallest client: it sends its operands to echo_server, a line each, and prints
 * what comes back.
 *
 * Watch: there is one deadline for the whole conversation; whichever call meets it, the program
 * says so. The same code would run in a thread: only main() knows that it is a task.
 */
#include <conc.h>
#include <stdio.h>

#include "support/listing.h"

static const char *address = "127.0.0.1";
static int64_t port = 7777, timeout = CONC_S(10);
static char **words; /* ended by NULL */

static int say(conc_stream *stream, const char *word, conc_deadline deadline)
{
    char *line;
    int err = conc_stream_printf(stream, deadline, "%s\n", word);
    if (!err)
        err = conc_stream_flush(stream, deadline);
    if (err)
        return err;
    ssize_t n = conc_stream_read_line(stream, &line, deadline);
    if (n == 0)
        return conc_raise(-ECONNRESET, "the server has hung up");
    if (n > 0)
        printf("%s", line);
    return n < 0 ? (int)n : 0;
}

static int talk(void *arg, void *result)
{
    const conc_deadline deadline = conc_in(timeout);
    conc_stream *stream;
    int err = conc_stream_connect(&stream, address, (uint16_t)port, NULL, deadline);
    if (err)
        return err;
    for (char **word = words; *word && !err; word++)
        err = say(stream, *word, deadline);
    int closed = conc_stream_close(stream, deadline);
    return err ? err : closed;
}

int main(int argc, char **argv)
{
    const struct option_spec options[] = {
        {"address", OPTION_TEXT, &address, "HOST", 0, 0, "the server's (default: 127.0.0.1)"},
        {"port", OPTION_INTEGER, &port, "N", 1, 65535, "the server's (default: 7777)"},
        OPTION_ROW_TIMEOUT(&timeout),
        {.name = NULL},
    };
    const struct program program = {
        .about = "Send words to the echo server.", .operands = "[WORD ...]", .options = options};
    words = argv + options_parse(argc, argv, &program);
    return exit_status(conc_run(talk, NULL, 0, NULL, 0));
}
