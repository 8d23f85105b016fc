/* traps_other.c - the next candidates: SIGPIPE, shared ports, errors told once, fork.
 */
#include "backends.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* -------------------------------------------------------------------------
 * SIGPIPE, by calls that have no flag against it
 * ---------------------------------------------------------------------- */

static long sends(int call, int s)
{
    struct iovec iov = {"x", 1};
    int fd, error, zero = 0;
    long r;
    FILE *f;

    switch (call) {
    case 0:
        return stoa_send(s, "x", 1, 0);
    case 1:
        return stoa_sendall(s, "x", 1, 0);
    case 2:
        return stoa_sendmsg(s, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1}, 0);
    case 3:
        fd = memfd_create("file", MFD_CLOEXEC);
        EXPECT_EQ(write(fd, "hello", 5), 5);
        r = stoa_sendfile(s, fd, &(off_t){0}, 0);
        error = errno;
        close(fd);
        errno = error;
        return r;
    case 4:
        return stoa_send_fds(s, "x", 1, &zero, 1);
    case 5:
        return stoa_sendto(s, "x", 1, 0, NULL);
    default:
        f = stoa_makefile(s, "w");
        setvbuf(f, NULL, _IONBF, 0);
        r = fputs("x", f);
        error = errno;
        fclose(f);
        errno = error;
        return r;
    }
}

/* The signal's default is death: whoever gets here has not had it. */
TEST(trap_SIGPIPE_is_raised_by_no_call)
{
    void (*old)(int) = signal(SIGPIPE, SIG_DFL);
    sigset_t before, after, pending;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (int call = 0; call < 7; call++) {
        struct pair p = pair_of(UNIX_STREAM);

        EXPECT_OK(stoa_close(p.far));
        EXPECT_ERR(sends(call, p.near), EPIPE);
        EXPECT_OK(stoa_close(p.near));
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    EXPECT_EQ(sigismember(&before, SIGPIPE), sigismember(&after, SIGPIPE));
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
    signal(SIGPIPE, old);
}
ON_EVERY_BACKEND(trap_SIGPIPE_is_raised_by_no_call)

/* Nor do we eat one that was there before and is the program's own. */
TEST(trap_SIGPIPE_of_the_program_is_left_alone)
{
    sigset_t pipe, old, pending;
    struct pair p = pair_of(UNIX_STREAM);
    const struct timespec none = {0};

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &old);
    pthread_kill(pthread_self(), SIGPIPE);
    EXPECT_OK(stoa_close(p.far));
    EXPECT_ERR(sends(3, p.near), EPIPE);
    EXPECT_OK(stoa_close(p.near));
    sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 1);
    EXPECT_EQ(sigtimedwait(&pipe, NULL, &none), SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
ON_EVERY_BACKEND(trap_SIGPIPE_of_the_program_is_left_alone)

/* -------------------------------------------------------------------------
 * SO_REUSEPORT: two servers of one user share a port and each hears half
 * ---------------------------------------------------------------------- */

static void no_handler(int conn, void *arg)
{
    (void)conn;
    (void)arg;
}

struct serving {
    struct text where;
    int workers;
    int rc;
};

static void *serves_one(void *arg)
{
    struct serving *me = arg;
    struct stoa_options o = {.size = sizeof(o), .workers = me->workers};

    me->rc = stoa_serve(me->where.c, no_handler, NULL, &o);
    return NULL;
}

TEST(trap_REUSEPORT_a_second_server_is_refused)
{
    ALONE(trap_REUSEPORT_a_second_server_is_refused);
    for (int workers = 1; workers <= 2; workers++) {
        struct serving me = {.workers = workers};
        struct stoa_options o = {.size = sizeof(o), .workers = 2};
        pthread_t thread;
        int keep = port_keep(&me.where), s;

        EXPECT_EQ(pthread_create(&thread, NULL, serves_one, &me), 0);
        EXPECT_OK(stoa_close(dial_soon(me.where.c)));
        EXPECT_ERR(stoa_serve(me.where.c, no_handler, NULL, &o), EADDRINUSE);
        EXPECT_SAID(strchr(me.where.c, ':'));
        EXPECT_ERR(stoa_announce(me.where.c, NULL), EADDRINUSE);
        s = stoa_socket(AF_INET, SOCK_STREAM, 0);
        EXPECT_ERR(stoa_bind(s, me.where.c), EADDRINUSE);
        EXPECT_OK(stoa_close(s));
        EXPECT_OK(stoa_stop());
        EXPECT_EQ(pthread_join(thread, NULL), 0);
        EXPECT_EQ(me.rc, 0);
        close(keep);
    }
}

TEST(trap_REUSEPORT_only_who_asks_shares)
{
    struct stoa_options o = {.size = sizeof(o), .reuseport = true};
    int s = stoa_announce("127.0.0.1:0", &o);
    struct text where = self_text(s);

    EXPECT_ERR(stoa_announce(where.c, NULL), EADDRINUSE);
    int t = stoa_announce(where.c, &o);
    EXPECT_OK(t);
    EXPECT_OK(stoa_close(s) | stoa_close(t));
    s = stoa_announce("127.0.0.1:0", NULL);
    EXPECT_ERR(stoa_announce(self_text(s).c, &o), EADDRINUSE);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_REUSEPORT_only_who_asks_shares)

/* -------------------------------------------------------------------------
 * SO_ERROR is told once: our looking must not take it away
 * ---------------------------------------------------------------------- */

TEST(trap_SO_ERROR_poll_leaves_the_error_for_recv)
{
    struct pair p = pair_make();
    char c;

    EXPECT_OK(stoa_abort(p.far));
    for (int i = 0; i < 3; i++)
        EXPECT(stoa_poll(p.near, POLLIN) & POLLERR);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ECONNRESET);
    EXPECT_OK(stoa_close(p.near));

    p = pair_make();
    EXPECT_OK(stoa_abort(p.far));
    EXPECT(stoa_poll(p.near, POLLIN | POLLOUT) & POLLERR);
    int error = 0;
    socklen_t len = sizeof(error);
    EXPECT_OK(stoa_getsockopt(p.near, SOL_SOCKET, SO_ERROR, &error, &len));
    EXPECT_EQ(error, ECONNRESET);
    EXPECT_OK(stoa_close(p.near));
}
ON_EVERY_BACKEND(trap_SO_ERROR_poll_leaves_the_error_for_recv)

