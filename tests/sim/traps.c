/* traps.c - the traps of docs/why/0006 that order and chance set off, sought by seed.
 */
#include "sweep.h"

#include <poll.h>

static int random_below(int n)
{
    return (int)stoa_sim_random((uint64_t)n);
}

/* -------------------------------------------------------------------------
 * Cancelled and out of time at any moment (traps 3 and 8)
 * ---------------------------------------------------------------------- */

struct counted {
    int s;
    size_t place;
    bool broken;
};

/* A slow kernel takes its time to let go of a cancelled operation. */
static const double SLACK = 0.1;

/* A whole call, however many parts it has, has the socket's timeout once (trap 1). */
static void in_time(int s, double began, const char *call)
{
    double timeout = stoa_gettimeout(s), took = stoa_sim_now() - began;

    if (timeout >= 0 && took > timeout + SLACK)
        wrong("%s took %g s with a timeout of %g", call, took, timeout);
}

static int sends_counted(void *arg)
{
    struct counted *me = arg;
    unsigned char buf[3000];

    for (;;) {
        double began = stoa_sim_now();

        bytes_of(3, me->place, buf, sizeof(buf));
        int r = stoa_sendall(me->s, buf, sizeof(buf), 0), error = errno;
        me->place += r == 0 ? sizeof(buf) : stoa_done();
        in_time(me->s, began, "sendall");
        if (r == 0)
            continue;
        me->broken = me->broken ||
                     (error != ECANCELED && error != ETIME && error != ENOMEM && error != ENOBUFS);
        return 0;
    }
}

static int recvs_counted(void *arg)
{
    struct counted *me = arg;
    unsigned char buf[3000];

    for (;;) {
        bool all = random_below(2);
        size_t len = 1 + (size_t)random_below(sizeof(buf));
        double began = stoa_sim_now();
        ssize_t n = all ? stoa_recvall(me->s, buf, len) : stoa_recv(me->s, buf, len, 0);
        int error = errno;
        size_t came = n < 0 ? all ? stoa_done() : 0 : (size_t)n;

        in_time(me->s, began, all ? "recvall" : "recv");

        for (size_t i = 0; i < came; i++)
            if (buf[i] != byte_at(3, me->place + i))
                return wrong("a byte was lost or came twice at %zu", me->place + i);
        me->place += came;
        if (n == 0 || (all && n >= 0 && (size_t)n < len))
            return 0;
        if (n < 0 && error != ENOMEM && error != ENOBUFS) {
            me->broken = me->broken || (error != ECANCELED && error != ETIME);
            return 0;
        }
    }
}

static int far_waits(void *arg)
{
    int *s = arg;
    int listener = announce_surely(":7");

    *s = stoa_accept(listener, NULL);
    stoa_close(listener);
    return 0;
}

SWEEP(nothing_is_lost_by_cancelling_at_any_step)
{
    int b = stoa_sim_host("far", NULL), far = -1;
    struct stoa_group *g = stoa_group_open();

    stoa_sim_go(b, g, far_waits, &far);
    struct counted out = {.s = dial_surely("far:7")}, in = {.s = -1};
    double patience = stoa_sim_now() + 200;
    while (out.s >= 0 && far < 0 && stoa_sim_now() < patience)
        stoa_sleep(0.01);
    if (out.s < 0 || far < 0) {
        stoa_group_cancel(g);
        stoa_group_join(g);
        if (far >= 0)
            stoa_close(far);
        return out.s < 0 ? -1 : stoa_close(out.s);
    }
    stoa_group_join(g);
    in.s = far;
    for (int round = 0; round < 60 && !out.broken && !in.broken; round++) {
        struct stoa_group *senders = stoa_group_open(), *readers = stoa_group_open();

        stoa_settimeout(out.s, random_below(3) ? -1 : 0.0001 * (1 + random_below(200)));
        stoa_settimeout(in.s, random_below(3) ? -1 : 0.0001 * (1 + random_below(200)));
        stoa_go(senders, sends_counted, &out);
        stoa_sim_go(b, readers, recvs_counted, &in);
        for (int i = random_below(6); i > 0; i--)
            stoa_yield();
        if (random_below(2))
            stoa_sleep(0.0001 * random_below(300));
        if (random_below(2))
            stoa_group_cancel(readers);
        stoa_group_cancel(senders);
        stoa_group_join(senders);
        stoa_group_cancel(readers);
        stoa_group_join(readers);
    }
    stoa_settimeout(in.s, -1);
    if (!out.broken && !in.broken) {
        stoa_shutdown(out.s, SHUT_WR);
        recvs_counted(&in);
        if (!in.broken && in.place != out.place)
            wrong("%zu bytes went by stoa_done(), %zu came", out.place, in.place);
    }
    stoa_close(out.s);
    stoa_close(in.s);
    return 0;
}

