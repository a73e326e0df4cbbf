/* SPDX-License-Identifier: MIT
 *
 * net_client.c: the client, the same for all servers: one thread, epoll, and as few system calls as
 * it can do with, so that the server is what is measured.
 *
 * A connection sends, and looks again only when something has come back. Its socket is in blocking
 * mode: on the loopback device a connect is over when it returns, and the rest has MSG_DONTWAIT.
 *
 * With `once` a connection is over when the server has closed it, so that it is the server's
 * address that the kernel keeps in TIME-WAIT: each server has another port, so that does no harm.
 */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

enum { EVENTS = 512, SAMPLES_MAX = 1 << 20 };

/* How long the server may be kept from running by others, on a very busy machine. */
#define PATIENCE_NS INT64_C(10000000000)

struct connection {
    int fd;
    size_t got;   /* bytes of the message that comes back */
    int64_t sent; /* when the last one was sent; with `once`: when it began to connect */
};

struct client {
    const struct load *load;
    struct sockaddr_in address;
    int epoll;
    struct connection *connections;
    bool measures; /* it has warmed up */
    uint64_t answers;
    uint32_t *samples; /* ns */
    size_t n_samples;
};

static int64_t now_ns(clockid_t id)
{
    struct timespec t;
    must(clock_gettime(id, &t), "clock_gettime");
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void send_message(struct connection *c)
{
    static const char message[MESSAGE_SIZE];
    ssize_t n = send(c->fd, message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
    must(n != sizeof message, "send");
}

static void begin_connection(struct client *client, struct connection *c)
{
    const int on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    c->got = 0;
    c->sent = now_ns(CLOCK_MONOTONIC);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(c->fd < 0, "socket");
    must(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    must(connect(c->fd, (struct sockaddr *)&client->address, sizeof client->address) ? errno : 0,
         "connect");
    must(epoll_ctl(client->epoll, EPOLL_CTL_ADD, c->fd, &event), "epoll_ctl");
    send_message(c);
}

static void count_answer(struct client *client, struct connection *c, int64_t now)
{
    if (client->measures) {
        client->answers++;
        if (client->n_samples < SAMPLES_MAX)
            client->samples[client->n_samples++] = (uint32_t)(now - c->sent);
    }
    c->got = 0;
    c->sent = now;
}

static void answer_came(struct client *client, struct connection *c)
{
    count_answer(client, c, now_ns(CLOCK_MONOTONIC));
    if (!client->load->once)
        send_message(c);
}

static void readable(struct client *client, struct connection *c)
{
    char buf[MESSAGE_SIZE];
    ssize_t n;
    do {
        n = recv(c->fd, buf, sizeof buf - c->got, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            return;
        must(n < 0 ? errno : 0, "recv");
        c->got += (size_t)n;
        if (c->got == MESSAGE_SIZE)
            answer_came(client, c);
    } while (client->load->once && n > 0); /* the end may be there as well */
    if (client->load->once) {
        close(c->fd);
        begin_connection(client, c);
    } else {
        must(n == 0, "the server has closed a connection");
    }
}

static void run_until(struct client *client, int64_t end_ns)
{
    struct epoll_event events[EVENTS];
    while (now_ns(CLOCK_MONOTONIC) < end_ns) {
        int n = epoll_wait(client->epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++)
            readable(client, events[i].data.ptr);
    }
}

static int by_length(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(const struct client *client, unsigned percent)
{
    return client->n_samples ? client->samples[client->n_samples * percent / 100] / 1e3 : 0;
}

static void measure_load(struct client *client, int64_t length_ns, clockid_t server,
                         struct load_figures *ret)
{
    int64_t begin = now_ns(CLOCK_MONOTONIC), server_begin = now_ns(server);
    client->measures = true;
    do
        run_until(client, now_ns(CLOCK_MONOTONIC) + length_ns);
    while (client->answers == 0 && now_ns(CLOCK_MONOTONIC) < begin + PATIENCE_NS);
    double took = (double)(now_ns(CLOCK_MONOTONIC) - begin);
    double server_took = (double)(now_ns(server) - server_begin);
    must(client->answers == 0, "the server does not answer");
    qsort(client->samples, client->n_samples, sizeof *client->samples, by_length);
    ret->per_second = (double)client->answers * 1e9 / took;
    ret->server_us = server_took / 1e3 / (double)client->answers;
    ret->p50_us = percentile_us(client, 50);
    ret->p99_us = percentile_us(client, 99);
}

struct load_figures run_load(uint16_t port, const struct load *load, int64_t length_ns,
                             clockid_t server)
{
    struct load_figures ret;
    struct client client = {
        .load = load,
        .address = {.sin_family = AF_INET,
                    .sin_port = htons(port),
                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .connections = calloc(load->connections, sizeof *client.connections),
        .samples = malloc(SAMPLES_MAX * sizeof *client.samples),
    };
    must(client.epoll < 0, "epoll_create1");
    must(client.connections == NULL || client.samples == NULL, "out of memory");
    for (size_t i = 0; i < load->connections; i++)
        begin_connection(&client, &client.connections[i]);
    run_until(&client, now_ns(CLOCK_MONOTONIC) + length_ns / 4);
    measure_load(&client, length_ns, server, &ret);
    for (size_t i = 0; i < load->connections; i++)
        close(client.connections[i].fd);
    close(client.epoll);
    free(client.connections);
    free(client.samples);
    return ret;
}
