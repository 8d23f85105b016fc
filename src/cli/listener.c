/* listener.c - announce, perhaps on the next free port, and say where.
 *
 * A UNIX path stays in the file system when its server ends, and the next one would have
 * to find out that nobody is behind it; so it is removed here, if it is still ours.
 *
 * Limits: --next-free tries NEXT_FREE_MAX ports, and needs a port in digits.
 */
#include "cli/listener.h"

#include "cli/args.h"
#include "cli/exitcode.h"
#include "cli/handover.h"
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { NEXT_FREE_MAX = 100 };

static int failed(struct listener *l, const char *at)
{
    int code = exitcode_bind(errno, at);

    snprintf(l->why, sizeof(l->why), "%s", stoa_errmsg());
    return code;
}

/* Where the digits of the port begin; NULL: there are none, or it is 0. */
static const char *port_of(const char *at, uint64_t *port)
{
    const char *colon = strrchr(at, ':');

    return colon && args_number(colon + 1, 1, 65535, port) ? colon + 1 : NULL;
}

/* Try the ports after at's.  0: one is had, and the line is written.  -1: none. */
static int take_next(struct listener *l, const char *at, const struct stoa_options *options,
                     const char *who)
{
    uint64_t port = 0;
    const char *digits = port_of(at, &port);
    char next[1024];

    if (!digits || strlen(at) > sizeof(next) - 8)
        return -1;
    for (uint64_t p = port + 1; p <= 65535 && p <= port + NEXT_FREE_MAX; p++) {
        snprintf(next, sizeof(next), "%.*s%ju", (int)(digits - at), at, (uintmax_t)p);
        l->socket = stoa_announce(next, options);
        if (l->socket >= 0) {
            output_say(who, "%s is in use by another program; %s is free and taken instead", at,
                       next);
            return 0;
        }
        if (errno != EADDRINUSE)
            return -1;
    }
    return -1;
}

/* Note the path, unless the socket was given to us: then the giver removes it. */
static void look_at_path(struct listener *l)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&l->at.sa;
    struct stat now;

    if (un->sun_family != AF_UNIX || l->given)
        return;
    snprintf(l->path, sizeof(l->path), "%.*s", (int)sizeof(un->sun_path), un->sun_path);
    if (stat(l->path, &now) < 0)
        l->path[0] = '\0';
    l->device = now.st_dev;
    l->inode = now.st_ino;
}

/* What kind of socket it is, and where. */
static int look(struct listener *l)
{
    int type = 0;
    socklen_t len = sizeof(type);

    if (stoa_getsockname(l->socket, &l->at) < 0 ||
        stoa_getsockopt(l->socket, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -1;
    l->datagram = type == SOCK_DGRAM;
    return 0;
}

static int open_at(struct listener *l, const char *at, bool given,
                   const struct stoa_options *options, const char *next_free)
{
    *l = (struct listener){.given = given, .socket = stoa_announce(at, options)};
    if (l->socket < 0) {
        int error = errno;
        int code = failed(l, at); /* the first address's failure is the one to tell */
        errno = error;
        if (errno != EADDRINUSE || !next_free || take_next(l, at, options, next_free) < 0)
            return code;
    }
    if (look(l) < 0)
        return failed(l, at);
    look_at_path(l);
    return 0;
}

int listener_open(struct listener *l, const char *at, const struct stoa_options *options,
                  const char *next_free)
{
    if (handover_is_next()) /* what our predecessor had (port 0, --next-free), this knows */
        return open_at(l, "fd:3", handover_is_given(), options, next_free);
    return open_at(l, at, handover_is_given() || strncasecmp(at, "fd:", 3) == 0, options,
                   next_free);
}

int listener_open_beside(struct listener *l, const char *at, const struct stoa_options *options)
{
    return open_at(l, at, handover_is_given(), options, NULL);
}

int listener_tell(const struct listener *l, int fd)
{
    char line[STOA_ADDR_TEXT_MAX + 1];
    size_t len;
    int result;

    stoa_addr_text(&l->at, line, STOA_ADDR_TEXT_MAX);
    len = strlen(line);
    line[len++] = '\n';
    result = output_all(fd, line, len);
    close(fd);
    return result;
}

void listener_end(const struct listener *l)
{
    struct stat now;

    if (l->path[0] && stat(l->path, &now) == 0 && now.st_dev == l->device && now.st_ino == l->inode)
        unlink(l->path);
}
