/* recv.c - receiving: what comes, what ends a stream, what a failed call leaves behind.
 *
 * The danger that most others come down to: bytes that a call took and nobody got.
 */
#include "backends.h"
#include "unit/watched.h"

#include <limits.h>

TEST(recv_gives_what_is_there)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        char buf[16];

        EXPECT_OK(stoa_sendall(p.far, "abcdef", 6, 0));
        EXPECT_EQ(stoa_recv(p.near, buf, 4, 0), 4);
        EXPECT_EQ(memcmp(buf, "abcd", 4), 0);
        EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), 0), 2);
        EXPECT_EQ(memcmp(buf, "ef", 2), 0);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(recv_gives_what_is_there)

/* Bytes, an end or a reset that come between a short receive, which has emptied the queue of a
 * socket that nobody watches yet, and the next one, which therefore waits untried.  Not with a
 * timeout, at whose end it would be tried. */
TEST(what_comes_after_a_first_short_recv_is_told)
{
    for (int what = 0; what < 3; what++) {
        EACH_STREAM (k) {
            struct pair p = pair_of(k);
            char buf[16];

            EXPECT_OK(stoa_sendall(p.near, "abc", 3, 0));
            EXPECT_EQ(stoa_recv(p.far, buf, sizeof(buf), 0), 3);
            if (what == 0) {
                EXPECT_OK(stoa_sendall(p.near, "de", 2, 0));
                EXPECT_EQ(stoa_recv(p.far, buf, sizeof(buf), 0), 2);
                EXPECT_EQ(memcmp(buf, "de", 2), 0);
            } else if (what == 1) {
                EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
                EXPECT_EQ(stoa_recv(p.far, buf, sizeof(buf), 0), 0);
            } else {
                EXPECT_OK(stoa_abort(p.near));
                p.near = -1;
                if (kind_family(k) == AF_UNIX)
                    EXPECT_EQ(stoa_recv(p.far, buf, sizeof(buf), 0), 0);
                else
                    EXPECT_ERR(stoa_recv(p.far, buf, sizeof(buf), 0), ECONNRESET);
            }
            pair_close(&p);
        }
    }
}
ON_EVERY_BACKEND(what_comes_after_a_first_short_recv_is_told)

TEST(recv_that_times_out_takes_nothing)
{
    EACH_KIND (k) {
        struct pair p = pair_of(k);
        char buf[8] = "untouch";

        stoa_settimeout(p.near, 0.03);
        double start = now();
        EXPECT_ERR(stoa_recv(p.near, buf, sizeof(buf), 0), ETIME);
        EXPECT_GE(now() - start, 0.03);
        EXPECT_EQ(memcmp(buf, "untouch", 8), 0);
        EXPECT_EQ(stoa_done(), 0);
        EXPECT_SAID("recv");

        EXPECT_EQ(stoa_sendall(p.far, "abc", 3, 0), 0);
        EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), 0), 3);
        EXPECT_EQ(memcmp(buf, "abc", 3), 0);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(recv_that_times_out_takes_nothing)

TEST(the_end_of_a_stream_is_0_and_stays)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        char buf[4];

        EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
        EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
        EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), 0), 1);
        for (int i = 0; i < 3; i++)
            EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), 0), 0);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(the_end_of_a_stream_is_0_and_stays)

/* The client's half-close, the answer comes after it. */
TEST(half_close_then_reply)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        char buf[8];

        EXPECT_OK(stoa_sendall(p.near, "question", 8, 0));
        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_EQ(stoa_recvall(p.far, buf, 8), 8);
        EXPECT_EQ(stoa_recv(p.far, buf, 8, 0), 0);
        EXPECT_OK(stoa_sendall(p.far, "answer", 6, 0));
        EXPECT_OK(stoa_close(p.far));
        p.far = -1;
        EXPECT_EQ(stoa_recvall(p.near, buf, 8), 6);
        EXPECT_EQ(memcmp(buf, "answer", 6), 0);
        EXPECT_ERR(stoa_send(p.near, "x", 1, 0), EPIPE);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(half_close_then_reply)

TEST(a_reset_is_ECONNRESET)
{
    struct pair p = pair_make();
    char buf[4];

    EXPECT_OK(stoa_abort(p.far));
    p.far = -1;
    EXPECT_ERR(stoa_recv(p.near, buf, sizeof(buf), 0), ECONNRESET);
    EXPECT_SAID("recv");
    EXPECT_SAID("127.0.0.1");
    EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), 0), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_reset_is_ECONNRESET)

TEST(an_empty_recv_tells_nothing)
{
    struct pair p = pair_make();
    char c = 'c';

    EXPECT_EQ(stoa_recv(p.near, &c, 0, 0), 0);
    EXPECT_EQ(stoa_recv(p.near, NULL, 0, 0), 0);
    EXPECT_EQ(stoa_recvall(p.near, &c, 0), 0);
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_recv(p.near, &c, 0, 0), 0);
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    EXPECT_EQ(c, 'x');
    pair_close(&p);
}
ON_EVERY_BACKEND(an_empty_recv_tells_nothing)

