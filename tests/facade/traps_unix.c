/* traps_unix.c - traps 7 and 13: the full queue of a UNIX listener, and the path of a dead server.
 */
#include "backends.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* -------------------------------------------------------------------------
 * 7: a full queue is EAGAIN at once, and poll(2) cannot wait for it
 * ---------------------------------------------------------------------- */

static int fill_queue(int s, const char *where, int inside[8])
{
    int n = 0;

    EXPECT_OK(stoa_listen(s, 1));
    for (; n < 8; n++) {
        inside[n] = stoa_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (stoa_connect(inside[n], where) < 0)
            break;
    }
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_LT(n, 8);
    EXPECT_OK(stoa_close(inside[n]));
    return n;
}

struct target {
    int s;
    const char *to;
};

static int connects(struct beside *me)
{
    struct target *t = me->arg;

    about_to_wait(me);
    return stoa_connect(t->s, t->to);
}

TEST(trap_7_connect_waits_while_the_unix_queue_is_full)
{
    int s = bound_make(UNIX_STREAM), inside[8];
    struct text where = self_text(s);
    int n = fill_queue(s, where.c, inside);
    struct target t = {stoa_socket(AF_UNIX, SOCK_STREAM, 0), where.c};
    struct beside b;

    /* Out of time first, at all three clocks. */
    struct stoa_scope scope;
    stoa_settimeout(t.s, 0.03);
    double start = now();
    EXPECT_ERR(stoa_connect(t.s, where.c), ETIME);
    EXPECT_GE(now() - start, 0.03);
    EXPECT_EQ(stoa_connect_ex(t.s, where.c), ETIME);
    stoa_settimeout(t.s, -1);
    stoa_within(&scope, 0.03);
    EXPECT_ERR(stoa_connect(t.s, where.c), ETIME);
    EXPECT_ERR(stoa_dial(where.c, NULL), ETIME);
    EXPECT_ERR(stoa_leave(&scope), ETIME);

    /* Then there is room. */
    beside(&b, connects, &t);
    until_asleep(&b);
    EXPECT_OK(stoa_close(stoa_accept(s, NULL)));
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_OK(stoa_close(t.s) | stoa_close(s));
    for (int i = 0; i < n; i++)
        EXPECT_OK(stoa_close(inside[i]));
}
ON_EVERY_PAIRING(trap_7_connect_waits_while_the_unix_queue_is_full)

/* Pauses grow to some 50 ms.  The last one ends when time does, and then there is room.  In
 * the simulated network alone, where nothing comes late that has not been told to. */
static void room_in_the_last_pause(void)
{
    int s = bound_make(UNIX_STREAM), inside[8];
    struct text where = self_text(s);
    int n = fill_queue(s, where.c, inside);
    struct target t = {stoa_socket(AF_UNIX, SOCK_STREAM, 0), where.c};
    struct beside b;

    stoa_settimeout(t.s, 0.3);
    beside(&b, connects, &t);
    stoa_sleep(0.27);
    EXPECT_OK(stoa_close(stoa_accept(s, NULL)));
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_OK(stoa_close(t.s) | stoa_close(s));
    for (int i = 0; i < n; i++)
        EXPECT_OK(stoa_close(inside[i]));
}
T_CASE(room_in_the_last_pause, room_sim, "trap_7_room_in_the_last_pause_is_in_time/sim", run_sim)

TEST(trap_7_close_ends_the_wait_for_room)
{
    int s = bound_make(UNIX_STREAM), inside[8];
    struct text where = self_text(s);
    int n = fill_queue(s, where.c, inside);
    struct target t = {stoa_socket(AF_UNIX, SOCK_STREAM, 0), where.c};
    struct beside b;

    beside(&b, connects, &t);
    until_asleep(&b);
    EXPECT_OK(stoa_close(t.s));
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECANCELED);

    /* And the listener's end is a refusal. */
    t.s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    beside(&b, connects, &t);
    until_asleep(&b);
    EXPECT_OK(stoa_close(s));
    EXPECT_EQ(beside_join(&b), -1);
    EXPECT_EQ(b.error, ECONNREFUSED);
    EXPECT_OK(stoa_close(t.s));
    for (int i = 0; i < n; i++)
        EXPECT_OK(stoa_close(inside[i]));
}
ON_EVERY_PAIRING(trap_7_close_ends_the_wait_for_room)

/* -------------------------------------------------------------------------
 * 13: the path of a server that died, and that of one which lives
 * ---------------------------------------------------------------------- */

static int is_live(const char *path)
{
    int c = stoa_dial(path, NULL);

    if (c < 0)
        return 0;
    EXPECT_OK(stoa_close(c));
    return 1;
}

TEST(trap_13_a_dead_servers_path_is_taken_over)
{
    struct text path = unix_path();

    for (int i = 0; i < 3; i++) {
        int s = stoa_announce(path.c, NULL); /* close leaves the file, as a crash does */
        EXPECT_OK(s);
        EXPECT(is_live(path.c));
        EXPECT_OK(stoa_close(s));
    }
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_OK(stoa_bind(s, path.c));
    EXPECT_OK(stoa_listen(s, 5));
    EXPECT(is_live(path.c));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_13_a_dead_servers_path_is_taken_over)

TEST(trap_13_a_crashed_servers_path_is_taken_over)
{
    struct text path = unix_path();
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    strcpy(un.sun_path, path.c + 5);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        _exit(bind(fd, (struct sockaddr *)&un, sizeof(un)) || listen(fd, 5));
    }
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    int s = stoa_announce(path.c, NULL);
    EXPECT_OK(s);
    EXPECT(is_live(path.c));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_13_a_crashed_servers_path_is_taken_over)

