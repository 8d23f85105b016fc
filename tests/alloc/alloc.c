/* alloc.c - each allocation of the library fails in turn: nothing crashes, hangs or leaks.
 *
 * A scenario goes once through the whole facade.  It is run with the first allocation
 * refused, then the second, and so on until a run passes in which none was: SQLite's
 * loop.  Then once more with all allocations from the k-th on refused, and then both with
 * descriptors instead of memory.
 *
 * Each run is a process of its own, so that what is allocated once in a process fails, too.
 * In it: the run with the failure; every call in it either succeeds or says ENOMEM, EAGAIN
 * or the like.  Then a run without: the library must have recovered, so all of it succeeds.
 * Then the blocks, mappings and descriptors that are held must be as many as in a process
 * in which nothing has failed.
 */
#include "backends.h"
#include "fail.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

/* A call's result.  A failure is good if one was made and the code says so; then the part of
 * the scenario that needs it is left out. */
static bool good(long r, int line)
{
    static const int allowed[] = {ENOMEM, EAGAIN, EMFILE, ENFILE, ENOBUFS, EREMOTEIO};
    int error = errno;

    if (r >= 0)
        return true;
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && fail_happened(); i++)
        if (error == allowed[i] && strlen(stoa_errmsg()) > 0)
            return false;
    t_fail(__FILE__, line, "errno %d (%s), \"%s\"", error,
           fail_happened() ? "after a refusal" : "without a refusal", stoa_errmsg());
    return false;
}

#define GOOD(call) good((long)(call), __LINE__)

/* The connection of near, and of no stranger: another test's client that waits for somebody to
 * listen on a port which was free, and is ours now. */
static int accept_from(int s, int near)
{
    struct stoa_addr own, peer;

    for (;;) {
        int far = stoa_accept(s, &peer);

        if (far < 0 || !GOOD(stoa_getsockname(near, &own)) ||
            (own.len == peer.len && memcmp(&own.sa, &peer.sa, own.len) == 0))
            return far;
        EXPECT_OK(stoa_close(far));
    }
}

static struct pair tcp_pair(void)
{
    struct pair p = {-1, -1};
    struct stoa_addr a;
    struct text t;
    int s = stoa_announce("127.0.0.1:0", NULL);

    if (!GOOD(s))
        return p;
    if (GOOD(stoa_getsockname(s, &a))) {
        p.near = stoa_dial(stoa_addr_text(&a, t.c, sizeof(t.c)), NULL);
        if (GOOD(p.near)) {
            p.far = accept_from(s, p.near);
            GOOD(p.far);
        }
    }
    EXPECT_OK(stoa_close(s));
    return p;
}

static void end_pair(struct pair *p)
{
    if (p->near >= 0)
        EXPECT_OK(stoa_close(p->near));
    if (p->far >= 0)
        EXPECT_OK(stoa_close(p->far));
}

static void addresses(void)
{
    struct stoa_addr list[4];

    GOOD(stoa_resolve("127.0.0.1:80", list, 4));
    GOOD(stoa_resolve("localhost:80", list, 4));
    if (stoa_addr_parse(list, "127.1:80") < 0)
        EXPECT_EQ(errno, EINVAL); /* the code is never lost, the sentence may be shorter */
    EXPECT_GT(strlen(stoa_errmsg()), 0);
}

static void talking(void)
{
    struct pair p = tcp_pair();
    char buf[16];

    if (p.far >= 0) {
        if (GOOD(stoa_sendall(p.near, "hello", 5, 0)))
            GOOD(stoa_recvall(p.far, buf, 5));
        stoa_settimeout(p.near, 0.001);
        if (stoa_recv(p.near, buf, 1, 0) < 0 && errno != ETIME)
            GOOD(-1);
        int d = stoa_dup(p.near);
        if (GOOD(d))
            EXPECT_OK(stoa_close(d));
        int fd = stoa_detach(p.far);
        EXPECT_OK(fd);
        p.far = stoa_fromfd(fd);
        if (!GOOD(p.far))
            close(fd);
    }
    end_pair(&p);
}

