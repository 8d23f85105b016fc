/* stream.c - bytes in and out of a stream, TCP's and UNIX's, with their errors in Linux's order.
 */
#include "sim/stream.h"

#include "base/check.h"
#include "sim/dgram.h"
#include "sim/rights.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define SENDFILE_CHUNK 65536

/* ------------------------------------------------------------------------- */
/* In                                                                          */

static ssize_t nothing_to_read(struct file *f)
{
    bool local = f->family == AF_UNIX;

    if (f->state == FILE_LISTENS)
        return local ? -EINVAL : -ENOTCONN;
    if (!local && f->in && f->in->end_arrived)
        return 0;
    if (f->error && !f->connecting)
        return -file_take_error(f);
    if (f->shut_in || (f->in && f->in->end_arrived))
        return 0;
    if (f->state == FILE_CONNECTED || f->state == FILE_CONNECTS)
        return -EAGAIN;
    return local ? -EINVAL : -ENOTCONN;
}

static ssize_t recv_urgent(struct file *f, struct msghdr *m, int flags)
{
    struct pipe *p = f->in;

    if (!p || p->urgent < 0)
        return -EINVAL;
    if (m->msg_iovlen && m->msg_iov[0].iov_len)
        *(char *)m->msg_iov[0].iov_base = (char)p->urgent;
    if (!(flags & MSG_PEEK))
        p->urgent = -1;
    m->msg_flags |= MSG_OOB;
    return 1;
}

/* Descriptors that came with these bytes; how far a receive may go for them. */
static size_t to_the_mark(struct pipe *p, struct msghdr *m, size_t len, struct rights **r)
{
    struct mark *mark;

    *r = NULL;
    if (list_empty(&p->marks))
        return len;
    mark = CONTAINER(p->marks.next, struct mark, link);
    if (p->read < mark->from)
        return len < mark->from - p->read ? len : (size_t)(mark->from - p->read);
    *r = mark->rights;
    mark->rights = NULL;
    len = len < mark->upto - p->read ? len : (size_t)(mark->upto - p->read);
    if (p->read + len >= mark->upto || m->msg_iovlen == 0) {
        list_remove(&mark->link);
        free(mark);
    }
    return len;
}

static size_t length_of(const struct msghdr *m)
{
    size_t len = 0;

    for (size_t i = 0; i < m->msg_iovlen; i++)
        len += m->msg_iov[i].iov_len;
    return len;
}

ssize_t stream_recv(struct file *f, struct msghdr *m, int flags)
{
    struct world *w = f->world;
    struct pipe *p = f->in;
    struct rights *rights = NULL;
    size_t len = length_of(m), done = 0, control = m->msg_controllen;
    bool peek = flags & MSG_PEEK;

    m->msg_flags = 0;
    m->msg_namelen = 0;
    m->msg_controllen = 0;
    if (flags & MSG_OOB)
        return recv_urgent(f, m, flags);
    if (!p || flow_unread(p) == 0)
        return nothing_to_read(f);
    if (len > flow_unread(p))
        len = flow_unread(p);
    if (!peek)
        len = to_the_mark(p, m, len, &rights);
    if (len > 1 && world_strikes(w, FAULT_SHORT))
        len = 1 + (size_t)random_below(&w->random, len);
    for (size_t i = 0; i < m->msg_iovlen && done < len; i++) {
        size_t n = m->msg_iov[i].iov_len < len - done ? m->msg_iov[i].iov_len : len - done;

        done += flow_read(p, m->msg_iov[i].iov_base, n, peek);
    }
    if (rights)
        rights_give(rights, m, control);
    return (ssize_t)done;
}

/* ------------------------------------------------------------------------- */
/* Out                                                                         */

/* How much can be sent; negative: why nothing can. */
static ssize_t room_to_send(struct file *f)
{
    bool local = f->family == AF_UNIX;
    size_t space;

    if (f->error && !f->connecting)
        return -file_take_error(f);
    if (f->shut_out || f->mate_gone)
        return -EPIPE;
    if (f->state == FILE_CONNECTS)
        return -EAGAIN;
    if (!f->out)
        return local ? -ENOTCONN : -EPIPE;
    space = flow_space(f->out);
    return space ? (ssize_t)space : -EAGAIN;
}

