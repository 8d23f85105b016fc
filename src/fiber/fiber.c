/* fiber.c - fibers of one thread take turns: start, park, ready, run, end.
 *
 * fiber_run() leaves the thread's own stack for the first ready fiber's.  A fiber
 * that parks, yields or ends leaves its own for the next ready one's directly; only
 * when none is ready, or fiber_run()'s budget is spent, back to the thread's.  So a
 * round of n fibers costs n + 1 switches, and the loop sees its descriptors in
 * time even while fibers keep each other ready.
 *
 * The ready queue is a ring of pointers, and not a list through the structs, so that the
 * memory of those soon to run can be fetched while others run.
 *
 * What holds:
 *   - A fiber is in the ready queue, or runs, or is parked; fiber_ready() on one that
 *     is not parked is a bug of the caller and CHECKed: each wait ends once.
 *   - A fiber never leaves its thread.  Compilers keep addresses of thread locals
 *     across calls, so errno and fiber_current would be another thread's else.
 *   - errno is a fiber's own: others run between its park and its return.
 *   - A stack is given back by whoever runs next, for nobody can free the ground
 *     under his own feet: sched->left says who was there last.
 *   - The struct lies at its stack's top, above the first frame, so fiber_go() and an
 *     idle fiber touch one page.
 *
 * Rounding mode and signal mask are the thread's, not a fiber's.
 */
#include "fiber/fiber.h"

#include "base/check.h"
#include "base/limits.h"
#include "fiber/sanitize.h"
#include "fiber/stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

/* All between a switch and the next is one piece: a call and return on the way, on a stack
 * that is not in the cache yet, hold up what the processor does ahead (9,000 fibers in
 * random order, ns a run: 52 with a call, 21 without). */
#define IN_ONE_PIECE static inline __attribute__((always_inline))

/* How many fibers ahead of the running one their memory is fetched (the same
 * 9,000: 260 ns without, 22 when it is 1 and 2, 21 when 2 and 4; a million: 280, 133,
 * 107).  A linked list, whose next is in a struct, takes 80 and 459. */
enum { AHEAD_STACK = 1, AHEAD_STRUCT = 3 };

/* Lines at the stack pointer that are fetched: the frames of a call that has waited. */
enum { STACK_LINES = 8 };

enum { READY_ROOM_FIRST = 64 };

/* The struct, rounded so that the first frame below it is aligned. */
#define FIBER_ROOM ((sizeof(struct fiber) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE)

_Static_assert(FIBER_ROOM + SWITCH_ROOM < STACK_SIZE_MIN, "a fiber starts on any stack");
#if !defined(STOA_SWITCH_PORTABLE)
_Static_assert(FIBER_ROOM + SWITCH_ROOM < 4096, "a fiber starts within one page");
#endif
_Static_assert(offsetof(struct fiber, local.cancelled) < CACHE_LINE, "one line for a message");

__thread struct fiber *fiber_current __attribute__((tls_model("initial-exec")));

/* Those of all threads: nobody here reads it, a debugger does (stoa-gdb.py). */
static struct list fiber_scheds = {.next = &fiber_scheds, .prev = &fiber_scheds};
static pthread_mutex_t fiber_scheds_lock = PTHREAD_MUTEX_INITIALIZER;

/* ------------------------------------------------------------------------- */
/* Plain threads                                                               */

static __thread struct fiber thread_own __attribute__((tls_model("initial-exec")));
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;
static bool thread_key_made;

/* At a thread's end.  Another key's destructor may still fail in a call and leave a
 * note: fiber_current is NULL again, so it registers anew and is called once more. */
static void thread_end(void *own)
{
    struct fiber *f = own;

    fiber_current = NULL;
    free(f->local.note.detail);
    f->local.note.detail = NULL;
}

static void thread_key_make(void)
{
    thread_key_made = pthread_key_create(&thread_key, thread_end) == 0;
}

struct fiber *fiber_thread_self(void)
{
    pthread_once(&thread_once, thread_key_make);
    thread_own.state = FIBER_THREAD;
    thread_own.local.note.handle = -1;
    fiber_current = &thread_own;
    /* Without a key (all of PTHREAD_KEYS_MAX are taken) the last note is not freed. */
    if (thread_key_made)
        (void)pthread_setspecific(thread_key, &thread_own);
    return &thread_own;
}

