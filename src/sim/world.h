/* world.h - one simulated world: its clock, its chance, its hosts and links, its trace.
 *
 * A world belongs to one thread and one loop (sim.c).  What its sockets do is in tcp.c,
 * unix.c and dgram.c; here is what they share.
 */
#ifndef STOA_SIM_WORLD_H
#define STOA_SIM_WORLD_H

#include "backend/loop.h"
#include "sim/event.h"
#include "sim/fault.h"

#include <netinet/in.h>
#include <stdio.h>

#define SIM_SECOND       ((uint64_t)1000000000)
#define SIM_MS           ((uint64_t)1000000)
#define SIM_HOSTS_MAX    64
#define SIM_HOST_ADDRS   4
#define SIM_PORT_BUCKETS 512

/* How packets go from one host to another; 0 is instant, sure and without bound. */
struct link {
    uint64_t latency_ns;
    uint64_t jitter_ns; /* up to so much more, each time another */
    double loss;
    double bytes_per_second; /* 0 = no bound */
    uint64_t free_ns;        /* when the last packet has left */
    bool cut;                /* nothing passes */
};

struct world;

struct host {
    struct world *world;
    int number;
    char name[64];
    struct in6_addr addr[SIM_HOST_ADDRS]; /* IPv4 ones mapped */
    int naddr;
    unsigned ndesc;
    unsigned ndesc_max;
};

struct world {
    struct loop *loop;
    struct random random;
    struct faults faults;
    uint64_t seed;
    uint64_t now_ns;
    uint64_t end_ns;  /* whoever has not ended by then never will */
    uint64_t made_ns; /* the time it began with */
    struct events events;

    struct host host[SIM_HOSTS_MAX];
    int nhost;
    struct link link[SIM_HOSTS_MAX][SIM_HOSTS_MAX]; /* [from][to] */
    struct link link_default;
    struct event cut; /* the fault: when the next one begins, or this one ends */
    struct host *cut_a, *cut_b;

    struct table { /* descriptors, from SIM_FD_FIRST on */
        struct desc **desc;
        int n;
        int room;
        int lowest; /* those below are taken */
    } table;
    struct list files;                  /* all of them, also those without descriptor */
    uint64_t nfile;                     /* ever made */
    struct list port[SIM_PORT_BUCKETS]; /* struct port of bound sockets */
    struct list nodes;                  /* names of UNIX sockets */
    struct list flying;                 /* datagrams on their way */
    struct list lates;                  /* sim.c's: cancelled operations that are not over */
    struct list dead_pipes, dead_files; /* freed when no event is being run */

    uint64_t hash; /* of all that happened, in its order */
    uint64_t nevent;
    uint64_t nop;
    uint64_t nwait; /* how often time has gone on */
    FILE *trace;
    char broken[512]; /* the first promise that did not hold */
    bool stuck;       /* nothing could happen any more, or not in time */
    bool gave_up;     /* and all have been told to end */
    bool over;        /* the first fiber has returned, or never will: all are told to end */
    void (*give_up)(struct world *w);                    /* tell all fibers to end */
    void (*try_waiting)(struct world *w, struct op *op); /* sim.c's: attempt it, perhaps complete */
};

extern __thread struct world *world_here;

/* A world of one host, which has the loopback addresses and 10.0.0.1, fd00::1. */
void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);

/* Draw this run's faults, and have them strike; or have none strike any more. */
void world_faults(struct world *w, bool on);

/* The host of the running fiber. */
struct host *world_host(struct world *w);

/* One host more.  Its number; -EINVAL, -EEXIST, -ENOSPC. */
int world_add_host(struct world *w, const char *name, const struct in6_addr *addr, int naddr);

/* Whose address this is, seen from `from`; NULL: nobody's. */
struct host *world_find_host(struct world *w, struct host *from, const struct in6_addr *a);

/* Addresses of a name, seen from `from`: how many of list; 0: it is unknown. */
int world_resolve(struct world *w, struct host *from, const char *name, struct in6_addr *list,
                  int n);

/* When a packet of len bytes that leaves now arrives; whether it does is asked then. */
uint64_t world_arrival(struct world *w, struct host *from, struct host *to, size_t len);
bool world_passes(struct world *w, struct host *from, struct host *to);

/* Is there nothing between the two: no time, no chance? */
bool world_is_direct(struct world *w, struct host *from, struct host *to);

void world_at(struct world *w, struct event *e, uint64_t at_ns);

/* Something happened: into the hash, and the trace. */
void world_trace(struct world *w, const char *what, uint64_t who, int64_t a, int64_t b);

/* A promise did not hold; the first one is kept. */
void world_break(struct world *w, const char *sentence, uint64_t who);

static inline bool world_strikes(struct world *w, enum fault which)
{
    return faults_strike(&w->faults, &w->random, which);
}

#endif
