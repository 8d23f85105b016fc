/* backend.h - the contract between the facade and the ways to wait.
 *
 * The facade turns each call that may wait into one operation (struct op) and hands it
 * to the backend of the place where it was called: op_run().  A plain thread's backend
 * is `block`; a worker's is that of its loop.  Nothing here knows what a call means.
 *
 * What a backend promises, and tests/contract/ tests of all of them:
 *
 *   - An operation completes exactly once: inside submit(), or later inside wait(), or,
 *     when its socket is closed, inside close().
 *     Its struct lives in the caller's frame and is not touched after completion.
 *   - Its result is what the kernel's call gives, or a negative errno; the same one on
 *     every backend for the same situation.
 *   - cancel() only asks: the operation still completes, with the bytes if they came
 *     first, else with op->why.  So data beats a timeout, and a cancelled call has
 *     taken nothing.
 *   - Operations of one direction of a socket are served in the order they came.
 *   - close() returns when no operation can reach the descriptor any more; those that
 *     waited complete with -ECANCELED.
 *   - Time comes from now() only.
 *
 * A socket that is used on a loop first, or was made there, has that loop as its home:
 * there, operations need neither locks nor atomic instructions (life.h).  From
 * anywhere else the same calls work as guests, a little slower.
 */
#ifndef STOA_BACKEND_BACKEND_H
#define STOA_BACKEND_BACKEND_H

#include "base/list.h"
#include "fiber/fiber.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop;
struct text;

/* A message to another thread's loop: run there, in its turn. */
struct post {
    struct post *next;
    void (*run)(struct post *self);
};

/* The part of a socket that backends own; struct stoa_sock begins with it.  What each
 * operation needs is in its first 64 bytes, a cache line. */
struct backend_sock {
    _Atomic int fd;
    _Atomic uint32_t life;       /* generation, and how far its end has come: life.h */
    _Atomic(struct loop *) home; /* whose fibers use it without locks; NULL = nobody's */
    struct list ops;             /* home's: operations that wait, in order */
    uint8_t armed;               /* home's: enum armed, what epoll has been told */
    uint8_t heard;               /* home's: the backend's enum heard, what it has been told */
    uint8_t family;              /* AF_*, fixed when the socket is made */
    uint8_t type;                /* SOCK_*, likewise */
    atomic_uint nwaiter;         /* how many, readable without the lock */
    atomic_uint nguest;          /* system calls under way from elsewhere */
    atomic_bool lock;            /* over waiters */
    atomic_bool telling;         /* tell is on its way */
    atomic_bool polled;          /* the home hears of what guests wait for */
    _Atomic uint8_t handed;      /* how it is closed, + 1, once that is left to home */
    _Atomic int64_t timeout_ns;  /* the facade's: < 0: none; 0: never wait */

    atomic_uint nflight;    /* home writes: operations in the kernel's hands, uring's */
    atomic_bool shared;     /* others may have the open file: the facade's word */
    atomic_bool guarded;    /* O_NONBLOCK is on for one call: kernel.c */
    atomic_bool lingers;    /* SO_LINGER may have been set */
    atomic_int gap_ms;      /* TCP_RTO_MAX_MS before stoa_serve() made it short; 0: it has not */
    uint16_t proto;         /* IPPROTO_*, fixed like type; a TCP socket's is IPPROTO_TCP */
    _Atomic uint32_t forks; /* how often the process had forked before fd was made */
    struct list waiters;    /* of guests: struct waiter */
    struct list home_link;  /* in home's list of its sockets */
    struct post tell;       /* to home: something has ended; see life.c */
};

enum op_kind {
    OP_RECV = 1, /* recv(2); recvfrom(2) when sa is set */
    OP_SEND,     /* send(2); sendto(2) when sa is set; MSG_WAITALL: better all, see uring.c */
    OP_RECVMSG,  /* buf is a struct msghdr */
    OP_SENDMSG,
    OP_ACCEPT, /* res is the new descriptor */
    OP_CONNECT,
    OP_POLL,     /* flags are poll(2)'s events, res those that came */
    OP_SENDFILE, /* file, buf is the off_t */
    OP_EVENT,    /* no socket: waits for op_complete(), or for time */
};

enum op_state {
    OP_IDLE,
    OP_WAITING,
    OP_CANCELLING, /* cancel() has been called */
    OP_DONE,
};

/* One call that may wait.  The caller fills what the call means, zero is the rest.  What a loop
 * needs to complete it comes first. */
