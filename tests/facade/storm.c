/* storm.c - many threads, workers and fibers on the same handles, ended at any moment.
 *
 * The great danger (trap 5): a call that was begun on one connection ends on another, because
 * a descriptor's number was given out again.  So every byte carries its connection's
 * number, and whoever reads another's number has found the trap.  Run under TSan and ASan
 * too: there the interleavings are others.
 *
 * Chance comes from a seed that is printed when a storm fails: STOA_SEED=n repeats the
 * same choices, if not the same interleaving.
 */
#include "backends.h"

#include <netinet/in.h>
#include <sys/syscall.h>
#include <time.h>

enum { STORM_MS = 700 };

static atomic_bool over;
static atomic_long crossed, moved, ended;

static unsigned seed_value;

__attribute__((constructor)) static void seed_choose(void)
{
    const char *text = getenv("STOA_SEED");

    seed_value = text ? (unsigned)atoi(text) : (unsigned)getpid() * 2654435761u | 1;
}

static unsigned seed(void)
{
    return seed_value;
}

/* xorshift32, Marsaglia 2003. */
static unsigned chance(unsigned *state, unsigned n)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % n;
}

/* Between the library's look whether the socket is alive and the kernel's call there is a moment in
 * which another thread may close it.  These stand in front of the C library's for all of
 * this program, and make that moment long, now and then. */
