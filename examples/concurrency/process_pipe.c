/* SPDX-License-Identifier: MIT
 *
 * process_pipe.c, the chapter's process_pipe.py: a pipe carries a number, a string, a record and an
 * end marker to a child process; and back, how many there were.
 *
 * Python's pipe takes any object (it pickles them), C's takes bytes: here the bytes of a struct
 * that says what it holds. Watch: messages come out as they went in, whole and one by one; and the
 * parent can send before there is a child, because the pipe keeps them.
 */
#include <conc.h>
#include <inttypes.h>
#include <stdio.h>

#include "support/child.h"
#include "support/listing.h"

enum kind { NONE, NUMBER, TEXT, RECORD };

/* A value: a pointer in it would mean nothing in the other process. */
struct item {
    enum kind kind;
    union {
        int64_t number;
        char text[32];
        struct {
            char key[16];
            int64_t value;
        } record;
    };
};

static void print_item(const char *who, const struct item *item)
{
    switch (item->kind) {
    case NONE:
        printf("%s: None\n", who);
        break;
    case NUMBER:
        printf("%s: %" PRId64 "\n", who, item->number);
        break;
    case TEXT:
        printf("%s: %s\n", who, item->text);
        break;
    case RECORD:
        printf("%s: {'%s': %" PRId64 "}\n", who, item->record.key, item->record.value);
        break;
    }
}

/* In the child, until the end marker comes: how many items there were before, or an error. */
static int receive_items(conc_pipe *connection)
{
    for (int count = 0;; count++) {
        struct item instance;
        ptrdiff_t n = conc_pipe_recv_into(connection, &instance, sizeof instance, CONC_FOREVER);
        if (n < 0)
            return (int)n;
        print_item("CHLD: recv", &instance);
        if (instance.kind == NONE)
            return count;
    }
}

static int worker(void *arg, void *result)
{
    conc_pipe *connection;
    int err = conc_pipe_new_from_fd(&connection, conc_process_fd(0));
    if (err)
        return err;
    int count = receive_items(connection);
    err = count < 0 ? count : conc_pipe_send(connection, &count, sizeof count, CONC_FOREVER);
    conc_pipe_free(connection);
    return err ? err : printed();
}

static int send_items(conc_pipe *connection)
{
    static const struct item items[] = {
        {NUMBER, .number = 42},
        {TEXT, .text = "some string"},
        {RECORD, .record = {"one", 1}},
        {.kind = NONE},
    };
    int err = 0;
    for (size_t i = 0; i < sizeof items / sizeof *items && !err; i++) {
        print_item("PRNT: send", &items[i]);
        err = conc_pipe_send(connection, &items[i], sizeof items[i], CONC_FOREVER);
    }
    return err;
}

/* What the child says, and how it ends. If it failed it has said nothing, and its error tells more
 * than the end of the pipe. */
static int hear_child(conc_process *child, conc_pipe *connection)
{
    int count;
    ptrdiff_t n = conc_pipe_recv_into(connection, &count, sizeof count, CONC_FOREVER);
    int err = conc_process_join(child, CONC_FOREVER);
    if (!err && n < 0)
        err = conc_raise((int)n, "no answer from the child: %s", conc_strerror((int)n));
    if (!err)
        printf("PRNT: recv: %d items came\n", count);
    return err;
}

static int talk_to_child(void)
{
    conc_pipe *parent_conn, *child_conn;
    int err = conc_pipe_new(&parent_conn, &child_conn);
    if (err)
        return err;
    conc_process *child = NULL;
    const int fds[] = {conc_pipe_fd(child_conn)};
    err = send_items(parent_conn);
    if (!err)
        err = conc_process_start(&child, worker, NULL, 0,
                                 &(conc_process_options){.fds = fds, .n_fds = 1});
    /* The child has its own: if this one stayed open here, the parent would wait for ever for a
     * dead child. */
    conc_pipe_free(child_conn);
    if (!err)
        err = hear_child(child, parent_conn);
    conc_process_free(child);
    conc_pipe_free(parent_conn);
    return err;
}

int main(int argc, char **argv)
{
    parse_options(argc, argv, "A pipe carries a number, a string and a record to a child process.",
                  NULL);
    return exit_status(talk_to_child());
}