struct op {
    uint8_t kind;
    uint8_t stage; /* the kernel's calls': connect is under way */
    uint8_t state;
    uint8_t flight;            /* uring's, sim's: what the kernel has of it */
    int flags;                 /* MSG_*; events for OP_POLL */
    struct backend_sock *sock; /* NULL: OP_EVENT */
    uint32_t life;             /* what sock->life must be */
    int why;                   /* cancel()'s reason: -ETIME or -ECANCELED */
    void *buf;
    size_t len;
    struct sockaddr *sa;
    struct list link; /* in sock->ops while it waits at home */
    struct fiber *who;
    ssize_t res;

    /* Time: one deadline, fixed when the first wait of the call begins. */
    uint64_t until_ns;  /* both together; 0 = not fixed yet */
    int64_t timeout_ns; /* < 0: none; 0: never wait */
    uint64_t scope_ns;  /* the scope's deadline, WHEEL_NEVER mostly */

    socklen_t *sa_len;
    union {
        int file;       /* OP_SENDFILE: the descriptor to read */
        uint32_t forks; /* OP_ACCEPT: life_forks before res was made */
    };
};

/* An op for recv(2) or send(2), field by field: to zero the whole struct first, which gcc does
 * by `rep stos`, takes 35 cycles. */
static inline void op_message(struct op *op, enum op_kind kind, const void *buf, size_t len,
                              int flags)
{
    op->kind = (uint8_t)kind;
    op->stage = 0;
    op->state = OP_IDLE;
    op->flight = 0;
    op->flags = flags;
    op->sock = NULL;
    op->life = 0;
    op->why = 0;
    op->buf = (void *)(uintptr_t)buf;
    op->len = len;
    op->sa = NULL;
    op->sa_len = NULL;
    op->until_ns = 0;
}

enum backend_close {
    CLOSE_PLAIN,  /* close(2); nobody else has the open file */
    CLOSE_SHARED, /* close(2); others may have it, and it lives on */
    CLOSE_POLITE, /* linger.h */
    CLOSE_RESET,
    CLOSE_DETACH, /* leave it open: close() returns it */
};

struct backend_ops {
    const char *name;

    /* Is it to be had here?  0, negative errno; NULL: always. */
    int (*probe)(void);

    /* A loop's life.  0; negative errno when the kernel refuses. */
    int (*open)(struct loop *l);
    void (*shut)(struct loop *l);

    /* 1: complete, op->res holds.  0: it will complete inside wait(). */
    int (*submit)(struct loop *l, struct op *op);
    void (*cancel)(struct loop *l, struct op *op);

    /* Wait until something completes or until_ns; 0 = only look.  Sets l->signalled when
     * a signal has ended it. */
    void (*wait)(struct loop *l, uint64_t until_ns);

    /* End wait(), from any thread and from signal handlers. */
    void (*wake)(struct loop *l);

    /* Of a socket s whose home l is.  See that guest_wake() is called when s becomes ready:
     * from any thread, with l's end held off.  0, negative errno; -ECANCELED: s is being
     * closed. */
    int (*arm_for_guest)(struct loop *l, struct backend_sock *s, uint32_t want);

    /* Nothing fits s any more and all has been cancelled: return when the kernel has nothing
     * of it.  On l's thread; it does not wait for anybody.  NULL: nothing to do. */
    void (*settle)(struct loop *l, struct backend_sock *s);

    /* s loses its descriptor, and its file may live on.  From any thread; NULL: nothing to do. */
    void (*forget)(struct loop *l, struct backend_sock *s);

    /* Calls that never wait: negative errno or the kernel's result. */
    int (*socket)(int family, int type, int proto);
    int (*socketpair)(int family, int type, int proto, int pair[2]);
    int (*bind)(struct backend_sock *s, const struct sockaddr *sa, socklen_t len);
    int (*listen)(struct backend_sock *s, int backlog);
    int (*shutdown)(struct backend_sock *s, int how);
    int (*name_of)(struct backend_sock *s, bool peer, struct sockaddr *sa, socklen_t *len);
    int (*getopt)(struct backend_sock *s, int level, int option, void *v, socklen_t *len);
    int (*setopt)(struct backend_sock *s, int level, int option, const void *v, socklen_t len);
    int (*close)(struct backend_sock *s, enum backend_close how);
    uint64_t (*now)(void);

