/* storm.c - every call of the facade, on any handle, in any order, from several fibers at once.
 *
 * Nothing is expected of a call but that it ends: within its time, with a result or an error.
 * What must hold at the end: every fiber has ended, every socket is closed, and nothing has
 * aborted the program.  Under the sanitizers it looks at memory, too.
 */
#include "sweep.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/un.h>

enum { HANDLES = 12, FIBERS = 6, STEPS = 60, DEPTH = 2 };

static int handles[HANDLES];
static int file_fd = -1;
static const char *const places[] = {
    "far:1",         "far:2",       "near:1",       "127.0.0.1:1", "[::1]:2",       "unix:/storm/1",
    "unix:@storm-2", "udp://far:3", "udp://near:4", "nobody:1",    "203.0.113.7:9", "unix:/storm/2",
};
static const char *const ours[] = {
    ":1",
    "127.0.0.1:2",
    "[::]:2",
    "0.0.0.0:1",
    "unix:/storm/1",
    "udp://:3",
    "unix:@storm-2",
    "udp://127.0.0.1:4",
    "unix:/storm/2",
    ":0",
};

/* Before descriptors are counted. */
__attribute__((constructor)) static void file_make(void)
{
    file_fd = memfd_create("storm", MFD_CLOEXEC);
    if (ftruncate(file_fd, 10000) < 0 || stoa_setdefaulttimeout(0.3) < 0)
        abort();
}

static int below(int n)
{
    return (int)stoa_sim_random((uint64_t)n);
}

static int any(void)
{
    return handles[below(HANDLES)];
}

/* A handle gets a place; who was there is closed, or it is its turn to be. */
static void keep(int s)
{
    int i = below(HANDLES);

    if (s < 0)
        return;
    stoa_settimeout(s, 0.002 * below(50));
    if (handles[i] >= 0)
        stoa_close(handles[i]);
    handles[i] = s;
}

static void opens(void)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    int pair[2];

    switch (below(6)) {
    case 0:
        keep(stoa_socket(families[below(3)], types[below(3)], 0));
        break;
    case 1:
        if (stoa_socketpair(AF_UNIX, types[below(3)], 0, pair) == 0) {
            keep(pair[0]);
            keep(pair[1]);
        }
        break;
    case 2:
        keep(stoa_dup(any()));
        break;
    case 3:
        keep(stoa_announce(ours[below(10)], NULL));
        break;
    case 4:
        keep(stoa_accept(any(), NULL));
        break;
    default:
        keep(stoa_dial(places[below(12)], NULL));
    }
}

static void moves(void)
{
    char buf[5000] = "storm";
    size_t len = (size_t)below(below(3) ? 100 : sizeof(buf));
    struct stoa_addr from;
    off_t off = 0;
    int s = any(), fds[3] = {any(), any(), any()};
    size_t nfd = 1 + (size_t)below(3);

    switch (below(10)) {
    case 0:
        stoa_send(s, buf, len, below(4) ? 0 : MSG_DONTWAIT);
        break;
    case 1:
        stoa_sendall(s, buf, len, 0);
        break;
    case 2:
        stoa_recv(s, buf, len, below(4) ? 0 : MSG_PEEK);
        break;
    case 3:
        stoa_recvall(s, buf, len);
        break;
    case 4:
        stoa_recvfrom(s, buf, len, 0, &from);
        break;
    case 5:
        stoa_sendfile(s, file_fd, &off, len);
        break;
    case 6:
        stoa_send_fds(s, buf, 1 + len / 2, fds, 1 + (size_t)below(3));
        break;
    case 7:
        if (stoa_recv_fds(s, buf, sizeof(buf), fds, &nfd) > 0)
            for (size_t i = 0; i < nfd; i++)
                keep(stoa_fromfd(fds[i]));
        break;
    case 8:
        if (stoa_getsockname(any(), &from) == 0)
            stoa_sendto(s, buf, len, 0, &from);
        break;
    default:
        stoa_poll(s, below(2) ? POLLIN : POLLOUT);
    }
}

static void talks_by_file(int s)
{
    char line[100];
    FILE *f = stoa_makefile(s, below(2) ? "rw" : below(2) ? "r" : "w");

    if (!f)
        return;
    if (below(2))
        stoa_close(s);
    if (below(2))
        fprintf(f, "line %d\n", below(1000));
    if (below(2))
        fflush(f);
    if (below(2) && !fgets(line, sizeof(line), f))
        clearerr(f);
    fclose(f);
}

static void changes(void)
{
    int s = any(), bytes = 1000 + below(9000), i = below(HANDLES);
    struct linger linger = {.l_onoff = below(2)};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct stoa_addr a;

    switch (below(10)) {
    case 0:
        stoa_shutdown(s, below(3));
        break;
    case 1:
        stoa_setsockopt(s, SOL_SOCKET, below(2) ? SO_SNDBUF : SO_RCVBUF, &bytes, sizeof(bytes));
        break;
    case 2:
        stoa_setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        break;
    case 3:
        stoa_listen(s, below(4));
        break;
    case 4:
        stoa_connect(s, places[below(12)]);
        break;
    case 5:
        stoa_bind(s, ours[below(10)]);
        break;
    case 6:
        talks_by_file(s);
        break;
    case 7:
        stoa_connect_sa(s, &none, sizeof(none));
        break;
    case 8:
        stoa_getpeername(s, &a);
        keep(stoa_fromfd(stoa_detach(s)));
        break;
    default:
        if (below(3))
            stoa_close(handles[i]);
        else
            stoa_abort(handles[i]);
    }
}