/* A negative number that became a size_t on the way. */
TEST(a_len_over_SSIZE_MAX_is_refused)
{
    struct pair p = pair_make();
    char c;

    EXPECT_ERR(stoa_recv(p.near, &c, (size_t)-1, 0), EINVAL);
    EXPECT_ERR(stoa_recv(p.near, &c, (size_t)SSIZE_MAX + 1, 0), EINVAL);
    EXPECT_ERR(stoa_recvall(p.near, &c, (size_t)-1), EINVAL);
    EXPECT_ERR(stoa_recvfrom(p.near, &c, (size_t)-1, 0, NULL), EINVAL);
    EXPECT_ERR(stoa_send(p.near, &c, (size_t)-1, 0), EINVAL);
    EXPECT_ERR(stoa_sendall(p.near, &c, (size_t)-1, 0), EINVAL);
    EXPECT_ERR(stoa_sendto(p.near, &c, (size_t)-1, 0, NULL), EINVAL);
    EXPECT_SAID("send");
    EXPECT_ERR(stoa_recv(p.far, &c, 1, MSG_DONTWAIT), EAGAIN);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_len_over_SSIZE_MAX_is_refused)

/* The largest permitted len: the kernel cuts it to MAX_RW_COUNT, what is there comes. */
TEST(a_len_of_SSIZE_MAX_is_good)
{
    if (RUNNING_ON_VALGRIND) {
        SKIP("Valgrind marks all of len as written");
        return;
    }
    if (watched()) {
        SKIP("a sanitizer or an emulator wants all of the buffer to be there");
        return;
    }
    struct pair p = pair_of(UNIX_STREAM);
    char *room = malloc(64);

    EXPECT_OK(stoa_sendall(p.far, "abc", 3, 0));
    EXPECT_EQ(stoa_recv(p.near, room, SSIZE_MAX, 0), 3);
    free(room);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_len_of_SSIZE_MAX_is_good)

TEST(the_flags_are_the_kernels)
{
    struct pair p = pair_make();
    char buf[8];

    EXPECT_ERR(stoa_recv(p.near, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    EXPECT_OK(stoa_sendall(p.far, "abc", 3, 0));
    EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), MSG_PEEK), 3);
    EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), MSG_PEEK), 3);
    EXPECT_EQ(stoa_recv(p.near, buf, sizeof(buf), 0), 3);
    EXPECT_EQ(stoa_send(p.far, "!", 1, MSG_OOB), 1);
    EXPECT_EQ(stoa_poll(p.near, POLLPRI) & POLLPRI, POLLPRI);
    EXPECT_EQ(stoa_recv(p.near, buf, 1, MSG_OOB), 1);
    EXPECT_EQ(buf[0], '!');
    pair_close(&p);
}
ON_EVERY_BACKEND(the_flags_are_the_kernels)

static int send_in_parts(struct beside *me)
{
    int s = *(int *)me->arg;

    for (int i = 0; i < 4; i++) {
        if (stoa_sendall(s, &"0123456789"[i], 2, 0) < 0)
            return -1;
        stoa_sleep(0.002);
    }
    return 0;
}

TEST(MSG_WAITALL_waits_for_all)
{
    struct pair p = pair_make();
    struct beside b;
    char buf[9] = "";

    beside(&b, send_in_parts, &p.far);
    EXPECT_EQ(stoa_recv(p.near, buf, 8, MSG_WAITALL), 8);
    EXPECT_STR(buf, "01122334");
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_OK(stoa_sendall(p.far, "end", 3, 0));
    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    EXPECT_EQ(stoa_recv(p.near, buf, 8, MSG_WAITALL), 3);
    pair_close(&p);
}
ON_EVERY_PAIRING(MSG_WAITALL_waits_for_all)

/* The kernel's call leaves an error behind bytes to the next call (tcp_recvmsg); if it were lost,
 * a reset would look like the end of the stream. */
