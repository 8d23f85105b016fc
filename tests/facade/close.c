/* close.c - the end of a socket: close, abort, shutdown, and whom it wakes.
 *
 * The dangers: a waiter that sleeps for ever, or one that wakes up on the next owner of
 * the descriptor; an end that loses what was sent; a reset that was not asked for.
 */
#include "backends.h"
#include "clock.h"
#include "unit/watched.h"

#include <fcntl.h>
#include <netinet/in.h>

TEST(close_twice_is_EBADF)
{
    EACH_KIND (k) {
        struct pair p = pair_of(k);

        EXPECT_EQ(stoa_close(p.near), 0);
        EXPECT_ERR(stoa_close(p.near), EBADF);
        EXPECT_SAID("close");
        EXPECT_ERR(stoa_abort(p.near), EBADF);
        EXPECT_OK(stoa_close(p.far));
        EXPECT_ERR(stoa_close(p.far), EBADF);
    }
}
ON_EVERY_BACKEND(close_twice_is_EBADF)

/* Fill and close near: far reads all of it, and then the end. */
static void closed_it_loses_nothing(struct pair *p)
{
    static char buf[65536];
    size_t sum = fill(p->near), got = 0;
    ssize_t n;

    EXPECT_OK(stoa_close(p->near));
    while ((n = stoa_recv(p->far, buf, sizeof(buf), 0)) > 0)
        got += (size_t)n;
    EXPECT_EQ(n, 0);
    EXPECT_EQ(got, sum);
    EXPECT_OK(stoa_close(p->far));
}

TEST(what_was_sent_before_close_arrives_and_then_the_end)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);

        closed_it_loses_nothing(&p);
    }
}
ON_EVERY_BACKEND(what_was_sent_before_close_arrives_and_then_the_end)

