/* flow.c - bytes written, on their way, arrived, acknowledged, read.
 *
 * Between hosts with nothing in between all happens in the call, as on a real loopback.
 * Else segments travel: each has its time of arrival, not before the one sent before it.
 * A lost one comes later by the time TCP needs to send it again, and those behind it wait
 * (RFC 9293 3.8.1); after TRIES_MAX times the connection is given up, as tcp_retries2 has it.
 *
 * Acknowledgements travel too, one at a time, with what the receiver has and has room for.
 */
#include "sim/flow.h"

#include "base/check.h"
#include "sim/file.h"
#include "sim/rights.h"
#include "sim/tcp.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST  1024
#define SEGMENT_MAX 65536
#define RESEND_NS   (200 * SIM_MS)
#define RESEND_MAX  (120 * SIM_SECOND)
#define TRIES_MAX   15

static void arrived(struct event *e);
static void acked(struct event *e);
static void patience_over(struct event *e);

struct pipe *flow_make(struct world *w, struct file *from, struct file *to, bool local)
{
    struct pipe *p = calloc(1, sizeof(*p));

    CHECK(p, "no memory for a simulated stream");
    p->world = w;
    p->from = from;
    p->to = to;
    p->from_host = from->host;
    p->to_host = to->host;
    p->local = local;
    p->window = (uint64_t)to->rcvbuf;
    p->urgent = -1;
    list_init(&p->segments);
    list_init(&p->marks);
    p->arrive.run = arrived;
    p->ack.run = acked;
    p->patience.run = patience_over;
    return p;
}

static void drop_segments(struct pipe *p)
{
    events_remove(&p->world->events, &p->arrive);
    for (struct list *n = p->segments.next, *next; n != &p->segments; n = next) {
        next = n->next;
        free(CONTAINER(n, struct segment, link));
    }
    list_init(&p->segments);
}

/* Not now: somebody up the stack may be looking at it. */
static void bury(struct pipe *p)
{
    drop_segments(p);
    events_remove(&p->world->events, &p->ack);
    events_remove(&p->world->events, &p->patience);
    list_add(&p->world->dead_pipes, &p->dead);
}

void flow_free(struct pipe *p)
{
    for (struct list *n = p->marks.next, *next; n != &p->marks; n = next) {
        struct mark *m = CONTAINER(n, struct mark, link);

        next = n->next;
        rights_drop(m->rights);
        free(m);
    }
    free(p->ring);
    free(p);
}

void flow_leave_from(struct pipe *p)
{
    p->from = NULL;
    if (!p->to)
        bury(p);
}

void flow_leave_to(struct pipe *p)
{
    p->to = NULL;
    if (!p->from)
        bury(p);
}

size_t flow_space(const struct pipe *p)
{
    uint64_t used = p->written - (p->local ? p->read : p->acked);
    uint64_t room = (uint64_t)p->from->sndbuf;

    return used < room ? (size_t)(room - used) : 0;
}

static void sum(uint64_t *s, const char *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        *s = (*s ^ (unsigned char)buf[i]) * 0x100000001b3u;
}

static void make_room(struct pipe *p, size_t len)
{
    size_t need = (size_t)(p->written - p->read) + len, room = p->room ? p->room : ROOM_FIRST;
    char *ring;

    if (need <= p->room)
        return;
    while (room < need)
        room *= 2;
    ring = malloc(room);
    CHECK(ring, "no memory for a simulated stream's bytes");
    for (uint64_t at = p->read; at < p->written; at++)
        ring[at & (room - 1)] = p->ring[at & (p->room - 1)];
    free(p->ring);
    p->ring = ring;
    p->room = room;
}

void flow_write(struct pipe *p, const char *buf, size_t len)
{
    make_room(p, len);
    for (size_t done = 0, n; done < len; done += n) {
        size_t at = (size_t)((p->written + done) & (p->room - 1));

        n = p->room - at < len - done ? p->room - at : len - done;
        memcpy(p->ring + at, buf + done, n);
    }
    sum(&p->sum_written, buf, len);
    p->written += len;
    flow_push(p);
}