/* -------------------------------------------------------------------------
 * Handles closed under their users (trap 5)
 * ---------------------------------------------------------------------- */

enum { SLOTS = 3 };

static struct slot {
    int near, far;
    unsigned number;
} slots[SLOTS];
static bool closing_over;

/* Handles of the first connections that were closed: their places are used again by the end. */
enum { DEAD = 32 };
static int dead[DEAD], ndead;

/* Whatever has come in its place: a handle that is closed stays so. */
static int try_dead(void)
{
    int s = dead[random_below(DEAD)];
    char c;

    if (s && (stoa_recv(s, &c, 1, MSG_DONTWAIT) != -1 || errno != EBADF))
        return wrong("a handle that was closed long ago is not EBADF: %s", stoa_errmsg());
    return 0;
}

static unsigned next_number;

static int open_slot(struct slot *s)
{
    int pair[2];

    s->near = s->far = -1;
    while (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        if (stoa_sleep(0.001) < 0)
            return -1;
    s->number = ++next_number;
    s->near = pair[0];
    s->far = pair[1];
    return 0;
}

/* Takes a handle, waits a little, and uses it: whatever it is by then, no other's bytes. */
static int uses_slots(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000 && !closing_over; i++) {
        struct slot s = slots[random_below(SLOTS)];
        unsigned char buf[8] = {0};

        if (try_dead() < 0)
            return -1;
        if (random_below(2))
            stoa_yield();
        if (s.near < 0)
            continue;
        memset(buf, (int)(s.number % 251), sizeof(buf));
        switch (random_below(4)) {
        case 0:
            stoa_sendall(s.near, buf, sizeof(buf), 0);
            break;
        case 1:
            stoa_settimeout(s.far, 0.001 * random_below(3));
            stoa_poll(s.far, POLLIN);
            break;
        default:
            for (ssize_t k = stoa_recv(s.far, buf, sizeof(buf), 0); k > 0; k--)
                if (buf[k - 1] != s.number % 251)
                    return wrong("a receive on connection %u got a byte of another", s.number);
        }
    }
    return 0;
}

static int closes_slots(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        struct slot *s = &slots[random_below(SLOTS)], was = *s;

        stoa_sleep(0.0001 * random_below(20));
        if (was.near != s->near || was.near < 0)
            continue;
        *s = (struct slot){-1, -1, 0};
        if (random_below(3)) {
            stoa_close(was.near);
            stoa_close(was.far);
        } else {
            stoa_abort(was.far);
            stoa_abort(was.near);
        }
        if (stoa_recv(was.near, &(char){0}, 1, 0) != -1 || errno != EBADF)
            return wrong("a closed handle is not EBADF: %s", stoa_errmsg());
        if (ndead < DEAD)
            dead[ndead++] = was.near;
        if (open_slot(s) < 0)
            break;
    }
    return 0;
}

