/* tcp.c - simulated TCP: the handshake, the queue of a listener, ends, resets, TIME_WAIT.
 *
 * A connect is a row of steps, each a packet's travel: SYN, answer, and the last one, with which
 * the child may be accepted.  A SYN that is lost, or finds the queue full, is sent again after
 * 1, 2, 4, ... seconds, TCP_SYNCNT times.
 *
 * A socket whose last descriptor has gone lives on as an orphan until both ends have been
 * told; the one that ended first keeps the addresses for TIME_WAIT (RFC 9293 3.3.2).
 *
 * Errors come as in Linux: a reset is told once, by whatever call comes next, and then
 * reading gives the end and writing EPIPE (tcp_reset() in net/ipv4/tcp_input.c).
 */
#include "sim/tcp.h"

#include "base/limits.h"
#include "sim/port.h"
#include "sim/unix.h"

#include <errno.h>
#include <string.h>

#define ORPHAN_NS   (60 * SIM_SECOND) /* tcp_fin_timeout */
#define PATIENCE    3
#define BACKLOG_MAX 4096 /* somaxconn */

enum { STEP_SYN, STEP_ANSWER, STEP_REFUSED };

/* ------------------------------------------------------------------------- */
/* The end                                                                     */

/* f's connection is no more; what has come can still be read. */
static void die(struct file *f, int error)
{
    struct world *w = f->world;

    world_trace(w, "die", f->id, error, 0);
    f->state = FILE_CLOSED;
    f->shut_in = f->shut_out = true;
    if (!f->end_seen || error == EPIPE)
        f->error = error;
    events_remove(&w->events, &f->shake);
    if (f->out) {
        flow_stop(f->out);
        flow_leave_from(f->out);
        f->out = NULL;
    }
    if (f->orphan)
        file_free(f);
    else
        file_wake(f, POLLIN | POLLOUT | POLLPRI);
    if (f->listener)
        file_wake(f->listener, POLLIN);
}

/* A reset has come, from the peer or from anything between. */
static void reset(struct file *f)
{
    die(f, f->end_seen ? EPIPE : ECONNRESET);
}

void tcp_reset_arrived(struct pipe *p)
{
    struct file *f = p->to;

    world_trace(p->world, "reset", f ? f->id : 0, 0, 0);
    if (f && f->in == p && f->state == FILE_CONNECTED)
        reset(f);
}

void tcp_break(struct pipe *p)
{
    struct file *a = p->from, *b = p->to;

    world_trace(p->world, "break", a->id, (int64_t)b->id, 0);
    if (a->state == FILE_CONNECTED)
        reset(a);
    if (b->state == FILE_CONNECTED)
        reset(b);
}

void tcp_timed_out(struct pipe *p)
{
    if (p->from && p->from->state == FILE_CONNECTED)
        die(p->from, ETIMEDOUT);
}

void tcp_settle(struct file *f)
{
    bool sent = f->out && f->out->end_acked && f->out->acked == f->out->written;
    bool heard = f->in && f->in->end_arrived;

    if (f->type != SOCK_STREAM || f->family == AF_UNIX || f->state != FILE_CONNECTED || !sent ||
        !heard)
        return;
    if (f->was_first)
        port_time_wait(f);
    die(f, f->error);
}

/* An orphan's input: nobody will read it. */
static void orphan_heard(struct file *f, bool end)
{
    struct pipe *in = f->in;
    char sink[2048];

    while (f->lingers && flow_unread(in) > 0) {
        flow_read(in, sink, sizeof(sink), false);
        f->linger_until_ns = f->world->now_ns + LINGER_SILENCE_NS;
    }
    if (flow_unread(in) > 0) {
        if (f->out)
            flow_reset(f->out);
        die(f, 0);
    } else if (end) {
        tcp_settle(f);
    }
}

void tcp_arrived(struct pipe *p, bool end)
{
    struct file *f = p->to, *far = p->from;

    if (p->local) {
        if (f && f->lingers)
            unix_heard(f);
        else if (f)
            file_wake(f, POLLIN | (end ? POLLPRI : 0));
        return;
    }
    if (f && end)
        f->end_seen = f->shut_in = true;
    if (f && f->orphan)
        orphan_heard(f, end);
    else if (f)
        file_wake(f, POLLIN | (end ? POLLPRI : 0));
    else if (far && far->state == FILE_CONNECTED)
        reset(far); /* nobody is there any more */
    if (f && !f->orphan && end)
        tcp_settle(f);
    if (far && far->out == p)
        tcp_settle(far);
}

