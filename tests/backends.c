/* backends.c - places to run a test's body in, a second activity beside it, and sockets for it.
 *
 * How a body gets to its place: run_epoll() calls stoa_run() with the body in the first
 * fiber.  beside() then looks into `place` for where the second activity goes.
 *
 * How "the other one waits now" is known without sleeping: the activity says so just
 * before the call (about_to_wait), and then either has parked as soon as this fiber has
 * let it run (same worker), or its thread is found asleep in a system call that waits
 * (/proc/self/task/TID/syscall).  A worker that sleeps has parked all its fibers.
 *
 * What stays open on purpose is opened in t_setup(), before descriptors are counted:
 * a plain thread's own eventfd, and the one that ends every run.
 */
#include "backends.h"
#include "unit/watched.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stoa/sim.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

static const struct place on_thread = {.beside = BESIDE_THREAD};
static const struct place on_sim = {.backend = "sim", .beside = BESIDE_FIBER};

const struct place *place = &on_thread;

void t_setup(void);

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* A run, and a wait on a plain thread, so that what the library keeps is there. */
void t_setup(void)
{
    int pair[2];

    if (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return;
    stoa_settimeout(pair[0], 1e-6);
    stoa_poll(pair[0], POLLIN);
    stoa_close(pair[0]);
    stoa_close(pair[1]);
    stoa_run(nothing, NULL, NULL);
}

struct stoa_options options_here(void)
{
    return (struct stoa_options){.size = sizeof(struct stoa_options),
                                 .backend = is_simulated() ? NULL : place->backend};
}

static int first_fiber(void *arg)
{
    void (**body)(void) = arg;

    (*body)();
    return 0;
}

bool backend_is_there(const char *backend)
{
    struct stoa_options o = {.size = sizeof(o), .backend = backend};

    return !backend || stoa_run(nothing, NULL, &o) == 0 || !said("not available");
}

bool is_simulated(void)
{
    return place == &on_sim;
}

void run_sim(void (*body)(void))
{
    place = &on_sim;
    EXPECT_OK(stoa_sim_run(1, first_fiber, &body, NULL));
    place = &on_thread;
}

static void run_in(const struct place *where, void (*body)(void))
{
    if (!backend_is_there(where->backend) || !backend_is_there(where->beside_backend)) {
        SKIP(stoa_errmsg());
        return;
    }
    place = where;
    if (where->backend) {
        struct stoa_options o = options_here();
        EXPECT_OK(stoa_run(first_fiber, &body, &o));
    } else {
        body();
    }
    place = &on_thread;
}

/* One row for a place: fiber or thread, and what is beside it. */
#define PLACE(name, ...)                                                                           \
    void name(void (*body)(void))                                                                  \
    {                                                                                              \
        static const struct place where = {__VA_ARGS__};                                           \
        run_in(&where, body);                                                                      \
    }
#define A_WORKER .beside = BESIDE_WORKER, .beside_backend

PLACE(run_epoll, .backend = "epoll", .beside = BESIDE_FIBER)
PLACE(run_epoll_worker, .backend = "epoll", A_WORKER = "epoll")
PLACE(run_epoll_thread, .backend = "epoll", .beside = BESIDE_THREAD)
PLACE(run_thread_epoll, A_WORKER = "epoll")
PLACE(run_uring, .backend = "uring", .beside = BESIDE_FIBER)
PLACE(run_uring_worker, .backend = "uring", A_WORKER = "uring")
PLACE(run_uring_thread, .backend = "uring", .beside = BESIDE_THREAD)
PLACE(run_thread_uring, A_WORKER = "uring")
PLACE(run_uring_epoll, .backend = "uring", A_WORKER = "epoll")
PLACE(run_epoll_uring, .backend = "epoll", A_WORKER = "uring")

/* -------------------------------------------------------------------------
 * A second activity
 * ---------------------------------------------------------------------- */

static int beside_fiber(void *arg)
{
    struct beside *b = arg;

    b->value = b->fn(b);
    b->error = errno;
    atomic_store(&b->ended, true);
    return 0;
}

static void *beside_thread(void *arg)
{
    struct beside *b = arg;

    if (place->beside == BESIDE_WORKER) {
        struct stoa_options o = {.size = sizeof(o), .backend = place->beside_backend};
        EXPECT_OK(stoa_run(beside_fiber, b, &o));
    } else {
        beside_fiber(b);
    }
    return NULL;
}

void beside(struct beside *b, int (*fn)(struct beside *me), void *arg)
{
    *b = (struct beside){.fn = fn, .arg = arg};
    if (place->beside == BESIDE_FIBER) {
        b->group = stoa_group_open();
        EXPECT(b->group != NULL);
        EXPECT_OK(stoa_go(b->group, beside_fiber, b));
    } else {
        EXPECT_EQ(pthread_create(&b->thread, NULL, beside_thread, b), 0);
    }
}

static int join_thread(void *arg)
{
    struct beside *b = arg;

    return pthread_join(b->thread, NULL);
}

/* A fiber that joins a thread must not stop its worker, which that thread may need. */
int beside_join(struct beside *b)
{
    if (b->group)
        EXPECT_OK(stoa_group_join(b->group));
    else
        EXPECT_EQ(stoa_offload(join_thread, b), 0);
    b->group = NULL;
    return b->value;
}

void about_to_wait(struct beside *me)
{
    me->tid = (pid_t)syscall(SYS_gettid);
    atomic_store(&me->waits, true);
}

void breathe(void)
{
    const struct timespec moment = {.tv_nsec = 50 * 1000};

    if (on_fiber())
        stoa_yield();
    else
        sched_yield();
    if (place->beside != BESIDE_FIBER)
        nanosleep(&moment, NULL);
}

/* The number of the system call that a thread of ours is in; -1: it runs, or is gone. */
static long syscall_of(pid_t tid)
{
    char path[64], line[64] = "";

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, line, sizeof(line) - 1);
    close(fd);
    return n > 0 && line[0] >= '0' && line[0] <= '9' ? strtol(line, NULL, 10) : -1;
}

