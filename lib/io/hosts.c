/* SPDX-License-Identifier: MIT
 *
 * hosts.c: which names stand in the hosts file (hosts(5)).
 *
 *     # a comment
 *     192.0.2.1  name alias another   # a comment
 *
 * Only whether a name stands there is found out. The answer itself, with all that flags and
 * nsswitch.conf have to say to it, is left to getaddrinfo().
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <strings.h>

#include "io/names.h"

/* Returns '\n' or EOF: what ends the line. */
static int hosts_skip_line(FILE *in)
{
    int c;
    do
        c = getc_unlocked(in);
    while (c != EOF && c != '\n');
    return c;
}

static bool is_blank(int c) { return c == ' ' || c == '\t' || c == '\r'; }

/* Read the next word of the line ("": there is none; a word that is too long is cut). Returns '\n'
 * or EOF if the line ends with it, else a blank. */
static int hosts_read_word(FILE *in, char word[NI_MAXHOST])
{
    size_t n = 0;
    int c = getc_unlocked(in);
    while (is_blank(c))
        c = getc_unlocked(in);
    for (; c != EOF && c != '\n' && c != '#' && !is_blank(c); c = getc_unlocked(in))
        if (n < NI_MAXHOST - 1)
            word[n++] = (char)c;
    word[n] = '\0';
    return c == '#' ? hosts_skip_line(in) : c;
}

/* AF_UNSPEC: of IPv4 or IPv6. */
static bool hosts_is_address(const char *word, int family)
{
    struct in6_addr address; /* large enough for both */
    return (family != AF_INET6 && inet_pton(AF_INET, word, &address) == 1) ||
           (family != AF_INET && inet_pton(AF_INET6, word, &address) == 1);
}

static bool hosts_seek(FILE *in, const char *host, int family)
{
    bool found = false;
    int end;
    do {
        char word[NI_MAXHOST];
        end = hosts_read_word(in, word);
        bool wanted = hosts_is_address(word, family);
        while (is_blank(end)) {
            end = hosts_read_word(in, word);
            found = found || (wanted && *word && strcasecmp(word, host) == 0);
        }
    } while (end != EOF && !found);
    return found;
}

int conc__hosts_have(const char *path, const char *host, int family)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return -errno;
    bool found = hosts_seek(in, host, family);
    fclose(in);
    return found ? 0 : -ENOENT;
}