/* An orphan's peer has been silent for long: after a polite close, or in FIN_WAIT_2. */
static void linger_over(struct event *e)
{
    struct file *f = CONTAINER(e, struct file, linger);
    struct world *w = f->world;
    bool told = !f->out || (f->out->end_acked && f->out->acked == f->out->written);

    if (f->linger_until_ns > w->now_ns) {
        world_at(w, &f->linger, f->linger_until_ns);
        return;
    }
    f->lingers = false;
    if (++f->patience < PATIENCE) {
        f->linger_until_ns = w->now_ns + ORPHAN_NS;
        world_at(w, &f->linger, f->linger_until_ns);
        return;
    }
    if (told)
        port_time_wait(f);
    else
        flow_reset(f->out);
    die(f, 0);
}

void tcp_shutdown(struct file *f, int how)
{
    if (how != SHUT_WR)
        f->shut_in = true;
    if (how != SHUT_RD && !f->shut_out) {
        f->shut_out = true;
        f->was_first = !f->end_seen;
        if (f->out)
            flow_end(f->out);
    }
    file_wake(f, POLLIN | POLLOUT | POLLPRI);
}

void tcp_stop_listening(struct file *f)
{
    struct list *n;

    while ((n = list_shift(&f->queue))) {
        struct file *child = CONTAINER(n, struct file, waiting);

        child->listener = NULL;
        child->orphan = true;
        if (child->out)
            flow_reset(child->out);
        die(child, 0);
    }
    f->nqueue = 0;
    f->state = FILE_CLOSED;
}

/* close(2) of a connection: a reset where input is unread, else the end after all that was sent.
 * Politely, input that comes is heard for a while, so that there need be no reset. */
static void close_connected(struct file *f, bool politely)
{
    bool unread = f->in && flow_unread(f->in) > 0;
    bool unsent = f->out && f->out->acked != f->out->written;

    f->orphan = true;
    if ((f->so_linger.l_onoff && f->so_linger.l_linger == 0) || (unread && !politely)) {
        if (f->out)
            flow_reset(f->out);
        die(f, 0);
        return;
    }
    f->lingers = politely && (unread || unsent);
    f->linger_until_ns = f->world->now_ns + (f->lingers ? LINGER_SILENCE_NS : ORPHAN_NS);
    f->linger.run = linger_over;
    world_at(f->world, &f->linger, f->linger_until_ns);
    tcp_shutdown(f, SHUT_WR);
    if (f->state == FILE_CONNECTED && f->in)
        orphan_heard(f, f->in->end_arrived);
}

void tcp_close(struct file *f, bool politely)
{
    if (f->state == FILE_LISTENS)
        tcp_stop_listening(f);
    if (f->state == FILE_CONNECTED)
        close_connected(f, politely);
    else
        file_free(f);
}

void tcp_disconnect(struct file *f)
{
    struct pipe *in = f->in, *out = f->out;

    tcp_stop_listening(f);
    f->in = f->out = NULL;
    if (out && out->to)
        flow_reset(out);
    if (out)
        flow_leave_from(out);
    if (in)
        flow_leave_to(in);
    events_remove(&f->world->events, &f->shake);
    f->state = FILE_CLOSED;
    f->connecting = f->shut_in = f->shut_out = f->end_seen = f->was_first = false;
    f->error = 0;
    f->port.peer.port = 0;
    if (!f->port.bound_by_user)
        port_release(f);
}

/* ------------------------------------------------------------------------- */
/* The beginning                                                               */

int tcp_listen(struct file *f, int backlog)
{
    int r = 0;

    if (f->state != FILE_CLOSED && f->state != FILE_LISTENS)
        return -EINVAL;
    if (f->state == FILE_CLOSED)
        r = f->port.own.port ? port_may_listen(f) : port_choose(f, NULL);
    if (r < 0)
        return r;
    f->state = FILE_LISTENS;
    f->shut_in = f->shut_out = false;
    f->backlog = backlog < 0 || backlog > BACKLOG_MAX ? BACKLOG_MAX : (unsigned)backlog;
    return 0;
}

static void connect_fails(struct file *f, int error)
{
    f->error = error;
    f->state = FILE_CLOSED;
    f->port.peer.port = 0;
    world_trace(f->world, "refused", f->id, error, 0);
    if (!f->port.bound_by_user)
        port_release(f);
    file_wake(f, POLLIN | POLLOUT | POLLPRI);
}

/* The last packet of the handshake has come: the child may be accepted. */
static void child_arrived(struct event *e)
{
    struct file *child = CONTAINER(e, struct file, shake);

    if (child->listener)
        file_wake(child->listener, POLLIN);
}

