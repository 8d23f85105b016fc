/* addr.c - addresses: made of parts, compared, and written as a text.
 *
 * addr_split() (addr_split.c) reads a text into parts, addr_numeric() makes the kernel's
 * form of them unless there is a name to be looked up, and stoa_addr_text() goes back.
 *
 * What holds:
 *   - What stoa_addr_text() writes reads back to the same address; addr.h has the
 *     exceptions.  So a zone is written by its interface's name only if that name cannot
 *     be taken for something else, and by its index when the interface has gone.
 *   - IPv6 is written as RFC 5952 says, which is what inet_ntop(3) of glibc does.
 *   - stoa_addr_text() leaves errno alone and may be called in signal handlers: glibc
 *     documents inet_ntop as safe there, and if_indextoname is socket, ioctl and close.
 *   - Addresses from the kernel, or from a careless caller, may be cut short or without a 0:
 *     len says how much of them is read.
 *
 * Sources: ip(7), ipv6(7), unix(7), RFC 4007 11, RFC 5952.
 */
#include "net/addr.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/un.h>

_Static_assert(UNIX_NAME_MAX_LEN == sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
               "a UNIX path fits into sun_path with its 0");
_Static_assert(STOA_ADDR_TEXT_MAX >= sizeof("unix:") + (size_t)4 * (UNIX_NAME_MAX_LEN + 1),
               "a path of 108 control bytes fits into STOA_ADDR_TEXT_MAX, each as \\xHH");

/* -------------------------------------------------------------------------
 * Parts to address
 * ---------------------------------------------------------------------- */

static void numeric_unix(struct stoa_addr *a, const struct addr_parts *p)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
    size_t len = offsetof(struct sockaddr_un, sun_path) + p->path_len;

    *a = (struct stoa_addr){0};
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + p->abstract, p->path, p->path_len);
    /* One more for the 0 that a path ends in, or an abstract name begins with. */
    a->len = (socklen_t)(p->path_len || p->abstract ? len + 1 : len);
}

/* No host leaves ipv4 and ipv6 all zero: every address there is. */

static void numeric_ipv4(struct stoa_addr *a, const struct addr_parts *p)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)&a->sa;

    sin->sin_family = AF_INET;
    sin->sin_addr = p->ipv4;
    sin->sin_port = htons((uint16_t)p->port);
    a->len = sizeof(*sin);
}

static void numeric_ipv6(struct stoa_addr *a, const struct addr_parts *p)
{
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&a->sa;

    sin6->sin6_family = AF_INET6;
    sin6->sin6_addr = p->ipv6;
    sin6->sin6_scope_id = p->zone;
    sin6->sin6_port = htons((uint16_t)p->port);
    a->len = sizeof(*sin6);
}

int addr_numeric(struct stoa_addr *a, const struct addr_parts *p, int family)
{
    int is = p->scheme == ADDR_UNIX ? AF_UNIX : p->family;

    if (p->scheme == ADDR_FD)
        return -EINVAL;
    if (family != AF_UNSPEC && family != is && (is != AF_UNSPEC || family == AF_UNIX))
        return -EAFNOSUPPORT;
    if (is == AF_UNIX) {
        numeric_unix(a, p);
        return 0;
    }
    if (p->port < 0 || (p->host[0] && is == AF_UNSPEC))
        return 1;
    *a = (struct stoa_addr){0};
    if (p->scheme != ADDR_NONE)
        a->type = p->scheme == ADDR_TCP ? SOCK_STREAM : SOCK_DGRAM;
    if (is == AF_INET || (is == AF_UNSPEC && family == AF_INET))
        numeric_ipv4(a, p);
    else
        numeric_ipv6(a, p);
    return 0;
}

/* -------------------------------------------------------------------------
 * Addresses
 * ---------------------------------------------------------------------- */

/* The address as its family has it; NULL when it is of another family, or too short. */
static const struct sockaddr_in *as_ipv4(const struct stoa_addr *a)
{
    const struct sockaddr_in *sin = (const struct sockaddr_in *)&a->sa;

    return a->len >= sizeof(*sin) && a->sa.ss_family == AF_INET ? sin : NULL;
}

static const struct sockaddr_in6 *as_ipv6(const struct stoa_addr *a)
{
    const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&a->sa;

    return a->len >= sizeof(*sin6) && a->sa.ss_family == AF_INET6 ? sin6 : NULL;
}

/* A UNIX address's bytes: those of a path without the 0, those of an abstract name with the
 * 0 before it, none of the unnamed.  The kernel's paths may go one byte beyond sun_path. */
static size_t unix_name(const struct stoa_addr *a, const char **name)
{
    size_t before = offsetof(struct sockaddr_un, sun_path);
    size_t room = a->len < sizeof(a->sa) ? a->len : sizeof(a->sa);

    *name = (const char *)&a->sa + before;
    if (room <= before)
        return 0;
    return **name ? strnlen(*name, room - before) : room - before;
}

