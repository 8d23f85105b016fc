/* serve.c - stoa_serve(): listeners, workers, a fiber for each connection, and the end.
 *
 * Each worker is a thread with a loop.  Where the port can be shared (TCP) each has a
 * listener of its own in the port's SO_REUSEPORT group, and the kernel deals the
 * clients out.  Where it cannot (UNIX paths, inherited sockets without the option, a
 * limited count or number) the first worker accepts and deals them out by messages, in turn.
 *
 * A worker's first fiber accepts; each connection is a fiber of the worker's group.
 * When stoa_stop() comes, it takes what the kernel has accepted already, closes its
 * listener, and joins the group within options.drain seconds: join cancels the rest.
 *
 * At max_conns the acceptor waits for a connection to end, and clients wait in the
 * listener's queue.  At the descriptor limit stoa_accept() waits by itself.
 *
 * What holds: the server's struct is in stoa_serve()'s frame, which returns last.
 */
#include "base/check.h"
#include "net/error.h"
#include "net/scope.h"
#include "net/sock.h"
#include "serve/group.h"
#include "serve/run.h"
#include "serve/share.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define QUEUE_MAX     65536 /* connections taken out of a queue after a stop */
#define DRAIN_SECONDS 10

struct worker {
    struct server *server;
    struct loop *loop; /* its own, or the fiber's that called stoa_serve() */
    int listener;      /* -1: connections are dealt to it */
    int error;         /* negative errno of what ended it; 0 */
    struct note note;
    struct stoa_group *group;
    struct stopper stopper;
    struct fiber *acceptor; /* while it may be interrupted */
    struct op *until_over;  /* what a worker without a listener waits on */
    bool over;              /* no more connections will be dealt to it */
    struct post over_post;
    struct list waiting; /* in server->waiting */
    struct op *slot;     /* what it waits on for a connection to end */
    struct post slot_post;
    bool slot_told; /* slot_post is on its way; under server->lock */
    pthread_t thread;
    bool started;
};

struct server {
    void (*handler)(int conn, void *arg);
    void *arg;
    struct stoa_options o;
    unsigned max_conns;
    int nworker;
    int next; /* whom the next connection is dealt to */
    bool dealing;
    atomic_uint nconn;
    atomic_uint nwaiting;
    atomic_bool failed; /* a worker could not start: all end */
    pthread_mutex_t lock;
    pthread_cond_t ready;
    int nready;          /* workers whose loop stands; under lock */
    struct list waiting; /* workers at max_conns; under lock */
    struct worker *worker;
};

/* A connection on its way to another worker. */
struct deal {
    struct post post;
    struct worker *to;
    int conn;
};

static void slot_posted(struct post *p)
{
    struct worker *w = CONTAINER(p, struct worker, slot_post);

    pthread_mutex_lock(&w->server->lock);
    w->slot_told = false;
    pthread_mutex_unlock(&w->server->lock);
    if (w->slot && w->slot->state == OP_WAITING)
        op_complete(w->slot, 0);
}

/* A connection has ended: one who waits for that may accept again. */
static void slot_free(struct server *sv)
{
    struct list *n;

    atomic_fetch_sub(&sv->nconn, 1);
    if (atomic_load(&sv->nwaiting) == 0)
        return;
    pthread_mutex_lock(&sv->lock);
    n = list_shift(&sv->waiting);
    if (n) {
        struct worker *w = CONTAINER(n, struct worker, waiting);

        atomic_fetch_sub(&sv->nwaiting, 1);
        if (!w->slot_told)
            loop_post(w->loop, &w->slot_post);
        w->slot_told = true;
    }
    pthread_mutex_unlock(&sv->lock);
}

static int serve_conn(void *arg)
{
    struct server *sv = fiber_self()->local.context;
    int conn = (int)(intptr_t)arg;

    if (sv->o.timeout > 0)
        stoa_settimeout(conn, sv->o.timeout);
    sv->handler(conn, sv->arg);
    stoa_close(conn);
    slot_free(sv);
    return 0;
}

