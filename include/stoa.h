/* stoa.h - the textbook's socket calls, in C, for one client or a million.
 *
 * The calls have Python's names and Python's meaning.  A call that must wait blocks
 * its thread; on a fiber (see stoa/serve.h) it parks only the fiber, and the thread
 * goes on with others.  The same code does both: the place of the call decides.
 *
 * A socket is an int handle.  It is not a descriptor: handles are always above
 * 8,000,000, so that a descriptor given to stoa, or a handle given to read(2), fails
 * with EBADF instead of reaching somebody else's connection; and a handle that was
 * closed stays dead, whatever has been opened since.  Any fiber and any thread may
 * use any handle.
 *
 * Every call returns -1 with errno set when it fails, and stoa_errmsg() then tells
 * the whole story in one sentence.  Three codes that others mix up, and those that
 * any call on a handle can fail with and that are not repeated below:
 *
 *   ETIME      our own time is over: stoa_settimeout() or stoa_within()
 *   ETIMEDOUT  the network's time is over: the peer does not answer any more
 *   ECANCELED  the fiber was cancelled, or the socket closed, in the wait;
 *              or the interrupt hook asked for it
 *   EBADF      not a handle (a raw descriptor, say), or closed already
 *   ENOMEM, ENOBUFS  the system has no memory for it; to try again may help
 *
 * Calls that wait are points where fibers switch and where a cancelled fiber is
 * told so.  No call raises SIGPIPE, and none may be called from a signal handler
 * but stoa_stop().
 *
 * Reading order: sockets, addresses, time, errors; then stoa/serve.h, stoa(7).
 */
#ifndef STOA_H
#define STOA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STOA_API __attribute__((visibility("default")))

struct stoa_options; /* stoa/serve.h */

/* -- Addresses -------------------------------------------------------------
 *
 * One text for all families, here, in the tools and in every message:
 *
 *   127.0.0.1:8081  [::1]:8081  [fe80::1%eth0]:80  example.org:http  :8081
 *   tcp://host:port  udp://host:port  unix:/path  unix:@abstract  unix:  fd:3
 *
 * Without a scheme the socket's own type decides between TCP and UDP.  An empty
 * host, or *, is every address of this machine to bind to, and this machine to
 * connect to.  In a UNIX path or name \xHH is the byte HH, and \x5c a backslash;
 * `unix:` alone asks the kernel for a free abstract name.  Ports are numbers from 0
 * to 65535 or names of services(5).  A number must be a whole one: 127.1 and
 * 0177.0.0.1 are refused, for others read them otherwise. */

/* One address, a value: copy it, compare it, keep it. */
struct stoa_addr {
    struct sockaddr_storage sa; /* as the kernel has it */
    socklen_t len;              /* bytes used of sa; 0 = no address */
    int type;                   /* SOCK_STREAM (tcp:), SOCK_DGRAM (udp:), 0 = not said */
};

/* Bytes that hold any address's text, the 0 at the end included. */
#define STOA_ADDR_TEXT_MAX 440

/* Read a numeric address.  No name is looked up and nothing waits.
 *
 *   a     where the address goes
 *   text  see above; a host must be a number, or empty
 *
 * Returns 0, or -1 with errno set:
 *   EINVAL        not an address; stoa_errmsg() says which part and why
 *   ENAMETOOLONG  a UNIX path over 107 bytes
 * Context: thread, fiber.  As: inet_pton(3), unix(7); zones as RFC 4007 11.
 */
STOA_API int stoa_addr_parse(struct stoa_addr *a, const char *text);

/* Write an address as a text that stoa_addr_parse() reads back to the same.
 *
 *   a    an address; with len 0 the text is "unix:" or "-"
 *   buf  room for len bytes; STOA_ADDR_TEXT_MAX is always enough
 *   len  bytes; a text that does not fit is cut, always with a 0 at its end
 *
 * Returns buf.  Bytes that a terminal would obey are written as \xHH.
 * Context: thread, fiber, signal.  As: inet_ntop(3), RFC 5952.
 */
STOA_API const char *stoa_addr_text(const struct stoa_addr *a, char *buf, size_t len);

