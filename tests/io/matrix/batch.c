/* SPDX-License-Identifier: MIT
 *
 * batch.c: the cells of one condition and one way, all at once.
 *
 * How: all rigs are prepared, while the process has one thread; then every call runs in a task of
 * one loop, or in a thread of its own. A *director*, a plain thread, waits until each call has
 * ended or is seen to be blocked, lets happen what the condition says, waits for the ends, and
 * cancels what is left. Then, again with one thread, it is looked at what came of it all.
 *
 * Blocked: a task or thread of libconc's is, when the registry says so; a system call is, when its
 * thread sleeps and has not run for some time (/proc/self/task).
 *
 * The heartbeat is a task that sleeps and notes the time. The director, which sleeps as long, looks
 * how old that note is; what it overslept itself does not count. So a machine that is busy does not
 * look like a loop that stands still.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <conc/context.h>
#include <conc/event.h>
#include <conc/executor.h>
#include <conc/future.h>
#include <conc/io.h>
#include <conc/loop.h>
#include <conc/task.h>

#include "matrix.h"
#include "support.h"

#define LOOK_NS CONC_MS(4)
#define SETTLED_NS CONC_MS(25)

enum { INTERRUPT = SIGUSR2 };

struct caller {
    struct call call;
    struct cell *cell;
    conc_future *future; /* libconc's */
    pthread_t thread;    /* the oracle's */
    atomic_int tid;
    atomic_bool done;
    bool settled, told; /* it is blocked; it was told to end, since nothing else ends it */
    int64_t asleep_since;
    unsigned long long has_run; /* as schedstat says */
    _Atomic int64_t began_at;
    int64_t ended_at;
};

struct cell {
    size_t kind;
    enum operation op;
    struct outcome *out;
    struct rig rig;
    unsigned n_callers;
    struct caller callers[2];
    int64_t happened_at; /* 0: not yet */
};

static struct batch {
    enum matrix_way way;
    enum condition condition;
    const struct condition_of *of;
    struct cell *cells;
    size_t n_cells;
    conc_loop *loop;
    conc_executor *threads;
    conc_event over; /* the director has done its work */
    _Atomic int64_t last_beat;
    int64_t last_look;
} batch;

#define FOREACH_CELL(c) for (struct cell *c = batch.cells; c < batch.cells + batch.n_cells; c++)
#define FOREACH_CALLER(r, c) \
    for (struct caller *r = (c)->callers; r < (c)->callers + (c)->n_callers; r++)

static bool batch_is_oracle(void) { return batch.way == WITH_CALL; }

static bool batch_is_now(void)
{
    return batch.condition == WHEN_NOW || batch.condition == WHEN_NOW_READY;
}

static bool batch_has_deadline(void) { return batch_is_now() || batch.condition == WHEN_DEADLINE; }

/* What the oracle has said of this cell. */
static const struct outcome *cell_answer(const struct cell *c)
{
    return outcome_of_cell(WITH_CALL, batch.of->asks, c->kind, c->op);
}

/* ---- Calls ---- */

static void caller_begin(struct caller *r)
{
    char name[64];
    snprintf(name, sizeof name, "call-%td-%td", r->cell - batch.cells, r - r->cell->callers);
    conc_context_set_name(name);
    r->began_at = real_now();
    r->call.deadline = CONC_FOREVER;
    if (batch_is_now())
        r->call.deadline = CONC_NOW;
    else if (batch.condition == WHEN_DEADLINE)
        r->call.deadline = conc_in(DEADLINE_NS);
}

static void caller_end(struct caller *r)
{
    r->ended_at = real_now();
    atomic_store(&r->done, true);
}

static int caller_run(void *arg, void *unused)
{
    struct caller *r = *(struct caller **)arg;
    (void)unused;
    caller_begin(r);
    call_libconc(&r->call);
    caller_end(r);
    return 0;
}

static void *caller_run_plainly(void *arg)
{
    struct caller *r = arg;
    r->began_at = real_now();
    atomic_store(&r->tid, (int)syscall(SYS_gettid));
    call_plainly(&r->call);
    caller_end(r);
    return NULL;
}

