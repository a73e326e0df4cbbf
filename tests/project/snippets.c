/* SPDX-License-Identifier: MIT
 *
 * snippets.c: the code that the public headers' comments show, so that the compiler sees it.
 * check_snippets.py finds a line there that is not here.
 */
#include <conc.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

conc_fn square;
conc_fn work;
conc_fn fetch;
conc_fn check_primes;
conc_fn is_prime;
int fetch_and_store(void);
int raise_example(const char *url, int status);
void describe_example(conc_future *future, conc_deadline deadline);
int scope_example(void);
void with_example(void);
int executor_example(void);
int imap_example(conc_executor *pool, const int *in, size_t n);
int thread_example(const char *url);
ssize_t signal_future_example(void);
int run_example(void);
size_t struct_example(void);
int signal_example(void);
int local_example(void);
void log_line(const char *format, const char *text);
int connect_example(void);
int bytes_example(void);
int bytes_job_example(conc_executor *pool);
int pipe_example(int question);
int process_example(int range);
int process_pool_example(const int *numbers, size_t n, bool *answers);
int stream_example(int number, conc_deadline deadline);
int server_example(void);
int shared_example(long n);
int shared_queue_example(void);
int subprocess_example(const char *text, size_t size, conc_deadline deadline);
int generator_example(void);
int task_example(void);
int loop_example(void);
int group_example(conc_executor *pool);

int raise_example(const char *url, int status)
{
    return conc_raise(-EIO, "%s: bad status %d", url, status);
}

void describe_example(conc_future *future, conc_deadline deadline)
{
    int answer;
    int err = conc_future_result(future, &answer, deadline);
    if (err)
        fprintf(stderr, "no answer: %s\n", conc_describe(err));
}

int scope_example(void)
{
    conc_scope scope;
    conc_scope_enter(&scope, conc_in(CONC_S(5)));
    int err = fetch_and_store();
    int why = conc_scope_exit(&scope);
    return why ? why : err;
}

static int counter;

void with_example(void)
{
    static conc_lock lock = CONC_LOCK_INIT;
    conc_with_lock (&lock) {
        counter++;
    }
}

int executor_example(void)
{
    int n = 3, answer;
    conc_executor *pool;
    int err = conc_thread_pool_new(&pool, 4, NULL);
    if (err)
        return err;
    conc_future *f = conc_submit(pool, square, &n, sizeof n, sizeof(int));
    err = conc_future_result(f, &answer, CONC_FOREVER);
    conc_future_unref(f);
    conc_executor_free(pool);
    return err ? err : answer;
}

int imap_example(conc_executor *pool, const int *in, size_t n)
{
    conc_imap *squares;
    int err = conc_imap_new(&squares, pool, square, in, n, sizeof *in, sizeof(int), NULL);
    if (err)
        return err;
    int answer;
    while ((err = conc_imap_next(squares, &answer, NULL, CONC_FOREVER)) == 1)
        printf("%d\n", answer);
    conc_imap_free(squares);
    return err; // 0, or the error of the first element that failed
}

int thread_example(const char *url)
{
    conc_thread *t;
    int err = conc_thread_start(&t, fetch, &url, sizeof url, NULL);
    if (err)
        return err;
    err = conc_thread_join(t, NULL, CONC_FOREVER);
    conc_thread_free(t);
    return err;
}

ssize_t signal_future_example(void)
{
    sigset_t set;
    sigemptyset(&set);
    conc_future *either[] = {conc_spawn(work, NULL, 0, 0), conc_signal_future(&set)};
    ssize_t done = conc_wait(either, 2, CONC_FIRST_COMPLETED, CONC_FOREVER);
    if (!conc_future_is_done(either[0]))
        conc_future_cancel(either[0]); // a signal came first
    return done;
}

int signal_example(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    int signo = conc_signal_wait(&set, CONC_FOREVER);
    return signo;
}

int local_example(void)
{
    static conc_local *request;
    int made = conc_local_new(&request, free);
    if (made)
        return made;
    int err = conc_local_set(request, strdup("42"));
    log_line("request %s", (char *)conc_local_get(request));
    conc_local_free(request);
    return err;
}

