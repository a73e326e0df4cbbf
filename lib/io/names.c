/* SPDX-License-Identifier: MIT
 *
 * names.c: looking up names.
 *
 * getaddrinfo(3) blocks for as long as the name servers and its configuration make it, and cannot
 * be stopped. So each call runs in a detached thread of its own, while the caller waits for an
 * event, as any context does, with its deadline. A caller that gives up leaves the lookup to its
 * thread. A thread costs little beside a lookup; and nothing has to wait for its end, as it would
 * have to for a pool's worker: a loop with a stuck lookup can be freed.
 *
 *     struct lookup   question and answer; two references: the caller's and the thread's
 *     `done`          set by the thread once the answer is there. The caller then takes `found`,
 *                     if it still waits; what is left there goes with the last reference
 *     `places`        a semaphore with a unit for each lookup that may run; the thread gives it
 *                     back, so that lookups that nobody waits for any more count too
 *
 * Places: a name server that does not answer may hold all LOOKUPS_MAX places of `name_places` until
 * the system gives up, and then what has to ask one waits, until its deadline. Nothing else does:
 *
 *     Numeric addresses with numeric ports (most of those that a program connects to) are
 *     converted at once, by the same function with AI_NUMERICHOST, which asks nobody.
 *     Numeric addresses with the name of a service have places of their own, `local_places`.
 *     Names in the hosts file have, too, while there is no other place: a thread that has a local
 *     place looks whether the name stands there, before it asks for it (hosts.c). It never asks
 *     for another. (In the other case the system reads the file by itself. If it is told to ask
 *     name servers before the file (nsswitch.conf), it does, and may hold local places.)
 *
 * Errors: the C library tells a lack of descriptors or memory as if there were no such name: it
 * could read no file, or ask nobody. So after a failure lookup_shortage() looks whether that was
 * the reason: `errno` is left from it, or a socket cannot be made now.
 *
 * fork: the child has none of these threads, so all its places are free.
 */
#include <conc/net.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <conc/context.h>
#include <conc/event.h>
#include <conc/sem.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "io/names.h"
#include "thread/create.h"
#include "wait/wait.h"

/* What getaddrinfo() is asked. Each may be NULL. */
struct question {
    const char *host, *service;
    const struct addrinfo *hints;
};

enum lookup_kind {
    LOOKUP_NAME,    /* it may ask a name server */
    LOOKUP_SERVICE, /* of a numeric address: that is in a file */
    LOOKUP_IN_FILE, /* only if the name stands in the hosts file */
};

/* No error: the name does not stand in the hosts file, so it was not asked for. */
enum { LOOKUP_PASSED_OVER = 1 };

struct lookup {
    uint32_t refs;
    enum lookup_kind kind;
    conc_sem *places; /* from which it has its place */
    conc_event done;

    /* The answer: it belongs to the thread until `done` is set. */
    int eai;          /* what getaddrinfo() returned: EAI_x, or 0 */
    int error;        /* errno after it */
    bool passed_over; /* LOOKUP_IN_FILE: it does not stand there */
    struct addrinfo *found;

    struct question question; /* it points to the next two */
    struct addrinfo hints;
    char text[];
};

static conc_sem name_places = CONC_SEM_INIT(LOOKUPS_MAX);
static conc_sem local_places = CONC_SEM_INIT(LOCAL_LOOKUPS_MAX);
static pthread_once_t lookup_once = PTHREAD_ONCE_INIT;

static void lookup_free_places(void)
{
    name_places = (conc_sem)CONC_SEM_INIT(LOOKUPS_MAX);
    local_places = (conc_sem)CONC_SEM_INIT(LOCAL_LOOKUPS_MAX);
}

