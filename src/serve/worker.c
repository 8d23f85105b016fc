/* worker.c - a worker's work: accept, a fiber for each connection, and the end.
 *
 * The first fiber accepts, or takes what another worker deals out; each connection is a fiber of
 * the worker's group.  When stoa_stop() comes, it takes what the kernel has accepted
 * already, closes its listener, and joins the group within options.drain seconds: join cancels
 * the rest.
 *
 * At max_conns the acceptor waits for a connection to end, and clients wait in the
 * listener's queue; so they do at the descriptor limit, where accept is tried again when a
 * connection has ended, and every ACCEPT_PAUSE_NS, for others have descriptors, too.
 */
#include "serve/worker.h"

#include "base/text.h"
#include "net/error.h"
#include "net/listen.h"
#include "net/scope.h"
#include "net/sock.h"
#include "serve/group.h"
#include "serve/run.h"
#include "serve/share.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>

#define QUEUE_MAX      65536 /* connections taken out of a queue after a stop */
#define CLIENTS_A_TURN 32    /* they begin one after the other, and then all others run */
#define HANDSHAKE_NS   ((uint64_t)250 * 1000 * 1000)
#define DRAIN_SECONDS  10
#define FULL_TOLD_NS   ((uint64_t)1000 * 1000 * 1000) /* between two sentences of it */

/* A connection on its way to another worker. */
struct deal {
    struct post post;
    struct worker *to;
    int conn;
};

/* In words, to who asked for them. */
static void tell(const struct server *sv, const struct text *what)
{
    if (sv->o.tell)
        sv->o.tell(what->buf, sv->arg);
}

static void slot_posted(struct post *p)
{
    struct worker *w = CONTAINER(p, struct worker, slot_post);

    pthread_mutex_lock(&w->server->lock);
    w->slot_told = false;
    pthread_mutex_unlock(&w->server->lock);
    if (w->slot && w->slot->state == OP_WAITING)
        op_complete(w->slot, 0);
}

/* A connection has ended: all who wait for that look whether a client is in their own queue. */
static void slot_free(struct server *sv)
{
    struct list *n;

    atomic_fetch_sub(&sv->nconn, 1);
    if (atomic_load(&sv->nwaiting) == 0)
        return;
    pthread_mutex_lock(&sv->lock);
    while ((n = list_shift(&sv->waiting))) {
        struct worker *w = CONTAINER(n, struct worker, waiting);

        atomic_fetch_sub(&sv->nwaiting, 1);
        if (!w->slot_told)
            loop_post(w->loop, &w->slot_post);
        w->slot_told = true;
    }
    pthread_mutex_unlock(&sv->lock);
}

/* This client's address has enough: it is told by a reset, which leaves nothing behind.  Not
 * in the frame of those who are served. */
__attribute__((cold, noinline)) static void refuse(struct server *sv, int conn)
{
    char sentence[SENTENCE_MAX], peer[STOA_ADDR_TEXT_MAX];
    struct stoa_addr a = {0};
    struct text t;

    (void)stoa_getpeername(conn, &a);
    stoa_abort(conn);
    a.type = 0;
    stoa_addr_text(&a, peer, sizeof(peer));
    text_init(&t, sentence, sizeof(sentence));
    text_add(&t, "refused, as its address has its number already, which is ");
    text_add_number(&t, sv->rules.addresses.max);
    text_add(&t, ": ");
    text_add(&t, peer);
    tell(sv, &t);
}

static int serve_conn(void *arg)
{
    struct worker *w = fiber_self()->local.context;
    struct server *sv = w->server;
    int conn = (int)(intptr_t)arg;
    struct guarded g;

    fiber_self()->local.context = NULL;
    if (unlikely(limits_enter(&w->limits, &g, conn) < 0)) {
        refuse(sv, conn);
        slot_free(sv);
        return 0;
    }
    fiber_self()->local.context = &g;
    roll_enter(&w->roll, &g.who);
    if (sv->o.timeout > 0)
        stoa_settimeout(conn, sv->o.timeout);
    sv->handler(conn, sv->arg);
    roll_leave(&w->roll, &g.who);
    if (g.cut)
        stoa_abort(conn); /* whom we have waited for enough */
    else
        stoa_close(conn);
    limits_leave(&g);
    slot_free(sv);
    return 0;
}

