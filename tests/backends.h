/* backends.h - one test body in every place a call can be made from, and what such bodies need.
 *
 * TEST(name) runs a body on a plain thread, which is the block backend.  Below it,
 * ON_EVERY_BACKEND(name) runs the same body as the first fiber of a stoa_run() with
 * each other backend: name/epoll.  beside() starts a second activity in the place
 * that belongs to the first: a thread for a thread, a fiber for a fiber.  For what two
 * do to each other (close wakes waiters), ON_EVERY_PAIRING(name) adds the mixed ones:
 *
 *   name                thread beside thread
 *   name/epoll          fiber beside fiber, one worker
 *   name/epoll+worker   fiber beside fiber, each on a worker of its own
 *   name/epoll+thread   fiber, and a thread beside it
 *   name/thread+epoll   thread, and a fiber beside it
 *
 * and the same with uring for epoll, and each of the two beside the other.  In the simulated
 * network (stoa/sim.h) a body and what is beside it are fibers of one host: name/sim.
 *
 * A new backend is a row in backends.c and a line in ON_EVERY_BACKEND.
 * It knows stoa.h alone, nothing of the library's inside.
 */
#ifndef STOA_TESTS_BACKENDS_H
#define STOA_TESTS_BACKENDS_H

#include "t.h"

#include <poll.h>
#include <pthread.h>
#include <stoa.h>

enum beside_place {
    BESIDE_THREAD, /* a plain thread */
    BESIDE_FIBER,  /* a fiber of the same worker */
    BESIDE_WORKER, /* a fiber of a worker of its own */
};

struct place {
    const char *backend; /* of the body: stoa_options.backend; NULL = a plain thread */
    enum beside_place beside;
    const char *beside_backend;
};

/* Where the running body is. */
extern const struct place *place;

void run_epoll(void (*body)(void));
void run_epoll_worker(void (*body)(void));
void run_epoll_thread(void (*body)(void));
void run_thread_epoll(void (*body)(void));
void run_uring(void (*body)(void));
void run_uring_worker(void (*body)(void));
void run_uring_thread(void (*body)(void));
void run_thread_uring(void (*body)(void));
void run_uring_epoll(void (*body)(void));
void run_epoll_uring(void (*body)(void));
void run_sim(void (*body)(void));

