/* unix.c - simulated UNIX sockets: each host's own names, and streams that arrive at once.
 *
 * A path stays when its socket has gone, as the file would; what lies in a real folder is
 * not looked at.  A name that begins with 0 (abstract) goes with its socket.
 * Source: unix(7), and net/unix/af_unix.c for who gets which error.
 */
#include "sim/unix.h"

#include "base/check.h"
#include "base/limits.h"
#include "sim/dgram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define NAME_AT offsetof(struct sockaddr_un, sun_path)

/* The name in a struct: its bytes without what the kernel does not look at.  Its length. */
static int name_of(const struct sockaddr *sa, socklen_t len, char name[SIM_NAME_MAX])
{
    const char *path = ((const struct sockaddr_un *)(const void *)sa)->sun_path;

    if (len < sizeof(sa_family_t) || len > sizeof(struct sockaddr_un) || sa->sa_family != AF_UNIX)
        return -EINVAL;
    len -= (socklen_t)NAME_AT;
    if (len > 0 && path[0])
        len = (socklen_t)strnlen(path, len);
    memcpy(name, path, len);
    return (int)len;
}

static struct node *find(struct world *w, const struct host *h, const char *name, socklen_t len)
{
    for (struct list *n = w->nodes.next; n != &w->nodes; n = n->next) {
        struct node *node = CONTAINER(n, struct node, link);

        if (node->host == h && node->len == len && memcmp(node->name, name, len) == 0)
            return node;
    }
    return NULL;
}

/* unix(7), "Autobind feature": a 0 and five hex digits. */
static int auto_name(struct file *f, char name[SIM_NAME_MAX])
{
    do {
        name[0] = 0;
        snprintf(name + 1, 6, "%05x", (unsigned)random_below(&f->world->random, 1 << 20));
    } while (find(f->world, f->host, name, 6));
    return 6;
}

int unix_bind(struct file *f, const struct sockaddr *sa, socklen_t len)
{
    char name[SIM_NAME_MAX];
    int n = name_of(sa, len, name);
    struct node *node;

    if (n < 0 || f->node)
        return -EINVAL;
    if (n == 0)
        n = auto_name(f, name);
    if (find(f->world, f->host, name, (socklen_t)n))
        return -EADDRINUSE;
    node = calloc(1, sizeof(*node));
    CHECK(node, "no memory for a simulated name");
    node->host = f->host;
    node->file = f;
    node->len = (socklen_t)n;
    memcpy(node->name, name, (size_t)n);
    list_add(&f->world->nodes, &node->link);
    f->node = node;
    return 0;
}

static void free_node(struct node *n)
{
    list_remove(&n->link);
    free(n);
}

int unix_remove_stale(struct world *w, const struct sockaddr *sa, socklen_t len)
{
    char name[SIM_NAME_MAX];
    int n = name_of(sa, len, name);
    struct node *node = n > 0 ? find(w, world_host(w), name, (socklen_t)n) : NULL;

    if (!node)
        return 0;
    if (node->file)
        return -EADDRINUSE;
    free_node(node);
    return 0;
}

int unix_find(struct file *f, const struct sockaddr *sa, socklen_t len, struct file **found)
{
    char name[SIM_NAME_MAX];
    int n = name_of(sa, len, name);
    struct node *node;

    if (n <= 0)
        return -EINVAL;
    node = find(f->world, f->host, name, (socklen_t)n);
    if (!node)
        return name[0] ? -ENOENT : -ECONNREFUSED;
    if (!node->file)
        return -ECONNREFUSED;
    if (node->file->type != f->type)
        return -EPROTOTYPE;
    *found = node->file;
    return 0;
}

void unix_to_sockaddr(const struct node *n, struct sockaddr *sa, socklen_t *len)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t full = (socklen_t)NAME_AT + (n ? n->len : 0);

    if (n) {
        memcpy(un.sun_path, n->name, n->len);
        full += n->len && n->name[0] && n->len < sizeof(un.sun_path);
    }
    if (!n || n->len == 0)
        full = sizeof(sa_family_t);
    if (sa)
        memcpy(sa, &un, *len < full ? *len : full);
    *len = full;
}

void unix_pair(struct file *a, struct file *b)
{
    a->state = b->state = FILE_CONNECTED;
    a->mate = b;
    b->mate = a;
    if (a->type != SOCK_STREAM)
        return;
    a->out = b->in = flow_make(a->world, a, b, true);
    b->out = a->in = flow_make(a->world, b, a, true);
}

/* What a file is called by others. */
static struct node called(const struct file *f)
{
    return f->node ? *f->node : f->own_node;
}

static int connect_dgram(struct file *f, const struct sockaddr *sa, socklen_t len)
{
    struct file *to;
    int r = unix_find(f, sa, len, &to);

    if (r < 0)
        return r;
    f->mate = to;
    f->mate_gone = false;
    f->state = FILE_CONNECTED;
    f->peer_node = called(to);
    return 0;
}