static void lookup_watch_forks(void)
{
    /* If there is no memory for this, a child can look up fewer names at once. */
    pthread_atfork(NULL, NULL, lookup_free_places);
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

/* Is it no failure, or one that the question deserves, whoever answers? */
static bool eai_is_of_question(int eai) { return eai == 0 || eai_to_error(eai, 0) == -EINVAL; }

static bool error_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* Is a lack of descriptors or memory behind a failure? Returns it as an errno; 0: no. */
static int lookup_shortage(int error)
{
    if (error_is_shortage(error))
        return error;
    int fd = conc__fd_own(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (fd < 0)
        return error_is_shortage(-fd) ? -fd : 0;
    close(fd);
    return 0;
}

/* ---- A lookup ---- */

static size_t name_size(const char *s) { return s ? strlen(s) + 1 : 0; }

/* Copy s to `at`. Returns the copy; NULL if s is NULL. */
static const char *name_copy(char *at, const char *s)
{
    return s ? memcpy(at, s, strlen(s) + 1) : NULL;
}

static struct lookup *lookup_new(const struct question *q, enum lookup_kind kind, conc_sem *places)
{
    struct lookup *l = alloc_bytes(sizeof *l + name_size(q->host) + name_size(q->service));
    if (!l)
        return NULL;
    *l = (struct lookup){.refs = 2, .kind = kind, .places = places};
    l->question.host = name_copy(l->text, q->host);
    l->question.service = name_copy(l->text + name_size(q->host), q->service);
    if (q->hints) {
        l->hints = *q->hints;
        l->question.hints = &l->hints;
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

/* Does the name not stand in the hosts file, or is that not known? Then the answer says so. */
static bool lookup_has_no_line(struct lookup *l)
{
    const struct question *q = &l->question;
    int err = conc__hosts_have(_PATH_HOSTS, q->host, q->hints ? q->hints->ai_family : AF_UNSPEC);
    l->passed_over = err && !error_is_shortage(-err);
    if (err && !l->passed_over) {
        l->eai = EAI_SYSTEM;
        l->error = -err;
    }
    return err;
}

static void lookup_answer(struct lookup *l)
{
    const struct question *q = &l->question;
    if (l->kind == LOOKUP_IN_FILE && lookup_has_no_line(l))
        return;
    errno = 0;
    l->eai = getaddrinfo(q->host, q->service, q->hints, &l->found);
    l->error = errno;
    int shortage = eai_is_of_question(l->eai) ? 0 : lookup_shortage(l->error);
    if (shortage) {
        l->eai = EAI_SYSTEM;
        l->error = shortage;
    }
}

static void *lookup_main(void *arg)
{
    struct lookup *l = arg;
    char name[CONC_NAME_MAX];
    snprintf(name, sizeof name, "lookup %s",
             l->question.host ? l->question.host : l->question.service);
    conc_context_set_name(name);
    lookup_answer(l);
    conc_event_set(&l->done);
    conc_sem_release(l->places, 1);
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

/* ---- Numeric addresses ---- */

static bool name_is_number(const char *s)
{
    return !s || (*s && strspn(s, "0123456789") == strlen(s));
}

/* Convert a numeric address and port. False: somebody has to be asked, in a lookup of *kind. */
static bool name_convert(const struct question *q, int *eai, struct addrinfo **found,
                         enum lookup_kind *kind)
{
    struct addrinfo numeric = q->hints ? *q->hints : (struct addrinfo){.ai_family = AF_UNSPEC};
    const bool must_not_ask = !q->host || (numeric.ai_flags & AI_NUMERICHOST);
    const bool by_number = name_is_number(q->service);
    *kind = LOOKUP_SERVICE;
    if (must_not_ask && !by_number)
        return false;
    numeric.ai_flags |= AI_NUMERICHOST;
    *eai = getaddrinfo(q->host, by_number ? q->service : NULL, &numeric, found);
    if (*eai == EAI_NONAME && !must_not_ask) {
        *kind = LOOKUP_NAME;
        return false;
    }
    if (*eai == 0 && !by_number) {
        freeaddrinfo(*found);
        return false;
    }
    return true;
}

/* ---- Asking, and the call ---- */

/* Wait for a lookup that has its thread. Takes the caller's reference. */
static int lookup_take_answer(struct lookup *l, struct addrinfo **ret, conc_deadline deadline)
{
    int err = conc_event_wait(&l->done, deadline);
    if (err)
        goto unref;
    err = l->passed_over ? LOOKUP_PASSED_OVER
                         : eai_raise(l->eai, l->error, l->question.host, l->question.service);
    if (err)
        goto unref;
    *ret = l->found;
    l->found = NULL;
unref:
    lookup_unref(l);
    return err;
}

/* Look up, with a place from which the lookup takes a unit, unless the caller has one for it. 0, an
 * error, or LOOKUP_PASSED_OVER. */
static int lookup_run(const struct question *question, enum lookup_kind kind, bool has_place,
                      struct addrinfo **ret, conc_deadline deadline)
{
    conc_sem *places = kind == LOOKUP_NAME ? &name_places : &local_places;
    struct lookup *l;
    int err = has_place ? 0 : conc_sem_acquire(places, deadline);
    if (err)
        return err;
    l = lookup_new(question, kind, places);
    if (!l) {
        err = -ENOMEM;
        goto release_place;
    }
    err = lookup_start(l);
    if (!err)
        return lookup_take_answer(l, ret, deadline);
    free_bytes(l);
release_place:
    conc_sem_release(places, 1);
    return err;
}

static int lookup_ask(const struct question *question, enum lookup_kind kind, struct addrinfo **ret,
                      conc_deadline deadline)
{
    if (conc_remaining(deadline) == 0)
        return deadline_is_now(deadline) ? -EAGAIN : -ETIMEDOUT;
    pthread_once(&lookup_once, lookup_watch_forks);
    bool has_place = kind == LOOKUP_NAME && conc_sem_acquire(&name_places, CONC_NOW) == 0;
    if (kind == LOOKUP_NAME && !has_place)
        kind = LOOKUP_IN_FILE;
    int err = lookup_run(question, kind, has_place, ret, deadline);
    if (err == LOOKUP_PASSED_OVER)
        err = lookup_run(question, LOOKUP_NAME, false, ret, deadline);
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
    const struct question question = {.host = host, .service = service, .hints = hints};
    enum lookup_kind kind;
    int eai;
    struct addrinfo *found = NULL;
    if (name_convert(&question, &eai, &found, &kind)) {
        err = eai_raise(eai, errno, host, service);
        if (!err)
            *ret = found;
        return err;
    }
    err = lookup_ask(&question, kind, ret, deadline);
    if (err == -ETIMEDOUT)
        conc_raise(err, "%s: looking it up timed out", host ? host : service);
    return err;
}
