/* interrupt.c - signals on plain threads, and the hook that a language binding needs (PEP 475).
 *
 * A timer sends SIGALRM to the process while a call waits.  Without a hook the call
 * goes on with the time that is left; with one it ends with ECANCELED when that says so.
 */
#include "backends.h"
#include "unit/watched.h"

#include <signal.h>
#include <sys/time.h>

static atomic_int handled, hooked, hook_answer, hook_after;

static void count_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&handled, 1);
}

static int hook(void)
{
    if (gettid() != getpid()) /* who drains the peer, say, is not the one to be asked */
        return 0;
    int n = atomic_fetch_add(&hooked, 1) + 1;

    /* Once: a binding's handler raises its exception one time, and must not be asked again. */
    return n == atomic_load(&hook_after) + 1 ? atomic_load(&hook_answer) : 0;
}

/* SIGALRM every so many microseconds, without SA_RESTART. */
static void ticks(int usec)
{
    struct sigaction action = {.sa_handler = count_signal};
    struct itimerval timer = {{0, usec}, {0, usec}};

    sigemptyset(&action.sa_mask);
    EXPECT_EQ(sigaction(SIGALRM, &action, NULL), 0);
    EXPECT_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    atomic_store(&handled, 0);
    atomic_store(&hooked, 0);
}

static void no_ticks(void)
{
    struct itimerval timer = {{0, 0}, {0, 0}};

    EXPECT_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    signal(SIGALRM, SIG_IGN);
}

TEST(without_a_hook_waits_go_on_after_signals)
{
    NOT_SIMULATED("in virtual time no signal comes");
    struct pair p = pair_make();
    char c;

    stoa_settimeout(p.near, 0.1);
    ticks(5000);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_ERR(stoa_recvall(p.near, &c, 1), ETIME);
    EXPECT_ERR(stoa_poll(p.near, POLLIN), ETIME);
    EXPECT_OK(stoa_sleep(0.03));
    no_ticks();
    EXPECT_GT(atomic_load(&handled), 0); /* on a busy machine many are one */
    pair_close(&p);
}
ON_EVERY_BACKEND(without_a_hook_waits_go_on_after_signals)

TEST(a_hook_that_says_0_lets_the_call_go_on)
{
    struct pair p = pair_make();
    char c;

    atomic_store(&hook_answer, 0);
    stoa_oninterrupt(hook);
    stoa_settimeout(p.near, 0.1);
    ticks(5000);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    no_ticks();
    stoa_oninterrupt(NULL);
    EXPECT_GT(atomic_load(&hooked), 0); /* on a busy machine many are one */
    pair_close(&p);
}

enum call { RECV, RECVALL, RECVFROM, POLL, ACCEPT, SEND, SLEEP, CALLS };

static long in_call(enum call call, int s, int listener)
{
    static char zeros[16 << 20]; /* more than any buffers hold */
    char c[4];

    switch (call) {
    case RECV:
        return stoa_recv(s, c, 1, 0);
    case RECVALL:
        return stoa_recvall(s, c, 4);
    case RECVFROM:
        return stoa_recvfrom(s, c, 1, 0, NULL);
    case POLL:
        return stoa_poll(s, POLLIN);
    case ACCEPT:
        return stoa_accept(listener, NULL);
    case SEND:
        return stoa_sendall(s, zeros, sizeof(zeros), 0);
    case SLEEP:
        return stoa_sleep(60);
    default:
        return 0;
    }
}

TEST(a_hook_ends_every_call_that_waits)
{
    struct pair p = pair_make();
    int listener = listener_make(TCP4, NULL);

    atomic_store(&hook_answer, 1);
    atomic_store(&hook_after, 20);
    stoa_oninterrupt(hook);
    for (enum call call = RECV; call < CALLS; call++) {
        ticks(RUNNING_ON_VALGRIND ? 50000 : 2000); /* it looks at all of zeros, each time */
        EXPECT_ERR(in_call(call, p.near, listener), ECANCELED);
        EXPECT_EQ(atomic_load(&hooked), 21);
        no_ticks();
    }
    stoa_oninterrupt(NULL);
    atomic_store(&hook_after, 0);
    EXPECT_OK(stoa_close(listener));
    EXPECT_OK(stoa_abort(p.near) | stoa_close(p.far));
}

/* A listener, of both families where there are two, whose queue is full: nobody who connects
 * gets an answer. */
static struct full full_of_both(void)
{
    int s = stoa_socket(AF_INET6, SOCK_STREAM, 0);

    if (s < 0)
        s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_OK(stoa_bind(s, ":0"));
    return full_of(s);
}