/* -------------------------------------------------------------------------
 * fork while the runtime runs
 * ---------------------------------------------------------------------- */

/* A child that holds everything open for a while and ends must not disturb the parent, nor
 * take the end of a connection away from its peer for longer than it lives. */
TEST(trap_fork_a_child_does_not_disturb_the_parent)
{
    NOT_SIMULATED("a real child");
    struct pair p = pair_make();
    int gate[2], status = -1;
    char c;

    EXPECT_EQ(pipe2(gate, O_CLOEXEC), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        _exit(read(gate[0], &c, 1) != 0);
    }
    for (int i = 0; i < 100; i++) {
        EXPECT_OK(stoa_sendall(p.near, "x", 1, 0));
        EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 1);
        EXPECT_OK(stoa_sleep(0.0001));
    }
    stoa_settimeout(p.far, 0.02);
    EXPECT_ERR(stoa_recv(p.far, &c, 1, 0), ETIME);
    EXPECT_OK(stoa_close(p.near)); /* shared with the child: no end of stream yet */
    struct pair q = pair_make();
    EXPECT_OK(stoa_sendall(q.near, "y", 1, 0));
    EXPECT_EQ(stoa_recv(q.far, &c, 1, 0), 1);
    EXPECT_ERR(stoa_recv(p.far, &c, 1, 0), ETIME);
    close(gate[0]);
    close(gate[1]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    stoa_settimeout(p.far, -1);
    EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 0);
    EXPECT_OK(stoa_close(p.far));
    pair_close(&q);
}
ON_EVERY_BACKEND(trap_fork_a_child_does_not_disturb_the_parent)

