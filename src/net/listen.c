/* listen.c - bind, listen, accept, and announce, which does all but the last.
 *
 * Defaults that hold, each with its reason:
 *
 *   SO_REUSEADDR before bind, for TCP: else a restarted server finds its port "in use" for
 *   the minute of TIME_WAIT.  It helps only if the earlier server had it too, so every
 *   one of ours has it from the start.
 *
 *   IPV6_V6ONLY off for a wildcard: ":8081" serves both families whatever the sysctl says.
 *
 *   SO_REUSEPORT only for who asks: two programs that both have it share a port
 *   silently.  (stoa_serve() sets it later: docs/why/0004.)
 *
 *   A port whose program has just been killed is waited for: with io_uring the kernel takes a
 *   moment to give it back (diag/ghost.c), and who restarts a server does so at once.
 *
 *   accept waits at EMFILE: the client stays in the queue, the processor stays idle.
 */
#include "net/listen.h"
#include "backend/life.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/text.h"
#include "diag/ghost.h"
#include "net/error.h"
#include "net/inherit.h"
#include "net/options.h"
#include "net/path.h"
#include "net/scope.h"
#include "net/sock.h"
#include "net/where.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>

static bool is_inet(const struct backend_sock *b)
{
    return b->family == AF_INET || b->family == AF_INET6;
}

static bool has_path(const struct stoa_addr *a)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&a->sa;

    return a->sa.ss_family == AF_UNIX && a->len > offsetof(struct sockaddr_un, sun_path) &&
           un->sun_path[0];
}

static void set_int(struct backend_sock *b, int level, int option, int value)
{
    backend_here()->setopt(b, level, option, &value, sizeof(value));
}

/* What every socket gets that is bound by text. */
static void before_bind(struct backend_sock *b, const struct stoa_addr *a)
{
    if (is_inet(b) && b->type == SOCK_STREAM)
        set_int(b, SOL_SOCKET, SO_REUSEADDR, 1);
    if (b->family == AF_INET6 && addr_is_any(a))
        set_int(b, IPPROTO_IPV6, IPV6_V6ONLY, 0);
}

static int bind_addr(struct stoa_sock *so, const struct stoa_addr *a, unsigned mode, int backlog)
{
    const struct backend_ops *ops = backend_here();
    const struct sockaddr *sa = (const struct sockaddr *)&a->sa;
    int r;

    before_bind(&so->b, a);
    if (has_path(a)) {
        r = path_bind(&so->b, sa, a->len, mode, backlog);
    } else {
        r = ops->bind(&so->b, sa, a->len);
        if (r == 0 && backlog >= 0)
            r = ops->listen(&so->b, backlog);
    }
    if (r == 0 && backlog >= 0) {
        so->backlog = backlog;
        atomic_store(&so->listening, true);
    }
    return r;
}

/* What "in use" means for a path: there is no other port to choose. */
static void tell_of_path(struct where *w, int r)
{
    struct text t;

    if (r >= 0 || w->why[0] || !w->n || !has_path(&w->list[0]))
        return;
    text_init(&t, w->why, sizeof(w->why));
    if (r == -EADDRINUSE)
        text_add(&t, "a program that runs has this path; stop it, or choose another path");
    if (r == -ENOTSOCK)
        text_add(&t, "something that is no socket is at this path, and is left alone");
}

int stoa_bind(int s, const char *addr)
{
    struct stoa_sock *so = sock_at(s);
    struct where w = {.why = ""};
    int r = -EBADF;

    if (so && sock_enter(s)) {
        sock_leave(so);
        r = scope_check(&fiber_self()->local);
    }
    if (r == 0)
        r = where_find(&w, addr, so->b.family, so->b.type, true, sock_until(s));
    if (r == 0 && w.n == 0)
        return (int)error_out_why(VERB_BIND, s, -EINVAL, addr, "fd: is not an address to bind to");
    if (r == 0) {
        r = -ECANCELED; /* closed during the look-up */
        if (sock_enter(s)) {
            r = bind_addr(so, &w.list[0], 0, -1);
            sock_leave(so);
        }
        tell_of_path(&w, r);
    }
    return (int)error_out_at(VERB_BIND, s, r, addr, w.why, where_first(&w), so ? so->b.type : 0);
}