int connect_example(void)
{
    char answer[64];
    int fd = conc_tcp_connect("localhost", 8080, conc_in(CONC_S(5)));
    if (fd < 0)
        return fd; // conc_error_message() tells more
    int err = conc_sendall(fd, "ping\n", 5, 0, conc_in(CONC_S(1)));
    ssize_t n = conc_recv(fd, answer, sizeof answer, 0, conc_in(CONC_S(1)));
    conc_close(fd);
    return err ? err : (int)n;
}

static int count_to(conc_generator *g, void *arg)
{
    int end = *(int *)arg;
    for (int i = 1; i <= end; i++)
        if (conc_generator_yield(g, &i) != 0)
            break; // nobody wants more
    return 0;
}

int generator_example(void)
{
    conc_generator *g;
    int i, end = 3;
    int err = conc_generator_new(&g, count_to, &end, sizeof end, sizeof i, NULL);
    if (err)
        return err;
    while ((err = conc_generator_next(g, &i, CONC_FOREVER)) == 1)
        printf("%d\n", i);
    conc_generator_free(g);
    return err; // 0, or the error that the body has ended with
}

int stream_example(int number, conc_deadline deadline)
{
    char *line;
    conc_stream *stream;
    int err = conc_stream_connect(&stream, "localhost", 7777, NULL, deadline);
    if (err)
        return err;
    conc_stream_printf(stream, deadline, "hello %d\n", number); // need not be sent yet
    ssize_t n = conc_stream_read_line(stream, &line, deadline); // has to wait: now it is
    n = conc_stream_read_line(stream, &line, deadline);
    if (n == -EMSGSIZE)
        n = conc_stream_skip_until(stream, "\n", 1, deadline); // then the next line
    err = conc_stream_close(stream, deadline);
    return n < 0 ? (int)n : err;
}

static int echo(conc_stream *stream, void *arg)
{
    char *line;
    ssize_t n;
    while ((n = conc_stream_read_line(stream, &line, CONC_FOREVER)) > 0) {
        conc_stream_write(stream, line, n, CONC_FOREVER);
        conc_stream_flush(stream, CONC_FOREVER);
    }
    return (int)n;
}

int server_example(void)
{
    int err = conc_tcp_serve(NULL, 7777, echo, NULL, NULL, CONC_FOREVER); // until cancelled
    return err;
}

int subprocess_example(const char *text, size_t size, conc_deadline deadline)
{
    const char *sorted;
    size_t n;
    const char *argv[] = {"sort", "-n", NULL};
    conc_subprocess_options options = {.in = CONC_SUBPROCESS_PIPE, .out = CONC_SUBPROCESS_PIPE};
    conc_subprocess *sort;
    int err = conc_subprocess_start(&sort, argv, &options);
    if (err)
        return err;
    err = conc_subprocess_communicate(sort, text, size, &sorted, &n, NULL, NULL, deadline);
    if (!err)
        fwrite(sorted, 1, n, stdout);
    conc_subprocess_free(sort);
    return err;
}

static int hello(void *arg, void *result)
{
    conc_sleep(CONC_MS(100));
    puts("hello");
    return 0;
}

int task_example(void)
{
    conc_future *f = conc_spawn(hello, NULL, 0, 0); // in a task, or a callback of a loop
    int err = conc_future_result(f, NULL, CONC_FOREVER);
    conc_future_unref(f);
    return err;
}

static int other_task(void *arg, void *result) { return 0; }

static int main_task(void *arg, void *result)
{
    conc_future *f = conc_spawn(other_task, NULL, 0, 0);
    conc_future_unref(f);
    return 0;
}

size_t struct_example(void)
{
    size_t align, size = conc_struct_size("conc_lock", &align);
    return size + align;
}

int run_example(void)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    const conc_run_options options = {.cancel_on = &interrupt};
    int err = conc_run_with(main_task, NULL, 0, NULL, 0, &options);
    return err;
}

