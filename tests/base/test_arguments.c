/* SPDX-License-Identifier: MIT
 *
 * test_arguments.c: what the public calls do with numbers at the ends of their ranges and beyond,
 * with sizes without memory, and with unknown values in the environment: a documented error, or it
 * works; never a crash, a wait without end, or a wrong success. Of all floors, in one table each.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <conc.h>

#include "loops.h"

/* ---- Numbers ---- */

typedef int64_t number_fn(int64_t n);

static int64_t barrier_parties(int64_t n)
{
    conc_barrier b;
    return conc_barrier_init(&b, (uint32_t)n, NULL, NULL);
}

static int64_t static_barrier_parties(int64_t n)
{
    conc_barrier b = CONC_BARRIER_INIT((uint32_t)n, NULL, NULL);
    return conc_barrier_wait(&b, CONC_NOW);
}

static int64_t shared_barrier_parties(int64_t n)
{
    conc_shared_barrier b;
    return conc_shared_barrier_init(&b, (uint32_t)n);
}

static int64_t sem_value(int64_t n)
{
    conc_sem s;
    return conc_sem_init(&s, (uint32_t)n, 0);
}

static int64_t sem_bound(int64_t n)
{
    conc_sem s;
    return conc_sem_init(&s, 0, (uint32_t)n);
}

static int64_t sem_units(int64_t n)
{
    conc_sem s = CONC_SEM_INIT(0);
    return conc_sem_release(&s, (uint32_t)n);
}

static int64_t shared_sem_value(int64_t n)
{
    conc_shared_sem s;
    return conc_shared_sem_init(&s, (uint32_t)n, 0);
}

static int64_t shared_sem_units(int64_t n)
{
    conc_shared_sem s = {0};
    return conc_shared_sem_release(&s, (uint32_t)n);
}

static int64_t bucket_tokens(int64_t n)
{
    conc_bucket b;
    CHECK_EQUAL(conc_bucket_init(&b, 1, UINT32_MAX - 1.0), 0);
    return conc_bucket_take(&b, (uint32_t)n, CONC_NOW);
}

static int64_t queue_element(int64_t n)
{
    conc_queue q;
    int err = conc_queue_init(&q, (size_t)n, 2, CONC_FIFO);
    if (!err)
        conc_queue_destroy(&q);
    return err;
}

static int64_t queue_capacity(int64_t n)
{
    conc_queue q;
    int err = conc_queue_init(&q, 8, (size_t)n, CONC_LIFO);
    if (!err)
        conc_queue_destroy(&q);
    return err;
}

static int64_t queue_order(int64_t n)
{
    conc_queue q;
    int err = conc_queue_init(&q, 8, 1, (conc_queue_order)n);
    if (!err)
        conc_queue_destroy(&q);
    return err;
}

static int64_t shared_queue_capacity(int64_t n)
{
    return (int64_t)conc_shared_queue_bytes(8, (size_t)n);
}

static int64_t shared_size(int64_t n)
{
    void *block;
    int err = conc_shared_new(&block, (size_t)n);
    return err ? err : conc_shared_free(block);
}

static int64_t bytes_size(int64_t n)
{
    conc_bytes b;
    int err = conc_bytes_new(&b, (size_t)n);
    if (!err)
        conc_bytes_free(&b);
    return err;
}

static int64_t future_result_size(int64_t n)
{
    conc_future *f;
    int err = conc_future_new(&f, (size_t)n);
    if (!err)
        conc_future_unref(f);
    return err;
}

static int64_t thread_stack(int64_t n)
{
    conc_thread *t;
    const conc_thread_options options = {.stack_size = (size_t)n};
    int err = conc_thread_start(&t, job_return, &(int){0}, sizeof(int), &options);
    if (!err) {
        err = conc_thread_join(t, NULL, CONC_FOREVER);
        conc_thread_free(t);
    }
    return err;
}

static int64_t pool_stack(int64_t n)
{
    conc_executor *pool;
    const conc_thread_pool_options options = {.stack_size = (size_t)n};
    int err = conc_thread_pool_new(&pool, 1, &options);
    if (!err)
        conc_executor_free(pool);
    return err;
}

