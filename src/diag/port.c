/* port.c - one look at the sockets with this port, and a few above it for the one that is free.
 *
 * A free port is one that no socket has in any state, so it will do whatever the options of the
 * next bind(2).  Nothing is bound to try it.
 */
#include "diag/port.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { NEAR = 100 }; /* ports above that are looked at for a free one */

struct look {
    const struct port_place *place;
    struct port_facts *f;
    uint64_t taken[NEAR / 64 + 1]; /* by place above place->port */
};

static bool is_held(const struct diag_socket *s)
{
    return s->state == DIAG_LISTEN || s->state == DIAG_BOUND ||
           (s->proto == IPPROTO_UDP && s->state == DIAG_CLOSE);
}

static void note(struct port_facts *f, const struct diag_socket *s)
{
    if (is_held(s)) {
        /* A listener says more than a socket that is bound and idle. */
        if (!f->held || (s->state == DIAG_LISTEN && f->holder.state != DIAG_LISTEN))
            f->holder = *s;
        f->held = true;
    } else if (s->state == DIAG_TIME_WAIT) {
        f->time_wait++;
        if (s->timer_ms > f->time_wait_ms)
            f->time_wait_ms = s->timer_ms;
    } else {
        if (!f->connected || !f->other.inode)
            f->other = *s;
        f->connected++;
    }
}

static int look_at(void *arg, const struct diag_socket *s)
{
    struct look *l = arg;
    unsigned above = (unsigned)s->port - l->place->port;

    if (above > 0 && above <= NEAR)
        l->taken[above / 64] |= (uint64_t)1 << above % 64;
    if (above == 0 && socket_overlaps(s, l->place->family, &l->place->addr, l->place->v6only))
        note(l->f, s);
    return 0;
}

static uint16_t next_free(const struct look *l)
{
    for (unsigned above = 1; above <= NEAR && l->place->port + above <= UINT16_MAX; above++)
        if (!(l->taken[above / 64] >> above % 64 & 1))
            return (uint16_t)(l->place->port + above);
    return 0;
}

void port_find_owner(struct port_facts *f, size_t links_max)
{
    struct owner_wish wish = {.inode = f->held ? f->holder.inode : f->other.inode};

    if (!wish.inode)
        return;
    f->walk = owner_find(&wish, 1, links_max);
    if (wish.pid)
        owner_look(&f->owner, wish.pid);
}

int port_look(struct port_facts *f, const struct port_place *place, size_t links_max)
{
    struct look l = {.place = place, .f = f};
    struct sockdiag_wish wish = {
        .proto = place->proto,
        .states = DIAG_ALL,
        .first = place->port,
        .last = (uint16_t)(place->port > UINT16_MAX - NEAR ? UINT16_MAX : place->port + NEAR),
    };

    memset(f, 0, sizeof(*f));
    f->source = sockets_inet(&wish, look_at, &l);
    f->next_free = f->source == SOCKETS_NONE ? 0 : next_free(&l);
    port_find_owner(f, links_max);
    return f->held || f->time_wait || f->connected ? 0 : -ENOENT;
}

struct path_search {
    const char *name;
    size_t len;
    struct stat file;
    bool has_file;
    struct path_facts *f;
};

/* Two names of one file, perhaps: a path is what the server wrote, from its own folder. */
static bool is_same(const struct path_search *p, const struct diag_unix *s)
{
    char path[sizeof(s->name) + 1] = "";
    struct stat other;

    if (!s->name_len)
        return false;
    if (!p->name[0] || !s->name[0])
        return s->name_len == p->len && memcmp(s->name, p->name, p->len) == 0;
    memcpy(path, s->name, s->name_len);
    if (path[0] != '/') {
        const char *slash = strrchr(p->name, '/'), *last = strrchr(path, '/');

        return strcmp(slash ? slash + 1 : p->name, last ? last + 1 : path) == 0;
    }
    if (!p->has_file)
        return strcmp(path, p->name) == 0;
    return lstat(path, &other) == 0 && other.st_dev == p->file.st_dev &&
           other.st_ino == p->file.st_ino;
}

static int look_at_unix(void *arg, const struct diag_unix *s)
{
    struct path_search *p = arg;

    if (!is_same(p, s))
        return 0;
    p->f->holder = *s;
    p->f->bound = true;
    return s->state == DIAG_LISTEN; /* one that listens says more */
}

void path_look(struct path_facts *f, const char *name, size_t len, size_t links_max)
{
    char path[sizeof(f->holder.name) + 1] = "";
    struct path_search p = {.name = path, .len = len, .f = f};
    struct owner_wish wish;

    memset(f, 0, sizeof(*f));
    memcpy(path, name, len < sizeof(path) - 1 ? len : sizeof(path) - 1);
    p.has_file = path[0] && lstat(path, &p.file) == 0;
    /* Connections carry their listener's name, and may outlive it: they do not count. */
    f->source = sockets_unix(DIAG_BIT(DIAG_LISTEN) | DIAG_BIT(DIAG_CLOSE), look_at_unix, &p);
    if (!f->bound)
        return;
    wish = (struct owner_wish){.inode = f->holder.inode};
    f->walk = owner_find(&wish, 1, links_max);
    if (wish.pid)
        owner_look(&f->owner, wish.pid);
}