TEST(abort_is_a_reset)
{
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_sendall(p.near, "unread", 6, 0));
    EXPECT_EQ(stoa_abort(p.far), 0);
    p.far = -1;
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ECONNRESET);
    pair_close(&p);

    p = pair_of(UNIX_STREAM);
    EXPECT_EQ(stoa_abort(p.far), 0);
    p.far = -1;
    EXPECT_LE(stoa_recv(p.near, &c, 1, 0), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(abort_is_a_reset)

/* "the peer gets a reset, unsent bytes are thrown away" */
TEST(abort_does_not_wait_for_unsent_bytes)
{
    struct pair p = pair_make();
    int fd = stoa_fileno(p.near);
    char *buf = malloc(1 << 20);

    fill(p.near);
    EXPECT_EQ(stoa_abort(p.near), 0);
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    ssize_t n;
    while ((n = stoa_recv(p.far, buf, 1 << 20, 0)) > 0)
        ;
    EXPECT_EQ(n, -1);
    EXPECT_EQ(errno, ECONNRESET);
    free(buf);
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_BACKEND(abort_does_not_wait_for_unsent_bytes)

/* A handle that a child or a dup shares: plain close, the others keep the connection. */
TEST(close_of_a_shared_socket_leaves_it_to_the_others)
{
    NOT_SIMULATED("read(2) and write(2) are the real kernel's");
    struct pair p = pair_make();
    char buf[8];

    EXPECT_OK(stoa_sendall(p.far, "unread", 6, 0));
    int d = stoa_dup(p.near);
    EXPECT_OK(stoa_close(p.near));
    EXPECT_EQ(stoa_recv(d, buf, 8, 0), 6);
    EXPECT_OK(stoa_sendall(d, "alive", 5, 0));
    EXPECT_EQ(stoa_recv(p.far, buf, 8, 0), 5);
    EXPECT_OK(stoa_close(d));
    EXPECT_EQ(stoa_recv(p.far, buf, 8, 0), 0);

    /* The same for a descriptor that was shown. */
    p.near = -1;
    pair_close(&p);
    p = pair_make();
    int fd = fcntl(stoa_fileno(p.near), F_DUPFD_CLOEXEC, 0);
    EXPECT_OK(stoa_sendall(p.far, "unread", 6, 0));
    EXPECT_OK(stoa_close(p.near));
    EXPECT_EQ(read(fd, buf, 8), 6);
    EXPECT_EQ(write(fd, "alive", 5), 5);
    EXPECT_EQ(stoa_recv(p.far, buf, 8, 0), 5);
    EXPECT_EQ(close(fd), 0);
    EXPECT_EQ(stoa_recv(p.far, buf, 8, 0), 0);
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_BACKEND(close_of_a_shared_socket_leaves_it_to_the_others)

/* -------------------------------------------------------------------------
 * Waking
 * ---------------------------------------------------------------------- */

enum call { RECV, RECVALL, RECVFROM, RECVMSG, SEND, SENDALL, POLL, CALLS };

struct waiting {
    int s;
    enum call call;
};

static int wait_in_call(struct beside *me)
{
    const struct waiting *w = me->arg;
    static char zeros[8 << 20]; /* more than any buffers hold */
    char buf[16];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    about_to_wait(me);
    switch (w->call) {
    case RECV:
        return (int)stoa_recv(w->s, buf, sizeof(buf), 0);
    case RECVALL:
        return (int)stoa_recvall(w->s, buf, sizeof(buf));
    case RECVFROM:
        return (int)stoa_recvfrom(w->s, buf, sizeof(buf), 0, NULL);
    case RECVMSG:
        return (int)stoa_recvmsg(w->s, &m, 0);
    case SEND:
        return (int)send_until_it_fails(w->s, 0);
    case SENDALL:
        return stoa_sendall(w->s, zeros, sizeof(zeros), 0);
    case POLL:
        return stoa_poll(w->s, POLLIN);
    default:
        return 0;
    }
}

static void wakes(int (*end)(int s), enum kind k, enum call call)
{
    struct pair p = pair_of(k);
    struct waiting w = {.s = p.near, .call = call};
    struct beside b;

    if (call == SEND || call == SENDALL)
        fill(p.near);
    beside(&b, wait_in_call, &w);
    until_asleep(&b);
    EXPECT_EQ(end(p.near), 0);
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECANCELED);
    EXPECT_ERR(stoa_recv(p.near, NULL, 0, 0), EBADF);
    EXPECT_OK(stoa_abort(p.far));
}

TEST(close_wakes_every_call_that_waits)
{
    for (enum call call = RECV; call < CALLS; call++)
        EACH_STREAM (k)
            wakes(stoa_close, k, call);
    EACH_DGRAM (k)
        wakes(stoa_close, k, RECVFROM);
}
ON_EVERY_PAIRING(close_wakes_every_call_that_waits)

TEST(abort_wakes_every_call_that_waits)
{
    for (enum call call = RECV; call < CALLS; call++)
        wakes(stoa_abort, TCP4, call);
}
ON_EVERY_PAIRING(abort_wakes_every_call_that_waits)

static int accept_there(struct beside *me)
{
    about_to_wait(me);
    return stoa_accept(*(int *)me->arg, NULL);
}

TEST(close_wakes_accept)
{
    EACH_STREAM (k) {
        int s = listener_make(k, NULL);
        struct beside b[2];

        for (int i = 0; i < 2; i++)
            beside(&b[i], accept_there, &s);
        for (int i = 0; i < 2; i++)
            until_asleep(&b[i]);
        EXPECT_OK(stoa_close(s));
        for (int i = 0; i < 2; i++) {
            EXPECT_EQ(beside_join(&b[i]), -1);
            EXPECT_EQ(b[i].error, ECANCELED);
        }
    }
}
ON_EVERY_PAIRING(close_wakes_accept)

/* Not by stoa_announce(), which would wait for an address that no process has. */
static int listener_at_once(const char *at)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_OK(s);
    EXPECT_OK(stoa_bind(s, at));
    EXPECT_OK(stoa_listen(s, 1));
    return s;
}

/* Who waits in the kernel holds the open file there, and with it the address. */
TEST(the_address_is_free_when_close_returns)
{
    struct text where;
    int fd = is_simulated() ? -1 : port_keep(&where);
    int s = is_simulated() ? listener_make(TCP4, &where) : listener_at_once(where.c);

    for (int i = 0; i < 20; i++) {
        struct beside b;

        beside(&b, accept_there, &s);
        until_asleep(&b);
        EXPECT_OK(close_surely(s));
        s = listener_at_once(where.c);
        EXPECT_EQ(beside_join(&b), -1);
        EXPECT_EQ(b.error, ECANCELED);
    }
    EXPECT_OK(stoa_close(s));
    if (fd >= 0)
        close(fd);
}
ON_EVERY_PAIRING(the_address_is_free_when_close_returns)

/* Both directions at once, several of each. */
TEST(close_wakes_all_who_wait)
{
    struct pair p = pair_make();
    struct waiting w[6];
    struct beside b[6];

    for (int i = 0; i < 6; i++) {
        w[i] = (struct waiting){p.near, i % 3 == 0 ? RECV : i % 3 == 1 ? SENDALL : POLL};
        beside(&b[i], wait_in_call, &w[i]);
    }
    for (int i = 0; i < 6; i++)
        until_asleep(&b[i]);
    EXPECT_OK(stoa_close(p.near));
    for (int i = 0; i < 6; i++) {
        EXPECT_EQ(beside_join(&b[i]), -1);
        EXPECT_EQ(b[i].error, ECANCELED);
    }
    EXPECT_OK(stoa_abort(p.far));
}
ON_EVERY_PAIRING(close_wakes_all_who_wait)

static int close_there(struct beside *me)
{
    return stoa_close(*(int *)me->arg);
}

TEST(of_two_who_close_one_wins)
{
    for (int i = 0; i < 50; i++) {
        struct pair p = pair_of(UNIX_STREAM);
        struct beside b;

        beside(&b, close_there, &p.near);
        int mine = stoa_close(p.near), theirs = beside_join(&b);
        EXPECT_EQ(mine + theirs, -1);
        EXPECT_OK(stoa_close(p.far));
    }
}
ON_EVERY_PAIRING(of_two_who_close_one_wins)

/* -------------------------------------------------------------------------
 * shutdown
 * ---------------------------------------------------------------------- */

TEST(shutdown_ends_one_direction)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        char c;

        EXPECT_EQ(stoa_shutdown(p.near, SHUT_WR), 0);
        EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 0);
        EXPECT_ERR(stoa_send(p.near, "x", 1, 0), EPIPE);
        EXPECT_OK(stoa_sendall(p.far, "y", 1, 0));
        EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
        EXPECT_EQ(stoa_shutdown(p.near, SHUT_RD), 0);
        EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 0);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(shutdown_ends_one_direction)

