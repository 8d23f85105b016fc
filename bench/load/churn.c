/* churn.c - a connection for each message: connect, send, wait for the answer, close.
 *
 * nconn connections are under way at once, each in a slot that begins the next when
 * one is over.  connect(2) blocks: over loopback the handshake is done inside the
 * call.  The client closes first and so has the TIME_WAIT; with --wait-eof it ends its
 * own direction, and sees the server's end before it closes.
 *
 * The latency is a connection's whole life, from socket(2) to the last byte it waits for.
 */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    EVENTS_PER_WAIT = 256,
    WAIT_MS = 20,
};

struct slot {
    int fd;
    uint32_t at;    /* place in the pattern of the next byte to come */
    size_t waiting; /* bytes to come */
    uint64_t since_ns;
};

struct churn {
    const struct options *o;
    struct target *target;
    int epoll_fd;
    struct slot *slots;
    unsigned nbusy;    /* slots in use */
    uint64_t until_ns; /* no connection begins after that */
    uint32_t turn;     /* connections begun: each sends other bytes */
    uint8_t *buffer;
};

static void begin(struct churn *c, struct slot *s)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};

    s->since_ns = now_ns();
    s->fd = dial(c->target, true);
    s->at = stream_next(0, (size_t)c->turn++ % PATTERN_LEN * 61);
    s->waiting = c->o->size;
    c->nbusy++;
    if (send(s->fd, stream_asked + s->at, c->o->size, MSG_NOSIGNAL) != (ssize_t)c->o->size)
        fail("send: %s", strerror(errno));
    if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, s->fd, &e) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

/* The slot's connection is over: begin the next, while it is time. */
static void next(struct churn *c, struct slot *s)
{
    uint64_t now;

    close(s->fd);
    now = now_ns();
    count_message(c->target, now - s->since_ns);
    c->nbusy--;
    if (now < c->until_ns)
        begin(c, s);
}

static void on_event(struct churn *c, struct slot *s)
{
    ssize_t n = recv(s->fd, c->buffer, STREAM_CHUNK, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n == 0 && s->waiting == 0) {
        next(c, s);
        return;
    }
    if (n <= 0)
        fail("the server ended a connection: %s", n ? strerror(errno) : "end of stream");
    if ((size_t)n > s->waiting)
        fail("more bytes came than were sent");
    stream_check(s->at, c->buffer, (size_t)n);
    s->at = stream_next(s->at, (size_t)n);
    s->waiting -= (size_t)n;
    if (s->waiting > 0)
        return;
    if (c->o->wait_eof)
        shutdown(s->fd, SHUT_WR);
    else
        next(c, s);
}

static void churn_slice(void *state, uint64_t until_ns)
{
    struct churn *c = state;
    struct epoll_event events[EVENTS_PER_WAIT];

    c->until_ns = until_ns;
    for (unsigned i = 0; i < c->o->nconn; i++)
        begin(c, &c->slots[i]);
    while (c->nbusy > 0) {
        int n = epoll_wait(c->epoll_fd, events, EVENTS_PER_WAIT, WAIT_MS);
        for (int i = 0; i < n; i++)
            on_event(c, events[i].data.ptr);
        if (n == 0 && now_ns() > until_ns + ANSWER_NS_MAX)
            fail("%u answers have not come", c->nbusy);
    }
}

static void *churn_open(const struct options *o, struct target *target)
{
    struct churn *c = calloc(1, sizeof(*c));

    if (!c)
        fail("out of memory");
    *c = (struct churn){.o = o, .target = target, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    c->slots = calloc(o->nconn, sizeof(*c->slots));
    c->buffer = malloc(STREAM_CHUNK);
    if (c->epoll_fd < 0 || !c->slots || !c->buffer)
        fail("out of memory");
    return c;
}

static void churn_close(void *state)
{
    struct churn *c = state;

    close(c->epoll_fd);
    free(c->slots);
    free(c->buffer);
    free(c);
}

const struct kind churn_kind = {churn_open, churn_slice, churn_close};
