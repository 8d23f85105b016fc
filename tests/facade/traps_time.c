/* traps_time.c - traps 1, 2, 4 and 15: clocks that start anew, stretch, lie, or are cut to 0.
 *
 * Each test names its trap's number in the design's list; docs/why/0006-traps.md tells the
 * guard and how each failed when the guard was taken out.
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

/* -------------------------------------------------------------------------
 * 1: the clock of sendall, recvall and sendfile, restarted by every part
 * ---------------------------------------------------------------------- */

/* Reads 4 KiB every 4 ms: SECOND in a second. */
static int reads_slowly(struct beside *me)
{
    char buf[4096];

    while (stoa_recv(*(int *)me->arg, buf, sizeof(buf), 0) > 0)
        stoa_sleep(0.004);
    return 0;
}

static int sends_slowly(struct beside *me)
{
    while (stoa_send(*(int *)me->arg, "x", 1, 0) == 1)
        stoa_sleep(0.004);
    return 0;
}

enum { SECOND = 1 << 20, SECONDS = 16 };
enum how { SENDALL, SENDFILE, RECVALL, IN_SCOPE, HOWS };

static int moves_slowly(enum how how, struct pair *p, char *big, size_t len)
{
    struct stoa_scope scope;
    int fd, r = -1;

    switch (how) {
    case SENDALL:
        return stoa_sendall(p->near, big, len, 0);
    case SENDFILE:
        fd = memfd_create("file", MFD_CLOEXEC);
        EXPECT_EQ(ftruncate(fd, (off_t)len), 0);
        r = (int)stoa_sendfile(p->near, fd, &(off_t){0}, 0);
        close(fd);
        return r;
    case RECVALL:
        return (int)stoa_recvall(p->near, big, len / 4096);
    default:
        stoa_settimeout(p->near, 3600);
        stoa_within(&scope, 0.1);
        r = stoa_sendall(p->near, big, len, 0);
        stoa_leave(&scope);
        return r;
    }
}

/* With 0.1 seconds for it: was it out of time when a part had gone? */
static bool ends_in_its_time(enum how how, char *big, size_t len)
{
    struct pair p = pair_of(UNIX_STREAM);
    struct beside b;

    small_buffers(p.near);
    stoa_settimeout(p.near, 0.1);
    beside(&b, how == RECVALL ? sends_slowly : reads_slowly, &p.far);
    double start = now();
    int r = moves_slowly(how, &p, big, len), error = errno;
    size_t done = stoa_done();
    if (how == IN_SCOPE && r < 0)
        EXPECT_EQ(error, ETIME); /* stoa_leave() has another note */
    else if (r < 0)
        EXPECT(error == ETIME && done < len);
    EXPECT_GE(now() - start, 0.1);
    EXPECT_OK(stoa_close(p.near));
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_OK(stoa_close(p.far));
    return r < 0 && (how == IN_SCOPE || done > 0);
}

/* Who is not let run for so long that the peer has moved all meanwhile did not have to wait, and
 * was in time; a peer who is not, has moved nothing: again, with more to move. */
TEST(trap_1_one_clock_for_all_parts)
{
    char *big = calloc(SECONDS, SECOND);

    for (enum how how = SENDALL; how < HOWS; how++) {
        bool ended = false;

        for (size_t n = 1; n <= SECONDS && !ended; n *= 2)
            ended = ends_in_its_time(how, big, n * SECOND);
        EXPECT(ended);
    }
    free(big);
}
ON_EVERY_PAIRING(trap_1_one_clock_for_all_parts)

/* -------------------------------------------------------------------------
 * 2: signals stretch the timeout
 * ---------------------------------------------------------------------- */

enum { NSIGNAL_MAX = 250 };
static atomic_int nsignal;

static void on_alarm(int signo)
{
    /* With the trap open the wait would never end: the timer stops, the test fails. */
    if (atomic_fetch_add(&nsignal, 1) == NSIGNAL_MAX)
        setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    (void)signo;
}

static long waits(int call, struct pair *p, int listener)
{
    char c;

    switch (call) {
    case 0:
        return stoa_recv(p->near, &c, 1, 0);
    case 1:
        return stoa_accept(listener, NULL);
    case 2:
        return stoa_poll(p->near, POLLIN);
    case 3:
        return stoa_recvall(p->near, &c, 1);
    default:
        return stoa_sleep(0.3) == 0 ? (errno = ETIME, -1) : 0;
    }
}