size_t flow_read(struct pipe *p, char *buf, size_t len, bool peek)
{
    if (len > flow_unread(p))
        len = flow_unread(p);
    for (size_t done = 0, n; done < len; done += n) {
        size_t at = (size_t)((p->read + done) & (p->room - 1));

        n = p->room - at < len - done ? p->room - at : len - done;
        memcpy(buf + done, p->ring + at, n);
    }
    if (peek || len == 0)
        return len;
    sum(&p->sum_read, buf, len);
    p->read += len;
    if (p->read == p->written && !p->stopped && p->sum_read != p->sum_written)
        world_break(p->world, "other bytes were read than written", p->to ? p->to->id : 0);
    flow_tell_room(p);
    return len;
}

void flow_end(struct pipe *p)
{
    p->end_written = true;
    flow_push(p);
}

void flow_stop(struct pipe *p)
{
    if (p->written == p->flown)
        return;
    p->written = p->flown;
    p->stopped = true;
}

static void check(struct pipe *p)
{
    if (p->read > p->arrived || p->arrived > p->flown || p->flown > p->written ||
        p->acked > p->arrived)
        world_break(p->world, "a stream's positions are out of order", p->to ? p->to->id : 0);
}

/* All of it at once. */
static void push_directly(struct pipe *p)
{
    uint64_t limit = p->local ? p->written : p->read + (p->to ? (uint64_t)p->to->rcvbuf : 0);
    uint64_t upto = p->written < limit ? p->written : limit;
    bool end = p->end_written && !p->end_arrived && upto == p->written;

    if (upto > p->arrived || end) {
        p->flown = upto > p->flown ? upto : p->flown;
        p->arrived = p->flown;
        p->acked = p->arrived;
        p->window = p->read + (p->to ? (uint64_t)p->to->rcvbuf : 0);
        p->end_flown = p->end_arrived = p->end_acked = p->end_acked || end;
        check(p);
        tcp_arrived(p, end);
    }
}

static void fly(struct pipe *p, uint64_t upto, bool end, bool reset)
{
    struct world *w = p->world;
    struct segment *s = malloc(sizeof(*s));
    uint64_t at = world_arrival(w, p->from_host, p->to_host, (size_t)(upto - p->flown) + 40);

    CHECK(s, "no memory for a simulated packet");
    if (at < p->last_ns)
        at = p->last_ns;
    p->last_ns = at;
    *s = (struct segment){.upto = upto, .end = end, .reset = reset, .at_ns = at};
    list_add(&p->segments, &s->link);
    p->flown = upto;
    p->end_flown = p->end_flown || end;
    if (!p->arrive.place)
        world_at(w, &p->arrive, at);
}

/* TCP_USER_TIMEOUT: how long something may stay unacknowledged. */
static void begin_patience(struct pipe *p)
{
    int ms = p->from && !p->local ? p->from->user_timeout_ms : 0;

    if (ms == 0 || p->patience.place || p->acked == p->written)
        return;
    p->patience_acked = p->acked;
    world_at(p->world, &p->patience, p->world->now_ns + (uint64_t)ms * SIM_MS);
}

static void patience_over(struct event *e)
{
    struct pipe *p = CONTAINER(e, struct pipe, patience);

    if (p->acked == p->patience_acked && p->acked != p->written)
        tcp_timed_out(p);
    else
        begin_patience(p);
}

void flow_push(struct pipe *p)
{
    struct world *w = p->world;

    begin_patience(p);
    if (list_empty(&p->segments) && (p->local || world_is_direct(w, p->from_host, p->to_host))) {
        push_directly(p);
        return;
    }
    for (;;) {
        uint64_t limit = p->written < p->window ? p->written : p->window;
        uint64_t n = limit > p->flown ? limit - p->flown : 0;

        if (n > SEGMENT_MAX)
            n = SEGMENT_MAX;
        if (n > 1 && world_strikes(w, FAULT_SHORT))
            n = 1 + random_below(&w->random, n);
        bool end = p->end_written && !p->end_flown && p->flown + n == p->written;

        if (n == 0 && !end)
            break;
        fly(p, p->flown + n, end, false);
    }
    check(p);
}

