/* bench/worker.c - connect, wait for the start, run until the time is over, drain.
 *
 * Open loop: one fiber keeps the schedule.  Timers have a tick of a millisecond, so a wait
 * that is shorter than two ticks is spent yielding: answers are taken meanwhile, and the
 * processor is busy, which is not held against the generator; lag is.
 *
 * After the last message has begun, answers are waited for, for --timeout at most; what
 * has not come by then has a place in the histograms with that age.
 */
#include "cli/bench/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const uint64_t TICKS_NS = 2200000; /* a timer is late by less */
static const double LOOK_SEC = 0.02;      /* at the run's end, and for an early one */

enum { SENDS_PER_LOOK = 32, PAUSES_MAX = 7 };

static int64_t thread_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t worker_due_ns(const struct worker *w, uint64_t n)
{
    return w->run->start_ns + plan_due_ns(w->plan, n * w->plan->nworker + w->index);
}

int worker_pause(unsigned ntry)
{
    unsigned n = ntry < PAUSES_MAX ? ntry : PAUSES_MAX;
    double seconds = 0.01 * (double)(1u << n);

    return stoa_sleep(seconds < 1 ? seconds : 1);
}

/* Wait until a time, exactly.  -1: cancelled. */
static int wait_until(uint64_t until_ns)
{
    uint64_t now;

    while ((now = output_now_ns()) < until_ns) {
        uint64_t ns = until_ns - now;
        if ((ns > TICKS_NS ? stoa_sleep((double)(ns - TICKS_NS) / 1e9) : stoa_yield()) < 0)
            return -1;
    }
    return 0;
}

/* All that is due now, but not too much of it at once. */
static void send_due(struct worker *w, const struct kind *kind)
{
    uint64_t now = output_now_ns();

    for (int i = 0; i < SENDS_PER_LOOK; i++) {
        uint64_t due = worker_due_ns(w, w->ndue);
        if (due > now || !worker_goes_on(w, due))
            return;
        w->ndue++;
        w->npending++;
        kind->due(w, due, now);
    }
}

static const struct kind *kind_of(const struct worker *w)
{
    return w->plan->mode == MODE_CHURN ? &churn_kind : &talk_kind;
}

static int pace(void *worker)
{
    struct worker *w = worker;

    for (;;) {
        send_due(w, kind_of(w));
        uint64_t due = worker_due_ns(w, w->ndue);
        if (!worker_goes_on(w, due))
            break;
        if (wait_until(due) < 0 || stoa_yield() < 0)
            return 0;
    }
    w->paced = true;
    return 0;
}

/* Turns the tally's intervals; the last one holds what comes while answers are waited for. */
static int clock_fiber(void *worker)
{
    struct worker *w = worker;
    double step = w->plan->interval_sec;
    uint64_t n = (uint64_t)(w->plan->duration_sec / step + 0.999999);

    for (uint64_t i = 1; i < n; i++) {
        uint64_t at = w->run->start_ns + (uint64_t)((double)i * step * 1e9);
        uint64_t now = output_now_ns();
        if (at > now && stoa_sleep((double)(at - now) / 1e9) < 0)
            return 0;
        tally_turn(&w->tally, i, output_now_ns());
    }
    return 0;
}

/* Wait for the start. */
static void gate(struct worker *w)
{
    struct run *run = w->run;

    pthread_mutex_lock(&run->lock);
    run->nready++;
    pthread_cond_broadcast(&run->moved);
    while (!run->open)
        pthread_cond_wait(&run->moved, &run->lock);
    pthread_mutex_unlock(&run->lock);
    w->passed = true;
}

/* Until the last message has begun, and has its answer or is not waited for any more. */
static void wait_for_end(struct worker *w)
{
    uint64_t now;

    while (worker_goes_on(w, now = output_now_ns())) {
        double left = (double)(atomic_load(&w->run->until_ns) - now) / 1e9;
        uint64_t planned_ns = now + (uint64_t)((left < LOOK_SEC ? left : LOOK_SEC) * 1e9);
        stoa_sleep(left < LOOK_SEC ? left : LOOK_SEC);
        now = output_now_ns();
        tally_away(&w->tally, now > planned_ns ? now - planned_ns : 0);
    }
    while (w->npending > 0 || (w->plan->rate > 0 && !w->paced)) {
        now = output_now_ns();
        if (now >= atomic_load(&w->run->give_up_ns))
            break;
        stoa_sleep(LOOK_SEC / 20);
    }
}

static int begin(struct worker *w, const struct kind *kind)
{
    if (kind->run(w) < 0 || stoa_go(w->group, clock_fiber, w) < 0)
        return -1;
    return w->plan->rate > 0 ? stoa_go(w->group, pace, w) : 0;
}

static int load(void *worker)
{
    struct worker *w = worker;
    const struct kind *kind = kind_of(w);
    int r = -1;

    w->group = stoa_group_open();
    if (w->group)
        r = crowd_open(w);
    if (r == 0)
        r = kind->open(w);
    gate(w);
    int64_t before_ns = thread_cpu_ns();
    tally_start(&w->tally, w->run->start_ns, atomic_load(&w->run->until_ns));
    if (r == 0)
        r = begin(w, kind);
    if (r == 0)
        wait_for_end(w);
    else
        snprintf(w->failed, sizeof(w->failed), "%s", stoa_errmsg());
    w->end_ns = output_now_ns();
    w->cpu_ns = thread_cpu_ns() - before_ns;
    kind->give_up(w, w->end_ns);
    if (w->group) {
        stoa_group_cancel(w->group);
        stoa_group_join(w->group);
    }
    kind->close(w);
    return r;
}

void *worker_thread(void *worker)
{
    struct worker *w = worker;
    struct stoa_options options = {.size = sizeof(options)};

    if (stoa_run(load, w, &options) < 0 && !*w->failed)
        snprintf(w->failed, sizeof(w->failed), "%s", stoa_errmsg());
    if (!w->passed)
        gate(w);
    atomic_fetch_add(&w->run->nended, 1);
    return NULL;
}
