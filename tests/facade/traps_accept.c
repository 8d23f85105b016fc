/* traps_accept.c - trap 10: clients and limits that kill a server's accept, or make it spin.
 *
 * accept4(2) hands on network errors of the connection it was about to give; they cannot
 * be had on loopback, so this program has an accept4 of its own in front of the kernel's:
 * the library, linked statically here, calls it.  `inject` holds the errors to come.
 * A full descriptor table is made for real, with a limit and in a process of its own.
 */
#include "backends.h"
#include "turns.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stoa/sim.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static _Atomic int inject[16];
static atomic_int ninject, ntried;

int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags)
{
    int i = atomic_fetch_add(&ntried, 1);

    if (i < atomic_load(&ninject)) {
        errno = inject[i];
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, sa, len, flags);
}

static void injects(const int *errors, int n)
{
    for (int i = 0; i < n; i++)
        inject[i] = errors[i];
    atomic_store(&ntried, 0);
    atomic_store(&ninject, n);
}

/* accept(2), "Error handling": treat them like EAGAIN, by retrying. */
TEST(trap_10_the_errors_of_a_lost_client_are_not_the_listeners)
{
    static const int errors[] = {ECONNABORTED, EPROTO,       ENETDOWN,    ENOPROTOOPT, EHOSTDOWN,
                                 ENONET,       EHOSTUNREACH, ENETUNREACH, EINTR};
    const int n = sizeof(errors) / sizeof(errors[0]);

    for (int i = 0; i <= n; i++) {
        struct text where;
        int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL);

        if (i < n)
            injects(&errors[i], 1);
        else
            injects(errors, n);
        int d = stoa_accept(s, NULL);
        if (d < 0)
            t_fail(__FILE__, __LINE__, "%s: %s", strerrorname_np(errors[i % n]), stoa_errmsg());
        else
            EXPECT_OK(stoa_close(d));
        EXPECT_OK(stoa_close(c) | stoa_close(s));
    }
    injects(NULL, 0);
}
ON_EVERY_BACKEND(trap_10_the_errors_of_a_lost_client_are_not_the_listeners)

/* And when nobody else is there, a non-blocking accept says EAGAIN, one with a time ETIME. */
TEST(trap_10_a_lost_client_leaves_the_timeout_alone)
{
    static const int errors[] = {ECONNABORTED, EPROTO};
    int s = listener_make(TCP4, NULL);

    stoa_settimeout(s, 0.05);
    injects(errors, 2);
    double start = now();
    EXPECT_ERR(stoa_accept(s, NULL), ETIME);
    EXPECT_GE(now() - start, 0.05);
    stoa_settimeout(s, 0);
    injects(errors, 2);
    EXPECT_ERR(stoa_accept(s, NULL), EAGAIN);
    injects(NULL, 0);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_10_a_lost_client_leaves_the_timeout_alone)

TEST(trap_10_a_full_table_is_waited_for)
{
    NOT_SIMULATED("the error is injected into accept4(2)");
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};

    for (int i = 0; i < 4; i++) {
        struct text where;
        int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL);

        injects(&errors[i], 1);
        int d = stoa_accept(s, NULL);
        EXPECT_OK(d);
        EXPECT_OK(stoa_close(c) | stoa_close(d));
        c = stoa_dial(where.c, NULL);
        stoa_settimeout(s, 0);
        injects(&errors[i], 1);
        EXPECT_ERR(stoa_accept(s, NULL), errors[i]);
        injects(NULL, 0);
        d = stoa_accept(s, NULL);
        EXPECT_OK(d);
        EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
    }
}
ON_EVERY_BACKEND(trap_10_a_full_table_is_waited_for)

/* The pause for a descriptor is longer than the time that is left: who is in the queue at its
 * end is not out of time. */
TEST(trap_10_who_waits_when_time_is_over_is_accepted)
{
    NOT_SIMULATED("the error is injected into accept4(2)");
    static const int errors[] = {ENOMEM, EMFILE};
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL);

    stoa_settimeout(s, 0.02);
    int d = -1;
    for (int i = 0; i < 3 && d < 0; i++) { /* a fault may strike the last look (tests/shaky) */
        double start = now();

        injects(errors, 1);
        d = stoa_accept(s, NULL);
        EXPECT_GE(now() - start, 0.02);
    }
    EXPECT_OK(d);
    injects(errors, 2);
    EXPECT_ERR(stoa_accept(s, NULL), ETIME);
    injects(NULL, 0);
    EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
}
ON_EVERY_BACKEND(trap_10_who_waits_when_time_is_over_is_accepted)

/* -------------------------------------------------------------------------
 * The real thing
 * ---------------------------------------------------------------------- */

static int accepts(struct beside *me)
{
    about_to_wait(me);
    return stoa_accept(*(int *)me->arg, NULL);
}