/* Look an address text up: the names in it, too.  What gethostbyname was for.
 *
 *   text  see above
 *   list  room for n addresses
 *   n     addresses; 1 or more
 *
 * Waits for the name service, within the scope's time.
 * Returns how many were written, 1 .. n, the best first; -1 with errno set:
 *   EINVAL, ENAMETOOLONG  as stoa_addr_parse()
 *   ENOENT      there is no such name or service; the message says who said so
 *   EREMOTEIO   the name service did not answer; to try again may help
 *   ETIME       the scope's time is over
 *   ECANCELED, ENOMEM
 * Context: thread, fiber.  As: Python socket.getaddrinfo; getaddrinfo(3); RFC 6724.
 */
STOA_API int stoa_resolve(const char *text, struct stoa_addr *list, size_t n);

/* -- Making and ending sockets --------------------------------------------- */

/* Make a socket.
 *
 *   family  AF_INET, AF_INET6, AF_UNIX
 *   type    SOCK_STREAM or SOCK_DGRAM, SOCK_SEQPACKET for AF_UNIX; with
 *           SOCK_NONBLOCK the timeout is 0, else the default (see below)
 *   proto   0 = the usual one
 *
 * Returns its handle; -1 with errno set: EAFNOSUPPORT, EPROTONOSUPPORT, EINVAL as
 * socket(2); EMFILE, ENFILE no descriptor is left; ENOBUFS, ENOMEM.
 * The descriptor is closed on exec, and TCP sends at once (TCP_NODELAY).
 * Context: thread, fiber.  As: Python socket.socket; socket(2).
 */
STOA_API int stoa_socket(int family, int type, int proto);

/* Make two sockets that are connected to each other.
 *
 *   family  AF_UNIX;  type, proto  as above;  pair  the two handles
 *
 * Returns 0; -1 with errno set as stoa_socket(), EOPNOTSUPP for other families.
 * Context: thread, fiber.  As: Python socket.socketpair; socketpair(2).
 */
STOA_API int stoa_socketpair(int family, int type, int proto, int pair[2]);

/* Take over a descriptor that is a socket.  It belongs to the handle then.
 *
 *   fd  a socket's descriptor; family, type and listening are found out
 *
 * Returns its handle; -1 with errno set and fd left alone: EBADF fd is negative or
 * not open; ENOTSOCK not a socket; ENOMEM.
 * Context: thread, fiber.  As: Python socket.socket(fileno=fd).
 */
STOA_API int stoa_fromfd(int fd);

/* The descriptor below a handle, still the handle's: do not close it.
 *
 * Its flags are the usual ones (blocking, closed on exec), but a listener's is
 * non-blocking.  A descriptor that has been seen may have been shared, so
 * stoa_close() is plain close(2) for this socket from here on.
 *
 * Returns the descriptor; -1 with errno set: EOPNOTSUPP a simulated socket has none.
 * Context: thread, fiber.  As: Python socket.fileno.
 */
STOA_API int stoa_fileno(int s);

/* Let the descriptor go: the handle is dead, the descriptor is the caller's and open.
 *
 * Whoever waits on the handle gets ECANCELED.  Returns the descriptor; -1 with
 * errno set: EBUSY a file of stoa_makefile() still uses it.
 * Context: thread, fiber.  As: Python socket.detach.
 */
STOA_API int stoa_detach(int s);

/* A second handle for the same connection, with the same timeout.
 *
 * Each must be closed; the connection ends with the last.
 * Returns the new handle; -1 with errno set: EMFILE, ENFILE, ENOMEM.
 * Context: thread, fiber.  As: Python socket.dup; F_DUPFD_CLOEXEC in fcntl(2).
 */
STOA_API int stoa_dup(int s);