int unix_connect(struct file *f, const struct sockaddr *sa, socklen_t len)
{
    struct file *listener, *child;
    int r;

    if (f->type == SOCK_DGRAM)
        return connect_dgram(f, sa, len);
    r = unix_find(f, sa, len, &listener);
    if (r < 0)
        return r;
    if (listener->state != FILE_LISTENS)
        return -ECONNREFUSED;
    if (listener->nqueue > listener->backlog)
        return -EXFULL; /* before -EISCONN, as there */
    if (f->state != FILE_CLOSED || f->mate_gone)
        return f->state == FILE_LISTENS ? -EINVAL : -EISCONN;
    if (world_strikes(f->world, FAULT_REFUSE))
        return -ECONNREFUSED;
    child = file_make(f->world, f->host, AF_UNIX, f->type, f->proto);
    unix_pair(f, child);
    child->own_node = called(listener);
    child->peer_node = called(f);
    f->peer_node = called(listener);
    child->listener = listener;
    list_add(&listener->queue, &child->waiting);
    listener->nqueue++;
    file_wake(listener, POLLIN);
    return 0;
}

int unix_listen(struct file *f, int backlog)
{
    if (f->type == SOCK_DGRAM)
        return -EOPNOTSUPP;
    if (!f->node || (f->state != FILE_CLOSED && f->state != FILE_LISTENS))
        return -EINVAL;
    f->state = FILE_LISTENS;
    f->backlog = backlog < 0 || backlog > 4096 ? 4096 : (unsigned)backlog;
    return 0;
}

void unix_shutdown(struct file *f, int how)
{
    struct file *mate = f->type == SOCK_DGRAM ? NULL : f->mate;

    f->shut_in = f->shut_in || how != SHUT_WR;
    f->shut_out = f->shut_out || how != SHUT_RD;
    if (mate) {
        mate->shut_in = mate->shut_in || how != SHUT_RD;
        mate->shut_out = mate->shut_out || how != SHUT_WR;
        file_wake(mate, POLLIN | POLLOUT | POLLPRI);
    }
    file_wake(f, POLLIN | POLLOUT | POLLPRI);
}

/* Whoever was connected to it is not any more. */
static void leave_mates(struct file *f)
{
    if (f->type != SOCK_DGRAM) {
        if (f->mate)
            f->mate->mate = NULL;
        return;
    }
    for (struct list *n = f->world->files.next; n != &f->world->files; n = n->next) {
        struct file *other = CONTAINER(n, struct file, all);

        if (other->mate != f || other == f)
            continue;
        other->mate = NULL;
        other->mate_gone = true;
        file_wake(other, POLLOUT | POLLPRI);
    }
}

static void close_queue(struct file *f)
{
    struct list *n;

    while ((n = list_shift(&f->queue))) {
        struct file *child = CONTAINER(n, struct file, waiting);

        child->listener = NULL;
        if (child->mate)
            child->mate->error = ECONNRESET;
        unix_close(child, false);
    }
}

static void linger_over(struct event *e)
{
    struct file *f = CONTAINER(e, struct file, linger);

    f->orphan = f->lingers = false;
    unix_close(f, false);
}

void unix_heard(struct file *f)
{
    char sink[2048];

    while (flow_unread(f->in) > 0)
        flow_read(f->in, sink, sizeof(sink), false);
    events_remove(&f->world->events, &f->linger);
    world_at(f->world, &f->linger, f->world->now_ns + LINGER_SILENCE_NS);
}

void unix_close(struct file *f, bool politely)
{
    struct file *mate = f->mate;
    bool unread = (f->in && flow_unread(f->in) > 0) || f->nmessage > 0;

    if (politely && unread && mate && f->in && !f->lingers) {
        f->orphan = f->lingers = true;
        f->linger.run = linger_over;
        unix_heard(f);
        unix_shutdown(f, SHUT_WR);
        return;
    }
    if (f->node && f->node->name[0])
        f->node->file = NULL;
    else if (f->node)
        free_node(f->node);
    f->node = NULL;
    if (f->state == FILE_LISTENS)
        close_queue(f);
    if (mate && f->type != SOCK_DGRAM) {
        mate->shut_in = mate->shut_out = true;
        mate->mate_gone = true;
        if (unread)
            mate->error = ECONNRESET;
        file_wake(mate, POLLIN | POLLOUT | POLLPRI);
    }
    leave_mates(f);
    if (mate && mate->lingers) {
        mate->lingers = mate->orphan = false;
        unix_close(mate, false);
    }
    file_free(f);
}

void unix_free_all(struct world *w)
{
    for (struct list *n = w->nodes.next, *next; n != &w->nodes; n = next) {
        next = n->next;
        free(CONTAINER(n, struct node, link));
    }
}
