/* call.c - the simulated kernel's calls, one attempt each, with Linux's results.
 *
 * Which error comes first is as in net/ipv4/tcp.c and net/unix/af_unix.c: bytes before an error,
 * an error before the end, and each error once.
 */
#include "sim/call.h"

#include "sim/dgram.h"
#include "sim/option.h"
#include "sim/port.h"
#include "sim/rights.h"
#include "sim/stream.h"
#include "sim/tcp.h"
#include "sim/unix.h"

#include <errno.h>

static struct file *file_of(const struct backend_sock *s)
{
    struct desc *d = world_here
                         ? file_desc(world_here, atomic_load_explicit(&s->fd, memory_order_relaxed))
                         : NULL;

    return d ? d->file : NULL;
}

static int no_descriptor(struct world *w)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};

    return world_strikes(w, FAULT_DESCRIPTORS) ? -errors[random_below(&w->random, 4)] : 0;
}

/* As socket(2): -EAFNOSUPPORT, -EINVAL, -EPROTONOSUPPORT, -ESOCKTNOSUPPORT. */
static int bad_kind(int family, int type, int proto)
{
    bool inet = family == AF_INET || family == AF_INET6;

    if (type < 0 || type > SOCK_PACKET)
        return -EINVAL;
    if (!inet && family != AF_UNIX)
        return -EAFNOSUPPORT;
    if (family == AF_UNIX && proto != 0 && proto != PF_UNIX)
        return -EPROTONOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && (inet || type != SOCK_SEQPACKET))
        return -ESOCKTNOSUPPORT;
    if (inet && proto != 0 && proto != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
        return -EPROTONOSUPPORT;
    return 0;
}

static int proto_of(int family, int type)
{
    return family == AF_UNIX ? 0 : type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
}

static int open_file(struct file *f)
{
    int fd = file_open(f);

    if (fd < 0)
        file_free(f);
    else
        world_trace(f->world, "open", f->id, f->family, f->type);
    return fd;
}

int call_socket(int family, int type, int proto)
{
    struct world *w = world_here;
    int r = bad_kind(family, type, proto);

    if (r == 0)
        r = no_descriptor(w);
    if (r < 0)
        return r;
    return open_file(file_make(w, world_host(w), family, type, proto_of(family, type)));
}

int call_socketpair(int family, int type, int proto, int pair[2])
{
    struct world *w = world_here;
    struct file *a, *b;
    int r = bad_kind(family, type, proto);

    if (r == 0 && family != AF_UNIX)
        r = -EOPNOTSUPP;
    if (r == 0)
        r = no_descriptor(w);
    if (r < 0)
        return r;
    a = file_make(w, world_host(w), family, type, 0);
    b = file_make(w, world_host(w), family, type, 0);
    unix_pair(a, b);
    pair[0] = open_file(a);
    if (pair[0] < 0)
        return pair[0];
    pair[1] = open_file(b);
    if (pair[1] < 0)
        file_shut(w, pair[0], CLOSE_PLAIN);
    return pair[1] < 0 ? pair[1] : 0;
}

int call_bind(struct backend_sock *s, const struct sockaddr *sa, socklen_t len)
{
    struct file *f = file_of(s);
    struct end at;
    int r;

    if (!f)
        return -EBADF;
    if (f->family == AF_UNIX)
        return unix_bind(f, sa, len);
    r = port_from_sockaddr(f, sa, len, &at);
    return r < 0 ? r : port_bind(f, &at);
}