static int64_t pool_threads(int64_t n)
{
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, (size_t)n, NULL);
    if (!err)
        conc_executor_free(pool);
    return err;
}

static int64_t process_pool_workers(int64_t n)
{
    conc_executor *pool;
    return conc_process_pool_new(&pool, (size_t)n, NULL);
}

static int64_t loop_pool_loops(int64_t n)
{
    conc_executor *pool;
    return conc_loop_pool_new(&pool, (size_t)n);
}

static int64_t shutdown_flags(int64_t n)
{
    conc_executor *inline_executor;
    CHECK_EQUAL(conc_inline_new(&inline_executor), 0);
    int err = conc_executor_shutdown(inline_executor, (unsigned)n, CONC_FOREVER);
    conc_executor_free(inline_executor);
    return err;
}

static int64_t generator_stack(int64_t n)
{
    conc_generator *g;
    const conc_generator_options options = {.stack_size = (size_t)n};
    int err = conc_generator_new(&g, (conc_generator_fn *)(void (*)(void))job_return, NULL, 0, 0,
                                 &options);
    if (!err)
        conc_generator_free(g);
    return err;
}

static int64_t timer_after(int64_t n)
{
    conc_timer *t;
    int err = conc_timer_start(&t, n, job_return, &(int){0}, sizeof(int));
    if (!err) {
        conc_timer_cancel(t);
        conc_timer_free(t);
    }
    return err;
}

static int64_t loop_backend(int64_t n)
{
    conc_loop *loop;
    const conc_loop_options options = {.backend = (conc_backend)n};
    int err = conc_loop_new(&loop, &options);
    return err ? err : conc_loop_free(loop);
}

static int64_t loop_slow_after(int64_t n)
{
    conc_loop *loop;
    const conc_loop_options options = {.slow_after_ns = n};
    int err = conc_loop_new(&loop, &options);
    return err ? err : conc_loop_free(loop);
}

static conc_loop *spare_loop(void)
{
    conc_loop *loop;
    CHECK_EQUAL(conc_loop_new(&loop, NULL), 0);
    return loop;
}

static int64_t loop_debug(int64_t n)
{
    conc_loop *loop = spare_loop();
    int err = conc_loop_set_debug(loop, n);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return err;
}

static void never_called(void *arg) { CHECK(!arg && "this callback is dropped"); }

static int64_t loop_delay(int64_t n)
{
    conc_loop *loop = spare_loop();
    int err = conc_loop_call_later(loop, n, never_called, loop, NULL);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return err;
}

static int64_t loop_time(int64_t n)
{
    conc_loop *loop = spare_loop();
    int err = conc_loop_call_at(loop, (conc_deadline){n}, never_called, loop, NULL);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return err;
}

static int64_t task_stack(int64_t n)
{
    conc_loop *loop = spare_loop();
    const conc_task_options options = {.stack_size = (size_t)n};
    conc_future *f = conc_task_start(loop, job_return, &(int){0}, sizeof(int), 0, &options);
    int err = conc_loop_run_until_complete(loop, f);
    err = err ? err : conc_future_result(f, NULL, CONC_NOW);
    conc_future_unref(f);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return err;
}

static int64_t reader_fd(int64_t n)
{
    conc_loop *loop = spare_loop();
    int err = conc_loop_add_reader(loop, (int)n, never_called, loop);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return err;
}

static int64_t handled_signal(int64_t n)
{
    conc_loop *loop = spare_loop();
    int err = conc_loop_add_signal_handler(loop, (int)n, never_called, loop);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return err;
}

static int64_t wait_mode(int64_t n)
{
    conc_future *f;
    CHECK_EQUAL(conc_future_new(&f, 0), 0);
    CHECK_EQUAL(conc_future_set_result(f, NULL), 0);
    ssize_t done = conc_wait(&f, 1, (conc_wait_mode)n, CONC_FOREVER);
    conc_future_unref(f);
    return done == 1 ? 0 : done;
}

