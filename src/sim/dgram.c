/* dgram.c - a queue of messages for each socket, and their way to it.
 *
 * UDP is lost when the receiver's queue is full or the link says so, and comes twice or late
 * where the faults say so.  A port where nobody is answers (ICMP), and a connected socket's
 * next call is told ECONNREFUSED.  UNIX datagrams are never lost: there the sender waits,
 * for UNIX_QUEUE_MAX messages at most (net.unix.max_dgram_qlen).
 * Source: udp(7), unix(7).
 */
#include "sim/dgram.h"

#include "base/check.h"
#include "sim/port.h"
#include "sim/rights.h"
#include "sim/unix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNIX_QUEUE_MAX 11
#define UDP_MAX        65507
#define UDP6_MAX       65527
#define UDP_OVERHEAD   256 /* what a datagram counts beyond its bytes */

static void forget(struct message *m)
{
    events_remove(&m->to_host->world->events, &m->arrives);
    rights_drop(m->rights);
    free(m);
}

void dgram_drop_all(struct file *f)
{
    for (struct list *n = f->messages.next, *next; n != &f->messages; n = next) {
        next = n->next;
        forget(CONTAINER(n, struct message, link));
    }
    list_init(&f->messages);
    f->nmessage = 0;
    f->nmessage_bytes = 0;
}

static size_t length_of(const struct msghdr *m)
{
    size_t len = 0;

    for (size_t i = 0; i < m->msg_iovlen; i++)
        len += m->msg_iov[i].iov_len;
    return len;
}

static struct message *make(struct file *f, const struct msghdr *m, size_t len)
{
    struct message *x = calloc(1, sizeof(*x) + len);
    size_t at = 0;

    CHECK(x, "no memory for a simulated datagram");
    for (size_t i = 0; i < m->msg_iovlen; i++) {
        memcpy(x->bytes + at, m->msg_iov[i].iov_base, m->msg_iov[i].iov_len);
        at += m->msg_iov[i].iov_len;
    }
    x->len = len;
    x->to_host = f->host;
    return x;
}

static void enqueue(struct file *to, struct message *m)
{
    list_add(&to->messages, &m->link);
    to->nmessage++;
    to->nmessage_bytes += m->len + UDP_OVERHEAD;
    world_trace(to->world, "dgram", to->id, (int64_t)m->len, to->nmessage);
    file_wake(to, POLLIN);
}

/* ------------------------------------------------------------------------- */
/* UDP                                                                         */

static void refused(struct world *w, const struct message *m)
{
    struct host *h = m->from_host;
    struct file *f = port_receiver(w, h, &m->for_, &m->from);

    if (!f || f->port.peer.port != m->for_.port)
        return;
    f->error = ECONNREFUSED;
    file_wake(f, POLLIN | POLLOUT | POLLPRI);
}

static void udp_arrived(struct event *e)
{
    struct message *m = CONTAINER(e, struct message, arrives);
    struct world *w = m->to_host->world;
    struct file *to;

    list_remove(&m->link);
    if (!world_passes(w, m->from_host, m->to_host)) {
        forget(m);
        return;
    }
    to = port_receiver(w, m->to_host, &m->from, &m->for_);
    if (!to) {
        refused(w, m);
        forget(m);
    } else if (to->shut_in || to->nmessage_bytes + m->len > (size_t)to->rcvbuf) {
        forget(m);
    } else {
        enqueue(to, m);
    }
}

/* On its way: it belongs to the world until it arrives. */
static void depart(struct world *w, struct message *m)
{
    m->arrives.run = udp_arrived;
    list_add(&w->flying, &m->link);
    if (world_is_direct(w, m->from_host, m->to_host))
        udp_arrived(&m->arrives);
    else
        world_at(w, &m->arrives, world_arrival(w, m->from_host, m->to_host, m->len + 28));
}

static ssize_t udp_send(struct file *f, const struct msghdr *m)
{
    struct world *w = f->world;
    struct end to = f->port.peer, own;
    size_t len = length_of(m);
    struct message *x;
    struct host *there;
    int r = 0;

    if (m->msg_name)
        r = port_from_sockaddr(f, m->msg_name, m->msg_namelen, &to);
    if (r < 0)
        return r;
    if (!to.port)
        return m->msg_name ? -EINVAL : -EDESTADDRREQ;
    if (len > (f->family == AF_INET ? UDP_MAX : UDP6_MAX))
        return -EMSGSIZE;
    own = f->port.own;
    r = port_source(f, &to, &own.addr);
    if (r == 0 && !f->port.own.port)
        r = port_choose(f, &to);
    if (r < 0)
        return r;
    own.port = f->port.own.port;
    there = world_find_host(w, f->host, &to.addr);
    if (!there)
        return (ssize_t)len; /* into the void */
    for (int copies = 1 + world_strikes(w, FAULT_TWICE); copies > 0; copies--) {
        x = make(f, m, len);
        x->from = own;
        x->for_ = to;
        x->from_host = f->host;
        x->to_host = there;
        depart(w, x);
    }
    return (ssize_t)len;
}

