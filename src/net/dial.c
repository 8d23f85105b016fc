/* dial.c - connect, and dial, which tries all the addresses of a name.
 *
 * A connect is one operation with one deadline, the look-up of a name included.  The
 * kernel leaves to us the TCP socket that meets itself: a connect to a free local port
 * of the ephemeral range can be given that very port, and by simultaneous open be
 * connected to itself (RFC 9293 3.5).  Such a connection is undone.
 *
 * Dial is RFC 8305: families in turn, IPv6 first where the name service has it first; a
 * new attempt every DIAL_NEXT_NS or when one has failed; the first connection wins.  Each
 * attempt is a fiber.  On a plain thread they live in a loop of their own for the time.
 *
 * What holds: dial returns when all its fibers have ended, for they use its frame.
 */
#include "backend/life.h"
#include "base/text.h"
#include "diag/meaning.h"
#include "net/error.h"
#include "net/options.h"
#include "net/scope.h"
#include "net/sock.h"
#include "net/where.h"

#include <errno.h>
#include <string.h>

/* Is the other end of this TCP connection ourselves? */
static bool met_itself(struct stoa_sock *so, const struct stoa_addr *to)
{
    struct stoa_addr own = {.len = sizeof(own.sa)};

    if (so->b.type != SOCK_STREAM || so->b.family == AF_UNIX)
        return false;
    return backend_here()->name_of(&so->b, false, (struct sockaddr *)&own.sa, &own.len) == 0 &&
           addr_equal(&own, to);
}

/* Forget the connection, keep the socket: connect(2) with AF_UNSPEC. */
static void disconnect(int s)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    socklen_t len = sizeof(none);
    struct op op = {.kind = OP_CONNECT, .sa = &none, .sa_len = &len};

    sock_run(s, &op);
}

/* Connect to a; op may come with a deadline. */
static int connect_addr(int s, struct op *op, const struct stoa_addr *a)
{
    struct stoa_addr to = *a;

    op->kind = OP_CONNECT;
    op->sa = (struct sockaddr *)&to.sa;
    op->sa_len = &to.len;
    ssize_t r = sock_run(s, op);

    if (r < 0)
        return (int)r;
    struct stoa_sock *so = sock_enter(s);
    if (!so)
        return -ECANCELED;
    bool itself = met_itself(so, &to);
    if (!itself)
        sock_keep_peer(so, &to);
    sock_leave(so);
    if (itself)
        disconnect(s);
    return itself ? -EADDRNOTAVAIL : 0;
}

/* Connect by text; leaves a note.  0 or negative errno. */
static int connect_text(int s, const char *addr)
{
    struct stoa_sock *so = sock_enter(s);
    struct where w = {.why = ""};
    struct op op = {.kind = OP_CONNECT};
    int r = so ? scope_check(&fiber_self()->local) : -EBADF;

    int family = 0, type = 0;

    if (so) {
        family = so->b.family;
        type = so->b.type;
        op.sock = &so->b; /* the call has begun: see sock_run() */
        sock_leave(so);
        op.until_ns = sock_until(s);
    }
    if (r == 0)
        r = where_find(&w, addr, family, type, false, op.until_ns);
    if (r == 0)
        r = w.n ? connect_addr(s, &op, &w.list[0]) : -EINVAL;
    error_out_at(VERB_CONNECT, s, r, addr, w.why, where_first(&w), type);
    return r;
}

int stoa_connect(int s, const char *addr)
{
    int r = connect_text(s, addr);

    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}

int stoa_connect_ex(int s, const char *addr)
{
    int saved_errno = errno;
    int r = connect_text(s, addr);

    errno = saved_errno;
    return -r;
}

int stoa_connect_sa(int s, const struct sockaddr *sa, socklen_t len)
{
    struct op op = {.kind = OP_CONNECT};
    struct stoa_addr a = {.len = len};
    char text[STOA_ADDR_TEXT_MAX];
    const struct stoa_sock *so = sock_at(s);
    int r, type = so ? so->b.type : 0;

    if (len > sizeof(a.sa))
        return (int)error_out(VERB_CONNECT, s, -EINVAL);
    memcpy(&a.sa, sa, len);
    r = connect_addr(s, &op, &a);
    return (int)error_out_at(VERB_CONNECT, s, r, stoa_addr_text(&a, text, sizeof(text)), NULL, &a,
                             type);
}

struct attempt {
    struct race *race;
    const struct stoa_addr *to;
    struct fiber *fiber; /* while it lives */
    int s;               /* the connected socket, or -1 */
    int error;
};