TEST(shutdown_of_both_wakes_the_reader_with_the_end)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct waiting w = {.s = p.near, .call = RECV};
        struct beside b;

        beside(&b, wait_in_call, &w);
        until_asleep(&b);
        EXPECT_OK(stoa_shutdown(p.near, SHUT_RDWR));
        EXPECT_EQ(beside_join(&b), 0);
        pair_close(&p);
    }
}
ON_EVERY_PAIRING(shutdown_of_both_wakes_the_reader_with_the_end)

TEST(shutdown_of_what_is_not_connected)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_shutdown(s, SHUT_WR), ENOTCONN);
    EXPECT_SAID("shutdown");
    EXPECT_OK(stoa_close(s));
    struct pair p = pair_make();
    EXPECT_ERR(stoa_shutdown(p.near, 7), EINVAL);
    EXPECT_ERR(stoa_shutdown(p.near, -1), EINVAL);
    pair_close(&p);
}
ON_EVERY_BACKEND(shutdown_of_what_is_not_connected)

/* "for all who share it" */
TEST(shutdown_is_for_all_who_share)
{
    struct pair p = pair_make();
    int d = stoa_dup(p.near);

    EXPECT_OK(stoa_shutdown(d, SHUT_WR));
    EXPECT_ERR(stoa_send(p.near, "x", 1, 0), EPIPE);
    EXPECT_OK(stoa_close(d));
    pair_close(&p);
}
ON_EVERY_BACKEND(shutdown_is_for_all_who_share)

/* -------------------------------------------------------------------------
 * A call that has begun is cancelled, between two of its parts, too
 * ---------------------------------------------------------------------- */

struct parts {
    int s;
    size_t n;
};

