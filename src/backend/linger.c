/* linger.c - polite close: a thread that listens to peers we have said goodbye to.
 *
 * When a TCP socket is closed with unread input, the kernel sends a reset instead of the
 * end of the stream and throws away what was still to be sent; input that comes after
 * the close does the same.  Measured: of 1,000,000 bytes sent the peer got 12,288.  So
 * when input lies unread, or output is not acknowledged, we send the end of the stream
 * (SHUT_WR) and throw input away until the peer's own end, within limits.h's bounds.
 * Everything else is closed at once, which is the common case: a server's handler has
 * usually read to the end.
 *
 * A served peer who does not read can lose by a close, too.  The kernel asks him for room at gaps
 * that double, as long as he answers; but of a closed socket only until the gap would be
 * TCP_RTO_MAX_MS, and then throws away what he has yet to get.  And when he reads, and his word of
 * it is lost, nobody asks before the gap is over.  His gaps are short (serve/limits.c), so they are
 * to be what they were before once we have closed; but the short ones count: after six seconds
 * without room the next would be 13, after ten the last.  Where it would be LINGER_GAP_MS, the
 * socket is kept open, with short ones, until he reads again, LINGER_LATE_NS at most.  They are put
 * back just before close(2): a timer that runs already would keep the long one.
 *
 * One thread does it for the process.  It starts with the first such socket and ends
 * with the last.  At exit(3) the process waits for it, LINGER_EXIT_NS at most: like a
 * stdio buffer, what has been sent is not lost because main() returned.
 *
 * Sources: RFC 1122 4.2.2.13, RFC 9112 9.6, RFC 2525 2.17; tcp(7) for SIOCOUTQ; tcp_probe_timer()
 * of Linux 6.18.
 */
#include "backend/linger.h"

#include "backend/kernel.h"
#include "backend/thread.h"
#include "base/limits.h"
#include "base/list.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS      64
#define LOOK_MS     100  /* how often deadlines, and those who read late, are looked at */
#define DRAIN_LEN   2048 /* on a fiber's stack */
#define DRAIN_TIMES 16   /* then others have their turn: a flood must not hold anybody up */

struct goodbye {
    struct list link;
    int fd;
    int gap_ms; /* linger_close()'s */
    bool ended; /* the peer has, too: nothing is to be heard any more */
    bool late;  /* he had not read for long when it was to be closed */
    uint64_t begun_ns;
    uint64_t silent_ns; /* closed when nothing has come by then */
    uint64_t until_ns;  /* closed then in any case */
    uint64_t left;      /* bytes we are willing to throw away */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct list goodbyes; /* under lock, as all below */
static unsigned nlate;
static bool running;
static int epoll_fd = -1;

/* Does the peer lose anything by a plain close(2)? */
static bool must_linger(int fd)
{
    int unread = 0, unsent = 0, family = 0;
    socklen_t len = sizeof(family);

    if (ioctl(fd, FIONREAD, &unread) < 0)
        return false; /* a listener, say */
    if (unread > 0)
        return true;
    if (ioctl(fd, SIOCOUTQ, &unsent) < 0 || unsent == 0)
        return false;
    /* What was sent on a UNIX socket is with the peer already. */
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && family != AF_UNIX;
}

/* Has the peer had no room for so long that the kernel, of a closed socket, hardly asks again? */
static bool is_late(int fd)
{
    struct tcp_info info = {0}; /* an emulator fills in less */
    socklen_t len = sizeof(info);
    int unsent = 0;

    if (ioctl(fd, SIOCOUTQ, &unsent) < 0 || unsent == 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || info.tcpi_unacked > 0)
        return false;
    return (uint64_t)info.tcpi_rto << info.tcpi_backoff >= (uint64_t)LINGER_GAP_MS * 1000;
}

/* What is not acknowledged yet is the kernel's to deliver, from a close on. */
static void put_gap_back(int fd, int gap_ms)
{
    if (gap_ms > 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, &gap_ms, sizeof(gap_ms));
}

static void close_patiently(int fd, int gap_ms)
{
    put_gap_back(fd, gap_ms);
    close(fd);
}

enum heard {
    HEARD_ALL, /* that has come by now */
    HEARD_END,
    HEARD_ENOUGH, /* or an error */
};

/* Throw input away. */
static enum heard drain(int fd, uint64_t *left)
{
    char buf[DRAIN_LEN];

    for (int i = 0; i < DRAIN_TIMES; i++) {
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? HEARD_ALL : HEARD_ENOUGH;
        if (n == 0)
            return HEARD_END;
        if ((uint64_t)n > *left)
            return HEARD_ENOUGH;
        *left -= (uint64_t)n;
    }
    return HEARD_ALL;
}

/* A child that was forked meanwhile may have the open file, and epoll would go on with it. */
static void end_goodbye(struct goodbye *g)
{
    list_remove(&g->link);
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, g->fd, NULL);
    nlate -= g->late;
    close_patiently(g->fd, g->gap_ms);
    free(g);
}

/* Would the peer lose what he has yet to get?  Then his time is longer, once. */
static bool must_keep(struct goodbye *g)
{
    if (g->gap_ms == 0 || (!g->late && nlate == LINGER_LATE_MAX) || !is_late(g->fd))
        return false;
    nlate += !g->late;
    g->late = true;
    g->until_ns = g->begun_ns + LINGER_LATE_NS;
    return true;
}

