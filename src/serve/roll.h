/* roll.h - who is with a worker, for other threads to look at.  Does not know what is said. */
#ifndef STOA_SERVE_ROLL_H
#define STOA_SERVE_ROLL_H

#include "base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fiber;

/* A connection; lies in its fiber's frame, so what is on the roll is alive while it is locked. */
struct visitor {
    struct list link;
    struct fiber *fiber; /* NULL: nobody, but a mark of roll_walk() */
    uint64_t came_ns;
    int conn;
};

struct roll {
    pthread_mutex_t lock;
    struct list all; /* struct visitor, in the order of coming; under lock */
    int listener;    /* a handle; -1: none, or it is closed; under lock */
};

void roll_init(struct roll *r);
void roll_fini(struct roll *r);

/* On the worker's thread.  The visitor is filled in before. */
void roll_enter(struct roll *r, struct visitor *v);
void roll_leave(struct roll *r, struct visitor *v);

/* The worker's listener from now on; -1: it has none any more. */
void roll_set_listener(struct roll *r, int listener);
int roll_listener(struct roll *r);

/* Look at the next n visitors behind the mark, which is behind them then: how many there were.
 * Nobody comes or goes meanwhile, so n is small.  A mark is put at the beginning first, and
 * taken out at the end; it holds up nobody in between. */
void roll_mark(struct roll *r, struct visitor *mark);
void roll_unmark(struct roll *r, struct visitor *mark);
size_t roll_walk(struct roll *r, struct visitor *mark, size_t n,
                 void (*see)(const struct visitor *v, void *arg), void *arg);

/* Whom a fiber serves: its handle, or -1. */
int roll_conn_of(struct roll *r, const struct fiber *f);

#endif