/* Run the handler on this worker; without memory for it the client is let go. */
static void begin_conn(struct worker *w, int conn)
{
    if (group_go(w->group, serve_conn, (void *)(intptr_t)conn, w->server) == 0)
        return;
    stoa_close(conn);
    slot_free(w->server);
}

static void dealt(struct post *p)
{
    struct deal *d = CONTAINER(p, struct deal, post);

    begin_conn(d->to, d->conn);
    free(d);
}

static void deal_conn(struct worker *w, int conn)
{
    struct server *sv = w->server;
    struct worker *to = &sv->worker[sv->next];
    struct deal *d = to == w ? NULL : malloc(sizeof(*d));

    sv->next = (sv->next + 1) % sv->nworker;
    if (!d) {
        begin_conn(w, conn);
        return;
    }
    *d = (struct deal){.post.run = dealt, .to = to, .conn = conn};
    loop_post(to->loop, &d->post);
}

static bool ending(const struct worker *w)
{
    return loop_stopping() || atomic_load(&w->server->failed);
}

/* Wait until fewer than max_conns are served.  0; -ECANCELED. */
static int await_slot(struct worker *w)
{
    struct server *sv = w->server;
    struct op op = {.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER};
    int r = 0;

    while (r == 0 && !ending(w) && atomic_load(&sv->nconn) >= sv->max_conns) {
        pthread_mutex_lock(&sv->lock);
        list_add(&sv->waiting, &w->waiting);
        atomic_fetch_add(&sv->nwaiting, 1);
        pthread_mutex_unlock(&sv->lock);
        w->slot = &op;
        if (atomic_load(&sv->nconn) >= sv->max_conns)
            r = (int)op_run(&op);
        w->slot = NULL;
        pthread_mutex_lock(&sv->lock);
        if (list_linked(&w->waiting)) {
            list_remove(&w->waiting);
            atomic_fetch_sub(&sv->nwaiting, 1);
        }
        pthread_mutex_unlock(&sv->lock);
    }
    return r;
}

static void take_conn(struct worker *w, int conn)
{
    atomic_fetch_add(&w->server->nconn, 1);
    if (w->server->dealing)
        deal_conn(w, conn);
    else
        begin_conn(w, conn);
}

/* Clients whom the kernel has accepted for us: they are not lost by a stop. */
static void take_queue(struct worker *w)
{
    int conn;

    stoa_settimeout(w->listener, 0);
    for (int n = 0; n < QUEUE_MAX && atomic_load(&w->server->nconn) < w->server->max_conns; n++) {
        conn = stoa_accept(w->listener, NULL);
        if (conn < 0)
            break;
        take_conn(w, conn);
    }
}

/* The end of accepting: good, or our own fiber's cancellation. */
static int stopped(const struct worker *w)
{
    return !ending(w) && scope_check(&fiber_self()->local) < 0 ? -ECANCELED : 0;
}

