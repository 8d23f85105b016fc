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

/* The most between two tries to reach the peer; -1 where the kernel cannot say. */
static int gap_of(int conn)
{
    int ms = -1;
    socklen_t len = sizeof(ms);

    return stoa_getsockopt(conn, IPPROTO_TCP, TCP_RTO_MAX_MS, &ms, &len) == 0 ? ms : -1;
}

/* What the gap is to be when the handler's handle has been closed, and what others have of it lives
 * on.  'p': a handler who does not care.  'k', 'o': one who sets when its peer is asked, or the
 * gap, when it has stayed.  'l': it is shorter already. */
static int gap_to_be(int conn, char how, int usual)
{
    int ms = how == 'k' ? 30 : how == 'o' ? 3000 : 1000;
    int option = how == 'k' ? TCP_KEEPIDLE : TCP_RTO_MAX_MS;

    if (how == 'l')
        EXPECT_OK(setsockopt(stoa_fileno(conn), IPPROTO_TCP, option, &ms, sizeof(ms)));
    until_watched(conn);
    EXPECT_EQ(gap_of(conn), how == 'l' ? 1000 : 1200);
    if (how == 'k' || how == 'o')
        EXPECT_OK(stoa_setsockopt(conn, IPPROTO_TCP, option, &ms, sizeof(ms)));
    return how == 'k' || how == 'p' ? usual : ms;
}

static void put_back(int conn, void *arg)
{
    int usual = gap_of(conn);
    char how = 0;

    (void)arg;
    EXPECT_EQ(stoa_recv(conn, &how, 1, 0), 1);
    if (usual > 1200) {
        int want = gap_to_be(conn, how, usual), other = stoa_dup(conn);

        EXPECT_OK(stoa_close(conn));
        EXPECT_EQ(gap_of(other), want);
        EXPECT_OK(stoa_sendall(other, "!", 1, 0));
        EXPECT_OK(stoa_close(other));
    } else {
        EXPECT_OK(stoa_sendall(conn, "!", 1, 0));
    }
}

TEST(who_goes_on_with_a_served_connection_has_its_gaps_of_before)
{
    EACH_BACKEND(b)
    {
        struct server s = {.handler = put_back, .o = {.count = 4}};
        int c[4];

        if (!server_start(&s, backends[b]))
            continue;
        for (int i = 0; i < 4; i++)
            c[i] = dial_soon(s.at.c);
        for (int i = 0; i < 4; i++)
            EXPECT_OK(stoa_sendall(c[i], &"pkol"[i], 1, 0));
        for (int i = 0; i < 4; i++) {
            char byte = 0;

            EXPECT_EQ(stoa_recv(c[i], &byte, 1, 0), 1);
            EXPECT_OK(stoa_close(c[i]));
        }
        server_join(&s);
    }
}

static atomic_int nclosing;

/* All of it is in the kernel then. */
static void send_answer(int conn)
{
    static const char bytes[LONG_ANSWER];
    int room = 2 * LONG_ANSWER;

    EXPECT_OK(stoa_setsockopt(conn, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)));
    EXPECT_OK(stoa_sendall(conn, bytes, sizeof(bytes), 0));
}

