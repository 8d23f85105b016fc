/* stop.c - stoa_stop(): the end of everything, politely; each test in a process of its own.
 *
 * What is over after stoa_stop() stays over for the process, so ALONE() starts a new one.
 */
#include "backends.h"

#include <signal.h>

struct server {
    const char *at;
    void (*handler)(int conn, void *arg);
    void *arg;
    struct stoa_options o;
    int rc;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *s = arg;

    s->o.size = sizeof(s->o);
    s->rc = stoa_serve(s->at, s->handler, s->arg, &s->o);
    return NULL;
}

static void echo(int conn, void *arg)
{
    char buf[256];

    (void)arg;
    for (ssize_t n; (n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0;)
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
}

TEST(a_server_without_clients_stops)
{
    ALONE(a_server_without_clients_stops);
    struct text where;
    int keep = port_keep(&where);
    struct server s = {.at = where.c, .handler = echo};

    EXPECT(!stoa_draining());
    EXPECT_EQ(pthread_create(&s.thread, NULL, serve, &s), 0);
    EXPECT_OK(stoa_close(dial_soon(where.c)));
    EXPECT_EQ(stoa_stop(), 0);
    EXPECT(stoa_draining());
    EXPECT_EQ(pthread_join(s.thread, NULL), 0);
    EXPECT_EQ(s.rc, 0);
    EXPECT_ERR(stoa_dial(where.c, NULL), ECONNREFUSED);
    close(keep);
}

static void on_signal(int signo)
{
    (void)signo;
    stoa_stop();
}

TEST(stop_may_be_called_in_a_signal_handler)
{
    ALONE(stop_may_be_called_in_a_signal_handler);
    struct text where;
    int keep = port_keep(&where);
    struct server s = {.at = where.c, .handler = echo, .o = {.workers = 2}};

    signal(SIGTERM, on_signal);
    EXPECT_EQ(pthread_create(&s.thread, NULL, serve, &s), 0);
    EXPECT_OK(stoa_close(dial_soon(where.c)));
    EXPECT_EQ(kill(getpid(), SIGTERM), 0);
    EXPECT_EQ(pthread_join(s.thread, NULL), 0);
    EXPECT_EQ(s.rc, 0);
    close(keep);
}

static void stops(int conn, void *arg)
{
    (void)arg;
    stoa_sendall(conn, "x", 1, 0);
    stoa_stop();
}

TEST(a_handler_may_stop_its_server)
{
    ALONE(a_handler_may_stop_its_server);
    struct text where;
    int keep = port_keep(&where);
    struct server s = {.at = where.c, .handler = stops};
    char c;

    EXPECT_EQ(pthread_create(&s.thread, NULL, serve, &s), 0);
    int conn = dial_soon(where.c);
    EXPECT_EQ(stoa_recv(conn, &c, 1, 0), 1);
    EXPECT_EQ(pthread_join(s.thread, NULL), 0);
    EXPECT_EQ(s.rc, 0);
    EXPECT_OK(stoa_close(conn));
    close(keep);
}

/* Handlers at work have drain seconds; their clients are answered. */
TEST(clients_inside_are_served_to_their_end)
{
    ALONE(clients_inside_are_served_to_their_end);
    struct text where;
    int keep = port_keep(&where), c[10];
    struct server s = {.at = where.c, .handler = echo, .o = {.drain = 60}};
    char buf[8];

    EXPECT_EQ(pthread_create(&s.thread, NULL, serve, &s), 0);
    for (int i = 0; i < 10; i++) {
        c[i] = dial_soon(where.c);
        EXPECT_OK(stoa_sendall(c[i], "1", 1, 0));
        EXPECT_EQ(stoa_recv(c[i], buf, 1, 0), 1);
    }
    EXPECT_OK(stoa_stop());
    for (int i = 0; i < 10; i++) {
        EXPECT_OK(stoa_sendall(c[i], "more", 4, 0));
        EXPECT_EQ(stoa_recvall(c[i], buf, 4), 4);
        EXPECT_OK(stoa_close(c[i]));
    }
    EXPECT_EQ(pthread_join(s.thread, NULL), 0);
    EXPECT_EQ(s.rc, 0);
    close(keep);
}

static atomic_int cancelled;

static void stays(int conn, void *arg)
{
    struct stoa_scope shield;
    char c;

    (void)arg;
    stoa_sendall(conn, "+", 1, 0);
    if (stoa_recv(conn, &c, 1, 0) < 0 && errno == ECANCELED && stoa_draining())
        atomic_fetch_add(&cancelled, 1);
    stoa_shield(&shield, 5);
    stoa_sendall(conn, "bye", 3, 0);
    stoa_leave(&shield);
}

/* "then they are cancelled", and may still say goodbye. */
TEST(handlers_that_stay_are_cancelled_after_the_drain_time)
{
    ALONE(handlers_that_stay_are_cancelled_after_the_drain_time);
    struct text where;
    int keep = port_keep(&where), c[10];
    struct server s = {.at = where.c, .handler = stays, .o = {.drain = 0.05}};
    char buf[8];

    EXPECT_EQ(pthread_create(&s.thread, NULL, serve, &s), 0);
    for (int i = 0; i < 10; i++) {
        c[i] = dial_soon(where.c);
        EXPECT_EQ(stoa_recv(c[i], buf, 1, 0), 1);
    }
    double start = now();
    EXPECT_OK(stoa_stop());
    EXPECT_EQ(pthread_join(s.thread, NULL), 0);
    EXPECT_GE(now() - start, 0.05);
    EXPECT_EQ(s.rc, 0);
    EXPECT_EQ(atomic_load(&cancelled), 10);
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(stoa_recvall(c[i], buf, 8), 3);
        EXPECT_OK(stoa_close(c[i]));
    }
    close(keep);
}