    /* What is not the machine's own in a simulated network; NULL = the machine's.  The first
     * two: -ENOTSOCK for a descriptor that is the machine's all the same. */
    int (*end)(int fd, enum backend_close how); /* close it; close() has seen to its users */
    int (*dup)(int fd);
    int (*resolve)(const char *host, struct in6_addr *list, int n, uint64_t until_ns);
    int (*offload)(int (*fn)(void *arg), void *arg, int *error);
    int (*remove_stale)(const struct sockaddr *path, socklen_t len); /* net/path.c */
};

extern const struct backend_ops block_ops;
extern const struct backend_ops epoll_ops;
extern const struct backend_ops uring_ops;

/* The backend called name, or by STOA_BACKEND for NULL, or the best that is to be had; NULL when
 * that one is not. */
const struct backend_ops *backend_choose(const char *name);

/* Why backend_choose(name) has given NULL. */
void backend_missing(const char *name, struct text *why);

/* The calling thread's loop, NULL on a plain thread. */
extern __thread struct loop *loop_here __attribute__((tls_model("initial-exec")));

/* A descriptor that no socket has: close it, or get another one for the same file. */
void backend_drop(int fd);
int backend_dup(int fd);

/* Do it, waiting as the place of the call does.  Returns op->res.  The same op may be
 * run again (the next part of a sendall): its deadline then stays the same. */
ssize_t op_run(struct op *op);

/* An operation is over: its fiber may go on.  For backends, and for OP_EVENT's owner. */
void op_complete(struct op *op, ssize_t res);

/* submit()'s answer for what is over. */
static inline int op_finish(struct op *op, ssize_t r)
{
    op->res = r;
    op->state = OP_DONE;
    return 1;
}

/* Fix op's deadline, if that has not been done. */
static inline void op_deadline(struct op *op, uint64_t now_ns)
{
    if (op->until_ns)
        return;
    op->until_ns = op->scope_ns;
    if (op->timeout_ns >= 0 && (uint64_t)op->timeout_ns < WHEEL_NEVER - now_ns &&
        now_ns + (uint64_t)op->timeout_ns < op->until_ns)
        op->until_ns = now_ns + (uint64_t)op->timeout_ns;
    if (op->until_ns == 0)
        op->until_ns = 1;
}

/* May this operation not wait at all? */
static inline bool op_never_waits(const struct op *op)
{
    return op->timeout_ns == 0;
}

/* poll(2)'s word for what an operation waits for. */
static inline int op_events(const struct op *op)
{
    int asked = op->flags & ~(POLLERR | POLLHUP | POLLNVAL);

    switch (op->kind) {
    case OP_SEND:
    case OP_SENDMSG:
    case OP_CONNECT:
    case OP_SENDFILE:
        return POLLOUT;
    case OP_POLL: /* no event asked for is errors and ends, which are told as POLLPRI */
        return asked ? asked : POLLPRI;
    default:
        return POLLIN;
    }
}

/* The same for the kernel, which tells errors and ends unasked: no more than what the attempt
 * will take, or the kernel would tell of the rest again and again. */
static inline int op_polls(const struct op *op)
{
    bool receives = op_events(op) == POLLIN && op->kind != OP_POLL;

    if (op->kind == OP_POLL)
        return op->flags & ~(POLLERR | POLLHUP | POLLNVAL);
    if (receives && (op->flags & MSG_ERRQUEUE))
        return 0;
    return receives && (op->flags & MSG_OOB) ? POLLPRI : op_events(op);
}

/* Does it take nothing that others wait for, or something of another queue? */
static inline bool op_is_apart(const struct op *op)
{
    return op->kind == OP_POLL || op->kind == OP_CONNECT || (op->flags & (MSG_OOB | MSG_ERRQUEUE));
}

/* Does another operation of its socket wait for the same already?  Then that is first. */
bool op_someone_waits(const struct op *op);

/* poll(2)'s other words for what is told as POLLIN and POLLOUT. */
#define EVENTS_IN  (POLLIN | POLLRDNORM | POLLRDBAND | POLLRDHUP)
#define EVENTS_OUT (POLLOUT | POLLWRNORM | POLLWRBAND)

/* What an operation may wait for that is worth another attempt now. */
static inline int op_hopes(int events)
{
    return events | (events & POLLIN ? EVENTS_IN : 0) | (events & POLLOUT ? EVENTS_OUT : 0);
}

/* What stoa_oninterrupt() set; asked after a signal and between partial sends.
 * 0, or -ECANCELED. */
extern _Atomic(int (*)(void)) interrupt_hook;
int interrupt_check(void);

#endif
