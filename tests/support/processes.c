/* SPDX-License-Identifier: MIT
 *
 * processes.c: see processes.h.
 */
#include "processes.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Jobs of any size ---- */

static uint32_t random_size(struct test_random *random, uint32_t most)
{
    const uint32_t limits[] = {1, 9, 64, 64, 300, 5000};
    uint64_t kind = test_random_below(random, 100);
    uint32_t limit = kind < 90 ? limits[kind % 6] : kind < 98 ? most / 10 : most;
    return (uint32_t)test_random_below(random, (limit < most ? limit : most) + 1);
}

struct sized random_sized(struct test_random *random, uint32_t most)
{
    struct sized s = {.in = random_size(random, most), .out = random_size(random, most)};
    s.seed = (uint32_t)test_random_next(random);
    s.in_bytes = test_random_below(random, 3) == 0;
    s.out_bytes = test_random_below(random, 3) == 0;
    return s;
}

/* `arg`: a struct sized and what belongs to it. */
static int run_sized(const void *arg, void *result)
{
    struct sized s;
    memcpy(&s, arg, sizeof s);
    if (!is_filled((const char *)arg + sizeof s, s.in, s.seed))
        return conc_raise(-EIO, "wrong argument of %u bytes", s.in);
    conc_bytes *bytes = s.out_bytes ? result : NULL;
    int err = bytes ? conc_bytes_new(bytes, s.out) : 0;
    if (!err)
        fill(bytes ? bytes->data : result, s.out, s.seed + 1);
    return err;
}

static int job_sized(void *arg, void *result) { return run_sized(arg, result); }

static int job_sized_bytes(void *arg, void *result)
{
    return run_sized(((conc_bytes *)arg)->data, result);
}

conc_future *submit_sized(conc_executor *pool, struct sized s)
{
    conc_bytes arg = {malloc(sizeof s + s.in), sizeof s + s.in}; /* not ours to fail */
    CHECK(arg.data != NULL);
    memcpy(arg.data, &s, sizeof s);
    fill((char *)arg.data + sizeof s, s.in, s.seed);
    const size_t out = s.out_bytes ? CONC_BYTES : s.out;
    conc_future *f = s.in_bytes ? conc_submit(pool, job_sized_bytes, &arg, CONC_BYTES, out)
                                : conc_submit(pool, job_sized, arg.data, arg.size, out);
    free(arg.data);
    return f;
}

bool is_result_of(conc_future *f, struct sized s)
{
    const void *value = conc_future_value(f);
    if (s.out_bytes) {
        const conc_bytes *bytes = value;
        return bytes && bytes->size == s.out && is_filled(bytes->data, s.out, s.seed + 1);
    }
    return s.out == 0 || (value && is_filled(value, s.out, s.seed + 1));
}

void check_sized(conc_future *f, struct sized s)
{
    CHECK_EQUAL(conc_future_wait(f, PATIENT), 0);
    CHECK_EQUAL(conc_future_error(f), 0);
    CHECK(is_result_of(f, s));
    conc_future_unref(f);
}

/* ---- Other jobs ---- */

int job_pid(void *arg, void *result)
{
    *(pid_t *)result = getpid();
    return 0;
}

int job_parent(void *arg, void *result)
{
    *(pid_t *)result = getppid();
    return 0;
}

int job_stop(void *arg, void *result)
{
    raise(SIGSTOP);
    return 0;
}

conc_executor *make_pool(size_t n, const conc_process_pool_options *options)
{
    conc_executor *pool = NULL;
    CHECK_EQUAL(conc_process_pool_new(&pool, n, options), 0);
    return pool;
}

pid_t call_for_pid(conc_executor *pool, conc_fn *fn)
{
    pid_t pid = 0;
    CHECK_EQUAL(conc_call(pool, fn, NULL, 0, &pid, sizeof pid, PATIENT), 0);
    CHECK(pid > 0 && pid != getpid());
    return pid;
}

void check_works(conc_executor *pool)
{
    int n = 12, square = 0;
    CHECK_EQUAL(conc_call(pool, job_square, &n, sizeof n, &square, sizeof square, PATIENT), 0);
    CHECK_EQUAL(square, n * n);
}

/* ---- The family ---- */