static void answer(int conn)
{
    until_watched(conn);
    send_answer(conn);
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

#define NCLIENT 3 /* of each backend: one who has ended before he reads, and two who have not */

/* What /proc/net/tcp says of the server's end of a client's connection. */
struct row {
    unsigned unread;     /* bytes */
    unsigned timer;      /* 4: the peer has no room, and will be asked for it */
    unsigned long when;  /* then, in hundredths of a second */
    unsigned long inode; /* 0: no descriptor */
};

/* False: there is no such end any more. */
static bool find_row(int c, struct row *r)
{
    struct stoa_addr self = {0}, peer = {0};

    EXPECT_OK(stoa_getsockname(c, &self));
    EXPECT_OK(stoa_getpeername(c, &peer));
    FILE *f = fopen("/proc/net/tcp", "re");
    char line[256];
    bool found = false;

    EXPECT(f);
    while (f && !found && fgets(line, sizeof(line), f)) {
        unsigned from = 0, to = 0;

        found = sscanf(line, "%*d: %*x:%x %*x:%x %*x %*x:%x %x:%lx %*x %*d %*d %lu", &from, &to,
                       &r->unread, &r->timer, &r->when, &r->inode) == 6 &&
                (int)from == port_of(&peer) && (int)to == port_of(&self);
    }
    if (f)
        fclose(f);
    return found;
}

/* The connection is closed, but kept, and its client is asked for room soon. */
static void expect_asked_soon(int c)
{
    struct row r = {0};
    bool is_there = true;

    while (r.timer != 4 && is_there) /* it goes off in this moment */
        is_there = find_row(c, &r);
    EXPECT(is_there);
    EXPECT(r.inode != 0);
    EXPECT(r.when <= 200);
}

/* What the client has said is thrown away, and is no reason to reset his connection. */
static void expect_heard(int c)
{
    struct row r = {.unread = 1};
    bool is_there = true;

    while (r.unread && is_there)
        is_there = find_row(c, &r);
    EXPECT(is_there);
}

static atomic_bool kept; /* the connections have been late when they were closed */

/* The third client says something while he reads, if he is heard yet. */
static void read_all(int c, int i)
{
    static char bytes[LONG_ANSWER];
    size_t half = LONG_ANSWER / 2;

    if (atomic_load(&kept))
        expect_asked_soon(c);
    if (atomic_load(&kept) && i == 2)
        EXPECT_OK(stoa_sendall(c, "next", 4, 0));
    EXPECT_EQ(stoa_recvall(c, bytes, half), half);
    if (atomic_load(&kept) && i == 2)
        expect_heard(c);
    EXPECT_EQ(stoa_recvall(c, bytes, sizeof(bytes) - half), sizeof(bytes) - half);
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
    atomic_store(&kept, false);
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
            read_all(c[b][i], i);
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
 * again?  That is when the gap of its asking would be so long, if it were not limited. */
static bool is_late(int conn, uint64_t ms)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    EXPECT_OK(stoa_getsockopt(conn, IPPROTO_TCP, TCP_INFO, &info, &len));
    return (uint64_t)info.tcpi_rto << info.tcpi_backoff >= ms * 1000;
}

static void answer_until_late(int conn, void *arg)
{
    char byte;

    (void)arg;
    answer(conn);
    if (gap_of(conn) == 1200) {
        while (!is_late(conn, 120000))
            EXPECT_OK(stoa_sleep(0.05));
        atomic_store(&kept, true);
    }
    EXPECT_OK(stoa_settimeout(conn, 0));
    EXPECT(stoa_recv(conn, &byte, 1, 0) <= 0); /* an end is heard */
    atomic_fetch_add(&nclosing, 1);
}

TEST(a_client_who_has_not_read_for_long_gets_the_whole_answer)
{
    NEEDS_TCP_INFO();
    read_late(answer_until_late, 4000);
}

/* What is kept for a served one is not for others, whatever their own gap is. */
TEST(a_connection_of_ones_own_is_not_kept_for_who_reads_late)
{
    int l = stoa_announce("127.0.0.1:0", NULL), ms = 1000;
    int c = client_of_little_room(self_text(l).c), conn = stoa_accept(l, NULL);
    struct row r = {0};

    if (stoa_setsockopt(conn, IPPROTO_TCP, TCP_RTO_MAX_MS, &ms, sizeof(ms)) == 0) {
        send_answer(conn);
        while (!is_late(conn, 20000))
            EXPECT_OK(stoa_sleep(0.05));
        EXPECT_OK(stoa_shutdown(c, SHUT_WR));
        EXPECT(stoa_poll(conn, POLLIN) > 0);
    } else {
        SKIP("the kernel has no TCP_RTO_MAX_MS");
    }
    EXPECT_OK(stoa_close(conn));
    EXPECT(!find_row(c, &r) || r.inode == 0);
    EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(l));
}
