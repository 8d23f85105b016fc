/* inherit.c - LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES: sd_listen_fds(3), and a word to add to it.
 *
 * A service manager that holds a service's sockets starts it with them at descriptors 3, 4, ...
 * A program of ours that hands over (serve/handover.c) starts the next one in the same way.  The
 * listeners that it has made itself it calls "own": these have no other owner once it has let go.
 * And STOA_HANDOVER is the descriptor of a socket on which it waits for one byte: the next one
 * serves.  When it has let go it closes its end, and so does its death.
 *
 * The byte is sent when a server's workers stand and every listener has been taken: one that nobody
 * takes has a queue that nobody empties.
 *
 * Limits: INHERITED_MAX.  Names are of ours alone; a manager's are handed on.
 */
#include "net/inherit.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_ROOM 256 /* sd_listen_fds_with_names(3): 255 characters at most */

struct inherited {
    char name[NAME_ROOM];
    atomic_bool taken;
    atomic_bool adopted; /* it was made a socket of ours: the descriptor's next one is another */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct inherited *inherited; /* n of them; the descriptors are INHERIT_FIRST and on */
static int n;
static atomic_int predecessor = -1;
static atomic_bool told;

/* A variable that is a number up to max; -1: it is none. */
static long number_of(const char *variable, long max)
{
    const char *text = getenv(variable);
    char *end = NULL;

    if (!text || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    long value = strtol(text, &end, 10);
    return errno || *end || value > max ? -1 : value;
}

static void close_on_exec(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Names are separated by colons.  Those that are missing are "unknown", as there. */
static void read_names(void)
{
    const char *names = getenv("LISTEN_FDNAMES");

    for (int i = 0; i < n; i++) {
        size_t len = names ? strcspn(names, ":") : 0;
        bool good = len > 0 && len < NAME_ROOM;

        snprintf(inherited[i].name, NAME_ROOM, "%.*s", good ? (int)len : NAME_ROOM,
                 good ? names : "unknown");
        names = names && names[len] ? names + len + 1 : NULL;
    }
}

static void read_environment(void)
{
    long count = number_of("LISTEN_FDS", INHERITED_MAX);

    if (count < 0 || number_of("LISTEN_PID", INT32_MAX) != getpid())
        return;
    inherited = calloc((size_t)count + 1, sizeof(*inherited));
    n = inherited ? (int)count : 0;
    read_names();
    for (int i = 0; i < n; i++)
        close_on_exec(INHERIT_FIRST + i);
    atomic_store(&predecessor, (int)number_of(INHERIT_TOLD, INT32_MAX));
    if (atomic_load(&predecessor) >= 0)
        close_on_exec(atomic_load(&predecessor));
}

static struct inherited *at(int fd)
{
    pthread_once(&once, read_environment);
    return fd >= INHERIT_FIRST && fd < INHERIT_FIRST + n ? &inherited[fd - INHERIT_FIRST] : NULL;
}

/* Has the socket at `have` the address that is wanted? */
static bool is_same(const struct sockaddr *have, socklen_t len, const struct stoa_addr *want)
{
    const struct sockaddr_in *in = (const void *)have, *want_in = (const void *)&want->sa;
    const struct sockaddr_in6 *in6 = (const void *)have, *want_in6 = (const void *)&want->sa;

    if (have->sa_family != want->sa.ss_family)
        return false;
    if (have->sa_family == AF_INET)
        return (!want_in->sin_port || in->sin_port == want_in->sin_port) &&
               in->sin_addr.s_addr == want_in->sin_addr.s_addr;
    if (have->sa_family == AF_INET6)
        return (!want_in6->sin6_port || in6->sin6_port == want_in6->sin6_port) &&
               in6->sin6_scope_id == want_in6->sin6_scope_id &&
               memcmp(&in6->sin6_addr, &want_in6->sin6_addr, sizeof(in6->sin6_addr)) == 0;
    return have->sa_family == AF_UNIX && len == want->len && memcmp(have, &want->sa, len) == 0;
}

static bool fits(int fd, const struct stoa_addr *want, int type)
{
    struct sockaddr_storage have = {0};
    socklen_t len = sizeof(have), type_len = sizeof(int);
    int is = 0;

    return getsockname(fd, (struct sockaddr *)&have, &len) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &type_len) == 0 && is == type &&
           is_same((const struct sockaddr *)&have, len, want);
}

int inherit_find(const struct stoa_addr *want, int type)
{
    pthread_once(&once, read_environment);
    for (int i = 0; i < n; i++)
        if (!atomic_load(&inherited[i].taken) && fits(INHERIT_FIRST + i, want, type) &&
            !atomic_exchange(&inherited[i].taken, true))
            return INHERIT_FIRST + i;
    return -1;
}

int inherit_count(void)
{
    pthread_once(&once, read_environment);
    return n;
}

bool inherit_take(int fd)
{
    struct inherited *i = at(fd);

    if (!i || atomic_exchange(&i->adopted, true))
        return false;
    atomic_store(&i->taken, true);
    return atomic_load(&predecessor) >= 0 && strcmp(i->name, INHERIT_OWN) == 0;
}

const char *inherit_name(int fd)
{
    const struct inherited *i = at(fd);

    return i ? i->name : NULL;
}

static bool all_taken(void)
{
    for (int i = 0; i < n; i++)
        if (!atomic_load(&inherited[i].taken))
            return false;
    return true;
}

void inherit_ready(void)
{
    pthread_once(&once, read_environment);
    if (atomic_load(&predecessor) < 0 || !all_taken() || atomic_exchange(&told, true))
        return;
    /* Who has died meanwhile needs no word. */
    (void)!send(atomic_load(&predecessor), "R", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool inherit_alone(void)
{
    char byte;

    pthread_once(&once, read_environment);
    if (atomic_load(&predecessor) < 0)
        return true;
    ssize_t r = recv(atomic_load(&predecessor), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    /* It has closed its end, or died with our word unread. */
    return r == 0 || (r < 0 && errno != EAGAIN);
}
