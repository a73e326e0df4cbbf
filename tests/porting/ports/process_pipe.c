/* SPDX-License-Identifier: MIT */
#include <conc.h>
#include <stdio.h>
#include <string.h>

struct question {
    char word[16];
    int times;
};

static int answer(conc_pipe *connection, const struct question *question)
{
    conc_bytes text;
    size_t size = strlen(question->word);
    int err = conc_bytes_new(&text, size * (size_t)question->times);
    if (err)
        return err;
    for (int i = 0; i < question->times; i++)
        memcpy((char *)text.data + (size_t)i * size, question->word, size);
    err = conc_pipe_send(connection, text.data, text.size, CONC_FOREVER);
    conc_bytes_free(&text);
    return err;
}

/* In the process. It has its own end of the pipe only: the other end's close is the end. */
static int repeat(void *arg, void *result)
{
    conc_pipe *connection;
    struct question question;
    int err = conc_pipe_new_from_fd(&connection, conc_process_fd(0));
    if (err)
        return err;
    ptrdiff_t n;
    while ((n = conc_pipe_recv_into(connection, &question, sizeof question, CONC_FOREVER)) >= 0)
        if ((err = answer(connection, &question)) != 0)
            break;
    conc_pipe_free(connection);
    return n == -ENODATA ? 0 : err ? err : (int)n;
}

static int ask(conc_pipe *connection, const struct question *question)
{
    conc_bytes text;
    int err = conc_pipe_send(connection, question, sizeof *question, CONC_FOREVER);
    if (!err)
        err = conc_pipe_recv(connection, &text, CONC_FOREVER);
    if (err)
        return err;
    printf("%.*s\n", (int)text.size, (char *)text.data);
    conc_bytes_free(&text);
    return 0;
}

static int run(void)
{
    static const struct question questions[] = {{"ab", 3}, {"x", 5}, {"-", 10}};
    conc_pipe *ours, *theirs;
    int err = conc_pipe_new(&ours, &theirs);
    if (err)
        return err;
    int fd = conc_pipe_fd(theirs);
    conc_process_options options = {.name = "repeat", .fds = &fd, .n_fds = 1};
    conc_process *process = NULL;
    err = conc_process_start(&process, repeat, NULL, 0, &options);
    conc_pipe_free(theirs);
    for (int i = 0; !err && i < 3; i++)
        err = ask(ours, &questions[i]);
    conc_pipe_free(ours);
    if (!err) {
        int status = -1;
        err = conc_process_join(process, CONC_FOREVER);
        conc_process_exitcode(process, &status);
        printf("%s has ended: %d\n", conc_process_name(process), status);
    }
    conc_process_free(process); /* which ends it, if it has not */
    return err;
}

int main(void)
{
    int err = run();
    if (err)
        fprintf(stderr, "process_pipe: %s\n", conc_describe(err));
    return err ? 1 : 0;
}
