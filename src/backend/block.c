/* block.c - the backend of a plain thread: a call that must wait sleeps in poll(2).
 *
 * Every operation is a guest's (guest.h): an attempt, and poll(2) when it would have to
 * wait, on the socket and on the thread's own eventfd.  The eventfd is how stoa_close() in
 * another thread ends the wait, with no shutdown(2) that others who share the
 * connection would feel.  It is made when the thread first waits, and ends with it.
 *
 * Deadlines are absolute: a signal does not stretch them.  After one, the interrupt hook
 * is asked, and without its veto the wait goes on with the time that is left (PEP 475).
 *
 * Limits: one descriptor a thread that has waited.
 */
#include "backend/guest.h"
#include "backend/kernel.h"
#include "backend/life.h"
#include "base/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

static pthread_key_t event_key;
static pthread_once_t event_once = PTHREAD_ONCE_INIT;
static __thread int event_fd_plus_1; /* 0 = none */

static void event_close(void *p)
{
    (void)p;
    if (event_fd_plus_1)
        close(event_fd_plus_1 - 1);
    event_fd_plus_1 = 0;
}

/* A child's eventfd would be its parent's, too. */
static void event_in_child(void)
{
    event_close(NULL);
}

static void event_key_make(void)
{
    pthread_atfork(NULL, NULL, event_in_child);
    if (pthread_key_create(&event_key, event_close) != 0)
        event_key = (pthread_key_t)-1;
}

int block_event_fd(void)
{
    if (event_fd_plus_1)
        return event_fd_plus_1 - 1;
    pthread_once(&event_once, event_key_make);
    if (event_key == (pthread_key_t)-1)
        return -ENOMEM;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (pthread_setspecific(event_key, &event_fd_plus_1) != 0) {
        close(fd);
        return -ENOMEM;
    }
    event_fd_plus_1 = fd + 1;
    return fd;
}

static int wait_until(struct pollfd *p, nfds_t n, uint64_t until_ns)
{
    uint64_t now = kernel_now();
    uint64_t left = until_ns > now ? until_ns - now : 0;
    struct timespec t = {
        .tv_sec = (time_t)(left / 1000000000u),
        .tv_nsec = (long)(left % 1000000000u),
    };

    return ppoll(p, n, until_ns == WHEEL_NEVER ? NULL : &t, NULL) < 0 ? -errno : 0;
}

/* The socket's end waits for who is counted: here the kernel has its open file, too. */
static int wait_counted(struct backend_sock *s, const struct waiter *w, struct pollfd *p,
                        uint64_t until_ns)
{
    if (!s)
        return wait_until(p, 1, until_ns);
    if (!life_hold(NULL, s, w->life))
        return -ECANCELED;
    int r = wait_until(p, 2, until_ns);
    life_drop(NULL, s);
    return r;
}

/* An error queue (IP_RECVERR) that nobody reads, and an end that tells the caller nothing, would
 * wake us for ever: after an attempt in vain we look past the socket for a moment. */
static uint64_t rest_until(uint64_t until_ns)
{
    uint64_t end = kernel_now() + ERROR_QUEUE_REST_NS;

    return end < until_ns ? end : until_ns;
}

int block_sleep(struct backend_sock *s, struct waiter *w, uint64_t until_ns)
{
    struct pollfd p[2] = {
        {.fd = w->event_fd, .events = POLLIN},
        {.fd = s && !w->rests ? life_fd(s) : -1, .events = (short)w->polls},
    };
    bool rests = w->rests;
    uint64_t count;

    w->rests = false;
    if (rests)
        until_ns = rest_until(until_ns);
    for (;;) {
        int r = wait_counted(s, w, p, until_ns);

        if (r == -EINTR) {
            r = interrupt_check();
            if (r < 0)
                return r;
            continue;
        }
        if (r < 0)
            return r;
        if (p[0].revents && read(w->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
            return -errno;
        w->rests = p[1].revents && !(p[1].revents & p[1].events);
        return p[0].revents || p[1].revents || rests ? 0 : -ETIME;
    }
}

/* OP_EVENT: whoever completes it runs on another thread, and wakes us by the eventfd; see
 * offload.c.  Here it only lets time pass. */
static ssize_t sleep_only(struct op *op)
{
    struct waiter w = {.event_fd = -1};

    op_deadline(op, kernel_now());
    return block_sleep(NULL, &w, op->until_ns);
}

static int block_submit(struct loop *l, struct op *op)
{
    (void)l;
    op->state = OP_IDLE;
    op->res = op->sock ? guest_run(op) : sleep_only(op);
    op->state = OP_DONE;
    return 1;
}

const struct backend_ops block_ops = {
    .name = "block",
    .submit = block_submit,
    KERNEL_CALLS,
};
