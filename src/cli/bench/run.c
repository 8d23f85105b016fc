/* bench/run.c - workers are started, watched, and what they have counted is put together.
 *
 * This thread looks ten times a second, takes the intervals that all workers have closed, and
 * has the live view drawn.  It shares nothing with the workers but their tallies' rings.
 */
#include "cli/bench/live.h"
#include "cli/bench/outcome.h"
#include "cli/bench/worker.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct timespec LOOK = {.tv_nsec = 100000000};

/* After an interrupt, for answers. */
#define GRACE_NS ((uint64_t)1000 * 1000 * 1000)

/* Before --start-at, for the connections: if they are silent for long they are sent off. */
static const double LEAD_SEC = 5, DIALS_PER_SEC = 5000;

enum { NS_PER_SEC = 1000000000 };

static _Atomic bool stopped;

void run_stop(void)
{
    atomic_store(&stopped, true);
}

bool run_stopped(void)
{
    return atomic_load(&stopped);
}

struct watch {
    struct run run;
    struct worker *workers;
    unsigned nworker;
    struct slot *sum;
    struct outcome *o;
    struct live *live;
    bool failed; /* out of memory */
};

static unsigned share(unsigned n, unsigned nworker, unsigned index)
{
    return n / nworker + (index < n % nworker);
}

static void sum_add(struct slot *sum, const struct slot *from)
{
    hist_merge(&sum->response, &from->response);
    hist_merge(&sum->service, &from->service);
    sum->nerror += from->nerror;
    sum->nunanswered += from->nunanswered;
    if (sum->start_ns == 0 || from->start_ns < sum->start_ns)
        sum->start_ns = from->start_ns;
    if (from->end_ns > sum->end_ns)
        sum->end_ns = from->end_ns;
}

/* The interval whose slots are in the sum goes to the series. */
static void sum_take(struct watch *w)
{
    struct slot *sum = w->sum;
    bool open = w->run.plan->rate > 0;
    struct interval of = {.start_sec = (double)(sum->start_ns - w->run.start_ns) / 1e9,
                          .len_sec = (double)(sum->end_ns - sum->start_ns) / 1e9,
                          .nerror = sum->nerror,
                          .nunanswered = sum->nunanswered};

    if (sum->start_ns > 0 &&
        series_add(w->o->series, &of, open ? &sum->response : &sum->service, &sum->service) < 0)
        w->failed = true;
    memset(sum, 0, sizeof(*sum));
}

/* The oldest interval, when every worker has closed one: those that it has skipped, because all
 * of us were stopped, have no slot. */
static bool all_closed(struct watch *w, uint64_t *oldest)
{
    *oldest = UINT64_MAX;
    for (unsigned i = 0; i < w->nworker; i++) {
        const struct slot *s = tally_peek(&w->workers[i].tally);
        if (!s)
            return false;
        if (s->number < *oldest)
            *oldest = s->number;
    }
    return true;
}

/* Slots of the oldest interval that every worker has closed. */
static void take_closed(struct watch *w)
{
    uint64_t oldest;

    while (all_closed(w, &oldest)) {
        for (unsigned i = 0; i < w->nworker; i++) {
            struct tally *t = &w->workers[i].tally;
            if (tally_peek(t)->number > oldest)
                continue;
            sum_add(w->sum, tally_peek(t));
            tally_give_back(t);
        }
        sum_take(w);
        live_interval(w->live, w->o->series);
    }
}

/* The end of the time in which messages began or answers came.  What follows is waiting for what
 * never came, and a rate over that would be one that nobody has asked for. */
static uint64_t load_end_ns(const struct watch *w, const struct worker *k)
{
    uint64_t until_ns = atomic_load(&w->run.until_ns), answered_ns = k->tally.answered_ns;

    if (until_ns > k->end_ns)
        until_ns = k->end_ns;
    return answered_ns > until_ns ? answered_ns : until_ns;
}

/* What is left when the workers have ended. */
static void take_rest(struct watch *w)
{
    take_closed(w);
    for (unsigned i = 0; i < w->nworker; i++) {
        struct tally *t = &w->workers[i].tally;
        uint64_t end_ns = load_end_ns(w, &w->workers[i]);
        t->now->end_ns = end_ns > t->now->start_ns ? end_ns : t->now->start_ns;
        for (struct slot *s; (s = tally_peek(t)) != NULL; tally_give_back(t))
            sum_add(w->sum, s);
        sum_add(w->sum, t->now);
    }
    sum_take(w);
    if (w->o->begun)
        live_interval(w->live, w->o->series);
}