static int64_t map_chunk(int64_t n)
{
    conc_executor *inline_executor;
    int in[] = {2, 3}, out[2];
    const conc_map_options options = {.chunk = (size_t)n};
    CHECK_EQUAL(conc_inline_new(&inline_executor), 0);
    int err = conc_map(inline_executor, job_square, in, 2, sizeof *in, out, sizeof *out, &options,
                       CONC_FOREVER);
    CHECK(err || (out[0] == 4 && out[1] == 9));
    conc_executor_free(inline_executor);
    return err;
}

static int64_t read_place(int64_t n)
{
    char byte;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ssize_t got = conc_pread(fd, &byte, 1, n, CONC_FOREVER);
    close(fd);
    return got == 1 ? 0 : got;
}

static int64_t file_size(int64_t n)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int err = conc_ftruncate(fd, n, CONC_FOREVER);
    close(fd);
    return err;
}

static int64_t listen_backlog(int64_t n)
{
    int fd = conc_socket(AF_INET, SOCK_STREAM, 0);
    int err = conc_listen(fd, (int)n);
    close(fd);
    return err;
}

static int64_t stream_fd(int64_t n)
{
    conc_stream *s;
    int err = conc_stream_new(&s, (int)n, NULL);
    CHECK(err); /* the cases are none */
    return err;
}

static int64_t server_time(int64_t n)
{
    conc_server *server;
    conc_server_options options = {.grace_ns = n};
    CHECK_EQUAL(conc_inline_new(&options.executor), 0);
    int fd = conc_unix_listen("@conc-test-arguments", 0);
    int err = conc_server_start(&server, fd, (conc_stream_fn *)(void (*)(void))job_return, NULL,
                                &options);
    if (err)
        conc_close(fd);
    else
        CHECK_EQUAL(conc_server_free(server), 0);
    conc_executor_free(options.executor);
    return err;
}

static int64_t child_input(int64_t n)
{
    conc_subprocess *child;
    static const char *const argv[] = {"true", NULL};
    const conc_subprocess_options options = {.in = (int)n};
    int err = conc_subprocess_start(&child, argv, &options);
    if (!err)
        conc_subprocess_free(child);
    return err;
}

static int64_t time_ahead(int64_t n) { return conc_in(n).ns < 1 || conc_at(n).ns < 1; }

static int64_t sleep_length(int64_t n) { return conc_sleep(n); }

#define BEYOND_INT ((int64_t)INT_MAX + 1)
#define GIB ((int64_t)1 << 30)