#define ON_EVERY_BACKEND(name)                                                                     \
    T_CASE(name, name##_epoll, #name "/epoll", run_epoll)                                          \
    T_CASE(name, name##_uring, #name "/uring", run_uring)                                          \
    T_CASE(name, name##_sim, #name "/sim", run_sim)

#define ON_EVERY_PAIRING(name)                                                                     \
    ON_EVERY_BACKEND(name)                                                                         \
    T_CASE(name, name##_worker, #name "/epoll+worker", run_epoll_worker)                           \
    T_CASE(name, name##_thread, #name "/epoll+thread", run_epoll_thread)                           \
    T_CASE(name, name##_mixed, #name "/thread+epoll", run_thread_epoll)                            \
    T_CASE(name, name##_uring_worker, #name "/uring+worker", run_uring_worker)                     \
    T_CASE(name, name##_uring_thread, #name "/uring+thread", run_uring_thread)                     \
    T_CASE(name, name##_thread_uring, #name "/thread+uring", run_thread_uring)                     \
    T_CASE(name, name##_uring_epoll, #name "/uring+epoll", run_uring_epoll)                        \
    T_CASE(name, name##_epoll_uring, #name "/epoll+uring", run_epoll_uring)

/* For promises about fibers: the body runs in a fiber only. */
#define FIBER_TEST(name)                                                                           \
    static void name(void);                                                                        \
    ON_EVERY_BACKEND(name)                                                                         \
    static void name(void)

static inline bool on_fiber(void)
{
    return place->backend != NULL;
}

/* For a body that needs the real kernel: as its first statement, it skips the simulated one. */
bool is_simulated(void);
#define NOT_SIMULATED(reason)                                                                      \
    do {                                                                                           \
        if (is_simulated()) {                                                                      \
            SKIP(reason);                                                                          \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* Options that ask for the body's backend; for tests that call stoa_run themselves. */
struct stoa_options options_here(void);

/* -------------------------------------------------------------------------
 * A second activity
 * ---------------------------------------------------------------------- */

struct beside {
    int (*fn)(struct beside *me);
    void *arg;
    long result;      /* fn may leave more here than it returns */
    int error;        /* errno when fn returned */
    const char *said; /* likewise, for stoa_errmsg() */

    atomic_bool waits; /* its next call is the one that waits */
    atomic_bool ended;
    pid_t tid; /* valid once waits is true */
    pthread_t thread;
    struct stoa_group *group;
    int value;
};

/* Start fn beside the body, and wait for its end.  beside_join() returns fn's value;
 * b stays valid, for it is the caller's. */
void beside(struct beside *b, int (*fn)(struct beside *me), void *arg);
int beside_join(struct beside *b);

/* In fn: the next call is the one that waits.  In the body: return when it does. */
void about_to_wait(struct beside *me);
void until_asleep(struct beside *b);

/* Let others run a little; also of use on a plain thread. */
void breathe(void);

/* -------------------------------------------------------------------------
 * Sockets
 * ---------------------------------------------------------------------- */

enum kind {
    TCP4,
    TCP6,
    UNIX_STREAM,
    KIND_STREAMS, /* those before are streams */
    UDP4 = KIND_STREAMS,
    UDP6,
    UNIX_DGRAM,
    KINDS,
};

#define EACH_STREAM(k) for (enum kind k = TCP4; k < KIND_STREAMS; k++)
#define EACH_DGRAM(k)  for (enum kind k = UDP4; k < KINDS; k++)
#define EACH_KIND(k)   for (enum kind k = TCP4; k < KINDS; k++)

const char *kind_name(enum kind k);
int kind_family(enum kind k);
int kind_type(enum kind k);

/* An address to bind to of which the kernel chooses the free part. */
const char *kind_free(enum kind k);

struct pair {
    int near;
    int far;
};

struct pair pair_of(enum kind k); /* connected to each other, near is the client */
struct pair pair_make(void);      /* of TCP4 */
void pair_close(struct pair *p);  /* each that is not -1 */

struct text {
    char c[STOA_ADDR_TEXT_MAX];
};
struct text self_text(int s); /* stoa_getsockname() as text */
struct text peer_text(int s);
struct stoa_addr self_addr(int s);

int bound_make(enum kind k);                        /* bound to a free address */
int listener_make(enum kind k, struct text *where); /* listening; where it does, or NULL */
int port_of(const struct stoa_addr *a);

/* A TCP listener with backlog 0 and one connection in its queue: the kernel drops further SYNs
 * (tcp_conn_request), so that a connect stays on its way. */
struct full {
    int listener;
    int inside;
    struct text where;
};
struct full full_make(void);
struct full full_of(int bound); /* of a socket that is bound */
void full_close(struct full *f);

/* An address text at which nobody is, to the program's end: a socket of ours keeps the port, with
 * SO_REUSEADDR, and neither listens nor receives.  So does no path. */
struct text nobody_there(enum kind k);

/* A loopback address text with a port that was free a moment ago; on a busy machine it may be
 * another's by now. */
struct text free_there(enum kind k);

/* Can it be had?  A kernel may be without io_uring, or refuse it.  NULL: the default. */
bool backend_is_there(const char *backend);

/* Keep a loopback port for a server that is to be started: bound, with SO_REUSEADDR and
 * not listening, which the kernel gives to nobody who does not ask for it by number.
 * The descriptor, to be closed when the server is over. */
int port_keep(struct text *where);

/* Dial until somebody listens there. */
int dial_soon(const char *to);

/* A new path in a folder of this program that is removed at its end. */
struct text unix_path(void);

/* Send until there is no room; returns the bytes.  With TCP some room comes by itself later
 * (delayed acknowledgements, window probes), so what must find none asks again and again: */
size_t fill(int s);

/* Send until that fails: -1, with errno and stoa_done() of the call that did. */
ssize_t send_until_it_fails(int s, int flags);
void small_buffers(int s);

/* -------------------------------------------------------------------------
 * Else
 * ---------------------------------------------------------------------- */

double now(void); /* seconds, monotonic; in the simulated network its own */

/* errno is left as it was by a failing call: EXPECT_ERR(ERR(x), ...) is for calls that
 * return the error's number. */
bool said(const char *part); /* is part in stoa_errmsg()? */
#define EXPECT_SAID(part)                                                                          \
    do {                                                                                           \
        if (!said(part))                                                                           \
            t_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", stoa_errmsg(), part);         \
    } while (0)

/* A body that must have a process of its own (it stops the library, lowers limits):
 *     ALONE(name);
 * as its first statement runs just this case in a fresh process, and returns. */
#define ALONE(name)                                                                                \
    do {                                                                                           \
        if (!alone(#name))                                                                         \
            return;                                                                                \
    } while (0)
bool alone(const char *name);

#endif