void flow_reset(struct pipe *p)
{
    flow_stop(p);
    p->resets = true;
    if (!p->to)
        return;
    if (list_empty(&p->segments) && world_is_direct(p->world, p->from_host, p->to_host))
        tcp_reset_arrived(p);
    else
        fly(p, p->flown, false, true);
}

/* The first segment was lost.  It is sent again, unless its sender knows nothing of it any more. */
static void resend(struct pipe *p)
{
    struct segment *s = CONTAINER(p->segments.next, struct segment, link);
    uint64_t later = RESEND_NS << (p->tries < 10 ? p->tries : 10);

    if (p->resets) {
        drop_segments(p);
        return;
    }
    if (++p->tries > TRIES_MAX) {
        tcp_timed_out(p);
        return;
    }
    s->at_ns = p->world->now_ns + (later < RESEND_MAX ? later : RESEND_MAX);
    if (p->last_ns < s->at_ns)
        p->last_ns = s->at_ns;
    world_at(p->world, &p->arrive, s->at_ns);
}

static void arrived(struct event *e)
{
    struct pipe *p = CONTAINER(e, struct pipe, arrive);
    struct world *w = p->world;
    struct segment *s = CONTAINER(p->segments.next, struct segment, link);

    if (!world_passes(w, p->from_host, p->to_host)) {
        resend(p);
        return;
    }
    p->tries = 0;
    list_remove(&s->link);
    bool end = s->end, reset = s->reset;
    p->arrived = s->upto;
    p->end_arrived = p->end_arrived || end;
    if (!list_empty(&p->segments)) {
        uint64_t at = CONTAINER(p->segments.next, struct segment, link)->at_ns;

        world_at(w, &p->arrive, at > w->now_ns ? at : w->now_ns);
    }
    free(s);
    if (reset) {
        tcp_reset_arrived(p);
        return;
    }
    check(p);
    world_trace(w, "arrive", p->to ? p->to->id : 0, (int64_t)p->arrived, end);
    if (p->from && p->to && world_strikes(w, FAULT_RESET)) {
        tcp_break(p);
        return;
    }
    flow_tell_room(p);
    tcp_arrived(p, end);
}

void flow_tell_room(struct pipe *p)
{
    struct world *w = p->world;
    uint64_t window;

    if (p->local) {
        if (p->from)
            file_wake(p->from, POLLOUT);
        return;
    }
    if (!p->from || !p->to)
        return;
    window = p->read + (uint64_t)p->to->rcvbuf;
    if (list_empty(&p->segments) && world_is_direct(w, p->from_host, p->to_host)) {
        p->window = window;
        p->acked = p->arrived;
        push_directly(p);
        file_wake(p->from, POLLOUT);
        return;
    }
    if (p->ack.place)
        return;
    /* Not each byte that was read is worth a packet. */
    if (p->arrived == p->acked && p->end_arrived == p->end_acked &&
        (window <= p->window ||
         (window < p->window + (uint64_t)p->to->rcvbuf / 2 && p->flown < p->window)))
        return;
    p->ack_arrived = p->arrived;
    p->ack_window = window;
    p->ack_end = p->end_arrived;
    world_at(w, &p->ack, world_arrival(w, p->to_host, p->from_host, 40));
}

static void acked(struct event *e)
{
    struct pipe *p = CONTAINER(e, struct pipe, ack);
    struct world *w = p->world;

    if (!world_passes(w, p->to_host, p->from_host)) {
        world_at(w, &p->ack, w->now_ns + RESEND_NS);
        return;
    }
    if (p->ack_arrived > p->acked)
        p->acked = p->ack_arrived;
    if (p->ack_window > p->window)
        p->window = p->ack_window;
    p->end_acked = p->end_acked || p->ack_end;
    check(p);
    if (!p->from)
        return;
    flow_tell_room(p);
    flow_push(p);
    if (!p->from) /* what it has pushed was answered by a reset */
        return;
    file_wake(p->from, POLLOUT);
    tcp_settle(p->from);
}