/* System calls in which a thread of the library waits for the network.  Others (futex,
 * or read: valgrind's lock) do not count. */
static const long waits_here[] = {
#ifdef SYS_poll
    SYS_poll,      SYS_epoll_wait,
#endif
    SYS_ppoll,     SYS_epoll_pwait,     441 /* epoll_pwait2 */,
    SYS_accept,    SYS_accept4,         SYS_connect,
    SYS_recvfrom,  SYS_recvmsg,         SYS_sendto,
    SYS_sendmsg,   SYS_sendfile,        426 /* io_uring_enter */,
    SYS_nanosleep, SYS_clock_nanosleep, -1,
};

/* The same by x86-64's numbers: under qemu-user the kernel is another machine's. */
static const long waits_emulated[] = {
    7, 232, 271, 281, 441, 43, 288, 42, 45, 47, 44, 46, 40, 426, 35, 230, -1,
};

/* Who asks for its own call is in read(2), by the kernel's number for it. */
static const long *waits(void)
{
    return syscall_of((pid_t)syscall(SYS_gettid)) == SYS_read ? waits_here : waits_emulated;
}

static bool thread_waits(pid_t tid)
{
    long nr = syscall_of(tid);

    for (const long *w = waits(); *w >= 0; w++)
        if (*w == nr)
            return true;
    return false;
}

void until_asleep(struct beside *b)
{
    while (!atomic_load(&b->waits) && !atomic_load(&b->ended))
        breathe();
    if (place->beside == BESIDE_FIBER) {
        for (int i = 0; i < 4; i++)
            stoa_yield();
        return;
    }
    while (!thread_waits(b->tid) && !atomic_load(&b->ended))
        breathe();
}

/* -------------------------------------------------------------------------
 * Sockets
 * ---------------------------------------------------------------------- */

static const struct {
    const char *name;
    int family;
    int type;
    const char *free;
} kinds[KINDS] = {
    [TCP4] = {"tcp4", AF_INET, SOCK_STREAM, "127.0.0.1:0"},
    [TCP6] = {"tcp6", AF_INET6, SOCK_STREAM, "[::1]:0"},
    [UNIX_STREAM] = {"unix", AF_UNIX, SOCK_STREAM, "unix:"},
    [UDP4] = {"udp4", AF_INET, SOCK_DGRAM, "127.0.0.1:0"},
    [UDP6] = {"udp6", AF_INET6, SOCK_DGRAM, "[::1]:0"},
    [UNIX_DGRAM] = {"unix-dgram", AF_UNIX, SOCK_DGRAM, "unix:"},
};

const char *kind_name(enum kind k)
{
    return kinds[k].name;
}

int kind_family(enum kind k)
{
    return kinds[k].family;
}

int kind_type(enum kind k)
{
    return kinds[k].type;
}

const char *kind_free(enum kind k)
{
    return kinds[k].free;
}

struct stoa_addr self_addr(int s)
{
    struct stoa_addr a = {.len = 0};

    EXPECT_OK(stoa_getsockname(s, &a));
    return a;
}

struct text self_text(int s)
{
    struct stoa_addr a = self_addr(s);
    struct text t;

    stoa_addr_text(&a, t.c, sizeof(t.c));
    return t;
}

struct text peer_text(int s)
{
    struct stoa_addr a = {.len = 0};
    struct text t;

    EXPECT_OK(stoa_getpeername(s, &a));
    stoa_addr_text(&a, t.c, sizeof(t.c));
    return t;
}

int port_of(const struct stoa_addr *a)
{
    /* sin_port and sin6_port lie at the same place. */
    return ntohs(((const struct sockaddr_in *)(const void *)&a->sa)->sin_port);
}

int bound_make(enum kind k)
{
    int s = stoa_socket(kinds[k].family, kinds[k].type, 0);

    EXPECT_OK(s);
    EXPECT_OK(stoa_bind(s, kinds[k].free));
    return s;
}

int listener_make(enum kind k, struct text *where)
{
    int s = bound_make(k);

    EXPECT_OK(stoa_listen(s, -1));
    if (where)
        *where = self_text(s);
    return s;
}

