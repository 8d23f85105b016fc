/* exitcode.c - errno to exit code, by two tables.
 *
 * A script wants to know what to do next: correct the command line (2), look at DNS (3),
 * start the server (4), try again (5, 6), look at the network (7) or choose another port
 * (8).  So one errno can have two codes: EADDRNOTAVAIL is "no way there" for a client and
 * "bind failed" for a server; ENOENT is a name nobody knows, or a UNIX path where nobody
 * listens.
 *
 * Limits: an errno that no table has is 1, or 8 for an address to be served at.
 */
#include "cli/exitcode.h"

#include <errno.h>
#include <stddef.h>
#include <strings.h>

struct row {
    int error;
    int code;
};

static const struct row peer_rows[] = {
    {EINVAL, CODE_USAGE},          {ENAMETOOLONG, CODE_USAGE},
    {ENOENT, CODE_NAME},           {EREMOTEIO, CODE_NAME},
    {ECONNREFUSED, CODE_REFUSED},  {EACCES, CODE_REFUSED},
    {ETIME, CODE_TIMED_OUT},       {ETIMEDOUT, CODE_TIMED_OUT},
    {ECONNRESET, CODE_RESET},      {ECONNABORTED, CODE_RESET},
    {EPIPE, CODE_RESET},           {EHOSTUNREACH, CODE_UNREACHABLE},
    {EHOSTDOWN, CODE_UNREACHABLE}, {ENETUNREACH, CODE_UNREACHABLE},
    {ENETDOWN, CODE_UNREACHABLE},  {EADDRNOTAVAIL, CODE_UNREACHABLE},
    {EPERM, CODE_UNREACHABLE}, /* a firewall of this machine */
};

static const struct row bind_rows[] = {
    {EINVAL, CODE_USAGE},
    {ENAMETOOLONG, CODE_USAGE},
    {ENOENT, CODE_NAME},
    {EREMOTEIO, CODE_NAME},
};

static int look_up(const struct row *rows, size_t n, int error, int otherwise)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].error == error)
            return rows[i].code;
    return otherwise;
}

static int is_path(const char *addr)
{
    return strncasecmp(addr, "unix:", 5) == 0;
}

int exitcode_peer(int error, const char *to)
{
    if (error == ENOENT && is_path(to))
        return CODE_REFUSED;
    return look_up(peer_rows, sizeof(peer_rows) / sizeof(peer_rows[0]), error, CODE_FAILED);
}

int exitcode_bind(int error, const char *at)
{
    if (error == ENOENT && is_path(at))
        return CODE_BIND;
    return look_up(bind_rows, sizeof(bind_rows) / sizeof(bind_rows[0]), error, CODE_BIND);
}
