/* world.c - a simulated world's life, its hosts and links, and the trace that tells it apart.
 *
 * The hash takes in what happened, to which socket, and when: the same seed gives the same
 * hash, or something looked at what is not the world's (an address, the real clock).
 */
#include "sim/world.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

__thread struct world *world_here;

#define DESCRIPTORS_MAX 65536

static void cut_turn(struct event *e);

void world_init(struct world *w, uint64_t seed)
{
    struct in6_addr own[2];

    memset(w, 0, sizeof(*w));
    random_seed(&w->random, seed);
    w->seed = seed;
    w->made_ns = SIM_SECOND * 1000; /* no call takes 0 for a time by mistake */
    w->now_ns = w->made_ns;
    w->end_ns = WHEEL_NEVER;
    w->hash = 0xcbf29ce484222325u;
    list_init(&w->files);
    list_init(&w->nodes);
    list_init(&w->flying);
    list_init(&w->lates);
    list_init(&w->dead_pipes);
    list_init(&w->dead_files);
    for (int i = 0; i < SIM_PORT_BUCKETS; i++)
        list_init(&w->port[i]);
    inet_pton(AF_INET6, "::ffff:10.0.0.1", &own[0]);
    inet_pton(AF_INET6, "fd00::1", &own[1]);
    world_add_host(w, "first", own, 2);
    w->cut.run = cut_turn;
}

void world_faults(struct world *w, bool on)
{
    w->faults.on = false;
    events_remove(&w->events, &w->cut);
    if (w->cut_a)
        cut_turn(&w->cut);
    if (!on)
        return;
    faults_draw(&w->faults, &w->random);
    if (w->faults.chance[FAULT_CUT] > 0)
        world_at(w, &w->cut, w->now_ns + random_below(&w->random, 10 * SIM_SECOND));
}

void world_fini(struct world *w)
{
    events_fini(&w->events);
}

struct host *world_host(struct world *w)
{
    struct host *h = fiber_self()->local.host;

    return h ? h : &w->host[0];
}

int world_add_host(struct world *w, const char *name, const struct in6_addr *addr, int naddr)
{
    struct host *h = &w->host[w->nhost];
    size_t len = strlen(name);

    if (len == 0 || len >= sizeof(h->name) || naddr < 1 || naddr > SIM_HOST_ADDRS)
        return -EINVAL;
    for (int i = 0; i < w->nhost; i++)
        if (strcmp(w->host[i].name, name) == 0)
            return -EEXIST;
    for (int i = 0; i < naddr; i++)
        if (world_find_host(w, NULL, &addr[i]))
            return -EEXIST;
    if (w->nhost == SIM_HOSTS_MAX)
        return -ENOSPC;
    *h =
        (struct host){.world = w, .number = w->nhost, .naddr = naddr, .ndesc_max = DESCRIPTORS_MAX};
    memcpy(h->name, name, len + 1);
    memcpy(h->addr, addr, (size_t)naddr * sizeof(*addr));
    for (int i = 0; i < w->nhost; i++) {
        w->link[i][h->number] = w->link_default;
        w->link[h->number][i] = w->link_default;
    }
    w->nhost++;
    return h->number;
}

static bool is_loopback(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
}

struct host *world_find_host(struct world *w, struct host *from, const struct in6_addr *a)
{
    if (from && is_loopback(a))
        return from;
    for (int i = 0; i < w->nhost; i++)
        for (int k = 0; k < w->host[i].naddr; k++)
            if (memcmp(&w->host[i].addr[k], a, sizeof(*a)) == 0)
                return &w->host[i];
    return NULL;
}

int world_resolve(struct world *w, struct host *from, const char *name, struct in6_addr *list,
                  int n)
{
    int found = 0;

    if (strcasecmp(name, "localhost") == 0 && n >= 2) {
        list[0] = in6addr_loopback;
        inet_pton(AF_INET6, "::ffff:127.0.0.1", &list[1]);
        return 2;
    }
    (void)from;
    for (int i = 0; i < w->nhost; i++)
        if (strcasecmp(w->host[i].name, name) == 0)
            for (; found < w->host[i].naddr && found < n; found++)
                list[found] = w->host[i].addr[found];
    return found;
}