/* The queue is full when it can be seen in it, which may be after the connect. */
struct full full_of(int bound)
{
    struct full f = {.listener = bound, .where = self_text(bound)};
    char to[32];

    EXPECT_OK(stoa_listen(bound, 0));
    snprintf(to, sizeof(to), "127.0.0.1%s", strrchr(f.where.c, ':'));
    f.inside = stoa_dial(to, NULL);
    EXPECT_OK(f.inside);
    EXPECT_EQ(stoa_poll(bound, POLLIN), POLLIN);
    return f;
}

struct full full_make(void)
{
    return full_of(bound_make(TCP4));
}

void full_close(struct full *f)
{
    EXPECT_OK(stoa_close(f->inside) | stoa_close(f->listener));
}

static struct pair stream_pair(enum kind k)
{
    struct pair p;
    struct text where;
    int listener = listener_make(k, &where);

    p.near = stoa_socket(kinds[k].family, kinds[k].type, 0);
    EXPECT_OK(stoa_connect(p.near, where.c));
    p.far = stoa_accept(listener, NULL);
    EXPECT_OK(p.far);
    EXPECT_OK(stoa_close(listener));
    return p;
}

static struct pair dgram_pair(enum kind k)
{
    struct pair p = {.near = bound_make(k), .far = bound_make(k)};

    EXPECT_OK(stoa_connect(p.near, self_text(p.far).c));
    EXPECT_OK(stoa_connect(p.far, self_text(p.near).c));
    return p;
}

struct pair pair_of(enum kind k)
{
    return k < KIND_STREAMS ? stream_pair(k) : dgram_pair(k);
}

struct pair pair_make(void)
{
    return pair_of(TCP4);
}

void pair_close(struct pair *p)
{
    if (p->near >= 0)
        EXPECT_OK(stoa_close(p->near));
    if (p->far >= 0)
        EXPECT_OK(stoa_close(p->far));
    p->near = p->far = -1;
}

struct text free_there(enum kind k)
{
    int s = bound_make(k);
    struct text t = self_text(s);

    EXPECT_OK(stoa_close(s));
    return t;
}

/* Datagrams come from its peer only, which is itself. */
static struct text port_refuse(enum kind k)
{
    int s = stoa_socket(kinds[k].family, kinds[k].type, 0), on = 1;

    EXPECT_OK(stoa_setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
    EXPECT_OK(stoa_bind(s, kinds[k].free));
    struct text t = self_text(s);
    if (k >= KIND_STREAMS)
        EXPECT_OK(stoa_connect(s, t.c));
    EXPECT_OK(stoa_detach(s));
    t_kept++;
    return t;
}

struct text nobody_there(enum kind k)
{
    static struct text there[KINDS];

    if (kinds[k].family == AF_UNIX)
        return unix_path();
    if (is_simulated())
        return free_there(k);
    if (!there[k].c[0])
        there[k] = port_refuse(k);
    return there[k];
}

int port_keep(struct text *where)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)), 0);
    EXPECT_EQ(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    EXPECT_EQ(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    snprintf(where->c, sizeof(where->c), "127.0.0.1:%d", ntohs(in.sin_port));
    return fd;
}

int dial_soon(const char *to)
{
    double start = now();

    for (;;) {
        int s = stoa_dial(to, NULL);
        if (s >= 0 || (errno != ECONNREFUSED && errno != ENOENT) || now() - start > 300)
            return s;
        stoa_sleep(0.001);
    }
}

static char folder[64];

static void remove_folder(void)
{
    DIR *dir = opendir(folder);

    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(folder);
}

struct text unix_path(void)
{
    static atomic_int number;
    struct text t;

    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(folder, sizeof(folder), "%.40s/stoa-XXXXXX", tmp ? tmp : "/tmp");
        EXPECT(mkdtemp(folder) != NULL);
        atexit(remove_folder);
    }
    snprintf(t.c, sizeof(t.c), "unix:%s/%d", folder, atomic_fetch_add(&number, 1));
    return t;
}

void small_buffers(int s)
{
    int bytes = 8192;

    EXPECT_OK(stoa_setsockopt(s, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)));
    EXPECT_OK(stoa_setsockopt(s, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)));
}

static char zeros[16384];

size_t fill(int s)
{
    size_t sum = 0;

    small_buffers(s);
    for (ssize_t n; (n = stoa_send(s, zeros, sizeof(zeros), MSG_DONTWAIT)) > 0;)
        sum += (size_t)n;
    return sum;
}

ssize_t send_until_it_fails(int s, int flags)
{
    ssize_t n;

    do
        n = stoa_send(s, zeros, sizeof(zeros), flags);
    while (n > 0);
    return n;
}

/* -------------------------------------------------------------------------
 * Else
 * ---------------------------------------------------------------------- */

double now(void)
{
    struct timespec t;

    if (is_simulated())
        return stoa_sim_now();
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool said(const char *part)
{
    return strstr(stoa_errmsg(), part) != NULL;
}