TEST(MSG_WAITALL_loses_no_reset)
{
    for (int way = 0; way < 4; way++) {
        struct pair p = pair_make();
        struct stoa_addr from;
        char buf[8];

        EXPECT_OK(stoa_sendall(p.far, "abcd", 4, 0));
        EXPECT_OK(stoa_poll(p.near, POLLIN));
        EXPECT_OK(stoa_abort(p.far));
        p.far = -1;
        EXPECT_OK(stoa_poll(p.near, POLLRDHUP));
        EXPECT_EQ(stoa_recv(p.near, buf, 8, MSG_WAITALL), 4);
        if (way == 0)
            EXPECT_ERR(stoa_recv(p.near, buf, 8, 0), ECONNRESET);
        else if (way == 1)
            EXPECT_ERR(stoa_recv(p.near, buf, 8, MSG_WAITALL), ECONNRESET);
        else if (way == 2)
            EXPECT_ERR(stoa_recvall(p.near, buf, 8), ECONNRESET);
        else
            EXPECT_ERR(stoa_recvfrom(p.near, buf, 8, 0, &from), ECONNRESET);
        EXPECT_EQ(stoa_recv(p.near, buf, 8, 0), 0); /* it is told once, as the kernel has it */
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(MSG_WAITALL_loses_no_reset)

TEST(recvall_gathers)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct beside b;
        char buf[9] = "";

        beside(&b, send_in_parts, &p.far);
        EXPECT_EQ(stoa_recvall(p.near, buf, 8), 8);
        EXPECT_STR(buf, "01122334");
        EXPECT_EQ(beside_join(&b), 0);
        pair_close(&p);
    }
}
ON_EVERY_PAIRING(recvall_gathers)

TEST(recvall_gives_fewer_when_the_stream_ends)
{
    struct pair p = pair_make();
    char buf[8];

    EXPECT_OK(stoa_sendall(p.far, "abc", 3, 0));
    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    EXPECT_EQ(stoa_recvall(p.near, buf, 8), 3);
    EXPECT_EQ(stoa_recvall(p.near, buf, 8), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(recvall_gives_fewer_when_the_stream_ends)

TEST(recvall_out_of_time_tells_what_is_in_the_buffer)
{
    struct pair p = pair_make();
    char buf[9] = "--------";

    stoa_settimeout(p.near, 0.05);
    EXPECT_OK(stoa_sendall(p.far, "abc", 3, 0));
    EXPECT_ERR(stoa_recvall(p.near, buf, 8), ETIME);
    EXPECT_EQ(stoa_done(), 3);
    EXPECT_STR(buf, "abc-----");

    EXPECT_OK(stoa_setblocking(p.near, false));
    EXPECT_OK(stoa_sendall(p.far, "de", 2, 0));
    EXPECT_EQ(stoa_poll(p.far, POLLOUT), POLLOUT);
    EXPECT_ERR(stoa_recvall(p.near, buf + 3, 8), EAGAIN);
    EXPECT_EQ(stoa_done(), 2);
    EXPECT_STR(buf, "abcde---");
    pair_close(&p);
}
ON_EVERY_BACKEND(recvall_out_of_time_tells_what_is_in_the_buffer)

/* stoa_done() is of the last failed call, and of this fiber or thread alone. */
static int fail_otherwise(struct beside *me)
{
    (void)me;
    stoa_recv(-1, NULL, 0, 0);
    return (int)stoa_done();
}

TEST(done_and_errmsg_are_each_fibers_and_threads_own)
{
    struct pair p = pair_make();
    struct beside b;
    char buf[8];

    stoa_settimeout(p.near, 0.01);
    EXPECT_OK(stoa_sendall(p.far, "abc", 3, 0));
    EXPECT_ERR(stoa_recvall(p.near, buf, 8), ETIME);
    beside(&b, fail_otherwise, NULL);
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_EQ(stoa_done(), 3);
    EXPECT_SAID("recvall");
    EXPECT_ERR(stoa_recv(p.near, buf, 8, 0), ETIME);
    EXPECT_EQ(stoa_done(), 0);
    pair_close(&p);
}
ON_EVERY_PAIRING(done_and_errmsg_are_each_fibers_and_threads_own)

static int recv_some(struct beside *me)
{
    char buf[1024];

    about_to_wait(me);
    for (ssize_t n; (n = stoa_recv(*(int *)me->arg, buf, sizeof(buf), 0)) > 0;) {
        for (ssize_t i = 0; i < n; i++)
            me->result += (unsigned char)buf[i];
        stoa_yield();
    }
    return 0;
}

/* Two readers: each byte goes to exactly one of them.  The sum tells. */
TEST(two_readers_share_the_bytes)
{
    struct pair p = pair_make();
    struct beside b[2];
    long sum = 0;

    for (int i = 0; i < 2; i++)
        beside(&b[i], recv_some, &p.near);
    for (int i = 0; i < 2; i++)
        until_asleep(&b[i]);
    for (int i = 0; i < 20000; i++) {
        char part[3] = {(char)i, (char)(i >> 8), 7};

        sum += (unsigned char)part[0] + (unsigned char)part[1] + 7;
        EXPECT_OK(stoa_sendall(p.far, part, 3, 0));
    }
    EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(beside_join(&b[i]), 0);
    EXPECT_EQ(b[0].result + b[1].result, sum);
    pair_close(&p);
}
ON_EVERY_PAIRING(two_readers_share_the_bytes)