/* The child that the listener will accept, connected to f. */
static void make_child(struct file *f, struct file *listener)
{
    struct world *w = f->world;
    struct file *child =
        file_make(w, listener->host, listener->family, SOCK_STREAM, listener->proto);

    child->sndbuf = listener->sndbuf;
    child->rcvbuf = listener->rcvbuf;
    child->so_linger = listener->so_linger;
    child->noption = listener->noption;
    memcpy(child->option, listener->option, sizeof(child->option));
    child->state = FILE_CONNECTED;
    child->port.own = f->port.peer;
    child->port.peer = f->port.own;
    port_inherit(child, listener);
    f->out = child->in = flow_make(w, f, child, false);
    f->in = child->out = flow_make(w, child, f, false);
    child->listener = listener;
    list_add(&listener->queue, &child->waiting);
    listener->nqueue++;
    child->shake.run = child_arrived;
    if (world_is_direct(w, f->host, child->host))
        file_wake(listener, POLLIN);
    else
        world_at(w, &child->shake, world_arrival(w, f->host, child->host, 40));
}

static void established(struct file *f)
{
    f->state = FILE_CONNECTED;
    f->shut_in = f->shut_out = f->end_seen = false;
    world_trace(f->world, "connect", f->id, f->port.own.port, f->port.peer.port);
    file_wake(f, POLLIN | POLLOUT | POLLPRI);
}

/* The step that has arrived; the next one to take, or -1. */
static int take_step(struct file *f, struct host *there)
{
    struct world *w = f->world;
    bool itself = there == f->host && f->port.own.port == f->port.peer.port &&
                  memcmp(&f->port.own.addr, &f->port.peer.addr, sizeof(struct in6_addr)) == 0;
    struct file *listener = itself ? NULL : port_listener(w, there, &f->port.peer);

    if (f->step == STEP_REFUSED) {
        connect_fails(f, ECONNREFUSED);
        return -1;
    }
    if (itself) { /* simultaneous open */
        f->in = f->out = flow_make(w, f, f, false);
        established(f);
        return -1;
    }
    if (!listener || (f->step == STEP_SYN && world_strikes(w, FAULT_REFUSE)))
        return STEP_REFUSED;
    if (f->step == STEP_SYN)
        return listener->nqueue > listener->backlog ? STEP_SYN : STEP_ANSWER;
    make_child(f, listener);
    established(f);
    return -1;
}

/* Send the SYN again later, or give up. */
static void syn_again(struct file *f)
{
    f->step = STEP_SYN;
    if (f->tries++ >= f->syn_tries)
        connect_fails(f, ETIMEDOUT);
    else
        world_at(f->world, &f->shake, f->world->now_ns + (SIM_SECOND << (f->tries - 1)));
}

static void shake_arrived(struct event *e)
{
    struct file *f = CONTAINER(e, struct file, shake);
    struct world *w = f->world;
    struct host *there = world_find_host(w, f->host, &f->port.peer.addr);
    struct host *from = f->step == STEP_SYN ? f->host : there;
    struct host *to = f->step == STEP_SYN ? there : f->host;

    for (;;) {
        if (!there || !world_passes(w, from, to)) {
            syn_again(f);
            return;
        }
        int next = take_step(f, there);

        if (next < 0)
            return;
        if (next == STEP_SYN) {
            syn_again(f);
            return;
        }
        f->step = (uint8_t)next;
        if (world_is_direct(w, there, f->host))
            continue;
        world_at(w, &f->shake, world_arrival(w, there, f->host, 40));
        return;
    }
}

/* connect(2) again: how is it going? */
static int outcome(struct file *f)
{
    if (f->state == FILE_CONNECTS)
        return -EALREADY;
    f->connecting = false;
    if (f->state == FILE_CONNECTED && !f->error)
        return 0;
    int error = file_take_error(f);

    f->shut_in = f->shut_out = false;
    return error ? -error : -ECONNABORTED;
}

int tcp_connect(struct file *f, const struct end *to)
{
    struct world *w = f->world;
    struct host *there;
    int r;

    if (f->connecting)
        return outcome(f);
    if (f->state != FILE_CLOSED || f->in)
        return -EISCONN;
    struct end own = f->port.own;
    r = port_source(f, to, &own.addr);
    if (r < 0)
        return r;
    if (own.port && port_pair_taken(f, &own, to))
        return -EADDRNOTAVAIL;
    if (!own.port)
        r = port_choose(f, to);
    if (r < 0)
        return r;
    f->port.own.addr = own.addr;
    f->port.peer = *to;
    f->state = FILE_CONNECTS;
    f->connecting = true;
    f->step = STEP_SYN;
    f->tries = 0;
    f->error = 0;
    f->shake.run = shake_arrived;
    there = world_find_host(w, f->host, &to->addr);
    if (there && world_is_direct(w, f->host, there))
        shake_arrived(&f->shake);
    else
        world_at(w, &f->shake, there ? world_arrival(w, f->host, there, 40) : w->now_ns);
    return -EINPROGRESS;
}