/* Clients that the kernel has already taken into the queue when the server stops: none
 * of those that were answered loses its answer. */
TEST(stop_in_a_storm_of_clients)
{
    ALONE(stop_in_a_storm_of_clients);
    struct text where;
    int keep = port_keep(&where), answered = 0;
    struct server s = {.at = where.c, .handler = echo, .o = {.drain = 60}};
    char buf[4];

    EXPECT_EQ(pthread_create(&s.thread, NULL, serve, &s), 0);
    EXPECT_OK(stoa_close(dial_soon(where.c)));
    for (int i = 0; i < 300; i++) {
        if (i == 150)
            EXPECT_OK(stoa_stop());
        int c = stoa_dial(where.c, NULL);
        if (c < 0)
            continue;
        if (stoa_sendall(c, "ping", 4, 0) == 0 && stoa_recvall(c, buf, 4) == 4)
            answered++;
        EXPECT_OK(stoa_close(c));
    }
    EXPECT_EQ(pthread_join(s.thread, NULL), 0);
    EXPECT_EQ(s.rc, 0);
    EXPECT_GE(answered, 150);
    close(keep);
}

static atomic_int waiting;

static int waits_for_ever(void *arg)
{
    char c;

    atomic_fetch_add(&waiting, 1);
    EXPECT_ERR(stoa_recv(*(int *)arg, &c, 1, 0), ECANCELED);
    EXPECT(stoa_draining());
    return 7;
}

static void *run_it(void *arg)
{
    EXPECT_EQ(stoa_run(waits_for_ever, arg, NULL), 7);
    return NULL;
}

/* "The first fiber of each stoa_run() is cancelled." */
TEST(stop_cancels_the_first_fiber_of_every_run)
{
    ALONE(stop_cancels_the_first_fiber_of_every_run);
    struct pair p = pair_make();
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, run_it, &p.near), 0);
    while (atomic_load(&waiting) < 3)
        breathe();
    EXPECT_OK(stoa_stop());
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    pair_close(&p);
}

static int gives_7(void *arg)
{
    (void)arg;
    return stoa_sleep(60) < 0 && errno == ECANCELED && stoa_draining() ? 7 : 0;
}

/* Ctrl-C in the moment before the server runs: it is not forgotten. */
TEST(a_stop_before_the_run_is_not_missed)
{
    ALONE(a_stop_before_the_run_is_not_missed);
    EXPECT_OK(stoa_stop());
    EXPECT(stoa_draining());
    EXPECT_EQ(stoa_run(gives_7, NULL, NULL), 7);
}

/* A plain thread is not of any run: it is not cancelled. */
TEST(stop_leaves_plain_threads_alone)
{
    ALONE(stop_leaves_plain_threads_alone);
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_stop());
    EXPECT_OK(stoa_sleep(0.001));
    stoa_settimeout(p.near, 0.01);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    pair_close(&p);
}
