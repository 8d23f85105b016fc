/* traps_bytes.c - traps 3 and 8: bytes that nobody counts, and those a cancelled call has taken.
 *
 * "At every byte" needs a network of our own; here the kernel's buffers decide where a call
 * is cut, and many rounds with growing amounts make the cuts fall everywhere.
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

/* -------------------------------------------------------------------------
 * 3: an error after a partial send is swallowed, or its count lost
 * ---------------------------------------------------------------------- */

static size_t read_to_the_end(int s)
{
    size_t sum = 0;
    char buf[8192];

    for (ssize_t n; (n = stoa_recv(s, buf, sizeof(buf), 0)) > 0;)
        sum += (size_t)n;
    return sum;
}

struct sending {
    int s;
    enum { BY_SENDALL, BY_SENDFILE, BY_FILE } how;
};

static long send_a_lot(const struct sending *what)
{
    const size_t len = 8 << 20;
    char *big = calloc(1, len);
    long r;

    if (what->how == BY_SENDALL) {
        r = stoa_sendall(what->s, big, len, 0);
    } else {
        int fd = memfd_create("file", MFD_CLOEXEC);
        EXPECT_EQ(ftruncate(fd, (off_t)len), 0);
        r = stoa_sendfile(what->s, fd, &(off_t){0}, 0);
        int error = errno;
        close(fd);
        errno = error;
    }
    int error = errno;
    free(big);
    errno = error;
    return r;
}

TEST(trap_3_done_is_what_the_peer_reads_when_time_is_over)
{
    EACH_STREAM (k)
        for (unsigned how = BY_SENDALL; how <= BY_SENDFILE; how++) {
            struct pair p = pair_of(k);
            struct sending what = {.s = p.near, .how = how};

            stoa_settimeout(p.near, 0.03);
            EXPECT_ERR(send_a_lot(&what), ETIME);
            size_t done = stoa_done();
            EXPECT_GT(done, 0);
            EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
            EXPECT_EQ(read_to_the_end(p.far), done);
            pair_close(&p);
        }
}
ON_EVERY_BACKEND(trap_3_done_is_what_the_peer_reads_when_time_is_over)

static int sends_a_lot(struct beside *me)
{
    about_to_wait(me);
    long r = send_a_lot(me->arg);
    int error = errno;
    me->result = (long)stoa_done();
    errno = error;
    return (int)r;
}

/* The handle is closed under the sender: what went is delivered, and counted. */
TEST(trap_3_done_is_what_the_peer_reads_when_the_socket_is_closed)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct sending what = {.s = p.near, .how = BY_SENDALL};
        struct beside b;

        beside(&b, sends_a_lot, &what);
        until_asleep(&b);
        EXPECT_OK(stoa_poll(p.far, POLLIN)); /* some has gone */
        EXPECT_OK(stoa_close(p.near));
        EXPECT_EQ(beside_join(&b), -1);
        EXPECT_EQ(b.error, ECANCELED);
        EXPECT_GT(b.result, 0);
        EXPECT_EQ(read_to_the_end(p.far), b.result);
        EXPECT_OK(stoa_close(p.far));
    }
}
ON_EVERY_PAIRING(trap_3_done_is_what_the_peer_reads_when_the_socket_is_closed)

static int sends_until_cancelled(void *arg)
{
    struct beside *me = arg;

    EXPECT_ERR(send_a_lot(me->arg), ECANCELED);
    me->result = (long)stoa_done();
    return 0;
}

/* Cancelled after 0, 1, 2 ... parts have been read: the connection stays usable, and the next
 * byte is the one after those counted. */
FIBER_TEST(trap_3_done_is_what_the_peer_reads_when_cancelled)
{
    for (int parts = 0; parts < 30; parts++) {
        struct pair p = pair_of(parts % 2 ? UNIX_STREAM : TCP4);
        struct sending what = {.s = p.near, .how = parts % 3 ? BY_SENDALL : BY_SENDFILE};
        struct beside me = {.arg = &what};
        struct stoa_group *g = stoa_group_open();
        char buf[7000];
        size_t got = 0;

        EXPECT_OK(stoa_go(g, sends_until_cancelled, &me));
        stoa_yield();
        for (int i = 0; i < parts; i++)
            got += (size_t)stoa_recv(p.far, buf, sizeof(buf), 0);
        stoa_group_cancel(g);
        EXPECT_OK(stoa_group_join(g));
        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_EQ(got + read_to_the_end(p.far), me.result);
        pair_close(&p);
    }
}

/* The peer reads some and resets: an error, never a success, and no fewer than it read. */
static int reads_some_and_aborts(struct beside *me)
{
    struct {
        int s;
        size_t len;
    } *what = me->arg;
    char *buf = malloc(what->len);

    ssize_t n = stoa_recvall(what->s, buf, what->len);
    free(buf);
    return n == (ssize_t)what->len ? stoa_abort(what->s) : -1;
}