TEST(trap_2_an_interval_timer_does_not_stretch_a_timeout)
{
    NOT_SIMULATED("in virtual time no signal comes");
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {{0, 20000}, {0, 20000}}; /* 50 Hz */
    struct pair p = pair_make();
    int listener = listener_make(TCP4, NULL);

    EXPECT_EQ(sigaction(SIGALRM, &action, NULL), 0);
    stoa_settimeout(p.near, 0.3);
    stoa_settimeout(listener, 0.3);
    for (int call = 0; call < 5; call++) {
        atomic_store(&nsignal, 0);
        EXPECT_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
        double start = now();
        EXPECT_ERR(waits(call, &p, listener), ETIME);
        EXPECT_GE(now() - start, 0.3);
        EXPECT_EQ(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL), 0);
        /* 15, where the machine is not full; on one that is they become one. */
        EXPECT_GE(atomic_load(&nsignal), 1);
        EXPECT_LT(atomic_load(&nsignal), NSIGNAL_MAX);
    }
    signal(SIGALRM, SIG_IGN);
    EXPECT_OK(stoa_close(listener));
    pair_close(&p);
}
ON_EVERY_BACKEND(trap_2_an_interval_timer_does_not_stretch_a_timeout)

/* -------------------------------------------------------------------------
 * 4: our deadline and the kernel's ETIMEDOUT share a code
 * ---------------------------------------------------------------------- */

static void give_up_soon(int s)
{
    int ms = 50, once = 1;

    EXPECT_OK(stoa_setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)));
    EXPECT_OK(stoa_setsockopt(s, IPPROTO_TCP, TCP_SYNCNT, &once, sizeof(once)));
}

/* A peer that does not read: the kernel's probes of its window are given up after
 * TCP_USER_TIMEOUT (tcp(7)), at the second one, after some 0.4 s. */
TEST(trap_4_the_networks_time_is_ETIMEDOUT_for_send_and_recv)
{
    struct pair p = pair_make();
    size_t len = 16 << 20;
    char *big = calloc(1, len), c;

    small_buffers(p.near);
    small_buffers(p.far);
    give_up_soon(p.near);
    EXPECT_ERR(stoa_sendall(p.near, big, len, 0), ETIMEDOUT);
    EXPECT_GT(stoa_done(), 0);
    EXPECT_LE(stoa_recv(p.near, &c, 1, 0), 0);
    pair_close(&p);

    p = pair_make();
    stoa_settimeout(p.near, 0.05);
    EXPECT_ERR(stoa_sendall(p.near, big, len, 0), ETIME);
    EXPECT_OK(stoa_abort(p.near) | stoa_close(p.far));
    free(big);
}
ON_EVERY_BACKEND(trap_4_the_networks_time_is_ETIMEDOUT_for_send_and_recv)

static int connect_ex_there(struct beside *me)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    give_up_soon(s);
    int error = stoa_connect_ex(s, me->arg);
    EXPECT_OK(stoa_close(s));
    return error;
}

TEST(trap_4_the_networks_time_is_ETIMEDOUT_for_connect)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    struct full f = full_make();
    struct beside b;

    beside(&b, connect_ex_there, f.where.c);
    give_up_soon(s);
    stoa_settimeout(s, 3600);
    EXPECT_ERR(stoa_connect(s, f.where.c), ETIMEDOUT);
    EXPECT_EQ(beside_join(&b), ETIMEDOUT);
    EXPECT_OK(stoa_close(s));
    s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    stoa_settimeout(s, 0.03);
    EXPECT_EQ(stoa_connect_ex(s, f.where.c), ETIME);
    EXPECT_OK(stoa_close(s));
    full_close(&f);
}
ON_EVERY_BACKEND(trap_4_the_networks_time_is_ETIMEDOUT_for_connect)

/* -------------------------------------------------------------------------
 * 15: the very short and the very long
 * ---------------------------------------------------------------------- */

TEST(trap_15_a_timeout_below_a_millisecond_is_neither_0_nor_a_spin)
{
    static const double values[] = {1e-9, 1e-7, 1e-5, 4e-4, 9.99e-4};
    struct pair p = pair_make();
    int listener = listener_make(TCP4, NULL);
    char c;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct stoa_scope scope;
        double start = now();

        stoa_settimeout(p.near, values[i]);
        stoa_settimeout(listener, values[i]);
        EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
        EXPECT_GE(now() - start, values[i] - 1e-9);
        EXPECT_ERR(stoa_accept(listener, NULL), ETIME);
        EXPECT_ERR(stoa_poll(p.near, POLLIN), ETIME);
        stoa_settimeout(p.near, -1);
        stoa_within(&scope, values[i]);
        EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
        EXPECT_ERR(stoa_leave(&scope), ETIME);
    }
    EXPECT_OK(stoa_close(listener));
    pair_close(&p);
}
ON_EVERY_BACKEND(trap_15_a_timeout_below_a_millisecond_is_neither_0_nor_a_spin)