struct race {
    struct attempt attempt[DIAL_ADDRESSES_MAX];
    int n;
    int begun;
    int alive;
    int winner; /* of attempt, -1 = none yet */
    int type;
    const struct stoa_addr *from; /* per family found; NULL = any */
    uint64_t until_ns;
    bool no_source;  /* from could not be bound to */
    bool over;       /* attempts that have not begun need not */
    struct op event; /* what the race waits on */
};

static int attempt_socket(struct attempt *a)
{
    const struct stoa_addr *from = a->race->from;
    struct stoa_sock *so;
    int s = stoa_socket(a->to->sa.ss_family, a->race->type, 0);

    if (s < 0)
        return -fiber_self()->local.note.code;
    stoa_settimeout(s, -1);
    so = sock_at(s);
    if (from) {
        int r = from->sa.ss_family != a->to->sa.ss_family
                    ? -EAFNOSUPPORT
                    : backend_here()->bind(&so->b, (const struct sockaddr *)&from->sa, from->len);
        if (r < 0) {
            a->race->no_source = true;
            stoa_close(s);
            return r;
        }
    }
    return s;
}

/* One address: a connected socket, or a negative errno. */
static int attempt_connect(struct attempt *a)
{
    struct op op = {.kind = OP_CONNECT, .until_ns = a->race->until_ns};
    int s = attempt_socket(a);
    int r;

    if (s < 0)
        return s;
    r = connect_addr(s, &op, a->to);
    if (r < 0) {
        stoa_close(s);
        return r;
    }
    stoa_settimeout(s, stoa_getdefaulttimeout());
    return s;
}

static void attempt_fiber(void *arg)
{
    struct attempt *a = arg;
    struct race *race = a->race;
    int r = race->over ? -ECANCELED : attempt_connect(a);

    a->fiber = NULL;
    a->s = r < 0 ? -1 : r;
    a->error = r < 0 ? r : 0;
    if (r >= 0 && race->winner < 0)
        race->winner = (int)(a - race->attempt);
    race->alive--;
    if (race->event.state == OP_WAITING)
        op_complete(&race->event, 0);
    loop_fiber_ends();
}

/* Wait for an attempt to end, but not beyond until_ns. */
static int race_wait(struct race *race, uint64_t until_ns)
{
    race->event = (struct op){.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = until_ns};
    return (int)op_run(&race->event);
}

static void race_begin_next(struct race *race)
{
    struct attempt *a = &race->attempt[race->begun++];

    a->fiber = fiber_go(&loop_here->sched, attempt_fiber, a);
    if (!a->fiber) {
        a->error = -ENOMEM;
        return;
    }
    a->fiber->local.host = fiber_self()->local.host;
    race->alive++;
}

/* End the losers: cancel what waits, close what came too late. */
static void race_end(struct race *race)
{
    race->over = true;
    for (int i = 0; i < race->begun; i++)
        if (race->attempt[i].fiber)
            loop_interrupt(race->attempt[i].fiber, -ECANCELED);
    while (race->alive > 0)
        race_wait(race, WHEEL_NEVER);
    for (int i = 0; i < race->begun; i++)
        if (race->attempt[i].s >= 0 && i != race->winner)
            stoa_abort(race->attempt[i].s);
}

/* All attempts.  A socket, or a negative errno: the caller's own end, or the first failure. */
static int race_run(struct race *race)
{
    int r = 0;

    while (race->winner < 0 && r == 0 && (race->begun < race->n || race->alive > 0)) {
        uint64_t next = WHEEL_NEVER;

        if (race->begun < race->n) {
            race_begin_next(race);
            next = backend_here()->now() + DIAL_NEXT_NS;
        }
        if (race->begun == race->n || next > race->until_ns)
            next = race->until_ns;
        if (race->alive > 0)
            r = race_wait(race, next);
        if (r == -ETIME && next < race->until_ns)
            r = 0;
    }
    race_end(race);
    if (race->winner >= 0)
        return race->attempt[race->winner].s;
    return r < 0 ? r : race->attempt[0].error;
}

struct thread_race {
    struct race *race;
    int result;
};

static void thread_race_fiber(void *arg)
{
    struct thread_race *t = arg;

    t->result = race_run(t->race);
    loop_fiber_ends();
}