/* End a socket, politely: what was sent is delivered.
 *
 * Whoever waits on the handle, fiber or thread, gets ECANCELED, and the handle is
 * dead when this returns.  Where the peer might lose bytes by a plain close(2)
 * (input lies unread here, or sent bytes are on their way), the end of the stream
 * is sent first and unread input thrown away in the background, for at most 2
 * seconds of silence, 30 seconds or 64 MiB (5 minutes for who has not read for long
 * from a connection of stoa_serve()); at the process's exit, 2 seconds.  Sockets that others
 * may share (stoa_dup, stoa_fileno, fork) are closed plainly.  With a file of stoa_makefile()
 * open the connection goes on until that is closed.  Does not wait, nor fail when cancelled.
 *
 * Returns 0; -1 with errno set: EBADF only.
 * Context: thread, fiber.  As: Python socket.close; RFC 1122 4.2.2.13, RFC 9112 9.6.
 */
STOA_API int stoa_close(int s);

/* End a connection at once: the peer gets a reset, unsent bytes are thrown away.
 *
 * Returns 0; -1 with errno set: EBADF only.
 * Context: thread, fiber.  As: SO_LINGER {1, 0} and close(2); RFC 9293 3.10.5.
 */
STOA_API int stoa_abort(int s);

/* End one direction of a connection, or both, for all who share it.
 *
 *   how  SHUT_RD, SHUT_WR (the peer reads the end of the stream), SHUT_RDWR
 *
 * Returns 0; -1 with errno set: ENOTCONN not connected; EINVAL another how.
 * Context: thread, fiber.  As: Python socket.shutdown; shutdown(2).
 */
STOA_API int stoa_shutdown(int s, int how);

/* -- Serving --------------------------------------------------------------- */

/* Give a socket its own address.
 *
 *   addr  see above; a name's first address of the socket's family is taken
 *
 * TCP sockets get SO_REUSEADDR first, so that a server can be restarted at once;
 * a port somebody listens on is still refused.  An IPv6 socket bound to no host
 * ("[::]:8081", ":8081") serves IPv4 too.  A UNIX path whose server died is taken over, a live
 * one's is not.
 *
 * Returns 0; -1 with errno set: EINVAL, ENAMETOOLONG, ENOENT, EREMOTEIO as
 * stoa_resolve(), EINVAL also when bound already; EADDRINUSE, EADDRNOTAVAIL, EACCES
 * as bind(2); EAFNOSUPPORT an address of another family; ENOTSOCK the UNIX path is
 * something else than a socket; ETIME, ECANCELED from the look-up of a name.
 * Context: thread, fiber.  As: Python socket.bind; bind(2), ip(7), unix(7).
 */
STOA_API int stoa_bind(int s, const char *addr);

/* The same with an address of the kernel's form, taken as it is: nothing is looked
 * up, and a stale UNIX path not repaired. */
STOA_API int stoa_bind_sa(int s, const struct sockaddr *sa, socklen_t len);

/* Let a socket take connections.
 *
 *   backlog  connections that may wait to be accepted; < 0 = as many as the
 *            system allows (net.core.somaxconn, which also cuts larger numbers)
 *
 * Returns 0; -1 with errno set: EADDRINUSE another listener has the address;
 * EOPNOTSUPP a datagram socket; EINVAL not bound (UNIX).
 * Context: thread, fiber.  As: Python socket.listen; listen(2).
 */
STOA_API int stoa_listen(int s, int backlog);

/* Take the next connection.
 *
 *   s     a listening socket
 *   peer  where the client's address goes, or NULL
 *
 * Waits for one.  A client that left in the queue is passed over.  When no
 * descriptor is left the call waits (a tenth of a second at a time) for one to be
 * closed: the client stays in the queue.  The new socket has the default timeout.
 *
 * Returns the connection's handle; -1 with errno set:
 *   EINVAL      not listening        EOPNOTSUPP  not a stream        ECANCELED
 *   ETIME       out of time; a client that comes now is not lost
 *   EAGAIN      non-blocking and nobody there
 *   EMFILE, ENFILE, ENOBUFS, ENOMEM  non-blocking and nothing left
 * Context: thread, fiber.  As: Python socket.accept; accept4(2).
 */
STOA_API int stoa_accept(int s, struct stoa_addr *peer);

/* -- Connecting ------------------------------------------------------------ */