int call_listen(struct backend_sock *s, int backlog)
{
    struct file *f = file_of(s);

    if (!f)
        return -EBADF;
    if (f->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    return f->family == AF_UNIX ? unix_listen(f, backlog) : tcp_listen(f, backlog);
}

int call_shutdown(struct backend_sock *s, int how)
{
    struct file *f = file_of(s);

    if (!f)
        return -EBADF;
    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    if (f->family == AF_UNIX) {
        unix_shutdown(f, how);
        return 0;
    }
    if (f->state == FILE_LISTENS && how != SHUT_WR) {
        tcp_stop_listening(f); /* whoever waits in accept is told EINVAL */
        f->shut_in = true;
        file_wake(f, POLLIN | POLLOUT | POLLPRI);
        return 0;
    }
    if (f->state != FILE_CONNECTED)
        return -ENOTCONN;
    if (f->type == SOCK_STREAM) {
        tcp_shutdown(f, how);
        return 0;
    }
    f->shut_in = f->shut_in || how != SHUT_WR;
    f->shut_out = f->shut_out || how != SHUT_RD;
    file_wake(f, POLLIN | POLLOUT | POLLPRI);
    return 0;
}

int call_name(struct backend_sock *s, bool peer, struct sockaddr *sa, socklen_t *len)
{
    struct file *f = file_of(s);
    struct end none = {.port = 0};

    if (!f)
        return -EBADF;
    if (peer && f->state != FILE_CONNECTED)
        return -ENOTCONN;
    if (f->family == AF_UNIX)
        unix_to_sockaddr(peer ? &f->peer_node : f->node ? f->node : &f->own_node, sa, len);
    else
        port_to_sockaddr(f->family,
                         peer               ? &f->port.peer
                         : f->port.own.port ? &f->port.own
                                            : &none,
                         sa, len);
    return 0;
}

int call_getopt(struct backend_sock *s, int level, int option, void *v, socklen_t *len)
{
    struct file *f = file_of(s);

    return f ? option_get(f, level, option, v, len) : -EBADF;
}

int call_setopt(struct backend_sock *s, int level, int option, const void *v, socklen_t len)
{
    struct file *f = file_of(s);

    return f ? option_set(f, level, option, v, len) : -EBADF;
}

/* ------------------------------------------------------------------------- */
/* Operations                                                                  */

static ssize_t try_connect(struct file *f, struct op *op)
{
    struct end to;
    int r;

    if (op->sa->sa_family == AF_UNSPEC && f->family != AF_UNIX) {
        tcp_disconnect(f);
        return 0;
    }
    if (f->family == AF_UNIX)
        return unix_connect(f, op->sa, *op->sa_len);
    r = port_from_sockaddr(f, op->sa, *op->sa_len, &to);
    if (r < 0)
        return r;
    if (port_is_any(&to.addr)) /* this host, as Linux has it */
        to.addr.s6_addr[15] = 1, to.addr.s6_addr[12] = IN6_IS_ADDR_V4MAPPED(&to.addr) ? 127 : 0;
    if (f->type == SOCK_DGRAM)
        return dgram_connect(f, &to);
    r = tcp_connect(f, &to);
    if (op->stage && r == -EISCONN)
        return 0;
    if (r == -EINPROGRESS || (op->stage && r == -EALREADY)) {
        op->stage = 1;
        return op_never_waits(op) ? -EINPROGRESS : -EAGAIN;
    }
    return r;
}

static ssize_t try_accept(struct file *f, struct op *op)
{
    struct world *w = f->world;
    struct file *child;
    int r;

    if (f->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (f->state != FILE_LISTENS)
        return -EINVAL;
    do {
        child = stream_first_child(f);
        if (!child)
            return -EAGAIN;
        r = no_descriptor(w);
        if (r == 0)
            r = file_open(child);
        if (r < 0)
            return r;
        list_remove(&child->waiting);
        child->listener = NULL;
        f->nqueue--;
        if (f->family == AF_UNIX || !world_strikes(w, FAULT_ABORT))
            break;
        file_shut(w, r, CLOSE_RESET); /* ECONNABORTED: one asks again */
    } while (true);
    world_trace(w, "accept", child->id, (int64_t)f->id, 0);
    if (op->sa && f->family == AF_UNIX)
        unix_to_sockaddr(&child->peer_node, op->sa, op->sa_len);
    else if (op->sa)
        port_to_sockaddr(f->family, &child->port.peer, op->sa, op->sa_len);
    return r;
}

/* One message, from the parts of an operation. */
static ssize_t try_recv(struct file *f, struct op *op)
{
    struct iovec v = {.iov_base = op->buf, .iov_len = op->len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_name = op->sa};
    ssize_t r;

    if (op->sa)
        m.msg_namelen = *op->sa_len;
    r = f->type == SOCK_STREAM ? stream_recv(f, &m, op->flags) : dgram_recv(f, &m, op->flags);
    if (op->sa && r >= 0)
        *op->sa_len = m.msg_namelen;
    return r;
}

static ssize_t try_send(struct file *f, struct op *op)
{
    struct iovec v = {.iov_base = op->buf, .iov_len = op->len};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_name = op->sa};

    if (op->sa)
        m.msg_namelen = *op->sa_len;
    return f->type == SOCK_STREAM ? stream_send(f, &m, op->flags) : dgram_send(f, &m, op->flags);
}

static ssize_t try_poll(struct file *f, const struct op *op)
{
    int got = stream_ready(f) & (op->flags | POLLERR | POLLHUP);

    return got ? got : -EAGAIN;
}

ssize_t call_try(struct desc *d, struct op *op)
{
    struct file *f = d->file;
    struct world *w = f->world;
    static const int memory[] = {ENOMEM, ENOBUFS};

    if (op->kind != OP_POLL && op->kind != OP_CONNECT && world_strikes(w, FAULT_MEMORY))
        return -memory[random_below(&w->random, 2)];
    switch (op->kind) {
    case OP_RECV:
        return try_recv(f, op);
    case OP_SEND:
        return try_send(f, op);
    case OP_RECVMSG:
        return f->type == SOCK_STREAM ? stream_recv(f, op->buf, op->flags)
                                      : dgram_recv(f, op->buf, op->flags);
    case OP_SENDMSG:
        return f->type == SOCK_STREAM ? stream_send(f, op->buf, op->flags)
                                      : dgram_send(f, op->buf, op->flags);
    case OP_ACCEPT:
        return try_accept(f, op);
    case OP_CONNECT:
        return try_connect(f, op);
    case OP_POLL:
        return try_poll(f, op);
    case OP_SENDFILE:
        return stream_sendfile(f, op->file, op->buf, op->len);
    default:
        return -EINVAL;
    }
}