/* On a plain thread: in a loop that lives as long as the race. */
static int race_on_thread(struct race *race)
{
    struct thread_race t = {.race = race};
    const struct backend_ops *ops = backend_choose(NULL);
    struct loop l;
    int r = loop_open(&l, ops ? ops : &epoll_ops, STACK_SIZE_DEFAULT, false);

    if (r < 0)
        return r;
    l.hooked = fiber_go(&l.sched, thread_race_fiber, &t);
    if (l.hooked)
        loop_run(&l);
    else
        t.result = -ENOMEM;
    loop_close(&l);
    return t.result;
}

/* The families in turn, beginning with the first one's: RFC 8305 4. */
static void race_order(struct race *race, const struct where *w)
{
    bool taken[DIAL_ADDRESSES_MAX] = {false};
    int family = w->list[0].sa.ss_family;

    for (race->n = 0; race->n < w->n; race->n++) {
        int pick = -1;

        for (int i = 0; i < w->n; i++)
            if (!taken[i] && (pick < 0 || (w->list[pick].sa.ss_family != family &&
                                           w->list[i].sa.ss_family == family)))
                pick = i;
        taken[pick] = true;
        race->attempt[race->n] = (struct attempt){.race = race, .to = &w->list[pick], .s = -1};
        family = w->list[pick].sa.ss_family == AF_INET6 ? AF_INET : AF_INET6;
    }
}

/* Every address that was tried, and how it failed. */
static void race_tell(const struct race *race, struct where *w)
{
    char address[STOA_ADDR_TEXT_MAX];
    struct text t;

    text_init(&t, w->why, sizeof(w->why));
    if (race->no_source) {
        text_add(&t, "from ");
        text_add(&t, stoa_addr_text(race->from, address, sizeof(address)));
        text_add(&t, ": that is not an address of this machine, or in use, or of another family");
        return;
    }
    for (int i = 0; i < race->begun; i++) {
        int error = race->attempt[i].error;

        text_add(&t, i ? "; " : "");
        text_add(&t, stoa_addr_text(race->attempt[i].to, address, sizeof(address)));
        text_add(&t, ": ");
        text_add(&t, error == -ECANCELED ? "no answer in time" : meaning_of(-error));
    }
}

static int dial_where(struct where *w, const struct where *from, uint64_t until_ns)
{
    struct race race = {
        .winner = -1,
        .type = w->parts.scheme == ADDR_UDP ? SOCK_DGRAM : SOCK_STREAM,
        .from = from ? &from->list[0] : NULL,
        .until_ns = until_ns,
    };
    int r;

    race_order(&race, w);
    if (race.n == 1) {
        r = attempt_connect(&race.attempt[0]);
        race.begun = *w->parts.host && w->parts.family == AF_UNSPEC;
        race.attempt[0].error = r;
    } else {
        r = loop_here ? race_run(&race) : race_on_thread(&race);
    }
    if (r < 0 && (race.begun || race.no_source))
        race_tell(&race, w);
    return r;
}

static uint64_t dial_until(void)
{
    double seconds = stoa_getdefaulttimeout();
    uint64_t until = scope_until(&fiber_self()->local);
    uint64_t end = WHEEL_NEVER;

    if (seconds > 0)
        end = backend_here()->now() + (uint64_t)scope_nanoseconds(seconds);
    return end < until ? end : until;
}

static int dial(const char *to, const char *from, struct where *w, struct where *own)
{
    uint64_t until_ns = dial_until();
    int r = scope_check(&fiber_self()->local);

    if (r == 0)
        r = where_find(w, to, AF_UNSPEC, 0, false, until_ns);
    if (r == 0 && w->parts.scheme == ADDR_FD) {
        r = stoa_fromfd(w->parts.fd);
        return r < 0 ? -errno : r;
    }
    if (r == 0 && from) {
        r = where_find(own, from, w->list[0].sa.ss_family, 0, true, until_ns);
        if (r < 0)
            memcpy(w->why, own->why, sizeof(w->why));
    }
    return r < 0 ? r : dial_where(w, from ? own : NULL, until_ns);
}

int stoa_dial(const char *to, const struct stoa_options *options)
{
    struct where w = {.why = ""}, own = {.why = ""};
    struct stoa_options o;
    int r;

    if (!options_copy(&o, options, w.why, sizeof(w.why)))
        return (int)error_out_why(VERB_DIAL, -1, -EINVAL, to, w.why);
    r = dial(to, o.from, &w, &own);
    return (int)error_out_at(VERB_DIAL, -1, r, to, w.why, where_first(&w),
                             w.parts.scheme == ADDR_UDP ? SOCK_DGRAM : SOCK_STREAM);
}
