/* talk.c - lasting connections: messages in a closed loop, or on a fixed schedule.
 *
 * Closed: each connection has `pipeline` messages under way; the answer to one lets
 * the next go.  What one receive has completed goes out in one send.
 *
 * Open (--rate): message j of a slice is due at its start + j / rate, on connection j
 * modulo nconn, whatever the server does, and its latency counts from when it was
 * due.  So a server that stalls is charged for every message that it kept waiting.
 *
 * Edge-triggered, and a short receive ends the reading: the cheapest loop on epoll, lest
 * the generator be the limit before the server is.
 */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_PER_WAIT = 512,
    SENDS_PER_LOOK = 64, /* open loop: due messages sent before answers are read */
    RECEIVES_PER_EVENT = 8,
    SPIN_NS = 200 * 1000, /* open loop: a wait this short is spent looking */
    WAIT_NS_MAX = 20 * 1000 * 1000,
};

struct conn {
    int fd;
    uint32_t ask_at;    /* places in the pattern: the next byte to be sent ... */
    uint32_t answer_at; /* ... and to come */
    bool blocked;       /* the socket took less than it was given */
    uint64_t unsent;    /* bytes to be sent, as soon as there is room */
    uint64_t part;      /* bytes that came of the message under way */
    uint64_t nasked;    /* messages, in this slice */
    uint64_t nanswer;   /* those that came back */
    uint64_t *asked_ns; /* closed loop: when each message under way was sent, a ring */
};

struct talk {
    const struct options *o;
    struct target *target;
    int epoll_fd;
    struct conn *conns;
    uint8_t *buffer;
    uint64_t nwaiting; /* messages under way */
    uint64_t start_ns; /* this slice's time */
    uint64_t until_ns;
    uint64_t ndue; /* open loop: messages sent in this slice */
    unsigned turn; /* open loop: which connection sends the next */
    double interval_ns;
};

static uint64_t due_ns(const struct talk *t, uint64_t message)
{
    return t->start_ns + (uint64_t)((double)message * t->interval_ns);
}

