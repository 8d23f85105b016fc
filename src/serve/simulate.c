/* simulate.c - stoa_sim_run() and what a world's fibers can ask of it: the face of sim/.
 *
 * A run is a loop like stoa_run()'s, whose backend is the simulated one.  When the world's
 * function returns, what still runs is cancelled: servers serve for ever, and need not be
 * told.  What they leave open is a broken promise.
 */
#include "backend/loop.h"
#include "base/check.h"
#include "base/grown.h"
#include "base/limits.h"
#include "base/text.h"
#include "net/addr.h"
#include "net/error.h"
#include "serve/group.h"
#include "sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <stoa/sim.h>
#include <string.h>

/* The smallest struct stoa_sim_options that is taken. */
#define OPTIONS_LEAST offsetof(struct stoa_sim_options, link)

#define SECONDS_MAX 86400.0
#define END_SECONDS 600 /* for the rest to end when the world's function has returned */

struct first {
    int (*fn)(void *arg);
    void *arg;
    int value;
    int error;
    struct note note;
};

static uint64_t nanoseconds(double seconds)
{
    return seconds * 1e9 < 1e18 ? (uint64_t)(seconds * 1e9) : (uint64_t)1e18;
}

static void cancel_all(struct world *w)
{
    struct list *all = &w->loop->sched.all;

    if (w->trace)
        sim_tell_waiting(w, w->trace);
    for (struct list *n = all->next; n != all; n = n->next)
        group_cancel_fiber(CONTAINER(n, struct fiber, all));
}

static int run_first(void *arg)
{
    struct world *w = world_here;
    struct first *first = arg;
    struct list *all = &w->loop->sched.all;

    first->value = first->fn(first->arg);
    first->error = errno;
    error_move(&first->note, &fiber_self()->local.note);
    w->over = true;
    if (w->now_ns + END_SECONDS * SIM_SECOND < w->end_ns)
        w->end_ns = w->now_ns + END_SECONDS * SIM_SECOND;
    for (struct list *n = all->next; n != all; n = n->next)
        if (CONTAINER(n, struct fiber, all) != fiber_self())
            group_cancel_fiber(CONTAINER(n, struct fiber, all));
    return 0;
}

static bool is_part(double x)
{
    return x >= 0 && x <= 1;
}

static bool good_link(const struct stoa_sim_link *l)
{
    return l->latency >= 0 && l->jitter >= 0 && is_part(l->loss) && l->bytes_per_second >= 0;
}

static struct link link_of(const struct stoa_sim_link *l)
{
    return (struct link){
        .latency_ns = nanoseconds(l->latency),
        .jitter_ns = nanoseconds(l->jitter),
        .loss = l->loss,
        .bytes_per_second = l->bytes_per_second,
    };
}

static void begin(struct world *w, uint64_t seed, const struct stoa_sim_options *o)
{
    world_init(w, seed);
    w->give_up = cancel_all;
    w->end_ns = w->now_ns + nanoseconds(o->seconds > 0 ? o->seconds : SECONDS_MAX);
    w->trace = o->trace;
    w->link_default = link_of(&o->link);
    world_faults(w, o->faults);
}

static void report(const struct world *w, struct stoa_sim_result *to)
{
    *to = (struct stoa_sim_result){
        .hash = w->hash,
        .events = w->nevent,
        .calls = w->nop,
        .seconds = (double)(w->now_ns - w->made_ns) / 1e9,
    };
    for (int i = 0; i < FAULTS; i++)
        to->faults += w->faults.struck[i];
}

/* Run it on this thread, with the loop in the caller's frame.  0, negative errno. */
static int run(struct world *w, struct first *first)
{
    struct loop l;
    int r = loop_open(&l, &sim_ops, STACK_SIZE_DEFAULT, true);

    if (r < 0)
        return r;
    r = group_go(NULL, run_first, first, NULL);
    if (r == 0)
        loop_run(&l);
    sim_end(w);
    loop_close(&l);
    return r;
}