const char *stoa_cut_reason(void)
{
    const struct local *me = &fiber_self()->local;
    const struct guarded *g = me->entry == serve_conn ? me->context : NULL;

    return g ? g->cut : NULL;
}

/* Run the handler on this worker; without memory the client is let go.  Has a fiber begun? */
static bool begin_conn(struct worker *w, int conn)
{
    if (group_go(w->group, serve_conn, (void *)(intptr_t)conn, w) == 0)
        return true;
    stoa_close(conn);
    slot_free(w->server);
    return false;
}

static void dealt(struct post *p)
{
    struct deal *d = CONTAINER(p, struct deal, post);

    begin_conn(d->to, d->conn);
    free(d);
}

/* Has a fiber begun here? */
static bool deal_conn(struct worker *w, int conn)
{
    struct server *sv = w->server;
    struct worker *to = &sv->worker[sv->next];
    struct deal *d = to == w ? NULL : malloc(sizeof(*d));

    sv->next = (sv->next + 1) % sv->nworker;
    if (!d)
        return begin_conn(w, conn);
    *d = (struct deal){.post.run = dealt, .to = to, .conn = conn};
    loop_post(to->loop, &d->post);
    return false;
}

static bool ending(const struct worker *w)
{
    return loop_stopping() || atomic_load(&w->server->failed);
}

/* No more connections are to be accepted. */
static bool enough(const struct worker *w)
{
    return ending(w) || atomic_load(&w->server->let_go);
}

/* Is a client in the queue? */
static bool someone_waits(const struct worker *w)
{
    stoa_settimeout(w->listener, 0);
    bool waits = stoa_poll(w->listener, POLLIN) > 0;
    stoa_settimeout(w->listener, -1);
    return waits;
}

/* What stands in the way of the next client, and the cure.  r: what accept has said; 0: the number
 * of connections. */
static void full_sentence(const struct server *sv, int r, struct text *t)
{
    text_add(t, "clients wait in the queue, for ");
    if (r == -ENFILE) {
        text_add(t, "the system's descriptors are all in use; sysctl fs.file-max has their number");
    } else if (r == -ENOMEM || r == -ENOBUFS) {
        text_add(t, "there is no memory for the next; fewer connections (max_conns) need less");
    } else {
        text_add_number(t, r ? run_descriptors_allowed() : sv->max_conns);
        text_add(t, r ? " of " : " connections are what ");
        text_add_number(t, run_descriptors_allowed());
        text_add(t, r ? " descriptors are in use" : " descriptors allow");
        text_add(t, "; LimitNOFILE= of systemd, or ulimit -n, allows more");
    }
}

/* Say so, once a second for all workers, if anybody waits.  Who chose max_conns knows it. */
static void tell_full(struct worker *w, int r)
{
    struct server *sv = w->server;
    uint64_t told_ns = atomic_load(&sv->full_told_ns);
    uint64_t now_ns = backend_here()->now(); /* later than that, whoever told */
    char sentence[SENTENCE_MAX];
    struct text t;

    if (!sv->o.tell || (r == 0 && sv->o.max_conns) ||
        (told_ns && now_ns - told_ns < FULL_TOLD_NS) || !someone_waits(w) ||
        !atomic_compare_exchange_strong(&sv->full_told_ns, &told_ns, now_ns))
        return;
    text_init(&t, sentence, sizeof(sentence));
    full_sentence(sv, r, &t);
    tell(sv, &t);
}

/* Wait for the end of a connection, if there are at least nconn; for so long.  0; -ECANCELED. */
static int await_end(struct worker *w, unsigned nconn, uint64_t ns)
{
    struct server *sv = w->server;
    struct op op = {.kind = OP_EVENT, .timeout_ns = (int64_t)ns, .scope_ns = WHEEL_NEVER};
    int r = 0;

    pthread_mutex_lock(&sv->lock);
    list_add(&sv->waiting, &w->waiting);
    atomic_fetch_add(&sv->nwaiting, 1);
    pthread_mutex_unlock(&sv->lock);
    w->slot = &op;
    if (atomic_load(&sv->nconn) >= nconn)
        r = (int)op_run(&op);
    w->slot = NULL;
    pthread_mutex_lock(&sv->lock);
    if (list_linked(&w->waiting)) {
        list_remove(&w->waiting);
        atomic_fetch_sub(&sv->nwaiting, 1);
    }
    pthread_mutex_unlock(&sv->lock);
    return r == -ETIME ? 0 : r;
}