/* ------------------------------------------------------------------------- */
/* Switching                                                                   */

/* Apart, so that its locals are not on every parked fiber's stack. */
__attribute__((noinline)) static void bury(struct sched *s, struct fiber *dead)
{
    sanitize_gone(dead);
    stack_give(s->stacks, dead->stack);
}

/* On a stack that was just arrived at. */
IN_ONE_PIECE void arrived(struct sched *s, struct fiber *here)
{
    struct fiber *left = s->left;

    sanitize_arrive(here, left);
    if (unlikely(left->state == FIBER_DEAD))
        bury(s, left);
}

/* Go on with `to`; return when somebody goes on with `from`. */
IN_ONE_PIECE void switch_to(struct sched *s, struct fiber *from, struct fiber *to)
{
    s->left = from;
    fiber_current = to;
    sanitize_leave(from, to);
    switch_stack(&from->context, &to->context);
    arrived(s, from);
}

IN_ONE_PIECE struct fiber **slot(struct sched *s, size_t nth)
{
    return &s->ready[(s->first_ready + nth) & (s->ready_room - 1)];
}

/* A fiber that has waited is in no cache.  The structs of those soon to run are fetched
 * while others run, and, once they are there, the lines at their stack pointers. */
IN_ONE_PIECE void fetch_ahead(struct sched *s)
{
    if (s->nready <= AHEAD_STRUCT)
        return;
    char *stack = (*slot(s, AHEAD_STACK))->context.sp;

#pragma GCC unroll 8
    for (size_t i = 0; i < STACK_LINES; i++)
        __builtin_prefetch(stack + i * CACHE_LINE, 1);
    char *f = (char *)*slot(s, AHEAD_STRUCT);
    __builtin_prefetch(f, 1);
    __builtin_prefetch(f + CACHE_LINE);
}

/* For sched_look(), which reads it from elsewhere: a plain store, and no more. */
IN_ONE_PIECE void set_running(struct sched *s, struct fiber *f)
{
    __atomic_store_n(&s->running, f, __ATOMIC_RELAXED);
}

/* f, which has just left the queue, is next. */
IN_ONE_PIECE void begin_run(struct sched *s, struct fiber *f)
{
    __atomic_store_n(&s->nrun, s->nrun + 1, __ATOMIC_RELAXED);
    s->nready--;
    s->budget--;
    f->state = FIBER_RUNNING;
    set_running(s, f);
}

/* Who is next: the first ready fiber, or the thread's own stack. */
IN_ONE_PIECE struct fiber *take_next(struct sched *s)
{
    if (s->budget == 0 || s->nready == 0) {
        set_running(s, NULL);
        return &s->loop;
    }
    struct fiber *f = *slot(s, 0);

    s->first_ready++;
    begin_run(s, f);
    fetch_ahead(s);
    return f;
}

static void queue(struct sched *s, struct fiber *f)
{
    f->state = FIBER_READY;
    *slot(s, s->nready++) = f;
}

/* Room in the queue for one fiber more, so that to make one ready cannot fail. */
static bool reserve(struct sched *s)
{
    if (s->nfiber < s->ready_room)
        return true;
    size_t room = s->ready_room ? 2 * s->ready_room : READY_ROOM_FIRST;
    struct fiber **ready = malloc(room * sizeof(void *));

    if (!ready)
        return false;
    for (size_t i = 0; i < s->nready; i++)
        ready[(s->first_ready + i) & (room - 1)] = *slot(s, i);
    free(s->ready);
    s->ready = ready;
    s->ready_room = room;
    return true;
}

struct run sched_look(const struct sched *s)
{
    return (struct run){
        .fiber = __atomic_load_n(&s->running, __ATOMIC_RELAXED),
        .nth = __atomic_load_n(&s->nrun, __ATOMIC_RELAXED),
    };
}

static struct fiber *running_here(const char *sentence)
{
    struct fiber *f = fiber_current;

    if (unlikely(!f || !f->sched || f->sched->running != f))
        check_failed(__FILE__, __LINE__, sentence);
    return f;
}