static int adds(void *arg)
{
    return ++*(int *)arg;
}

/* Calls that the others do not make, and messages of several parts. */
static void more(void)
{
    struct stoa_options o = {.size = sizeof(o), .from = below(2) ? ":0" : "127.0.0.1:9"};
    char head[20] = "head", tail[3000] = "tail", control[64];
    struct iovec v[2] = {{head, (size_t)below(sizeof(head))}, {tail, (size_t)below(sizeof(tail))}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 1 + (size_t)below(2)};
    struct stoa_addr list[4];
    int n = 0, s = any();

    switch (below(8)) {
    case 0:
        stoa_sendmsg(s, &m, below(2) ? 0 : MSG_DONTWAIT);
        break;
    case 1:
        m.msg_control = below(2) ? control : NULL;
        m.msg_controllen = m.msg_control ? sizeof(control) : 0;
        if (stoa_recvmsg(s, &m, below(2) ? 0 : MSG_DONTWAIT) < 0)
            break;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
            for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
                keep(stoa_fromfd(((int *)(void *)CMSG_DATA(h))[i]));
        break;
    case 2:
        stoa_recv(s, tail, sizeof(tail), MSG_WAITALL | (below(2) ? MSG_PEEK : 0));
        break;
    case 3:
        stoa_connect_ex(s, places[below(12)]);
        break;
    case 4:
        stoa_resolve(places[below(12)], list, 1 + (size_t)below(4));
        break;
    case 5:
        keep(stoa_dial(places[below(12)], &o));
        break;
    case 6:
        if (stoa_offload(adds, &n) == 1 && n != 1)
            wrong("offload has run its function %d times", n);
        break;
    default:
        stoa_setblocking(s, below(2));
        stoa_settimeout(s, 0.002 * below(50));
    }
}

/* The network itself. */
static void weather(void)
{
    const struct stoa_sim_link link = {
        .latency = 0.001 * below(20),
        .jitter = 0.001 * below(20),
        .loss = 0.01 * below(20),
        .bytes_per_second = below(2) ? 0 : 10000 + below(1000000),
    };

    switch (below(4)) {
    case 0:
        stoa_sim_cut(1, 2, below(2));
        break;
    case 1:
        stoa_sim_descriptors(1 + below(2), 2 + (unsigned)below(30));
        break;
    case 2:
        stoa_sim_faults(below(3));
        break;
    default:
        stoa_sim_set_link(1, 1 + below(2), &link);
    }
}

static int acts(void *arg);

/* Others, who are cancelled, or not, in the middle of what they do. */
static void goes(int depth)
{
    struct stoa_group *g = stoa_group_open();

    if (!g)
        return;
    for (int i = below(3); i >= 0; i--)
        stoa_go(g, acts, (void *)(intptr_t)(depth - 1));
    stoa_sleep(0.001 * below(30));
    if (below(2)) {
        stoa_group_cancel(g);
        if (stoa_go(g, acts, NULL) == 0 || errno != ECANCELED)
            wrong("a cancelled group has taken a new fiber");
    }
    stoa_group_join(g);
}

static void acts_once(int depth)
{
    struct stoa_scope scope;
    int how = below(8);

    if (how == 0)
        stoa_within(&scope, 0.001 * below(30));
    if (how == 1)
        stoa_shield(&scope, 0.001 * below(30));
    switch (below(15)) {
    case 12:
    case 13:
        more();
        break;
    case 14:
        weather();
        break;
    case 0:
    case 1:
    case 2:
        opens();
        break;
    case 3:
    case 4:
        changes();
        break;
    case 5:
        stoa_sleep(0.0005 * below(20));
        break;
    case 6:
        stoa_yield();
        break;
    case 7:
        if (depth > 0)
            goes(depth);
        break;
    default:
        moves();
    }
    if (how < 2)
        stoa_leave(&scope);
}

static int acts(void *arg)
{
    int depth = (int)(intptr_t)arg;

    for (int i = depth == DEPTH ? STEPS : STEPS / 6; i > 0; i--)
        acts_once(depth);
    return 0;
}

SWEEP(every_call_ends_and_nothing_is_left)
{
    int near = stoa_sim_host("near", NULL), far = stoa_sim_host("far", NULL);
    struct stoa_group *g = stoa_group_open();

    for (int i = 0; i < HANDLES; i++)
        handles[i] = -1;
    for (int i = 0; i < FIBERS; i++)
        stoa_sim_go(i % 3 ? near : far, g, acts, (void *)(intptr_t)DEPTH);
    stoa_group_join(g);
    for (int i = 0; i < HANDLES; i++)
        if (handles[i] >= 0)
            stoa_close(handles[i]);
    return 0;
}