int stoa_bind_sa(int s, const struct sockaddr *sa, socklen_t len)
{
    struct stoa_sock *so = sock_enter(s);
    struct stoa_addr a = {.len = len};
    char text[STOA_ADDR_TEXT_MAX];
    int r;

    if (!so)
        return (int)error_out(VERB_BIND, s, -EBADF);
    r = backend_here()->bind(&so->b, sa, len);
    int type = so->b.type;
    sock_leave(so);
    if (r == 0 || r == -EFAULT || len > sizeof(a.sa))
        return (int)error_out(VERB_BIND, s, r);
    memcpy(&a.sa, sa, len);
    return (int)error_out_at(VERB_BIND, s, r, stoa_addr_text(&a, text, sizeof(text)), NULL, &a,
                             type);
}

int stoa_listen(int s, int backlog)
{
    struct stoa_sock *so = sock_enter(s);
    int r;

    if (!so)
        return (int)error_out(VERB_LISTEN, s, -EBADF);
    if (backlog < 0)
        backlog = INT32_MAX;
    r = backend_here()->listen(&so->b, backlog);
    if (r == 0) {
        so->backlog = backlog;
        atomic_store(&so->listening, true);
    }
    sock_leave(so);
    return (int)error_out(VERB_LISTEN, s, r);
}

bool listen_nothing_left(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM;
}

/* A descriptor from the queue; at the limit, if wanted, wait for one to be closed.  Who comes
 * into the queue, or what is closed, in the last of the time is still in time. */
static ssize_t accept_fd(int s, struct op *op, struct stoa_addr *peer, bool patient)
{
    int paused = 0;

    for (;;) {
        peer->len = sizeof(peer->sa);
        ssize_t r = sock_run(s, op);

        if (!patient || !listen_nothing_left((int)r) || op_never_waits(op))
            return r;
        if (paused == -ETIME)
            return paused;
        op_deadline(op, backend_here()->now());
        paused = sock_pause(ACCEPT_PAUSE_NS, op->until_ns);
        if (paused < 0 && paused != -ETIME)
            return paused;
    }
}

/* May a connection have inherited SO_LINGER from so? */
static bool may_linger(const struct stoa_sock *so)
{
    return atomic_load_explicit(&so->b.lingers, memory_order_relaxed) ||
           (life_is_shared(&so->b) && !atomic_load_explicit(&so->passed, memory_order_relaxed));
}

static int accept_one(int s, struct stoa_addr *peer, bool patient)
{
    struct op op = {
        .kind = OP_ACCEPT,
        .sa = (struct sockaddr *)&peer->sa,
        .sa_len = &peer->len,
        .forks = sock_forks(),
    };
    const struct stoa_sock *so = sock_at(s);

    if (!so)
        return -EBADF;
    /* The listener may be closed afterwards, and its place another's. */
    int family = so->b.family, type = so->b.type, proto = so->b.proto;
    bool lingers = may_linger(so);
    ssize_t fd = accept_fd(s, &op, peer, patient);

    if (fd < 0)
        return (int)fd;
    int conn = sock_make((int)fd, family, type, proto, op.forks);
    if (conn < 0) {
        backend_drop((int)fd);
        return conn;
    }
    peer->type = type;
    sock_keep_peer(sock_at(conn), peer);
    if (unlikely(lingers || may_linger(so)))
        atomic_store(&sock_at(conn)->b.lingers, true);
    return conn;
}

int stoa_accept(int s, struct stoa_addr *peer)
{
    struct stoa_addr unwanted;
    int conn = accept_one(s, peer ? peer : &unwanted, true);

    return likely(conn >= 0) ? conn : (int)error_out(VERB_ACCEPT, s, conn);
}

