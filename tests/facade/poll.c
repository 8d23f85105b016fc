/* poll.c - waiting for readiness.
 */
#include "backends.h"
#include "turns.h"

#include <netinet/in.h>

TEST(poll_tells_what_is)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        char c;

        EXPECT_EQ(stoa_poll(p.near, POLLOUT), POLLOUT);
        EXPECT_EQ(stoa_poll(p.near, POLLIN | POLLOUT), POLLOUT);
        EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
        EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
        EXPECT_EQ(stoa_poll(p.near, POLLIN | POLLOUT), POLLIN | POLLOUT);
        EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
        EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
        stoa_settimeout(p.near, 0.02);
        double start = now();
        EXPECT_ERR(stoa_poll(p.near, POLLIN), ETIME);
        EXPECT_GE(now() - start, 0.02);
        EXPECT_SAID("poll");
        stoa_settimeout(p.near, 0);
        EXPECT_ERR(stoa_poll(p.near, POLLIN), EAGAIN);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(poll_tells_what_is)

static int poll_there(struct beside *me)
{
    about_to_wait(me);
    return stoa_poll(*(int *)me->arg, POLLIN);
}

TEST(poll_waits)
{
    EACH_KIND (k) {
        struct pair p = pair_of(k);
        struct beside b;
        char c;

        beside(&b, poll_there, &p.near);
        until_asleep(&b);
        EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
        EXPECT_EQ(beside_join(&b), POLLIN);
        EXPECT_EQ(stoa_recv(p.near, &c, 1, MSG_DONTWAIT), 1);
        pair_close(&p);
    }
}
ON_EVERY_PAIRING(poll_waits)

TEST(poll_tells_the_end_and_the_reset)
{
    struct pair p = pair_make();

    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
    pair_close(&p);

    p = pair_make();
    EXPECT_OK(stoa_abort(p.far));
    EXPECT(stoa_poll(p.near, POLLIN) & POLLHUP);
    EXPECT_OK(stoa_close(p.near));
}
ON_EVERY_BACKEND(poll_tells_the_end_and_the_reset)

TEST(poll_of_a_listener_tells_of_a_client)
{
    struct text where;
    int s = listener_make(TCP4, &where);

    stoa_settimeout(s, 0.02);
    EXPECT_ERR(stoa_poll(s, POLLIN), ETIME);
    int c = stoa_dial(where.c, NULL);
    EXPECT_EQ(stoa_poll(s, POLLIN), POLLIN);
    int d = stoa_accept(s, NULL);
    EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
}
ON_EVERY_BACKEND(poll_of_a_listener_tells_of_a_client)

/* Readiness for one direction does not wake, or satisfy, the other. */
TEST(poll_for_reading_is_not_woken_by_room_to_write)
{
    struct pair p = pair_make();
    static char sink[65536];

    size_t sum = fill(p.near);
    stoa_settimeout(p.near, 0.05);
    struct beside b;
    beside(&b, poll_there, &p.near);
    until_asleep(&b);
    while (sum > 0)
        sum -= (size_t)stoa_recv(p.far, sink, sum < sizeof(sink) ? sum : sizeof(sink), 0);
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ETIME);
    pair_close(&p);
}
ON_EVERY_PAIRING(poll_for_reading_is_not_woken_by_room_to_write)

/* Every event that poll(2) knows wakes who waits for it, alone. */
static int poll_for(struct beside *me)
{
    int *what = me->arg;

    about_to_wait(me);
    return stoa_poll(what[0], what[1]);
}

