/* dead.c - what stoa_serve() does against dead peers, and what it must not cost who reads late. */
#include "served.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#ifndef TCP_RTO_MAX_MS /* Linux 6.15 */
#define TCP_RTO_MAX_MS 44
#endif

#define LONG_ANSWER 200000 /* bytes: more than a client of little room takes */

static int keepalive_of(int conn)
{
    int on = -1;
    socklen_t len = sizeof(on);

    EXPECT_OK(stoa_getsockopt(conn, SOL_SOCKET, SO_KEEPALIVE, &on, &len));
    return on;
}

/* Seconds of silence until an idle peer is asked, by TCP. */
static int asked_after(int conn)
{
    int seconds = -1;
    socklen_t len = sizeof(seconds);

    EXPECT_OK(stoa_getsockopt(conn, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, &len));
    return seconds;
}

static void until_watched(int conn)
{
    while (!keepalive_of(conn))
        EXPECT_OK(stoa_sleep(0.02));
}

/* 'w': says so when it is watched.  'o': wants to see to that itself; what has become of it. */
static void say_watched(int conn, void *arg)
{
    char byte = 0;
    int off = 0;

    (void)arg;
    EXPECT_EQ(keepalive_of(conn), 0); /* who goes soon has not paid for it */
    EXPECT_EQ(stoa_recv(conn, &byte, 1, 0), 1);
    if (byte == 'w') {
        until_watched(conn);
        EXPECT_EQ(asked_after(conn), 60);
    } else {
        EXPECT_OK(stoa_setsockopt(conn, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof(off)));
        EXPECT_OK(stoa_sendall(conn, "o", 1, 0));
        EXPECT_EQ(stoa_recv(conn, &byte, 1, 0), 1);
        EXPECT_EQ(keepalive_of(conn), 0);
    }
    EXPECT_OK(stoa_sendall(conn, "!", 1, 0));
}

static void ask_for(int c, const char *word, char answer)
{
    char byte = 0;

    EXPECT_OK(stoa_sendall(c, word, 1, 0));
    EXPECT_EQ(stoa_recv(c, &byte, 1, 0), 1);
    EXPECT_EQ(byte, answer);
}

TEST(the_peer_of_who_stays_is_watched_unless_the_handler_does)
{
    EACH_BACKEND(b)
    {
        struct server s = {.handler = say_watched, .o = {.count = 2, .workers = 1}};

        if (!server_start(&s, backends[b]))
            continue;
        int own = dial_soon(s.at.c);
        ask_for(own, "o", 'o');
        int other = dial_soon(s.at.c);
        ask_for(other, "w", '!'); /* it came later: own has been looked at, too */
        ask_for(own, "x", '!');
        EXPECT_OK(stoa_close(own));
        EXPECT_OK(stoa_close(other));
        server_join(&s);
    }
}

/* Each has a listener of its own, and clients were in its queue before it had begun. */
TEST(the_peers_of_all_workers_are_watched)
{
    EACH_BACKEND(b)
    {
        struct server s = {.handler = say_watched, .o = {.workers = 3}};
        int c[24];

        if (!server_start(&s, backends[b]))
            continue;
        for (int i = 0; i < 24; i++)
            c[i] = dial_soon(s.at.c);
        for (int i = 0; i < 24; i++)
            EXPECT_OK(stoa_sendall(c[i], "w", 1, 0));
        for (int i = 0; i < 24; i++) {
            char byte = 0;

            EXPECT_EQ(stoa_recv(c[i], &byte, 1, 0), 1);
            EXPECT_EQ(byte, '!');
            EXPECT_OK(stoa_close(c[i]));
        }
        EXPECT_OK(stoa_let_go());
        server_join(&s);
    }
}

static atomic_int nclosing;

