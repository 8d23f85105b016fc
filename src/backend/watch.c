/* watch.c - looks at each loop in turn: is the same run of the same fiber still under way?
 *
 * What counts is what the fiber does, not what is done to it: time in which its thread waits in
 * the kernel counts in full, else the processor time that it used.  So a machine with more to
 * do than it can is nobody's fault here.  And a gap between two looks counts as the one that
 * was meant: when the process was stopped (SIGSTOP), or all of it had to wait for a
 * processor, the gap was longer.
 *
 * When nothing has moved for a while the watch sleeps, too: an idle server shall not wake
 * the machine twenty times a second.  A loop looks at `sleeps` once a turn.  It may
 * just miss it, so the sleep has an end, and a handler that holds its loop from that very
 * moment on is told WATCH_SLEEP_NS late.
 *
 * Limits: a run is seen first up to a gap after it began, so its time is known to a gap.
 */
#include "backend/watch.h"

#include "backend/kernel.h"
#include "backend/loop.h"
#include "backend/peek.h"
#include "backend/sample.h"
#include "backend/thread.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SENTENCES = 8 /* told after one round of looks; the others after the next */ };

struct told {
    size_t n;
    char sentence[SENTENCES][SENTENCE_MAX];
};

static uint64_t processor_ns(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) < 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t gap_ns(const struct watch *w)
{
    uint64_t ns = w->max_ns / 2;

    ns = ns > WATCH_GAP_MIN_NS ? ns : WATCH_GAP_MIN_NS;
    return ns < WATCH_GAP_MAX_NS ? ns : WATCH_GAP_MAX_NS;
}

static void say(struct watch *w, struct told *told, const struct hold *h)
{
    struct text t;

    text_init(&t, told->sentence[told->n++], SENTENCE_MAX);
    w->name(&t, h);
}

/* Not under lock: it may take its time. */
static void tell_all(struct watch *w, struct told *told)
{
    for (size_t i = 0; i < told->n; i++)
        w->tell(w, told->sentence[i]);
    told->n = 0;
}

static bool same_run(const struct run *a, const struct run *b)
{
    return a->fiber == b->fiber && a->nth == b->nth;
}

static struct run look(const struct watched *d)
{
    return sched_look(&d->loop->sched);
}

/* Another run than at the last look. */
static void begins(struct watched *d, const struct run *run)
{
    d->run = *run;
    d->cpu_ns = run->fiber ? processor_ns(d->clock) : 0;
    d->cpu_last_ns = d->cpu_ns;
    d->lasts_ns = 0;
    d->held_ns = 0;
    d->told_ns = 0;
}

/* How much of the gap between two looks the fiber has held its loop. */
static uint64_t held_in(struct watched *d, uint64_t gap, uint64_t cpu)
{
    struct spot s;

    spot_look(&s, d->tid);
    if (s.doing == DOING_CALL || s.doing == DOING_MEMORY)
        return gap;
    return cpu < gap ? cpu : gap;
}

/* Where it is.  Its stack's ends are read when it may be over: then they are of no use, and
 * harmless, for the run is another. */
static void trace(struct watched *d, struct spot *s)
{
    struct fiber f;
    uintptr_t low = 0, high = 0;

    if (peek(&f, d->run.fiber, sizeof(f))) {
        low = (uintptr_t)f.stack;
        high = low + f.stack_len;
    }
    if (!spot_trace(s, d->tid, low, high))
        s->npc = 0;
}

static void tell_held(struct watch *w, struct watched *d, struct told *told, uint64_t now_ns)
{
    struct hold h = {.who = d, .fiber = d->run.fiber};

    trace(d, &h.spot);
    h.lasts_ns = d->lasts_ns;
    h.cpu_ns = processor_ns(d->clock) - d->cpu_ns;
    say(w, told, &h);
    struct run run = look(d);

    if (same_run(&run, &d->run))
        d->told_ns = now_ns;
    else
        told->n--; /* it is over just now, and what was said may be another's */
}

static void tell_over(struct watch *w, struct watched *d, struct told *told)
{
    struct hold h = {.who = d, .fiber = d->run.fiber, .lasts_ns = d->lasts_ns, .over = true};

    h.cpu_ns = processor_ns(d->clock) - d->cpu_ns;
    say(w, told, &h);
}

/* Under lock.  gap: between the last look and this, as it counts. */
static void look_at(struct watch *w, struct watched *d, struct told *told, uint64_t gap,
                    uint64_t now_ns)
{
    struct run run = look(d);
    uint64_t cpu;

    d->moves = run.fiber || run.nth != d->run.nth;
    if (!run.fiber || !same_run(&run, &d->run)) {
        if (d->told_ns && told->n == SENTENCES)
            return;
        if (d->told_ns)
            tell_over(w, d, told);
        begins(d, &run);
        return;
    }
    cpu = processor_ns(d->clock);
    d->lasts_ns += gap;
    d->held_ns += held_in(d, gap, cpu - d->cpu_last_ns);
    d->cpu_last_ns = cpu;
    if (d->held_ns >= w->max_ns && told->n < SENTENCES &&
        (!d->told_ns || now_ns - d->told_ns >= HOLD_TOLD_NS))
        tell_held(w, d, told, now_ns);
}