TEST(every_event_wakes_who_waits_for_it)
{
    static const int events[] = {POLLIN,     POLLRDNORM, POLLIN | POLLOUT,    POLLRDHUP, POLLOUT,
                                 POLLWRNORM, POLLHUP,    POLLOUT | POLLRDHUP, POLLERR,   POLLPRI};
    static char sink[65536];

    EACH_STREAM (k)
        for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
            struct pair p = pair_of(k);
            int what[] = {p.near, events[i]};
            struct beside b;
            size_t sum = fill(p.near);

            if (events[i] == POLLPRI && (is_simulated() || k == UNIX_STREAM)) {
                pair_close(&p); /* no urgent data there */
                continue;
            }
            stoa_settimeout(p.near, 5);
            beside(&b, poll_for, what);
            until_asleep(&b);
            if (events[i] & (POLLOUT | POLLWRNORM))
                while (sum > 0)
                    sum -= (size_t)stoa_recv(p.far, sink, sizeof(sink), 0);
            else if (events[i] == POLLRDHUP)
                EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
            else if (events[i] & (POLLHUP | POLLERR))
                EXPECT_OK(stoa_abort(p.far));
            else if (events[i] == POLLPRI)
                EXPECT_EQ(stoa_send(p.far, "x", 1, MSG_OOB), 1);
            else
                EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
            EXPECT(beside_join(&b) & (events[i] | POLLHUP));
            if (events[i] & (POLLHUP | POLLERR))
                p.far = -1;
            pair_close(&p);
        }
}
ON_EVERY_PAIRING(every_event_wakes_who_waits_for_it)

static int recv_some(void *arg)
{
    char buf[64];

    EXPECT_EQ(stoa_recv(*(int *)arg, buf, sizeof(buf), 0), 5);
    return 0;
}

static int poll_meanwhile(void *arg)
{
    EXPECT_ERR(stoa_poll(*(int *)arg, POLLIN), ECANCELED);
    return 0;
}

enum { RECEIVERS = 2 };

/* The receives were there first, and take all: poll(2) would say nothing.  The second of them is
 * in the kernel's hands only when the poll is already. */
FIBER_TEST(poll_does_not_tell_what_a_receive_has_taken)
{
    struct pair p = pair_make();
    struct stoa_group *receivers = stoa_group_open(), *g = stoa_group_open();

    for (int i = 0; i < RECEIVERS; i++)
        EXPECT_OK(stoa_go(receivers, recv_some, &p.near));
    EXPECT_OK(stoa_go(g, poll_meanwhile, &p.near));
    for (int i = 0; i < RECEIVERS; i++) {
        EXPECT_OK(stoa_sleep(0.001));
        EXPECT_OK(stoa_sendall(p.far, "hello", 5, 0));
    }
    EXPECT_OK(stoa_group_join(receivers));
    EXPECT_OK(stoa_sleep(0.001));
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
}

/* -------------------------------------------------------------------------
 * What poll(2) tells again and again, and a waiter does not want, costs no processor time
 * ---------------------------------------------------------------------- */

/* A socket with an error of an earlier datagram in its queue (ip(7), IP_RECVERR). */
static int with_error_queue(void)
{
    int s = bound_make(UDP4), one = 1;
    struct stoa_addr nobody;
    char c;

    EXPECT_OK(stoa_setsockopt(s, IPPROTO_IP, IP_RECVERR, &one, sizeof(one)));
    EXPECT_OK(stoa_addr_parse(&nobody, nobody_there(UDP4).c));
    EXPECT_EQ(stoa_sendto(s, "x", 1, 0, &nobody), 1);
    EXPECT_EQ(stoa_poll(s, 0), POLLERR);
    EXPECT_ERR(stoa_recv(s, &c, 1, 0), ECONNREFUSED);
    return s;
}

static struct pair error_queue(void)
{
    return (struct pair){.near = with_error_queue(), .far = -1};
}

static struct pair unread_data(void)
{
    struct pair p = pair_make();

    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
    return p;
}

static struct pair urgent_data(void)
{
    struct pair p = pair_make();

    EXPECT_EQ(stoa_send(p.far, "x", 1, MSG_OOB), 1);
    EXPECT(stoa_poll(p.near, POLLPRI) & POLLPRI);
    return p;
}