static void caller_start(struct caller *r)
{
    if (batch_is_oracle()) {
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, 256 * 1024);
        CHECK_EQUAL(pthread_create(&r->thread, &attr, caller_run_plainly, r), 0);
        pthread_attr_destroy(&attr);
    } else if (batch.way == WITH_THREAD) {
        r->future = conc_submit(batch.threads, caller_run, &r, sizeof r, 0);
    } else {
        r->future = conc_task_start(batch.loop, caller_run, &r, sizeof r, 0, NULL);
    }
}

/* End a call that nothing else ends. */
static void caller_tell(struct caller *r)
{
    r->told = true;
    if (batch_is_oracle()) {
        if (atomic_load(&r->tid))
            pthread_kill(r->thread, INTERRUPT);
    } else {
        conc_future_cancel(r->future);
    }
}

static void caller_join(struct caller *r)
{
    if (batch_is_oracle()) {
        CHECK_EQUAL(pthread_join(r->thread, NULL), 0);
    } else {
        CHECK_EQUAL(conc_future_wait(r->future, CONC_FOREVER), 0);
        conc_future_unref(r->future);
    }
}

/* ---- Is it blocked? ---- */

static bool thread_sleeps(int tid, unsigned long long *has_run)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    const char *end = fgets(line, sizeof line, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    bool sleeps = end && (end[2] == 'S' || end[2] == 'D');
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", tid);
    f = fopen(path, "r");
    if (!f)
        return sleeps;
    if (fscanf(f, "%llu", has_run) != 1)
        *has_run = 0;
    fclose(f);
    return sleeps;
}

static void caller_look(struct caller *r)
{
    unsigned long long has_run = 0;
    int64_t now = real_now();
    if (!atomic_load(&r->tid) || !thread_sleeps(atomic_load(&r->tid), &has_run) ||
        has_run != r->has_run)
        r->asleep_since = 0;
    else if (!r->asleep_since)
        r->asleep_since = now;
    r->has_run = has_run;
    r->settled = r->asleep_since && now - r->asleep_since > SETTLED_NS * slowness();
}

static int context_look(const conc_context_info *info, void *unused)
{
    size_t cell;
    unsigned caller;
    (void)unused;
    if (!info->blocked_on || sscanf(info->name, "call-%zu-%u", &cell, &caller) != 2)
        return 0;
    struct caller *r = &batch.cells[cell].callers[caller];
    r->settled = real_now() - r->began_at > SETTLED_NS; /* it may look again now and then */
    return 0;
}

static void batch_look(void)
{
    FOREACH_CELL (c)
        FOREACH_CALLER (r, c) {
            r->settled = false;
            if (batch_is_oracle() && !atomic_load(&r->done))
                caller_look(r);
        }
    if (!batch_is_oracle())
        CHECK_EQUAL(conc_context_foreach(context_look, NULL), 0);
}

/* ---- The director ---- */

/* A moment later; and has the heart stopped? */
static void director_sleep(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    int64_t now = real_now(), beat = atomic_load(&batch.last_beat);
    if (beat && batch.last_look - beat > matrix->stood_ns)
        matrix->stood_ns = batch.last_look - beat;
    batch.last_look = now;
}

typedef bool caller_test(const struct caller *r);

/* CONC_MATRIX_TIMES: say for which it was waited in vain. */
static void callers_tell(caller_test *is_so)
{
    if (!getenv("CONC_MATRIX_TIMES"))
        return;
    FOREACH_CELL (c)
        FOREACH_CALLER (r, c)
            if (!atomic_load(&r->done) && !is_so(r))
                printf("# %s, %s: waited in vain\n", c->rig.kind->name, operation_name(c->op));
    fflush(stdout);
}

/* Until it is so for all callers, or the time is over. */
static bool director_wait(caller_test *is_so, int64_t most)
{
    for (int64_t end = real_now() + most;; director_sleep()) {
        bool all = true;
        batch_look();
        FOREACH_CELL (c)
            FOREACH_CALLER (r, c)
                all = all && (atomic_load(&r->done) || is_so(r));
        if (!all && real_now() > end)
            callers_tell(is_so);
        if (all || real_now() > end)
            return all;
    }
}

