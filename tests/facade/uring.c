/* uring.c - what a ring could get wrong: ends, crowds, children, and a kernel that refuses.
 *
 * In a ring the kernel has a call in its hands, with the open file and the caller's
 * buffer, when a socket is closed or its reader told to stop.  So ends are tested on every
 * pairing of backends here, for the promises are the same on all; docs/why/0007-uring.md
 * says what each is about.
 */
#include "backends.h"
#include "clock.h"
#include "unit/watched.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* -------------------------------------------------------------------------
 * Refused
 * ---------------------------------------------------------------------- */

static bool refused;

/* From the program's start, as in a container: what is probed once must see it. */
__attribute__((constructor)) static void refuse_if_asked(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    if (!getenv("STOA_TEST_REFUSE"))
        return;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    refused = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

static int gives_7(void *arg)
{
    (void)arg;
    return stoa_yield() + 7;
}

TEST(a_kernel_that_refuses_rings_is_served_otherwise)
{
    struct stoa_options o = {.size = sizeof(o), .backend = "uring"};

    setenv("STOA_TEST_REFUSE", "1", 1);
    bool here = alone("a_kernel_that_refuses_rings_is_served_otherwise");
    unsetenv("STOA_TEST_REFUSE");
    if (!here)
        return;
    if (!refused && stoa_run(gives_7, NULL, &o) == 7) {
        SKIP("seccomp is not to be had here");
        return;
    }
    EXPECT_EQ(stoa_run(gives_7, NULL, NULL), 7);
    EXPECT_ERR(stoa_run(gives_7, NULL, &o), EINVAL);
    EXPECT_SAID("io_uring is not available here (");
    EXPECT_SAID(refused ? "(refused by seccomp: EPERM)" : "(");
    setenv("STOA_BACKEND", "uring", 1);
    EXPECT_ERR(stoa_run(gives_7, NULL, NULL), EINVAL);
    EXPECT_SAID("seccomp");
}

/* -------------------------------------------------------------------------
 * Ends
 * ---------------------------------------------------------------------- */

/* For what only fibers do, where the second activity is a worker of its own. */
#define WITH_A_WORKER(name)                                                                        \
    T_CASE(name, name##_epoll_worker, #name "/epoll+worker", run_epoll_worker)                     \
    T_CASE(name, name##_uring_worker, #name "/uring+worker", run_uring_worker)                     \
    T_CASE(name, name##_uring_epoll, #name "/uring+epoll", run_uring_epoll)                        \
    T_CASE(name, name##_epoll_uring, #name "/epoll+uring", run_epoll_uring)

static int accepts(struct beside *me)
{
    about_to_wait(me);
    return stoa_accept(*(int *)me->arg, NULL);
}

/* A listener that a fiber waits on, here or elsewhere, has its address until it is closed. */
FIBER_TEST(the_address_is_free_when_close_returns)
{
    for (int i = 0; i < 20; i++) {
        struct text where;
        struct beside b;
        int keep = port_keep(&where), listener = stoa_announce(where.c, NULL);
        int again = stoa_socket(AF_INET, SOCK_STREAM, 0);

        beside(&b, accepts, &listener);
        until_asleep(&b);
        EXPECT_OK(close_surely(listener));
        EXPECT_OK(stoa_bind(again, where.c));
        EXPECT_OK(stoa_listen(again, 1));
        EXPECT_OK(stoa_close(again));
        EXPECT_EQ(beside_join(&b), -1);
        EXPECT_EQ(b.error, ECANCELED);
        close(keep);
    }
}
WITH_A_WORKER(the_address_is_free_when_close_returns)

static int receives(struct beside *me)
{
    static char c;

    about_to_wait(me);
    return (int)stoa_recv(*(int *)me->arg, &c, 1, 0);
}

/* From stoa_detach() on the descriptor is the caller's: no reader of ours takes its bytes. */
TEST(a_detached_descriptor_is_read_by_nobody_else)
{
    struct pair p = pair_make();
    struct beside b;
    char c = 0;

    beside(&b, receives, &p.near);
    until_asleep(&b);
    int fd = stoa_detach(p.near);
    EXPECT_OK(fd);
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECANCELED);
    p.near = stoa_fromfd(fd);
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    EXPECT_EQ(c, 'x');
    pair_close(&p);
}
ON_EVERY_PAIRING(a_detached_descriptor_is_read_by_nobody_else)

/* The home of a socket, and code in it that blocks: it waits for who closes the socket. */
struct busy {
    pthread_mutex_t lock;
    struct pair p; /* made there */
    int rc;
    int error;
    atomic_bool waits;
    atomic_bool blocks;
};

static int waits_at_home(void *arg)
{
    struct busy *busy = arg;
    char c;

    atomic_store(&busy->waits, true);
    busy->rc = (int)stoa_recv(busy->p.near, &c, 1, 0);
    busy->error = errno;
    return 0;
}

static int blocks_the_home(struct beside *me)
{
    struct busy *busy = me->arg;
    struct stoa_group *g = stoa_group_open();

    busy->p = pair_make();
    EXPECT_OK(stoa_go(g, waits_at_home, busy));
    while (!atomic_load(&busy->waits))
        stoa_yield();
    stoa_sleep(0.001);
    atomic_store(&busy->blocks, true);
    pthread_mutex_lock(&busy->lock);
    pthread_mutex_unlock(&busy->lock);
    EXPECT_OK(stoa_group_join(g));
    return 0;
}

static void close_returns_though_the_home_waits_for_us(void)
{
    struct busy busy = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct pair *p = &busy.p;
    struct beside b;
    char c;

    EXPECT_EQ(pthread_mutex_lock(&busy.lock), 0);
    beside(&b, blocks_the_home, &busy);
    while (!atomic_load(&busy.blocks))
        breathe();
    EXPECT_OK(stoa_close(p->near));
    EXPECT_ERR(stoa_recv(p->near, &c, 1, 0), EBADF);
    EXPECT_EQ(pthread_mutex_unlock(&busy.lock), 0);
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_EQ(busy.rc, -1);
    EXPECT_EQ(busy.error, ECANCELED);
    EXPECT_EQ(stoa_recv(p->far, &c, 1, 0), 0);
    p->near = -1;
    pair_close(p);
}
WITH_A_WORKER(close_returns_though_the_home_waits_for_us)

/* Two workers that close each other's sockets in the same moment: each waits for the other's turn
 * and is to serve it meanwhile.  The clock stands, so that nobody gives up: one that does not
 * serve the other stands for ever, too. */
enum { CROSSES = 20, ROUNDS = 20 };

struct cross {
    pthread_barrier_t barrier;
    int s[2][CROSSES]; /* read by one, closed by the other */
};

static int reads_to_the_end(void *arg)
{
    char c;

    return stoa_recv((int)(intptr_t)arg, &c, 1, 0) < 0 && errno == ECANCELED ? 0 : -1;
}

/* The barrier blocks the worker, so its readers are given their turn before. */
static int close_the_others(struct cross *x, int me)
{
    struct stoa_group *g = stoa_group_open();

    for (int i = 0; i < CROSSES; i++)
        EXPECT_OK(stoa_go(g, reads_to_the_end, (void *)(intptr_t)x->s[me][i]));
    stoa_sleep(0.005);
    pthread_barrier_wait(&x->barrier);
    if (me == 0)
        clock_stop();
    pthread_barrier_wait(&x->barrier);
    for (int i = 0; i < CROSSES; i++)
        EXPECT_OK(stoa_close(x->s[1 - me][i]));
    return stoa_group_join(g);
}

static int closes_crosswise(struct beside *me)
{
    return close_the_others(me->arg, 1);
}

static void crosswise(void)
{
    struct cross x;
    struct pair p[2][CROSSES];
    struct beside b;

    pthread_barrier_init(&x.barrier, NULL, 2);
    for (int i = 0; i < 2 * CROSSES; i++) {
        EXPECT_OK(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)&p[i % 2][i / 2]));
        x.s[i % 2][i / 2] = p[i % 2][i / 2].near;
    }
    beside(&b, closes_crosswise, &x);
    EXPECT_OK(close_the_others(&x, 0));
    EXPECT_OK(beside_join(&b));
    clock_go_on();
    for (int i = 0; i < 2 * CROSSES; i++)
        EXPECT_OK(stoa_close(p[i % 2][i / 2].far));
    pthread_barrier_destroy(&x.barrier);
}

static void two_workers_close_each_others_sockets(void)
{
    for (int i = 0; i < ROUNDS; i++)
        crosswise();
}
WITH_A_WORKER(two_workers_close_each_others_sockets)

/* -------------------------------------------------------------------------
 * Crowds: more at once than a ring has entries, or room for answers
 * ---------------------------------------------------------------------- */

enum { READERS = 40 };

struct reader {
    int s;
    char c;
};

static int reads_one(void *arg)
{
    struct reader *r = arg;

    return stoa_recv(r->s, &r->c, 1, 0) == 1 ? 0 : -1;
}

/* "Operations of one direction of a socket are served in the order they came" (backend.h). */
FIBER_TEST(readers_are_served_in_their_order)
{
    struct reader r[READERS];

    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct stoa_group *g = stoa_group_open();

        for (int i = 0; i < READERS; i++) {
            r[i] = (struct reader){.s = p.near};
            EXPECT_OK(stoa_go(g, reads_one, &r[i]));
        }
        stoa_sleep(0.001);
        for (int i = 0; i < READERS; i++) {
            char c = (char)i;
            EXPECT_OK(stoa_sendall(p.far, &c, 1, 0));
            if (i % 5 == 0)
                stoa_sleep(0.0005);
        }
        EXPECT_OK(stoa_group_join(g));
        for (int i = 0; i < READERS; i++)
            EXPECT_EQ(r[i].c, i);
        pair_close(&p);
    }
}

/* O_NONBLOCK belongs to whoever has the file: a ring does not wait then, so others must. */
FIBER_TEST(a_reader_waits_though_others_have_set_the_flag)
{
    NOT_SIMULATED("there is no O_NONBLOCK to set");
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();
    struct reader r = {.s = p.near};
    int fd = stoa_fileno(p.near);

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    EXPECT_OK(stoa_go(g, reads_one, &r));
    stoa_sleep(0.001);
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_OK(stoa_group_join(g));
    EXPECT_EQ(r.c, 'x');
    pair_close(&p);
}

/* MSG_WAITALL has a meaning for a ring's send that send(2) does not know: ours is send(2)'s. */
static int does_nothing(void *arg)
{
    return arg ? -1 : 0;
}

FIBER_TEST(a_send_takes_what_there_is_room_for)
{
    const size_t len = 32 << 20;
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();
    char *big = calloc(1, len);

    EXPECT_OK(stoa_go(g, does_nothing, NULL)); /* then the send is not alone in its turn */
    ssize_t n = stoa_send(p.near, big, len, MSG_WAITALL);
    EXPECT_GT(n, 0);
    EXPECT_LT(n, (ssize_t)len);
    EXPECT_OK(stoa_group_join(g));
    EXPECT_OK(stoa_abort(p.near) | stoa_close(p.far));
    free(big);
}

enum { CROWD = 12000, CROWD_WATCHED = 2000 };

static int crowd(void)
{
    return watched() ? CROWD_WATCHED : CROWD;
}

static int polls(void *arg)
{
    return stoa_poll((int)(intptr_t)arg, POLLIN) == POLLIN ? 0 : -1;
}

FIBER_TEST(one_byte_wakes_twelve_thousand)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    for (int i = 0; i < crowd(); i++)
        EXPECT_OK(stoa_go(g, polls, (void *)(intptr_t)p.near));
    stoa_sleep(0.01);
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
}