/* Send what is to be sent, as far as there is room. */
static void push(struct talk *t, struct conn *c)
{
    while (c->unsent > 0) {
        size_t len = c->unsent < STREAM_CHUNK ? (size_t)c->unsent : STREAM_CHUNK;
        ssize_t n = send(c->fd, stream_asked + c->ask_at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            fail("send: %s", strerror(errno));
        if (n > 0) {
            c->ask_at = stream_next(c->ask_at, (size_t)n);
            c->unsent -= (uint64_t)n;
        }
        if (n < (ssize_t)len) {
            struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
            if (!c->blocked)
                epoll_ctl(t->epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
            c->blocked = true;
            return;
        }
    }
}

static void ask(struct talk *t, struct conn *c, uint64_t nmessage, uint64_t now)
{
    if (c->asked_ns)
        for (uint64_t i = 0; i < nmessage; i++)
            c->asked_ns[(c->nasked + i) % t->o->pipeline] = now;
    c->nasked += nmessage;
    c->unsent += nmessage * t->o->size;
    t->nwaiting += nmessage;
    push(t, c);
}

static uint64_t asked_ns(const struct talk *t, const struct conn *c)
{
    if (c->asked_ns)
        return c->asked_ns[c->nanswer % t->o->pipeline];
    return due_ns(t, c->nanswer * t->o->nconn + (uint64_t)(c - t->conns));
}

/* Bytes have come.  Returns how many messages they complete. */
static uint64_t take(struct talk *t, struct conn *c, size_t len, uint64_t now)
{
    uint64_t n = 0;

    stream_check(c->answer_at, t->buffer, len);
    c->answer_at = stream_next(c->answer_at, len);
    for (c->part += len; c->part >= t->o->size; c->part -= t->o->size, n++) {
        if (c->nanswer == c->nasked)
            fail("more bytes came than were sent");
        count_message(t->target, now - asked_ns(t, c));
        c->nanswer++;
    }
    t->nwaiting -= n;
    return n;
}

static void on_event(struct talk *t, struct conn *c, uint32_t events)
{
    uint64_t nmessage = 0, now = 0;

    for (int i = 0; events & EPOLLIN && i < RECEIVES_PER_EVENT; i++) {
        ssize_t n = recv(c->fd, t->buffer, STREAM_CHUNK, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            fail("the server ended a connection: %s", n ? strerror(errno) : "end of stream");
        now = now_ns();
        nmessage += take(t, c, (size_t)n, now);
        if (n < STREAM_CHUNK)
            break;
    }
    if (events & EPOLLOUT)
        push(t, c);
    if (nmessage > 0 && t->o->rate <= 0 && now < t->until_ns)
        ask(t, c, nmessage, now);
}

/* Send what is due.  Returns how long nothing else will be. */
static uint64_t send_due(struct talk *t, uint64_t now)
{
    for (int i = 0; i < SENDS_PER_LOOK; i++, t->ndue++) {
        uint64_t due = due_ns(t, t->ndue);
        if (due >= t->until_ns)
            return WAIT_NS_MAX;
        if (due > now)
            return due - now;
        count_lag(t->target, now - due);
        ask(t, &t->conns[t->turn], 1, now);
        t->turn = t->turn + 1 < t->o->nconn ? t->turn + 1 : 0;
    }
    return 0;
}

static void look(struct talk *t, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS_PER_WAIT];

    if (t->o->rate > 0 && wait_ns < SPIN_NS)
        wait_ns = 0;
    struct timespec wait = {.tv_nsec = (long)(wait_ns < WAIT_NS_MAX ? wait_ns : WAIT_NS_MAX)};
    int n = epoll_pwait2(t->epoll_fd, events, EVENTS_PER_WAIT, &wait, NULL);
    if (n < 0 && errno != EINTR)
        fail("epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        on_event(t, events[i].data.ptr, events[i].events);
}

static void talk_slice(void *state, uint64_t until_ns)
{
    struct talk *t = state;
    uint64_t now = now_ns();

    t->start_ns = now;
    t->until_ns = until_ns;
    t->ndue = 0;
    t->turn = 0;
    for (unsigned i = 0; i < t->o->nconn; i++) {
        t->conns[i].nasked = t->conns[i].nanswer = 0;
        if (t->o->rate <= 0)
            ask(t, &t->conns[i], t->o->pipeline, now_ns());
    }
    while (now < until_ns || t->nwaiting > 0) {
        look(t, t->o->rate > 0 ? send_due(t, now) : WAIT_NS_MAX);
        now = now_ns();
        if (now > until_ns + ANSWER_NS_MAX)
            fail("%llu answers have not come", (unsigned long long)t->nwaiting);
    }
}

static void *talk_open(const struct options *o, struct target *target)
{
    struct talk *t = calloc(1, sizeof(*t));

    if (!t)
        fail("out of memory");
    *t = (struct talk){.o = o, .target = target, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    t->conns = calloc(o->nconn, sizeof(*t->conns));
    t->buffer = malloc(STREAM_CHUNK);
    t->interval_ns = o->rate > 0 ? 1e9 / o->rate : 0;
    if (t->epoll_fd < 0 || !t->conns || !t->buffer)
        fail("out of memory");
    for (unsigned i = 0; i < o->nconn; i++) {
        struct conn *c = &t->conns[i];
        struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
        c->fd = dial(target, false);
        c->ask_at = c->answer_at = stream_next(0, (size_t)i * 61);
        if (o->rate <= 0)
            c->asked_ns = calloc(o->pipeline, sizeof(*c->asked_ns));
        if (epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0)
            fail("epoll_ctl: %s", strerror(errno));
    }
    return t;
}

static void talk_close(void *state)
{
    struct talk *t = state;

    for (unsigned i = 0; i < t->o->nconn; i++) {
        hang_up(t->conns[i].fd);
        free(t->conns[i].asked_ns);
    }
    close(t->epoll_fd);
    free(t->conns);
    free(t->buffer);
    free(t);
}

const struct kind talk_kind = {talk_open, talk_slice, talk_close};