static void dawdle(void)
{
    static _Thread_local unsigned state;
    const struct timespec moment = {.tv_nsec = 50 * 1000};

    if (!state)
        state = seed() + (unsigned)(uintptr_t)&state;
    if (chance(&state, 64) == 0)
        nanosleep(&moment, NULL);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    dawdle();
    return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    dawdle();
    return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

/* -------------------------------------------------------------------------
 * Connections that are closed and reopened under their users
 * ---------------------------------------------------------------------- */

enum { SLOTS = 8, IDS = 251 };

/* The connections of the moment.  A user may read a handle here and use it much later. */
static _Atomic int near_of[SLOTS], far_of[SLOTS];
static _Atomic int id_of[SLOTS];

static void slot_open(int slot, unsigned char id)
{
    int pair[2];

    if (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) {
        t_fail(__FILE__, __LINE__, "socketpair: %s", stoa_errmsg());
        return;
    }
    atomic_store(&id_of[slot], -1);
    atomic_store(&near_of[slot], pair[0]);
    atomic_store(&far_of[slot], pair[1]);
    atomic_store(&id_of[slot], id);
}

/* Reads from whatever is in a slot; all the bytes one call gives must be of one id, and if
 * the slot did not change meanwhile, of that one. */
static void read_once(int slot, unsigned *state)
{
    unsigned char buf[64];
    int id = atomic_load(&id_of[slot]), s = atomic_load(&near_of[slot]);
    bool same = atomic_load(&id_of[slot]) == id && id >= 0;
    ssize_t n;

    switch (chance(state, 4)) {
    case 0:
        n = stoa_recvall(s, buf, 8);
        break;
    case 1:
        n = stoa_poll(s, POLLIN) < 0 ? -1 : stoa_recv(s, buf, sizeof(buf), MSG_DONTWAIT);
        break;
    default:
        n = stoa_recv(s, buf, sizeof(buf), 0);
    }
    for (ssize_t i = 0; i < n; i++)
        if (buf[i] != buf[0] || (same && buf[i] != id))
            atomic_fetch_add(&crossed, 1);
    if (n > 0)
        atomic_fetch_add(&moved, n);
    else if (n < 0 && errno != ECANCELED && errno != EBADF && errno != ECONNRESET &&
             errno != ETIME && errno != EAGAIN)
        t_fail(__FILE__, __LINE__, "errno %d: %s", errno, stoa_errmsg());
}

/* The handle is read between two looks at the id, so the bytes are the connection's own. */
static void write_once(int slot, unsigned *state)
{
    unsigned char buf[64];
    int id = atomic_load(&id_of[slot]), s = atomic_load(&far_of[slot]);

    if (id < 0 || atomic_load(&id_of[slot]) != id)
        return;
    memset(buf, id, sizeof(buf));
    if (stoa_sendall(s, buf, 1 + chance(state, sizeof(buf)), 0) < 0 && errno != ECANCELED &&
        errno != EBADF && errno != EPIPE && errno != ECONNRESET && errno != ETIME)
        t_fail(__FILE__, __LINE__, "errno %d: %s", errno, stoa_errmsg());
}

static void close_once(int slot, unsigned *state, unsigned char id)
{
    int near = atomic_load(&near_of[slot]), far = atomic_load(&far_of[slot]);

    if (chance(state, 2))
        stoa_close(near);
    else
        stoa_abort(near);
    if (chance(state, 4) == 0)
        stoa_yield();
    stoa_close(far);
    slot_open(slot, id);
}

struct user {
    unsigned state;
    enum { READS, WRITES, CLOSES } does;
    int slot; /* CLOSES: its own one, the others take any */
};

static void uses(struct user *me)
{
    for (unsigned id = 0; !atomic_load(&over); id++) {
        int slot = (int)chance(&me->state, SLOTS);

        if (me->does == READS)
            read_once(slot, &me->state);
        else if (me->does == WRITES)
            write_once(slot, &me->state);
        else
            close_once(me->slot, &me->state,
                       (unsigned char)(id * SLOTS + (unsigned)me->slot) % IDS);
        if (me->does == CLOSES)
            stoa_sleep(chance(&me->state, 8) * 0.0002);
        else if (chance(&me->state, 16) == 0)
            stoa_yield();
    }
    atomic_fetch_add(&ended, 1);
}

static int user_fiber(void *arg)
{
    uses(arg);
    return 0;
}

static void *user_thread(void *arg)
{
    uses(arg);
    return NULL;
}

static struct user users[64];

/* A worker of some fibers: readers, writers and closers. */
static int worker(void *arg)
{
    int first = (int)(intptr_t)arg;
    struct stoa_group *g = stoa_group_open();

    for (int i = first; i < first + 16; i++)
        EXPECT_OK(stoa_go(g, user_fiber, &users[i]));
    return stoa_group_join(g);
}

static void *worker_thread(void *arg)
{
    EXPECT_EQ(stoa_run(worker, arg, NULL), 0);
    return NULL;
}

/* Until the storm's time is over; then whoever still waits is woken by the last closes. */
static void let_it_blow(void)
{
    double start = now();

    while (now() - start < STORM_MS / 1000.0)
        stoa_sleep(0.01);
    atomic_store(&over, true);
}

static void wake_the_last(long all)
{
    while (atomic_load(&ended) < all) {
        for (int i = 0; i < SLOTS; i++) {
            stoa_abort(atomic_load(&near_of[i]));
            stoa_abort(atomic_load(&far_of[i]));
        }
        stoa_sleep(0.001);
    }
}

/* Two workers of 16 fibers each and 8 plain threads over 8 connections. */
TEST(no_byte_crosses_in_a_storm_of_closes)
{
    pthread_t threads[10];
    enum { ALL = 40 };

    atomic_store(&over, false);
    atomic_store(&crossed, 0);
    atomic_store(&moved, 0);
    atomic_store(&ended, 0);
    for (int i = 0; i < SLOTS; i++)
        slot_open(i, (unsigned char)i);
    for (int i = 0; i < ALL; i++)
        users[i] = (struct user){
            .state = seed() + (unsigned)i * 7919u,
            .does = i % 5 == 0  ? CLOSES
                    : i % 5 < 3 ? READS
                                : WRITES,
            .slot = i / 5,
        };
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, worker_thread, (void *)(intptr_t)(i * 16)), 0);
    for (int i = 2; i < 10; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, user_thread, &users[30 + i]), 0);
    let_it_blow();
    wake_the_last(ALL);
    for (int i = 0; i < 10; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < SLOTS; i++) {
        stoa_close(atomic_load(&near_of[i]));
        stoa_close(atomic_load(&far_of[i]));
    }
    EXPECT_EQ(atomic_load(&crossed), 0);
    EXPECT_GT(atomic_load(&moved), 0);
    if (atomic_load(&t_failed))
        printf("# STOA_SEED=%u\n", seed());
}

/* -------------------------------------------------------------------------
 * Fibers that are cancelled at any moment
 * ---------------------------------------------------------------------- */

struct stream {
    int s;
    unsigned char next; /* both ends count the bytes: nothing lost, nothing twice */
    bool cut;
};

/* Sends a count, goes on where it was cancelled by what stoa_done() says. */
static int sends_counting(void *arg)
{
    struct stream *me = arg;
    unsigned char buf[3000];

    for (;;) {
        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = (unsigned char)(me->next + i);
        if (stoa_sendall(me->s, buf, sizeof(buf), 0) == 0) {
            me->next = (unsigned char)(me->next + sizeof(buf));
            continue;
        }
        me->next = (unsigned char)(me->next + stoa_done());
        return errno == ECANCELED ? 0 : -1;
    }
}

static int recvs_counting(void *arg)
{
    struct stream *me = arg;
    unsigned char buf[3000];
    ssize_t n;

    while ((n = stoa_recv(me->s, buf, sizeof(buf), 0)) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != me->next++)
                atomic_fetch_add(&crossed, 1);
    return n == 0 || errno == ECANCELED ? 0 : -1;
}