TEST(trap_13_a_live_servers_path_is_left_alone)
{
    struct text path = unix_path();
    int s = stoa_announce(path.c, NULL), t = stoa_socket(AF_UNIX, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_announce(path.c, NULL), EADDRINUSE);
    EXPECT_SAID(path.c + 5);
    EXPECT_ERR(stoa_bind(t, path.c), EADDRINUSE);
    EXPECT(is_live(path.c));
    /* Also one whose queue is full, so that a probe is not let in. */
    int inside[8];
    int n = fill_queue(s, path.c, inside);
    EXPECT_ERR(stoa_announce(path.c, NULL), EADDRINUSE);
    EXPECT_ERR(stoa_bind(t, path.c), EADDRINUSE);
    for (int i = 0; i < n; i++)
        EXPECT_OK(stoa_close(inside[i]));
    EXPECT_OK(stoa_close(t) | stoa_close(s));
}
ON_EVERY_BACKEND(trap_13_a_live_servers_path_is_left_alone)

/* Bound and not listening yet, in the moment between the two calls: refused, and yet alive. */
TEST(trap_13_a_server_that_does_not_listen_yet_is_left_alone)
{
    struct text path = unix_path();
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0), t = stoa_socket(AF_UNIX, SOCK_STREAM, 0);

    EXPECT_OK(stoa_bind(s, path.c));
    EXPECT_ERR(stoa_bind(t, path.c), EADDRINUSE);
    EXPECT_ERR(stoa_announce(path.c, NULL), EADDRINUSE);
    EXPECT_OK(stoa_listen(s, 5));
    EXPECT(is_live(path.c));
    EXPECT_OK(stoa_close(t) | stoa_close(s));
}
ON_EVERY_BACKEND(trap_13_a_server_that_does_not_listen_yet_is_left_alone)

/* The probe that tells dead from alive is no client: a server must not see one. */
TEST(trap_13_a_datagram_path_too)
{
    struct text path = unix_path();
    int s = stoa_socket(AF_UNIX, SOCK_DGRAM, 0), t = stoa_socket(AF_UNIX, SOCK_DGRAM, 0);

    EXPECT_OK(stoa_bind(s, path.c));
    EXPECT_ERR(stoa_bind(t, path.c), EADDRINUSE);
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_bind(t, path.c));
    EXPECT_OK(stoa_close(t));
    /* And across types: a live datagram socket is alive for a stream, too. */
    s = stoa_socket(AF_UNIX, SOCK_DGRAM, 0);
    EXPECT_OK(stoa_bind(s, path.c));
    EXPECT_ERR(stoa_announce(path.c, NULL), EADDRINUSE);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_13_a_datagram_path_too)

/* A symbolic link is not followed into somebody else's file, nor removed. */
TEST(trap_13_what_is_no_socket_is_not_unlinked)
{
    NOT_SIMULATED("there a path is a name, and no file");
    struct text path = unix_path(), link = unix_path();
    struct stat st;

    EXPECT_EQ(mkdir(path.c + 5, 0700), 0);
    EXPECT_ERR(stoa_announce(path.c, NULL), ENOTSOCK);
    EXPECT_EQ(stat(path.c + 5, &st), 0);
    EXPECT_EQ(rmdir(path.c + 5), 0);
    EXPECT_EQ(symlink("/dev/null", link.c + 5), 0);
    EXPECT_ERR(stoa_announce(link.c, NULL), ENOTSOCK);
    EXPECT_EQ(lstat(link.c + 5, &st), 0);
    EXPECT(S_ISLNK(st.st_mode));
}
ON_EVERY_BACKEND(trap_13_what_is_no_socket_is_not_unlinked)

/* Two start at once on a dead server's path, a thousand times: exactly one serves it, and
 * it is the one who can be reached. */
struct starter {
    pthread_barrier_t *gate;
    const char *path;
    int s;
    int error;
};

enum { ROUNDS = 1000 };

static void *starts(void *arg)
{
    struct starter *me = arg;

    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(me->gate);
        me->s = stoa_announce(me->path, NULL);
        me->error = errno;
        pthread_barrier_wait(me->gate); /* both have tried */
        pthread_barrier_wait(me->gate); /* it has been looked at */
    }
    return NULL;
}

TEST(trap_13_of_two_starters_exactly_one_wins_a_thousand_times)
{
    struct text path = unix_path();
    pthread_barrier_t gate;
    pthread_t threads[2];
    struct starter both[2] = {{&gate, path.c, -1, 0}, {&gate, path.c, -1, 0}};

    pthread_barrier_init(&gate, NULL, 3);
    EXPECT_OK(stoa_close(stoa_announce(path.c, NULL)));
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, starts, &both[i]), 0);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&gate);
        pthread_barrier_wait(&gate);
        int winner = both[0].s >= 0 ? 0 : 1, loser = 1 - winner;
        if (both[winner].s < 0 || both[loser].s >= 0 || both[loser].error != EADDRINUSE)
            t_fail(__FILE__, __LINE__, "round %d: %d and %d, errno %d", i, both[0].s, both[1].s,
                   both[loser].error);
        int c = stoa_dial(path.c, NULL);
        EXPECT_OK(c);
        stoa_settimeout(both[winner].s, 10);
        int d = stoa_accept(both[winner].s, NULL);
        EXPECT_OK(d);
        EXPECT_OK(stoa_close(c) | stoa_close(d));
        for (int k = 0; k < 2; k++)
            if (both[k].s >= 0)
                EXPECT_OK(stoa_close(both[k].s));
        pthread_barrier_wait(&gate);
    }
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&gate);
}
