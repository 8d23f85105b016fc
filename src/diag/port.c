/* port.c - who has a port: its listener first, and only without one the rest of the machine.
 *
 * Listeners are few and have a table of their own.  What else may have the port (TIME_WAIT,
 * connections of a server that is gone, sockets that are bound and idle) is in tables that the
 * kernel walks as a whole: tens of milliseconds on a busy machine.
 *
 * Whether the next port is free is asked of bind(2) itself, on a socket that never listens and is
 * closed at once: it knows all of those tables.
 */
#include "diag/port.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEAR = 100 }; /* ports above that are tried for a free one */

struct look {
    const struct port_place *place;
    struct port_facts *f;
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

    if (socket_overlaps(s, l->place->family, &l->place->addr, l->place->v6only))
        note(l->f, s);
    return 0;
}

static bool can_be_bound(const struct port_place *p, uint16_t port)
{
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = p->addr};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool is_four = p->family == AF_INET;
    int yes = 1, only = p->v6only;
    int fd =
        socket(p->family, (p->proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    memcpy(&four.sin_addr, &p->addr, sizeof(four.sin_addr));
    if (p->proto == IPPROTO_TCP)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (!is_four)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    bool good = is_four ? bind(fd, (struct sockaddr *)&four, sizeof(four)) == 0
                        : bind(fd, (struct sockaddr *)&six, sizeof(six)) == 0;
    close(fd);
    return good;
}

struct listened {
    uint16_t above; /* than this port */
    bool taken[NEAR + 1];
};

static int mark(void *arg, const struct diag_socket *s)
{
    struct listened *l = arg;

    if (s->port > l->above && s->port - l->above <= NEAR)
        l->taken[s->port - l->above] = true;
    return 0;
}

/* With SO_REUSEADDR bind(2) lets two have a port that none of them listens at, so listeners are
 * looked at before. */
uint16_t port_next_free(const struct port_place *place)
{
    struct listened l = {.above = place->port};
    struct sockdiag_wish wish = {
        .proto = place->proto,
        .states = place->proto == IPPROTO_TCP ? DIAG_BIT(DIAG_LISTEN) : DIAG_ALL,
        .first = place->port,
        .last = (uint16_t)(place->port > UINT16_MAX - NEAR ? UINT16_MAX : place->port + NEAR),
    };

    if (sockets_inet(&wish, mark, &l) == SOCKETS_NONE)
        return 0;
    for (unsigned i = 1; i <= NEAR && place->port + i <= UINT16_MAX; i++)
        if (!l.taken[i] && can_be_bound(place, (uint16_t)(place->port + i)))
            return (uint16_t)(place->port + i);
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
    struct sockdiag_wish wish = {.proto = place->proto,
                                 .states = DIAG_BIT(DIAG_LISTEN),
                                 .first = place->port,
                                 .last = place->port};

    memset(f, 0, sizeof(*f));
    f->source = SOCKETS_DIAG;
    if (place->proto == IPPROTO_TCP)
        f->source = sockets_inet(&wish, look_at, &l);
    wish.states = DIAG_ALL & ~wish.states;
    if (!f->held && f->source != SOCKETS_NONE)
        f->source = sockets_inet(&wish, look_at, &l);
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

/* Two names of one file, perhaps: a path is what the server wrote, from its own folder, and the
 * file may have been renamed.  A file system of layers gives stat(2) other numbers than the
 * kernel's. */
static bool is_same(const struct path_search *p, const struct diag_unix *s)
{
    char path[sizeof(s->name) + 1] = "";
    struct stat other;

    if (!s->name_len)
        return false;
    if (!p->name[0] || !s->name[0])
        return s->name_len == p->len && memcmp(s->name, p->name, p->len) == 0;
    if (p->has_file && s->file && s->file == (uint32_t)p->file.st_ino &&
        s->device == p->file.st_dev)
        return true;
    memcpy(path, s->name, s->name_len);
    if (path[0] != '/') {
        const char *slash = strrchr(p->name, '/'), *last = strrchr(path, '/');

        return strcmp(slash ? slash + 1 : p->name, last ? last + 1 : path) == 0;
    }
    if (!p->has_file)
        return strcmp(path, p->name) == 0;
    return stat(path, &other) == 0 && other.st_dev == p->file.st_dev &&
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
    p.has_file = path[0] && stat(path, &p.file) == 0; /* /dev/log is a link to its socket */
    /* Connections carry their listener's name, and may outlive it: they do not count. */
    f->source = sockets_unix(DIAG_BIT(DIAG_LISTEN) | DIAG_BIT(DIAG_CLOSE), look_at_unix, &p);
    if (!f->bound)
        return;
    wish = (struct owner_wish){.inode = f->holder.inode};
    f->walk = owner_find(&wish, 1, links_max);
    if (wish.pid)
        owner_look(&f->owner, wish.pid);
}
