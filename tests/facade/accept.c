/* accept.c - taking connections: who came, how long one waits, whose timeout it is.
 *
 * The traps (aborted clients, a full descriptor table) have their own file; here are
 * the plain promises of stoa_accept().
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>

TEST(accept_gives_the_connection_and_the_clients_address)
{
    EACH_STREAM (k) {
        struct text where;
        struct stoa_addr peer, self;
        int s = listener_make(k, &where);
        int c = stoa_socket(kind_family(k), SOCK_STREAM, 0);
        char buf[8];

        if (k == UNIX_STREAM)
            EXPECT_OK(stoa_bind(c, "unix:"));
        EXPECT_OK(stoa_connect(c, where.c));
        memset(&peer, 0x55, sizeof(peer));
        int d = stoa_accept(s, &peer);
        EXPECT_GE(d, 1 << 23);
        self = self_addr(c);
        EXPECT_EQ(peer.len, self.len);
        EXPECT_EQ(memcmp(&peer.sa, &self.sa, self.len), 0);
        if (!is_simulated()) {
            EXPECT(fcntl(stoa_fileno(d), F_GETFD) & FD_CLOEXEC);
            EXPECT_EQ(fcntl(stoa_fileno(d), F_GETFL) & O_NONBLOCK, 0);
        }
        EXPECT_OK(stoa_sendall(c, "abc", 3, 0));
        EXPECT_EQ(stoa_recv(d, buf, sizeof(buf), 0), 3);
        EXPECT_OK(stoa_close(c));
        EXPECT_OK(stoa_close(d));
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(accept_gives_the_connection_and_the_clients_address)

TEST(a_unix_client_without_a_name_has_none)
{
    struct text where;
    struct stoa_addr peer;
    int s = listener_make(UNIX_STREAM, &where), c = stoa_dial(where.c, NULL);
    int d = stoa_accept(s, &peer);
    struct text t;

    EXPECT_LE(peer.len, sizeof(sa_family_t));
    EXPECT_STR(stoa_addr_text(&peer, t.c, sizeof(t.c)), peer.len ? "unix:" : "-");
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(d));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_unix_client_without_a_name_has_none)

static int accept_one(struct beside *me)
{
    about_to_wait(me);
    return stoa_accept(*(int *)me->arg, NULL);
}

TEST(accept_waits_for_a_client)
{
    EACH_STREAM (k) {
        struct text where;
        int s = listener_make(k, &where);
        struct beside b;

        beside(&b, accept_one, &s);
        until_asleep(&b);
        int c = stoa_dial(where.c, NULL);
        int d = beside_join(&b);
        EXPECT_OK(d);
        EXPECT_OK(stoa_close(c));
        EXPECT_OK(stoa_close(d));
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_PAIRING(accept_waits_for_a_client)

TEST(accept_that_times_out_loses_no_client)
{
    struct text where;
    int s = listener_make(TCP4, &where);

    stoa_settimeout(s, 0.03);
    double start = now();
    EXPECT_ERR(stoa_accept(s, NULL), ETIME);
    EXPECT_GE(now() - start, 0.03);
    EXPECT_SAID("accept");
    int c = stoa_dial(where.c, NULL);
    int d = stoa_accept(s, NULL);
    EXPECT_OK(d);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(d));

    stoa_settimeout(s, 0);
    EXPECT_ERR(stoa_accept(s, NULL), EAGAIN);
    c = stoa_dial(where.c, NULL);
    d = stoa_accept(s, NULL);
    EXPECT_OK(d);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(d));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(accept_that_times_out_loses_no_client)

TEST(what_cannot_accept)
{
    int s = bound_make(TCP4);

    EXPECT_ERR(stoa_accept(s, NULL), EINVAL);
    EXPECT_OK(stoa_close(s));
    s = bound_make(UDP4);
    EXPECT_ERR(stoa_accept(s, NULL), EOPNOTSUPP);
    EXPECT_OK(stoa_close(s));
    struct pair p = pair_make();
    EXPECT_ERR(stoa_accept(p.near, NULL), EINVAL);
    pair_close(&p);
}
ON_EVERY_BACKEND(what_cannot_accept)

/* Two acceptors of one listener: each client goes to one of them, none is lost. */
TEST(two_may_accept_from_one_listener)
{
    struct text where;
    int s = listener_make(TCP4, &where), clients[2];
    struct beside b[2];

    for (int i = 0; i < 2; i++)
        beside(&b[i], accept_one, &s);
    for (int i = 0; i < 2; i++)
        until_asleep(&b[i]);
    for (int i = 0; i < 2; i++)
        clients[i] = stoa_dial(where.c, NULL);
    for (int i = 0; i < 2; i++) {
        int d = beside_join(&b[i]);
        EXPECT_OK(d);
        EXPECT_OK(stoa_close(d));
        EXPECT_OK(stoa_close(clients[i]));
    }
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_PAIRING(two_may_accept_from_one_listener)

/* A client that comes and leaves while it waits in the queue is passed over or given as
 * a connection that has ended; never an error of accept. */
TEST(a_client_that_left_in_the_queue_does_no_harm)
{
    struct text where;
    int s = listener_make(TCP4, &where);
    char byte;

    stoa_settimeout(s, 5);
    EXPECT_OK(stoa_abort(stoa_dial(where.c, NULL)));
    EXPECT_OK(stoa_close(stoa_dial(where.c, NULL)));
    int c = stoa_dial(where.c, NULL);
    EXPECT_OK(stoa_sendall(c, "!", 1, 0));
    for (;;) {
        int d = stoa_accept(s, NULL);
        EXPECT_OK(d);
        ssize_t n = d < 0 ? 1 : stoa_recv(d, &byte, 1, 0);
        if (d >= 0)
            EXPECT_OK(stoa_close(d));
        if (n == 1)
            break;
    }
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_client_that_left_in_the_queue_does_no_harm)

/* -------------------------------------------------------------------------
 * Two handles of one listener
 * ---------------------------------------------------------------------- */

static void expect_unbounded(int s)
{
    struct timeval bound = {0};
    socklen_t len = sizeof(bound);

    EXPECT_EQ(getsockopt(stoa_fileno(s), SOL_SOCKET, SO_RCVTIMEO, &bound, &len), 0);
    EXPECT_EQ(bound.tv_sec, 0);
    EXPECT_EQ(bound.tv_usec, 0);
}

static int accept_all(struct beside *me)
{
    int s = *(int *)me->arg, n = 0;

    atomic_store(&me->waits, true);
    for (int d; (d = stoa_accept(s, NULL)) >= 0; n++) {
        expect_unbounded(d);
        EXPECT_OK(stoa_abort(d));
    }
    EXPECT_EQ(errno, EAGAIN);
    return n;
}

/* What keeps accept4(2) from waiting where a file is shared stays with nobody. */
TEST(two_handles_of_a_listener_accept_at_once)
{
    NOT_SIMULATED("the kernel's SO_RCVTIMEO");
    struct text where;
    int s = listener_make(TCP4, &where), d = stoa_dup(s);

    stoa_settimeout(s, 0);
    stoa_settimeout(d, 0);
    for (int i = 0; i < 50; i++) {
        struct beside b, me = {.arg = &d};
        int c[8];

        for (int k = 0; k < 8; k++)
            c[k] = stoa_dial(where.c, NULL);
        beside(&b, accept_all, &s);
        while (!atomic_load(&b.waits))
            breathe();
        int mine = accept_all(&me);
        EXPECT_EQ(mine + beside_join(&b), 8);
        for (int k = 0; k < 8; k++)
            EXPECT_OK(stoa_abort(c[k]));
    }
    expect_unbounded(s);
    EXPECT_OK(stoa_close(s) | stoa_close(d));
}
ON_EVERY_PAIRING(two_handles_of_a_listener_accept_at_once)

/* It is under way in another process, which has the listener too; ours has had no such call yet. */
TEST(another_programs_accept_leaves_no_bound)
{
    NOT_SIMULATED("the kernel's SO_RCVTIMEO");
    ALONE(another_programs_accept_leaves_no_bound);
    struct timeval bound = {.tv_usec = 1000};
    struct text where;
    int s = listener_make(TCP4, &where), d = stoa_dup(s);

    EXPECT_EQ(setsockopt(stoa_fileno(s), SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound)), 0);
    int c = stoa_dial(where.c, NULL), conn = stoa_accept(d, NULL);
    expect_unbounded(conn);
    EXPECT_OK(stoa_close(conn) | stoa_close(c));
    EXPECT_OK(stoa_close(s) | stoa_close(d));
}
ON_EVERY_BACKEND(another_programs_accept_leaves_no_bound)