static void files(void)
{
    struct pair p = tcp_pair();
    char line[32];

    if (p.far >= 0) {
        FILE *out = stoa_makefile(p.near, "w"), *in = stoa_makefile(p.far, "rw");

        if (GOOD(out ? 0 : -1) && GOOD(in ? 0 : -1)) {
            setvbuf(out, NULL, _IONBF, 0);
            EXPECT_GE(fputs("one\ntwo\n", out), 0);
            if (fgets(line, sizeof(line), in))
                EXPECT_STR(line, "one\n");
            else
                EXPECT(fail_happened());
        }
        if (out)
            fclose(out);
        if (in)
            fclose(in);
    }
    end_pair(&p);
}

static void descriptors_over_unix(void)
{
    int pair[2], zero = 0, got[2];
    size_t n = 2;
    char c;

    if (!GOOD(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair)))
        return;
    if (GOOD(stoa_send_fds(pair[0], "x", 1, &zero, 1)) &&
        GOOD(stoa_recv_fds(pair[1], &c, 1, got, &n)) && n == 1)
        close(got[0]);
    EXPECT_OK(stoa_close(pair[0]) | stoa_close(pair[1]));
}

static void unix_path_twice(const char *path)
{
    for (int i = 0; i < 2; i++) {
        int s = stoa_announce(path, NULL);
        if (GOOD(s))
            EXPECT_OK(stoa_close(s));
    }
}

/* Close with unread input and an answer on its way: a background thread, if it can be had. */
static void goodbye(void)
{
    struct pair p = tcp_pair();
    char buf[16];

    if (p.far >= 0 && GOOD(stoa_sendall(p.near, "unread", 6, 0)) &&
        GOOD(stoa_poll(p.far, POLLIN)) && GOOD(stoa_sendall(p.far, "answer", 6, 0))) {
        EXPECT_OK(stoa_close(p.far));
        p.far = -1;
        if (!fail_happened())
            EXPECT_EQ(stoa_recvall(p.near, buf, 7), 6);
    }
    end_pair(&p);
}

static int blocks(void *arg)
{
    (void)arg;
    return 5;
}

static int echoes_fiber(void *arg)
{
    struct pair *p = arg;
    char c;

    if (!GOOD(stoa_recv(p->far, &c, 1, 0)) || !GOOD(stoa_send(p->far, &c, 1, 0)))
        stoa_shutdown(p->far, SHUT_RDWR); /* whoever waits for it must not for ever */
    return 0;
}

static int waits_fiber(void *arg)
{
    char c;

    if (stoa_recv(*(int *)arg, &c, 1, 0) < 0 && errno != ECANCELED)
        GOOD(-1);
    return 0;
}

static int fibers(void *arg)
{
    struct pair p = tcp_pair();
    struct stoa_group *g = stoa_group_open();
    char c;

    (void)arg;
    if (p.far >= 0 && GOOD(g ? 0 : -1) && GOOD(stoa_go(g, echoes_fiber, &p))) {
        if (GOOD(stoa_send(p.near, "x", 1, 0)))
            GOOD(stoa_recv(p.near, &c, 1, 0));
        for (int i = 0; i < 3; i++)
            GOOD(stoa_go(g, waits_fiber, &p.near));
        stoa_yield();
        stoa_group_cancel(g);
    }
    if (g)
        EXPECT_OK(stoa_group_join(g));
    end_pair(&p);
    int r = stoa_offload(blocks, NULL);
    if (r < 0)
        GOOD(r);
    addresses();
    files();
    goodbye();
    return 0;
}

struct served {
    const char *path;
    atomic_bool over;
};

static void answers(int conn, void *arg)
{
    char c;

    (void)arg;
    if (stoa_recv(conn, &c, 1, 0) == 1)
        stoa_send(conn, "y", 1, 0);
}

static void *clients(void *arg)
{
    struct served *s = arg;
    struct stoa_scope scope;
    char c;

    while (!atomic_load(&s->over)) {
        stoa_within(&scope, 10);
        int conn = stoa_dial(s->path, NULL);
        if (conn >= 0) {
            if (stoa_send(conn, "x", 1, 0) == 1)
                stoa_recv(conn, &c, 1, 0);
            stoa_close(conn);
        }
        stoa_leave(&scope);
    }
    return NULL;
}

static void serving(const char *path)
{
    struct stoa_options o = {.size = sizeof(o), .workers = 2, .count = 4};
    struct served s = {.path = path};
    pthread_t thread;

    if (pthread_create(&thread, NULL, clients, &s) != 0)
        return;
    GOOD(stoa_serve(path, answers, NULL, &o));
    atomic_store(&s.over, true);
    pthread_join(thread, NULL);
}