static const struct number {
    const char *what;
    number_fn *fn;
    int64_t n;
    int64_t expected;
} numbers[] = {
    {"conc_barrier_init: parties", barrier_parties, 0, -EINVAL},
    {"conc_barrier_init: parties", barrier_parties, 1, 0},
    {"conc_barrier_init: parties", barrier_parties, INT_MAX, 0},
    {"conc_barrier_init: parties", barrier_parties, BEYOND_INT, -EINVAL},
    {"conc_barrier_init: parties", barrier_parties, -1, -EINVAL},
    {"CONC_BARRIER_INIT: parties", static_barrier_parties, 0, -EINVAL},
    {"CONC_BARRIER_INIT: parties", static_barrier_parties, 1, 0},
    {"CONC_BARRIER_INIT: parties", static_barrier_parties, INT_MAX, -EAGAIN},
    {"CONC_BARRIER_INIT: parties", static_barrier_parties, BEYOND_INT, -EINVAL},
    {"CONC_BARRIER_INIT: parties", static_barrier_parties, -1, -EINVAL},
    {"conc_shared_barrier_init: parties", shared_barrier_parties, 0, -EINVAL},
    {"conc_shared_barrier_init: parties", shared_barrier_parties, 1, 0},
    {"conc_shared_barrier_init: parties", shared_barrier_parties, CONC_SHARED_BARRIER_MAX, 0},
    {"conc_shared_barrier_init: parties", shared_barrier_parties, CONC_SHARED_BARRIER_MAX + 1,
     -EINVAL},
    {"conc_shared_barrier_init: parties", shared_barrier_parties, -1, -EINVAL},
    {"conc_sem_init: value", sem_value, 0, 0},
    {"conc_sem_init: value", sem_value, CONC_SEM_MAX, 0},
    {"conc_sem_init: value", sem_value, (int64_t)CONC_SEM_MAX + 1, -EINVAL},
    {"conc_sem_init: value", sem_value, -1, -EINVAL},
    {"conc_sem_init: bound", sem_bound, 0, 0},
    {"conc_sem_init: bound", sem_bound, CONC_SEM_MAX, 0},
    {"conc_sem_init: bound", sem_bound, (int64_t)CONC_SEM_MAX + 1, -EINVAL},
    {"conc_sem_init: bound", sem_bound, -1, -EINVAL},
    {"conc_sem_release: n", sem_units, 0, -EINVAL},
    {"conc_sem_release: n", sem_units, 1, 0},
    {"conc_sem_release: n", sem_units, CONC_SEM_MAX, 0},
    {"conc_sem_release: n", sem_units, (int64_t)CONC_SEM_MAX + 1, -EOVERFLOW},
    {"conc_sem_release: n", sem_units, -1, -EOVERFLOW},
    {"conc_shared_sem_init: value", shared_sem_value, 0, 0},
    {"conc_shared_sem_init: value", shared_sem_value, CONC_SHARED_SEM_MAX, 0},
    {"conc_shared_sem_init: value", shared_sem_value, (int64_t)CONC_SHARED_SEM_MAX + 1, -EINVAL},
    {"conc_shared_sem_init: value", shared_sem_value, -1, -EINVAL},
    {"conc_shared_sem_release: n", shared_sem_units, 0, -EINVAL},
    {"conc_shared_sem_release: n", shared_sem_units, CONC_SHARED_SEM_MAX, 0},
    {"conc_shared_sem_release: n", shared_sem_units, (int64_t)CONC_SHARED_SEM_MAX + 1, -EOVERFLOW},
    {"conc_shared_sem_release: n", shared_sem_units, -1, -EOVERFLOW},
    {"conc_bucket_take: n", bucket_tokens, 0, 0},
    {"conc_bucket_take: n", bucket_tokens, 1, -EAGAIN},
    {"conc_bucket_take: n", bucket_tokens, UINT32_MAX - 1, -EAGAIN},
    {"conc_bucket_take: n", bucket_tokens, UINT32_MAX, -EINVAL},
    {"conc_queue_init: elem_size", queue_element, 0, -EINVAL},
    {"conc_queue_init: elem_size", queue_element, 1, 0},
    {"conc_queue_init: elem_size", queue_element, INT64_MAX, -ENOMEM},
    {"conc_queue_init: elem_size", queue_element, -1, -ENOMEM},
    {"conc_queue_init: capacity", queue_capacity, 0, 0},
    {"conc_queue_init: capacity", queue_capacity, 1, 0},
    {"conc_queue_init: capacity", queue_capacity, INT64_MAX, 0},
    {"conc_queue_init: capacity", queue_capacity, -1, 0},
    {"conc_queue_init: order", queue_order, CONC_LIFO, 0},
    {"conc_queue_init: order", queue_order, CONC_PRIORITY, -EINVAL},
    {"conc_queue_init: order", queue_order, CONC_PRIORITY + 1, -EINVAL},
    {"conc_queue_init: order", queue_order, -1, -EINVAL},
    {"conc_shared_queue_bytes: capacity", shared_queue_capacity, 0, 0},
    {"conc_shared_queue_bytes: capacity", shared_queue_capacity, INT64_MAX, 0},
    {"conc_shared_queue_bytes: capacity", shared_queue_capacity, -1, 0},
    {"conc_shared_new: size", shared_size, 0, -EINVAL},
    {"conc_shared_new: size", shared_size, 1, 0},
    {"conc_shared_new: size", shared_size, INT64_MIN, -EINVAL},
    {"conc_shared_new: size", shared_size, -1, -EINVAL},
    {"conc_bytes_new: n", bytes_size, 0, 0},
    {"conc_bytes_new: n", bytes_size, 1, 0},
    {"conc_bytes_new: n", bytes_size, INT64_MAX, -ENOMEM},
    {"conc_bytes_new: n", bytes_size, -1, -ENOMEM},
    {"conc_future_new: result_size", future_result_size, 0, 0},
    {"conc_future_new: result_size", future_result_size, INT64_MAX, -ENOMEM},
    {"conc_future_new: result_size", future_result_size, -2, -ENOMEM},
    {"conc_future_new: result_size", future_result_size, -1, 0}, /* CONC_BYTES */
    {"conc_thread_start: stack_size", thread_stack, 0, 0},
    {"conc_thread_start: stack_size", thread_stack, 1, 0},
    {"conc_thread_start: stack_size", thread_stack, -1, -EINVAL},
    {"conc_thread_start: stack_size", thread_stack, INT64_MIN, -EINVAL},
    {"conc_thread_pool_new: stack_size", pool_stack, 0, 0},
    {"conc_thread_pool_new: stack_size", pool_stack, 1, 0},
    {"conc_thread_pool_new: stack_size", pool_stack, -1, -EINVAL},
    {"conc_thread_pool_new: threads", pool_threads, 0, 0},
    {"conc_thread_pool_new: threads", pool_threads, -1, 0},
    {"conc_process_pool_new: workers", process_pool_workers, 1025, -EINVAL},
    {"conc_process_pool_new: workers", process_pool_workers, INT64_MAX, -EINVAL},
    {"conc_process_pool_new: workers", process_pool_workers, -1, -EINVAL},
    {"conc_loop_pool_new: loops", loop_pool_loops, INT64_MAX, -ENOMEM},
    {"conc_loop_pool_new: loops", loop_pool_loops, -1, -ENOMEM},
    {"conc_executor_shutdown: flags", shutdown_flags, 0, 0},
    {"conc_executor_shutdown: flags", shutdown_flags, 7, 0},
    {"conc_executor_shutdown: flags", shutdown_flags, 8, -EINVAL},
    {"conc_executor_shutdown: flags", shutdown_flags, -1, -EINVAL},
    {"conc_generator_new: stack_size", generator_stack, 0, 0},
    {"conc_generator_new: stack_size", generator_stack, 1, 0},
    {"conc_generator_new: stack_size", generator_stack, GIB + 1, -EINVAL},
    {"conc_generator_new: stack_size", generator_stack, -1, -EINVAL},
    {"conc_timer_start: after_ns", timer_after, 0, 0},
    {"conc_timer_start: after_ns", timer_after, INT64_MAX, 0},
    {"conc_timer_start: after_ns", timer_after, INT64_MIN, 0},
    {"conc_loop_new: backend", loop_backend, 0, 0},
    {"conc_loop_new: backend", loop_backend, CONC_BACKEND_EPOLL, 0},
    {"conc_loop_new: backend", loop_backend, CONC_BACKEND_EPOLL + 1, -EINVAL},
    {"conc_loop_new: backend", loop_backend, -1, -EINVAL},
    {"conc_loop_new: slow_after_ns", loop_slow_after, 0, 0},
    {"conc_loop_new: slow_after_ns", loop_slow_after, INT64_MAX, 0},
    {"conc_loop_new: slow_after_ns", loop_slow_after, -1, -EINVAL},
    {"conc_loop_set_debug: slow_after_ns", loop_debug, 0, 0},
    {"conc_loop_set_debug: slow_after_ns", loop_debug, INT64_MAX, 0},
    {"conc_loop_set_debug: slow_after_ns", loop_debug, INT64_MIN, -EINVAL},
    {"conc_loop_call_later: delay_ns", loop_delay, INT64_MIN, 0},
    {"conc_loop_call_later: delay_ns", loop_delay, 0, 0},
    {"conc_loop_call_later: delay_ns", loop_delay, INT64_MAX / 2, 0},
    {"conc_loop_call_later: delay_ns", loop_delay, INT64_MAX, -EINVAL},
    {"conc_loop_call_at: when", loop_time, 0, 0}, /* CONC_NOW */
    {"conc_loop_call_at: when", loop_time, INT64_MAX - 1, 0},
    {"conc_loop_call_at: when", loop_time, INT64_MAX, -EINVAL}, /* CONC_FOREVER */
    {"conc_task_start: stack_size", task_stack, 0, 0},
    {"conc_task_start: stack_size", task_stack, GIB + 1, -EINVAL},
    {"conc_task_start: stack_size", task_stack, -1, -EINVAL},
    {"conc_loop_add_reader: fd", reader_fd, -1, -EINVAL},
    {"conc_loop_add_reader: fd", reader_fd, INT_MIN, -EINVAL},
    {"conc_loop_add_signal_handler: signo", handled_signal, 0, -EINVAL},
    {"conc_loop_add_signal_handler: signo", handled_signal, -1, -EINVAL},
    {"conc_loop_add_signal_handler: signo", handled_signal, SIGKILL, -EINVAL},
    {"conc_loop_add_signal_handler: signo", handled_signal, SIGUSR1, 0},
    {"conc_loop_add_signal_handler: signo", handled_signal, NSIG, -EINVAL},
    {"conc_wait: mode", wait_mode, CONC_FIRST_COMPLETED, 0},
    {"conc_wait: mode", wait_mode, CONC_ALL_COMPLETED, 0},
    {"conc_wait: mode", wait_mode, CONC_ALL_COMPLETED + 1, -EINVAL},
    {"conc_wait: mode", wait_mode, -1, -EINVAL},
    {"conc_map: chunk", map_chunk, 0, 0},
    {"conc_map: chunk", map_chunk, 1, 0},
    {"conc_map: chunk", map_chunk, -1, 0},
    {"conc_pread: at", read_place, 0, 0},
    {"conc_pread: at", read_place, -1, -EINVAL},
    {"conc_pread: at", read_place, INT64_MIN, -EINVAL},
    {"conc_ftruncate: size", file_size, 0, 0},
    {"conc_ftruncate: size", file_size, -1, -EINVAL},
    {"conc_ftruncate: size", file_size, INT64_MAX, -EFBIG},
    {"conc_listen: backlog", listen_backlog, 0, 0},
    {"conc_listen: backlog", listen_backlog, INT_MAX, 0},
    {"conc_listen: backlog", listen_backlog, -1, -EINVAL},
    {"conc_stream_new: fd", stream_fd, -1, -EBADF},
    {"conc_stream_new: fd", stream_fd, INT_MAX, -EBADF},
    {"conc_server_start: grace_ns", server_time, 0, 0},
    {"conc_server_start: grace_ns", server_time, INT64_MAX, 0},
    {"conc_server_start: grace_ns", server_time, -1, -EINVAL},
    {"conc_subprocess_start: in", child_input, CONC_SUBPROCESS_NULL, 0},
    {"conc_subprocess_start: in", child_input, CONC_SUBPROCESS_NULL - 1, -EINVAL},
    {"conc_subprocess_start: in", child_input, CONC_SUBPROCESS_STDOUT, -EINVAL},
    {"conc_subprocess_start: in", child_input, INT_MAX, -EBADF},
    {"conc_in, conc_at: ns", time_ahead, 0, 0},
    {"conc_in, conc_at: ns", time_ahead, -1, 0},
    {"conc_in, conc_at: ns", time_ahead, INT64_MIN, 0},
    {"conc_in, conc_at: ns", time_ahead, INT64_MAX, 0},
    {"conc_sleep: ns", sleep_length, 0, 0},
    {"conc_sleep: ns", sleep_length, INT64_MIN, 0},
};