static int answers_soon(struct beside *me)
{
    stoa_sleep(0.01);
    return stoa_sendall(*(int *)me->arg, "x", 1, 0);
}

/* 2^31 ms, 2^32 ms, 2^63 ns: poll(2)'s int and our own sums must hold them. */
TEST(trap_15_a_huge_timeout_does_not_end_at_once)
{
    static const double values[] = {2147483.648, 3e6,   4294967.296, 4294967.3, 2147483648.0,
                                    3e9,         9.2e9, 9.3e9,       1e18,      1e300};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct pair p = pair_make();
        struct stoa_scope scope;
        struct beside b;
        char c;

        beside(&b, answers_soon, &p.far);
        stoa_settimeout(p.near, values[i]);
        EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
        EXPECT_EQ(beside_join(&b), 0);
        stoa_settimeout(p.near, -1);
        beside(&b, answers_soon, &p.far);
        stoa_within(&scope, values[i]);
        EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
        EXPECT_EQ(stoa_leave(&scope), 0);
        EXPECT_EQ(beside_join(&b), 0);
        pair_close(&p);
    }
}
ON_EVERY_PAIRING(trap_15_a_huge_timeout_does_not_end_at_once)

TEST(trap_15_the_listeners_timeout_is_not_the_connections)
{
    struct text where;
    int s = listener_make(TCP4, &where);

    for (int i = 0; i < 3; i++) {
        static const double listeners[] = {5, 0, -1};

        EXPECT_OK(stoa_settimeout(s, listeners[i]));
        int c = stoa_dial(where.c, NULL);
        stoa_settimeout(c, -1);
        /* A non-blocking listener may need a moment before the client is there. */
        int d;
        while ((d = stoa_accept(s, NULL)) < 0 && errno == EAGAIN)
            breathe();
        EXPECT_LT(stoa_gettimeout(d), 0);
        if (!is_simulated())
            EXPECT_EQ(fcntl(stoa_fileno(d), F_GETFL) & O_NONBLOCK, 0);
        EXPECT_OK(stoa_close(c) | stoa_close(d));
    }
    EXPECT_OK(stoa_setdefaulttimeout(1.25));
    int c = stoa_dial(where.c, NULL), d = stoa_accept(s, NULL);
    EXPECT_OK(stoa_setdefaulttimeout(-1));
    EXPECT_EQ(stoa_gettimeout(d), 1.25);
    EXPECT_OK(stoa_close(c) | stoa_close(d) | stoa_close(s));
}
ON_EVERY_BACKEND(trap_15_the_listeners_timeout_is_not_the_connections)

/* Whatever we have opened, a worker's own included, is closed on exec. */
static void all_closed_on_exec(void)
{
    for (int fd = 3; fd < 256; fd++) {
        char path[64], what[128] = "";
        int flags = fcntl(fd, F_GETFD);

        if (flags < 0 || (flags & FD_CLOEXEC))
            continue;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, what, sizeof(what) - 1) > 0 &&
            (strstr(what, "socket:") || strstr(what, "anon_inode")))
            t_fail(__FILE__, __LINE__, "descriptor %d (%s) survives exec", fd, what);
    }
}

TEST(trap_15_every_way_to_get_a_descriptor_is_closed_on_exec)
{
    int pair[2], zero = 0, got = -1;
    size_t n = 1;
    char c;
    int s = stoa_announce("127.0.0.1:0", NULL), d = stoa_dial(self_text(s).c, NULL);
    int e = stoa_accept(s, NULL), f = stoa_dup(e), g = stoa_socket(AF_INET6, SOCK_DGRAM, 0);

    EXPECT_OK(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    EXPECT_EQ(stoa_send_fds(pair[0], "x", 1, &zero, 1), 1);
    EXPECT_EQ(stoa_recv_fds(pair[1], &c, 1, &got, &n), 1);
    EXPECT_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    EXPECT_GE(stoa_resolve("localhost:80", &(struct stoa_addr){.len = 0}, 1), 1);
    all_closed_on_exec();
    close(got);
    EXPECT_OK(stoa_close(s) | stoa_close(d) | stoa_close(e) | stoa_close(f) | stoa_close(g) |
              stoa_close(pair[0]) | stoa_close(pair[1]));
}
ON_EVERY_BACKEND(trap_15_every_way_to_get_a_descriptor_is_closed_on_exec)