bool addr_is_any(const struct stoa_addr *a)
{
    const struct sockaddr_in *sin = as_ipv4(a);
    const struct sockaddr_in6 *sin6 = as_ipv6(a);

    return (sin && sin->sin_addr.s_addr == htonl(INADDR_ANY)) ||
           (sin6 && IN6_IS_ADDR_UNSPECIFIED(&sin6->sin6_addr));
}

void addr_loopback(struct stoa_addr *a)
{
    if (!addr_is_any(a))
        return;
    if (a->sa.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->sa)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&a->sa)->sin6_addr = in6addr_loopback;
}

bool addr_equal(const struct stoa_addr *a, const struct stoa_addr *b)
{
    const struct sockaddr_in *sin = as_ipv4(a), *sin_b = as_ipv4(b);
    const struct sockaddr_in6 *sin6 = as_ipv6(a), *sin6_b = as_ipv6(b);

    if (a->sa.ss_family != b->sa.ss_family)
        return false;
    if (sin && sin_b)
        return sin->sin_port == sin_b->sin_port && sin->sin_addr.s_addr == sin_b->sin_addr.s_addr;
    if (sin6 && sin6_b)
        return sin6->sin6_port == sin6_b->sin6_port &&
               sin6->sin6_scope_id == sin6_b->sin6_scope_id &&
               IN6_ARE_ADDR_EQUAL(&sin6->sin6_addr, &sin6_b->sin6_addr);
    if (a->sa.ss_family == AF_UNIX) {
        const char *name, *name_b;
        size_t len = unix_name(a, &name);

        return len == unix_name(b, &name_b) && memcmp(name, name_b, len) == 0;
    }
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

/* -------------------------------------------------------------------------
 * Address to text
 * ---------------------------------------------------------------------- */

static void text_unix(struct text *t, const struct stoa_addr *a)
{
    const char *name;
    size_t len = unix_name(a, &name), done = 0;

    text_add(t, "unix:");
    if (len && name[0] == '\0') {
        text_add(t, "@");
        done = 1;
    } else if (len && name[0] == '@') {
        text_add_escaped(t, name, 1, "@");
        done = 1;
    } else if (len > 1 && name[0] == '/' && name[1] == '/') {
        text_add(t, "/");
        text_add_escaped(t, name + 1, 1, "/");
        done = 2;
    }
    text_add_escaped(t, name + done, len - done, "\\");
}

/* Is this interface's name one that addr_split() takes for nothing else? */
static bool reads_back(const char *name)
{
    size_t ndigit = 0, n;

    for (n = 0; name[n]; n++) {
        unsigned char c = (unsigned char)name[n];

        if (c <= ' ' || c >= 0x7f || strchr("[]%\\\"", c))
            return false;
        ndigit += c >= '0' && c <= '9';
    }
    return ndigit < n;
}

static void text_zone(struct text *t, uint32_t index)
{
    char name[IFNAMSIZ];
    int saved = errno;
    bool known = if_indextoname(index, name) != NULL;

    errno = saved;
    text_add(t, "%");
    if (known && reads_back(name))
        text_add(t, name);
    else
        text_add_number(t, index);
}

static void text_type(struct text *t, int type)
{
    if (type == SOCK_STREAM)
        text_add(t, "tcp://");
    if (type == SOCK_DGRAM)
        text_add(t, "udp://");
}

static void text_ipv4(struct text *t, const struct sockaddr_in *sin)
{
    char host[INET_ADDRSTRLEN];

    text_add(t, inet_ntop(AF_INET, &sin->sin_addr, host, sizeof(host)));
    text_add(t, ":");
    text_add_number(t, ntohs(sin->sin_port));
}

static void text_ipv6(struct text *t, const struct sockaddr_in6 *sin6)
{
    char host[INET6_ADDRSTRLEN];

    text_add(t, "[");
    text_add(t, inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host)));
    if (sin6->sin6_scope_id)
        text_zone(t, sin6->sin6_scope_id);
    text_add(t, "]:");
    text_add_number(t, ntohs(sin6->sin6_port));
}

const char *stoa_addr_text(const struct stoa_addr *a, char *buf, size_t len)
{
    struct text t;

    text_init(&t, buf, len);
    if (a->sa.ss_family == AF_UNIX) {
        text_unix(&t, a);
    } else if (as_ipv4(a)) {
        text_type(&t, a->type);
        text_ipv4(&t, as_ipv4(a));
    } else if (as_ipv6(a)) {
        text_type(&t, a->type);
        text_ipv6(&t, as_ipv6(a));
    } else {
        text_add(&t, "-");
    }
    return buf;
}