static void test_a_number_at_the_end_of_its_range_or_beyond_is_taken_or_refused(void **state)
{
    int wrong = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const struct number *c = &numbers[i];
        int64_t got = c->fn(c->n);
        if (got == c->expected)
            continue;
        wrong++;
        fprintf(stderr, "# %s of %lld: %lld, not %lld\n", c->what, (long long)c->n, (long long)got,
                (long long)c->expected);
    }
    assert_int_equal(wrong, 0);
}

/* ---- A size, and no memory ---- */

/* What is passed as the argument of a job, with which size. */
struct lack {
    const void *arg;
    size_t size;
};

static const conc_bytes hollow = {NULL, 5};
static const struct lack lacks[] = {{NULL, 4}, {NULL, CONC_BYTES}, {&hollow, CONC_BYTES}};

static int refused(conc_future *f)
{
    int err = conc_future_error(f);
    conc_future_unref(f);
    return err;
}

static void test_a_job_without_the_argument_that_its_size_promises_is_refused(void **state)
{
    conc_executor *pool;
    conc_loop *loop = spare_loop();
    conc_thread *thread = NULL;
    conc_timer *timer = NULL;
    conc_process *process = NULL;
    assert_int_equal(conc_thread_pool_new(&pool, 1, NULL), 0);
    for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
        const void *arg = lacks[i].arg;
        const size_t size = lacks[i].size;
        assert_int_equal(refused(conc_submit(pool, job_count, arg, size, 0)), -EINVAL);
        assert_int_equal(conc_call(pool, job_count, arg, size, NULL, 0, CONC_FOREVER), -EINVAL);
        assert_int_equal(conc_map(pool, job_count, arg, 1, size, NULL, 0, NULL, CONC_FOREVER),
                         -EINVAL);
        assert_int_equal(refused(conc_task_start(loop, job_count, arg, size, 0, NULL)), -EINVAL);
        assert_int_equal(conc_run(job_count, arg, size, NULL, 0), -EINVAL);
        assert_int_equal(conc_thread_start(&thread, job_count, arg, size, NULL), -EINVAL);
        assert_int_equal(conc_timer_start(&timer, 0, job_count, arg, size), -EINVAL);
        assert_int_equal(conc_process_start(&process, job_count, arg, size, NULL), -EINVAL);
        assert_true(!thread && !timer && !process);
    }
    conc_executor_free(pool);
    free_loop(loop);
}

