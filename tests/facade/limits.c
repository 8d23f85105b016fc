/* limits.c - stoa_serve()'s limits: silent, idle and slow clients, and too many of one address. */
#include "served.h"

#include <math.h>

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