static int is_cancelled(void *arg)
{
    return stoa_poll((int)(intptr_t)arg, POLLIN) < 0 && errno == ECANCELED ? 0 : -1;
}

FIBER_TEST(twelve_thousand_are_cancelled_at_once)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    for (int i = 0; i < crowd(); i++)
        EXPECT_OK(stoa_go(g, is_cancelled, (void *)(intptr_t)p.near));
    stoa_sleep(0.01);
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
}

FIBER_TEST(a_close_ends_the_waits_of_twelve_thousand)
{
    struct pair p = pair_make();
    struct stoa_group *g = stoa_group_open();

    for (int i = 0; i < crowd(); i++)
        EXPECT_OK(stoa_go(g, is_cancelled, (void *)(intptr_t)p.near));
    stoa_sleep(0.01);
    EXPECT_OK(stoa_close(p.near));
    EXPECT_OK(stoa_group_join(g));
    EXPECT_OK(stoa_close(p.far));
}

/* -------------------------------------------------------------------------
 * Children
 * ---------------------------------------------------------------------- */

/* A child has its parent's descriptors, not its ring: there it is a plain thread. */
static int child(int s)
{
    char c;
    int ok = stoa_send(s, "c", 1, 0) == 1 && stoa_recv(s, &c, 1, 0) == 1 && c == 'd';

    return stoa_close(s) == 0 && ok ? 0 : 1;
}