static void test_an_array_of_bytes_with_one_that_has_none_runs_no_job(void **state)
{
    conc_executor *pool, *processes = NULL;
    const conc_bytes in[] = {{(char[]){"some"}, 4}, hollow};
    const conc_process_pool_options options = {.init = job_count, .arg_size = 4};
    assert_int_equal(conc_thread_pool_new(&pool, 1, NULL), 0);
    for (size_t chunk = 1; chunk <= 2; chunk++)
        assert_int_equal(conc_map(pool, job_count, in, 2, CONC_BYTES, NULL, 0,
                                  &(conc_map_options){.chunk = chunk}, CONC_FOREVER),
                         -EINVAL);
    assert_int_equal(conc_process_pool_new(&processes, 1, &options), -EINVAL);
    conc_executor_free(pool);
}

static void test_a_size_without_memory_is_EINVAL(void **state)
{
    conc_bytes copy = {0};
    conc_queue q;
    conc_future *f;
    conc_as_completed *it = NULL;
    conc_pipe *a, *b;
    assert_int_equal(conc_bytes_copy(&copy, NULL, 5), -EINVAL);
    assert_int_equal(conc_queue_init(&q, 4, 0, CONC_FIFO), 0);
    assert_int_equal(conc_queue_put_many(&q, NULL, 2, CONC_NOW), -EINVAL);
    assert_int_equal(conc_queue_get_many(&q, NULL, 2, CONC_NOW), -EINVAL);
    conc_queue_destroy(&q);
    assert_int_equal(conc_future_new(&f, CONC_BYTES), 0);
    assert_int_equal(conc_future_set_result(f, &hollow), -EINVAL);
    assert_false(conc_future_is_done(f));
    conc_future_unref(f);
    assert_int_equal(conc_wait(NULL, 2, CONC_ALL_COMPLETED, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_gather(NULL, 2, NULL, CONC_FOREVER), -EINVAL);
    assert_int_equal(conc_as_completed_new(&it, NULL, 2), -EINVAL);
    assert_int_equal(conc_pipe_new(&a, &b), 0);
    assert_int_equal(conc_pipe_send(a, NULL, 5, CONC_NOW), -EINVAL);
    assert_int_equal(conc_pipe_send_fds(a, NULL, 0, NULL, 1, CONC_NOW), -EINVAL);
    conc_pipe_free(a);
    conc_pipe_free(b);
}

static void test_input_and_output_without_memory_is_EINVAL(void)
{
    int fds[2];
    conc_stream *s;
    char *piece;
    make_sockets(SOCK_STREAM, fds);
    CHECK_EQUAL(conc_read(fds[0], NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_write(fds[0], NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_write_all(fds[0], NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_pread(fds[0], NULL, 5, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_pwrite(fds[0], NULL, 5, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_recv(fds[0], NULL, 5, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_send(fds[0], NULL, 5, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_sendall(fds[0], NULL, 5, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_recvfrom(fds[0], NULL, 5, 0, NULL, NULL, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_sendto(fds[0], NULL, 5, 0, NULL, 0, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_bind(fds[0], NULL, 5), -EINVAL);
    CHECK_EQUAL(conc_connect(fds[0], NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_new(&s, fds[0], NULL), 0);
    CHECK_EQUAL(conc_stream_read(s, NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_read_exactly(s, NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_read_until(s, NULL, 5, &piece, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_write(s, NULL, 5, CONC_FOREVER), -EINVAL);
    CHECK_EQUAL(conc_stream_close(s, CONC_NOW), 0);
    conc_close(fds[1]);
}

/* ---- The environment ---- */

struct setting {
    const char *name, *value;
    int expected;
    const char *message;
};

static const struct setting settings[] = {
    {"CONC_BACKEND", "", 0, ""},
    {"CONC_BACKEND", "epoll", 0, ""},
    {"CONC_BACKEND", "uring", 0, ""},
    {"CONC_BACKEND", "io_uring", -EINVAL,
     "CONC_BACKEND is \"io_uring\"; it must be uring or epoll"},
    {"CONC_BACKEND", "EPOLL", -EINVAL, "CONC_BACKEND is \"EPOLL\"; it must be uring or epoll"},
    {"CONC_BACKEND", " epoll", -EINVAL, "CONC_BACKEND is \" epoll\"; it must be uring or epoll"},
    {"CONC_DEBUG", "", 0, ""},
    {"CONC_DEBUG", "0", 0, ""},
    {"CONC_DEBUG", "0.5", 0, ""},
    {"CONC_DEBUG", "100", 0, ""},
    {"CONC_DEBUG", "-1", -EINVAL, "CONC_DEBUG is \"-1\"; it must be a number of milliseconds"},
    {"CONC_DEBUG", "yes", -EINVAL, "CONC_DEBUG is \"yes\"; it must be a number of milliseconds"},
    {"CONC_DEBUG", "10ms", -EINVAL, "CONC_DEBUG is \"10ms\"; it must be a number of milliseconds"},
    {"CONC_DEBUG", "nan", -EINVAL, "CONC_DEBUG is \"nan\"; it must be a number of milliseconds"},
    {"CONC_DEBUG", "inf", -EINVAL, "CONC_DEBUG is \"inf\"; it must be a number of milliseconds"},
    {"CONC_DEBUG", "1e300", -EINVAL,
     "CONC_DEBUG is \"1e300\"; it must be a number of milliseconds"},
};

static int makes_a_loop(void *arg)
{
    const struct setting *s = arg;
    conc_loop *loop = NULL;
    CHECK_EQUAL(setenv(s->name, s->value, 1), 0);
    int err = conc_loop_new(&loop, NULL);
    CHECK_EQUAL(err, s->expected);
    CHECK(!strcmp(err ? conc_error_message() : "", s->message));
    CHECK(!err == !!loop);
    CHECK_EQUAL(conc_loop_free(loop), 0);
    return 0;
}

static void test_an_unknown_value_in_the_environment_is_EINVAL_and_named(void **state)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        assert_int_equal(in_child(makes_a_loop, (void *)(uintptr_t)&settings[i]), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_number_at_the_end_of_its_range_or_beyond_is_taken_or_refused),
    LEAK_TEST(test_a_job_without_the_argument_that_its_size_promises_is_refused),
    LEAK_TEST(test_an_array_of_bytes_with_one_that_has_none_runs_no_job),
    LEAK_TEST(test_a_size_without_memory_is_EINVAL),
    ON_EVERY_WAY(test_input_and_output_without_memory_is_EINVAL),
    LEAK_TEST(test_an_unknown_value_in_the_environment_is_EINVAL_and_named),
};

TEST_MAIN(tests, 60)