static void faults_add(struct outcome *o, const struct tally *t)
{
    for (unsigned i = 0; i < t->nfault; i++) {
        struct fault *f = o->fault;
        while (f < o->fault + o->nfault &&
               (f->phase != t->fault[i].phase || f->error != t->fault[i].error))
            f++;
        if (f == o->fault + FAULTS_MAX)
            f--;
        else if (f == o->fault + o->nfault)
            o->fault[o->nfault++] = (struct fault){t->fault[i].phase, t->fault[i].error, 0};
        f->n += t->fault[i].n;
    }
}

static void tally_gather(struct outcome *o, const struct tally *t)
{
    faults_add(o, t);
    if (!*o->first)
        memcpy(o->first, t->first, sizeof(o->first));
    if (!*o->wrong)
        memcpy(o->wrong, t->wrong, sizeof(o->wrong));
    o->nanswer += t->nanswer;
    o->nerror += t->nerror;
    o->nlost += t->nlost;
    o->nexpired += t->nexpired;
    o->nconnect += t->nconnect;
    o->ncut += t->ncut;
    o->sent += t->sent;
    o->came += t->came;
    hist_merge(o->connect, &t->connect);
    hist_merge(o->lag, &t->lag);
}

/* While we were away ourselves nothing could be heard. */
static void gather_silence(struct outcome *o, const struct tally *t, uint64_t start_ns)
{
    if (t->silence_ns < t->away_ns + STALL_NS)
        return;
    o->silence_sec = (double)(t->silence_ns - t->away_ns) / 1e9;
    o->longest_sec = fmin((double)t->longest_ns / 1e9, o->silence_sec);
    o->longest_at_sec = t->longest_ns ? (double)(t->longest_at_ns - start_ns) / 1e9 : 0;
}

/* The server was silent for so long as every worker at least found it. */
static void gather(struct watch *w)
{
    struct outcome *o = w->o;
    const struct tally *least = &w->workers[0].tally;

    for (unsigned i = 0; i < w->nworker; i++) {
        const struct worker *k = &w->workers[i];
        double seconds = (double)(k->end_ns - w->run.start_ns) / 1e9;
        tally_gather(o, &k->tally);
        o->seconds = fmax(o->seconds, (double)(load_end_ns(w, k) - w->run.start_ns) / 1e9);
        o->cpu_sec += (double)k->cpu_ns / 1e9;
        if (o->begun && seconds > 0)
            o->busy = fmax(o->busy, (double)k->cpu_ns / 1e9 / seconds);
        o->away_sec = fmax(o->away_sec, (double)k->tally.away_ns / 1e9);
        if (k->tally.silence_ns < least->silence_ns)
            least = &k->tally;
    }
    gather_silence(o, least, w->run.start_ns);
    o->interrupted = run_stopped();
    if (w->run.plan->rate == 0 && o->silence_sec > 0 &&
        series_correct(o->series, hist_value(&o->series->service, 0.5), STALL_NS) < 0)
        w->failed = true;
}

/* No message begins any more, and answers are waited for a little only. */
static void end_early(struct run *run)
{
    uint64_t now = output_now_ns();

    if (now < atomic_load(&run->until_ns))
        atomic_store(&run->until_ns, now);
    if (now + GRACE_NS < atomic_load(&run->give_up_ns))
        atomic_store(&run->give_up_ns, now + GRACE_NS);
}

static double epoch_sec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The agreed time of several machines is waited for, but for the last rest_sec. */
static void wait_for_start(const struct watch *w, double rest_sec)
{
    double left;

    while ((left = w->run.plan->start_at - epoch_sec()) > rest_sec && !run_stopped()) {
        double step = fmin(left - rest_sec, (double)LOOK.tv_nsec / 1e9);
        live_wait(w->live, left);
        nanosleep(&(struct timespec){.tv_nsec = (long)(step * 1e9)}, NULL);
    }
}

/* It begins now. */
static void set_start(struct run *run, struct outcome *o)
{
    const struct plan *p = run->plan;

    o->begun = !run_stopped();
    o->series->epoch_sec = epoch_sec();
    o->late_sec = p->start_at > 0 ? o->series->epoch_sec - p->start_at : 0;
    run->start_ns = output_now_ns();
    atomic_store(&run->until_ns, run->start_ns + (uint64_t)(p->duration_sec * 1e9));
    atomic_store(&run->give_up_ns,
                 run->start_ns + (uint64_t)((p->duration_sec + p->timeout_sec) * 1e9));
}