/* Who was late and reads again has the usual time to say something. */
static void look_at(struct goodbye *g, uint64_t now)
{
    bool over = now >= g->until_ns, due = over || g->ended || now >= g->silent_ns;

    if (!(over && g->late) && (due || g->late) && must_keep(g))
        g->silent_ns = now + LINGER_SILENCE_NS;
    else if (due)
        end_goodbye(g);
}

static void listen_to(struct goodbye *g, uint64_t now)
{
    switch (drain(g->fd, &g->left)) {
    case HEARD_ALL:
        g->silent_ns = now + LINGER_SILENCE_NS;
        break;
    case HEARD_END:
        g->ended = true;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, g->fd, NULL); /* it would tell of it without end */
        look_at(g, now);
        break;
    case HEARD_ENOUGH:
        end_goodbye(g);
    }
}

static void look_at_all(uint64_t now)
{
    for (struct list *n = goodbyes.next, *next; n != &goodbyes; n = next) {
        next = n->next;
        look_at(CONTAINER(n, struct goodbye, link), now);
    }
}

static void *run(void *arg)
{
    struct epoll_event e[EVENTS];
    uint64_t looked = 0;

    (void)arg;
    pthread_mutex_lock(&lock);
    while (!list_empty(&goodbyes)) {
        pthread_mutex_unlock(&lock);
        int n = epoll_wait(epoll_fd, e, EVENTS, LOOK_MS);
        pthread_mutex_lock(&lock);
        uint64_t now = kernel_now();

        for (int i = 0; i < n; i++)
            listen_to(e[i].data.ptr, now);
        if (now - looked >= (uint64_t)LOOK_MS * 1000000) {
            look_at_all(now);
            looked = now;
        }
    }
    close(epoll_fd);
    epoll_fd = -1;
    running = false;
    pthread_cond_broadcast(&ended);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* Start the thread.  Under lock. */
static int start(void)
{
    int r;

    if (running)
        return 0;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        return -errno;
    r = thread_start(run, NULL);
    if (r < 0) {
        close(epoll_fd);
        epoll_fd = -1;
        return r;
    }
    running = true;
    return 0;
}

/* Who is left then is closed by the kernel. */
static void at_exit(void)
{
    struct timespec t = thread_time_in((time_t)(LINGER_EXIT_NS / 1000000000u));

    pthread_mutex_lock(&lock);
    while (running && pthread_cond_timedwait(&ended, &lock, &t) == 0)
        ;
    for (struct list *n = goodbyes.next; n != &goodbyes; n = n->next) {
        const struct goodbye *g = CONTAINER(n, struct goodbye, link);

        put_gap_back(g->fd, g->gap_ms);
    }
    pthread_mutex_unlock(&lock);
}

/* A fork comes when the list is whole. */
static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

/* A child has no such thread, and the goodbyes are its parent's. */
static void in_child(void)
{
    struct list *n = goodbyes.next;

    pthread_mutex_init(&lock, NULL);
    thread_cond_init(&ended);
    list_init(&goodbyes);
    while (n != &goodbyes) {
        struct goodbye *g = CONTAINER(n, struct goodbye, link);

        n = n->next;
        close(g->fd);
        free(g);
    }
    if (epoll_fd >= 0)
        close(epoll_fd);
    epoll_fd = -1;
    running = false;
    nlate = 0;
}

static void begin(void)
{
    list_init(&goodbyes);
    thread_cond_init(&ended);
    pthread_atfork(before_fork, after_fork, in_child);
    atexit(at_exit);
}

/* Hand fd to the thread. */
static int hand_over(int fd, int gap_ms, uint64_t left)
{
    struct goodbye *g = malloc(sizeof(*g));
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = g};
    uint64_t now = kernel_now();
    int r;

    if (!g)
        return -ENOMEM;
    *g = (struct goodbye){
        .fd = fd,
        .gap_ms = gap_ms,
        .begun_ns = now,
        .silent_ns = now + LINGER_SILENCE_NS,
        .until_ns = now + LINGER_TOTAL_NS,
        .left = left,
    };
    pthread_mutex_lock(&lock);
    r = start();
    if (r == 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
        r = -errno;
    if (r == 0)
        list_add(&goodbyes, &g->link);
    pthread_mutex_unlock(&lock);
    if (r != 0)
        free(g);
    return r;
}

/* Does close(2) wait for the peer, whatever O_NONBLOCK says? */
static bool close_waits(int fd)
{
    struct linger how;
    socklen_t len = sizeof(how);

    return getsockopt(fd, SOL_SOCKET, SO_LINGER, &how, &len) == 0 && how.l_onoff &&
           how.l_linger > 0;
}

void linger_forbid(int fd)
{
    if (close_waits(fd))
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){0}, sizeof(struct linger));
}

static void *close_slowly(void *fd)
{
    close((int)(intptr_t)fd);
    return NULL;
}

void linger_close_shared(int fd)
{
    if (!close_waits(fd) || thread_start(close_slowly, (void *)(intptr_t)fd) < 0)
        close(fd);
}

void linger_close(int fd, int gap_ms)
{
    uint64_t left = LINGER_BYTES;
    enum heard heard;

    if (!must_linger(fd) || shutdown(fd, SHUT_WR) < 0) {
        close_patiently(fd, gap_ms);
        return;
    }
    pthread_once(&once, begin);
    heard = drain(fd, &left);
    if ((heard != HEARD_ALL && !(gap_ms > 0 && is_late(fd))) || hand_over(fd, gap_ms, left) < 0)
        close_patiently(fd, gap_ms);
}
