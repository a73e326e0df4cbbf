/* SPDX-License-Identifier: MIT
 *
 * demo.c: a demo server inside the test program; raw sockets.
 */
#include "demo.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/json.h"

enum { PATIENCE_SECONDS = 20 };

void demo_start(struct demo *demo, const struct server_options *options, const char *model,
                size_t workers)
{
    const struct server_options none = {0};

    if (server_model_make(&demo->model, model != NULL ? model : "tasks", workers) < 0)
        fail_msg("%s", conc_error_message());
    if (server_new(&demo->server, options != NULL ? options : &none, &demo->model) < 0)
        fail_msg("server_new: %s", conc_error_message());
    assert_int_equal(server_start(demo->server), 0);
}

void demo_stop(struct demo *demo, int64_t grace)
{
    server_stop(demo->server, grace);
    server_free(demo->server);
    server_model_free(&demo->model);
}

int demo_get(const struct demo *demo, const char *path, char *body, size_t size)
{
    struct http_response response;
    char url[HTTP_URL_MAX];
    int status;

    snprintf(url, sizeof url, "%s%s", server_url(demo->server), path);
    if (http_get(url, &response, conc_in(CONC_S(PATIENCE_SECONDS))) < 0)
        fail_msg("%s", conc_error_message());
    status = response.status;
    if (body != NULL)
        snprintf(body, size, "%s", response.body);
    http_response_free(&response);
    return status;
}

int64_t demo_stat(const struct demo *demo, const char *name)
{
    char url[256], part[32];
    json_t *stats, *value;
    const char *dot = strchr(name, '.');
    int64_t number;

    snprintf(url, sizeof url, "%s/stats", server_url(demo->server));
    if (http_get_json(url, NULL, &stats, conc_in(CONC_S(PATIENCE_SECONDS))) < 0)
        fail_msg("%s", conc_error_message());
    snprintf(part, sizeof part, "%.*s", (int)(dot != NULL ? dot - name : 31), name);
    value = json_object_get(stats, part);
    if (dot != NULL)
        value = json_object_get(value, dot + 1);
    number = json_integer_value(value);
    json_decref(stats);
    return number;
}

int demo_connect(const struct demo *demo)
{
    const char *port = strrchr(server_url(demo->server), ':') + 1;
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

/* The server may have closed already and not take it: that is no failure of the test. */
void raw_send(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return;
        text += sent;
        n -= (size_t)sent;
    }
}

char *raw_read_all(int fd)
{
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);
    ssize_t n;

    assert_non_null(text);
    while ((n = recv(fd, text + size, room - 1 - size, 0)) > 0) {
        size += (size_t)n;
        assert_true(size < room - 1);
    }
    if (n < 0 && errno != ECONNRESET)
        fail_msg("no end of the answer: %s", strerror(errno));
    text[size] = '\0';
    return text;
}

int raw_read_answer(int fd, char *text, size_t size)
{
    size_t length = 0, body = 0, have = 0;
    char c;

    /* Byte by byte, so that nothing of the next answer is taken. */
    while (recv(fd, &c, 1, 0) == 1) {
        if (length + 1 < size)
            text[length++] = c;
        text[length] = '\0';
        if (length >= 4 && strcmp(text + length - 4, "\r\n\r\n") == 0) {
            const char *header = strstr(text, "Content-Length: ");

            body = header != NULL ? (size_t)atoi(header + strlen("Content-Length: ")) : 0;
            while (have < body && recv(fd, &c, 1, 0) == 1) {
                have++;
                if (length + 1 < size)
                    text[length++] = c;
                text[length] = '\0';
            }
            return strncmp(text, "HTTP/1.1 ", 9) == 0 ? atoi(text + 9) : -1;
        }
    }
    return 0;
}

int count_of(const char *text, const char *needle)
{
    int count = 0;

    while ((text = strstr(text, needle)) != NULL) {
        count++;
        text += strlen(needle);
    }
    return count;
}
