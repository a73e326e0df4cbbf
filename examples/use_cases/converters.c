/* SPDX-License-Identifier: MIT
 *
 * converters.c: a converter is a child program that is told a file's name and prints text.
 *
 * It is not trusted to end, nor to be brief: it is given a deadline, and no more of its output is
 * read than is wanted. Then it is killed, with all of its own children: it runs in a process group
 * of its own (to which a terminal's Ctrl-C does not go; the indexer ends it).
 */
#include "use_cases/converters.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    ROOM_FIRST = 4096, /* bytes for a text, to begin with */
    SNIFFED = 4096,    /* bytes of a file, to see whether it is text */
};

const char FILE_NAME[] = "FILE";

#define TYPES(...) ((const char *const[]){__VA_ARGS__, NULL})

const struct kind KIND[KINDS] = {
    {
        .name = "text",
        .types = TYPES("text/", "inode/x-empty", "application/json", "application/javascript",
                       "application/xml", "application/x-ndjson", "message/rfc822"),
        .read = true,
    },
    {
        .name = "PDF",
        .types = TYPES("application/pdf"),
        .program = {"pdftotext", "-q", "-enc", "UTF-8", FILE_NAME, "-"},
    },
    {
        .name = "OpenDocument",
        .types = TYPES("application/vnd.oasis.opendocument."),
        .program = {"odt2txt", "--encoding=UTF-8", FILE_NAME},
    },
    {
        .name = "gzip", /* the name of what is in it, and its size */
        .types = TYPES("application/gzip", "application/x-gzip"),
        .program = {"gzip", "-l", FILE_NAME},
    },
    {
        .name = "zip", /* the names of what is in it */
        .types = TYPES("application/zip", "application/java-archive"),
        .program = {"unzip", "-l", FILE_NAME},
    },
    {.name = "other"},
};

size_t kind_of(const char *type)
{
    for (size_t i = 0; i < KINDS; i++)
        for (const char *const *t = KIND[i].types; t != NULL && *t != NULL; t++)
            if (strncmp(type, *t, strlen(*t)) == 0)
                return i;
    return KINDS - 1;
}

/* ---- Reading up to so many bytes ---- */

/* Make room for more bytes, up to `max` in all. */
static int grow(struct text *text, size_t *room, size_t max)
{
    size_t more = *room == 0 ? ROOM_FIRST : 2 * *room;
    if (more > max)
        more = max;
    char *bytes = realloc(text->bytes, more);
    if (bytes == NULL)
        return -ENOMEM;
    text->bytes = bytes;
    *room = more;
    return 0;
}

/* Read all, but no more than `max` bytes, which are at least 1. @return 1: that was not all; 0; or
 * an error, and no text */
static int read_up_to(int fd, size_t max, struct text *ret, conc_deadline deadline)
{
    struct text text = {NULL, 0};
    size_t room = 0;
    for (;;) {
        ssize_t n = text.size == room ? grow(&text, &room, max) : 0;
        if (n == 0)
            n = conc_read(fd, text.bytes + text.size, room - text.size, deadline);
        if (n < 0) {
            text_free(&text);
            return (int)n;
        }
        text.size += (size_t)n;
        if (n == 0 || text.size == max) {
            *ret = text;
            return n != 0;
        }
    }
}

/* ---- Running a program ---- */

/* How a program has ended, as an error. */
static int check_status(const char *name, int status)
{
    if (status > 0)
        return conc_raise(-EIO, "%s ended with status %d", name, status);
    if (status < 0)
        return conc_raise(-EIO, "%s was ended by signal %d (%s)", name, -status,
                          strsignal(-status));
    return 0;
}

/* Why a program could not be run to its end. */
static int explain(const char *name, int err, int64_t timeout)
{
    if (err == -ECANCELED)
        return err;
    if (err == -ETIMEDOUT)
        return conc_raise(err, "%s has not ended within %.3g s: killed", name,
                          (double)timeout / (double)CONC_S(1));
    return conc_raise(err, "%s: %s", name, conc_strerror(err));
}

/* Read what a child prints, and wait for its end, but not if that is more than is wanted. *ended:
 * it need not be killed. @return 0, its status, or an error */
static int read_child(conc_subprocess *child, size_t max, struct text *text, bool *ended,
                      int *status, conc_deadline deadline)
{
    *ended = false;
    *status = 0;
    int err = read_up_to(conc_subprocess_stdout(child), max, text, deadline);
    if (err != 0)
        return err < 0 ? err : 0;
    err = conc_subprocess_join(child, deadline);
    *ended = !err;
    if (!err)
        err = conc_subprocess_exitcode(child, status);
    if (err)
        text_free(text);
    return err;
}

