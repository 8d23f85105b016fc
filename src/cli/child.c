/* child.c - a pidfd tells a thread, the thread tells a socket, the socket wakes the fiber.
 *
 * waitpid(2) would block the worker, and so all its other connections; one helper thread
 * for each child (stoa_offload) would let only so many run.  A pidfd becomes readable when
 * its child ends (pidfd_open(2)), so one thread for all of them sits in epoll_wait(2) and
 * writes a byte to the socket pair on whose other end the fiber waits, with all that stoa
 * offers: the scope's time, cancellation.
 *
 * What holds:
 *   - The fiber alone reaps its child, at the very end: until then the pid is the child's,
 *     and a signal cannot reach a stranger.
 *   - The pidfd and the other end are the thread's once it watches: it closes them, and shares
 *     no memory with the fiber.
 *
 * Limits: CHILD_GRACE between SIGTERM and SIGKILL.  Two descriptors and a pidfd each.
 */
#include "cli/child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stoa.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const double CHILD_GRACE = 2;

struct watched {
    int near; /* the fiber's end of a socket pair: a handle */
    int tell; /* the thread's end: a descriptor */
    int pidfd;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int watch_fd = -1;

static void *watch(void *arg)
{
    struct epoll_event e;

    (void)arg;
    for (;;) {
        if (epoll_wait(watch_fd, &e, 1, -1) != 1)
            continue;
        int pidfd = (int)(e.data.u64 >> 32), tell = (int)(e.data.u64 & UINT32_MAX);
        epoll_ctl(watch_fd, EPOLL_CTL_DEL, pidfd, NULL);
        close(pidfd);
        (void)!write(tell, "", 1); /* a socket pair has room for a byte */
        close(tell);
    }
    return NULL;
}

static void watch_start(void)
{
    pthread_t thread;

    watch_fd = epoll_create1(EPOLL_CLOEXEC);
    if (watch_fd >= 0 && pthread_create(&thread, NULL, watch, NULL) == 0)
        pthread_detach(thread);
    else
        watch_fd = -1;
}

/* Until the thread's byte is there.  0, or an errno value. */
static int until_told(int near)
{
    char byte;
    ssize_t n = stoa_recv(near, &byte, 1, 0);

    return n < 0 ? errno : 0;
}

/* It has to end: ask, then make it. */
static void end(pid_t pid, int near)
{
    static const int signals[] = {SIGTERM, SIGKILL};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct stoa_scope grace;
        kill(-pid, signals[i]);
        /* After SIGKILL it is only a matter of time; an hour is for ever here. */
        stoa_shield(&grace, signals[i] == SIGKILL ? 3600 : CHILD_GRACE);
        int error = until_told(near);
        stoa_leave(&grace);
        if (!error)
            return;
    }
}

static int wait_watched(pid_t pid, const struct watched *w)
{
    struct epoll_event e = {
        .events = EPOLLIN,
        .data.u64 = (uint64_t)w->pidfd << 32 | (uint32_t)w->tell,
    };
    int error;

    if (epoll_ctl(watch_fd, EPOLL_CTL_ADD, w->pidfd, &e) < 0) {
        error = errno;
        close(w->pidfd);
        close(w->tell);
        kill(-pid, SIGKILL);
        return error;
    }
    error = until_told(w->near);
    if (error)
        end(pid, w->near);
    return error;
}

/* The three descriptors; 0, or an errno value with nothing left open. */
static int watched_open(struct watched *w, pid_t pid)
{
    int pair[2];

    pthread_once(&once, watch_start);
    if (watch_fd < 0)
        return EAGAIN;
    if (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return errno;
    w->near = pair[0];
    w->tell = stoa_detach(pair[1]);
    w->pidfd = pidfd_open(pid, 0);
    if (w->pidfd >= 0)
        return 0;
    int error = errno;
    stoa_close(pair[0]);
    close(w->tell);
    return error;
}

int child_wait(pid_t pid, int *status)
{
    struct watched w = {.near = -1};
    int error = watched_open(&w, pid);

    if (error) {
        kill(-pid, SIGKILL);
    } else {
        error = wait_watched(pid, &w);
        stoa_close(w.near);
    }
    /* It has ended, or has been killed this moment. */
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return error;
}