/* The textbook's forking server, on a plain thread: the child talks, the parent closes, also
 * with unread input, where a close of our own would shut the connection down politely. */
TEST(trap_fork_the_child_serves_and_the_parent_closes)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL), d = stoa_accept(s, NULL);
    int status = -1, gate[2];
    char buf[8];

    EXPECT_EQ(pipe2(gate, O_CLOEXEC), 0);
    EXPECT_OK(stoa_sendall(c, "hello", 5, 0));
    EXPECT_EQ(stoa_poll(d, POLLIN), POLLIN);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        if (read(gate[0], buf, 1) != 0)
            _exit(3);
        stoa_close(s);
        stoa_settimeout(d, 300);
        for (ssize_t n; (n = stoa_recv(d, buf, sizeof(buf), 0)) > 0;)
            if (stoa_sendall(d, buf, (size_t)n, 0) < 0)
                _exit(2);
        _exit(stoa_close(d) < 0);
    }
    EXPECT_OK(stoa_close(d));
    close(gate[0]);
    close(gate[1]);
    EXPECT_EQ(stoa_recvall(c, buf, 5), 5);
    EXPECT_OK(stoa_shutdown(c, SHUT_WR));
    EXPECT_EQ(stoa_recv(c, buf, 8, 0), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_OK(stoa_close(c) | stoa_close(s));
}

/* A fork of another thread's, just after the kernel has made a descriptor: here, in the call. */
static int (*on_new)(int fd);

int socket(int family, int type, int proto)
{
    int fd = (int)syscall(SYS_socket, family, type, proto);

    return fd >= 0 && on_new ? on_new(fd) : fd;
}

int accept4(int s, struct sockaddr *sa, socklen_t *len, int flags)
{
    int fd = (int)syscall(SYS_accept4, s, sa, len, flags);

    return fd >= 0 && on_new ? on_new(fd) : fd;
}

static int child_gate[2];
static pid_t child_pid;

/* The child holds all it has until the gate is closed. */
static int fork_now(int fd)
{
    char c;

    on_new = NULL;
    fflush(stdout);
    child_pid = fork();
    if (child_pid == 0) {
        close(child_gate[1]);
        _exit(read(child_gate[0], &c, 1) != 0);
    }
    return fd;
}

TEST(trap_fork_between_a_descriptor_and_its_handle)
{
    NOT_SIMULATED("a real child");
    for (int of_accept = 0; of_accept < 2; of_accept++) {
        struct text where;
        int s = listener_make(TCP4, &where), status = -1;
        char buf[8];

        EXPECT_EQ(pipe2(child_gate, O_CLOEXEC), 0);
        on_new = of_accept ? NULL : fork_now;
        int c = stoa_socket(AF_INET, SOCK_STREAM, 0);
        EXPECT_OK(stoa_connect(c, where.c));
        on_new = of_accept ? fork_now : NULL;
        int d = stoa_accept(s, NULL), mine = of_accept ? d : c, other = of_accept ? c : d;

        /* With unread input a close of our own would end the connection for the child, too. */
        EXPECT_OK(stoa_sendall(other, "x", 1, 0));
        EXPECT_EQ(stoa_poll(mine, POLLIN), POLLIN);
        EXPECT_OK(stoa_close(mine));
        stoa_settimeout(other, 0.05);
        EXPECT_ERR(stoa_recv(other, buf, sizeof(buf), 0), ETIME);
        close(child_gate[0]);
        close(child_gate[1]);
        EXPECT_EQ(waitpid(child_pid, &status, 0), child_pid);
        EXPECT_EQ(status, 0);
        EXPECT_OK(stoa_close(other) | stoa_close(s));
    }
}
ON_EVERY_BACKEND(trap_fork_between_a_descriptor_and_its_handle)

/* What a child inherits had a home in its parent, which is not there any more. */
static int recv_in_child(void *arg)
{
    char c;

    return (int)stoa_recv(*(int *)arg, &c, 1, 0);
}

