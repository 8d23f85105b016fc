/* limits.c - stoa_serve()'s limits: silent, idle and slow clients, and too many of one address.
 *
 * The server runs in threads of its own, with each backend there is; the body is its clients.
 */
#include "backends.h"
#include "unit/watched.h"

#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#ifndef TCP_RTO_MAX_MS /* Linux 6.15 */
#define TCP_RTO_MAX_MS 44
#endif

#define REASONS 64

#define LONG_ANSWER 200000 /* bytes: more than a client of little room takes */

/* qemu-user gives the first word of TCP_INFO and no more: without counts nobody is overdue. */
#define NEEDS_TCP_INFO()                                                                           \
    if (emulator()) {                                                                              \
        SKIP("an emulator cuts TCP_INFO short");                                                   \
        return;                                                                                    \
    }

struct server {
    struct text at;
    void (*handler)(int conn, void *arg); /* NULL: talk */
    int keep;
    struct stoa_options o;
    int rc;
    int error;
    pthread_t thread;
    pthread_mutex_t lock;
    const char *cut[REASONS]; /* what handlers were told, in their order; under lock */
    int ncut;
    int ntold; /* refusals */
    char told[256];
};

static void talk(int conn, void *arg)
{
    struct server *s = arg;
    char buf[64];

    EXPECT(!stoa_cut_reason());
    for (ssize_t n; (n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0;)
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
    if (!stoa_cut_reason())
        return;
    EXPECT_EQ(errno, ECANCELED);
    pthread_mutex_lock(&s->lock);
    s->cut[s->ncut++] = stoa_cut_reason();
    pthread_mutex_unlock(&s->lock);
}

static void told(const char *what, void *arg)
{
    struct server *s = arg;

    if (!strstr(what, "refused")) /* accept was out of memory for once (tests/shaky) */
        return;
    EXPECT(!stoa_cut_reason()); /* on the refused client's fiber: it has never been served */
    pthread_mutex_lock(&s->lock);
    s->ntold++;
    snprintf(s->told, sizeof(s->told), "%s", what);
    pthread_mutex_unlock(&s->lock);
}

static void *serve(void *arg)
{
    struct server *s = arg;

    s->rc = stoa_serve(s->at.c, s->handler ? s->handler : talk, s, &s->o);
    s->error = errno;
    return NULL;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static bool server_start(struct server *s, const char *backend)
{
    s->o.size = sizeof(s->o);
    s->o.backend = backend;
    s->o.tell = told;
    if (stoa_run(nothing, NULL, &s->o) < 0)
        return false; /* not to be had here */
    pthread_mutex_init(&s->lock, NULL);
    s->keep = port_keep(&s->at);
    EXPECT_EQ(pthread_create(&s->thread, NULL, serve, s), 0);
    return true;
}

static void server_join(struct server *s)
{
    EXPECT_EQ(pthread_join(s->thread, NULL), 0);
    if (s->rc < 0)
        t_fail(__FILE__, __LINE__, "stoa_serve: errno %d", s->error);
    close(s->keep);
}

static const char *const backends[] = {"epoll", "uring"};
#define NBACKEND        (sizeof(backends) / sizeof(backends[0]))
#define EACH_BACKEND(b) for (size_t b = 0; b < NBACKEND; b++)

/* Seconds until the server has ended c, by a reset. */
static double ended(int c)
{
    double since = now();
    char byte;

    EXPECT_ERR(stoa_recv(c, &byte, 1, 0), ECONNRESET);
    EXPECT_OK(stoa_close(c));
    return now() - since;
}

static bool answered(int c)
{
    char buf[2];

    return stoa_sendall(c, "hi", 2, 0) == 0 && stoa_recvall(c, buf, 2) == 2;
}

static void ask(int c)
{
    EXPECT(answered(c));
}

/* In its time: another server's silent client, who came sooner and has 100 s, is still there. */
TEST(who_never_says_a_word_is_sent_off)
{
    NEEDS_TCP_INFO();
    EACH_BACKEND(b)
    {
        struct server s = {.o = {.first_byte = 0.5, .count = 2, .workers = 2}};
        struct server patient = {.o = {.first_byte = 100, .count = 1}};

        if (!server_start(&s, backends[b]))
            continue;
        server_start(&patient, backends[b]);
        int sooner = dial_soon(patient.at.c), talks = dial_soon(s.at.c);
        ask(talks);
        int silent = dial_soon(s.at.c);
        double took = ended(silent);
        EXPECT_GE(took, 0.45);
        ask(sooner);
        ask(talks);
        EXPECT_OK(stoa_close(sooner) | stoa_close(talks));
        server_join(&patient);
        EXPECT_EQ(patient.ncut, 0);
        server_join(&s);
        EXPECT_EQ(s.ncut, 1);
        EXPECT_STR(s.cut[0], "silent from the start");
    }
}

/* One talks, the other does not: is he alone sent off, before the talk is twenty times as long? */
static bool silent_alone_is_sent_off(const char *backend, double idle)
{
    struct server s = {.o = {.idle = idle, .count = 2}};
    bool talked = true, gone = false;
    char byte;

    if (!server_start(&s, backend))
        return true;
    int silent = dial_soon(s.at.c), talks = dial_soon(s.at.c);
    ask(silent);
    stoa_settimeout(silent, idle / 3);
    double since = now();
    int n;
    for (n = 0; !gone; n++) {
        talked = talked && answered(talks);
        gone = stoa_recv(silent, &byte, 1, 0) < 0 && errno == ECONNRESET;
        if (gone)
            EXPECT_GE(now() - since, idle - 0.05);
    }
    talked = talked && answered(talks);
    EXPECT_OK(stoa_close(talks));
    EXPECT_OK(stoa_close(silent));
    server_join(&s);
    EXPECT_STR(s.cut[0], "idle");
    EXPECT_EQ(s.ncut, talked ? 1 : 2);
    return talked && n <= 60;
}

/* Where somebody is not let run for so long as to look idle, all have more time. */
TEST(who_falls_silent_is_sent_off)
{
    NEEDS_TCP_INFO();
    EACH_BACKEND(b)
    {
        bool alone = false;

        for (double idle = 0.7; !alone && idle < 50; idle *= 4)
            alone = silent_alone_is_sent_off(backends[b], idle);
        EXPECT(alone);
    }
}

/* Two are 90 % of two; with one less there is room, and the other may stay. */
TEST(under_pressure_the_slow_go_until_there_is_room)
{
    NEEDS_TCP_INFO();
    EACH_BACKEND(b)
    {
        struct server s = {.o = {.min_rate = 1e9, .count = 2, .max_conns = 2, .workers = 1}};

        if (!server_start(&s, backends[b]))
            continue;
        int c[2] = {dial_soon(s.at.c), dial_soon(s.at.c)};
        int gone = -1;
        double since = now();
        char byte;
        for (int i = 0; gone < 0; i = 1 - i) {
            stoa_settimeout(c[i], 0.05);
            (void)stoa_sendall(c[i], "x", 1, 0);
            ssize_t r = stoa_recv(c[i], &byte, 1, 0);
            if (r == 0 || (r < 0 && errno != ETIME)) /* the send may have heard of the reset */
                gone = i;
        }
        EXPECT_GE(now() - since, 2.9);
        since = now();
        stoa_settimeout(c[gone != 1], -1);
        while (now() - since < 2) /* and is not looked at again */
            ask(c[gone != 1]);
        EXPECT_OK(stoa_close(c[0]));
        EXPECT_OK(stoa_close(c[1]));
        server_join(&s);
        EXPECT_EQ(s.ncut, 1);
        EXPECT_STR(s.cut[0], "too slow");
    }
}

TEST(there_is_no_limit_of_time_while_there_is_room_or_when_it_is_forbidden)
{
    EACH_BACKEND(b)
    {
        struct server s[3] = {
            {.o = {.count = 1, .max_conns = 100}},
            {.o = {.count = 1, .max_conns = 1, .first_byte = -1, .idle = -1, .min_rate = -1}},
            {.o = {.count = 1, .max_conns = 100, .first_byte = 100, .idle = 100, .min_rate = 9}},
        };
        int c[3];
        struct pollfd none;

        if (!server_start(&s[0], backends[b]))
            continue;
        server_start(&s[1], backends[b]);
        server_start(&s[2], backends[b]);
        for (int i = 0; i < 3; i++)
            c[i] = dial_soon(s[i].at.c);
        EXPECT_EQ(poll(&none, 0, 3000), 0);
        for (int i = 0; i < 3; i++) {
            ask(c[i]);
            EXPECT_OK(stoa_close(c[i]));
            server_join(&s[i]);
            EXPECT_EQ(s[i].ncut, 0);
        }
    }
}

/* The reset may be there before the dial has returned. */
static void refused(struct server *s)
{
    int c = stoa_dial(s->at.c, NULL);

    if (c >= 0)
        ended(c);
    else
        EXPECT_EQ(errno, ECONNRESET);
}

static void so_many_of_one_address(const char *backend, int workers)
{
    struct server s = {.o = {.max_per_address = 3, .count = 5, .workers = workers}};
    int c[3];

    if (!server_start(&s, backend))
        return;
    for (int i = 0; i < 3; i++) {
        c[i] = dial_soon(s.at.c);
        ask(c[i]);
    }
    refused(&s);
    for (int i = 0; i < 3; i++)
        ask(c[i]);
    pthread_mutex_lock(&s.lock);
    EXPECT_EQ(s.ntold, 1);
    EXPECT(strstr(s.told, "refused, as its address has its number already, which is 3: 127.0."));
    pthread_mutex_unlock(&s.lock);
    for (int i = 0; i < 3; i++)
        EXPECT_OK(stoa_close(c[i]));
    /* The server may not have seen the ends: this one is served or not, and is the fifth. */
    int last = stoa_dial(s.at.c, NULL);
    if (last >= 0) {
        (void)stoa_shutdown(last, SHUT_WR);
        (void)stoa_poll(last, POLLIN);
        EXPECT_OK(stoa_close(last));
    }
    server_join(&s);
}

TEST(one_address_may_have_so_many_connections)
{
    EACH_BACKEND(b)
    for (int workers = 1; workers < 4; workers++)
        so_many_of_one_address(backends[b], workers);
}

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

TEST(limits_that_are_no_numbers_are_refused)
{
    for (int i = 0; i < 3; i++) {
        struct stoa_options o = {.size = sizeof(o)};

        *(double *[]){&o.first_byte, &o.idle, &o.min_rate}[i] = (double)NAN;
        EXPECT_ERR(stoa_serve("127.0.0.1:0", talk, NULL, &o), EINVAL);
        EXPECT_SAID("is no number");
    }
}

TEST(more_connections_than_descriptors_are_refused)
{
    struct stoa_options o = {.size = sizeof(o), .max_conns = UINT32_MAX};

    EXPECT_ERR(stoa_serve("127.0.0.1:0", talk, NULL, &o), EINVAL);
    EXPECT_SAID("options.max_conns is 4294967295, and the process may have ");
}
