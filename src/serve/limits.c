/* limits.c - a worker's guard: who is overdue is told to end.
 *
 * Who comes may be overdue after the same time as all others, so until then they stand in the
 * order in which they came, and who leaves before has cost next to nothing.  Then the guard, a
 * fiber, asks TCP (TCP_INFO: bytes and times) and either cancels the connection's fiber or puts
 * it into a wheel, at the time when it may be overdue at the earliest.  An idle connection is
 * asked once in the time it may be idle; a message costs nothing.
 *
 * Pressure is 90 % of max_conns: then the times are a tenth, and those that were not given hold
 * at all.  Only as many are told to end as it takes to be below that again: quiet clients are
 * no harm while there is room.
 *
 * Limits: the guard looks once a second at most.  A worker to which no client has come since half
 * of max_conns were there does not see the pressure.  A handler under stoa_shield() ends when it
 * likes.  Before Linux 4.19 TCP does not count what limits of time ask for, and nobody is overdue.
 *
 * A dead peer.  Who stays for a second is given keep-alive, which finds an idle one after two
 * minutes; not before, for its timer costs 2 % of a connection that comes, asks and goes.  With
 * data on its way TCP tries tcp_retries2 = 15 times, whose gaps double up to 2 minutes: a quarter
 * of an hour in all.  Gaps of 1.2 s at most make that 18 s; so only a kernel that knows
 * TCP_RTO_MAX_MS does it.  TCP_USER_TIMEOUT does not serve: with 20 s it was seen to end a live
 * peer who had not read for 20 s, and an idle one whose keep-alive probe was lost, once (Linux
 * 6.18; tcp_probe_timer() and tcp_keepalive_timer() say so).  What short gaps would cost a live one
 * who reads late: backend/linger.c.
 *
 * Source: tcp(7); <linux/tcp.h>, for the glibc's struct tcp_info ends before the counts.
 */
#include "serve/limits.h"

#include "net/scope.h"
#include "serve/group.h"

#include <linux/tcp.h>

#define SECOND_NS      ((uint64_t)1000000000)
#define GUARD_RESTS_NS SECOND_NS /* between two looks */
#define STAYS_NS       SECOND_NS /* who is here for so long may stay: see_death() */
#define LOOKS_IN_A_ROW 64        /* then others run: 0.1 ms */

#define PER_ADDRESS_DEFAULT 1024
#define MIN_RATE_DEFAULT    1.0
#define GRACE_NS            (30 * SECOND_NS)

/* What holds under pressure when no time was given. */
static const struct times pressed_default = {
    .first_ns = 10 * SECOND_NS,
    .idle_ns = 60 * SECOND_NS,
    .grace_ns = GRACE_NS,
};

/* A wish in seconds, 0 none and negative never, as a time at ease and one under pressure. */
static void wish(double seconds, uint64_t usual_ns, uint64_t *at_ease, uint64_t *pressed)
{
    int64_t ns = scope_nanoseconds(seconds);

    *at_ease = seconds == 0 || ns < 0 ? WHEEL_NEVER : (uint64_t)ns;
    *pressed = seconds == 0 ? usual_ns : ns < 0 ? WHEEL_NEVER : (uint64_t)ns / 10;
}

int rules_init(struct rules *r, const struct stoa_options *o, unsigned max_conns,
               const atomic_uint *nconn)
{
    const struct times *usual = &pressed_default;
    double grace = o->min_rate > 0 ? (double)GRACE_NS / 1e9 : o->min_rate;

    *r = (struct rules){.max_conns = max_conns, .nconn = nconn};
    wish(o->first_byte, usual->first_ns, &r->at_ease.first_ns, &r->pressed.first_ns);
    wish(o->idle, usual->idle_ns, &r->at_ease.idle_ns, &r->pressed.idle_ns);
    wish(grace, usual->grace_ns, &r->at_ease.grace_ns, &r->pressed.grace_ns);
    r->min_rate = o->min_rate > 0 ? o->min_rate : MIN_RATE_DEFAULT;
    return addresses_init(&r->addresses,
                          o->max_per_address ? o->max_per_address : PER_ADDRESS_DEFAULT,
                          o->max_per_address == 0, max_conns);
}