int loop_example(void)
{
    int err = conc_run(main_task, NULL, 0, NULL, 0);
    return err;
}

struct tally {
    conc_shared_lock lock;
    long words;
};

int shared_example(long n)
{
    void *block;
    int err;
    err = conc_shared_new(&block, sizeof(struct tally)); // before the processes are forked
    if (err)
        return err;
    struct tally *tally = block;
    err = conc_shared_lock_init(&tally->lock);
    if (err)
        return err;

    err = conc_shared_lock_enter(&tally->lock); // in any of them
    if (err == -EOWNERDEAD)
        conc_shared_lock_make_consistent(&tally->lock); // having set right what it guards
    tally->words += n;
    conc_shared_lock_release(&tally->lock);
    return conc_shared_free(block);
}

struct order {
    int number;
};

int shared_queue_example(void)
{
    void *block;
    int err;
    size_t size = conc_shared_queue_bytes(sizeof(struct order), 1000);
    err = conc_shared_new(&block, size);
    if (err)
        return err;
    conc_shared_queue *orders = block;
    err = conc_shared_queue_init(orders, sizeof(struct order), 1000);
    conc_shared_free(block);
    return err;
}

int pipe_example(int question)
{
    conc_pipe *ours, *theirs;
    int err = conc_pipe_new(&ours, &theirs);
    if (err)
        return err;
    err = conc_pipe_send(ours, &question, sizeof question, CONC_FOREVER);
    if (err)
        return err;
    conc_bytes answer;
    err = conc_pipe_recv(ours, &answer, conc_in(CONC_S(5)));
    if (err)
        return err;
    conc_bytes_free(&answer);
    conc_pipe_free(ours);
    conc_pipe_free(theirs);
    return 0;
}

int process_example(int range)
{
    conc_process *p;
    int err = conc_process_start(&p, check_primes, &range, sizeof range, NULL);
    if (err)
        return err;
    err = conc_process_join(p, conc_in(CONC_S(10)));
    conc_process_free(p);
    return err;
}

int process_pool_example(const int *numbers, size_t n, bool *answers)
{
    conc_executor *pool;
    int err = conc_process_pool_new(&pool, 4, NULL);
    if (err)
        return err;
    err = conc_map(pool, is_prime, numbers, n, sizeof *numbers, answers, sizeof *answers, NULL,
                   CONC_FOREVER);
    conc_executor_free(pool);
    return err;
}

static int upper(void *arg, void *result)
{
    const conc_bytes *in = arg;
    conc_bytes *out = result;
    int err = conc_bytes_copy(out, in->data, in->size);
    for (size_t i = 0; !err && i < out->size; i++)
        ((char *)out->data)[i] = (char)toupper(((char *)out->data)[i]);
    return err;
}

int bytes_job_example(conc_executor *pool)
{
    int err;
    conc_bytes in = {(char[]){"some text"}, 9}, out;
    conc_future *f = conc_submit(pool, upper, &in, CONC_BYTES, CONC_BYTES);
    err = conc_future_result(f, &out, CONC_FOREVER); // a copy, ours
    conc_future_unref(f);
    if (!err)
        conc_bytes_free(&out);
    return err;
}

int bytes_example(void)
{
    conc_bytes text;
    int err = conc_bytes_copy(&text, "abc", 3);
    if (err)
        return err;
    conc_bytes_free(&text);
    return 0;
}

conc_fn produce;

int group_example(conc_executor *pool)
{
    conc_queue queue;
    int sum = 0;
    if (conc_queue_init(&queue, sizeof(int), 0, CONC_FIFO))
        return -1;
    int err = 0, item;
    conc_with_group (g, &err, conc_in(CONC_S(30))) {
        conc_group_submit(g, pool, produce, &queue, sizeof queue, NULL, 0);
        while ((err = conc_queue_get(&queue, &item, CONC_FOREVER)) == 0)
            sum += item;
    }
    conc_queue_destroy(&queue);
    return err ? err : sum;
}