/* Take all the descriptors there are; how many of fillers are to be closed again. */
static int fill_table(int fillers[64])
{
    struct rlimit limit = {40, 40};
    int n = 0;

    if (is_simulated()) {
        EXPECT_OK(stoa_sim_descriptors(0, 0));
        return 0;
    }
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (n < 64 && (fillers[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    EXPECT_EQ(errno, EMFILE);
    return n;
}

static void empty_table(const int *fillers, int n)
{
    if (is_simulated())
        EXPECT_OK(stoa_sim_descriptors(0, 1000));
    for (int i = 0; i < n; i++)
        close(fillers[i]);
}

TEST(trap_10_a_client_survives_the_full_table_and_nobody_spins)
{
    ALONE(trap_10_a_client_survives_the_full_table_and_nobody_spins);
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL), fillers[64];
    struct beside b;
    char byte;

    /* What waiting needs is there before the table is full. */
    beside(&b, accepts, &s);
    int d = beside_join(&b);
    EXPECT_OK(stoa_close(c) | stoa_close(d));
    c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_OK(stoa_sleep(0.001));
    beside(&b, accepts, &s);
    until_asleep(&b);

    int n = fill_table(fillers);
    EXPECT_OK(stoa_connect(c, where.c));
    EXPECT_OK(stoa_sendall(c, "x", 1, 0));
    unsigned long before = turns();
    int tried = atomic_load(&ntried);
    double start = now();
    EXPECT_OK(stoa_sleep(0.3));
    EXPECT_LT(turns() - before, turns_in(now() - start));
    EXPECT_LT(atomic_load(&ntried) - tried, 10 + (now() - start) / 0.01);
    EXPECT(!atomic_load(&b.ended));
    empty_table(fillers, n);
    d = beside_join(&b);
    EXPECT_OK(d);
    EXPECT_EQ(stoa_recv(d, &byte, 1, 0), 1);
    EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
}
ON_EVERY_PAIRING(trap_10_a_client_survives_the_full_table_and_nobody_spins)

TEST(trap_10_at_the_full_table_time_still_passes)
{
    ALONE(trap_10_at_the_full_table_time_still_passes);
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL), fillers[64];

    stoa_settimeout(s, 0.15);
    int n = fill_table(fillers);
    double start = now();
    errno = 0;
    EXPECT_EQ(stoa_accept(s, NULL), -1);
    EXPECT_EQ(errno, ETIME);
    EXPECT_GE(now() - start, 0.15);
    stoa_settimeout(s, 0);
    EXPECT_ERR(stoa_accept(s, NULL), EMFILE);
    EXPECT_SAID("descriptor");
    EXPECT_ERR(stoa_socket(AF_INET, SOCK_STREAM, 0), EMFILE);
    EXPECT_ERR(stoa_dup(c), EMFILE);
    EXPECT_ERR(stoa_dial(where.c, NULL), EMFILE);
    int pair[2];
    EXPECT_ERR(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), EMFILE);
    empty_table(fillers, n);
    int d = stoa_accept(s, NULL);
    EXPECT_OK(d);
    EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
}
ON_EVERY_BACKEND(trap_10_at_the_full_table_time_still_passes)

/* The listener is closed while accept waits for a descriptor: that call had begun. */
TEST(trap_10_a_close_at_the_full_table_cancels)
{
    ALONE(trap_10_a_close_at_the_full_table_cancels);
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_socket(AF_INET, SOCK_STREAM, 0), fillers[64];
    struct beside b;

    beside(&b, accepts, &s);
    until_asleep(&b);
    int n = fill_table(fillers);
    EXPECT_OK(stoa_connect(c, where.c));
    EXPECT_OK(stoa_sleep(0.03));
    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECANCELED);
    empty_table(fillers, n);
    EXPECT_OK(stoa_close(c));
}
ON_EVERY_PAIRING(trap_10_a_close_at_the_full_table_cancels)

static void echoes(int conn, void *arg)
{
    char buf[64];

    (void)arg;
    for (ssize_t n; (n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0;)
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
}

static void *serves(void *arg)
{
    struct stoa_options o = {.size = sizeof(o), .count = 100, .workers = 2};

    EXPECT_OK(stoa_serve(arg, echoes, NULL, &o));
    return NULL;
}

/* A hundred clients of a server that has room for a dozen: all are served in the end. */
TEST(trap_10_more_clients_than_descriptors_are_all_served)
{
    ALONE(trap_10_more_clients_than_descriptors_are_all_served);
    struct rlimit limit = {60, 60};
    struct text where;
    int keep = port_keep(&where), c[100], n = 0, served = 0;
    pthread_t thread;
    char buf[4];

    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_EQ(pthread_create(&thread, NULL, serves, where.c), 0);
    for (int begun = 0; served < 100;) {
        int s = n < 24 && begun < 100 ? dial_soon(where.c) : -1;

        if (s >= 0) {
            c[n++] = s;
            begun++;
            EXPECT_OK(stoa_sendall(s, "ping", 4, 0));
            continue;
        }
        /* No more go in: hear the oldest, which makes room. */
        EXPECT_EQ(stoa_recvall(c[0], buf, 4), 4);
        EXPECT_OK(stoa_close(c[0]));
        memmove(c, c + 1, (size_t)--n * sizeof(c[0]));
        served++;
    }
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    close(keep);
}