/* The peer has ended its side, and reads nothing. */
static struct pair half_closed(void)
{
    struct pair p = pair_of(UNIX_STREAM);

    fill(p.near);
    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    EXPECT_EQ(stoa_poll(p.near, POLLIN), POLLIN);
    return p;
}

static struct pair hung_up(void)
{
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_abort(p.far));
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ECONNRESET);
    p.far = -1;
    return p;
}

static long recv_plain(int s)
{
    char c;

    return stoa_recv(s, &c, 1, 0);
}

static long recv_from(int s)
{
    struct stoa_addr from;
    char c;

    return stoa_recvfrom(s, &c, 1, 0, &from);
}

static long recv_error(int s)
{
    char c[64], control[256];
    struct iovec to = {c, sizeof(c)};
    struct msghdr m = {
        .msg_iov = &to, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};

    return stoa_recvmsg(s, &m, MSG_ERRQUEUE);
}

static long poll_nothing(int s)
{
    return stoa_poll(s, 0);
}

static long poll_room(int s)
{
    return stoa_poll(s, POLLOUT);
}

static long poll_urgent(int s)
{
    return stoa_poll(s, POLLPRI);
}

struct quiet {
    const char *name;
    struct pair (*make)(void);
    long (*call)(int s);
    struct pair p;
};

static int call_it(struct beside *me)
{
    const struct quiet *q = me->arg;

    about_to_wait(me);
    return (int)q->call(q->p.near);
}

static void waits_quietly(struct quiet q)
{
    struct beside b;

    q.p = q.make();
    stoa_settimeout(q.p.near, 0.05);
    unsigned long before = turns();
    double start = now();
    EXPECT_ERR(q.call(q.p.near), ETIME);
    beside(&b, call_it, &q);
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ETIME);
    unsigned long n = turns() - before, most = turns_in(now() - start);
    if (n > most)
        t_fail(__FILE__, __LINE__, "%s: %lu turns, %lu at most", q.name, n, most);
    pair_close(&q.p);
}

TEST(what_nobody_wants_keeps_nobody_awake)
{
    static const struct quiet all[] = {
        {.name = "recv, error queue", error_queue, recv_plain},
        {.name = "recvfrom, error queue", error_queue, recv_from},
        {.name = "errors, data", unread_data, recv_error},
        {.name = "errors, end", hung_up, recv_error},
        {.name = "no event, urgent data", urgent_data, poll_nothing},
        {.name = "no event, half closed", half_closed, poll_nothing},
        {.name = "room, half closed", half_closed, poll_room},
        {.name = "urgent, half closed", half_closed, poll_urgent},
    };

    NOT_SIMULATED("IP_RECVERR");
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        waits_quietly(all[i]);
}
ON_EVERY_PAIRING(what_nobody_wants_keeps_nobody_awake)

/* What comes beside an error queue is still told of, and so is a close. */
TEST(an_error_queue_does_not_hide_what_comes)
{
    NOT_SIMULATED("IP_RECVERR");
    long (*const calls[])(int s) = {recv_plain, recv_from};

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        struct quiet q = {.call = calls[i], .p = error_queue()};
        int other = bound_make(UDP4);
        struct stoa_addr to = self_addr(q.p.near);
        struct beside b;

        EXPECT_EQ(stoa_poll(q.p.near, POLLIN), POLLERR);
        beside(&b, call_it, &q);
        until_asleep(&b);
        EXPECT_EQ(stoa_sendto(other, "y", 1, 0, &to), 1);
        EXPECT_EQ(beside_join(&b), 1);
        beside(&b, call_it, &q);
        until_asleep(&b);
        EXPECT_OK(stoa_close(q.p.near));
        EXPECT_EQ(beside_join(&b), -1);
        EXPECT_EQ(b.error, ECANCELED);
        EXPECT_OK(stoa_close(other));
    }
}
ON_EVERY_PAIRING(an_error_queue_does_not_hide_what_comes)

