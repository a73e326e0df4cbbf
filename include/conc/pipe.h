/* SPDX-License-Identifier: MIT
 *
 * conc/pipe.h: a pipe for whole messages, both ways, between processes (or threads, or tasks).
 *
 *     conc_pipe *ours, *theirs;
 *     int err = conc_pipe_new(&ours, &theirs);
 *     ...
 *     err = conc_pipe_send(ours, &question, sizeof question, CONC_FOREVER);
 *     conc_bytes answer;
 *     err = conc_pipe_recv(ours, &answer, conc_in(CONC_S(5)));
 *     conc_bytes_free(&answer);
 *
 * Messages are of any size, 0 bytes to the limit. Several threads and tasks may use an end at once:
 * one sends and one receives at a time, the others wait for their turn.
 *
 * A call that is cancelled, or whose deadline comes, never tears a message. The part of a message
 * that has come is kept for the next receive. Of a message that is being sent either nothing has
 * gone, and then nothing will; or a part has. Then the rest goes with the next call that sends,
 * conc_pipe_flush() among them, and conc_pipe_n_unsent() tells how much it is. (A message that fits
 * into the system's buffer, some 100 KiB, goes in one piece.)
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_PIPE_H
#define CONC_PIPE_H

#include <conc/bytes.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One end of a pipe. */
typedef struct conc_pipe conc_pipe;

/** The most descriptors that a message can carry. */
#define CONC_PIPE_FDS_MAX 32

/**
 * Make a pipe.
 *
 * @param a  gives one end, for conc_pipe_free()
 * @param b  gives the other
 * @return 0; -EINVAL: no a, no b; -EMFILE, -ENFILE, -ENOMEM
 *
 * Python: multiprocessing.Pipe()
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_pipe_new(conc_pipe **a, conc_pipe **b);

/**
 * Make an end of a pipe out of its descriptor: in the process that was given it.
 *
 * @param ret  gives an end, for conc_pipe_free()
 * @param fd   a connected Unix stream socket; taken only on 0
 * @return 0; -EINVAL: no ret, not such a socket; -EBADF; -ENOMEM
 *
 * Python: multiprocessing.connection.Connection(handle)
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_pipe_new_from_fd(conc_pipe **ret, int fd);

/**
 * Its descriptor, borrowed: to give it to a process. Nothing else may read from it or write to it.
 *
 * Python: Connection.fileno()
 * [anywhere | no | no]
 */
CONC_API int conc_pipe_fd(const conc_pipe *pipe);

/**
 * Close an end, in which no call may be going on. What has not been received is lost, and so is the
 * rest of a message that was not sent to its end. NULL is ignored.
 *
 * Python: Connection.close()
 * [last | no | no]
 */
CONC_API void conc_pipe_free(conc_pipe *pipe);

/**
 * Set the size of the largest message that this end receives: a message that claims to be larger is
 * refused.
 * 1 GiB at first.
 *
 * [one (before the first receive) | no | no]
 */
CONC_API void conc_pipe_set_limit(conc_pipe *pipe, size_t bytes);

/* ---- Sending ---- */

/**
 * Send a message.
 *
 * @param buf  n bytes; borrowed; NULL if n is 0
 * @return 0: it is on its way; -EAGAIN (no room, CONC_NOW), -ETIMEDOUT, -ECANCELED: see above;
 *         -EPIPE: the other end is closed, with a message; -EINVAL: no buf; -ENOMEM: a part was
 *         sent, and there is no room to keep the rest: then this direction is closed
 *
 * Python: Connection.send(), send_bytes()
 * [any | yes | yes]
 */
CONC_API int conc_pipe_send(conc_pipe *pipe, const void *buf, size_t n, conc_deadline deadline);

/**
 * Send a message with descriptors, of which the receiver gets duplicates.
 *
 * @param fds    n_fds descriptors; borrowed
 * @param n_fds  up to CONC_PIPE_FDS_MAX
 * @return as conc_pipe_send(); -EBADF: one of them is none; -ETOOMANYREFS: too many on their way
 *
 * Python: multiprocessing.reduction.send_handle()
 * [any | yes | yes]
 */
CONC_API int conc_pipe_send_fds(conc_pipe *pipe, const void *buf, size_t n, const int *fds,
                                size_t n_fds, conc_deadline deadline);

/**
 * Send the rest of a message whose sending was cut short; nothing if there is none.
 *
 * @return as conc_pipe_send()
 *
 * [any | yes | yes]
 */
CONC_API int conc_pipe_flush(conc_pipe *pipe, conc_deadline deadline);

/**
 * How many bytes of a message that was begun have not been sent; 0: none was cut short.
 */
CONC_API size_t conc_pipe_n_unsent(const conc_pipe *pipe);

/* ---- Receiving ---- */

/**
 * Receive a message; wait for one. Descriptors that come with it are closed.
 *
 * @param ret  gives the message, for conc_bytes_free(); untouched on failure
 * @return 0; -EAGAIN (not there, or not all of it, CONC_NOW), -ETIMEDOUT, -ECANCELED; -ENODATA: the
 *         other end is closed, and everything was received; -ECONNRESET: it was closed, or its
 *         process died, in the middle of a message; -EMSGSIZE: the message is larger than the
 *         limit, -EBADMSG: what came is no message: nothing can be received any more; the last
 *         three with a message; -ENOMEM: for this message; it can be received later
 *
 * Python: Connection.recv(), recv_bytes()
 * [any | yes | yes]
 */
CONC_API int conc_pipe_recv(conc_pipe *pipe, conc_bytes *ret, conc_deadline deadline);

/**
 * Receive a message into a buffer.
 *
 * @param buf   room for the message
 * @param room  its size
 * @return the message's size; -ENOBUFS: it is larger than the room: it stays to be received; as
 *         conc_pipe_recv()
 *
 * Python: Connection.recv_bytes_into()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_pipe_recv_into(conc_pipe *pipe, void *buf, size_t room,
                                     conc_deadline deadline);

/**
 * Receive a message and the descriptors that come with it, which are closed on exec.
 *
 * @param fds    room for CONC_PIPE_FDS_MAX descriptors, which the caller has to close
 * @param n_fds  gives how many came
 * @return as conc_pipe_recv(); -EMFILE: descriptors were lost, because this process has too many;
 *         the message is lost too
 *
 * Python: multiprocessing.reduction.recv_handle()
 * [any | yes | yes]
 */
CONC_API int conc_pipe_recv_fds(conc_pipe *pipe, conc_bytes *ret, int *fds, size_t *n_fds,
                                conc_deadline deadline);

/**
 * Wait until there is something to receive: a message, or at least its beginning; or the end.
 *
 * @return 0; -EAGAIN (nothing, CONC_NOW), -ETIMEDOUT, -ECANCELED
 *
 * Python: Connection.poll()
 * [any | yes | yes]
 */
CONC_API int conc_pipe_poll(conc_pipe *pipe, conc_deadline deadline);

#ifdef __cplusplus
}
#endif
#endif