/* Bound, and alive though it does not listen yet: nobody may take its path. */
static void unix_path_of_the_living(const char *path)
{
    int s = stoa_socket(AF_UNIX, SOCK_STREAM, 0), t;

    if (!GOOD(s))
        return;
    if (GOOD(stoa_bind(s, path))) {
        t = stoa_announce(path, NULL);
        EXPECT_EQ(t, -1);
        if (errno != EADDRINUSE)
            GOOD(t);
    }
    EXPECT_OK(stoa_close(s));
}

static void scenario(const char *path, const char *served)
{
    addresses();
    talking();
    files();
    descriptors_over_unix();
    unix_path_twice(path);
    unix_path_of_the_living(path);
    goodbye();
    GOOD(stoa_run(fibers, NULL, NULL));
    serving(served);
}

static int open_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

struct outcome {
    int failed;    /* EXPECTs */
    bool happened; /* something was refused */
    long held;     /* blocks and mappings */
    int fds;
    long where; /* fail_where() */
};

/* Count what is held, when threads that are about to end have ended: at once if it is what is
 * usual, else the least in a while, which is long for a busy machine's sake; what is usual is
 * the least in three seconds. */
static void count_held(struct outcome *o, const struct outcome *usual)
{
    const struct timespec moment = {.tv_nsec = 5 * 1000 * 1000};

    o->held = fail_held();
    o->fds = open_fds();
    for (int i = 0; i < (usual ? 12000 : 600); i++) {
        if (usual && o->held <= usual->held && o->fds <= usual->fds)
            return;
        nanosleep(&moment, NULL);
        o->held = fail_held() < o->held ? fail_held() : o->held;
        o->fds = open_fds() < o->fds ? open_fds() : o->fds;
    }
}

/* In a child: the run with the failure, the run without, what is held then. */
static struct outcome both_runs(enum fail_what what, long k, bool more, const struct outcome *usual)
{
    struct text one = unix_path(), two = unix_path();
    struct outcome o = {0};

    fail_arm(what, k, more);
    scenario(one.c, two.c);
    fail_disarm();
    o.happened = fail_happened();
    o.where = fail_where();
    fail_arm(FAIL_NOTHING, 0, false);
    scenario(one.c, two.c);
    count_held(&o, usual);
    o.failed = atomic_load(&t_failed);
    if (__lsan_do_recoverable_leak_check)
        o.failed += __lsan_do_recoverable_leak_check();
    return o;
}

static struct outcome in_child(enum fail_what what, long k, bool more, const struct outcome *usual)
{
    struct outcome *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct outcome o;
    int status = 0;

    *shared = (struct outcome){.failed = -1};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(300);
        atomic_store(&t_failed, 0);
        *shared = both_runs(what, k, more, usual);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    o = *shared;
    if (status != 0)
        t_fail(__FILE__, __LINE__, "refusal %ld: the process ended with status %d", k, status);
    munmap(shared, sizeof(*shared));
    return o;
}

static void each_in_turn(enum fail_what what, bool more)
{
    static struct outcome usual;
    struct outcome o = {.happened = true};
    const char *only = getenv("STOA_REFUSE"); /* begin with this one, for a debugger */
    long k = only ? atol(only) - 1 : 0;

    unix_path(); /* the folder is the parent's, for all children */
    if (!usual.fds)
        usual = in_child(FAIL_NOTHING, 0, false, NULL);
    EXPECT_EQ(usual.failed, 0);
    while (o.happened && atomic_load(&t_failed) < 9 && k < 1000) {
        o = in_child(what, ++k, more, &usual);
        if (o.failed)
            t_fail(__FILE__, __LINE__, "refusal %ld at 0x%lx: %d failures", k, o.where, o.failed);
        if (o.held > usual.held || o.fds > usual.fds)
            t_fail(__FILE__, __LINE__,
                   "refusal %ld at 0x%lx: %ld blocks, %d descriptors; usual: %ld, %d", k, o.where,
                   o.held, o.fds, usual.held, usual.fds);
    }
    EXPECT_LT(k, 1000);
    printf("# %ld refusals\n", k - 1);
}

TEST(each_allocation_fails_in_turn)
{
    each_in_turn(FAIL_MEMORY, false);
}

TEST(all_allocations_fail_from_each_one_on)
{
    each_in_turn(FAIL_MEMORY, true);
}

TEST(each_descriptor_fails_in_turn)
{
    each_in_turn(FAIL_DESCRIPTORS, false);
}
