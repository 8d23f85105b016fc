/* sendfile.c - a file's bytes onto a stream, and where the file's place is afterwards.
 *
 * The danger: a place that does not say what went, so that a sender who goes on from
 * there leaves a hole or sends twice.
 */
#include "backends.h"

#include <fcntl.h>
#include <sys/mman.h>

/* A file of len bytes in memory; byte i is (i >> 8) ^ i. */
static int file_make(size_t len)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    char *bytes = malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i >> 8 ^ i);
    EXPECT_EQ(write(fd, bytes, len), len);
    EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
    free(bytes);
    return fd;
}

struct sink {
    int s;
    size_t from;
};

static int check_bytes(struct beside *me)
{
    struct sink *sink = me->arg;
    size_t at = sink->from, wrong = 0;
    char *buf = malloc(65536);

    for (ssize_t n; (n = stoa_recv(sink->s, buf, 65536, 0)) > 0; at += (size_t)n)
        for (ssize_t i = 0; i < n; i++)
            wrong += buf[i] != (char)((at + (size_t)i) >> 8 ^ (at + (size_t)i));
    free(buf);
    me->result = (long)(at - sink->from);
    return wrong ? -1 : 0;
}

TEST(a_whole_file_goes)
{
    const size_t len = 3000001;
    int fd = file_make(len);

    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        struct sink sink = {.s = p.far};
        struct beside b;
        off_t off = 0;

        beside(&b, check_bytes, &sink);
        EXPECT_EQ(stoa_sendfile(p.near, fd, &off, 0), len);
        EXPECT_EQ(off, len);
        EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
        EXPECT_EQ(beside_join(&b), 0);
        EXPECT_EQ(b.result, len);
        pair_close(&p);
    }
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_PAIRING(a_whole_file_goes)

TEST(a_part_of_a_file_goes)
{
    int fd = file_make(1000);
    struct pair p = pair_make();
    struct sink sink = {.s = p.far, .from = 100};
    struct beside b;
    off_t off = 100;

    EXPECT_EQ(stoa_sendfile(p.near, fd, &off, 200), 200);
    EXPECT_EQ(off, 300);
    EXPECT_EQ(stoa_sendfile(p.near, fd, &off, 5000), 700);
    EXPECT_EQ(off, 1000);
    EXPECT_EQ(stoa_sendfile(p.near, fd, &off, 10), 0);
    EXPECT_EQ(off, 1000);
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    beside(&b, check_bytes, &sink);
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_EQ(b.result, 900);
    pair_close(&p);
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_BACKEND(a_part_of_a_file_goes)

TEST(without_off_the_files_own_place_moves)
{
    int fd = file_make(1000);
    struct pair p = pair_make();
    char buf[400];

    EXPECT_EQ(lseek(fd, 300, SEEK_SET), 300);
    EXPECT_EQ(stoa_sendfile(p.near, fd, NULL, 400), 400);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 700);
    EXPECT_EQ(stoa_recvall(p.far, buf, 400), 400);
    EXPECT_EQ(buf[0], (char)(300 >> 8 ^ 300));
    EXPECT_EQ(stoa_sendfile(p.near, fd, NULL, 0), 300);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 1000);
    pair_close(&p);
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_BACKEND(without_off_the_files_own_place_moves)

TEST(out_of_time_the_place_is_after_the_last_byte_sent)
{
    const size_t len = 64 << 20;
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct pair p = pair_make();
    off_t off = 0;

    EXPECT_EQ(ftruncate(fd, (off_t)len), 0);
    stoa_settimeout(p.near, 0.05);
    double start = now();
    EXPECT_ERR(stoa_sendfile(p.near, fd, &off, 0), ETIME);
    EXPECT_GE(now() - start, 0.05);
    size_t done = stoa_done();
    EXPECT_GT(done, 0);
    EXPECT_LT(done, len);
    EXPECT_EQ(off, done);
    EXPECT_SAID("sendfile");

    /* What went is what comes. */
    size_t got = 0;
    static char buf[65536];
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    for (ssize_t n; (n = stoa_recv(p.far, buf, sizeof(buf), 0)) > 0;)
        got += (size_t)n;
    EXPECT_EQ(got, done);
    pair_close(&p);
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_BACKEND(out_of_time_the_place_is_after_the_last_byte_sent)

TEST(out_of_time_the_files_own_place_is_after_the_last_byte_sent)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct pair p = pair_of(UNIX_STREAM);

    EXPECT_EQ(ftruncate(fd, 64 << 20), 0);
    stoa_settimeout(p.near, 0.03);
    EXPECT_ERR(stoa_sendfile(p.near, fd, NULL, 0), ETIME);
    EXPECT_GT(stoa_done(), 0);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), stoa_done());
    EXPECT_OK(stoa_abort(p.near));
    EXPECT_OK(stoa_close(p.far));
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_BACKEND(out_of_time_the_files_own_place_is_after_the_last_byte_sent)