SWEEP(a_closed_handle_reaches_nobody_else)
{
    struct stoa_group *users = stoa_group_open(), *closers = stoa_group_open();

    closing_over = false;
    next_number = 0;
    memset(dead, 0, sizeof(dead));
    ndead = 0;
    for (int i = 0; i < SLOTS; i++)
        open_slot(&slots[i]);
    for (int i = 0; i < 4; i++)
        stoa_go(users, uses_slots, NULL);
    for (int i = 0; i < 2; i++)
        stoa_go(closers, closes_slots, NULL);
    stoa_group_join(closers);
    closing_over = true;
    stoa_group_cancel(users);
    stoa_group_join(users);
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].near >= 0) {
            stoa_close(slots[i].near);
            stoa_close(slots[i].far);
        }
    return 0;
}

/* -------------------------------------------------------------------------
 * A peer that reads a little now and then (trap 1)
 * ---------------------------------------------------------------------- */

static int reads_slowly(void *arg)
{
    char buf[300];

    while (stoa_recv(*(int *)arg, buf, 1 + (size_t)random_below(sizeof(buf)), 0) > 0)
        if (stoa_sleep(0.001 * random_below(20)) < 0)
            break;
    return 0;
}

SWEEP(a_slow_reader_does_not_stretch_the_senders_time)
{
    struct stoa_group *g = stoa_group_open();
    static char big[200000];
    int pair[2], bytes = 1;

    while (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        stoa_sleep(0.01);
    stoa_setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    stoa_go(g, reads_slowly, &pair[1]);
    for (int i = 0; i < 10; i++) {
        double began = stoa_sim_now();

        stoa_settimeout(pair[0], 0.01 * (1 + random_below(20)));
        stoa_sendall(pair[0], big, sizeof(big), 0);
        in_time(pair[0], began, "sendall");
    }
    stoa_close(pair[0]);
    stoa_group_join(g);
    return stoa_close(pair[1]);
}

/* -------------------------------------------------------------------------
 * stoa_done() at every byte (trap 3), which only a simulation can do
 * ---------------------------------------------------------------------- */

static int sends_in_time(void *arg)
{
    struct counted *me = arg;
    unsigned char buf[20000];

    bytes_of(3, 0, buf, sizeof(buf));
    stoa_settimeout(me->s, 0.05);
    if (stoa_sendall(me->s, buf, sizeof(buf), 0) == 0 || errno != ETIME)
        return wrong("sendall: %s", stoa_errmsg());
    me->place = stoa_done();
    return stoa_shutdown(me->s, SHUT_WR);
}

/* The peer has read just k bytes when the sender's time is over: k from 0 on, each one. */
static int done_at(int k)
{
    int listener = stoa_announce("127.0.0.1:0", NULL), bytes = 1000,
        s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    struct stoa_addr a;
    struct counted out = {.s = s};
    struct stoa_group *g = stoa_group_open();
    unsigned char buf[20000];
    size_t got = 0;

    stoa_setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    stoa_setsockopt(s, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    stoa_getsockname(listener, &a);
    stoa_connect_sa(s, (struct sockaddr *)&a.sa, a.len);
    int d = stoa_accept(listener, NULL);
    stoa_go(g, sends_in_time, &out);
    while (got < (size_t)k)
        got += (size_t)stoa_recv(d, buf + got, (size_t)k - got < 7 ? (size_t)k - got : 7, 0);
    int r = stoa_group_join(g);
    for (ssize_t n; (n = stoa_recv(d, buf + got, sizeof(buf) - got, 0)) > 0;)
        got += (size_t)n;
    if (r == 0 && got != out.place)
        r = wrong("after %d bytes: stoa_done() is %zu, the peer read %zu", k, out.place, got);
    stoa_close(listener);
    stoa_close(s);
    stoa_close(d);
    return r;
}

static int done_world(void *arg)
{
    (void)arg;
    for (int k = 0; k < 3000; k++)
        if (done_at(k) < 0)
            return -1;
    return 0;
}

TEST(trap_3_done_is_what_the_peer_reads_at_every_byte)
{
    struct stoa_sim_options o = {.size = sizeof(o)};

    EXPECT_OK(stoa_sim_run(1, done_world, NULL, &o));
}
