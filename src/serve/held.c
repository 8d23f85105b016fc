/* held.c - the sentences of a handler that holds its worker, and those of its end:
 *
 *     worker 2 is held by 127.0.0.1:40312 for 150 ms, in the system call clock_nanosleep at
 *     clock_nanosleep+0x47 < sleep+0x3a < server+0x11d2; all others of that worker wait, and
 *     stoa_sleep(), stoa_yield() or stoa_offload() in its place is the cure; lines: addr2line
 *     -fpie /usr/bin/server 0x11d1
 *
 *     worker 2 was held by 127.0.0.1:40312 for 812 ms, 3 of them computing
 *
 * Limits: two servers on fibers of one loop: the first that began is told of both.  In a simulated
 * network nobody is watched, for its time is not ours.
 */
#include "serve/held.h"

#include "backend/code.h"
#include "net/scope.h"
#include "net/sock.h"
#include "sim/world.h"

/* The connection of a fiber of w's thread, which may have several workers; -1: it has none. */
static int conn_of(struct worker *w, const struct fiber *f)
{
    struct server *sv = w->server;
    int conn = -1;

    for (int i = (int)(w - sv->worker); conn < 0 && i < sv->nworker; i += sv->nthread)
        conn = roll_conn_of(&sv->worker[i].roll, f);
    return conn;
}

/* Whom the fiber serves; it is remembered for the end, when the fiber may be another's. */
static const char *peer_of(const struct hold *h)
{
    struct worker *w = CONTAINER(h->who, struct worker, watched);
    struct stoa_addr a = {0};

    if (h->over)
        return w->holder;
    int conn = conn_of(w, h->fiber);

    if (conn >= 0 && stoa_getpeername(conn, &a) == 0) {
        a.type = 0;
        stoa_addr_text(&a, w->holder, sizeof(w->holder));
    } else {
        struct text t;

        text_init(&t, w->holder, sizeof(w->holder));
        text_add(&t, conn >= 0 ? "a client who has left" : "a fiber that serves no client");
    }
    return w->holder;
}

static void name(struct text *t, const struct hold *h)
{
    const struct worker *w = CONTAINER(h->who, struct worker, watched);

    text_add(t, "worker ");
    text_add_number(t, (uint64_t)(w - w->server->worker) + 1);
    text_add(t, h->over ? " was held by " : " is held by ");
    text_add(t, peer_of(h));
    text_add(t, " for ");
    text_add_number(t, h->lasts_ns / 1000000);
    text_add(t, " ms, ");
    if (h->over) {
        text_add_number(t, h->cpu_ns / 1000000);
        text_add(t, " of them computing");
        return;
    }
    spot_add(t, &h->spot);
    text_add(t, "; all others of that worker wait, and stoa_sleep(), stoa_yield() or "
                "stoa_offload() in its place is the cure");
    code_add_command(t, "; lines: ", h->spot.pc, h->spot.npc);
}

static void tell(struct watch *w, const char *sentence)
{
    const struct server *sv = CONTAINER(w, struct server, watch);

    sv->o.tell(sentence, sv->arg);
}

int held_begin(struct server *sv)
{
    int64_t max_ns = sv->o.max_hold > 0 ? scope_nanoseconds(sv->o.max_hold) : (int64_t)HOLD_NS;

    sv->watches = sv->o.tell && sv->o.max_hold >= 0 && max_ns > 0 && !world_here;
    return sv->watches ? watch_begin(&sv->watch, (uint64_t)max_ns, name, tell) : 0;
}

void held_end(struct server *sv)
{
    if (sv->watches)
        watch_end(&sv->watch);
}

void held_watch(struct worker *w)
{
    if (w->server->watches && !w->loop->watch)
        watch_add(&w->server->watch, &w->watched, w->loop);
}

void held_unwatch(struct worker *w)
{
    watch_remove(&w->watched);
}