static bool caller_is_settled(const struct caller *r)
{
    return batch_is_oracle() ? r->settled : r->settled || !cell_answer(r->cell)->waited;
}

/* It is not expected to end by itself: as the system call does not. */
static bool caller_may_stay(const struct caller *r)
{
    if (batch_is_oracle())
        return r->settled;
    if (batch.of->happening > UNBLOCK && cell_answer(r->cell)->waited)
        return false;
    if (batch_has_deadline())
        return false;
    return strstr(cell_answer(r->cell)->text, "blocks") != NULL;
}

static void loop_close_fd(void *rig) { conc_close(((struct rig *)rig)->fd); }

static void cell_happen(struct cell *c)
{
    if (batch.of->happening != NOTHING)
        c->happened_at = real_now();
    switch (batch.of->happening) {
    case UNBLOCK:
        for (unsigned i = 0; i < c->rig.n; i++)
            rig_unblock(&c->rig);
        break;
    case CANCEL:
        FOREACH_CALLER (r, c)
            conc_future_cancel(r->future);
        break;
    case CLOSE_IN_LOOP:
        CHECK_EQUAL(conc_loop_call_soon_threadsafe(batch.loop, loop_close_fd, &c->rig, NULL), 0);
        break;
    case CLOSE_IN_THREAD:
        conc_close(c->rig.fd);
        break;
    case NOTHING:
        break;
    }
}

static bool cell_is_done(struct cell *c)
{
    FOREACH_CALLER (r, c)
        if (!atomic_load(&r->done))
            return false;
    return true;
}

/* What cannot be ended before its time gets it in the end. */
static void director_release_slow(void)
{
    bool any = false;
    FOREACH_CELL (c)
        any = any || (c->rig.kind->flags & FINISHES && !cell_is_done(c));
    if (!any || batch.of->happening == UNBLOCK)
        return;
    for (int64_t end = real_now() + DEADLINE_NS + CONC_MS(100); real_now() < end;)
        director_sleep();
    FOREACH_CELL (c)
        if (c->rig.kind->flags & FINISHES)
            rig_unblock(&c->rig);
}

static void director_end_all(void)
{
    for (int64_t end = real_now() + END_MOST; real_now() < end; director_sleep()) {
        bool all = true;
        FOREACH_CELL (c)
            FOREACH_CALLER (r, c)
                if (!atomic_load(&r->done)) {
                    all = false;
                    caller_tell(r);
                }
        if (all)
            return;
    }
}

static void director_run(void)
{
    batch.last_look = real_now();
    if (batch.of->happening != NOTHING)
        director_wait(caller_is_settled, END_MOST / 4);
    FOREACH_CELL (c) {
        c->out->waited = !cell_is_done(c);
        if (c->out->waited && (batch_is_oracle() || cell_answer(c)->waited))
            cell_happen(c);
    }
    director_release_slow();
    int64_t most = END_MOST + (batch.condition == WHEN_DEADLINE ? DEADLINE_NS : 0);
    director_wait(caller_may_stay, most);
    FOREACH_CELL (c)
        if (batch.of->happening == NOTHING)
            c->out->waited = !cell_is_done(c);
    for (int i = 0; i < 5; i++)
        director_sleep();
    director_end_all();
}

/* ---- Running ---- */

static void cell_look_back(struct cell *c);

/* Calls that cannot be ended: their memory is theirs, so the process ends here. */
static void batch_stop_if_stuck(void)
{
    bool stuck = false;
    FOREACH_CELL (c) {
        c->out->stuck = !cell_is_done(c);
        stuck = stuck || c->out->stuck;
    }
    if (!stuck)
        return;
    if (getenv("CONC_MATRIX_DUMP"))
        conc_dump(stderr);
    FOREACH_CELL (c)
        if (!c->out->stuck)
            cell_look_back(c);
    _exit(BATCH_IS_STUCK);
}