/* "EAGAIN only before the first byte of a non-blocking socket" */
TEST(nonblocking_sendfile_gives_what_went)
{
    const size_t len = 64 << 20;
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct pair p = pair_make();
    off_t off = 0;

    EXPECT_EQ(ftruncate(fd, (off_t)len), 0);
    stoa_setblocking(p.near, false);
    ssize_t n = stoa_sendfile(p.near, fd, &off, 0);
    EXPECT_GT(n, 0);
    EXPECT_LT(n, len);
    EXPECT_EQ(off, n);
    ssize_t sum = n;
    /* Until there is no room: TCP makes some a little later. */
    while ((n = stoa_sendfile(p.near, fd, &off, 0)) > 0) {
        sum += n;
        EXPECT_EQ(off, sum);
    }
    EXPECT_EQ(n, -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(stoa_done(), 0);
    EXPECT_EQ(off, sum);
    EXPECT_OK(stoa_abort(p.near));
    EXPECT_OK(stoa_close(p.far));
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_BACKEND(nonblocking_sendfile_gives_what_went)

static void what_cannot_be(bool shared)
{
    int fd = file_make(10), pipefd[2], dir = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    struct pair p = pair_make(), d = pair_of(UDP4);
    off_t off = 0;

    if (shared)
        EXPECT_OK(stoa_fileno(p.near));
    EXPECT_ERR(stoa_sendfile(d.near, fd, &off, 10), EINVAL);
    EXPECT_ERR(stoa_sendfile(p.near, -1, &off, 10), EBADF);
    EXPECT_EQ(pipe2(pipefd, O_CLOEXEC), 0);
    errno = 0;
    EXPECT_EQ(stoa_sendfile(p.near, pipefd[0], &off, 10), -1);
    EXPECT(errno == EINVAL || errno == ESPIPE);
    errno = 0;
    EXPECT_EQ(stoa_sendfile(p.near, dir, &off, 10), -1);
    EXPECT(errno == EINVAL || errno == EISDIR);
    EXPECT_EQ(off, 0);
    off = -1;
    EXPECT_ERR(stoa_sendfile(p.near, fd, &off, 10), EINVAL);
    char c;
    EXPECT_ERR(stoa_recv(p.far, &c, 1, MSG_DONTWAIT), EAGAIN);
    pair_close(&p);
    pair_close(&d);
    EXPECT_EQ(close(pipefd[0]) | close(pipefd[1]) | close(fd) | close(dir), 0);
}

TEST(what_sendfile_cannot_do)
{
    what_cannot_be(false);
    what_cannot_be(true);
}
ON_EVERY_BACKEND(what_sendfile_cannot_do)

TEST(an_empty_file_is_0)
{
    int fd = memfd_create("file", MFD_CLOEXEC);
    struct pair p = pair_make();

    EXPECT_EQ(stoa_sendfile(p.near, fd, NULL, 0), 0);
    pair_close(&p);
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_BACKEND(an_empty_file_is_0)

/* -------------------------------------------------------------------------
 * Whatever others do to the descriptor meanwhile, it waits only as it should
 * ---------------------------------------------------------------------- */

struct hammer {
    int s;
    int fd;
    int other; /* errors that are not EAGAIN */
    atomic_int *ended;
};

/* No room: each of these must come back at once. */
static void *hammer(void *arg)
{
    struct hammer *h = arg;

    for (int i = 0; i < 3000; i++) {
        off_t off = 0;

        h->other += stoa_sendfile(h->s, h->fd, &off, 0) >= 0 || errno != EAGAIN;
    }
    atomic_fetch_add(h->ended, 1);
    return NULL;
}

/* Another who has the open file turns O_NONBLOCK off, again and again. */
static void *turn_off(void *arg)
{
    struct hammer *h = arg;

    while (atomic_load(h->ended) == 0)
        fcntl(h->fd, F_SETFL, fcntl(h->fd, F_GETFL) & ~O_NONBLOCK);
    return NULL;
}

/* Both threads are through: one that waits for room does so for ever. */
static void both_come_back(pthread_t *t)
{
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_join(t[i], NULL), 0);
}

static void full_pair(struct pair *p)
{
    *p = pair_of(UNIX_STREAM);
    stoa_settimeout(p->near, 0);
    fill(p->near);
}

TEST(two_at_once_on_one_socket)
{
    for (int dup = 0; dup < 2; dup++) {
        atomic_int ended = 0;
        struct pair p;
        int fd = file_make(100000);
        pthread_t t[2];

        full_pair(&p);
        struct hammer h[2] = {{.s = p.near, .fd = fd, .ended = &ended},
                              {.s = dup ? stoa_dup(p.near) : p.near, .fd = fd, .ended = &ended}};
        for (int i = 0; i < 2; i++)
            EXPECT_EQ(pthread_create(&t[i], NULL, hammer, &h[i]), 0);
        both_come_back(t);
        EXPECT_EQ(h[0].other + h[1].other, 0);
        EXPECT_EQ(fcntl(stoa_fileno(p.near), F_GETFL) & O_NONBLOCK, 0);
        if (dup)
            EXPECT_OK(stoa_close(h[1].s));
        pair_close(&p);
        EXPECT_EQ(close(fd), 0);
    }
}

TEST(another_turns_the_flag_off)
{
    atomic_int ended = 0;
    struct pair p;
    int fd = file_make(100000);
    pthread_t t[2];

    full_pair(&p);
    struct hammer h = {.s = p.near, .fd = fd, .ended = &ended};
    struct hammer other = {.fd = stoa_fileno(p.near), .ended = &ended};
    EXPECT_EQ(pthread_create(&t[0], NULL, hammer, &h), 0);
    EXPECT_EQ(pthread_create(&t[1], NULL, turn_off, &other), 0);
    both_come_back(t);
    EXPECT_EQ(h.other, 0);
    pair_close(&p);
    EXPECT_EQ(close(fd), 0);
}

/* Of a socket that others have, too. */
TEST(a_file_goes_over_a_shared_socket)
{
    const size_t len = 1000001;
    int fd = file_make(len);

    for (int own = 0; own < 2; own++) {
        struct pair p = pair_make();
        int copy = stoa_dup(p.near);
        struct sink sink = {.s = p.far, .from = 5};
        struct beside b;
        off_t off = 5;

        EXPECT_EQ(lseek(fd, 5, SEEK_SET), 5);
        beside(&b, check_bytes, &sink);
        EXPECT_EQ(stoa_sendfile(p.near, fd, own ? NULL : &off, len - 10), len - 10);
        EXPECT_EQ(off, own ? 5 : len - 5);
        EXPECT_EQ(lseek(fd, 0, SEEK_CUR), own ? len - 5 : 5);
        EXPECT_EQ(stoa_sendfile(p.near, fd, own ? NULL : &off, 100), 5);
        EXPECT_EQ(stoa_sendfile(p.near, fd, own ? NULL : &off, 0), 0);
        EXPECT_EQ(own ? lseek(fd, 0, SEEK_CUR) : off, len);
        EXPECT_OK(stoa_shutdown(p.near, SHUT_WR) | stoa_close(copy));
        EXPECT_EQ(beside_join(&b), 0);
        EXPECT_EQ(b.result, len - 5);
        pair_close(&p);
    }
    EXPECT_EQ(close(fd), 0);
}
ON_EVERY_PAIRING(a_file_goes_over_a_shared_socket)
