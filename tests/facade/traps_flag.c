/* traps_flag.c - trap 6: O_NONBLOCK belongs to the open file, so to all who have a dup of it.
 *
 * Another process, or a dup in this one, sets or clears the flag in the middle of our calls.
 * A library that relies on it then hangs beyond its timeout, or fails with EAGAIN.
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <time.h>

static void flag_clear(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* The worst moment: somebody clears the flag when the library has set it and is about to call.
 * These stand in front of the C library's for all of this program. */
static atomic_bool meddles;

ssize_t sendfile64(int to, int from, off64_t *off, size_t len);
ssize_t sendfile64(int to, int from, off64_t *off, size_t len)
{
    if (atomic_load(&meddles))
        flag_clear(to);
    return syscall(SYS_sendfile, to, from, off, len);
}

int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags)
{
    if (atomic_load(&meddles))
        flag_clear(fd);
    return (int)syscall(SYS_accept4, fd, sa, len, flags);
}

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    if (atomic_load(&meddles))
        flag_clear(fd);
    return (int)syscall(SYS_connect, fd, sa, len);
}

/* A test that has fallen into the trap waits for ever. */
static long meddled_call(int call, int s, int fd, const struct sockaddr *sa, socklen_t len)
{
    long r;

    stoa_fileno(s); /* the file is others', too */
    atomic_store(&meddles, true);
    r = call == 0   ? stoa_sendfile(s, fd, &(off_t){0}, 0)
        : call == 1 ? stoa_accept(s, NULL)
                    : stoa_connect_sa(s, sa, len);
    int error = errno;
    atomic_store(&meddles, false);
    errno = error;
    return r;
}

TEST(trap_6_the_flag_is_cleared_just_before_sendfile)
{
    NOT_SIMULATED("there is no O_NONBLOCK to clear");
    struct pair p = pair_make();
    int fd = memfd_create("file", MFD_CLOEXEC);

    EXPECT_EQ(ftruncate(fd, 64 << 20), 0);
    stoa_settimeout(p.near, 0.1);
    EXPECT_ERR(meddled_call(0, p.near, fd, NULL, 0), ETIME);
    EXPECT_GT(stoa_done(), 0);
    EXPECT_EQ(close(fd), 0);
    EXPECT_OK(stoa_abort(p.near) | stoa_close(p.far));
}
ON_EVERY_BACKEND(trap_6_the_flag_is_cleared_just_before_sendfile)

TEST(trap_6_the_flag_is_cleared_just_before_accept)
{
    NOT_SIMULATED("there is no O_NONBLOCK to clear");
    int s = listener_make(TCP4, NULL);

    stoa_settimeout(s, 0.1);
    EXPECT_ERR(meddled_call(1, s, -1, NULL, 0), ETIME);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_6_the_flag_is_cleared_just_before_accept)

TEST(trap_6_the_flag_is_cleared_just_before_connect)
{
    NOT_SIMULATED("there is no O_NONBLOCK to clear");
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    struct full f = full_make();
    struct stoa_addr to = self_addr(f.listener);

    stoa_settimeout(s, 0.1);
    EXPECT_ERR(meddled_call(2, s, -1, (struct sockaddr *)&to.sa, to.len), ETIME);
    EXPECT_OK(stoa_close(s));
    full_close(&f);
}
ON_EVERY_BACKEND(trap_6_the_flag_is_cleared_just_before_connect)

struct flipper {
    int fd;
    atomic_bool over;
};

static int flips_the_flag(struct beside *me)
{
    struct flipper *f = me->arg;

    while (!atomic_load(&f->over) && stoa_sleep(0.001) == 0)
        flag_clear(f->fd);
    return 0;
}