/* Connect to an address.
 *
 *   addr  see above; a name's first address of the socket's family is taken
 *         (stoa_dial() tries them all)
 *
 * Waits until the connection stands or has failed.  For a datagram socket it only
 * sets the peer.  A full queue of a UNIX listener is waited for, too.
 *
 * Returns 0; -1 with errno set:
 *   EINVAL, ENAMETOOLONG, ENOENT, EREMOTEIO  as stoa_resolve(); ENOENT also: no such path
 *   ECONNREFUSED  nobody listens there
 *   ETIME         out of time          ETIMEDOUT  the network gave up
 *   EHOSTUNREACH, ENETUNREACH  no way there              ECANCELED
 *   EINPROGRESS   non-blocking: stoa_poll() for POLLOUT, then SO_ERROR
 *   EAGAIN        non-blocking and the UNIX listener's queue is full
 *   EISCONN       connected already    EALREADY  already on its way
 *   EADDRNOTAVAIL no local port is left, or the socket met itself: a TCP socket can
 *                 connect to its own free port, and such a connection is refused
 * Context: thread, fiber.  As: Python socket.connect; connect(2).
 */
STOA_API int stoa_connect(int s, const char *addr);

/* The same with an address of the kernel's form. */
STOA_API int stoa_connect_sa(int s, const struct sockaddr *sa, socklen_t len);

/* The same as stoa_connect(), but returns 0 or the error's number instead of -1.
 *
 * errno is left alone.  Our own time is ETIME here too, where Python has EAGAIN.
 * Context: thread, fiber.  As: Python socket.connect_ex.
 */
STOA_API int stoa_connect_ex(int s, const char *addr);

/* -- Talking over streams -------------------------------------------------- */

/* Receive at most len bytes of a stream into buf, or one datagram's first len bytes.
 *
 * Waits until at least one byte is there.
 *
 *   s      a socket; with two readers each byte goes to one of them
 *   buf    room for len bytes, the caller's; not kept after the return
 *   len    bytes, 0 .. SSIZE_MAX; 0 returns 0 at once and tells nothing
 *   flags  MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT ... as in recv(2)
 *
 * Returns the bytes received, 1 .. len; 0 when the peer has ended its side of
 * a stream (an empty datagram also gives 0); -1 with errno set:
 *   ETIME       out of time; nothing was taken
 *   EAGAIN      non-blocking socket, or MSG_DONTWAIT, and nothing to read
 *   ECONNRESET  the peer reset the connection
 *   ETIMEDOUT   the network gave the peer up
 *   ECONNREFUSED  UDP: an earlier datagram met no one
 *   ENOTCONN    a stream that is not connected
 *   EINVAL      len is over SSIZE_MAX (a negative number, say)
 *   ECANCELED   nothing was taken
 * Context: thread, fiber.  As: Python socket.recv; recv(2), RFC 9293 3.10.4.
 */
STOA_API ssize_t stoa_recv(int s, void *buf, size_t len, int flags);

/* Receive until len bytes are there or the stream ends: for answers of known size.
 *
 * Waits, all in all, for the socket's timeout or the scope's.
 * Returns len, or fewer when the stream ended first; -1 with errno set as
 * stoa_recv(), and stoa_done() tells how many bytes are in buf.
 * Context: thread, fiber.  As: readn in Stevens' UNIX Network Programming, 3.9.
 */
STOA_API ssize_t stoa_recvall(int s, void *buf, size_t len);

/* Send some of len bytes: as many as there is room for now.
 *
 * Waits until at least one byte can go.
 *
 *   flags  MSG_MORE, MSG_OOB, MSG_DONTWAIT ... as in send(2)
 *
 * Returns the bytes taken, perhaps fewer than len; -1 with errno set:
 *   ETIME       out of time; nothing was sent
 *   EAGAIN      non-blocking, or MSG_DONTWAIT, and no room
 *   EPIPE       the connection's sending side has ended, or TCP was never connected
 *   ECONNRESET  the peer reset the connection
 *   ENOTCONN, EDESTADDRREQ  not connected: UNIX streams, datagrams
 *   EMSGSIZE    a datagram larger than can be sent
 *   EINVAL      len is over SSIZE_MAX
 *   ECANCELED   nothing was sent
 * Context: thread, fiber.  As: Python socket.send; send(2).
 */
