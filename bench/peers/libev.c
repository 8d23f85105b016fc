/* libev.c - the upper-casing server on libev.
 *
 * Idiomatic: libev tells of readiness and leaves the calls to its user; so there are
 * non-blocking sockets, an ev_io watcher for reading and one for writing in each connection,
 * as ev(3) has it, and one buffer for all.  The answer is sent at once.  Back-pressure: what
 * the socket refuses is kept, and the connection is not read until it has gone.
 *
 * usage: libev PORT
 */
#include "peer.h"

#include <ev.h>
#include <stdbool.h>

enum { BUFFER_LEN = 64 << 10 };

struct conn {
    ev_io readable, writable;
    uint8_t *kept; /* what is still to be sent, from `at` on */
    size_t at, len;
};

static uint8_t buffer[BUFFER_LEN];

static void drop(struct ev_loop *loop, struct conn *c)
{
    ev_io_stop(loop, &c->readable);
    ev_io_stop(loop, &c->writable);
    close(c->readable.fd);
    free(c->kept);
    free(c);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int events)
{
    struct conn *c = w->data;
    ssize_t n = send(w->fd, c->kept + c->at, c->len - c->at, MSG_NOSIGNAL);

    (void)events;
    if (n < 0 && errno != EAGAIN) {
        drop(loop, c);
        return;
    }
    c->at += n > 0 ? (size_t)n : 0;
    if (c->at < c->len)
        return;
    free(c->kept);
    c->kept = NULL;
    ev_io_stop(loop, &c->writable);
    ev_io_start(loop, &c->readable);
}

static bool keep(struct ev_loop *loop, struct conn *c, const uint8_t *bytes, size_t len)
{
    c->kept = malloc(len);
    if (!c->kept)
        return false;
    memcpy(c->kept, bytes, len);
    c->at = 0;
    c->len = len;
    ev_io_stop(loop, &c->readable);
    ev_io_start(loop, &c->writable);
    return true;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int events)
{
    struct conn *c = w->data;
    ssize_t n = recv(w->fd, buffer, sizeof(buffer), 0);

    (void)events;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(loop, c);
        return;
    }
    upper(buffer, (size_t)n);
    ssize_t sent = send(w->fd, buffer, (size_t)n, MSG_NOSIGNAL);
    bool alive = sent >= 0 || errno == EAGAIN;
    sent = sent > 0 ? sent : 0;
    if (alive && sent < n)
        alive = keep(loop, c, buffer + sent, (size_t)(n - sent));
    if (!alive)
        drop(loop, c);
}

static void on_listener(struct ev_loop *loop, ev_io *w, int events)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    struct conn *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return;
    }
    ev_io_init(&c->readable, on_readable, fd, EV_READ);
    ev_io_init(&c->writable, on_writable, fd, EV_WRITE);
    c->readable.data = c->writable.data = c;
    ev_io_start(loop, &c->readable);
}

int main(int argc, char **argv)
{
    struct ev_loop *loop = EV_DEFAULT;
    ev_io listener;

    ev_io_init(&listener, on_listener, peer_listen(argc, argv, SOCK_NONBLOCK), EV_READ);
    ev_io_start(loop, &listener);
    ev_run(loop, 0);
    return 0;
}
