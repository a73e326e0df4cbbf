/* SPDX-License-Identifier: MIT
 *
 * points.c: the request, the way to the server and back, and the JSON of the answer.
 *
 * The way is written for a reader who blocks: connect, send, receive until the answer is whole. It
 * never asks whether it runs in a thread or as a task.
 */
#include "points.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/json.h"

/* ---- The request ---- */

int query_make(struct query *ret, const char *server, const char *api_key, int64_t timeout)
{
    const size_t length = strlen(server);
    const char *slash = length > 0 && server[length - 1] == '/' ? "" : "/";
    const char *key = api_key != NULL ? api_key : "";
    int n;

    /* A line's end in a header would begin another header. */
    for (const char *p = key; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return conc_raise(-EINVAL, "the API key has a character that no key can have");
    if (strlen(key) >= sizeof ret->api_key)
        return conc_raise(-EINVAL, "the API key is too long");
    n = snprintf(ret->url, sizeof ret->url, "%s%sv/2.0/sensors/", server, slash);
    if (n >= (int)sizeof ret->url)
        return conc_raise(-EINVAL, URL_SHOWN "...: too long an address", server);
    strcpy(ret->api_key, key);
    ret->timeout = timeout;
    return 0;
}

int make_request(const struct query *query, struct http_request *ret)
{
    const size_t end = strlen("\r\n"); /* the empty line */
    int n, err = http_request_make(ret, query->url);

    if (err || *query->api_key == '\0')
        return err;
    n = snprintf(ret->text + ret->size - end, sizeof ret->text - (ret->size - end),
                 "X-API-KEY: %s\r\n\r\n", query->api_key);
    ret->size += (size_t)n - end;
    if (ret->size >= sizeof ret->text)
        return conc_raise(-EINVAL, URL_SHOWN "...: too long a request", query->url);
    return 0;
}

/* ---- The way ---- */

static int way_error(const char *url, int err)
{
    if (err == -ETIMEDOUT)
        return conc_raise(err, URL_SHOWN ": no answer in time", url);
    if (err == -ENOENT)
        return conc_raise(-EHOSTUNREACH, URL_SHOWN ": no such host", url);
    return conc_raise(err, URL_SHOWN ": %s", url, conc_strerror(err));
}

static int read_answer(int sock, struct http_reader *reader, conc_deadline deadline)
{
    char data[16 << 10];
    int done = 0;

    while (done == 0) {
        ssize_t n = conc_recv(sock, data, sizeof data, 0, deadline);

        if (n < 0)
            return way_error(reader->url, (int)n);
        done = http_reader_feed(reader, data, (size_t)n);
    }
    return done < 0 ? done : 0;
}

static int fetch(const struct query *query, struct http_response *ret, conc_deadline deadline)
{
    struct http_request request;
    struct http_reader reader;
    int sock, err = make_request(query, &request);

    if (err)
        return err;
    sock = conc_tcp_connect(request.host, request.port, deadline);
    if (sock < 0)
        return way_error(query->url, sock);
    http_reader_init(&reader, query->url);
    err = conc_sendall(sock, request.text, request.size, 0, deadline);
    if (err)
        err = way_error(query->url, err);
    else
        err = read_answer(sock, &reader, deadline);
    conc_close(sock);
    if (!err)
        err = http_reader_give(&reader, ret);
    http_reader_free(&reader);
    return err;
}

/* ---- The answer ---- */

static int64_t microseconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* A value as JSON, its numbers as short as they can be without meaning another: 0.17 rather than
 * 0.17000000000000001. How long it is, or would be. */
static size_t dump_value(const json_t *value, char *ret, size_t room)
{
    enum { SHORT = 15, EXACT = 17 }; /* digits of a double */
    size_t n = 0;

    for (size_t digits = SHORT; digits <= EXACT; digits++) {
        json_t *same = NULL;
        bool good;

        n = json_dumpb(value, ret, room,
                       JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
        if (n > 0 && n <= room)
            same = json_loadb(ret, n, JSON_DECODE_ANY, NULL);
        good = same == NULL || json_equal(value, same);
        json_decref(same);
        if (good)
            break;
    }
    return n;
}

/* One sensor: {"id": "CPULoad", "value": 0.17, ...} */
static int prepare_datapoint(const char *url, json_t *sensor, struct data_point *ret)
{
    const char *id = json_string_value(json_object_get(sensor, "id"));
    json_t *value = json_object_get(sensor, "value");
    size_t n;

    if (id == NULL || value == NULL)
        return conc_raise(-EBADMSG, URL_SHOWN ": a sensor without an id, or without a value", url);
    if (strlen(id) >= sizeof ret->sensor_name)
        return conc_raise(-EFBIG, URL_SHOWN ": too long a sensor's name: %.30s...", url, id);
    n = dump_value(value, ret->data, sizeof ret->data - 1);
    if (n == 0 || n >= sizeof ret->data)
        return conc_raise(-EFBIG, URL_SHOWN ": too long a value: %.40s", url, id);
    ret->data[n] = '\0';
    strcpy(ret->sensor_name, id);
    return 0;
}

int prepare_datapoints_from_response(const char *url, const struct http_response *response,
                                     conc_bytes *ret)
{
    const int64_t now = microseconds_now();
    json_t *result, *sensors;
    struct data_point *points;
    int err = http_check(url, response);

    if (!err)
        err = http_json(url, response, &result);
    if (err)
        return err;
    sensors = json_object_get(result, "sensors");
    if (!json_is_array(sensors))
        err = conc_raise(-EBADMSG, URL_SHOWN ": no list of sensors", url);
    else if (conc_bytes_new(ret, json_array_size(sensors) * sizeof *points) != 0)
        err = conc_raise(-ENOMEM, URL_SHOWN ": out of memory", url);
    if (!err) {
        points = ret->data;
        for (size_t i = 0; !err && i < json_array_size(sensors); i++) {
            memset(&points[i], 0, sizeof points[i]); /* it goes through pipes whole */
            points[i].collected_at = now;
            err = prepare_datapoint(url, json_array_get(sensors, i), &points[i]);
        }
        if (err)
            conc_bytes_free(ret);
    }
    json_decref(result);
    return err;
}

/* ---- All of it ---- */

int get_data_points(void *arg, void *result)
{
    const struct query *query = arg;
    struct http_response response;
    int err = fetch(query, &response, conc_in(query->timeout));

    if (err)
        return err;
    err = prepare_datapoints_from_response(query->url, &response, result);
    http_response_free(&response);
    return err;
}
