/* SPDX-License-Identifier: MIT
 *
 * names.c: looking up names.
 *
 * getaddrinfo(3) blocks for as long as the name servers and its configuration make it, and cannot
 * be stopped. So each call runs in a detached thread of its own, while the caller waits for an
 * event, as any context does, with its deadline. A caller that gives up leaves the lookup to its
 * thread. A thread costs little beside a lookup; and nothing has to wait for its end, as it would
 * have to for a pool's worker: a loop with a stuck lookup can be freed, and stuck lookups do not
 * delay others until there are LOOKUPS_MAX of them.
 *
 *     struct lookup   question and answer; two references: the caller's and the thread's
 *     `done`          set by the thread once the answer is there. The caller then takes `found`,
 *                     if it still waits; what is left there goes with the last reference
 *     lookup_places   a unit for each lookup that may run; the thread gives it back, so that
 *                     lookups that nobody waits for any more count too
 *
 * Numeric addresses (most of those that a program connects to) are converted at once, by the same
 * function with AI_NUMERICHOST, which asks no name server.
 *
 * fork: the child has none of these threads, so all its places are free.
 */
#include <conc/net.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <conc/context.h>
#include <conc/event.h>
#include <conc/sem.h>

#include "base/alloc.h"
#include "io/names.h"
#include "thread/create.h"
#include "wait/wait.h"

struct lookup {
    uint32_t refs;
    conc_event done;

    /* The answer: it belongs to the thread until `done` is set. */
    int eai;   /* what getaddrinfo() returned: EAI_x, or 0 */
    int error; /* errno after it */
    struct addrinfo *found;

    /* The question. */
    const char *host, *service;   /* in `text`; NULL: none */
    const struct addrinfo *hints; /* &own_hints; NULL: none */
    struct addrinfo own_hints;
    char text[];
};

static conc_sem lookup_places = CONC_SEM_INIT(LOOKUPS_MAX);
static pthread_once_t lookup_once = PTHREAD_ONCE_INIT;

static void lookup_free_places(void) { lookup_places = (conc_sem)CONC_SEM_INIT(LOOKUPS_MAX); }

static void lookup_watch_forks(void)
{
    /* If there is no memory for this, a child can look up fewer names at once. */
    pthread_atfork(NULL, NULL, lookup_free_places);
}

/* ---- A lookup ---- */

static size_t name_size(const char *s) { return s ? strlen(s) + 1 : 0; }

/* Copy s to `at`. Returns the copy; NULL if s is NULL. */
static const char *name_copy(char *at, const char *s)
{
    return s ? memcpy(at, s, strlen(s) + 1) : NULL;
}

static struct lookup *lookup_new(const char *host, const char *service,
                                 const struct addrinfo *hints)
{
    struct lookup *l = alloc_bytes(sizeof *l + name_size(host) + name_size(service));
    if (!l)
        return NULL;
    *l = (struct lookup){.refs = 2};
    l->host = name_copy(l->text, host);
    l->service = name_copy(l->text + name_size(host), service);
    if (hints) {
        l->own_hints = *hints;
        l->hints = &l->own_hints;
    }
    return l;
}

static void lookup_unref(struct lookup *l)
{
    /* The last reference's acquire sees what the other's release has written. */
    if (fetch_sub_acq_rel(&l->refs, 1) != 1)
        return;
    if (l->found)
        freeaddrinfo(l->found);
    free_bytes(l);
}

static void *lookup_main(void *arg)
{
    struct lookup *l = arg;
    char name[CONC_NAME_MAX];
    snprintf(name, sizeof name, "lookup %s", l->host ? l->host : l->service);
    conc_context_set_name(name);
    l->eai = getaddrinfo(l->host, l->service, l->hints, &l->found);
    l->error = errno;
    conc_event_set(&l->done);
    conc_sem_release(&lookup_places, 1);
    lookup_unref(l);
    return NULL;
}

