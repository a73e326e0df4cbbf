/* SPDX-License-Identifier: MIT
 *
 * kinds_pipe.c: pipes, FIFOs, and both sides of a terminal.
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "kinds.h"
#include "support.h"

/* ---- What has two ends ---- */

/* The rig has a descriptor and a peer: bring them into its state. */
static struct setup ends_prepare(struct rig *r)
{
    switch (r->state) {
    case IS_READY:
        for (unsigned i = 0; r->side == TO_READ && i < r->n; i++)
            rig_supply(r, r->peer);
        break;
    case IS_WAITING:
        if (r->side == TO_WRITE)
            rig_fill(r->fd);
        break;
    case IS_ENDED:
        close(r->peer);
        r->peer = -1;
        break;
    default:
        return NO_SUCH("nothing else can go wrong");
    }
    return PREPARED;
}

static void ends_unblock(struct rig *r)
{
    if (r->side == TO_READ)
        rig_supply(r, r->peer);
    else
        rig_make_room(r);
}

static void ends_tell(struct rig *r, char *text)
{
    if (r->side == TO_READ && r->state != IS_WRONG_WAY)
        rig_tell_left(r, text);
    else if (r->peer >= 0)
        rig_tell_arrived(r, text);
}

/* ---- Pipes ---- */

static void pipe_take(struct rig *r, const int ends[2])
{
    bool reads = (r->side == TO_READ) != (r->state == IS_WRONG_WAY);
    r->fd = ends[reads ? 0 : 1];
    r->peer = ends[reads ? 1 : 0];
    CHECK(fcntl(r->fd, F_SETPIPE_SZ, 16384) > 0); /* soon filled, and with room for two writes */
    set_blocking(r->fd, true);
    set_blocking(r->peer, false);
}

static struct setup pipe_prepare(struct rig *r)
{
    int ends[2];
    CHECK_EQUAL(pipe2(ends, O_CLOEXEC), 0);
    pipe_take(r, ends);
    return r->state == IS_WRONG_WAY ? PREPARED : ends_prepare(r);
}

const struct kind kind_pipe = {
    .name = "pipe",
    .prepare = pipe_prepare,
    .unblock = ends_unblock,
    .tell = ends_tell,
};

/* The other end of a FIFO that is being opened comes, and stays. */
static void fifo_come(struct rig *r)
{
    if (r->peer < 0)
        r->peer = open(r->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    CHECK(r->peer >= 0);
}

static struct setup fifo_prepare(struct rig *r)
{
    rig_name_path(r, rig_folder());
    CHECK_EQUAL(mkfifo(r->path, 0600), 0);
    if (r->opens) {
        if (r->state == IS_READY)
            fifo_come(r);
        return PREPARED;
    }
    int ends[2];
    ends[0] = open(r->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ends[1] = open(r->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(ends[0] >= 0 && ends[1] >= 0);
    pipe_take(r, ends);
    return r->state == IS_WRONG_WAY ? PREPARED : ends_prepare(r);
}

static void fifo_unblock(struct rig *r)
{
    if (r->opens)
        fifo_come(r);
    else
        ends_unblock(r);
}

static void fifo_release(struct rig *r) { unlink(r->path); }

const struct kind kind_fifo = {
    .name = "FIFO",
    .prepare = fifo_prepare,
    .unblock = fifo_unblock,
    .tell = ends_tell,
    .release = fifo_release,
};

/* ---- Terminals ---- */

static struct setup pty_prepare(struct rig *r, bool master)
{
    int ends[2];
    struct termios modes;
    char path[sizeof r->path];
    if (r->state == IS_WRONG_WAY && master)
        return NO_SUCH("a master is for both directions");
    if (openpty(&ends[0], &ends[1], path, NULL, NULL) < 0)
        return NOT_TRIED("there are no pseudo-terminals here");
    CHECK_EQUAL(tcgetattr(ends[1], &modes), 0);
    cfmakeraw(&modes);
    CHECK_EQUAL(tcsetattr(ends[1], TCSANOW, &modes), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(fcntl(ends[i], F_SETFD, FD_CLOEXEC), 0);
    r->fd = ends[master ? 0 : 1];
    r->peer = ends[master ? 1 : 0];
    set_blocking(r->peer, false);
    if (r->state == IS_WRONG_WAY) {
        r->more[0] = r->fd;
        r->fd = open(path, (r->side == TO_READ ? O_WRONLY : O_RDONLY) | O_NOCTTY | O_CLOEXEC);
        return PREPARED;
    }
    struct setup setup = ends_prepare(r);
    if (r->state == IS_READY && r->side == TO_READ)
        CHECK(fd_becomes(r->fd, POLLIN)); /* it takes a moment through the line discipline */
    return setup;
}

static struct setup pty_prepare_master(struct rig *r) { return pty_prepare(r, true); }
static struct setup pty_prepare_slave(struct rig *r) { return pty_prepare(r, false); }

const struct kind kind_pty_master = {
    .name = "pty master",
    .flags = ARRIVES_LATER,
    .prepare = pty_prepare_master,
    .seal = rig_fill_again,
    .unblock = ends_unblock,
    .tell = ends_tell,
};

const struct kind kind_pty_slave = {
    .name = "pty slave",
    .flags = ARRIVES_LATER,
    .prepare = pty_prepare_slave,
    .seal = rig_fill_again,
    .unblock = ends_unblock,
    .tell = ends_tell,
};
