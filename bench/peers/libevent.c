/* libevent.c - the upper-casing server on libevent's bufferevents.
 *
 * Idiomatic: an evconnlistener and a bufferevent for each connection, which reads and writes
 * by itself; the reader moves what has come from the one evbuffer to the other, as the
 * library's book has it.  Back-pressure as in its sample le-proxy.c: with more than
 * OUTPUT_MAX bytes unsent the connection is not read until all have gone.
 *
 * usage: libevent PORT
 */
#include "peer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>

enum { BUFFER_LEN = 16 << 10, OUTPUT_MAX = 512 << 10 };

static void on_read(struct bufferevent *bev, void *arg)
{
    struct evbuffer *in = bufferevent_get_input(bev), *out = bufferevent_get_output(bev);
    uint8_t buffer[BUFFER_LEN];
    int n;

    (void)arg;
    while ((n = evbuffer_remove(in, buffer, sizeof(buffer))) > 0) {
        upper(buffer, (size_t)n);
        evbuffer_add(out, buffer, (size_t)n);
    }
    if (evbuffer_get_length(out) > OUTPUT_MAX)
        bufferevent_disable(bev, EV_READ);
}

/* All is sent. */
static void on_drained(struct bufferevent *bev, void *arg)
{
    (void)arg;
    bufferevent_enable(bev, EV_READ);
}

static void on_sent_before_end(struct bufferevent *bev, void *arg)
{
    (void)arg;
    bufferevent_free(bev);
}

/* The peer's end, or an error; after an end what is unsent still goes out. */
static void on_event(struct bufferevent *bev, short events, void *arg)
{
    (void)arg;
    if (events & BEV_EVENT_EOF && evbuffer_get_length(bufferevent_get_output(bev)) > 0)
        bufferevent_setcb(bev, NULL, on_sent_before_end, on_event, NULL);
    else
        bufferevent_free(bev);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int len, void *arg)
{
    struct bufferevent *bev =
        bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);

    (void)from, (void)len, (void)arg;
    if (!bev) {
        close(fd);
        return;
    }
    bufferevent_setcb(bev, on_read, on_drained, on_event, NULL);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    const struct sockaddr_in at = peer_address(argc, argv);
    const int on = 1;

    signal(SIGPIPE, SIG_IGN);
    struct event_base *base = event_base_new();
    struct evconnlistener *listener =
        base ? evconnlistener_new_bind(base, on_accept, NULL,
                                       LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE, SOMAXCONN,
                                       (const struct sockaddr *)&at, sizeof(at))
             : NULL;
    if (!listener)
        peer_die("listen", strerror(errno));
    setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    event_base_dispatch(base);
    return 0;
}
