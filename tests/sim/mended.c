/* mended.c - worlds in which mistakes that the library once had would have shown.
 *
 * Each was found otherwise, by a review or by a test on a real kernel, and then a world was made
 * that finds it by itself (docs/why/0008-simulated-network.md has the seeds).
 */
#include "sweep.h"

enum { SAID_MAX = 30000, CALLERS = 6 };

static int near, far;

static int below(int n)
{
    return (int)stoa_sim_random((uint64_t)n);
}

static int far_fiber(struct stoa_group *g, int (*fn)(void *arg), void *arg)
{
    return stoa_sim_go(far, g, fn, arg);
}

static void hosts_make(void)
{
    near = stoa_sim_host("near", NULL);
    far = stoa_sim_host("far", NULL);
}

/* -------------------------------------------------------------------------
 * A goodbye: what was sent before it arrives, whatever comes the other way
 * ---------------------------------------------------------------------- */

static size_t said;

static int hears(void *arg)
{
    unsigned char buf[1000];
    int s = announce_surely(":1"), conn = stoa_accept(s, NULL);
    size_t got = 0;
    ssize_t n;

    (void)arg;
    stoa_close(s);
    bytes_of(9, 0, buf, sizeof(buf));
    for (int i = below(4); i > 0; i--)
        stoa_send(conn, buf, 1 + (size_t)below(sizeof(buf)), 0);
    while ((n = stoa_recv(conn, buf, 1 + (size_t)below(sizeof(buf)), 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != byte_at(1, got + (size_t)i))
                return wrong("another byte stands at %zu", got + (size_t)i);
        got += (size_t)n;
        if (below(4) == 0)
            stoa_sleep(0.001 * below(20));
        if (below(4) == 0)
            stoa_send(conn, "more", 4, MSG_DONTWAIT);
    }
    if (got != said) /* what we say to one who has gone may be answered by a reset, afterwards */
        wrong("%zu of %zu bytes before the goodbye: %s", got, said, n < 0 ? stoa_errmsg() : "");
    return stoa_close(conn);
}

SWEEP_WITH(a_goodbye_loses_nothing, false)
{
    static unsigned char bytes[SAID_MAX];
    const struct stoa_sim_link slow = {.latency = 0.02, .bytes_per_second = 20000};
    struct stoa_group *g = stoa_group_open();
    char c;

    hosts_make();
    if (below(2))
        stoa_sim_set_link(0, far, &slow);
    far_fiber(g, hears, NULL);
    int s = dial_surely("far:1");

    said = 1 + (size_t)below(SAID_MAX);
    bytes_of(1, 0, bytes, said);
    if (stoa_sendall(s, bytes, said, 0) < 0)
        wrong("sendall: %s", stoa_errmsg());
    if (below(2))
        stoa_sleep(0.001 * below(50));
    if (below(2)) {
        stoa_shutdown(s, SHUT_RD);
        while (stoa_recv(s, &c, 1, 0) > 0)
            ;
    }
    stoa_close(s);
    return stoa_group_join(g);
}

/* -------------------------------------------------------------------------
 * Closed under a call: one that had begun is cancelled, and does not say EBADF
 * ---------------------------------------------------------------------- */

struct caller {
    int s;
    int how;
    bool closed;
};

static ssize_t calls(const struct caller *me)
{
    static char bytes[20000];
    char buf[100];

    switch (me->how) {
    case 0:
        return stoa_sendall(me->s, bytes, sizeof(bytes), 0);
    case 1:
        return stoa_recvall(me->s, buf, sizeof(buf));
    case 2:
        return stoa_recv(me->s, buf, sizeof(buf), MSG_WAITALL);
    case 3:
        return stoa_accept(me->s, NULL);
    default:
        return stoa_connect(me->s, "unix:@mended");
    }
}

static int calls_once(void *arg)
{
    struct caller *me = arg;
    ssize_t r;

    stoa_sleep(0.001 * below(20));
    bool closed = me->closed;

    r = calls(me);
    if (r < 0 && errno == EBADF && !closed)
        wrong("call %d had begun, and says %s", me->how, stoa_errmsg());
    if (me->how == 3 && r >= 0)
        stoa_close((int)r);
    return 0;
}

/* Some bytes come and some are read, so that calls have several parts. */
static int feeds(void *arg)
{
    int s = *(int *)arg;
    char buf[700];

    for (int i = 0; i < 20; i++) {
        if (below(2))
            stoa_send(s, buf, 1 + (size_t)below(30), MSG_DONTWAIT);
        stoa_recv(s, buf, sizeof(buf), MSG_DONTWAIT);
        stoa_sleep(0.001 * below(5));
    }
    return 0;
}

static int caller_socket(int how, int *peer)
{
    int pair[2] = {-1, -1}, bytes = 2000;

    if (how == 3)
        return announce_surely(":7");
    if (how == 4)
        return stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    if (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0)
        stoa_setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    *peer = pair[1];
    return pair[0];
}

SWEEP(a_call_that_has_begun_is_cancelled_by_a_close)
{
    struct stoa_group *g = stoa_group_open();
    struct caller me = {.how = below(5)};
    int peer = -1, full = -1, inside[2] = {-1, -1};

    if (me.how == 4) { /* a queue that stays full */
        full = announce_surely("unix:@mended");
        stoa_listen(full, 0);
        for (int i = 0; i < 2; i++) {
            inside[i] = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
            stoa_settimeout(inside[i], 0);
            stoa_connect(inside[i], "unix:@mended");
        }
    }
    me.s = caller_socket(me.how, &peer);
    for (int i = 0; i < CALLERS && me.s >= 0; i++)
        stoa_go(g, calls_once, &me);
    if (peer >= 0)
        stoa_go(g, feeds, &peer);
    if (me.how == 3)
        stoa_sim_descriptors(0, 1);
    stoa_sleep(0.001 * below(60));
    me.closed = true;
    stoa_close(me.s);
    stoa_sim_descriptors(0, 1000);
    if (peer >= 0 && me.how < 3)
        stoa_shutdown(peer, SHUT_RDWR);
    stoa_group_join(g);
    const int rest[] = {peer, full, inside[0], inside[1]};

    for (int i = 0; i < 4; i++)
        if (rest[i] >= 0)
            stoa_close(rest[i]);
    return 0;
}

/* -------------------------------------------------------------------------
 * In time: what becomes possible before time is over is done
 * ---------------------------------------------------------------------- */

static double room_at;

static int dials_far(void *arg)
{
    *(int *)arg = dial_surely("far:1");
    return 0;
}

/* A descriptor becomes free at room_at, while a client waits in the queue. */
static int accepts_in_time(void *arg)
{
    int s = announce_surely(":1"), *client = arg;
    double timeout = 0.01 + 0.001 * below(300);

    while (*client < 0)
        stoa_sleep(0.01);
    stoa_sim_descriptors(far, 1);
    stoa_settimeout(s, timeout);
    room_at = stoa_sim_now() + timeout * 0.01 * below(95);
    int conn = stoa_accept(s, NULL);

    if (conn < 0)
        wrong("accept: room was there in time: %s", stoa_errmsg());
    stoa_close(conn);
    return stoa_close(s);
}

SWEEP_WITH(a_descriptor_that_comes_in_time_is_used, false)
{
    struct stoa_group *g = stoa_group_open();
    int client = -1;

    hosts_make();
    room_at = 0;
    far_fiber(g, accepts_in_time, &client);
    stoa_sim_go(near, g, dials_far, &client);
    while (room_at == 0)
        stoa_sleep(0.001);
    if (room_at > stoa_sim_now())
        stoa_sleep(room_at - stoa_sim_now());
    stoa_sim_descriptors(far, 1000);
    stoa_group_join(g);
    return stoa_close(client);
}

/* The same for the queue of a UNIX listener. */
static int connects_in_time(void *arg)
{
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    double timeout = 0.01 + 0.001 * below(300);

    (void)arg;
    stoa_settimeout(s, timeout);
    room_at = stoa_sim_now() + timeout * 0.01 * below(95);
    if (stoa_connect(s, "unix:@room") < 0)
        wrong("connect: room was there in time: %s", stoa_errmsg());
    return stoa_close(s);
}

SWEEP_WITH(room_that_comes_in_time_is_used, false)
{
    int s = announce_surely("unix:@room"), inside[8], n = 0;
    struct stoa_group *g = stoa_group_open();

    stoa_listen(s, 0);
    do {
        inside[n] = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
        stoa_settimeout(inside[n], 0);
    } while (stoa_connect(inside[n], "unix:@room") == 0 && ++n < 7);
    room_at = 0;
    stoa_go(g, connects_in_time, NULL);
    while (room_at == 0)
        stoa_sleep(0.0001);
    if (room_at > stoa_sim_now())
        stoa_sleep(room_at - stoa_sim_now());
    stoa_close(stoa_accept(s, NULL));
    stoa_group_join(g);
    for (int i = 0; i <= n; i++)
        stoa_close(inside[i]);
    return stoa_close(s);
}