STOA_API ssize_t stoa_send(int s, const void *buf, size_t len, int flags);

/* Send all len bytes.
 *
 * Waits, all in all, for the socket's timeout or the scope's: a peer that reads a
 * byte a minute does not start the clock anew.
 * Returns 0 when all went; -1 with errno set as stoa_send() (EAGAIN too), and
 * stoa_done() tells how many bytes went.
 * Context: thread, fiber.  As: Python socket.sendall.
 */
STOA_API int stoa_sendall(int s, const void *buf, size_t len, int flags);

/* Send len bytes of a file, or up to its end.
 *
 *   fd   a descriptor one can read at a place: a regular file
 *   off  where to begin, moved to after the last byte sent, also on failure;
 *        NULL = the descriptor's own place, moved likewise
 *   len  bytes; 0 = all that is there
 *
 * Waits, all in all, for the socket's timeout or the scope's.
 * Returns the bytes sent, fewer than len when the file ended first; -1 with errno
 * set as stoa_sendall() and read(2); EAGAIN only before the first byte of a
 * non-blocking socket; EINVAL not a stream.  stoa_done() tells how many went.
 * Context: thread, fiber; the file's pages are read on the spot.
 * As: Python socket.sendfile; sendfile(2).
 */
STOA_API ssize_t stoa_sendfile(int s, int fd, off_t *off, size_t len);

/* Bytes that this fiber's or thread's last failed call had moved before it failed.
 *
 * Set by stoa_sendall, stoa_recvall and stoa_sendfile; 0 after any other failure.
 * Context: thread, fiber.
 */
STOA_API size_t stoa_done(void);

/* -- Talking in datagrams and messages ------------------------------------- */

/* Receive one datagram, and learn who sent it.
 *
 *   from  the sender's address, or NULL; len 0 in it when it has none
 *
 * Waits for one.  A datagram longer than len is cut, as with recv(2); with
 * MSG_TRUNC in flags the return value is its whole length.
 * Returns the bytes, 0 for an empty datagram (which ends nothing); -1 with errno
 * set as stoa_recv().  A len of 0 does wait and takes a datagram.
 * Context: thread, fiber.  As: Python socket.recvfrom; recvfrom(2).
 */
STOA_API ssize_t stoa_recvfrom(int s, void *buf, size_t len, int flags, struct stoa_addr *from);

/* Send one datagram to an address.
 *
 *   to  whom; NULL = the peer that stoa_connect() set
 *
 * Returns len; -1 with errno set as stoa_send(); EMSGSIZE too long; ECONNREFUSED an
 * earlier datagram met no one there, this one was not sent.
 * Context: thread, fiber.  As: Python socket.sendto; sendto(2).
 */
STOA_API ssize_t stoa_sendto(int s, const void *buf, size_t len, int flags,
                             const struct stoa_addr *to);

/* Receive or send a message of several buffers and control data, as recvmsg(2) and
 * sendmsg(2) have it, but with this library's waiting and errors.
 *
 * Received descriptors are closed on exec.  Context: thread, fiber.
 */
STOA_API ssize_t stoa_recvmsg(int s, struct msghdr *msg, int flags);
STOA_API ssize_t stoa_sendmsg(int s, const struct msghdr *msg, int flags);

/* The most descriptors in one message: the kernel's SCM_MAX_FD. */
#define STOA_FDS_MAX 253

/* Pass descriptors, and at least one byte, to whoever holds a UNIX socket's other end.
 *
 *   buf, len  the bytes; at least one
 *   fds, n    descriptors or handles, 1 .. STOA_FDS_MAX; a handle that was passed
 *             is shared from here on (see stoa_close)
 *
 * Returns the bytes sent; -1 with errno set as stoa_sendmsg(); EINVAL n or len out
 * of range; EBADF one of fds is not open; EOPNOTSUPP not a UNIX socket.
 * Context: thread, fiber.  As: Python socket.send_fds; SCM_RIGHTS in unix(7).
 */
STOA_API ssize_t stoa_send_fds(int s, const void *buf, size_t len, const int *fds, size_t n);

