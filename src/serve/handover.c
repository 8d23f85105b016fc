/* handover.c - stoa_hand_over(): the next program gets our listeners, and then we let go.
 *
 * All listeners of the process go, by descriptor, lowest first: those that we were given ourselves
 * (net/inherit.h) keep their place and name; what we have made is called "own".
 *
 * The order is the whole point.  The new program has the listeners before it is asked for anything;
 * both accept until it has said that it serves; only then we stop.  Queues live as long as anybody
 * has their listener, so at no time is there nobody to empty one.  If it does not come that far
 * nothing has happened to us.
 *
 * What holds: one at a time, and after the first that succeeds there is no other.
 */
#include "base/check.h"
#include "base/text.h"
#include "net/error.h"
#include "net/inherit.h"
#include "net/scope.h"
#include "net/sock.h"
#include "serve/running.h"
#include "serve/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum state { STATE_NONE, STATE_UNDER_WAY, STATE_OVER };

static atomic_int state;

/* -------------------------------------------------------------------------
 * What is handed over
 * ---------------------------------------------------------------------- */

static int by_descriptor(const void *a, const void *b)
{
    const struct bequest *x = a, *y = b;

    return x->was < y->was ? -1 : x->was > y->was;
}

/* What a listener is called.  One of ours has no other owner when we have let go. */
static const char *name_of(struct stoa_sock *so)
{
    const char *name = inherit_name(life_fd(&so->b));
    bool own = atomic_load(&so->passed) || !atomic_load(&so->b.shared);

    atomic_store(&so->passed, own);
    return own ? INHERIT_OWN : name ? name : "given";
}

/* A copy of a listener that cannot end meanwhile.  1; 0: it is simulated; negative errno. */
static int copy_entered(struct stoa_sock *so, struct bequest *to)
{
    to->was = life_fd(&so->b);
    to->fd = fcntl(to->was, F_DUPFD_CLOEXEC, INHERIT_FIRST);
    if (to->fd < 0)
        return errno == EBADF ? 0 : -errno; /* a simulated one is none of the kernel's */
    to->name = name_of(so);
    atomic_store(&so->b.shared, true);
    return 1;
}

/* The listener in this place of the table.  1; 0: there is none; negative errno. */
static int copy_listener(struct stoa_sock *so, struct bequest *to)
{
    uint32_t generation = atomic_load(&so->b.life) & LIFE_GENERATION;
    int r = 0;

    if (!atomic_load(&so->listening) || !sock_enter((int)(generation << SLOT_BITS | so->slot)))
        return 0;
    if (atomic_load(&so->listening)) /* it may have been another socket's place a moment ago */
        r = copy_entered(so, to);
    sock_leave(so);
    return r;
}

static void copies_close(struct bequest *list, int n)
{
    for (int i = 0; i < n; i++)
        close(list[i].fd);
    free(list);
}

/* Copies of all listeners, lowest descriptor first; to be closed.  How many; negative errno. */
static int copy_listeners(struct bequest **list)
{
    int n = 0, r = 0;

    *list = calloc(INHERITED_MAX, sizeof(**list));
    if (!*list)
        return -ENOMEM;
    for (uint32_t slot = 0; r >= 0 && n < INHERITED_MAX && slot < SOCK_SLOTS; slot++) {
        struct stoa_sock *chunk = atomic_load(&sock_chunks[slot / CHUNK_SLOTS]);

        if (!chunk)
            break;
        r = copy_listener(chunk + slot % CHUNK_SLOTS, &(*list)[n]);
        n += r > 0;
    }
    if (r < 0) {
        copies_close(*list, n);
        return r;
    }
    qsort(*list, (size_t)n, sizeof(**list), by_descriptor);
    return n;
}

/* -------------------------------------------------------------------------
 * Handing over
 * ---------------------------------------------------------------------- */

static int cancel(struct successor *s, struct text *why)
{
    successor_stop(s);
    text_add(why, "this process is to stop, and so is the one that was started");
    return -ECANCELED;
}

/* Wait until it serves.  0; negative errno, with why, and it is no more. */
static int await(struct successor *s, uint64_t ns, struct text *why)
{
    int r = successor_await(s, ns);

    if (r == -ECANCELED || (r == 0 && loop_stop_told()))
        return cancel(s, why);
    if (r == 0)
        return 0;
    successor_end(s);
    if (r == -ETIME) {
        text_add(why, "it did not serve in time, and has been ended");
    } else {
        successor_status(s, why);
        text_add(why, " before it served");
    }
    return r;
}

/* The new process, which serves; negative errno, with why where that is known. */
static pid_t hand_over(char *const argv[], uint64_t ns, struct text *why)
{
    struct successor s;
    struct bequest *list;
    int n, r;

    running_copy();
    n = copy_listeners(&list);
    running_copied();
    if (n < 0)
        return n;
    if (loop_stop_told()) {
        r = -ECANCELED;
        text_add(why, "this process is to stop");
    } else if (n > 0) {
        r = successor_start(&s, argv, list, n);
    } else {
        r = -EINVAL;
        text_add(why, "this process has no listener");
    }
    copies_close(list, n);
    if (r == 0)
        r = await(&s, ns, why);
    if (r < 0)
        return r;
    running_end();
    if (loop_stop_told()) /* perhaps before that: then no new client begins at the listeners */
        return cancel(&s, why);
    close(s.told);
    return s.pid;
}

static int refuse(int error, const char *about, const char *why)
{
    return (int)error_out_why(VERB_HAND_OVER, -1, error, about, why);
}

int stoa_hand_over(char *const argv[], double seconds)
{
    int was = STATE_NONE;
    char buf[DETAIL_MAX];
    struct text why;

    CHECK(argv && argv[0], "stoa_hand_over: argv begins with the program");
    if (loop_here)
        return refuse(-EDEADLK, argv[0], "this is a fiber, and it waits without others' turns");
    if (!(seconds > 0))
        return refuse(-EINVAL, argv[0], "the seconds are not more than 0");
    if (!atomic_compare_exchange_strong(&state, &was, STATE_UNDER_WAY))
        return refuse(-EALREADY, argv[0],
                      was == STATE_OVER ? "another process has the listeners already"
                                        : "a process has been started, and is waited for");
    int64_t ns = scope_nanoseconds(seconds);

    text_init(&why, buf, sizeof(buf));
    pid_t pid = hand_over(argv, ns < 0 ? WHEEL_NEVER : (uint64_t)ns, &why);
    if (pid < 0)
        running_goes_on();
    atomic_store(&state, pid < 0 ? STATE_NONE : STATE_OVER);
    return pid < 0 ? refuse(pid, argv[0], why.len ? buf : NULL) : pid;
}
