/* limits.h - how long a client may be silent or slow, and how many one address may be.
 *
 * Nothing is done for a message: what a connection has said, TCP has counted, and a worker's
 * guard asks it when the connection may have become overdue.  So a UNIX client, of whom nobody
 * counts, has no limits of time here.
 */
#ifndef STOA_SERVE_LIMITS_H
#define STOA_SERVE_LIMITS_H

#include "backend/loop.h"
#include "net/sock.h"
#include "serve/address.h"
#include "serve/roll.h"

#include <stoa.h>

/* Nanoseconds; WHEEL_NEVER: no limit. */
struct times {
    uint64_t first_ns; /* until either side has said something */
    uint64_t idle_ns;  /* without a byte */
    uint64_t grace_ns; /* before the rate counts */
};

/* Of a server, for all its workers. */
struct rules {
    struct times at_ease, pressed;
    double min_rate; /* bytes a second */
    unsigned max_conns;
    const atomic_uint *nconn;
    atomic_uint ncut;       /* of those: told to end, and not ended yet */
    atomic_bool sees_death; /* who stays is watched: limits_see_death() */
    struct addresses addresses;
};

/* Of a worker. */
struct limits {
    struct rules *rules;
    struct list fresh;  /* struct guarded, in the order of coming: not looked at yet */
    struct list stay;   /* those who have been */
    struct wheel wheel; /* and when they may be overdue */
    bool pressed;       /* as which they were put there, and the fresh are due */
    struct stoa_group *group;
    struct op *op;     /* what the guard waits on; NULL: it does not wait */
    uint64_t until_ns; /* until when */
    bool over;
};

/* A connection, in its fiber's frame. */
struct guarded {
    struct visitor who;
    struct list link; /* in limits.fresh, or limits.stay */
    struct wheel_node due;
    struct limits *limits;
    struct address *from;
    const char *cut; /* why it was told to end; NULL: it was not */
    bool stays;      /* it has been looked at once */
};

/* What options say, or else the defaults.  0; -ENOMEM. */
int rules_init(struct rules *r, const struct stoa_options *o, unsigned max_conns,
               const atomic_uint *nconn);
void rules_fini(struct rules *r);

/* Connections of this listener that stay find out when their peer is dead, unless its owner has
 * seen to that by SO_KEEPALIVE, or theirs by any such option. */
void limits_see_death(struct rules *r, struct stoa_sock *listener);

/* On a worker's fiber: its guard begins, and ends.  0; -ENOMEM. */
int limits_begin(struct limits *l, struct rules *r);
void limits_end(struct limits *l);

/* The calling fiber serves conn from now on.  0; -EDQUOT: its address has enough, and there is
 * nothing to leave. */
int limits_enter(struct limits *l, struct guarded *g, int conn);
void limits_leave(struct guarded *g);

#endif