static struct link *link_of(struct world *w, struct host *from, struct host *to)
{
    return &w->link[from->number][to->number];
}

bool world_is_direct(struct world *w, struct host *from, struct host *to)
{
    const struct link *l = link_of(w, from, to);

    return !w->faults.on && l->latency_ns == 0 && l->jitter_ns == 0 && l->loss == 0 && !l->cut &&
           l->bytes_per_second == 0;
}

uint64_t world_arrival(struct world *w, struct host *from, struct host *to, size_t len)
{
    struct link *l = link_of(w, from, to);
    uint64_t leaves = w->now_ns;

    if (l->bytes_per_second > 0) {
        if (l->free_ns > leaves)
            leaves = l->free_ns;
        leaves += (uint64_t)((double)len / l->bytes_per_second * 1e9);
        l->free_ns = leaves;
    }
    if (world_strikes(w, FAULT_SLOW))
        leaves += random_below(&w->random, 2 * SIM_SECOND);
    return leaves + l->latency_ns + random_below(&w->random, l->jitter_ns + 1);
}

bool world_passes(struct world *w, struct host *from, struct host *to)
{
    struct link *l = link_of(w, from, to);

    if (l->cut)
        return false;
    if (l->loss > 0 && random_part(&w->random) < l->loss)
        return false;
    return !world_strikes(w, FAULT_LOSS);
}

/* The fault: two hosts that do not hear each other, and hear each other again. */
static void cut_turn(struct event *e)
{
    struct world *w = CONTAINER(e, struct world, cut);
    bool heal = w->cut_a != NULL;
    uint64_t next;

    if (heal) {
        link_of(w, w->cut_a, w->cut_b)->cut = link_of(w, w->cut_b, w->cut_a)->cut = false;
        w->cut_a = w->cut_b = NULL;
        next = SIM_SECOND + random_below(&w->random, 60 * SIM_SECOND);
    } else {
        next = SIM_MS + random_below(&w->random, 20 * SIM_SECOND);
        if (w->nhost > 1 && world_strikes(w, FAULT_CUT)) {
            int a = (int)random_below(&w->random, (uint64_t)w->nhost);
            int b = (a + 1 + (int)random_below(&w->random, (uint64_t)w->nhost - 1)) % w->nhost;

            w->cut_a = &w->host[a];
            w->cut_b = &w->host[b];
            link_of(w, w->cut_a, w->cut_b)->cut = link_of(w, w->cut_b, w->cut_a)->cut = true;
        }
    }
    world_trace(w, heal ? "heal" : "cut", 0, w->cut_a ? w->cut_a->number : -1,
                w->cut_b ? w->cut_b->number : -1);
    if (w->faults.on && !w->over)
        world_at(w, &w->cut, w->now_ns + next);
}

void world_at(struct world *w, struct event *e, uint64_t at_ns)
{
    events_add(&w->events, e, at_ns, random_next(&w->random));
}

static void take_in(struct world *w, uint64_t x)
{
    w->hash = (w->hash ^ x) * 0x100000001b3u;
    w->hash ^= w->hash >> 29;
}

void world_trace(struct world *w, const char *what, uint64_t who, int64_t a, int64_t b)
{
    uint64_t word = 0;

    memcpy(&word, what, strnlen(what, sizeof(word)));
    take_in(w, word);
    take_in(w, w->now_ns);
    take_in(w, who);
    take_in(w, (uint64_t)a);
    take_in(w, (uint64_t)b);
    if (w->trace)
        fprintf(w->trace, "%13.9f %6" PRIu64 "  %-8s #%-4" PRIu64 " %" PRId64 " %" PRId64 "\n",
                (double)(w->now_ns - w->made_ns) / 1e9, w->nevent, what, who, a, b);
}

void world_break(struct world *w, const char *sentence, uint64_t who)
{
    if (!w->broken[0])
        snprintf(w->broken, sizeof(w->broken),
                 "%s (socket #%" PRIu64 ", event %" PRIu64 ", %.9f s)", sentence, who, w->nevent,
                 (double)(w->now_ns - w->made_ns) / 1e9);
}