/* Receive bytes and the descriptors that came with them.
 *
 *   fds  room for *n descriptors; they are the caller's, and closed on exec
 *   n    in: room, 1 .. STOA_FDS_MAX; out: how many came
 *
 * Returns the bytes; 0 at the end of the stream; -1 with errno set as stoa_recv();
 * EMSGSIZE more descriptors came than there is room for: none is kept, and
 * stoa_done() tells the bytes in buf.
 * Context: thread, fiber.  As: Python socket.recv_fds; SCM_RIGHTS in unix(7).
 */
STOA_API ssize_t stoa_recv_fds(int s, void *buf, size_t len, int *fds, size_t *n);

/* -- What a socket is, and its options ------------------------------------- */

/* The other end's address.  An accepted connection's is known even after it left.
 * Returns 0; -1 with errno set: ENOTCONN.  As: Python socket.getpeername. */
STOA_API int stoa_getpeername(int s, struct stoa_addr *peer);

/* This end's address.  Returns 0, or -1.  As: Python socket.getsockname. */
STOA_API int stoa_getsockname(int s, struct stoa_addr *self);

/* Read or set one option of socket(7), ip(7), tcp(7) ..., as getsockopt(2) has it.
 *
 *   level, option  SOL_SOCKET and SO_REUSEADDR, say
 *   value, len     the option's value, often an int, and its bytes
 *
 * SO_RCVTIMEO and SO_SNDTIMEO are refused (EINVAL): stoa_settimeout() is their place.
 * Returns 0; -1 with errno set: ENOPROTOOPT no such option; EINVAL, EFAULT, EPERM.
 * Context: thread, fiber.  As: Python socket.getsockopt, setsockopt.
 */
STOA_API int stoa_getsockopt(int s, int level, int option, void *value, socklen_t *len);
STOA_API int stoa_setsockopt(int s, int level, int option, const void *value, socklen_t len);

/* How long a call on this socket may wait, from now on.
 *
 *   seconds  > 0: so long, then ETIME; 0: not at all, EAGAIN; < 0: for ever.
 *            Rounded up to nanoseconds; beyond 292 years is for ever.
 *
 * A call has one such time, however many partial sends or signals there are.
 * Returns 0; -1 with errno set: EINVAL not a number (NaN).
 * Context: thread, fiber.  As: Python socket.settimeout.
 */
STOA_API int stoa_settimeout(int s, double seconds);

/* The socket's timeout in seconds; < 0 = none.  NaN with errno set on failure. */
STOA_API double stoa_gettimeout(int s);

/* true: wait for ever (timeout < 0).  false: never wait (timeout 0).  Returns 0, -1. */
STOA_API int stoa_setblocking(int s, bool blocking);

/* The timeout of sockets made from now on, by accept too, in the whole process; at
 * first < 0, none.  Returns 0; -1 with EINVAL for NaN.  As: setdefaulttimeout. */
STOA_API int stoa_setdefaulttimeout(double seconds);
STOA_API double stoa_getdefaulttimeout(void);

/* Wait until a socket is ready.
 *
 *   events  POLLIN, POLLOUT, POLLPRI of poll(2), or several
 *
 * Returns the events that are, POLLERR and POLLHUP among them; -1 with errno set:
 * ETIME, ECANCELED; EAGAIN non-blocking and none is.
 * Context: thread, fiber.  As: poll(2) for one socket.
 */
STOA_API int stoa_poll(int s, int events);

/* A FILE over a socket, for fgets and fprintf.
 *
 *   mode  "r", "w", "rw" (or "r+", "w+"), with "b" as one likes
 *
 * The socket's timeout and the scope hold for each read and write below it.  After
 * a read that ran out of time the file cannot be read any more (EIO): a part of a
 * line is lost.  Handle and files are closed each by itself, and the connection
 * ends with the last of them.  One fiber at a time uses a FILE.
 * Returns the file; NULL with errno set: EINVAL another mode; ENOMEM.
 * Context: thread, fiber.  As: Python socket.makefile; fopencookie(3).
 */
STOA_API FILE *stoa_makefile(int s, const char *mode);

