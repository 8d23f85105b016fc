/* option.c - the options that mean something here, and those that are only remembered.
 *
 * An option that is in neither table is unknown, as with the kernel: ENOPROTOOPT.
 */
#include "sim/option.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define SNDBUF_MIN 4608
#define RCVBUF_MIN 2304

/* Remembered, with what they are at first. */
static const struct option kept[] = {
    {SOL_SOCKET, SO_KEEPALIVE, 0},
    {SOL_SOCKET, SO_BROADCAST, 0},
    {SOL_SOCKET, SO_OOBINLINE, 0},
    {SOL_SOCKET, SO_PRIORITY, 0},
    {SOL_SOCKET, SO_RCVLOWAT, 1},
    {SOL_SOCKET, SO_PASSCRED, 0},
    {SOL_SOCKET, SO_TIMESTAMP, 0},
    {SOL_SOCKET, SO_DONTROUTE, 0},
    {IPPROTO_TCP, TCP_NODELAY, 0},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 0},
    {IPPROTO_TCP, TCP_KEEPIDLE, 7200},
    {IPPROTO_TCP, TCP_KEEPINTVL, 75},
    {IPPROTO_TCP, TCP_KEEPCNT, 9},
    {IPPROTO_TCP, TCP_SYNCNT, 6},
    {IPPROTO_TCP, TCP_QUICKACK, 1},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 0},
    {IPPROTO_TCP, TCP_MAXSEG, 65483},
    {IPPROTO_TCP, TCP_CORK, 0},
    {IPPROTO_TCP, TCP_FASTOPEN, 0},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0},
    {IPPROTO_IP, IP_TTL, 64},
    {IPPROTO_IP, IP_TOS, 0},
    {IPPROTO_IP, IP_PKTINFO, 0},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0},
    {IPPROTO_IP, IP_FREEBIND, 0},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, 0},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS, 64},
};

static const struct option *find_kept(int level, int name)
{
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (kept[i].level == level && kept[i].name == name)
            return &kept[i];
    return NULL;
}

static struct option *find_own(struct file *f, int level, int name)
{
    for (int i = 0; i < f->noption; i++)
        if (f->option[i].level == level && f->option[i].name == name)
            return &f->option[i];
    return NULL;
}

static int unknown(const struct file *f, int level)
{
    return f->family == AF_UNIX && level != SOL_SOCKET ? -EOPNOTSUPP : -ENOPROTOOPT;
}

static bool *flag_of(struct file *f, int level, int option)
{
    if (level == SOL_SOCKET && option == SO_REUSEADDR)
        return &f->port.reuseaddr;
    if (level == SOL_SOCKET && option == SO_REUSEPORT)
        return &f->port.reuseport;
    if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY && f->family == AF_INET6)
        return &f->port.v6only;
    return NULL;
}

/* A part of it, when there is less room. */
static int give(void *to, socklen_t *room, const void *value, socklen_t len)
{
    if (*room > len)
        *room = len;
    memcpy(to, value, *room);
    return 0;
}

static int number(struct file *f, int level, int option, int *value)
{
    const bool *flag = flag_of(f, level, option);
    const struct option *own = find_own(f, level, option), *k = find_kept(level, option);

    if (flag)
        *value = *flag;
    else if (level != SOL_SOCKET ||
             !(option == SO_TYPE || option == SO_DOMAIN || option == SO_PROTOCOL ||
               option == SO_ACCEPTCONN || option == SO_ERROR || option == SO_SNDBUF ||
               option == SO_RCVBUF))
        *value = own ? own->value : k ? k->value : -1;
    else
        *value = option == SO_TYPE         ? f->type
                 : option == SO_DOMAIN     ? f->family
                 : option == SO_PROTOCOL   ? f->proto
                 : option == SO_ACCEPTCONN ? f->state == FILE_LISTENS
                 : option == SO_ERROR      ? file_take_error(f)
                 : option == SO_SNDBUF     ? f->sndbuf
                                           : f->rcvbuf;
    return *value < 0 && !own && !k ? unknown(f, level) : 0;
}

int option_get(struct file *f, int level, int option, void *v, socklen_t *len)
{
    struct ucred own = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
    char congestion[16] = "sim";
    int value, r;

    if (level == SOL_SOCKET && option == SO_LINGER)
        return give(v, len, &f->so_linger, sizeof(f->so_linger));
    if (level == SOL_SOCKET && option == SO_PEERCRED && f->family == AF_UNIX)
        return give(v, len, &own, sizeof(own));
    if (level == IPPROTO_TCP && option == TCP_CONGESTION && f->family != AF_UNIX)
        return give(v, len, congestion, sizeof(congestion));
    if (f->family == AF_UNIX && level != SOL_SOCKET)
        return -EOPNOTSUPP;
    r = number(f, level, option, &value);
    return r < 0 ? r : give(v, len, &value, sizeof(value));
}

static int set_number(struct file *f, int level, int option, int value)
{
    bool *flag = flag_of(f, level, option);
    struct option *own = find_own(f, level, option);

    if (flag) {
        *flag = value != 0;
        return 0;
    }
    if (level == SOL_SOCKET && option == SO_SNDBUF) {
        f->sndbuf = 2 * value > SNDBUF_MIN ? 2 * value : SNDBUF_MIN;
        return 0;
    }
    if (level == SOL_SOCKET && option == SO_RCVBUF) {
        f->rcvbuf = 2 * value > RCVBUF_MIN ? 2 * value : RCVBUF_MIN;
        return 0;
    }
    if (!find_kept(level, option))
        return unknown(f, level);
    if (level == IPPROTO_TCP && option == TCP_USER_TIMEOUT)
        f->user_timeout_ms = value;
    if (level == IPPROTO_TCP && option == TCP_SYNCNT)
        f->syn_tries = value;
    if (!own && f->noption == FILE_OPTIONS)
        return -ENOBUFS;
    if (!own)
        own = &f->option[f->noption++];
    *own = (struct option){.level = level, .name = option, .value = value};
    return 0;
}

int option_set(struct file *f, int level, int option, const void *v, socklen_t len)
{
    int value;

    if (f->family == AF_UNIX && level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (level == SOL_SOCKET && option == SO_LINGER) {
        if (len < sizeof(f->so_linger))
            return -EINVAL;
        memcpy(&f->so_linger, v, sizeof(f->so_linger));
        return 0;
    }
    if (len < sizeof(value))
        return -EINVAL;
    memcpy(&value, v, sizeof(value));
    return set_number(f, level, option, value);
}