TEST(trap_6_a_dup_that_clears_the_flag_does_not_make_us_hang)
{
    NOT_SIMULATED("there is no O_NONBLOCK to clear");
    const size_t len = 16 << 20;
    char *big = calloc(1, len), c;

    for (int call = 0; call < 4; call++) {
        struct pair p = pair_of(call % 2 ? UNIX_STREAM : TCP4);
        struct flipper f = {.fd = fcntl(stoa_fileno(p.near), F_DUPFD_CLOEXEC, 0)};
        struct beside b;
        long r;
        int fd;

        stoa_settimeout(p.near, 0.1);
        flag_clear(f.fd);
        beside(&b, flips_the_flag, &f);
        double start = now();
        if (call < 2) {
            r = stoa_sendall(p.near, big, len, 0);
        } else if (call == 2) {
            fd = memfd_create("file", MFD_CLOEXEC);
            EXPECT_EQ(ftruncate(fd, (off_t)len), 0);
            r = stoa_sendfile(p.near, fd, NULL, 0);
            int error = errno;
            close(fd);
            errno = error;
        } else {
            r = stoa_recv(p.near, &c, 1, 0);
        }
        EXPECT_EQ(errno, ETIME);
        EXPECT_EQ(r, -1);
        EXPECT_GE(now() - start, 0.1);
        atomic_store(&f.over, true);
        EXPECT_EQ(beside_join(&b), 0);
        EXPECT_EQ(close(f.fd), 0);
        EXPECT_OK(stoa_abort(p.near) | stoa_close(p.far));
    }
    free(big);
}
ON_EVERY_PAIRING(trap_6_a_dup_that_clears_the_flag_does_not_make_us_hang)

/* And one that sets it does not make a waiting call return EAGAIN. */
TEST(trap_6_a_dup_that_sets_the_flag_does_not_make_us_fail)
{
    struct pair p = pair_make();
    int fd = stoa_fileno(p.near);
    char c;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    stoa_settimeout(p.near, 0.03);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    EXPECT_ERR(send_until_it_fails(p.near, 0), ETIME);
    stoa_settimeout(p.near, -1);
    EXPECT_OK(stoa_sendall(p.far, "x", 1, 0));
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    EXPECT_OK(stoa_abort(p.near) | stoa_close(p.far));
}
ON_EVERY_BACKEND(trap_6_a_dup_that_sets_the_flag_does_not_make_us_fail)

/* We leave the flag as the others have it, in the middle of a call too. */
static int watches_the_flag(struct beside *me)
{
    const struct pair *p = me->arg;
    int fd = stoa_fileno(p->near);

    until_asleep(me);
    int flag = fcntl(fd, F_GETFL) & O_NONBLOCK;
    EXPECT_OK(stoa_sendall(p->far, "x", 1, 0)); /* and wakes it: no time is long enough */
    return flag;
}

TEST(trap_6_our_waiting_does_not_set_the_flag_for_others)
{
    struct pair p = pair_make();
    struct beside b;
    char c;

    stoa_fileno(p.near);
    beside(&b, watches_the_flag, &p);
    about_to_wait(&b);
    EXPECT_EQ(stoa_recv(p.near, &c, 1, 0), 1);
    EXPECT_EQ(beside_join(&b), 0);
    pair_close(&p);
}

static int accepts(struct beside *me)
{
    about_to_wait(me);
    return stoa_accept(*(int *)me->arg, NULL);
}

/* Two wait so long for one client; 1: one of them had it, 0: it came too late for both. */
static int one_client_for_two(int s, const char *where, double patience)
{
    struct beside b[2];
    int got = 0;

    stoa_settimeout(s, patience);
    for (int i = 0; i < 2; i++)
        beside(&b[i], accepts, &s);
    for (int i = 0; i < 2; i++)
        until_asleep(&b[i]);
    flag_clear(stoa_fileno(s));
    int c = stoa_dial(where, NULL);
    for (int i = 0; i < 2; i++) {
        int d = beside_join(&b[i]);
        got += d >= 0;
        EXPECT(d >= 0 || b[i].error == ETIME);
        if (d >= 0)
            EXPECT_OK(stoa_close(d));
    }
    if (got == 0)
        EXPECT_OK(stoa_close(stoa_accept(s, NULL)));
    EXPECT_OK(stoa_close(c));
    return got;
}

/* accept4(2) has no MSG_DONTWAIT: of two who were told of one client, one would block. */
TEST(trap_6_a_listener_whose_flag_was_cleared_still_keeps_time)
{
    NOT_SIMULATED("there is no O_NONBLOCK to clear");
    struct text where;
    int s = listener_make(TCP4, &where), got = 0;

    for (double patience = 0.2; got == 0 && patience < 100; patience *= 2)
        got = one_client_for_two(s, where.c, patience);
    EXPECT_EQ(got, 1);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_PAIRING(trap_6_a_listener_whose_flag_was_cleared_still_keeps_time)