/* One round.  Under lock.  How long until the next. */
static uint64_t look_at_all(struct watch *w, struct told *told, uint64_t meant_ns)
{
    uint64_t now_ns = kernel_now(), gap = now_ns - w->last_ns, next_ns = gap_ns(w);
    bool moves = false;

    gap = gap < meant_ns ? gap : meant_ns;
    w->last_ns = now_ns;
    if (w->nidle >= WATCH_IDLE_LOOKS) /* from here on a loop that begins something wakes us */
        atomic_store(&w->sleeps, true);
    for (struct list *n = w->all.next; n != &w->all; n = n->next) {
        struct watched *d = CONTAINER(n, struct watched, link);

        look_at(w, d, told, gap, now_ns);
        moves |= d->moves;
        if (d->told_ns && next_ns > WATCH_GAP_HELD_NS)
            next_ns = WATCH_GAP_HELD_NS;
    }
    w->nidle = moves ? 0 : w->nidle + 1;
    if (moves)
        atomic_store(&w->sleeps, false);
    return atomic_load(&w->sleeps) ? WATCH_SLEEP_NS : next_ns;
}

/* Under lock. */
static void rest(struct watch *w, uint64_t ns)
{
    uint64_t until_ns = kernel_now() + ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000),
                             .tv_nsec = (long)(until_ns % 1000000000)};
    bool sleeps = atomic_load(&w->sleeps);
    int r = 0;

    while (!w->over && r == 0 && atomic_load(&w->sleeps) == sleeps)
        r = pthread_cond_timedwait(&w->turn, &w->lock, &until);
    if (sleeps)
        w->nidle = 0;
    atomic_store(&w->sleeps, false);
}

static void *watch(void *arg)
{
    struct watch *w = arg;
    struct told told = {0};
    uint64_t meant_ns = 0;

    pthread_mutex_lock(&w->lock);
    while (!w->over) {
        meant_ns = look_at_all(w, &told, meant_ns);
        pthread_mutex_unlock(&w->lock);
        tell_all(w, &told);
        pthread_mutex_lock(&w->lock);
        rest(w, meant_ns);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

void watch_wake(struct watch *w)
{
    if (!atomic_exchange(&w->sleeps, false))
        return;
    pthread_mutex_lock(&w->lock);
    pthread_cond_signal(&w->turn);
    pthread_mutex_unlock(&w->lock);
}

int watch_begin(struct watch *w, uint64_t max_ns,
                void (*name)(struct text *t, const struct hold *h),
                void (*tell)(struct watch *w, const char *sentence))
{
    int r;

    *w = (struct watch){.max_ns = max_ns, .name = name, .tell = tell, .last_ns = kernel_now()};
    list_init(&w->all);
    pthread_mutex_init(&w->lock, NULL);
    thread_cond_init(&w->turn);
    r = thread_start_joined(&w->thread, watch, w);
    if (r == 0)
        return 0;
    pthread_cond_destroy(&w->turn);
    pthread_mutex_destroy(&w->lock);
    return r;
}

void watch_end(struct watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_signal(&w->turn);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->turn);
    pthread_mutex_destroy(&w->lock);
}

void watch_add(struct watch *w, struct watched *d, struct loop *l)
{
    d->loop = l;
    d->tid = (pid_t)syscall(SYS_gettid);
    if (pthread_getcpuclockid(pthread_self(), &d->clock) != 0)
        d->clock = CLOCK_THREAD_CPUTIME_ID;
    d->answers = sample_stack_make();
    l->watch = w;
    pthread_mutex_lock(&w->lock);
    d->watch = w;
    list_add(&w->all, &d->link);
    pthread_mutex_unlock(&w->lock);
}

void watch_remove(struct watched *d)
{
    if (!d->watch)
        return;
    struct watch *w = d->watch;
    struct told last = {0};

    pthread_mutex_lock(&w->lock);
    list_remove(&d->link);
    if (d->told_ns)
        tell_over(w, d, &last);
    d->watch = NULL;
    pthread_mutex_unlock(&w->lock);
    tell_all(w, &last);
    d->loop->watch = NULL;
    sample_stack_free(d->answers);
}

void watch_holds(struct watch *w, struct watched *d, struct hold *h)
{
    *h = (struct hold){.who = d};
    pthread_mutex_lock(&w->lock);
    if (d->watch == w && d->told_ns) {
        h->fiber = d->run.fiber;
        h->lasts_ns = d->lasts_ns;
        h->cpu_ns = d->cpu_last_ns - d->cpu_ns;
    }
    pthread_mutex_unlock(&w->lock);
}