static int accept_all(struct worker *w)
{
    uint64_t count = w->server->o.count;
    int conn;

    for (uint64_t n = 0; !ending(w) && (count == 0 || n < count);) {
        if (await_slot(w) < 0)
            return stopped(w);
        conn = stoa_accept(w->listener, NULL);
        if (conn >= 0) {
            take_conn(w, conn);
            n++;
        } else if (errno == ENOMEM || errno == ENFILE) {
            sock_pause(ACCEPT_PAUSE_NS, WHEEL_NEVER);
        } else {
            return errno == ECANCELED ? stopped(w) : -errno;
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
    if (w->listener >= 0)
        take_queue(w);
    listener_closes(w);
    stoa_group_join(w->group);
    stoa_leave(&scope);
}

static int work(struct worker *w)
{
    int r = 0;

    w->acceptor = fiber_self();
    loop_on_stop(w->loop, &w->stopper);
    if (w->listener >= 0) {
        stoa_settimeout(w->listener, -1);
        r = accept_all(w);
        if (r < 0)
            error_move(&w->note, &fiber_self()->local.note);
    } else {
        await_over(w);
    }
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
    return r;
}

static int worker_fiber(void *arg)
{
    struct worker *w = arg;

    if (atomic_load(&w->server->failed))
        stoa_group_join(w->group);
    else
        w->error = work(w);
    return 0;
}

/* All of a worker's beginning that can fail; its fiber runs when its loop does. */
static int worker_begin(struct worker *w, struct loop *l)
{
    int r = run_open(l, &w->server->o);

    if (r < 0)
        return r;
    w->loop = l;
    w->group = stoa_group_open();
    r = w->group ? group_go(NULL, worker_fiber, w, NULL) : -ENOMEM;
    if (r == 0)
        return 0;
    if (w->group)
        stoa_group_join(w->group);
    loop_close(l);
    return r;
}

/* A worker stands, or cannot: all wait for all, so that messages find their loops. */
static void rendezvous(struct worker *w, int r)
{
    struct server *sv = w->server;

    pthread_mutex_lock(&sv->lock);
    w->error = r;
    if (r < 0)
        atomic_store(&sv->failed, true);
    sv->nready++;
    pthread_cond_broadcast(&sv->ready);
    while (sv->nready < sv->nworker)
        pthread_cond_wait(&sv->ready, &sv->lock);
    pthread_mutex_unlock(&sv->lock);
}

static void *worker_thread(void *arg)
{
    struct worker *w = arg;
    struct loop l;
    int r = worker_begin(w, &l);

    rendezvous(w, r);
    if (r < 0)
        return NULL;
    loop_run(&l);
    loop_close(&l);
    return NULL;
}

/* The other workers' listeners, if the port can be shared. */
static int more_listeners(struct server *sv)
{
    int first = sv->worker[0].listener;
    int backlog = sv->o.backlog > 0 ? sv->o.backlog : -1;

    for (int i = 1; !sv->dealing && i < sv->nworker; i++) {
        int s = share_listener(first, backlog);

        if (s < 0)
            return s;
        sv->worker[i].listener = s;
    }
    return 0;
}

/* Start the other workers; those that cannot start count as having failed. */
static void start_workers(struct server *sv)
{
    for (int i = 1; i < sv->nworker; i++) {
        struct worker *w = &sv->worker[i];
        int r = pthread_create(&w->thread, NULL, worker_thread, w);

        w->started = r == 0;
        if (r == 0)
            continue;
        pthread_mutex_lock(&sv->lock);
        w->error = -r;
        atomic_store(&sv->failed, true);
        sv->nready++;
        pthread_cond_broadcast(&sv->ready);
        pthread_mutex_unlock(&sv->lock);
    }
}

/* The first error of a worker, with its note if it left one. */
static int outcome(struct server *sv)
{
    int error = 0;

    for (int i = 0; i < sv->nworker; i++) {
        struct worker *w = &sv->worker[i];

        if (w->error < 0 && error == 0) {
            error = w->error;
            error_out(VERB_SERVE, -1, error);
            if (w->note.code == -error)
                error_move(&fiber_self()->local.note, &w->note);
        }
        free(w->note.detail);
        w->note.detail = NULL;
    }
    return error;
}

/* From a plain thread, which becomes the first worker. */
static int serve_on_threads(struct server *sv)
{
    int r = more_listeners(sv);

    if (r == 0) {
        start_workers(sv);
        worker_thread(&sv->worker[0]);
        for (int i = 1; i < sv->nworker; i++)
            if (sv->worker[i].started)
                pthread_join(sv->worker[i].thread, NULL);
        r = outcome(sv);
    } else {
        error_out(VERB_SERVE, -1, r);
    }
    for (int i = 0; i < sv->nworker; i++)
        if (sv->worker[i].listener >= 0)
            sock_close(sv->worker[i].listener, CLOSE_POLITE);
    return r;
}

static int serve_on_fiber(struct server *sv)
{
    struct worker *w = &sv->worker[0];

    w->loop = loop_here;
    w->group = stoa_group_open();
    w->error = w->group ? work(w) : -ENOMEM;
    if (!w->group)
        stoa_close(w->listener);
    return outcome(sv);
}

static void server_init(struct server *sv, struct worker *workers)
{
    list_init(&sv->waiting);
    pthread_mutex_init(&sv->lock, NULL);
    pthread_cond_init(&sv->ready, NULL);
    sv->max_conns = sv->o.max_conns ? sv->o.max_conns : run_descriptors();
    sv->worker = workers;
    for (int i = 0; i < sv->nworker; i++)
        sv->worker[i] = (struct worker){
            .server = sv,
            .listener = -1,
            .note.handle = -1,
            .stopper.run = stop_acceptor,
            .over_post.run = over_posted,
            .slot_post.run = slot_posted,
        };
}

/* Serve on an open listener, which is closed in the end.  0; negative errno with a note. */
static int serve(struct server *sv, int listener)
{
    CHECK(sv->nworker > 0, "stoa_serve: a server has a worker");
    struct worker *workers = calloc((size_t)sv->nworker, sizeof(*workers));
    int r;

    if (!workers) {
        stoa_close(listener);
        error_out(VERB_SERVE, -1, -ENOMEM);
        return -ENOMEM;
    }
    server_init(sv, workers);
    workers[0].listener = listener;
    r = loop_here ? serve_on_fiber(sv) : serve_on_threads(sv);
    pthread_cond_destroy(&sv->ready);
    pthread_mutex_destroy(&sv->lock);
    free(workers);
    return r;
}

/* What stands in the way of serving on a socket, as errno and a sentence; 0 = nothing. */
static int unfit(const struct stoa_sock *so, const char **why)
{
    *why = "only a stream can be served; for datagrams, loop over stoa_recvfrom()";
    if (so && so->b.type == SOCK_STREAM)
        *why = "the socket does not listen; stoa_listen() or stoa_announce() comes first";
    if (so && atomic_load(&so->listening))
        return 0;
    return so ? -EINVAL : -EBADF;
}

/* Both forms, with options that are good and a listener that is fit. */
static int serve_fit(struct server *sv, int listener)
{
    struct stoa_sock *so = sock_at(listener);
    int r;

    sv->nworker = loop_here ? 1 : sv->o.workers ? sv->o.workers : run_cores();
    sv->dealing =
        sv->nworker > 1 && (sv->o.count > 0 || sv->o.max_conns > 0 || !share_possible(so));
    r = serve(sv, listener);
    if (r == 0)
        return 0;
    errno = -r;
    return -1;
}

int stoa_serve_on(int s, void (*handler)(int conn, void *arg), void *arg,
                  const struct stoa_options *options)
{
    char bad[DETAIL_MAX];
    const char *why;
    struct server sv = {.handler = handler, .arg = arg};
    int r = sock_check(s, 0, 0);

    if (r < 0)
        return (int)error_out(VERB_SERVE, s, r);
    if (!run_options_good(options, bad, sizeof(bad)))
        return (int)error_out_why(VERB_SERVE, s, -EINVAL, NULL, bad);
    r = unfit(sock_at(s), &why);
    if (r < 0)
        return (int)error_out_why(VERB_SERVE, s, r, NULL, why);
    if (options)
        sv.o = *options;
    return serve_fit(&sv, s);
}

int stoa_serve(const char *at, void (*handler)(int conn, void *arg), void *arg,
               const struct stoa_options *options)
{
    char bad[DETAIL_MAX];
    const char *why;
    struct server sv = {.handler = handler, .arg = arg};
    int listener, r;

    if (!run_options_good(options, bad, sizeof(bad)))
        return (int)error_out_why(VERB_SERVE, -1, -EINVAL, at, bad);
    sv.o = options ? *options : (struct stoa_options){.size = sizeof(sv.o)};
    listener = stoa_announce(at, &sv.o);
    if (listener < 0) {
        fiber_self()->local.note.verb = VERB_SERVE;
        return -1;
    }
    r = unfit(sock_at(listener), &why);
    if (r == 0)
        return serve_fit(&sv, listener);
    stoa_close(listener);
    return (int)error_out_why(VERB_SERVE, -1, r, at, why);
}
