/* SPDX-License-Identifier: MIT
 *
 * program.c: see program.h.
 */
#include "program.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PATIENCE_SECONDS = 60,
    SPARE_DESCRIPTORS = 64, /* for all but a crowd of sockets */
    BODY_MAX = 4096,
};

/* ---- The server ---- */

static void read_port(struct program *program)
{
    conc_stream *output;
    char *line;
    ssize_t n;

    assert_int_equal(conc_stream_new(&output, conc_subprocess_take_fd(program->child, 1), NULL), 0);
    n = conc_stream_read_line(output, &line, conc_in(CONC_S(PATIENCE_SECONDS)));
    if (n <= 0 || strrchr(line, ':') == NULL)
        fail_msg("demo_server has not started");
    program->port = (uint16_t)atoi(strrchr(line, ':') + 1);
    conc_stream_abort(output);
}

void program_start(struct program *program, const char *path)
{
    char parent[16];
    const char *argv[] = {
        path,     "--port", "0", "--with-parent", parent, "--stop-after", "600", "--idle-timeout",
        "600000", NULL};
    conc_subprocess_options options = {.out = CONC_SUBPROCESS_PIPE};

    snprintf(parent, sizeof parent, "%d", (int)getpid());
    program->complaints = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(program->complaints >= 0);
    options.err = program->complaints;
    if (conc_subprocess_start(&program->child, argv, &options) < 0)
        fail_msg("%s", conc_error_message());
    read_port(program);
    assert_int_equal(get_once(program->port, "/status/200"),
                     200); /* whatever begins late is there */
    program->threads = program_threads(program);
    program->descriptors = program_descriptors(program);
    for (int n; (n = program_descriptors(program)) < program->descriptors;)
        program->descriptors = n; /* the connection has gone only now */
}

static void read_complaints(const struct program *program, char *text, size_t size)
{
    ssize_t n = pread(program->complaints, text, size - 1, 0);

    text[n > 0 ? n : 0] = '\0';
}

bool program_has_said(const struct program *program, const char *text)
{
    char complaints[4096];

    read_complaints(program, complaints, sizeof complaints);
    return strstr(complaints, text) != NULL;
}

void program_stop(struct program *program, const char *complaint)
{
    char complaints[4096];
    int status = -1;

    assert_int_equal(conc_subprocess_terminate(program->child), 0);
    assert_int_equal(conc_subprocess_join(program->child, conc_in(CONC_S(PATIENCE_SECONDS))), 0);
    assert_int_equal(conc_subprocess_exitcode(program->child, &status), 0);
    read_complaints(program, complaints, sizeof complaints);
    conc_subprocess_free(program->child);
    close(program->complaints);
    assert_int_equal(status, 0);
    if (complaint == NULL)
        assert_string_equal(complaints, "");
    else
        assert_non_null(strstr(complaints, complaint));
}

static int count_entries(const struct program *program, const char *directory)
{
    char path[64];
    DIR *entries;
    int n = 0;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)conc_subprocess_pid(program->child), directory);
    entries = opendir(path);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(entries);
    return n;
}

int program_threads(const struct program *program) { return count_entries(program, "task"); }
int program_descriptors(const struct program *program) { return count_entries(program, "fd"); }

int64_t program_memory(const struct program *program)
{
    char path[64];
    long long pages = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)conc_subprocess_pid(program->child));
    file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %lld", &pages), 1);
    fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

void program_limit_descriptors(const struct program *program, int most)
{
    const struct rlimit limit = {.rlim_cur = (rlim_t)most, .rlim_max = (rlim_t)most};

    assert_int_equal(prlimit(conc_subprocess_pid(program->child), RLIMIT_NOFILE, &limit, NULL), 0);
}

void program_wait_until_alone(const struct program *program)
{
    const conc_deadline end = conc_in(CONC_S(PATIENCE_SECONDS));

    while (program_descriptors(program) > program->descriptors) {
        if (conc_remaining(end) == 0)
            fail_msg("%d descriptors, %d expected", program_descriptors(program),
                     program->descriptors);
        conc_sleep(CONC_MS(5));
    }
}

void program_wait_for_stat(const struct program *program, const char *name, int64_t least)
{
    const conc_deadline end = conc_in(CONC_S(PATIENCE_SECONDS));
    int64_t is;

    while ((is = get_stat(program->port, name)) < least) {
        if (is < 0 || conc_remaining(end) == 0)
            fail_msg("%s is %lld, not %lld", name, (long long)is, (long long)least);
        conc_sleep(CONC_MS(1));
    }
}

/* ---- Clients ---- */

int sockets_allowed(int n)
{
    struct rlimit limit;
    int most;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    most = limit.rlim_cur > INT32_MAX ? INT32_MAX : (int)limit.rlim_cur;
    return n < most - SPARE_DESCRIPTORS ? n : most - SPARE_DESCRIPTORS;
}

int program_connect(const struct program *program)
{
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int fd = conc_tcp_connect("127.0.0.1", program->port, conc_in(CONC_S(PATIENCE_SECONDS)));

    if (fd < 0)
        fail_msg("%s", conc_error_message());
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

void reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

int get(conc_stream *stream, const char *path, char *body, size_t size)
{
    const conc_deadline deadline = conc_in(CONC_S(PATIENCE_SECONDS));
    char unwanted[BODY_MAX], *head, *field;
    size_t length;
    ssize_t n;
    int err;

    err = conc_stream_printf(stream, deadline, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    if (err == 0)
        err = conc_stream_flush(stream, deadline);
    if (err < 0)
        return err;
    n = conc_stream_read_until(stream, "\r\n\r\n", 4, &head, deadline);
    if (n <= 0)
        return n < 0 ? (int)n : -ECONNRESET;
    head[n - 1] = '\0';
    field = strstr(head, "Content-Length: ");
    length = field != NULL ? (size_t)atoi(field + strlen("Content-Length: ")) : 0;
    if (body == NULL) {
        body = unwanted;
        size = sizeof unwanted;
    }
    if (strncmp(head, "HTTP/1.1 ", 9) != 0 || length >= size)
        return -EPROTO;
    err = atoi(head + 9);
    n = conc_stream_read_exactly(stream, body, length, deadline);
    body[n == 0 ? length : 0] = '\0';
    return n < 0 ? (int)n : err;
}

static int get_from(uint16_t port, const char *path, char *body, size_t size)
{
    conc_stream *stream;
    int status = conc_stream_connect(&stream, "127.0.0.1", port, NULL, conc_in(CONC_S(60)));

    if (status < 0)
        return status;
    status = get(stream, path, body, size);
    conc_stream_abort(stream);
    return status;
}

int get_once(uint16_t port, const char *path) { return get_from(port, path, NULL, 0); }

int64_t get_stat(uint16_t port, const char *name)
{
    char body[BODY_MAX], key[64];
    const char *found;
    int status = get_from(port, "/stats", body, sizeof body);

    snprintf(key, sizeof key, "\"%s\": ", name);
    if (status < 0 || (found = strstr(body, key)) == NULL)
        return status < 0 ? status : -EPROTO;
    return atoll(found + strlen(key));
}