static int heartbeat(void *unused, void *result)
{
    (void)unused;
    (void)result;
    for (;;) {
        atomic_store(&batch.last_beat, real_now());
        int err = conc_sleep(LOOK_NS);
        if (err)
            return err;
    }
}

static void *director_run_and_stop(void *unused)
{
    (void)unused;
    director_run();
    batch_stop_if_stuck();
    if (batch.loop)
        conc_event_set(&batch.over);
    return NULL;
}

static void batch_start_callers(void)
{
    FOREACH_CELL (c)
        FOREACH_CALLER (r, c)
            caller_start(r);
}

static void batch_join_callers(void)
{
    FOREACH_CELL (c)
        FOREACH_CALLER (r, c)
            caller_join(r);
}

static int loop_main(void *unused, void *result)
{
    pthread_t director;
    (void)unused;
    (void)result;
    atomic_store(&batch.last_beat, real_now());
    conc_future *beat = conc_spawn(heartbeat, NULL, 0, 0);
    batch_start_callers();
    CHECK_EQUAL(pthread_create(&director, NULL, director_run_and_stop, NULL), 0);
    CHECK_EQUAL(conc_event_wait(&batch.over, CONC_FOREVER), 0);
    pthread_join(director, NULL);
    batch_join_callers();
    conc_future_cancel(beat);
    conc_future_wait(beat, CONC_FOREVER);
    conc_future_unref(beat);
    return 0;
}

static bool batch_run_on_loop(void)
{
    const conc_loop_options options = {.backend = batch.way == WITH_URING ? CONC_BACKEND_URING
                                                                          : CONC_BACKEND_EPOLL};
    conc_event_init(&batch.over);
    CHECK_EQUAL(conc_loop_new(&batch.loop, &options), 0);
    conc_future *f = conc_task_start(batch.loop, loop_main, NULL, 0, 0, NULL);
    int err = conc_loop_run_until_complete(batch.loop, f);
    if (err == -ENOSYS)
        conc_future_cancel(f);
    else
        CHECK_EQUAL(err, 0);
    conc_future_unref(f);
    CHECK_EQUAL(conc_loop_free(batch.loop), 0);
    batch.loop = NULL;
    return !err;
}

static void batch_run_on_threads(void)
{
    if (!batch_is_oracle())
        CHECK_EQUAL(conc_thread_per_job_new(&batch.threads), 0);
    batch_start_callers();
    director_run_and_stop(NULL);
    batch_join_callers();
    if (!batch_is_oracle())
        CHECK_EQUAL(conc_executor_free(batch.threads), 0);
}

/* ---- What came of it ---- */

/* Join the outcomes of the callers, in an order that does not depend on who was first. */
static void cell_add_outcomes(struct cell *c, char *text)
{
    FOREACH_CALLER (r, c)
        if (r->told)
            snprintf(r->call.outcome, sizeof r->call.outcome, "blocks");
    const char *a = c->callers[0].call.outcome, *b = c->callers[1].call.outcome;
    if (c->n_callers == 1)
        text_add(text, "%s", a);
    else if (strcmp(a, b) <= 0)
        text_add(text, "%s + %s", a, b);
    else
        text_add(text, "%s + %s", b, a);
}

static bool outcome_is_end(const char *text)
{
    return !strcmp(text, "-EAGAIN") || !strcmp(text, "-ETIMEDOUT") || !strcmp(text, "-ECANCELED");
}

/* A call that has ended early has had no effect: what comes then is there for the next, which is a
 * plain one. */
