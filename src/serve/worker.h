/* worker.h - what a server's workers are, and a worker's work from listener to last handler.
 *
 * serve.c makes and starts them.
 */
#ifndef STOA_SERVE_WORKER_H
#define STOA_SERVE_WORKER_H

#include "backend/loop.h"
#include "backend/watch.h"
#include "serve/limits.h"
#include "serve/roll.h"

#include <pthread.h>
#include <stoa.h>

struct worker {
    struct server *server;
    struct loop *loop; /* its own, or the fiber's that called stoa_serve() */
    int listener;      /* -1: connections are dealt to it */
    int error;         /* negative errno of what ended it; 0 */
    struct note note;
    struct stoa_group *group;
    struct limits limits;
    struct roll roll;
    struct watched watched;
    char holder[STOA_ADDR_TEXT_MAX]; /* held.c's: who holds this worker, or was told to */
    struct stopper stopper;
    struct fiber *acceptor; /* while it may be interrupted */
    struct op *until_over;  /* what a worker without a listener waits on */
    bool over;              /* no more connections will be dealt to it */
    struct post over_post;
    struct list waiting; /* in server->waiting */
    struct op *slot;     /* what it waits on for a connection to end */
    struct post slot_post;
    bool slot_told; /* slot_post is on its way; under server->lock */
    bool accepting; /* who lets go tells it so; written under server->lock */
    struct post let_go_post;
    pthread_t thread; /* the first of those of a thread */
    bool started;
};

struct server {
    struct list link; /* in status.c's list */
    void (*handler)(int conn, void *arg);
    void *arg;
    struct stoa_options o;
    const char *backend; /* its name */
    unsigned max_conns;
    struct rules rules;
    struct watch watch;
    bool watches; /* it is at work */
    int nworker;  /* acceptors, or whom connections are dealt to */
    int nthread;  /* on each: worker i, i + nthread, ... */
    int next;     /* whom the next connection is dealt to */
    bool dealing;
    atomic_uint nconn;
    atomic_uint nwaiting;
    _Atomic uint64_t full_told_ns; /* when it was last told that clients must wait */
    atomic_bool failed;            /* a worker could not start: all end */
    atomic_bool let_go;            /* no more is accepted, and the listeners are left to others */
    struct list running;           /* of those that can be told so: running.c */
    pthread_mutex_t lock;
    pthread_cond_t ready;
    int nready;          /* threads whose loop stands; under lock */
    struct list waiting; /* workers at max_conns; under lock */
    struct worker *worker;
};

/* A worker that is yet to be started, and one that has ended. */
void worker_init(struct worker *w, struct server *sv);
void worker_fini(struct worker *w);

/* All workers of a server stop accepting, and leave their queues alone.  From any thread. */
void worker_let_go(struct server *sv);

/* On a fiber of w->loop, with w->group and w->limits open, which are ended.  0; negative errno
 * with a note. */
int worker_work(struct worker *w);

#endif