TEST(trap_3_an_error_after_a_partial_send_is_told)
{
    for (size_t len = 1; len < 400000; len = len * 3 + 1)
        EACH_STREAM (k) {
            struct pair p = pair_of(k);
            struct sending what = {.s = p.near, .how = len % 2 ? BY_SENDALL : BY_SENDFILE};
            struct {
                int s;
                size_t len;
            } part = {p.far, len};
            struct beside b;

            beside(&b, reads_some_and_aborts, &part);
            long r = send_a_lot(&what);
            int error = errno;
            EXPECT_EQ(r, -1);
            EXPECT(error == ECONNRESET || error == EPIPE);
            EXPECT_GE(stoa_done(), len);
            EXPECT_EQ(beside_join(&b), 0);
            EXPECT_OK(stoa_close(p.near));
        }
}
ON_EVERY_PAIRING(trap_3_an_error_after_a_partial_send_is_told)

/* -------------------------------------------------------------------------
 * 8: cancelled, out of time or closed, but the data was taken
 * ---------------------------------------------------------------------- */

enum { MESSAGES = 4000 };

/* After a worker has been told what is ready, bytes may come before it looks whose time is over:
 * this, in front of the C library's, makes that moment long, now and then. */
int epoll_wait(int epoll_fd, struct epoll_event *e, int max, int ms)
{
    static _Thread_local unsigned turn;
    const struct timespec moment = {.tv_nsec = 300 * 1000};
    int n = epoll_pwait(epoll_fd, e, max, ms, NULL);

    if (++turn % 8 == 0)
        nanosleep(&moment, NULL);
    return n;
}

static int sends_numbers(struct beside *me)
{
    for (int i = 0; i < MESSAGES; i++) {
        if (stoa_sendall(*(int *)me->arg, &i, sizeof(i), 0) < 0)
            return -1;
        if (i % 7 == 0)
            stoa_yield();
        if (i % 97 == 0)
            stoa_sleep(0.002);
    }
    return stoa_shutdown(*(int *)me->arg, SHUT_WR);
}

/* Times so short that they end while the bytes come: each number must arrive, in order. */
TEST(trap_8_a_recv_out_of_time_takes_nothing)
{
    int late = 0;

    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct beside b;
        int next = 0, value = -1;
        ssize_t n;

        stoa_settimeout(p.near, 0.00005);
        beside(&b, sends_numbers, &p.far);
        while ((n = stoa_recv(p.near, &value, sizeof(value), 0)) != 0) {
            if (n < 0 && errno == ETIME) {
                late++;
                continue;
            }
            while (n > 0 && n < (ssize_t)sizeof(value)) {
                ssize_t more = stoa_recvall(p.near, (char *)&value + n, sizeof(value) - (size_t)n);

                if (more == 0 || (more < 0 && errno != ETIME))
                    break;
                n += more < 0 ? (ssize_t)stoa_done() : more;
            }
            if (n != sizeof(value) || value != next) {
                t_fail(__FILE__, __LINE__, "%zd bytes, %d for %d", n, value, next);
                break;
            }
            next++;
        }
        EXPECT_EQ(next, MESSAGES);
        EXPECT_EQ(beside_join(&b), 0);
        pair_close(&p);
    }
    EXPECT_GT(late, 0);
}
ON_EVERY_PAIRING(trap_8_a_recv_out_of_time_takes_nothing)

struct taker {
    int s;
    int next;
    int wrong;
    int cancelled;
};

/* The buffer is this fiber's own and gone with it: whoever writes later writes into poison. */
static int takes_until_cancelled(void *arg)
{
    struct taker *t = arg;

    for (;;) {
        int value = -1;
        ssize_t n = stoa_recv(t->s, &value, sizeof(value), MSG_WAITALL);

        if (n < 0 && errno == ECANCELED) {
            t->cancelled++;
            return value != -1 ? t->wrong++ : 0;
        }
        if (n == 0)
            return 0;
        if (n != sizeof(value) || value != t->next)
            t->wrong++;
        t->next = value + 1;
    }
}

/* A reader is cancelled at some moment, and the next one goes on where it was. */
TEST(trap_8_a_cancelled_recv_takes_nothing)
{
    if (!on_fiber())
        return;
    struct pair p = pair_of(UNIX_DGRAM); /* whole messages: a recv takes all or nothing */
    struct beside b;
    struct taker t = {.s = p.near};
    int rounds = 0;

    beside(&b, sends_numbers, &p.far);
    for (; t.next < MESSAGES; rounds++) {
        struct stoa_group *g = stoa_group_open();

        EXPECT_OK(stoa_go(g, takes_until_cancelled, &t));
        for (int i = 0; i <= rounds % 5; i++)
            stoa_yield();
        if (rounds % 3 == 0)
            stoa_sleep(0.0001);
        stoa_group_cancel(g);
        EXPECT_OK(stoa_group_join(g));
        if (t.wrong) {
            t_fail(__FILE__, __LINE__, "round %d: %d wrong, next %d", rounds, t.wrong, t.next);
            break;
        }
    }
    EXPECT_GT(t.cancelled, 0);
    EXPECT_OK(stoa_shutdown(p.near, SHUT_RDWR));
    EXPECT_EQ(beside_join(&b), 0);
    pair_close(&p);
}
ON_EVERY_PAIRING(trap_8_a_cancelled_recv_takes_nothing)