static void attach(struct pipe *p, struct rights *r, size_t len)
{
    struct mark *mark = r ? malloc(sizeof(*mark)) : NULL;

    if (!r)
        return;
    CHECK(mark, "no memory for simulated descriptors");
    *mark = (struct mark){.from = p->written, .upto = p->written + len, .rights = r};
    list_add(&p->marks, &mark->link);
}

static void send_urgent(struct file *f, const struct msghdr *m)
{
    f->out->urgent = *(unsigned char *)m->msg_iov[0].iov_base;
    file_wake(f->out->to, POLLPRI);
}

ssize_t stream_send(struct file *f, const struct msghdr *m, int flags)
{
    struct world *w = f->world;
    ssize_t room = room_to_send(f);
    size_t len = length_of(m), done = 0;
    struct rights *rights = NULL;
    int r;

    if (m->msg_name && f->family == AF_UNIX)
        return f->state == FILE_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if (room < 0 && (len > 0 || room != -EAGAIN))
        return room;
    if (len == 0)
        return 0;
    if ((flags & MSG_OOB) && f->family != AF_UNIX && len == 1) {
        send_urgent(f, m);
        return 1;
    }
    if (f->family == AF_UNIX) {
        r = rights_of(w, m, &rights);
        if (r < 0)
            return r;
    }
    if (len > (size_t)room)
        len = (size_t)room;
    if (len > 1 && world_strikes(w, FAULT_SHORT))
        len = 1 + (size_t)random_below(&w->random, len);
    attach(f->out, rights, len);
    /* What is sent can end the connection, and f->out with it: a reset that comes back at once. */
    for (size_t i = 0; i < m->msg_iovlen && done < len && f->out; i++) {
        size_t n = m->msg_iov[i].iov_len < len - done ? m->msg_iov[i].iov_len : len - done;

        if (n)
            flow_write(f->out, m->msg_iov[i].iov_base, n);
        done += n;
    }
    return (ssize_t)done;
}

ssize_t stream_sendfile(struct file *f, int file, off_t *off, size_t len)
{
    char buf[SENDFILE_CHUNK / 8]; /* on a fiber's stack */
    ssize_t room = room_to_send(f), n;

    if (room < 0)
        return room;
    if (len > (size_t)room)
        len = (size_t)room;
    if (len > sizeof(buf))
        len = sizeof(buf);
    n = off ? pread(file, buf, len, *off) : read(file, buf, len);
    if (n < 0)
        return -errno;
    if (n > 0)
        flow_write(f->out, buf, (size_t)n);
    if (off)
        *off += n;
    return n;
}

/* ------------------------------------------------------------------------- */
/* Listeners, and readiness                                                    */

struct file *stream_first_child(struct file *f)
{
    for (struct list *n = f->queue.next; n != &f->queue; n = n->next) {
        struct file *child = CONTAINER(n, struct file, waiting);

        if (!child->shake.place)
            return child;
    }
    return NULL;
}

static int ready_out(struct file *f)
{
    if (f->shut_out || f->mate_gone)
        return POLLOUT;
    if (f->type != SOCK_STREAM)
        return dgram_has_room(f) ? POLLOUT : 0;
    if (f->state == FILE_CLOSED)
        return POLLOUT;
    if (f->state != FILE_CONNECTED || !f->out)
        return 0;
    return 3 * flow_space(f->out) >= (size_t)f->sndbuf ? POLLOUT : 0;
}

int stream_ready(struct file *f)
{
    bool end = f->shut_in || (f->in && f->in->end_arrived);
    bool connected = f->type != SOCK_DGRAM;
    int got = 0;

    if (f->state == FILE_LISTENS)
        return stream_first_child(f) ? POLLIN : 0;
    if (end || (f->in && flow_unread(f->in) > 0) || f->nmessage > 0)
        got |= POLLIN;
    if (end)
        got |= POLLRDHUP;
    if (f->in && f->in->urgent >= 0)
        got |= POLLPRI;
    if ((end && f->shut_out) || (connected && f->state == FILE_CLOSED))
        got |= POLLHUP;
    if (f->error)
        got |= POLLERR | (f->type == SOCK_DGRAM ? POLLIN : 0);
    return got | ready_out(f);
}
