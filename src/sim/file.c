/* file.c - open files of the simulated kernel, their descriptors, and how they tell of news.
 *
 * Whoever waits on a file is not tried in the moment something comes, but by an event of its
 * own (`due`), so that others may come first: in a world with faults also later, and in vain.
 *
 * What holds: a freed file is kept until no event is being run, for somebody up the stack
 * may be looking at it.
 */
#include "sim/file.h"

#include "base/check.h"
#include "sim/dgram.h"
#include "sim/port.h"
#include "sim/rights.h"
#include "sim/tcp.h"
#include "sim/unix.h"

#include <errno.h>
#include <stdlib.h>

static void due(struct event *e);

struct file *file_make(struct world *w, struct host *h, int family, int type, int proto)
{
    struct file *f = calloc(1, sizeof(*f));

    CHECK(f, "no memory for a simulated socket");
    f->world = w;
    f->host = h;
    f->id = ++w->nfile;
    f->family = family;
    f->type = type;
    f->proto = proto;
    f->sndbuf = SNDBUF_DEFAULT;
    f->rcvbuf = RCVBUF_DEFAULT;
    f->syn_tries = SYN_TRIES_DEFAULT;
    if (world_strikes(w, FAULT_SMALL)) {
        f->sndbuf = 1 + (int)random_below(&w->random, 8192);
        f->rcvbuf = 1 + (int)random_below(&w->random, 8192);
    }
    list_init(&f->descs);
    list_init(&f->queue);
    list_init(&f->messages);
    f->due.run = due;
    list_add(&w->files, &f->all);
    return f;
}

void file_free(struct file *f)
{
    struct world *w = f->world;

    if (f->dead)
        return;
    f->dead = true;
    f->state = FILE_CLOSED;
    port_release(f);
    events_remove(&w->events, &f->shake);
    events_remove(&w->events, &f->linger);
    events_remove(&w->events, &f->due);
    if (f->listener) {
        list_remove(&f->waiting);
        f->listener->nqueue--;
        f->listener = NULL;
    }
    if (f->out)
        flow_leave_from(f->out);
    if (f->in)
        flow_leave_to(f->in);
    f->in = f->out = NULL;
    dgram_drop_all(f);
    list_remove(&f->all);
    list_add(&w->dead_files, &f->all);
}

void file_bury(struct file *f)
{
    free(f);
}

static void close_file(struct file *f, enum backend_close how)
{
    world_trace(f->world, "close", f->id, how, 0);
    if (how == CLOSE_RESET)
        f->so_linger = (struct linger){.l_onoff = 1};
    if (f->family == AF_UNIX)
        unix_close(f, how == CLOSE_POLITE);
    else if (f->type == SOCK_STREAM)
        tcp_close(f, how == CLOSE_POLITE);
    else
        file_free(f);
}

void file_unused(struct file *f)
{
    if (list_empty(&f->descs) && f->nright == 0 && !f->listener && !f->orphan && !f->dead)
        close_file(f, CLOSE_PLAIN);
}

struct desc *file_desc(struct world *w, int fd)
{
    int at = fd - SIM_FD_FIRST;

    return at >= 0 && at < w->table.n ? w->table.desc[at] : NULL;
}

static int free_number(struct table *t)
{
    for (int at = t->lowest; at < t->n; at++)
        if (!t->desc[at])
            return at;
    if (t->n == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->desc = realloc(t->desc, (size_t)t->room * sizeof(void *));
        CHECK(t->desc, "no memory for simulated descriptors");
    }
    t->desc[t->n] = NULL;
    return t->n++;
}

int file_open(struct file *f)
{
    struct table *t = &f->world->table;
    struct desc *d;
    int at;

    if (f->host->ndesc >= f->host->ndesc_max)
        return -EMFILE;
    d = calloc(1, sizeof(*d));
    CHECK(d, "no memory for a simulated descriptor");
    at = free_number(t);
    t->lowest = at + 1;
    t->desc[at] = d;
    d->file = f;
    d->fd = SIM_FD_FIRST + at;
    f->host->ndesc++;
    list_add(&f->descs, &d->link);
    return d->fd;
}

void file_shut(struct world *w, int fd, enum backend_close how)
{
    struct desc *d = file_desc(w, fd);
    struct file *f;

    if (!d)
        return;
    f = d->file;
    w->table.desc[fd - SIM_FD_FIRST] = NULL;
    if (fd - SIM_FD_FIRST < w->table.lowest)
        w->table.lowest = fd - SIM_FD_FIRST;
    f->host->ndesc--;
    list_remove(&d->link);
    free(d);
    if (list_empty(&f->descs) && f->nright == 0)
        close_file(f, how);
}

void file_wake(struct file *f, int events)
{
    struct world *w = f ? f->world : NULL;
    uint64_t later = 0;

    if (!f || f->dead || list_empty(&f->descs))
        return;
    f->due_events |= events;
    if (f->due.place)
        return;
    if (world_strikes(w, FAULT_LATE))
        later = random_below(&w->random, 10 * SIM_MS);
    world_at(w, &f->due, w->now_ns + later);
}

/* Try what waits on this descriptor, in its order. */
static void try_desc(struct world *w, struct desc *d, int events)
{
    struct backend_sock *s = d->user;
    struct op *op;

    if (!s)
        return;
    for (struct list *n = s->ops.next, *next; n != &s->ops; n = next) {
        next = n->next;
        op = CONTAINER(n, struct op, link);
        if (op_events(op) & events)
            w->try_waiting(w, op);
    }
}

static void due(struct event *e)
{
    struct file *f = CONTAINER(e, struct file, due);
    int events = f->due_events;

    f->due_events = 0;
    world_trace(f->world, "due", f->id, events, 0);
    for (struct list *n = f->descs.next, *next; n != &f->descs; n = next) {
        next = n->next;
        try_desc(f->world, CONTAINER(n, struct desc, link), events);
    }
}