void rules_fini(struct rules *r)
{
    addresses_fini(&r->addresses);
}

static int set_option(struct backend_sock *b, int level, int option, int value)
{
    return backend_here()->setopt(b, level, option, &value, sizeof(value));
}

void limits_see_death(struct rules *r, struct stoa_sock *listener)
{
    int on = 0;
    socklen_t len = sizeof(on);

    if (listener->b.family != AF_UNIX &&
        backend_here()->getopt(&listener->b, SOL_SOCKET, SO_KEEPALIVE, &on, &len) == 0 && !on)
        atomic_store(&r->sees_death, true);
}

/* All on the connection itself: it may have come before any worker had its listener. */
static bool keep_alive(struct backend_sock *b)
{
    (void)set_option(b, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    (void)set_option(b, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    (void)set_option(b, IPPROTO_TCP, TCP_KEEPCNT, 6);
    return set_option(b, SOL_SOCKET, SO_KEEPALIVE, 1) == 0;
}

/* Before Linux 6.15 it cannot be done; and what is shorter already is somebody's wish. */
static void shorten_gaps(struct backend_sock *b)
{
    int ms = 0;
    socklen_t len = sizeof(ms);

    if (backend_here()->getopt(b, IPPROTO_TCP, TCP_RTO_MAX_MS, &ms, &len) == 0 &&
        ms > RTO_MAX_SERVED_MS &&
        set_option(b, IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MAX_SERVED_MS) == 0)
        atomic_store_explicit(&b->gap_ms, ms, memory_order_relaxed);
}

/* A connection that stays. */
static void see_death(struct guarded *g)
{
    struct stoa_sock *so = sock_enter(g->who.conn);

    if (!so)
        return;
    if (!atomic_load(&so->own_death) && keep_alive(&so->b))
        shorten_gaps(&so->b);
    sock_leave(so);
}

static uint64_t clock_ns(void)
{
    return backend_here()->now();
}

/* Are so many percent of max_conns there, without those who are told to end? */
static bool is_full(const struct rules *r, unsigned percent)
{
    uint64_t nconn = atomic_load_explicit(r->nconn, memory_order_relaxed);
    uint64_t ncut = atomic_load_explicit(&r->ncut, memory_order_relaxed);

    return nconn > ncut && (nconn - ncut) * 100 >= (uint64_t)r->max_conns * percent;
}

static uint64_t later(uint64_t from_ns, uint64_t ns)
{
    return ns < WHEEL_NEVER - from_ns ? from_ns + ns : WHEEL_NEVER;
}

/* The first of the times a connection is overdue at, and what it is then. */
struct verdict {
    uint64_t at_ns;
    const char *why;
};

static void consider(struct verdict *v, uint64_t at_ns, const char *why)
{
    if (at_ns < v->at_ns)
        *v = (struct verdict){at_ns, why};
}

static struct verdict judge(const struct guarded *g, const struct times *t,
                            const struct tcp_info *info, uint64_t now_ns)
{
    struct verdict v = {WHEEL_NEVER, NULL};
    uint32_t quiet_ms = info->tcpi_last_data_recv < info->tcpi_last_data_sent
                            ? info->tcpi_last_data_recv
                            : info->tcpi_last_data_sent;
    uint64_t quiet_ns = (uint64_t)quiet_ms * 1000000;
    double said = (double)(info->tcpi_bytes_received + info->tcpi_bytes_acked);
    double worth_ns = said / g->limits->rules->min_rate * 1e9;
    uint64_t worth = worth_ns < 1e18 ? (uint64_t)worth_ns : WHEEL_NEVER;

    if (info->tcpi_bytes_received == 0 && info->tcpi_bytes_sent == 0)
        consider(&v, later(g->who.came_ns, t->first_ns), "silent from the start");
    if (quiet_ns > now_ns - g->who.came_ns)
        quiet_ns = now_ns - g->who.came_ns;
    consider(&v, later(now_ns - quiet_ns, t->idle_ns), "idle");
    if (t->grace_ns != WHEEL_NEVER)
        consider(&v, later(g->who.came_ns, t->grace_ns > worth ? t->grace_ns : worth), "too slow");
    return v;
}

/* What TCP knows of it.  False: it is closed, or nothing is known here. */
static bool ask(const struct guarded *g, struct tcp_info *info)
{
    struct stoa_sock *so = sock_enter(g->who.conn);
    socklen_t len = sizeof(*info);
    int r;

    if (!so)
        return false;
    r = backend_here()->getopt(&so->b, IPPROTO_TCP, TCP_INFO, info, &len);
    sock_leave(so);
    return r == 0 && len >= offsetof(struct tcp_info, tcpi_bytes_retrans);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static const struct times *times_of(const struct limits *l)
{
    return l->pressed ? &l->rules->pressed : &l->rules->at_ease;
}

/* When a connection that has just come is to be looked at: when it may be overdue, every other
 * time is asked for then, or when it has stayed for a while. */
static uint64_t first_due(const struct guarded *g, const struct times *t)
{
    const struct rules *r = g->limits->rules;
    uint64_t ns = least(least(t->first_ns, t->idle_ns), t->grace_ns);

    if (!g->stays && atomic_load_explicit(&r->sees_death, memory_order_relaxed))
        ns = least(ns, STAYS_NS);
    return later(g->who.came_ns, ns);
}

static void look(struct limits *l, struct guarded *g)
{
    struct rules *r = l->rules;
    const struct times *t = is_full(r, 90) ? &r->pressed : &r->at_ease;
    uint64_t now_ns = clock_ns();
    struct tcp_info info = {0};

    if (!g->stays && atomic_load_explicit(&r->sees_death, memory_order_relaxed))
        see_death(g);
    g->stays = true;
    if (first_due(g, t) == WHEEL_NEVER) { /* nothing can be overdue: TCP need not be asked */
        wheel_add(&l->wheel, &g->due, WHEEL_NEVER);
        return;
    }
    if (!ask(g, &info))
        return;
    struct verdict v = judge(g, t, &info, now_ns);
    if (v.at_ns > now_ns) {
        wheel_add(&l->wheel, &g->due, v.at_ns);
        return;
    }
    g->cut = v.why;
    atomic_fetch_add(&r->ncut, 1);
    group_cancel_fiber(g->who.fiber);
}

/* Pressure has begun or ended: other times hold for all. */
static void see_pressure(struct limits *l)
{
    bool pressed = is_full(l->rules, 90);

    if (pressed == l->pressed)
        return;
    l->pressed = pressed;
    for (struct list *n = l->stay.next; n != &l->stay; n = n->next) {
        struct guarded *g = CONTAINER(n, struct guarded, link);

        if (g->cut)
            continue;
        wheel_cancel(&l->wheel, &g->due);
        wheel_add(&l->wheel, &g->due, first_due(g, times_of(l)));
    }
}

/* When the first of those who have just come is due. */
static uint64_t fresh_due(const struct limits *l)
{
    const struct guarded *first = CONTAINER(l->fresh.next, struct guarded, link);

    return list_empty(&l->fresh) ? WHEEL_NEVER : first_due(first, times_of(l));
}

/* Somebody who is due, and has not been looked at since; NULL: nobody is. */
static struct guarded *next_due(struct limits *l, uint64_t now_ns)
{
    struct wheel_node *n = wheel_fired(&l->wheel);
    struct list *first;

    if (n)
        return CONTAINER(n, struct guarded, due);
    if (fresh_due(l) > now_ns)
        return NULL;
    first = list_shift(&l->fresh);
    list_add(&l->stay, first);
    return CONTAINER(first, struct guarded, link);
}

/* Is anybody ever sent off under pressure? */
static bool pressure_matters(const struct times *pressed)
{
    return pressed->first_ns != WHEEL_NEVER || pressed->idle_ns != WHEEL_NEVER ||
           pressed->grace_ns != WHEEL_NEVER;
}

/* How long the guard may be without a look at the pressure: for ever, while it is far or matters
 * to nobody.  A timer that is armed costs each turn of the loop a look at the clock. */
static uint64_t sleeps_ns(const struct limits *l)
{
    return is_full(l->rules, 50) && pressure_matters(&l->rules->pressed) ? GUARD_RESTS_NS
                                                                         : WHEEL_NEVER;
}

static void rest(struct limits *l)
{
    uint64_t now_ns = clock_ns(), next_ns = least(wheel_next(&l->wheel), fresh_due(l));
    uint64_t sleep_ns = sleeps_ns(l);
    struct op op = {.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER};

    if (next_ns < later(now_ns, GUARD_RESTS_NS))
        next_ns = later(now_ns, GUARD_RESTS_NS);
    l->until_ns = later(now_ns, sleep_ns) < next_ns ? later(now_ns, sleep_ns) : next_ns;
    op.scope_ns = l->until_ns;
    l->op = &op;
    op_run(&op);
    l->op = NULL;
}

static int guard(void *arg)
{
    struct limits *l = arg;
    struct guarded *g;

    while (!l->over && !l->group->cancelled) {
        rest(l);
        see_pressure(l);
        uint64_t now_ns = clock_ns();

        wheel_advance(&l->wheel, now_ns);
        for (unsigned i = 1; !l->over && (g = next_due(l, now_ns)); i++) {
            look(l, g);
            if (i % LOOKS_IN_A_ROW == 0)
                fiber_yield();
        }
    }
    return 0;
}

static void wake_guard(struct limits *l)
{
    if (l->op && l->op->state == OP_WAITING)
        op_complete(l->op, 0);
}

int limits_begin(struct limits *l, struct rules *r)
{
    int e;

    *l = (struct limits){.rules = r};
    list_init(&l->fresh);
    list_init(&l->stay);
    wheel_init(&l->wheel, clock_ns());
    l->group = stoa_group_open();
    if (!l->group)
        return -ENOMEM;
    e = group_go(l->group, guard, l, NULL);
    if (e == 0)
        return 0;
    limits_end(l);
    return e;
}

void limits_end(struct limits *l)
{
    if (!l->group)
        return;
    l->over = true;
    wake_guard(l);
    stoa_group_join(l->group);
    l->group = NULL;
}

int limits_enter(struct limits *l, struct guarded *g, int conn)
{
    const struct stoa_sock *so = sock_at(conn);
    uint64_t now_ns = clock_ns();
    int r;

    *g = (struct guarded){
        .who = {.fiber = fiber_self(), .came_ns = now_ns, .conn = conn},
        .limits = l,
    };
    if (so->peer_len == 0) /* nobody counts there: a UNIX client */
        return 0;
    r = addresses_enter(&l->rules->addresses, (const struct sockaddr *)&so->peer, &g->from);
    if (r < 0)
        return r;
    list_add(&l->fresh, &g->link);
    if (first_due(g, times_of(l)) < l->until_ns || later(now_ns, sleeps_ns(l)) < l->until_ns)
        wake_guard(l);
    return 0;
}

void limits_leave(struct guarded *g)
{
    if (list_linked(&g->link))
        list_remove(&g->link);
    wheel_cancel(&g->limits->wheel, &g->due);
    addresses_leave(&g->limits->rules->addresses, g->from);
    if (g->cut)
        atomic_fetch_sub(&g->limits->rules->ncut, 1);
}