/* Several addresses at once (":port" is this machine by both families) are one call, too. */
TEST(a_hook_ends_a_dial_of_several_addresses)
{
    struct full f = full_of_both();
    const char *to = strrchr(f.where.c, ':');
    struct stoa_scope scope;

    atomic_store(&hook_answer, 1);
    atomic_store(&hook_after, 20);
    stoa_oninterrupt(hook);
    stoa_within(&scope, 3600);
    ticks(2000);
    EXPECT_ERR(stoa_dial(to, NULL), ECANCELED);
    EXPECT_EQ(atomic_load(&hooked), 21);
    no_ticks();
    EXPECT_OK(stoa_leave(&scope));
    stoa_oninterrupt(NULL);
    atomic_store(&hook_after, 0);
    full_close(&f);
}

/* The hook runs on the thread that dials, where a binding's handler may use sockets. */
static int hook_that_talks(void)
{
    static bool inside;
    char c = 0;

    if (inside) /* for a signal in its own sleep */
        return 0;
    inside = true;
    struct pair p = pair_make();
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    EXPECT_OK(stoa_sleep(0.001));
    pair_close(&p);
    inside = false;
    return atomic_fetch_add(&hooked, 1) == 4;
}

TEST(a_hook_may_use_sockets)
{
    struct full f = full_of_both();
    const char *to = strrchr(f.where.c, ':');
    struct pair p = pair_make();
    struct stoa_scope scope;
    char c;

    stoa_within(&scope, 3600);
    stoa_oninterrupt(hook_that_talks);
    ticks(10000);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ECANCELED);
    atomic_store(&hooked, 0);
    EXPECT_ERR(stoa_dial(to, NULL), ECANCELED);
    no_ticks();
    EXPECT_OK(stoa_leave(&scope));
    stoa_oninterrupt(NULL);
    full_close(&f);
    pair_close(&p);
}

static int hook_fd;

static int hook_that_sends(void)
{
    EXPECT_EQ(write(hook_fd, "x", 1), 1);
    return 1;
}

/* The veto holds, and the byte that came in the same moment is there for the next call. */
TEST(what_comes_while_the_hook_says_no_is_not_taken)
{
    int fds[2];
    char c;

    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    int s = stoa_fromfd(fds[0]);
    hook_fd = fds[1];
    stoa_oninterrupt(hook_that_sends);
    ticks(5000);
    EXPECT_ERR(stoa_recv(s, &c, 1, 0), ECANCELED);
    no_ticks();
    stoa_oninterrupt(NULL);
    EXPECT_EQ(stoa_recv(s, &c, 1, MSG_DONTWAIT), 1);
    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(close(fds[1]), 0);
}

/* "what has been moved by then: stoa_done()" */
TEST(a_hook_loses_no_count)
{
    struct pair p = pair_make();
    char buf[8];

    EXPECT_OK(stoa_sendall(p.far, "abc", 3, 0));
    atomic_store(&hook_answer, 1);
    stoa_oninterrupt(hook);
    ticks(10000);
    EXPECT_ERR(stoa_recvall(p.near, buf, 8), ECANCELED);
    no_ticks();
    EXPECT_EQ(stoa_done(), 3);
    stoa_oninterrupt(NULL);
    pair_close(&p);
}

/* Slowly, so that no send(2) takes all. */
static int drain(struct beside *me)
{
    char buf[4096];

    for (ssize_t n; (n = stoa_recv(*(int *)me->arg, buf, sizeof(buf), 0)) > 0;) {
        me->result += n;
        stoa_sleep(0.0005);
    }
    return 0;
}

/* No signal at all: the hook is asked between partial sends, so that Ctrl-C of a
 * binding whose handler ran elsewhere is seen in a long sendall. */
TEST(the_hook_is_asked_between_partial_sends)
{
    struct pair p = pair_of(UNIX_STREAM);
    size_t len = 64 << 20;
    char *big = calloc(1, len);
    struct beside b;

    beside(&b, drain, &p.far);
    atomic_store(&hooked, 0);
    atomic_store(&hook_answer, 1);
    atomic_store(&hook_after, 1);
    stoa_oninterrupt(hook);
    EXPECT_ERR(stoa_sendall(p.near, big, len, 0), ECANCELED);
    size_t done = stoa_done();
    stoa_oninterrupt(NULL);
    atomic_store(&hook_after, 0);
    EXPECT_EQ(atomic_load(&hooked), 2);
    EXPECT_GT(done, 0);
    EXPECT_LT(done, len);
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_EQ(b.result, done);
    free(big);
    pair_close(&p);
}