void fiber_park(void)
{
    struct fiber *f = running_here("fiber_park: not on a fiber");
    int saved = errno;

    f->state = FIBER_PARKED;
    switch_to(f->sched, f, take_next(f->sched));
    errno = saved;
}

void fiber_yield(void)
{
    struct fiber *f = running_here("fiber_yield: not on a fiber");
    int saved = errno;

    queue(f->sched, f);
    struct fiber *next = take_next(f->sched);

    if (next != f)
        switch_to(f->sched, f, next);
    errno = saved;
}

void fiber_yield_to_newest(void)
{
    struct fiber *f = running_here("fiber_yield_to_newest: not on a fiber");
    struct sched *s = f->sched;
    int saved = errno;

    if (s->budget == 0 || s->nready == 0) {
        fiber_yield();
        return;
    }
    struct fiber *newest = *slot(s, s->nready - 1);

    begin_run(s, newest);
    s->first_ready--;
    s->nready++;
    *slot(s, 0) = f;
    f->state = FIBER_READY;
    switch_to(s, f, newest);
    errno = saved;
}

void fiber_ready(struct fiber *f)
{
    CHECK(f->state == FIBER_PARKED, "fiber_ready: the fiber is not parked");
    queue(f->sched, f);
}

size_t fiber_run(struct sched *s, size_t max)
{
    struct fiber *outer = fiber_current;
    int saved = errno;

    CHECK(!outer || outer->state == FIBER_THREAD, "fiber_run: called on a fiber");
    sanitize_thread(&s->loop);
    s->budget = max;
    struct fiber *first = take_next(s);

    if (first != &s->loop)
        switch_to(s, &s->loop, first);
    fiber_current = outer;
    errno = saved;
    return max - s->budget;
}

/* ------------------------------------------------------------------------- */
/* A fiber's life                                                              */

/* The first and the last on a fiber's stack. */
static void fiber_main(void *arg)
{
    struct fiber *f = arg;
    struct sched *s = f->sched;

    arrived(s, f);
    errno = 0;
    f->fn(f->arg);

    free(f->local.note.detail);
    CHECK(!wheel_armed(&f->timer), "a fiber has ended with its timer armed");
    list_remove(&f->all);
    s->nfiber--;
    f->state = FIBER_DEAD;
    switch_to(s, f, take_next(s));
    CHECK(false, "a fiber that has ended was made to run");
}

struct fiber *fiber_go(struct sched *s, void (*fn)(void *arg), void *arg)
{
    size_t len;

    if (!reserve(s))
        return NULL;
    char *stack = stack_take(s->stacks, &len);

    if (!stack)
        return NULL;
    sanitize_clean(stack, len);

    struct fiber *f = (struct fiber *)(void *)(stack + len - FIBER_ROOM);

    *f = (struct fiber){
        .sched = s,
        .local.note.handle = -1,
        .fn = fn,
        .arg = arg,
        .stack = stack,
        .stack_len = len,
    };
    switch_prepare(&f->context, stack, f, fiber_main, f);
    sanitize_born(f);
    list_add(&s->all, &f->all);
    s->nfiber++;
    queue(s, f);
    return f;
}

int sched_init(struct sched *s, size_t stack_len)
{
    memset(s, 0, sizeof(*s));
    s->stacks = stack_pool_make(stack_len > SANITIZE_STACK_MIN ? stack_len : SANITIZE_STACK_MIN);
    if (!s->stacks)
        return -ENOMEM;
    list_init(&s->all);
    s->loop.state = FIBER_THREAD;
    s->loop.sched = s;
    s->loop.local.note.handle = -1;
    pthread_mutex_lock(&fiber_scheds_lock);
    list_add(&fiber_scheds, &s->link);
    pthread_mutex_unlock(&fiber_scheds_lock);
    return 0;
}

void sched_in_child(void)
{
    pthread_mutex_init(&fiber_scheds_lock, NULL);
    list_init(&fiber_scheds);
    if (fiber_current)
        fiber_current->state = FIBER_THREAD;
}

void sched_fini(struct sched *s)
{
    CHECK(s->nfiber == 0, "sched_fini: fibers are alive");
    pthread_mutex_lock(&fiber_scheds_lock);
    list_remove(&s->link);
    pthread_mutex_unlock(&fiber_scheds_lock);
    stack_pool_free(s->stacks);
    free(s->ready);
}
