/* SPDX-License-Identifier: MIT
 *
 * geocode.c: one request to /geocode, and its answer as a struct place.
 */
#include "support/geocode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/json.h"
#include "support/report.h"

struct geocoding geocoding_options(int argc, char **argv, const char *about,
                                   const struct option_spec *more, const char *const *places,
                                   size_t count)
{
    struct geocoding api = {.server = default_server(), .timeout = CONC_S(10)};
    const struct option_spec options[] = {
        OPTION_ROW_SERVER(&api.server),
        OPTION_ROW_TIMEOUT(&api.timeout),
        {.name = NULL},
    };
    const struct program program = {
        .about = about, .operands = "[PLACE ...]", .options = options, .more = more};
    int first = options_parse(argc, argv, &program);

    if (strncmp(api.server, "http://", 7) != 0 && strncmp(api.server, "https://", 8) != 0) {
        complain("the server is not an http:// URL: '%s' (try --help)", api.server);
        exit(EXIT_USAGE);
    }
    api.places = first < argc ? (const char *const *)argv + first : places;
    api.count = first < argc ? (size_t)(argc - first) : count;
    return api;
}

/* SERVER/geocode?address=NAME */
static int make_url(const struct geocoding *api, const char *name, char *url, size_t size)
{
    size_t length = strlen(api->server);
    char *escaped = http_escape(name);
    int n;

    if (escaped == NULL)
        return conc_raise(-ENOMEM, "out of memory");
    while (length > 0 && api->server[length - 1] == '/')
        length--;
    n = snprintf(url, size, "%.*s/geocode?address=%s", (int)length, api->server, escaped);
    free(escaped);
    return n < (int)size ? 0 : conc_raise(-EINVAL, "the name is too long");
}

static int read_place(json_t *json, const char *url, struct place *ret)
{
    const char *address;
    struct place place;

    if (json_unpack(json, "{s:s, s:F, s:F}", "formatted_address", &address, "lat", &place.lat,
                    "lng", &place.lng) != 0)
        return conc_raise(-EBADMSG, URL_SHOWN ": not the answer of a geocoder", url);
    snprintf(place.formatted_address, sizeof place.formatted_address, "%s", address);
    *ret = place;
    return 0;
}

int geocode(const struct geocoding *api, const char *name, struct place *ret,
            conc_deadline deadline)
{
    char url[HTTP_URL_MAX], why[CONC_MESSAGE_MAX];
    struct http_response response = {0};
    json_t *json = NULL;
    int err = make_url(api, name, url, sizeof url);

    if (err < 0)
        goto out;
    err = (api->get != NULL ? api->get : http_get)(url, &response, deadline);
    if (err < 0)
        goto out;
    err = http_check(url, &response);
    if (err < 0)
        goto out;
    err = http_json(url, &response, &json);
    if (err < 0)
        goto out;
    err = read_place(json, url, ret);
out:
    json_decref(json);
    http_response_free(&response);
    if (err < 0) {
        snprintf(why, sizeof why, "%s", conc_describe(err));
        return conc_raise(err, "%.64s: %s", name, why);
    }
    return 0;
}

int field_width(int columns, const char *text)
{
    /* Skip the second byte, and all later ones, of a UTF-8 character. */
    for (; *text != '\0'; text++)
        if (((unsigned char)*text & 0xc0) == 0x80)
            columns++;
    return columns;
}