/* Wait until fewer than max_conns are served.  0; -ECANCELED. */
static int await_slot(struct worker *w)
{
    struct server *sv = w->server;
    int r = 0;

    while (r == 0 && !enough(w) && atomic_load(&sv->nconn) >= sv->max_conns) {
        tell_full(w, 0);
        r = await_end(w, sv->max_conns, FULL_TOLD_NS);
    }
    return r;
}

/* Has a fiber begun here? */
static bool take_conn(struct worker *w, int conn)
{
    atomic_fetch_add(&w->server->nconn, 1);
    return w->server->dealing ? deal_conn(w, conn) : begin_conn(w, conn);
}

/* The listener lets no new client begin: SYNs are dropped, what else comes passes.  False: they
 * are not.  Not where others may have the listener, and go on with it. */
static bool stop_begins(struct worker *w)
{
    struct sock_filter drop_syns[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct tcphdr, th_flags)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TH_SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof(drop_syns) / sizeof(drop_syns[0]), drop_syns};
    struct stoa_sock *so = sock_at(w->listener);
    struct backend_sock *b = &so->b;

    return b->family != AF_UNIX && !share_is_shared(so) &&
           backend_here()->setopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

/* Clients whom the kernel has accepted for us, or is about to: they are not lost by a stop.  Those
 * in the middle of their handshake have HANDSHAKE_NS to end it. */
static void take_queue(struct worker *w)
{
    struct server *sv = w->server;
    uint64_t scope_ns = scope_until(&fiber_self()->local), now_ns = backend_here()->now();
    uint64_t until_ns = now_ns + (stop_begins(w) ? HANDSHAKE_NS : 0);
    int r = 0;

    for (int n = 0; n < QUEUE_MAX && r >= 0 && now_ns < scope_ns;) {
        if (atomic_load(&sv->nconn) >= sv->max_conns) {
            r = await_end(w, sv->max_conns, scope_ns - now_ns);
        } else {
            double left = until_ns > now_ns ? (double)(until_ns - now_ns) / 1e9 : 0;

            stoa_settimeout(w->listener, left);
            r = listen_accept(w->listener);
            if (r >= 0)
                take_conn(w, r);
            else if (listen_nothing_left(r))
                r = await_end(w, 0, ACCEPT_PAUSE_NS);
            n++;
        }
        now_ns = backend_here()->now();
    }
}

/* The n-th client here: his first message has mostly come with him, and his socket is in the cache:
 * his fiber, the newest, answers before the next one is accepted. */
static void let_begin(uint64_t n)
{
    if (n % CLIENTS_A_TURN)
        fiber_yield_to_newest();
    else
        fiber_yield();
}

/* The end of accepting: good, or our own fiber's cancellation. */
static int stopped(const struct worker *w)
{
    return !ending(w) && scope_check(&fiber_self()->local) < 0 ? -ECANCELED : 0;
}

static int accept_all(struct worker *w)
{
    uint64_t count = w->server->o.count, nbegun = 0;
    int conn;

    for (uint64_t n = 0; !enough(w) && (count == 0 || n < count);) {
        if (await_slot(w) < 0)
            return stopped(w);
        if (enough(w)) /* it has come while a slot became free */
            break;
        conn = listen_accept(w->listener);
        if (conn >= 0) {
            n++;
            if (take_conn(w, conn))
                let_begin(++nbegun);
        } else if (listen_nothing_left(conn)) {
            tell_full(w, conn);
            if (await_end(w, 0, ACCEPT_PAUSE_NS) < 0)
                return stopped(w);
        } else {
            error_out(VERB_ACCEPT, w->listener, conn);
            return conn == -ECANCELED ? stopped(w) : conn;
        }
    }
    return stopped(w);
}

static void over_posted(struct post *p)
{
    struct worker *w = CONTAINER(p, struct worker, over_post);

    w->over = true;
    if (w->until_over && w->until_over->state == OP_WAITING)
        op_complete(w->until_over, 0);
}

/* A worker without a listener: connections come by messages, until it is over. */
static void await_over(struct worker *w)
{
    struct op op = {.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER};

    w->until_over = &op;
    while (!w->over)
        op_run(&op);
    w->until_over = NULL;
}