/* False: there is no such process. */
static bool look_at(pid_t pid, struct relative *ret)
{
    char path[32], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    char *got = f ? fgets(line, sizeof line, f) : NULL;
    char *end = got ? strrchr(line, ')') : NULL; /* a name may hold anything */
    int parent;
    if (f)
        fclose(f);
    if (!end || sscanf(end + 1, " %c %d", &ret->state, &parent) != 2)
        return false;
    ret->pid = pid;
    ret->parent = parent;
    return true;
}

char state_of(pid_t pid)
{
    struct relative r;
    return look_at(pid, &r) ? r.state : 'Z';
}

bool is_gone(pid_t pid) { return strchr("ZX", state_of(pid)) != NULL; }

static size_t all_processes(struct relative **ret)
{
    size_t n = 0, room = 0;
    DIR *dir = opendir("/proc");
    CHECK(dir != NULL);
    *ret = NULL;
    for (struct dirent *e; (e = readdir(dir));) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (n == room) {
            room = room ? 2 * room : 256;
            *ret = realloc(*ret, room * sizeof **ret);
            CHECK(*ret != NULL);
        }
        n += pid > 0 && look_at(pid, &(*ret)[n]);
    }
    closedir(dir);
    return n;
}

static bool is_among(pid_t pid, const struct relative *family, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (family[i].pid == pid)
            return true;
    return false;
}

size_t family_of(pid_t head, struct relative family[FAMILY_MAX])
{
    struct relative *all;
    size_t n = all_processes(&all), found = 0, before;
    do { /* one more generation each time */
        before = found;
        for (size_t i = 0; i < n && found < FAMILY_MAX; i++)
            if ((all[i].parent == head || is_among(all[i].parent, family, before)) &&
                !is_among(all[i].pid, family, found))
                family[found++] = all[i];
    } while (found > before);
    free(all);
    return found;
}

pid_t fork_server(void)
{
    struct relative family[FAMILY_MAX];
    size_t n = family_of(getpid(), family);
    for (size_t i = 0; i < n; i++)
        if (family[i].parent == getpid() && family[i].state != 'Z')
            return family[i].pid;
    return 0;
}

/* ---- What is left ---- */

size_t shared_maps_of(pid_t pid)
{
    char path[32], line[4400];
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        n += strstr(line, "/memfd:") || strstr(line, "/dev/shm/");
    if (f)
        fclose(f);
    return n;
}

/* What a thread keeps for waiting is there after its first wait: one that is long enough to come so
 * far. */
static void wait_once(void)
{
    static _Thread_local bool has_waited;
    conc_pipe *a, *b;
    if (has_waited)
        return;
    has_waited = true;
    CHECK_EQUAL(conc_pipe_new(&a, &b), 0);
    CHECK_EQUAL(conc_pipe_poll(a, conc_in(on_valgrind() ? CONC_MS(500) : CONC_MS(50))), -ETIMEDOUT);
    conc_pipe_free(a);
    conc_pipe_free(b);
}

struct remains remains_now(void)
{
    struct relative family[FAMILY_MAX];
    wait_once();
    return (struct remains){.family = family_of(getpid(), family),
                            .descriptors = (size_t)count_descriptors(),
                            .maps = shared_maps_of(getpid())};
}

static bool adopts;

void adopt_orphans(bool yes)
{
    CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, yes), 0);
    adopts = yes;
}

/* A fork server too, whose death libconc has not noticed yet: it does without. */
static void bury_orphans(void)
{
    struct relative family[FAMILY_MAX];
    size_t n = family_of(getpid(), family);
    for (size_t i = 0; i < n; i++)
        if (family[i].parent == getpid() && family[i].state == 'Z')
            waitpid(family[i].pid, NULL, WNOHANG);
}

static bool is_more(const struct remains *before)
{
    if (adopts)
        bury_orphans();
    struct remains now = remains_now();
    return now.family > before->family || now.descriptors > before->descriptors ||
           now.maps > before->maps;
}

void check_nothing_remains(const struct remains *before)
{
    int64_t end = real_now() + CONC_S(30); /* a server that was killed leaves its children dying */
    while (is_more(before) && real_now() < end)
        look_again(INT64_MAX, "", __FILE__, __LINE__);
    struct remains now = remains_now();
    if (is_more(before))
        fprintf(stderr, "processes %zu (were %zu), descriptors %zu (%zu), shared maps %zu (%zu)\n",
                now.family, before->family, now.descriptors, before->descriptors, now.maps,
                before->maps);
    CHECK(!is_more(before));
}

size_t resident_bytes(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    CHECK(f && fscanf(f, "%*u %zu", &pages) == 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
