/* SPDX-License-Identifier: MIT
 *
 * conc/net.h: sockets and names, with a deadline, as cancellation points, from tasks and from
 * threads. What conc/io.h says of descriptors and of cancelled calls holds here too.
 *
 *     int fd = conc_tcp_connect("localhost", 8080, conc_in(CONC_S(5)));
 *     if (fd < 0)
 *         return fd; // conc_describe() tells more
 *     int err = conc_sendall(fd, "ping\n", 5, 0, conc_in(CONC_S(1)));
 *     ssize_t n = conc_recv(fd, answer, sizeof answer, 0, conc_in(CONC_S(1)));
 *     conc_close(fd);
 *
 * Sockets are in blocking mode, listening ones excepted; the calls here never block a thread longer
 * than their deadline, nor a loop at all, in either mode. In `flags`, MSG_DONTWAIT does what a
 * deadline of CONC_NOW does, MSG_WAITALL is of no effect (there are streams for that), and
 * MSG_NOSIGNAL is always there.
 *
 * Signal handlers: none of these calls may be made in one.
 */
#ifndef CONC_NET_H
#define CONC_NET_H

#include <netdb.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <conc/io.h>

#ifdef __cplusplus
extern "C" {
#endif

struct addrinfo; /* netdb.h hides it from strict ISO C */

/* ---- TCP ---- */

/**
 * Connect to a TCP server, as RFC 8305 says. The host's addresses are tried beginning with the one
 * that the system prefers, IPv6 and IPv4 in turn. The next attempt begins when one has failed, or
 * has not been answered for 250 ms (less if the deadline is so near that not all would have their
 * turn), and those before it go on: the first that is connected wins, and the others are closed.
 * Nothing is delayed to make larger packets (TCP_NODELAY).
 *
 * @param host      a name or an address; borrowed
 * @param deadline  for all of it; CONC_NOW: each address has one attempt that does not wait
 * @return a connected socket, for conc_close(); -ETIMEDOUT, -ECANCELED, -EAGAIN (CONC_NOW);
 *         -EINVAL: no host; as conc_getaddrinfo(); with a message that names host and port, if all
 *         have failed, the error that tells most: -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM; else what a
 *         host has answered, as -ECONNREFUSED; else -EHOSTUNREACH, -ETIMEDOUT (the system's); else
 *         -ENETUNREACH, -EADDRNOTAVAIL, -EAFNOSUPPORT: there is no way from here. For several
 *         addresses it takes one descriptor more while it lasts
 *
 * Python: socket.create_connection(), asyncio.open_connection()
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_tcp_connect(const char *host, uint16_t port,
                                              conc_deadline deadline);

/**
 * Make a socket that listens for TCP connections. The port can be taken again at once after its
 * last user has ended (SO_REUSEADDR); connections have TCP_NODELAY set.
 *
 * @param host     an address, or a name, of which the first address that will do is taken; NULL:
 *                 all of this machine, IPv6 and IPv4
 * @param port     0: the system chooses one; conc_tcp_port() tells which
 * @param backlog  as of conc_listen()
 * @return a listening socket, for conc_accept() and conc_close(); -EADDRINUSE, -EADDRNOTAVAIL,
 *         -EACCES, -EMFILE ..., with a message that names host and port; as conc_getaddrinfo()
 *
 * Python: socket.create_server(), asyncio.start_server()
 * [any | yes (while a name is looked up) | yes (then)]
 */
CONC_API CONC_MUST_CHECK int conc_tcp_listen(const char *host, uint16_t port, int backlog);

/**
 * The port of this end of an IP socket.
 *
 * @return the port; 0: none yet; -EINVAL: not an IP socket; -EBADF, -ENOTSOCK
 *
 * Python: sock.getsockname()[1]
 * [anywhere | no | no]
 */
CONC_API int conc_tcp_port(int fd);

/* ---- Unix sockets ---- */

/**
 * Connect to a server on this machine.
 *
 * @param path  of its socket, up to 107 bytes; "@name": the abstract name `name`, which is no file
 * @return a connected socket, for conc_close(); -ETIMEDOUT, -ECANCELED, -EAGAIN (its backlog is
 *         full, CONC_NOW); -EINVAL: no path; -ENAMETOOLONG; -ENOENT, -ECONNREFUSED and what else
 *         connect(2) tells, with a message that names the path
 *
 * Python: asyncio.open_unix_connection()
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_unix_connect(const char *path, conc_deadline deadline);

/**
 * Make a Unix socket that listens for connections. Its file is the caller's to remove afterwards;
 * an abstract name goes by itself. A socket's file that is there already, on which nobody listens,
 * is removed; any other is -EADDRINUSE.
 *
 * @param path     as of conc_unix_connect()
 * @param backlog  as of conc_listen()
 * @return a listening socket, for conc_accept() and conc_close(); -EINVAL, -ENAMETOOLONG;
 *         -EADDRINUSE, -EACCES ..., with a message that names the path
 *
 * Python: asyncio.start_unix_server()
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_unix_listen(const char *path, int backlog);

/* ---- Names ---- */

/**
 * Look up the addresses of a host and service. A name is looked up in a thread of its own; if the
 * call ends before the answer has come, the thread drops the answer. Numbers are only converted.
 *
 * 64 lookups at most may be asking name servers, with those that were given up and have no answer
 * yet (the system asks for some 10 s by default). While it is so many, others wait until one has
 * ended, or their deadline comes; but names in /etc/hosts (where the system looks there first), and
 * services of numeric addresses, which need no name server, do not wait for them.
 *
 * @param host     a name or an address; NULL: this machine (see AI_PASSIVE)
 * @param service  a name or a port; NULL: none. Not both NULL.
 * @param hints    as of getaddrinfo(3); borrowed; NULL: none
 * @param ret      gives a list, for freeaddrinfo(); untouched on failure
 * @return 0; -EAGAIN (it would have to ask, CONC_NOW), -ETIMEDOUT, -ECANCELED; with a message that
 *         names the host: -ENOENT: no such name, or it has no address of that kind, or no such
 *         service; -EHOSTUNREACH: no name server could tell (EAI_AGAIN, EAI_FAIL); -EINVAL: neither
 *         host nor service, no ret, bad hints; -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS: nobody could be
 *         asked; other errors of the system's
 *
 * Python: socket.getaddrinfo(), loop.getaddrinfo()
 * [any | yes | yes]
 */
CONC_API int conc_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                              struct addrinfo **ret, conc_deadline deadline);