static void cell_call_again(struct cell *c)
{
    struct caller again = {.cell = c, .call = {.rig = &c->rig, .op = c->op}};
    enum matrix_way way = batch.way;
    rig_unblock(&c->rig);
    batch.way = WITH_CALL; /* a plain thread */
    CHECK_EQUAL(pthread_create(&again.thread, NULL, caller_run_plainly, &again), 0);
    for (int64_t end = real_now() + END_MOST; !again.settled && !atomic_load(&again.done);) {
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        if (real_now() > end)
            break;
        caller_look(&again);
    }
    while (!atomic_load(&again.done)) {
        caller_tell(&again);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    pthread_join(again.thread, NULL);
    batch.way = way;
    text_add(c->out->after, "%s", again.call.outcome);
    rig_tell(&c->rig, c->out->after);
}

static void cell_note_time(struct cell *c)
{
    FOREACH_CALLER (r, c) {
        int64_t due = c->happened_at ? c->happened_at : r->began_at;
        if (batch.condition == WHEN_DEADLINE)
            due += DEADLINE_NS;
        if (r->ended_at - due > c->out->took_ns && !r->told)
            c->out->took_ns = r->ended_at - due;
        if (batch.condition == WHEN_DEADLINE && r->ended_at < due)
            c->out->took_ns = r->ended_at - due; /* too soon */
    }
}

static void cell_look_back(struct cell *c)
{
    cell_note_time(c);
    if (c->happened_at && batch.of->happening >= CLOSE_IN_LOOP)
        c->rig.fd = -1;
    cell_add_outcomes(c, c->out->text);
    bool early = batch.of->state == IS_WAITING && batch.of->happening != UNBLOCK;
    if (early && outcome_is_end(c->out->text))
        cell_call_again(c);
    else
        rig_tell(&c->rig, c->out->text);
    c->out->state = HAS_ENDED;
}

/* ---- Preparing ---- */

static void cell_prepare(size_t kind, enum operation op)
{
    struct outcome *out = outcome_of_cell(batch.way, batch.condition, kind, op);
    const char *left_out = cell_is_left_out(batch.way, batch.condition, matrix_kinds[kind], op);
    *out = (struct outcome){.state = IS_NONE};
    if (left_out) {
        text_add(out->text, "%s", left_out);
        return;
    }
    struct cell *c = &batch.cells[batch.n_cells];
    *c = (struct cell){.kind = kind, .op = op, .out = out, .n_callers = batch.of->calls};
    struct setup setup = rig_prepare(&c->rig, matrix_kinds[kind], operation_side(op),
                                     batch.of->state, operation_opens(op), batch.of->calls);
    if (setup.none || setup.not_tried) {
        out->state = setup.none ? IS_NONE : IS_LEFT;
        text_add(out->text, "%s", setup.none ? setup.none : setup.not_tried);
        rig_release(&c->rig);
        return;
    }
    out->state = IS_BEGUN;
    for (unsigned i = 0; i < c->n_callers; i++)
        c->callers[i] = (struct caller){.cell = c, .call = {.rig = &c->rig, .op = op, .number = i}};
    batch.n_cells++;
}

static void interrupt_nothing(int signo) { (void)signo; }

static void batch_begin(const struct batch_range *range)
{
    const struct sigaction interrupt = {.sa_handler = interrupt_nothing}; /* no SA_RESTART */
    CHECK_EQUAL(sigaction(INTERRUPT, &interrupt, NULL), 0);
    if (range->way == WITH_CALL)
        signal(SIGPIPE, SIG_IGN);
    batch.way = range->way;
    batch.condition = range->condition;
    batch.of = &conditions[range->condition];
    batch.cells = calloc(n_matrix_kinds * N_OPERATIONS, sizeof *batch.cells);
    CHECK(batch.cells);
    for (size_t kind = range->first_kind; kind < range->last_kind; kind++)
        for (unsigned op = range->first_op; op < range->last_op; op++)
            cell_prepare(kind, op);
    FOREACH_CELL (c)
        if (c->rig.kind->seal)
            c->rig.kind->seal(&c->rig);
}

void batch_run(const struct batch_range *range)
{
    matrix->stood_ns = 0;
    batch_begin(range);
    if (batch.way == WITH_URING || batch.way == WITH_EPOLL)
        matrix->no_uring = !batch_run_on_loop() || matrix->no_uring;
    else
        batch_run_on_threads();
    FOREACH_CELL (c)
        if (batch.way != WITH_URING || !matrix->no_uring)
            cell_look_back(c);
        else
            *c->out = (struct outcome){.state = IS_LEFT, .text = "there is no io_uring here"};
    FOREACH_CELL (c)
        rig_release(&c->rig);
    free(batch.cells);
}