/* -- One line instead of five ---------------------------------------------- */

/* Resolve, connect, and give the connection: Python's create_connection.
 *
 *   to       see above, `fd:3` too; without a scheme TCP
 *   options  NULL, or .from: the address to connect from
 *
 * All the name's addresses are tried, IPv6 and IPv4 in turn, the next one a
 * quarter of a second after the last or when that has failed; the first
 * connection wins.  The scope's time holds for all of it, names included, or else
 * the default timeout.
 *
 * Returns a handle; -1 with errno of the first address's failure, as
 * stoa_connect(); the message names every address that was tried.
 * Context: thread, fiber.  As: Python socket.create_connection; RFC 8305; dial(3) of Plan 9.
 */
STOA_API int stoa_dial(const char *to, const struct stoa_options *options);

/* Resolve, make, bind and listen: Python's create_server.
 *
 *   at       see above, `fd:3` too; without a scheme TCP
 *   options  NULL, or .backlog, .reuseport, .mode
 *
 * ":8081" serves IPv6 and IPv4, and IPv4 alone where the machine has no IPv6.  A
 * UNIX path has the mode 0600 and the stale file of a dead server is replaced; two
 * that start at once do not both win.  The port of a program that has just been killed is waited
 * for, a second or so.  A datagram address is bound only.  A socket at this address that the
 * program was started with (sd_listen_fds(3)) is taken instead: see stoa_hand_over().
 *
 * Returns a handle; -1 with errno as stoa_bind() and stoa_listen().
 * Context: thread, fiber.  As: Python socket.create_server; announce in dial(3) of Plan 9.
 */
STOA_API int stoa_announce(const char *at, const struct stoa_options *options);

/* -- Time ------------------------------------------------------------------ */

/* A part of the program that has a time of its own: keep it in a local variable,
 * leave it before the function returns.  Nothing in it is for the user. */
struct stoa_scope {
    struct stoa_scope *outer;
    uint64_t own_ns;
    uint64_t until_ns;
    uint32_t flags;
    uint32_t magic;
};

/* From here to stoa_leave(), all calls of this fiber or thread together have at
 * most so many seconds; then each that would wait fails with ETIME.
 *
 *   scope    the caller's, not kept after stoa_leave()
 *   seconds  0 or more; of several times that hold, the nearest does
 *
 * Context: thread, fiber; on a plain thread it holds as well.  As: trio.move_on_after.
 */
STOA_API void stoa_within(struct stoa_scope *scope, double seconds);

/* From here to stoa_leave(), a cancelled fiber may still wait, for so many seconds:
 * enough to say goodbye.  Outer scopes' times do not hold inside. */
STOA_API void stoa_shield(struct stoa_scope *scope, double seconds);

/* Leave the scope entered last.
 *
 * Returns 0; -1 with ETIME when its time was over before this call.
 * Scopes are left in reverse order; leaving another aborts the program.
 */
STOA_API int stoa_leave(struct stoa_scope *scope);

/* -- Why ------------------------------------------------------------------- */

/* What went wrong in this fiber's or thread's last failed call: one sentence with
 * the call, the address, the cause and what to do.
 *
 * Costs nothing until asked for.  Then it looks, once, for what this machine knows: who holds
 * the port, who listens beside it, the seconds of TIME_WAIT left; some milliseconds, no waiting.
 * Never NULL; "" when nothing has failed.  errno is left alone.  Valid until this thread asks
 * again.  Context: thread, fiber.
 */
STOA_API const char *stoa_errmsg(void);

/* A function to be called when a signal has interrupted a wait, and between partial
 * sends, on plain threads; NULL = none.
 *
 * When it returns other than 0, the call ends with ECANCELED (what has been moved
 * by then: stoa_done()).  Without it, waits go on after signals with the time that
 * is left.  One for the process.  As: PEP 475; what a language binding needs.
 */
STOA_API void stoa_oninterrupt(int (*hook)(void));

/* The version of the library that runs: "0.1.0". */
STOA_API const char *stoa_version(void);

#ifdef __cplusplus
}
#endif

#include <stoa/serve.h>
#endif
