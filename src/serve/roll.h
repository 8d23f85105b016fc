/* roll.h - who is with a worker, for other threads to look at.  Does not know what is said. */
#ifndef STOA_SERVE_ROLL_H
#define STOA_SERVE_ROLL_H

#include "base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct fiber;

/* A connection; lies in its fiber's frame, so what is on the roll is alive while it is locked. */
struct visitor {
    struct list link;
    struct fiber *fiber;
    uint64_t came_ns;
    int conn;
};

struct roll {
    pthread_mutex_t lock;
    struct list all; /* struct visitor, in the order of coming; under lock */
};

void roll_init(struct roll *r);
void roll_fini(struct roll *r);

/* On the worker's thread.  The visitor is filled in before. */
void roll_enter(struct roll *r, struct visitor *v);
void roll_leave(struct roll *r, struct visitor *v);

/* Whom a fiber serves: its handle, or -1. */
int roll_conn_of(struct roll *r, const struct fiber *f);

#endif