/* A message of one byte each: after some of them other fibers run. */
static int recv_parts(struct beside *me)
{
    struct parts *parts = me->arg;
    char *buf = malloc(parts->n);

    about_to_wait(me);
    int r = (int)stoa_recvall(parts->s, buf, parts->n);
    free(buf);
    return r;
}

FIBER_TEST(closed_between_two_parts_a_call_is_cancelled)
{
    for (int yields = 0; yields < 4; yields++) {
        struct pair p = pair_of(UNIX_DGRAM);
        struct parts parts = {.s = p.near, .n = 1};
        struct beside b;

        stoa_settimeout(p.far, 0);
        while (stoa_send(p.far, "x", 1, 0) == 1)
            parts.n++;
        beside(&b, recv_parts, &parts);
        while (!atomic_load(&b.waits))
            stoa_yield();
        for (int i = 0; i < yields; i++)
            EXPECT_OK(stoa_yield());
        EXPECT_OK(stoa_close(p.near));
        EXPECT_EQ(beside_join(&b), -1);
        EXPECT_EQ(b.error, ECANCELED);
        EXPECT_OK(stoa_close(p.far));
    }
}

/* -------------------------------------------------------------------------
 * Our own end of reading is not the peer's
 * ---------------------------------------------------------------------- */

TEST(after_SHUT_RD_a_close_loses_nothing)
{
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_shutdown(p.near, SHUT_RD));
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 0);
    EXPECT_OK(stoa_sendall(p.far, "unread", 6, 0));
    EXPECT_EQ(stoa_poll(p.near, POLLIN) & POLLIN, POLLIN);
    closed_it_loses_nothing(&p);
}
ON_EVERY_BACKEND(after_SHUT_RD_a_close_loses_nothing)

/* close(2) waits with such an option, an hour here, and all of a worker with it; stoa_close() does
 * not. */
TEST(close_does_not_wait_whatever_SO_LINGER_says)
{
    NOT_SIMULATED("it would wait in the kernel's close(2)");
    for (int which = 0; which < 4; which++) {
        bool ended = which & 1, shared = which & 2;

        if (shared && RUNNING_ON_VALGRIND)
            break; /* a thread of ours waits in close(2), and it lets nobody else run meanwhile */
        struct pair p = pair_make();
        struct linger how = {.l_onoff = 1, .l_linger = 3600};
        char c;

        if (shared)
            EXPECT_OK(stoa_fileno(p.near));
        EXPECT_OK(stoa_setsockopt(p.near, SOL_SOCKET, SO_LINGER, &how, sizeof(how)));
        stoa_settimeout(p.near, 0.1);
        EXPECT_ERR(send_until_it_fails(p.near, 0), ETIME);
        if (ended) {
            EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
            EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 0);
        }
        EXPECT_OK(stoa_close(p.near));
        EXPECT_OK(stoa_abort(p.far));
    }
}
ON_EVERY_BACKEND(close_does_not_wait_whatever_SO_LINGER_says)

TEST(close_does_not_wait_whatever_SO_LINGER_the_listener_had)
{
    NOT_SIMULATED("it would wait in the kernel's close(2)");
    for (int by_others = 0; by_others < 2; by_others++) {
        struct linger how = {.l_onoff = 1, .l_linger = 3600};
        struct text where;
        char c;
        int s = listener_make(TCP4, &where);

        if (by_others) {
            EXPECT_EQ(setsockopt(stoa_fileno(s), SOL_SOCKET, SO_LINGER, &how, sizeof(how)), 0);
        } else {
            EXPECT_OK(stoa_setsockopt(s, SOL_SOCKET, SO_LINGER, &how, sizeof(how)));
        }
        int far = stoa_dial(where.c, NULL);
        int near = stoa_accept(s, NULL);

        EXPECT_OK(near);
        stoa_settimeout(near, 0.1);
        EXPECT_ERR(send_until_it_fails(near, 0), ETIME);
        EXPECT_OK(stoa_shutdown(far, SHUT_WR));
        EXPECT_EQ(stoa_recv(near, &c, 1, 0), 0);
        EXPECT_OK(stoa_close(near));
        EXPECT_OK(stoa_abort(far));
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(close_does_not_wait_whatever_SO_LINGER_the_listener_had)