static void tell_over(struct server *sv)
{
    for (int i = 1; i < sv->nworker; i++)
        if (sv->dealing && sv->worker[i].started)
            loop_post(sv->worker[i].loop, &sv->worker[i].over_post);
}

/* The process is to stop: whatever the acceptor waits for ends. */
static void stop_acceptor(struct stopper *s)
{
    struct worker *w = CONTAINER(s, struct worker, stopper);

    if (w->acceptor)
        loop_interrupt(w->acceptor, -ECANCELED);
}

static void let_go_posted(struct post *p)
{
    struct worker *w = CONTAINER(p, struct worker, let_go_post);

    if (w->accepting)
        loop_interrupt(w->acceptor, -ECANCELED);
}

void worker_let_go(struct server *sv)
{
    pthread_mutex_lock(&sv->lock);
    if (!atomic_exchange(&sv->let_go, true))
        for (int i = 0; i < sv->nworker; i++)
            if (sv->worker[i].accepting)
                loop_post(sv->worker[i].loop, &sv->worker[i].let_go_post);
    pthread_mutex_unlock(&sv->lock);
}

/* Accept until there is enough.  Who lets go is told while we do, and no message is on its way
 * afterwards.  0; negative errno with a note. */
static int accept_clients(struct worker *w)
{
    struct server *sv = w->server;
    int r;

    pthread_mutex_lock(&sv->lock);
    w->accepting = true;
    pthread_mutex_unlock(&sv->lock);
    r = accept_all(w);
    pthread_mutex_lock(&sv->lock);
    w->accepting = false;
    pthread_mutex_unlock(&sv->lock);
    loop_take_posts(w->loop);
    return r;
}

/* Wait until all handlers have ended, or the process is to stop. */
static void await_handlers(struct worker *w)
{
    struct op op = {.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER};

    while (w->group->nfiber > 0 && !ending(w) && scope_check(&fiber_self()->local) == 0) {
        w->group->joiner = &op;
        op_run(&op);
        w->group->joiner = NULL;
    }
}

static void listener_closes(struct worker *w)
{
    if (w->listener < 0)
        return;
    roll_set_listener(&w->roll, -1);
    stoa_close(w->listener);
    w->listener = -1;
    tell_over(w->server);
}

/* After a stop: take whom the kernel has accepted, and give the handlers their time.  A
 * shield, for the stop may have cancelled this fiber itself.  Join cancels who wants more. */
static void drain(struct worker *w)
{
    struct stoa_scope scope;

    stoa_shield(&scope, w->server->o.drain > 0 ? w->server->o.drain : DRAIN_SECONDS);
    if (w->listener >= 0 && !atomic_load(&w->server->let_go))
        take_queue(w);
    listener_closes(w);
    stoa_group_join(w->group);
    stoa_leave(&scope);
}

/* Take connections until there are no more to come.  0; negative errno with a note. */
static int take_conns(struct worker *w)
{
    if (w->listener < 0) {
        await_over(w);
        return 0;
    }
    limits_see_death(&w->server->rules, sock_at(w->listener));
    roll_set_listener(&w->roll, w->listener);
    stoa_settimeout(w->listener, -1);
    int r = accept_clients(w);

    if (r < 0)
        error_move(&w->note, &fiber_self()->local.note);
    return r;
}

int worker_work(struct worker *w)
{
    int r;

    w->acceptor = fiber_self();
    loop_on_stop(w->loop, &w->stopper);
    r = take_conns(w);
    if (!ending(w)) {
        listener_closes(w);
        if (r < 0)
            stoa_group_cancel(w->group);
        await_handlers(w);
    }
    loop_off_stop(&w->stopper);
    w->acceptor = NULL;
    if (ending(w))
        drain(w);
    else
        stoa_group_join(w->group);
    limits_end(&w->limits);
    return r;
}

void worker_init(struct worker *w, struct server *sv)
{
    *w = (struct worker){
        .server = sv,
        .listener = -1,
        .note.handle = -1,
        .stopper.run = stop_acceptor,
        .over_post.run = over_posted,
        .slot_post.run = slot_posted,
        .let_go_post.run = let_go_posted,
    };
    roll_init(&w->roll);
}

void worker_fini(struct worker *w)
{
    roll_fini(&w->roll);
}