/* The other way round: an error that comes beside unread data. */
TEST(an_error_wakes_who_reads_errors)
{
    NOT_SIMULATED("IP_RECVERR");
    struct quiet q = {.call = recv_error, .p = {.near = bound_make(UDP4)}};
    int other = bound_make(UDP4), one = 1;
    struct stoa_addr self = self_addr(q.p.near), nobody;
    struct beside b;

    EXPECT_OK(stoa_setsockopt(q.p.near, IPPROTO_IP, IP_RECVERR, &one, sizeof(one)));
    EXPECT_OK(stoa_addr_parse(&nobody, nobody_there(UDP4).c));
    EXPECT_EQ(stoa_sendto(other, "y", 1, 0, &self), 1);
    EXPECT_EQ(stoa_poll(q.p.near, POLLIN), POLLIN);
    beside(&b, call_it, &q);
    until_asleep(&b);
    EXPECT_EQ(stoa_sendto(q.p.near, "abc", 3, 0, &nobody), 3);
    EXPECT_EQ(beside_join(&b), 3); /* the datagram that met nobody */
    EXPECT_OK(stoa_close(q.p.near) | stoa_close(other));
}
ON_EVERY_PAIRING(an_error_wakes_who_reads_errors)

TEST(an_end_wakes_who_asks_for_no_event)
{
    NOT_SIMULATED("urgent data");
    struct quiet q = {.call = poll_nothing, .p = urgent_data()};
    struct beside b;

    beside(&b, call_it, &q);
    until_asleep(&b);
    EXPECT_OK(stoa_abort(q.p.far));
    EXPECT(beside_join(&b) & POLLHUP);
    EXPECT_OK(stoa_close(q.p.near));
}
ON_EVERY_PAIRING(an_end_wakes_who_asks_for_no_event)

/* The peer has told that an urgent byte will come, which is behind more than there is room for. */
static struct pair urgent_on_its_way(size_t len)
{
    struct text where;
    struct pair p;
    int s = listener_make(TCP4, &where), small = 4096, large = 1 << 20;
    static char zeros[30000];
    char c;

    EXPECT_OK(stoa_setsockopt(s, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
    p.far = stoa_dial(where.c, NULL);
    p.near = stoa_accept(s, NULL);
    EXPECT_OK(stoa_setsockopt(p.far, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large)));
    EXPECT_OK(stoa_sendall(p.far, zeros, len, 0));
    EXPECT_EQ(stoa_send(p.far, "!", 1, MSG_OOB), 1);
    while (stoa_recv(p.near, &c, 1, MSG_OOB | MSG_DONTWAIT) < 0 && errno == EINVAL)
        EXPECT_OK(stoa_sleep(0.001));
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_OK(stoa_close(s));
    return p;
}

static long recv_urgent(int s)
{
    char c;

    return stoa_recv(s, &c, 1, MSG_OOB) == 1 ? c : -1;
}

TEST(an_urgent_byte_is_waited_for_beside_unread_data)
{
    NOT_SIMULATED("urgent data");
    static char buf[30000];
    struct quiet q = {.call = recv_urgent, .p = urgent_on_its_way(sizeof(buf))};
    struct beside b;

    stoa_settimeout(q.p.near, 0.1);
    unsigned long before = turns();
    double start = now();
    EXPECT_ERR(q.call(q.p.near), ETIME);
    EXPECT_LT(turns() - before, turns_in(now() - start));
    stoa_settimeout(q.p.near, -1);
    beside(&b, call_it, &q);
    until_asleep(&b);
    EXPECT_EQ(stoa_recvall(q.p.near, buf, sizeof(buf)), sizeof(buf));
    EXPECT_EQ(beside_join(&b), '!');
    pair_close(&q.p);
}
ON_EVERY_PAIRING(an_urgent_byte_is_waited_for_beside_unread_data)