static int waits_for_a_byte(void *arg)
{
    char c = 0;

    return stoa_recv((int)(intptr_t)arg, &c, 1, 0) == 1 && c == 'y' ? 0 : -1;
}

static int reaps(void *arg)
{
    int status = -1;

    return waitpid(*(pid_t *)arg, &status, 0) < 0 ? -1 : status;
}

static void a_child_does_not_touch_its_parents_ring(void)
{
    struct pair p = pair_make(), q = pair_make();
    struct stoa_group *g = stoa_group_open();
    char c = 0;

    EXPECT_OK(stoa_go(g, waits_for_a_byte, (void *)(intptr_t)q.near));
    stoa_sleep(0.001);
    pid_t pid = fork();
    if (pid == 0)
        _exit(child(p.near));
    EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 1);
    EXPECT_EQ(c, 'c');
    EXPECT_OK(stoa_sendall(p.far, "d", 1, 0));
    EXPECT_EQ(stoa_offload(reaps, &pid), 0);
    EXPECT_OK(stoa_sendall(q.far, "y", 1, 0));
    EXPECT_OK(stoa_group_join(g));
    pair_close(&p);
    pair_close(&q);
}
T_CASE(a_child_does_not_touch_its_parents_ring, child_epoll,
       "a_child_does_not_touch_its_parents_ring/epoll", run_epoll)
T_CASE(a_child_does_not_touch_its_parents_ring, child_uring,
       "a_child_does_not_touch_its_parents_ring/uring", run_uring)