static int recvs_all_counting(void *arg)
{
    struct stream *me = arg;
    unsigned char buf[1000];

    for (;;) {
        ssize_t n = stoa_recvall(me->s, buf, sizeof(buf));
        size_t got = n < 0 ? stoa_done() : (size_t)n;

        for (size_t i = 0; i < got; i++)
            if (buf[i] != me->next++)
                atomic_fetch_add(&crossed, 1);
        if (n < (ssize_t)sizeof(buf))
            return n >= 0 || errno == ECANCELED ? 0 : -1;
    }
}

FIBER_TEST(nothing_is_lost_when_fibers_are_cancelled_at_any_moment)
{
    unsigned state = seed();

    atomic_store(&crossed, 0);
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct stream out = {.s = p.near}, in = {.s = p.far};

        for (int round = 0; round < 150; round++) {
            struct stoa_group *senders = stoa_group_open(), *readers = stoa_group_open();

            EXPECT_OK(stoa_go(senders, sends_counting, &out));
            EXPECT_OK(stoa_go(readers, round % 2 ? recvs_counting : recvs_all_counting, &in));
            for (unsigned i = chance(&state, 6); i > 0; i--)
                stoa_yield();
            if (chance(&state, 8) == 0)
                stoa_sleep(0.0005);
            if (chance(&state, 2))
                stoa_group_cancel(readers);
            stoa_group_cancel(senders);
            EXPECT_OK(stoa_group_join(senders));
            stoa_group_cancel(readers);
            EXPECT_OK(stoa_group_join(readers));
        }
        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_EQ(recvs_counting(&in), 0);
        EXPECT_EQ(in.next, out.next);
        pair_close(&p);
    }
    EXPECT_EQ(atomic_load(&crossed), 0);
    if (atomic_load(&t_failed))
        printf("# STOA_SEED=%u\n", seed());
}

/* The same with times that end at any moment instead, from two threads. */
static int sends_in_short_times(struct beside *me)
{
    struct stream *out = me->arg;
    unsigned state = seed() ^ 0x5555;

    for (int i = 0; i < 400; i++) {
        struct stoa_scope scope;
        unsigned char buf[20000];
        size_t len = 1 + chance(&state, sizeof(buf));

        for (size_t at = 0; at < len; at++)
            buf[at] = (unsigned char)(out->next + at);
        stoa_within(&scope, chance(&state, 500) * 1e-6);
        int r = stoa_sendall(out->s, buf, len, 0);
        size_t done = r == 0 ? len : stoa_done();
        stoa_leave(&scope);
        out->next = (unsigned char)(out->next + done);
    }
    return stoa_shutdown(out->s, SHUT_WR);
}

TEST(nothing_is_lost_when_time_ends_at_any_moment)
{
    atomic_store(&crossed, 0);
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct stream out = {.s = p.near}, in = {.s = p.far};
        unsigned char buf[5000];
        struct beside b;
        ssize_t n;

        beside(&b, sends_in_short_times, &out);
        stoa_settimeout(p.far, 0.0003);
        while ((n = stoa_recvall(p.far, buf, sizeof(buf))) == (ssize_t)sizeof(buf) ||
               (n < 0 && errno == ETIME)) {
            size_t got = n < 0 ? stoa_done() : (size_t)n;
            for (size_t i = 0; i < got; i++)
                if (buf[i] != in.next++)
                    atomic_fetch_add(&crossed, 1);
        }
        EXPECT_GE(n, 0);
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != in.next++)
                atomic_fetch_add(&crossed, 1);
        EXPECT_EQ(beside_join(&b), 0);
        EXPECT_EQ(in.next, out.next);
        pair_close(&p);
    }
    EXPECT_EQ(atomic_load(&crossed), 0);
    if (atomic_load(&t_failed))
        printf("# STOA_SEED=%u\n", seed());
}
ON_EVERY_PAIRING(nothing_is_lost_when_time_ends_at_any_moment)

/* -------------------------------------------------------------------------
 * One handle, many workers
 * ---------------------------------------------------------------------- */

static int shared_handle;
static atomic_long sum_read;

static int shared_reader(void *arg)
{
    unsigned char buf[256];
    ssize_t n;

    (void)arg;
    while ((n = stoa_recv(shared_handle, buf, sizeof(buf), 0)) > 0)
        for (ssize_t i = 0; i < n; i++)
            atomic_fetch_add(&sum_read, buf[i]);
    return (int)n;
}

static int shared_readers(void *arg)
{
    struct stoa_group *g = stoa_group_open();

    (void)arg;
    for (int i = 0; i < 20; i++)
        EXPECT_OK(stoa_go(g, shared_reader, NULL));
    return stoa_group_join(g);
}