/* ---- Sockets ---- */

/**
 * Make a socket, which is closed on exec.
 *
 * @param type  SOCK_STREAM, SOCK_DGRAM ..., as of socket(2)
 * @return a socket, for conc_close(); -EAFNOSUPPORT, -EMFILE, -EINVAL and what else socket(2) tells
 *
 * Python: socket.socket()
 * [anywhere | no | no]
 */
CONC_API CONC_MUST_CHECK int conc_socket(int domain, int type, int protocol);

/**
 * Give it an address.
 *
 * @return 0; -EINVAL: no addr; -EADDRINUSE, -EACCES and what else bind(2) tells.
 *
 * Python: sock.bind()
 * [anywhere | no | no]
 */
CONC_API int conc_bind(int fd, const struct sockaddr *addr, socklen_t size);

/**
 * Make it listen for connections, and O_NONBLOCK.
 *
 * @param backlog  how many connections may wait for conc_accept(); 0: as many as the system allows
 * @return 0; -EINVAL: below 0; -EADDRINUSE, -EOPNOTSUPP, -EBADF
 *
 * Python: sock.listen()
 * [anywhere | no | no]
 */
CONC_API int conc_listen(int fd, int backlog);

/**
 * Take the next connection; wait for one. Connections that broke before they were taken are passed
 * over.
 *
 * @param fd    a listening socket
 * @param addr  gives the peer's address, cut at *size bytes; NULL: not wanted
 * @param size  the room in addr; gives the address' size. NULL if addr is
 * @return a connected socket, in blocking mode, closed on exec, for conc_close(); -EAGAIN (none,
 *         CONC_NOW), -ETIMEDOUT, -ECANCELED; -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM: the connection
 *         goes on waiting, so sleep a little before the next call; -EINVAL: it does not listen, or
 *         was shut down; -EBADF, also if it was closed meanwhile
 *
 * Python: sock.accept(), loop.sock_accept()
 * [any | yes | yes]
 */
CONC_API CONC_MUST_CHECK int conc_accept(int fd, struct sockaddr *addr, socklen_t *size,
                                         conc_deadline deadline);

