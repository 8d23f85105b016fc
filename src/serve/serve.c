/* serve.c - stoa_serve(): listeners, and workers on their threads.
 *
 * Each worker is a thread with a loop.  Where the port can be shared (TCP) each has a
 * listener of its own in the port's SO_REUSEPORT group, and the kernel deals the
 * clients out.  Where it cannot (share.c; a limited count or number) the first worker
 * accepts and deals them out by messages, in turn.
 *
 * A program may have been started with more listeners at its address than it would make
 * (net/inherit.h).  Each has a queue, so each gets a worker, and a thread then has several.
 *
 * What a worker does is in worker.c.
 *
 * What holds: the server's struct is in stoa_serve()'s frame, which returns last.
 */
#include "base/check.h"
#include "net/error.h"
#include "net/inherit.h"
#include "net/sock.h"
#include "serve/group.h"
#include "serve/held.h"
#include "serve/run.h"
#include "serve/running.h"
#include "serve/share.h"
#include "serve/status.h"
#include "serve/worker.h"

#include <errno.h>
#include <stdlib.h>

static int worker_fiber(void *arg)
{
    struct worker *w = arg;

    if (!atomic_load(&w->server->failed)) {
        inherit_ready();
        w->error = worker_work(w);
        return 0;
    }
    limits_end(&w->limits);
    stoa_group_join(w->group);
    return 0;
}

/* What a worker needs beside its loop.  0; -ENOMEM. */
static int worker_open(struct worker *w)
{
    int r;

    w->group = stoa_group_open();
    if (!w->group)
        return -ENOMEM;
    r = limits_begin(&w->limits, &w->server->rules);
    if (r < 0)
        stoa_group_join(w->group);
    return r;
}

/* A worker on a thread's loop, whose fiber runs when the loop does.  When it fails, all end. */
static int worker_begin(struct worker *w, struct loop *l)
{
    int r;

    w->loop = l;
    r = worker_open(w);
    if (r == 0)
        r = group_go(NULL, worker_fiber, w, NULL);
    if (r == 0)
        return 0;

    atomic_store(&w->server->failed, true);
    if (!w->limits.group)
        return r;
    stoa_group_cancel(w->limits.group);
    loop_run(l); /* its fiber ends */
    limits_end(&w->limits);
    stoa_group_join(w->group);
    return r;
}

/* All of a thread's beginning that can fail, before any worker takes a client that it may deal to
 * one of this thread. */
static int thread_begin(struct worker *first, struct loop *l)
{
    struct server *sv = first->server;
    int r = run_open(l, &sv->o);

    if (r < 0)
        return r;
    for (int i = (int)(first - sv->worker); r == 0 && i < sv->nworker; i += sv->nthread)
        r = worker_begin(&sv->worker[i], l);
    if (r == 0)
        return 0;
    loop_run(l); /* those that had begun end */
    loop_close(l);
    return r;
}

/* A thread's workers stand, or cannot: all wait for all, so that messages find their loops. */
static void rendezvous(struct worker *w, int r)
{
    struct server *sv = w->server;

    pthread_mutex_lock(&sv->lock);
    w->error = r;
    if (r < 0)
        atomic_store(&sv->failed, true);
    sv->nready++;
    pthread_cond_broadcast(&sv->ready);
    while (sv->nready < sv->nthread)
        pthread_cond_wait(&sv->ready, &sv->lock);
    pthread_mutex_unlock(&sv->lock);
}

static void *worker_thread(void *arg)
{
    struct worker *w = arg;
    struct loop l;
    int r = thread_begin(w, &l);

    rendezvous(w, r);
    if (r < 0)
        return NULL;
    held_watch(w);
    loop_run(&l);
    held_unwatch(w);
    loop_close(&l);
    return NULL;
}

/* The listeners of threads that have none yet, if the port can be shared. */
static int more_listeners(struct server *sv)
{
    for (int i = 1; !sv->dealing && i < sv->nworker; i++) {
        if (sv->worker[i].listener >= 0)
            continue;
        int s = share_listener(sv->worker[0].listener);

        if (s < 0)
            return s;
        sv->worker[i].listener = s;
    }
    return 0;
}

