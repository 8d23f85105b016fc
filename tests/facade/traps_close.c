/* traps_close.c - traps 5 and 9: an end that reaches a stranger, and one that loses the answer.
 *
 * The storm of many connections that are closed under their users is in storm.c; here is
 * the single case of each, so that a failure says what it was.
 */
#include "backends.h"
#include "clock.h"

#include <fcntl.h>
#include <netinet/tcp.h>

/* -------------------------------------------------------------------------
 * 5: close() does not wake recv, which then eats the next connection's data
 * ---------------------------------------------------------------------- */

struct victim {
    int s;
    char got;
};

static int recvs(struct beside *me)
{
    struct victim *v = me->arg;

    about_to_wait(me);
    return (int)stoa_recv(v->s, &v->got, 1, 0);
}

TEST(trap_5_a_reader_does_not_eat_the_next_connections_bytes)
{
    int nsame = 0;

    for (int i = 0; i < 20; i++) {
        struct pair old = pair_make(), fresh;
        int pair[2];
        struct victim v = {.s = old.near};
        struct beside b;
        char c = 0;
        int fd = stoa_fileno(old.near);

        beside(&b, recvs, &v);
        until_asleep(&b);
        EXPECT_OK(close_surely(old.near));
        /* The kernel gives the smallest free number: the new pair has the old one, unless an
         * earlier one has become free meanwhile. */
        EXPECT_OK(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        fresh = (struct pair){pair[0], pair[1]};
        nsame += stoa_fileno(fresh.near) == fd || stoa_fileno(fresh.far) == fd;
        EXPECT_OK(stoa_sendall(fresh.far, "n", 1, 0));
        EXPECT_OK(stoa_sendall(fresh.near, "f", 1, 0));
        EXPECT_EQ(beside_join(&b), -1);
        EXPECT_EQ(b.error, ECANCELED);
        EXPECT_EQ(v.got, 0);
        EXPECT_EQ(stoa_recv(fresh.near, &c, 1, 0), 1);
        EXPECT_EQ(c, 'n');
        EXPECT_EQ(stoa_recv(fresh.far, &c, 1, 0), 1);
        EXPECT_EQ(c, 'f');
        old.near = -1;
        pair_close(&old);
        pair_close(&fresh);
    }
    EXPECT_GT(nsame, 0);
}
ON_EVERY_PAIRING(trap_5_a_reader_does_not_eat_the_next_connections_bytes)

/* The peer of a socket closed under its reader is told at once: a FIN is sent. */
TEST(trap_5_the_peer_sees_the_end_though_a_reader_waited)
{
    struct pair p = pair_make();
    struct victim v = {.s = p.near};
    struct beside b;
    char c;

    beside(&b, recvs, &v);
    until_asleep(&b);
    EXPECT_OK(stoa_close(p.near));
    EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 0);
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECANCELED);
    p.near = -1;
    pair_close(&p);
}
ON_EVERY_PAIRING(trap_5_the_peer_sees_the_end_though_a_reader_waited)

/* A dup is another handle: closing one must not disturb who waits on the other. */
TEST(trap_5_close_of_a_dup_leaves_the_others_reader_alone)
{
    struct pair p = pair_make();
    struct victim v = {.s = p.near};
    struct beside b;
    int d = stoa_dup(p.near);

    beside(&b, recvs, &v);
    until_asleep(&b);
    EXPECT_OK(stoa_close(d));
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(beside_join(&b), 1);
    EXPECT_EQ(v.got, 'x');
    pair_close(&p);
}
ON_EVERY_PAIRING(trap_5_close_of_a_dup_leaves_the_others_reader_alone)

/* -------------------------------------------------------------------------
 * 9: close with unread input sends a reset, which destroys the answer on its way
 * ---------------------------------------------------------------------- */

enum { ANSWER = 1000000 };

/* An answer of 1,000,000 bytes to a question of which only the first line is read. */
static int answers_and_closes(struct beside *me)
{
    int s = *(int *)me->arg;
    char line[8], *answer = malloc(ANSWER);

    memset(answer, 'a', ANSWER);
    if (stoa_recvall(s, line, 8) != 8)
        return -1;
    int r = stoa_sendall(s, answer, ANSWER, 0);
    free(answer);
    return stoa_close(s) | r;
}

static void reads_all(enum kind k, bool slowly)
{
    struct pair p = pair_of(k);
    struct beside b;
    char *question = calloc(1, 200000), buf[16384];
    size_t got = 0;

    EXPECT_OK(stoa_send(p.near, question, 100000, 0));
    beside(&b, answers_and_closes, &p.far);
    for (ssize_t n; (n = stoa_recv(p.near, buf, sizeof(buf), 0)) != 0; got += (size_t)n) {
        EXPECT_GT(n, 0);
        if (n < 0)
            break;
        if (slowly && got < 200000)
            stoa_sleep(0.0005);
        /* And goes on asking, which a plain close answers by a reset. */
        if (got < 300000)
            stoa_send(p.near, question, 1000, MSG_DONTWAIT);
    }
    EXPECT_EQ(got, ANSWER);
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_OK(stoa_close(p.near));
    free(question);
}

TEST(trap_9_close_with_unread_input_keeps_the_answer)
{
    EACH_STREAM (k) {
        reads_all(k, false);
        reads_all(k, true);
    }
}
ON_EVERY_PAIRING(trap_9_close_with_unread_input_keeps_the_answer)

static int open_descriptors(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* A peer that neither speaks nor leaves does not hold the descriptor for ever: two seconds
 * of silence, and it is gone.  The close itself does not wait for that, or it would not return
 * while the clock stands. */
TEST(trap_9_a_silent_peer_does_not_hold_the_descriptor)
{
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_sendall(p.near, "unread", 6, 0));
    EXPECT_EQ(stoa_poll(p.far, POLLIN), POLLIN);
    int open = open_descriptors();
    double start = now();
    clock_stop();
    EXPECT_OK(stoa_close(p.far));
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 0);
    EXPECT_GE(open_descriptors(), open);
    clock_go_on();
    while (open_descriptors() >= open)
        stoa_sleep(0.01);
    EXPECT_GE(now() - start, 1.5);
    EXPECT_OK(stoa_close(p.near));
}

TEST(trap_9_close_of_a_listener_is_at_once)
{
    struct text where;
    int keep = port_keep(&where), s = stoa_announce(where.c, NULL), fd = stoa_fileno(s);

    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    EXPECT_ERR(stoa_dial(where.c, NULL), ECONNREFUSED);
    close(keep);
}
ON_EVERY_BACKEND(trap_9_close_of_a_listener_is_at_once)