/* Run a program, and take what it prints, up to `max` bytes. */
static int run_program(const char *const *argv, size_t max, struct text *ret,
                       conc_deadline deadline)
{
    const conc_subprocess_options options = {
        .in = CONC_SUBPROCESS_NULL,
        .out = CONC_SUBPROCESS_PIPE,
        .err = CONC_SUBPROCESS_NULL,
        .new_group = true,
    };
    conc_subprocess *child;
    struct text text;
    int64_t timeout = conc_remaining(deadline);
    bool ended;
    int status, err = conc_check_cancel();
    if (!err)
        err = conc_subprocess_start(&child, argv, &options);
    if (err == -ENOENT || err == -EACCES)
        return err; /* there is a message */
    if (err)
        return explain(argv[0], err, timeout);
    err = read_child(child, max, &text, &ended, &status, deadline);
    if (!ended) /* nobody has waited for it: its number is still its own */
        kill(-conc_subprocess_pid(child), SIGKILL);
    conc_subprocess_free(child);
    if (err)
        return explain(argv[0], err, timeout);
    err = check_status(argv[0], status);
    if (err)
        text_free(&text);
    else
        *ret = text;
    return err;
}

/* ---- Types ---- */

int identify(const char *const *paths, size_t n, char types[][TYPE_MAX], conc_deadline deadline)
{
    const char *argv[FILES_MAX + 5] = {"file", "--brief", "--mime-type", "--"};
    struct text text;
    char answers[FILES_MAX][TYPE_MAX] = {{0}};
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        argv[4 + i] = paths[i];
    int err = run_program(argv, n * TYPE_MAX, &text, deadline);
    if (err)
        return err;
    for (size_t at = 0; at < text.size; lines++) {
        const char *line = text.bytes + at, *end = memchr(line, '\n', text.size - at);
        size_t length = end != NULL ? (size_t)(end - line) : text.size - at;
        if (lines < n)
            snprintf(answers[lines], TYPE_MAX, "%.*s", (int)length, line);
        at += length + 1;
    }
    text_free(&text);
    if (lines != n)
        return conc_raise(-EIO, "file gave %zu types of %zu files", lines, n);
    memcpy(types, answers, n * sizeof *types);
    return 0;
}

/* What cannot be read is taken for text: its converter will find that out, and say so. */
static bool is_text(const char *path, conc_deadline deadline)
{
    struct text text;
    int fd = conc_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, deadline);
    if (fd < 0)
        return true;
    bool cut = false, good = true;
    int err = read_up_to(fd, SNIFFED, &text, deadline);
    conc_close(fd);
    if (err < 0)
        return true;
    cut = err > 0;
    for (size_t i = 0, length; good && i < text.size; i += length) {
        length = utf8_length(text.bytes + i, text.size - i);
        good = text.bytes[i] != '\0' && length > 0;
        if (length == 0 && cut && text.size - i < 4)
            good = true; /* perhaps a character that has been cut in two */
        if (length == 0)
            length = 4;
    }
    text_free(&text);
    return good;
}

void guess_type(const char *path, char type[TYPE_MAX], conc_deadline deadline)
{
    static const struct {
        const char *end, *type;
    } NAMES[] = {
        {".pdf", "application/pdf"},
        {".odt", "application/vnd.oasis.opendocument.text"},
        {".ods", "application/vnd.oasis.opendocument.spreadsheet"},
        {".odp", "application/vnd.oasis.opendocument.presentation"},
        {".gz", "application/gzip"},
        {".zip", "application/zip"},
    };
    const char *guess = NULL;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t n = strlen(NAMES[i].end), length = strlen(path);
        if (length > n && strcasecmp(path + length - n, NAMES[i].end) == 0)
            guess = NAMES[i].type;
    }
    if (guess == NULL)
        guess = is_text(path, deadline) ? "text/plain" : "application/octet-stream";
    snprintf(type, TYPE_MAX, "%s", guess);
}

/* ---- Text ---- */

static int read_file(const char *path, size_t max, struct text *text, conc_deadline deadline)
{
    struct stat st;
    int fd = conc_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, deadline);
    if (fd < 0)
        return conc_raise(fd, "cannot be read: %s", conc_strerror(fd));
    int err = fstat(fd, &st) == 0 ? 0 : -errno;
    if (!err && !S_ISREG(st.st_mode))
        err = -ESTALE; /* what was a file is a fifo now */
    if (!err)
        err = read_up_to(fd, max, text, deadline);
    conc_close(fd);
    if (err < 0 && err != -ECANCELED)
        return conc_raise(err, "cannot be read: %s", conc_strerror(err));
    return err < 0 ? err : 0;
}

int convert(const struct kind *kind, const char *path, size_t max, struct text *text,
            conc_deadline deadline)
{
    struct text made = {NULL, 0};
    const char *argv[ARGUMENTS + 1] = {NULL};
    int err = 0;
    for (size_t i = 0; i < ARGUMENTS && kind->program[i] != NULL; i++)
        argv[i] = kind->program[i] == FILE_NAME ? path : kind->program[i];
    if (argv[0] != NULL)
        err = run_program(argv, max, &made, deadline);
    else if (kind->read)
        err = read_file(path, max, &made, deadline);
    if (err)
        return err;
    text_clean(&made);
    *text = made;
    return 0;
}