static void *shared_worker(void *arg)
{
    EXPECT_EQ(stoa_run(shared_readers, arg, NULL), 0);
    return NULL;
}

static void *shared_thread(void *arg)
{
    EXPECT_EQ(shared_reader(arg), 0);
    return NULL;
}

/* Sixty fibers on three workers and two threads read one stream: each byte once, and all of
 * them hear of its end. */
TEST(one_stream_read_by_three_workers_and_two_threads)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        pthread_t threads[5];
        long sum = 0;

        shared_handle = p.near;
        atomic_store(&sum_read, 0);
        for (int i = 0; i < 5; i++)
            EXPECT_EQ(
                pthread_create(&threads[i], NULL, i < 3 ? shared_worker : shared_thread, NULL), 0);
        for (int i = 0; i < 5000; i++) {
            unsigned char part[50];

            memset(part, i, sizeof(part));
            sum += (long)sizeof(part) * (i & 255);
            EXPECT_OK(stoa_sendall(p.far, part, sizeof(part), 0));
        }
        EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
        for (int i = 0; i < 5; i++)
            EXPECT_EQ(pthread_join(threads[i], NULL), 0);
        EXPECT_EQ(atomic_load(&sum_read), sum);
        pair_close(&p);
    }
}

/* -------------------------------------------------------------------------
 * Serving in a storm
 * ---------------------------------------------------------------------- */

static void echoes(int conn, void *arg)
{
    char buf[512];

    atomic_fetch_add((atomic_long *)arg, 1);
    for (ssize_t n; (n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0;)
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
}

struct served {
    struct text where;
    atomic_long seen;
    int rc;
};

static void *serves(void *arg)
{
    struct served *me = arg;
    struct stoa_options o = {.size = sizeof(o), .workers = 3, .drain = 60};

    me->rc = stoa_serve(me->where.c, echoes, &me->seen, &o);
    return NULL;
}

static atomic_long wrong_answers;

/* A client: some rounds, then it leaves in one of five ways. */
static int client(void *arg)
{
    struct served *server = arg;
    static atomic_uint number;
    unsigned state = seed() + atomic_fetch_add(&number, 1) * 40503u;
    unsigned char id = (unsigned char)chance(&state, 256), out[300], in[300];

    int s = stoa_dial(server->where.c, NULL);
    if (s < 0)
        return atomic_load(&over) || errno == ECONNRESET ? 0 : -1;
    memset(out, id, sizeof(out));
    for (unsigned round = chance(&state, 5); round > 0; round--) {
        size_t len = 1 + chance(&state, sizeof(out));

        if (stoa_sendall(s, out, len, 0) < 0 || stoa_recvall(s, in, len) != (ssize_t)len ||
            memcmp(in, out, len) != 0)
            atomic_fetch_add(&wrong_answers, 1);
    }
    switch (chance(&state, 4)) {
    case 0:
        stoa_sendall(s, out, 100, 0); /* in the middle of a message */
        return stoa_abort(s);
    case 1:
        return stoa_abort(s);
    case 2:
        stoa_shutdown(s, SHUT_WR);
        return stoa_close(s);
    default:
        return stoa_close(s);
    }
}

static int clients(void *arg)
{
    for (int wave = 0; wave < 12; wave++) {
        struct stoa_group *g = stoa_group_open();

        for (int i = 0; i < 40; i++)
            EXPECT_OK(stoa_go(g, client, arg));
        EXPECT_OK(stoa_group_join(g));
    }
    return 0;
}

static void *clients_thread(void *arg)
{
    EXPECT_EQ(stoa_run(clients, arg, NULL), 0);
    return NULL;
}

TEST(a_server_in_a_storm_of_clients)
{
    ALONE(a_server_in_a_storm_of_clients);
    struct served server = {.rc = -1};
    int keep = port_keep(&server.where);
    pthread_t thread, crowd[2];

    EXPECT_EQ(pthread_create(&thread, NULL, serves, &server), 0);
    EXPECT_OK(stoa_close(dial_soon(server.where.c)));
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&crowd[i], NULL, clients_thread, &server), 0);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_join(crowd[i], NULL), 0);
    EXPECT_OK(stoa_stop());
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(server.rc, 0);
    EXPECT_EQ(atomic_load(&wrong_answers), 0);
    /* A client that resets in the queue may be passed over, no more than those. */
    EXPECT_GT(atomic_load(&server.seen), 400);
    EXPECT_LE(atomic_load(&server.seen), 961);
    close(keep);
    if (atomic_load(&t_failed))
        printf("# STOA_SEED=%u\n", seed());
}