/* Start the thread, which takes over a reference and a place. */
static int lookup_start(struct lookup *l)
{
    pthread_t thread;
    int err = conc__thread_create(&thread, 0, lookup_main, l);
    if (err)
        return err;
    pthread_detach(thread);
    return 0;
}

/* ---- Errors ---- */

static int eai_to_error(int eai, int error)
{
    switch (eai) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_SERVICE:
        return -ENOENT;
    case EAI_AGAIN:
    case EAI_FAIL:
        return -EHOSTUNREACH;
    case EAI_BADFLAGS:
    case EAI_FAMILY:
    case EAI_SOCKTYPE:
        return -EINVAL;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return error ? -error : -EIO;
    default:
        return -EIO;
    }
}

static int eai_raise(int eai, int error, const char *host, const char *service)
{
    int err = eai_to_error(eai, error);
    if (!err)
        return 0;
    const char *subject = host && eai != EAI_SERVICE ? host : service;
    const char *reason = eai == EAI_SYSTEM ? conc_strerror(err) : gai_strerror(eai);
    return conc_raise(err, "%s: %s", subject ? subject : "", reason);
}

/* ---- Numeric addresses ---- */

static bool name_is_number(const char *s)
{
    return !s || (*s && strspn(s, "0123456789") == strlen(s));
}

/* Convert a numeric address and port. False: a name server has to be asked. */
static bool name_convert(const char *host, const char *service, const struct addrinfo *hints,
                         int *eai, struct addrinfo **found)
{
    struct addrinfo numeric = hints ? *hints : (struct addrinfo){.ai_family = AF_UNSPEC};
    bool must_not_ask = !host || (numeric.ai_flags & AI_NUMERICHOST);
    if (!name_is_number(service))
        return false;
    numeric.ai_flags |= AI_NUMERICHOST;
    *eai = getaddrinfo(host, service, &numeric, found);
    return must_not_ask || *eai != EAI_NONAME;
}

/* ---- Asking, and the call ---- */

/* Wait for a lookup that has its thread. Takes the caller's reference. */
static int lookup_take_answer(struct lookup *l, struct addrinfo **ret, conc_deadline deadline)
{
    int err = conc_event_wait(&l->done, deadline);
    if (err)
        goto unref;
    err = eai_raise(l->eai, l->error, l->host, l->service);
    if (err)
        goto unref;
    *ret = l->found;
    l->found = NULL;
unref:
    lookup_unref(l);
    return err;
}

static int lookup_ask(const char *host, const char *service, const struct addrinfo *hints,
                      struct addrinfo **ret, conc_deadline deadline)
{
    if (conc_remaining(deadline) == 0)
        return deadline_is_now(deadline) ? -EAGAIN : -ETIMEDOUT;
    pthread_once(&lookup_once, lookup_watch_forks);
    struct lookup *l = lookup_new(host, service, hints);
    if (!l)
        return -ENOMEM;
    int err = conc_sem_acquire(&lookup_places, deadline);
    if (err)
        goto free_lookup;
    err = lookup_start(l);
    if (err)
        goto release_place;
    return lookup_take_answer(l, ret, deadline);

release_place:
    conc_sem_release(&lookup_places, 1);
free_lookup:
    free_bytes(l);
    return err;
}

int conc_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                     struct addrinfo **ret, conc_deadline deadline)
{
    if (!ret || (!host && !service))
        return -EINVAL;
    int err = wait_checkpoint(deadline);
    if (err)
        return err;
    int eai;
    struct addrinfo *found = NULL;
    if (name_convert(host, service, hints, &eai, &found)) {
        err = eai_raise(eai, errno, host, service);
        if (!err)
            *ret = found;
        return err;
    }
    err = lookup_ask(host, service, hints, ret, deadline);
    if (err == -ETIMEDOUT)
        conc_raise(err, "%s: looking it up timed out", host ? host : service);
    return err;
}
