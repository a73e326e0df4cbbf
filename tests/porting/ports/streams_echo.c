/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <ctype.h>
#include <stdio.h>

static int echo(conc_stream *stream, void *arg)
{
    char *line;
    ssize_t n;
    while ((n = conc_stream_read_line(stream, &line, CONC_FOREVER)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            line[i] = (char)toupper((unsigned char)line[i]);
        int err = conc_stream_write(stream, line, (size_t)n, CONC_FOREVER);
        if (!err)
            err = conc_stream_flush(stream, CONC_FOREVER);
        if (err)
            return err;
    }
    return (int)n; /* the return closes the stream */
}

/* Send a word, and print the answer. */
static int ask(conc_stream *stream, const char *word)
{
    conc_deadline deadline = conc_in(CONC_S(60)); /* for all three calls */
    char *line;
    int err = conc_stream_printf(stream, deadline, "%s\n", word);
    if (!err)
        err = conc_stream_flush(stream, deadline);
    ssize_t n = err ? err : conc_stream_read_line(stream, &line, deadline);
    if (n <= 0)
        return n < 0 ? (int)n : -ENODATA;
    printf("%s: %s", word, line);
    return 0;
}

static int client(uint16_t port)
{
    static const char *const words[] = {"one", "two", "three"};
    conc_stream *stream;
    int err = conc_stream_connect(&stream, "127.0.0.1", port, NULL, conc_in(CONC_S(60)));
    if (err)
        return err;
    for (int i = 0; !err && i < 3; i++)
        err = ask(stream, words[i]);
    if (!err)
        err = conc_stream_write_eof(stream, CONC_FOREVER);
    char rest[16];
    ssize_t n = err ? err : conc_stream_read(stream, rest, sizeof rest, CONC_FOREVER);
    if (n >= 0)
        printf("then: b'%.*s'\n", (int)n, rest);
    conc_stream_close(stream, CONC_FOREVER);
    return n < 0 ? (int)n : 0;
}

static int main_task(void *arg, void *result)
{
    int fd = conc_tcp_listen("127.0.0.1", 0, 0);
    if (fd < 0)
        return fd;
    conc_server *server;
    int err = conc_server_start(&server, fd, echo, NULL, NULL);
    if (err) {
        conc_close(fd);
        return err;
    }
    err = client((uint16_t)conc_server_port(server));
    conc_server_free(server);
    return err;
}

int main(void)
{
    int err = conc_run(main_task, NULL, 0, NULL, 0);
    if (err)
        fprintf(stderr, "streams_echo: %s\n", conc_describe(err));
    return err ? 1 : 0;
}