int dgram_connect(struct file *f, const struct end *to)
{
    struct end own = f->port.own;
    int r = port_source(f, to, &own.addr);

    if (r == 0 && !f->port.own.port)
        r = port_choose(f, to);
    if (r < 0)
        return r;
    f->port.own.addr = own.addr;
    f->port.peer = *to;
    f->state = FILE_CONNECTED;
    return 0;
}

/* ------------------------------------------------------------------------- */
/* UNIX                                                                        */

bool dgram_has_room(const struct file *f)
{
    if (f->family != AF_UNIX || !f->mate)
        return true;
    return f->mate->nmessage < UNIX_QUEUE_MAX;
}

static int unix_receiver(struct file *f, const struct msghdr *m, struct file **to)
{
    *to = f->mate;
    if (m->msg_name && f->type == SOCK_DGRAM)
        return unix_find(f, m->msg_name, m->msg_namelen, to);
    if (*to)
        return 0;
    if (f->type == SOCK_SEQPACKET)
        return f->mate_gone ? -EPIPE : -ENOTCONN;
    return f->mate_gone ? -ECONNREFUSED : -ENOTCONN;
}

static ssize_t unix_send(struct file *f, const struct msghdr *m)
{
    struct file *to;
    struct message *x;
    struct rights *rights;
    size_t len = length_of(m);
    int r;

    if (len > (size_t)f->sndbuf)
        return -EMSGSIZE;
    r = unix_receiver(f, m, &to);
    if (r < 0)
        return r;
    if (to->shut_in)
        return -EPIPE;
    if (to->nmessage >= UNIX_QUEUE_MAX)
        return m->msg_name ? -EXFULL : -EAGAIN;
    r = rights_of(f->world, m, &rights);
    if (r < 0)
        return r;
    x = make(f, m, len);
    x->from_node = f->node ? *f->node : f->own_node;
    x->rights = rights;
    x->to_host = to->host;
    enqueue(to, x);
    return (ssize_t)len;
}

ssize_t dgram_send(struct file *f, const struct msghdr *m, int flags)
{
    (void)flags;
    if (f->error)
        return -file_take_error(f);
    if (f->shut_out)
        return -EPIPE;
    return f->family == AF_UNIX ? unix_send(f, m) : udp_send(f, m);
}

/* ------------------------------------------------------------------------- */
/* Receiving                                                                   */

static size_t copy_out(const struct message *x, struct msghdr *m)
{
    size_t at = 0;

    for (size_t i = 0; i < m->msg_iovlen && at < x->len; i++) {
        size_t n = m->msg_iov[i].iov_len < x->len - at ? m->msg_iov[i].iov_len : x->len - at;

        memcpy(m->msg_iov[i].iov_base, x->bytes + at, n);
        at += n;
    }
    return at;
}

static void tell_sender(const struct file *f, const struct message *x, struct msghdr *m)
{
    if (!m->msg_name) {
        m->msg_namelen = 0;
        return;
    }
    if (f->family != AF_UNIX)
        port_to_sockaddr(f->family, &x->from, m->msg_name, &m->msg_namelen);
    else if (x->from_node.len && f->type == SOCK_DGRAM)
        unix_to_sockaddr(&x->from_node, m->msg_name, &m->msg_namelen);
    else
        m->msg_namelen = 0;
}

/* Whoever waits for room in f's queue. */
static void wake_senders(struct file *f)
{
    if (f->family != AF_UNIX)
        return;
    if (f->type != SOCK_DGRAM) {
        file_wake(f->mate, POLLOUT);
        return;
    }
    for (struct list *n = f->world->files.next; n != &f->world->files; n = n->next) {
        struct file *other = CONTAINER(n, struct file, all);

        if (other->mate == f)
            file_wake(other, POLLOUT);
    }
}

static ssize_t nothing(struct file *f)
{
    if (f->error)
        return -file_take_error(f);
    if (f->shut_in || (f->type == SOCK_SEQPACKET && f->mate_gone))
        return 0;
    if (f->type == SOCK_SEQPACKET && !f->mate)
        return -ENOTCONN;
    return -EAGAIN;
}

ssize_t dgram_recv(struct file *f, struct msghdr *m, int flags)
{
    struct message *x;
    size_t n, control = m->msg_controllen;

    m->msg_flags = 0;
    m->msg_controllen = 0;
    if (f->error && f->family != AF_UNIX)
        return -file_take_error(f);
    if (list_empty(&f->messages))
        return nothing(f);
    x = CONTAINER(f->messages.next, struct message, link);
    n = copy_out(x, m);
    tell_sender(f, x, m);
    if (n < x->len)
        m->msg_flags |= MSG_TRUNC;
    if (flags & MSG_TRUNC)
        n = x->len;
    if (flags & MSG_PEEK)
        return (ssize_t)n;
    if (x->rights)
        rights_give(x->rights, m, control);
    x->rights = NULL;
    list_remove(&x->link);
    f->nmessage--;
    f->nmessage_bytes -= x->len + UDP_OVERHEAD;
    forget(x);
    wake_senders(f);
    return (ssize_t)n;
}