/* Start the other threads; those that cannot start count as having failed. */
static void start_threads(struct server *sv)
{
    for (int i = 1; i < sv->nthread; i++) {
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

static void close_listeners(struct server *sv)
{
    for (int i = 0; i < sv->nworker; i++)
        if (sv->worker[i].listener >= 0)
            sock_close(sv->worker[i].listener, CLOSE_POLITE);
}

/* From a plain thread, which becomes the first worker. */
static int serve_on_threads(struct server *sv)
{
    start_threads(sv);
    worker_thread(&sv->worker[0]);
    for (int i = 1; i < sv->nthread; i++)
        if (sv->worker[i].started)
            pthread_join(sv->worker[i].thread, NULL);
    int r = outcome(sv);
    close_listeners(sv);
    return r;
}

static int work_here(void *arg)
{
    struct worker *w = arg;

    w->loop = loop_here;
    w->error = worker_open(w);
    if (w->error == 0) {
        inherit_ready();
        held_watch(w);
        w->error = worker_work(w);
        held_unwatch(w);
    } else {
        stoa_close(w->listener);
    }
    return w->error;
}

/* The caller's fiber is the first worker.  If that one fails, the others are cancelled. */
static int serve_on_fiber(struct server *sv)
{
    struct stoa_group *others = NULL;
    int r = 0;

    if (sv->nworker > 1 && !(others = stoa_group_open()))
        r = -ENOMEM;
    for (int i = 1; i < sv->nworker; i++) {
        struct worker *w = &sv->worker[i];

        if (r == 0)
            r = group_go(others, work_here, w, NULL);
        if (r < 0)
            stoa_close(w->listener);
        w->error = r;
    }
    if (r < 0)
        stoa_close(sv->worker[0].listener);
    else
        r = work_here(&sv->worker[0]);
    if (others && r < 0)
        stoa_group_cancel(others);
    if (others)
        stoa_group_join(others);
    return outcome(sv);
}

/* Give workers the other listeners at the first one's address that the program was started with.
 * How many have one. */
static int other_listeners(struct server *sv)
{
    struct stoa_sock *first = sock_at(sv->worker[0].listener);
    struct stoa_addr at = {.len = sizeof(at.sa)};
    int n = 1, fd;

    if (backend_here()->end || /* a simulated world: it has none */
        backend_here()->name_of(&first->b, false, (struct sockaddr *)&at.sa, &at.len) < 0)
        return n;
    while ((fd = inherit_find(&at, first->b.type)) >= 0) {
        sv->worker[n].listener = stoa_fromfd(fd);
        n += sv->worker[n].listener >= 0;
    }
    return n;
}

/* May workers have listeners of their own beside these? */
static bool may_add(struct server *sv)
{
    return !running_is_copied() && share_possible(sock_at(sv->worker[0].listener));
}

static int refuse_count(void)
{
    error_out_why(VERB_SERVE, -1, -EINVAL, NULL,
                  "options.count is for one listener, and the program was started with more");
    return -EINVAL;
}

/* How many workers there are, on how many threads, and who accepts, on what.  0; negative errno
 * with a note. */
static int arrange(struct server *sv)
{
    int n = other_listeners(sv), r;

    if (n > 1 && sv->o.count > 0)
        return refuse_count();
    if (n == 1)
        sv->dealing = sv->nthread > 1 && (sv->o.count > 0 || sv->o.max_conns > 0 || !may_add(sv));
    else if (n < sv->nthread && !may_add(sv))
        sv->nthread = n;
    sv->nworker = n > sv->nthread ? n : sv->nthread;
    r = more_listeners(sv);
    if (r < 0)
        error_out(VERB_SERVE, -1, r);
    return r;
}

/* With room for so many workers.  0; -ENOMEM, -EAGAIN. */
static int server_init(struct server *sv, struct worker *workers, int room)
{
    sv->backend = loop_here ? loop_here->ops->name : backend_choose(sv->o.backend)->name;
    sv->max_conns = sv->o.max_conns ? sv->o.max_conns : run_descriptors();
    int r = rules_init(&sv->rules, &sv->o, sv->max_conns, &sv->nconn);

    if (r < 0)
        return r;
    r = held_begin(sv);
    if (r < 0) {
        rules_fini(&sv->rules);
        return r;
    }
    list_init(&sv->waiting);
    pthread_mutex_init(&sv->lock, NULL);
    pthread_cond_init(&sv->ready, NULL);
    sv->worker = workers;
    sv->nworker = room;
    for (int i = 0; i < room; i++)
        worker_init(&sv->worker[i], sv);
    return 0;
}

static void server_fini(struct server *sv, int room)
{
    held_end(sv);
    for (int i = 0; i < room; i++)
        worker_fini(&sv->worker[i]);
    pthread_cond_destroy(&sv->ready);
    pthread_mutex_destroy(&sv->lock);
    rules_fini(&sv->rules);
}

/* Serve on an open listener, which is closed in the end.  0; negative errno with a note. */
static int serve(struct server *sv, int listener)
{
    CHECK(sv->nthread > 0, "stoa_serve: a server has a worker");
    int room = sv->nthread + inherit_count();
    struct worker *workers = calloc((size_t)room, sizeof(*workers));
    int r = workers ? server_init(sv, workers, room) : -ENOMEM;

    if (r < 0) {
        free(workers);
        stoa_close(listener);
        error_out(VERB_SERVE, -1, r);
        return r;
    }
    workers[0].listener = listener;
    running_arranges();
    r = arrange(sv);
    running_arranged();
    if (r < 0) {
        close_listeners(sv);
    } else {
        running_add(sv);
        status_enter(sv);
        r = loop_here ? serve_on_fiber(sv) : serve_on_threads(sv);
        status_leave(sv);
        running_remove(sv);
    }
    server_fini(sv, room);
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
    int r;

    sv->nthread = loop_here ? 1 : sv->o.workers ? sv->o.workers : run_cores();
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
    if (!run_options(&sv.o, options, bad, sizeof(bad)))
        return (int)error_out_why(VERB_SERVE, s, -EINVAL, NULL, bad);
    r = unfit(sock_at(s), &why);
    if (r < 0)
        return (int)error_out_why(VERB_SERVE, s, r, NULL, why);
    running_arranges();
    r = sock_take_over(s);
    running_arranged();
    return r < 0 ? (int)error_out(VERB_SERVE, s, r) : serve_fit(&sv, r);
}

int stoa_serve(const char *at, void (*handler)(int conn, void *arg), void *arg,
               const struct stoa_options *options)
{
    char bad[DETAIL_MAX];
    const char *why;
    struct server sv = {.handler = handler, .arg = arg};
    int listener, r;

    if (!run_options(&sv.o, options, bad, sizeof(bad)))
        return (int)error_out_why(VERB_SERVE, -1, -EINVAL, at, bad);
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
