/* stream.c - recv, send and their whole-message forms.
 *
 * Each call is one operation of the backend (or, for the forms that move all of len,
 * one operation run again for the rest): the attempt, the wait and the deadline are
 * below.  Here is what the calls mean: when 0 bytes are an answer, what counts as
 * done, that a call has one deadline however many parts it takes.
 *
 * This is the hot path: from here it goes to the backend and back with nothing in
 * between.  Meaning: Python's socketmodule.c; recv(2), send(2).
 */
#include "base/check.h"
#include "net/error.h"
#include "net/sock.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <unistd.h>

#define SENDFILE_MAX ((size_t)1 << 30) /* sendfile(2) moves 2 GiB at most */

/* recv gave 0.  The peer has said goodbye: then a plain close loses nothing.  Or an error that
 * has not been told yet was the end. */
static ssize_t end_of(int s)
{
    struct stoa_sock *so = sock_enter(s);

    if (!so)
        return 0;
    int error = sock_take_error(so);
    if (!error && so->b.type == SOCK_STREAM && !atomic_load(&so->deaf))
        atomic_store_explicit(&so->ended, true, memory_order_relaxed);
    sock_leave(so);
    return error;
}

static ssize_t recv_all(int s, struct op *op, size_t *done)
{
    size_t len = op->len;
    ssize_t r = 0;

    for (*done = 0; *done < len; *done += (size_t)r) {
        op->len = len - *done;
        r = sock_run(s, op);
        if (r <= 0)
            break;
        op->buf = (char *)op->buf + r;
    }
    if (r == 0 && len > 0 && *done < len)
        r = end_of(s);
    return r < 0 ? r : (ssize_t)*done;
}

/* What a length says without a call: 0 is no bytes, of a socket that is alive. */
static ssize_t odd_len(enum verb verb, int s, size_t len)
{
    return len > SSIZE_MAX ? error_out_len(verb, s) : error_out(verb, s, sock_check(s, 0, 0));
}

/* Has the connection ended with it?  Others are of this call, or, with IP_RECVERR, soft: the
 * stream goes on. */
static bool is_of_the_connection(ssize_t r)
{
    return r == -ECONNRESET || r == -ETIMEDOUT || r == -EPIPE;
}

/* MSG_WAITALL: all of len, or what had come when the stream ended or failed. */
static ssize_t recv_waitall(int s, struct op *op)
{
    size_t done;
    ssize_t r;

    if (sock_check(s, 0, SOCK_STREAM) < 0)
        return sock_run(s, op);
    op->flags &= ~MSG_WAITALL;
    r = recv_all(s, op, &done);
    if (done > 0 && is_of_the_connection(r))
        sock_keep_error(s, (int)r);
    return done > 0 ? (ssize_t)done : r;
}

ssize_t stoa_recv(int s, void *buf, size_t len, int flags)
{
    struct op op;
    ssize_t r;

    if (unlikely(len == 0 || len > SSIZE_MAX))
        return odd_len(VERB_RECV, s, len);
    op_message(&op, OP_RECV, buf, len, flags);
    if (unlikely((flags & (MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT)) == MSG_WAITALL))
        r = recv_waitall(s, &op);
    else
        r = sock_run(s, &op);
    if (r == 0)
        r = end_of(s);
    return likely(r >= 0) ? r : error_out(VERB_RECV, s, r);
}

ssize_t stoa_recvall(int s, void *buf, size_t len)
{
    struct op op;
    size_t done;
    ssize_t r;

    if (len == 0 || len > SSIZE_MAX)
        return odd_len(VERB_RECVALL, s, len);
    op_message(&op, OP_RECV, buf, len, 0);
    r = recv_all(s, &op, &done);
    return error_out_done(VERB_RECVALL, s, r, done);
}

ssize_t stoa_send(int s, const void *buf, size_t len, int flags)
{
    struct op op;
    ssize_t r;

    if (unlikely(len > SSIZE_MAX))
        return error_out_len(VERB_SEND, s);
    op_message(&op, OP_SEND, buf, len, flags & ~MSG_WAITALL);
    r = sock_run(s, &op);
    return likely(r >= 0) ? r : error_out(VERB_SEND, s, r);
}

/* Send what is left of len.  Between the parts a signal's hook may end the call. */
static ssize_t send_rest(int s, struct op *op, size_t len, size_t *done)
{
    const char *buf = op->buf;

    while (*done < len) {
        ssize_t r = loop_here ? 0 : interrupt_check();

        if (r < 0)
            return r;
        op->buf = (void *)(uintptr_t)(buf + *done);
        op->len = len - *done;
        r = sock_run(s, op);
        if (r < 0)
            return r;
        *done += (size_t)r;
    }
    return 0;
}

/* MSG_WAITALL tells a ring to go on by itself; send(2) does not know it. */
int stoa_sendall(int s, const void *buf, size_t len, int flags)
{
    struct op op;
    size_t done;
    ssize_t r;

    if (unlikely(len > SSIZE_MAX))
        return (int)error_out_len(VERB_SENDALL, s);
    op_message(&op, OP_SEND, buf, len, flags | MSG_WAITALL);
    r = sock_run(s, &op);
    if (likely(r == (ssize_t)len))
        return 0;
    done = r < 0 ? 0 : (size_t)r;
    if (r >= 0)
        r = send_rest(s, &op, len, &done);
    return (int)error_out_done(VERB_SENDALL, s, r, done);
}

ssize_t stoa_sendfile(int s, int fd, off_t *off, size_t len)
{
    struct op op = {.kind = OP_SENDFILE, .file = fd, .buf = off};
    size_t done = 0;
    ssize_t r = sock_check(s, 0, SOCK_STREAM);

    if (r < 0 || len > SSIZE_MAX)
        return error_out(VERB_SENDFILE, s, r == -EBADF ? r : -EINVAL);
    r = 1;
    while (r > 0 && (len == 0 || done < len)) {
        op.len = len && len - done < SENDFILE_MAX ? len - done : SENDFILE_MAX;
        r = sock_run(s, &op);
        if (r > 0)
            done += (size_t)r;
    }
    if (r == -EAGAIN && done > 0)
        r = 0;
    return error_out_done(VERB_SENDFILE, s, r < 0 ? r : (ssize_t)done, done);
}
