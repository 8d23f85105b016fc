/* run.c - a runtime on the calling thread, and what a fiber can do without a socket.
 *
 * stoa_run() makes a loop, runs the first fiber and all it starts, and takes the loop
 * down: nothing is left of it, so it can be called again, and by several threads at once.
 *
 * On a plain thread sleep, yield and offload do the plain thing, so that code does not
 * have to know where it runs.
 */
#include "serve/run.h"

#include "backend/offload.h"
#include "base/text.h"
#include "net/error.h"
#include "net/options.h"
#include "net/scope.h"
#include "net/sock.h"
#include "serve/group.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#define SPARE_DESCRIPTORS 64 /* kept back from max_conns' default: listeners, logs, files */

static size_t power_of_2(size_t len)
{
    size_t power = STACK_SIZE_MIN;

    while (power < len)
        power *= 2;
    return power;
}

static const char *bad_numbers(const struct stoa_options *o)
{
    if (o->stack > STACK_SIZE_MAX)
        return "options.stack is over 64 MiB";
    if (o->workers < 0 || o->workers > WORKERS_MAX)
        return "options.workers must be 1 .. 1024, or 0 for one per core";
    if (!(o->timeout >= 0) || !(o->drain >= 0))
        return "options.timeout and options.drain must be 0 or more seconds";
    if (isnan(o->first_byte) || isnan(o->idle) || isnan(o->min_rate) || isnan(o->max_hold))
        return "options.first_byte, idle, min_rate or max_hold is no number";
    if (!(o->spin <= LOOK_MAX_WISH_US / 1e6))
        return "options.spin is over a millisecond";
    return NULL;
}

/* Is there a descriptor for each connection that is wished? */
static bool descriptors_suffice(const struct stoa_options *o, struct text *why)
{
    if (o->max_conns <= run_descriptors_allowed())
        return true;
    text_add(why, "options.max_conns is ");
    text_add_number(why, o->max_conns);
    text_add(why, ", and the process may have ");
    text_add_number(why, run_descriptors_allowed());
    text_add(why, " descriptors; LimitNOFILE= of systemd, or ulimit -n, allows more");
    return false;
}

bool run_options(struct stoa_options *to, const struct stoa_options *from, char *why,
                 size_t why_len)
{
    const char *bad;
    struct text t;

    if (!options_copy(to, from, why, why_len))
        return false;
    text_init(&t, why, why_len);
    bad = bad_numbers(to);
    if (!bad && to->spin == 0 && look_wanted() == -EINVAL)
        bad = "STOA_SPIN is no number of microseconds, 0 .. 1000";
    if (bad) {
        text_add(&t, bad);
        return false;
    }
    if (!descriptors_suffice(to, &t))
        return false;
    if (backend_choose(to->backend))
        return true;
    backend_missing(to->backend, &t);
    return false;
}

/* How long a worker looks before it sleeps; -1: as long as it pays. */
static int64_t spin_ns(const struct stoa_options *o)
{
    double spin = o->spin;

    if (spin < 0 || sysconf(_SC_NPROCESSORS_ONLN) == 1)
        return 0;
    return spin > 0 ? (int64_t)(spin * 1e9) : look_wanted();
}

int run_open(struct loop *l, const struct stoa_options *o)
{
    const struct backend_ops *ops = backend_choose(o->backend);
    int r = loop_open(l, ops, o->stack ? power_of_2(o->stack) : STACK_SIZE_DEFAULT, true);

    if (r == 0)
        look_init(&l->look, spin_ns(o));
    return r;
}

int run_cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

unsigned run_descriptors_allowed(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    return (unsigned)limit.rlim_cur;
}

unsigned run_descriptors(void)
{
    unsigned n = run_descriptors_allowed();

    if (n == INT32_MAX)
        return n;
    return n <= 2 * SPARE_DESCRIPTORS ? n / 2 + 1 : n - SPARE_DESCRIPTORS;
}

struct first {
    struct stopper stopper;
    int (*fn)(void *arg);
    void *arg;
    struct fiber *fiber;
    int value;
    int error;
    struct note note;
};

static void stop_first(struct stopper *s)
{
    struct first *first = CONTAINER(s, struct first, stopper);

    if (first->fiber)
        group_cancel_fiber(first->fiber);
}

static int run_first(void *arg)
{
    struct first *first = arg;

    first->fiber = fiber_self();
    loop_on_stop(loop_here, &first->stopper);
    first->value = first->fn(first->arg);
    first->error = errno;
    loop_off_stop(&first->stopper);
    error_move(&first->note, &fiber_self()->local.note);
    return 0;
}

int stoa_run(int (*main_fiber)(void *arg), void *arg, const struct stoa_options *options)
{
    struct first first = {.stopper.run = stop_first, .fn = main_fiber, .arg = arg};
    char why[DETAIL_MAX];
    struct stoa_options o;
    struct loop l;
    int r;

    if (!run_options(&o, options, why, sizeof(why)))
        return (int)error_out_why(VERB_RUN, -1, -EINVAL, NULL, why);
    if (loop_here)
        return (int)error_out(VERB_RUN, -1, -EDEADLK);
    r = run_open(&l, &o);
    if (r < 0)
        return (int)error_out(VERB_RUN, -1, r);
    r = group_go(NULL, run_first, &first, NULL);
    if (r == 0)
        loop_run(&l);
    loop_close(&l);
    if (r < 0)
        return (int)error_out(VERB_RUN, -1, r);
    error_move(&fiber_self()->local.note, &first.note);
    errno = first.error;
    return first.value;
}

int stoa_stop(void)
{
    loop_stop_all();
    return 0;
}

bool stoa_draining(void)
{
    return loop_stop_told();
}

int stoa_sleep(double seconds)
{
    if (!(seconds >= 0))
        return (int)error_out_why(VERB_SLEEP, -1, -EINVAL, NULL,
                                  "the seconds are negative, or not a number");
    if (seconds == 0)
        return stoa_yield();
    int64_t ns = scope_nanoseconds(seconds);
    return (int)error_out(
        VERB_SLEEP, -1,
        sock_pause(ns < 0 ? WHEEL_NEVER : (uint64_t)ns, scope_until(&fiber_self()->local)));
}

int stoa_yield(void)
{
    int r = scope_check(&fiber_self()->local);

    if (r == 0 && loop_here)
        fiber_yield();
    else if (r == 0)
        sched_yield();
    return (int)error_out(VERB_YIELD, -1, r);
}

struct offloaded {
    int (*fn)(void *arg);
    void *arg;
    int value;
};

static int run_offloaded(void *arg)
{
    struct offloaded *o = arg;

    o->value = o->fn(o->arg);
    return 0;
}

int stoa_offload(int (*fn)(void *arg), void *arg)
{
    struct offloaded o = {.fn = fn, .arg = arg};
    int error = 0;
    int r;

    if (!loop_here)
        return fn(arg);
    r = offload_run(run_offloaded, &o, NULL, WHEEL_NEVER, &error);
    if (r < 0)
        return (int)error_out(VERB_OFFLOAD, -1, r);
    errno = error;
    return o.value;
}