static void *run_in_child(void *arg)
{
    struct stoa_options o = options_here();

    _exit(stoa_run(recv_in_child, arg, &o) == 1 ? 0 : 1);
}

TEST(trap_fork_a_childs_fibers_wait_on_what_it_inherits)
{
    NOT_SIMULATED("a real child");
#if defined(__SANITIZE_THREAD__)
    SKIP("ThreadSanitizer lets a child start no threads");
    return;
#endif
    struct pair p = pair_make();
    int status = -1, gate[2];
    pthread_t thread;
    char c;

    stoa_settimeout(p.near, 0.01);
    EXPECT_ERR(stoa_recv(p.near, &c, 1, 0), ETIME);
    stoa_settimeout(p.near, -1);
    EXPECT_EQ(pipe2(gate, O_CLOEXEC), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        alarm(300);
        if (read(gate[0], &c, 1) != 1 || pthread_create(&thread, NULL, run_in_child, &p.near) != 0)
            _exit(2);
        pthread_join(thread, NULL);
        _exit(3);
    }
    EXPECT_EQ(write(gate[1], "x", 1), 1);
    EXPECT_OK(stoa_sleep(0.1)); /* it waits by now, most likely */
    EXPECT_OK(stoa_sendall(p.far, "y", 1, 0));
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    close(gate[0]);
    close(gate[1]);
    pair_close(&p);
}
ON_EVERY_BACKEND(trap_fork_a_childs_fibers_wait_on_what_it_inherits)

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

/* The child of a fiber is a plain thread: it may run fibers of its own. */
TEST(trap_fork_the_child_of_a_fiber_runs_fibers)
{
    NOT_SIMULATED("a real child");
    int status = -1;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(300);
        _exit(stoa_run(seven, NULL, NULL));
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(WEXITSTATUS(status), 7);
}
ON_EVERY_BACKEND(trap_fork_the_child_of_a_fiber_runs_fibers)

/* Others make and end sockets while we fork: the child's table must be whole, and free. */
static atomic_bool forking;

static void *make_and_end(void *arg)
{
    int pair[2];

    (void)arg;
    while (atomic_load(&forking))
        if (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
            stoa_close(pair[0]);
            stoa_close(pair[1]);
        }
    return NULL;
}

TEST(trap_fork_a_child_makes_sockets_whatever_others_did)
{
    pthread_t thread[2];

    atomic_store(&forking, true);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_create(&thread[i], NULL, make_and_end, NULL), 0);
    fflush(stdout);
    for (int i = 0; i < 300; i++) {
        int pair[2], status = -1;
        pid_t pid = fork();

        if (pid == 0) {
            alarm(300);
            if (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
                _exit(1);
            _exit(stoa_close(pair[0]) | stoa_close(pair[1]) ? 2 : 0);
        }
        EXPECT_EQ(waitpid(pid, &status, 0), pid);
        EXPECT_EQ(status, 0);
        if (status)
            break;
    }
    atomic_store(&forking, false);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(pthread_join(thread[i], NULL), 0);
}

/* Two processes accept from one listener: a client goes to one of them, and the other
 * goes on waiting, in its time. */
TEST(trap_fork_two_processes_accept_from_one_listener)
{
    struct text where;
    int s = listener_make(TCP4, &where), status = -1, got = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        stoa_settimeout(s, 0.3);
        while (stoa_accept(s, NULL) >= 0)
            got++;
        _exit(errno == ETIME ? got : 99);
    }
    stoa_settimeout(s, 0.3);
    int c[10];
    for (int i = 0; i < 10; i++)
        c[i] = stoa_dial(where.c, NULL);
    for (int d; (d = stoa_accept(s, NULL)) >= 0; got++)
        EXPECT_OK(stoa_close(d));
    EXPECT_EQ(errno, ETIME);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(got + WEXITSTATUS(status), 10);
    for (int i = 0; i < 10; i++)
        EXPECT_OK(stoa_close(c[i]));
    EXPECT_OK(stoa_close(s));
}