static void look_on(struct watch *w)
{
    while (atomic_load(&w->run.nended) < w->nworker) {
        uint64_t nanswer = 0, nerror = 0;
        nanosleep(&LOOK, NULL);
        if (run_stopped())
            end_early(&w->run);
        take_closed(w);
        for (unsigned i = 0; i < w->nworker; i++) {
            nanswer += atomic_load_explicit(&w->workers[i].tally.nanswer, memory_order_relaxed);
            nerror += atomic_load_explicit(&w->workers[i].tally.nerror, memory_order_relaxed);
        }
        live_draw(w->live, (double)(output_now_ns() - w->run.start_ns) / 1e9, nanswer, nerror);
    }
}

static int init_workers(struct watch *w)
{
    const struct plan *p = w->run.plan;

    for (unsigned i = 0; i < p->nworker; i++) {
        struct worker *k = &w->workers[i];
        *k = (struct worker){.run = &w->run,
                             .plan = p,
                             .index = i,
                             .nconn = share(p->nconn, p->nworker, i),
                             .nidle = share(p->nidle, p->nworker, i),
                             .nslow = share(p->nslow, p->nworker, i)};
        if (tally_init(&k->tally) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* 0, or -errno: those that have been started are w->nworker. */
static int start_workers(struct watch *w)
{
    int r = 0;

    pthread_mutex_init(&w->run.lock, NULL);
    pthread_cond_init(&w->run.moved, NULL);
    for (w->nworker = 0; r == 0 && w->nworker < w->run.plan->nworker; w->nworker += r == 0) {
        struct worker *k = &w->workers[w->nworker];
        r = -pthread_create(&k->thread, NULL, worker_thread, k);
    }
    return r;
}

/* Until a worker has moved, or a moment is over. */
static void wait_for_move(struct run *run)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK.tv_nsec;
    until.tv_sec += until.tv_nsec / NS_PER_SEC;
    until.tv_nsec %= NS_PER_SEC;
    pthread_cond_clockwait(&run->moved, &run->lock, CLOCK_MONOTONIC, &until);
}

static uint64_t connected(const struct watch *w)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < w->nworker; i++)
        n += atomic_load_explicit(&w->workers[i].tally.nconnect, memory_order_relaxed);
    return n;
}

/* When all are connected, set the start and let them go; or let them go home. */
static void open_gate(struct watch *w, bool home)
{
    struct run *run = &w->run;

    pthread_mutex_lock(&run->lock);
    while (run->nready < w->nworker) {
        wait_for_move(run);
        live_connect(w->live, connected(w), plan_connections(run->plan));
    }
    if (!home)
        wait_for_start(w, 0);
    set_start(run, w->o);
    if (home || !w->o->begun)
        end_early(run);
    run->open = true;
    pthread_cond_broadcast(&run->moved);
    pthread_mutex_unlock(&run->lock);
}

static int watch_over(struct watch *w, char *why, size_t size)
{
    const struct plan *p = w->run.plan;
    int r = init_workers(w);

    if (r == 0) {
        wait_for_start(w, LEAD_SEC + plan_connections(p) / DIALS_PER_SEC);
        r = start_workers(w);
    }
    open_gate(w, r < 0);
    look_on(w);
    for (unsigned i = 0; i < w->nworker; i++)
        pthread_join(w->workers[i].thread, NULL);
    if (r == 0) {
        take_rest(w);
        gather(w);
    }
    live_end(w->live);
    if (r == 0 && w->failed)
        r = -ENOMEM;
    if (r < 0)
        snprintf(why, size, "a worker could not be started, or has no memory: %s", strerror(-r));
    for (unsigned i = 0; i < w->nworker && r == 0; i++)
        if (*w->workers[i].failed) {
            snprintf(why, size, "%s", w->workers[i].failed);
            r = -EIO;
        }
    return r < 0 ? -1 : 0;
}

int run_plan(const struct plan *p, struct outcome *o, struct live *live, char *why, size_t size)
{
    struct watch w = {.run = {.plan = p}, .o = o, .live = live};

    snprintf(why, size, "out of memory");
    *o = (struct outcome){.series = series_make(0),
                          .connect = calloc(1, sizeof(*o->connect)),
                          .lag = calloc(1, sizeof(*o->lag))};
    w.workers = calloc(p->nworker, sizeof(*w.workers));
    w.sum = calloc(1, sizeof(*w.sum));
    int r = -1;
    if (o->series && o->connect && o->lag && w.workers && w.sum)
        r = watch_over(&w, why, size);
    for (unsigned i = 0; w.workers && i < p->nworker; i++)
        tally_fini(&w.workers[i].tally);
    free(w.workers);
    free(w.sum);
    return r;
}

void outcome_fini(struct outcome *o)
{
    series_free(o->series);
    free(o->connect);
    free(o->lag);
}