/* All of it is in the kernel then. */
static void answer(int conn)
{
    static const char bytes[LONG_ANSWER];
    int room = 2 * LONG_ANSWER;

    EXPECT_OK(stoa_setsockopt(conn, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)));
    until_watched(conn);
    EXPECT_OK(stoa_sendall(conn, bytes, sizeof(bytes), 0));
}

static void answer_long(int conn, void *arg)
{
    (void)arg;
    answer(conn);
    atomic_fetch_add(&nclosing, 1);
}

/* A client whose kernel takes little for it. */
static int client_of_little_room(const char *at)
{
    int c = stoa_socket(AF_INET, SOCK_STREAM, 0), small = 4096;
    struct pollfd none;

    EXPECT_OK(stoa_setsockopt(c, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
    while (stoa_connect_ex(c, at)) /* until it listens */
        EXPECT_EQ(poll(&none, 0, 1), 0);
    return c;
}

#define NCLIENT 2 /* of each backend: one who has ended before he reads, and one who has not */

static void read_all(int c)
{
    static char bytes[LONG_ANSWER];

    EXPECT_EQ(stoa_recvall(c, bytes, sizeof(bytes)), sizeof(bytes));
    EXPECT_EQ(stoa_recv(c, bytes, 1, 0), 0);
    EXPECT_OK(stoa_close(c));
}

/* All clients are late together, for so long after their handlers have ended. */
static void read_late(void (*handler)(int conn, void *arg), int ms)
{
    struct server s[NBACKEND];
    int c[NBACKEND][NCLIENT], nclient = 0;
    struct pollfd none;

    atomic_store(&nclosing, 0);
    EACH_BACKEND(b)
    {
        s[b] = (struct server){.handler = handler, .o = {.count = NCLIENT}};
        bool is_there = server_start(&s[b], backends[b]);
        for (int i = 0; i < NCLIENT; i++)
            c[b][i] = is_there ? client_of_little_room(s[b].at.c) : -1;
        if (is_there)
            EXPECT_OK(stoa_shutdown(c[b][0], SHUT_WR));
        nclient += is_there ? NCLIENT : 0;
    }
    while (atomic_load(&nclosing) < nclient)
        EXPECT_EQ(poll(&none, 0, 10), 0);
    EXPECT_EQ(poll(&none, 0, ms), 0);
    EACH_BACKEND(b)
    {
        for (int i = 0; c[b][0] >= 0 && i < NCLIENT; i++)
            read_all(c[b][i]);
        if (c[b][0] >= 0)
            server_join(&s[b]);
    }
}

/* All of the answer is in the server's kernel when it closes; what keeps a dead peer from holding a
 * connection must not take it from a live one, which nobody is told of: 4 s later it was lost. */
TEST(a_client_who_reads_late_gets_the_whole_answer)
{
    read_late(answer_long, 4000);
}

/* Has the client had no room for so long that the kernel, of a closed connection, would not ask
 * again?  That is when the gap of its asking would be two minutes, if it were not limited. */
static bool is_late(int conn)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    EXPECT_OK(stoa_getsockopt(conn, IPPROTO_TCP, TCP_INFO, &info, &len));
    return (uint64_t)info.tcpi_rto << info.tcpi_backoff >= 120000000;
}

static void answer_until_late(int conn, void *arg)
{
    int ms = 0;
    socklen_t len = sizeof(ms);
    char byte;

    (void)arg;
    answer(conn);
    if (stoa_getsockopt(conn, IPPROTO_TCP, TCP_RTO_MAX_MS, &ms, &len) == 0 && ms < 10000)
        while (!is_late(conn))
            EXPECT_OK(stoa_sleep(0.05));
    EXPECT_OK(stoa_settimeout(conn, 0));
    EXPECT(stoa_recv(conn, &byte, 1, 0) <= 0); /* an end is heard */
    atomic_fetch_add(&nclosing, 1);
}

TEST(a_client_who_has_not_read_for_long_gets_the_whole_answer)
{
    read_late(answer_until_late, 4000);
}