/**
 * Connect a socket to an address.
 *
 * @return 0; -EAGAIN (it takes longer, CONC_NOW), -ETIMEDOUT, -ECANCELED: it may yet come about, so
 *         the socket is good for nothing but to be closed; -ECONNREFUSED, -ENETUNREACH and
 *         what else connect(2) tells
 *
 * Python: sock.connect(), loop.sock_connect()
 * [any | yes | yes]
 */
CONC_API int conc_connect(int fd, const struct sockaddr *addr, socklen_t size,
                          conc_deadline deadline);

/**
 * Receive what there is, up to n bytes; wait until there is something.
 *
 * @param flags  MSG_PEEK ..., as of recv(2)
 * @return how many bytes came; 0: the peer sends no more (or an empty datagram); -EAGAIN (nothing
 *         there, CONC_NOW), -ETIMEDOUT, -ECANCELED; -ECONNRESET: the peer broke off;
 *         -ENOTCONN, -EBADF (also if it was closed meanwhile) and what else recv(2) tells;
 *         -EINVAL: no buf (but with MSG_TRUNC)
 *
 * Python: sock.recv(), loop.sock_recv()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_recv(int fd, void *buf, size_t n, int flags, conc_deadline deadline);

/**
 * Send up to n bytes; wait until there is room for some. A datagram is sent in one piece.
 *
 * @param buf    n bytes; borrowed
 * @param flags  MSG_MORE ..., as of send(2)
 * @return how many bytes were taken, perhaps fewer than n; -EAGAIN (no room, CONC_NOW), -ETIMEDOUT,
 *         -ECANCELED; -EPIPE, -ECONNRESET: the peer is gone, or this end was shut down; -EMSGSIZE:
 *         too large for a datagram; -ENOTCONN, -EBADF and what else send(2) tells; -EINVAL: no buf
 *
 * Python: sock.send()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_send(int fd, const void *buf, size_t n, int flags, conc_deadline deadline);

/**
 * Send all of n bytes, by as many sends as it takes. Two contexts that do so at once may mix their
 * bytes.
 *
 * @return 0; or as conc_send(): then an unknown part was sent
 *
 * Python: sock.sendall(), loop.sock_sendall()
 * [any | yes | yes]
 */
CONC_API int conc_sendall(int fd, const void *buf, size_t n, int flags, conc_deadline deadline);

/**
 * conc_recv() that tells the sender.
 *
 * @param addr  gives the sender's address, cut at *size bytes; NULL: not wanted
 * @param size  the room in addr; gives the address' size, 0 on a connected stream. NULL if addr is.
 *              Untouched on failure.
 * @return as conc_recv()
 *
 * Python: sock.recvfrom(), loop.sock_recvfrom()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr,
                               socklen_t *size, conc_deadline deadline);

/**
 * conc_send() to an address.
 *
 * @param addr  of `size` bytes; borrowed; NULL: the one that it is connected to
 * @return as conc_send(); -EDESTADDRREQ
 *
 * Python: sock.sendto(), loop.sock_sendto()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_sendto(int fd, const void *buf, size_t n, int flags,
                             const struct sockaddr *addr, socklen_t size, conc_deadline deadline);

/**
 * Receive into several buffers, with the sender's address and control data. Descriptors that come
 * with it are closed on exec.
 *
 * @param msg  as of recvmsg(2)
 * @return as conc_recv()
 *
 * Python: sock.recvmsg()
 * [any | yes (but for MSG_ERRQUEUE) | yes]
 */
CONC_API ssize_t conc_recvmsg(int fd, struct msghdr *msg, int flags, conc_deadline deadline);

/**
 * Send from several buffers, with control data.
 *
 * @param msg  as of sendmsg(2); borrowed
 * @return as conc_send()
 *
 * Python: sock.sendmsg()
 * [any | yes | yes]
 */
CONC_API ssize_t conc_sendmsg(int fd, const struct msghdr *msg, int flags, conc_deadline deadline);

/**
 * End one direction of a connection, or both. Calls that wait for it, here or at the peer, return.
 *
 * @param how  SHUT_RD, SHUT_WR, SHUT_RDWR
 * @return 0; -ENOTCONN, -EBADF, -EINVAL
 *
 * Python: sock.shutdown()
 */
CONC_API int conc_shutdown(int fd, int how);

#ifdef __cplusplus
}
#endif
#endif