int listen_accept(int s)
{
    struct stoa_addr unwanted;

    return accept_one(s, &unwanted, false);
}

/* Is the address in use by a program that is no more? */
static bool is_haunted(const struct backend_sock *b, const struct stoa_addr *a)
{
    bool simulated = backend_here()->end;

    return is_inet(b) && !simulated && ghost_has((const struct sockaddr *)&a->sa, b->type);
}

/* bind_addr(), once a killed program's socket has gone. */
static int bind_after(struct stoa_sock *so, const struct stoa_addr *a, unsigned mode, int backlog)
{
    int r = bind_addr(so, a, mode, backlog);

    for (int i = 0; r == -EADDRINUSE && i < GHOST_TRIES && is_haunted(&so->b, a); i++) {
        int paused = sock_pause(GHOST_PAUSE_NS, scope_until(&fiber_self()->local));

        r = paused < 0 ? paused : bind_addr(so, a, mode, backlog);
    }
    return r;
}

/* A socket at this address that the program was started with.  A handle; -1: there is none. */
static int announced_before(const struct stoa_addr *a, int type, const struct stoa_options *o)
{
    const struct backend_ops *ops = backend_here();
    int fd = ops->end ? -1 : inherit_find(a, type); /* those are not in a simulated world */
    int s = fd < 0 ? -1 : stoa_fromfd(fd);
    struct stoa_sock *so = s < 0 ? NULL : sock_at(s);

    if (so && o->backlog > 0 && atomic_load(&so->listening) && ops->listen(&so->b, o->backlog) == 0)
        so->backlog = o->backlog;
    return s;
}

/* Announce at one address.  A handle. */
static int announce_at(const struct stoa_addr *a, int type, const struct stoa_options *o)
{
    bool stream = type != SOCK_DGRAM;
    unsigned mode = o->mode ? o->mode : 0600;
    int backlog = o->backlog > 0 ? o->backlog : INT32_MAX;
    int s = announced_before(a, type, o);
    int r;

    if (s >= 0)
        return s;
    s = stoa_socket(a->sa.ss_family, type, 0);
    if (s < 0)
        return -fiber_self()->local.note.code;
    if (o->reuseport)
        set_int(&sock_at(s)->b, SOL_SOCKET, SO_REUSEPORT, 1);
    r = bind_after(sock_at(s), a, mode, stream ? backlog : -1);
    if (r < 0)
        stoa_close(s);
    return r < 0 ? r : s;
}

/* ":8081" without IPv6 on this machine: IPv4 alone. */
static int announce_where(struct where *w, int type, const struct stoa_options *o)
{
    int r = announce_at(&w->list[0], type, o);

    if (r == -EAFNOSUPPORT && addr_is_any(&w->list[0]) &&
        addr_numeric(&w->list[0], &w->parts, AF_INET) == 0)
        r = announce_at(&w->list[0], type, o);
    return r;
}

int stoa_announce(const char *at, const struct stoa_options *options)
{
    struct local *me = &fiber_self()->local;
    struct stoa_options o;
    struct where w = {.why = ""};
    int r = scope_check(me);

    if (r == 0 && !options_copy(&o, options, w.why, sizeof(w.why)))
        return (int)error_out_why(VERB_ANNOUNCE, -1, -EINVAL, at, w.why);
    if (r == 0)
        r = where_find(&w, at, AF_UNSPEC, 0, true, scope_until(me));
    if (r == 0 && w.parts.scheme == ADDR_FD) {
        r = stoa_fromfd(w.parts.fd);
        return (int)error_out_why(VERB_ANNOUNCE, -1, r < 0 ? -errno : r, at, NULL);
    }
    int type = w.parts.scheme == ADDR_UDP ? SOCK_DGRAM : SOCK_STREAM;
    if (r == 0)
        r = announce_where(&w, type, &o);
    tell_of_path(&w, r);
    return (int)error_out_at(VERB_ANNOUNCE, -1, r, at, w.why, where_first(&w), type);
}