int stoa_sim_run(uint64_t seed, int (*world)(void *arg), void *arg,
                 const struct stoa_sim_options *options)
{
    static const struct stoa_sim_options defaults = {.size = sizeof(defaults)};
    struct stoa_sim_options o;
    struct first first = {.fn = world, .arg = arg};
    struct world *w;
    char why[DETAIL_MAX];
    struct text t;
    int r;

    const char *bad = grown_copy(&o, sizeof(o), options ? options : &defaults, OPTIONS_LEAST);

    text_init(&t, why, sizeof(why));
    text_add(&t, bad ? "options.size " : "options.link or seconds are no good");
    text_add(&t, bad ? bad : "");
    if (bad || !good_link(&o.link) || !(o.seconds >= 0))
        return (int)error_out_why(VERB_SIM_RUN, -1, -EINVAL, NULL, why);
    if (loop_here)
        return (int)error_out_why(VERB_SIM_RUN, -1, -EINVAL, NULL, "this is a fiber already");
    w = malloc(sizeof(*w));
    if (!w)
        return (int)error_out(VERB_SIM_RUN, -1, -ENOMEM);
    world_here = w;
    begin(w, seed, &o);
    r = run(w, &first);
    text_init(&t, why, sizeof(why));
    text_add(&t, w->broken);
    if (r == 0 && w->broken[0])
        r = w->stuck ? -EDEADLK : -EPROTO;
    if (o.result)
        report(w, o.result);
    world_fini(w);
    world_here = NULL;
    free(w);
    if (r < 0) {
        free(first.note.detail);
        return (int)error_out_why(VERB_SIM_RUN, -1, r, NULL, why);
    }
    error_move(&fiber_self()->local.note, &first.note);
    errno = first.error;
    return first.value;
}

/* ------------------------------------------------------------------------- */
/* For the world's fibers                                                      */

static struct world *world(void)
{
    CHECK(world_here && loop_here, "stoa_sim_*: not on a fiber of a simulated world");
    return world_here;
}

/* The addresses in a text; how many, or -EINVAL. */
static int read_addresses(const char *text, struct in6_addr *list)
{
    char part[64];
    int n = 0;

    for (size_t len; *text; text += len) {
        struct addr_parts p = {.family = AF_UNSPEC};
        char full[80], why[DETAIL_MAX];

        len = strspn(text, " ");
        if (len)
            continue;
        len = strcspn(text, " ");
        if (len >= sizeof(part) || n == SIM_HOST_ADDRS)
            return -EINVAL;
        memcpy(part, text, len);
        part[len] = 0;
        snprintf(full, sizeof(full), strchr(part, ':') ? "[%s]:0" : "%s:0", part);
        if (addr_split(&p, full, why, sizeof(why)) < 0 || p.family == AF_UNSPEC)
            return -EINVAL;
        list[n] = p.ipv6;
        if (p.family == AF_INET) {
            list[n] = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
            memcpy(list[n].s6_addr + 12, &p.ipv4, sizeof(p.ipv4));
        }
        n++;
    }
    return n;
}

int stoa_sim_host(const char *name, const char *addresses)
{
    struct world *w = world();
    struct in6_addr list[SIM_HOST_ADDRS];
    char own[64];
    int n;

    snprintf(own, sizeof(own), "10.0.0.%d fd00::%x", w->nhost + 1, (unsigned)w->nhost + 1);
    n = read_addresses(addresses ? addresses : own, list);
    return (int)error_out(VERB_SIM_HOST, -1, n < 0 ? n : world_add_host(w, name, list, n));
}

static bool is_host(const struct world *w, int host)
{
    return host >= 0 && host < w->nhost;
}

int stoa_sim_go(int host, struct stoa_group *group, int (*fn)(void *arg), void *arg)
{
    struct world *w = world();
    struct local *me = &fiber_self()->local;
    void *mine = me->host;
    int r = -EINVAL;

    if (is_host(w, host)) {
        me->host = &w->host[host];
        r = group_go(group, fn, arg, NULL);
        me->host = mine;
    }
    return (int)error_out(VERB_GO, -1, r);
}

int stoa_sim_set_link(int a, int b, const struct stoa_sim_link *link)
{
    struct world *w = world();

    if (!is_host(w, a) || !is_host(w, b) || !good_link(link))
        return (int)error_out(VERB_SIM_HOST, -1, -EINVAL);
    w->link[a][b] = w->link[b][a] = link_of(link);
    return 0;
}

int stoa_sim_cut(int a, int b, bool cut)
{
    struct world *w = world();

    if (!is_host(w, a) || !is_host(w, b))
        return (int)error_out(VERB_SIM_HOST, -1, -EINVAL);
    w->link[a][b].cut = w->link[b][a].cut = cut;
    return 0;
}

void stoa_sim_faults(bool on)
{
    world_faults(world(), on);
}

int stoa_sim_descriptors(int host, unsigned limit)
{
    struct world *w = world();

    if (!is_host(w, host))
        return (int)error_out(VERB_SIM_HOST, -1, -EINVAL);
    w->host[host].ndesc_max = limit;
    return 0;
}

uint64_t stoa_sim_random(uint64_t n)
{
    return random_below(&world()->random, n);
}

double stoa_sim_now(void)
{
    return (double)(world()->now_ns - world()->made_ns) / 1e9;
}
