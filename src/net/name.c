/* name.c - names to addresses, by getaddrinfo(3) on a helper thread.
 *
 * getaddrinfo does what users of this machine have set up: /etc/hosts, DNS, mDNS, whatever
 * nsswitch.conf(5) says, in the order of RFC 6724 and gai.conf(5).  It can only block, so a
 * helper runs it (offload.h), and a caller whose time is over leaves it behind: the helper
 * ends the look-up by itself and frees what belonged to it.
 *
 * What holds:
 *   - A look-up is one block of memory that belongs to the helper while it runs and, if the
 *     caller has left, to its end; nothing of the caller's is touched.
 *   - Numbers never get here, so nothing is read as inet_aton(3) does, and a zone that was
 *     written stays: with a service by name, only the port is looked up.  A zone that comes
 *     with a name's address (mDNS) is kept, too.
 *   - AI_ADDRCONFIG spares a machine without IPv6 the question for it, but only where the
 *     family is open, for it hides ::1 from a machine that has no other.  When nothing is
 *     left that way, the question is asked again without.
 *   - Letters beyond ASCII are UTF-8 and encoded by IDNA 2008 (libidn2, which glibc loads
 *     when it is asked to): this thread's locale says so for the time of the call.
 *
 * Limits: DIAL_ADDRESSES_MAX addresses of a name.
 * Sources: getaddrinfo(3), RFC 3493 6.1, RFC 6724, RFC 5891.
 */
#include "net/name.h"

#include "backend/loop.h"
#include "backend/offload.h"
#include "base/text.h"
#include "net/name_server.h"

#include <errno.h>
#include <locale.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

struct lookup {
    struct addr_parts parts;
    int family;
    int socktype;
    bool passive;

    /* The answer. */
    int rc; /* how many of list, or negative errno */
    struct stoa_addr list[DIAL_ADDRESSES_MAX];
    char why[DETAIL_MAX];
};

/* Is the host known, and only the service's port to be found? */
static bool only_port(const struct lookup *l)
{
    return l->parts.family != AF_UNSPEC || (!l->parts.host[0] && l->passive);
}

static bool beyond_ascii(const char *s)
{
    while (*s && (unsigned char)*s < 0x80)
        s++;
    return *s;
}

/* getaddrinfo(3) with the host's letters taken for UTF-8, whatever the program's locale. */
static int ask_in_utf8(const char *host, const char *service, struct addrinfo *hints,
                       struct addrinfo **found)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = uselocale(utf8);

    hints->ai_flags |= AI_IDN;
    int eai = getaddrinfo(host, service, hints, found);
    uselocale(before);
    if (utf8)
        freelocale(utf8);
    return eai;
}

static int ask(const struct lookup *l, struct addrinfo **found)
{
    const struct addr_parts *p = &l->parts;
    const char *host = only_port(l) || !p->host[0] ? NULL : p->host;
    struct addrinfo hints = {
        .ai_family = l->family,
        .ai_socktype = l->socktype == SOCK_DGRAM ? SOCK_DGRAM : SOCK_STREAM,
        .ai_flags = p->port < 0 ? 0 : AI_NUMERICSERV,
    };

    if (host && l->family == AF_UNSPEC)
        hints.ai_flags |= AI_ADDRCONFIG;
    for (;;) {
        int eai = host && beyond_ascii(host) ? ask_in_utf8(host, p->service, &hints, found)
                                             : getaddrinfo(host, p->service, &hints, found);
        bool narrowed = hints.ai_flags & AI_ADDRCONFIG;

        if (!narrowed || (eai != EAI_NODATA && eai != EAI_ADDRFAMILY))
            return eai;
        hints.ai_flags &= ~AI_ADDRCONFIG;
    }
}

static int error_of(int eai, int error)
{
    switch (eai) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_SERVICE:
    case EAI_ADDRFAMILY:
    case EAI_IDN_ENCODE:
        return -ENOENT;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM: /* EBUSY, for one, when a module that nsswitch.conf names is not there */
        return error == EMFILE || error == ENFILE || error == ENOMEM ? -error : -EREMOTEIO;
    default:
        return -EREMOTEIO;
    }
}

static void explain(struct lookup *l, int eai, int error)
{
    const struct addr_parts *p = &l->parts;
    struct text why;

    text_init(&why, l->why, sizeof(l->why));
    if (l->rc != -ENOENT && l->rc != -EREMOTEIO)
        return;
    if (eai == EAI_SERVICE || only_port(l) || !p->host[0]) {
        text_add(&why, "the service ");
        text_quote(&why, p->service, strlen(p->service));
        text_add(&why, " is not in /etc/services");
    } else if (eai == EAI_IDN_ENCODE) {
        text_add(&why, "the host ");
        text_quote(&why, p->host, strlen(p->host));
        text_add(&why, " cannot be encoded for the name service (IDNA 2008, by libidn2)");
    } else if (eai == EAI_SYSTEM) {
        text_add(&why, "getaddrinfo(3) failed, perhaps by a module of nsswitch.conf: ");
        text_add(&why, strerrordesc_np(error) ?: "it does not say how");
    } else if (beyond_ascii(p->host)) { /* in which letters it was asked for, glibc knows */
        name_server_list(&why,
                         l->rc == -ENOENT ? "no such name is known to " : "no answer came from ");
    } else {
        name_server_ask(&why, p->host, l->family, l->rc == -ENOENT);
    }
}

static int add_address(struct lookup *l, int n, const struct addrinfo *found)
{
    struct stoa_addr *a = &l->list[n];

    if (n == DIAL_ADDRESSES_MAX || found->ai_addrlen > sizeof(a->sa))
        return n;
    *a = (struct stoa_addr){.len = found->ai_addrlen, .type = l->socktype};
    memcpy(&a->sa, found->ai_addr, found->ai_addrlen);
    return n + 1;
}

/* Put the port that was found to the host that was known. */
static int add_port(struct lookup *l, const struct addrinfo *found)
{
    const struct sockaddr_in *sin = (const void *)found->ai_addr;
    const struct sockaddr_in6 *sin6 = (const void *)found->ai_addr;

    l->parts.port = ntohs(found->ai_family == AF_INET ? sin->sin_port : sin6->sin6_port);
    int rc = addr_numeric(&l->list[0], &l->parts, l->family);
    l->list[0].type = l->socktype;
    return rc < 0 ? rc : 1;
}

/* On a helper. */
static int look_up(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo *found = NULL;

    errno = 0;
    int eai = ask(l, &found);
    int error = errno;
    if (eai) {
        l->rc = error_of(eai, error);
        explain(l, eai, error);
        return 0;
    }
    if (only_port(l)) {
        l->rc = add_port(l, found);
    } else {
        for (const struct addrinfo *each = found; each; each = each->ai_next)
            l->rc = add_address(l, l->rc, each);
    }
    freeaddrinfo(found);
    return 0;
}

/* The wait has ended before the look-up, or could not begin. */
static int no_answer(int rc, struct text *why)
{
    if (rc == -ETIME)
        name_server_list(why, "no answer yet from ");
    if (rc == -EAGAIN) {
        text_add(why, "no helper thread could be started to look the name up");
        return -ENOMEM; /* EAGAIN would say that the socket is non-blocking */
    }
    return rc;
}

/* The hosts of a simulated network. */
static int ask_simulation(const struct addr_parts *p, int family, int socktype, uint64_t until_ns,
                          struct stoa_addr *list, size_t n, struct text *why)
{
    struct in6_addr found[DIAL_ADDRESSES_MAX];
    struct addr_parts numeric = *p;
    size_t count = 0;
    int r = backend_here()->resolve(p->host, found, DIAL_ADDRESSES_MAX, until_ns);

    for (int i = 0; i < r && count < n; i++) {
        numeric.family = IN6_IS_ADDR_V4MAPPED(&found[i]) ? AF_INET : AF_INET6;
        memcpy(&numeric.ipv4, found[i].s6_addr + 12, sizeof(numeric.ipv4));
        numeric.ipv6 = found[i];
        if (addr_numeric(&list[count], &numeric, family) == 0)
            list[count++].type = socktype;
    }
    if (r >= 0 && count == 0)
        text_add(why, "the simulated network has no such host");
    return r < 0 ? r : count ? (int)count : -ENOENT;
}

int name_resolve(const struct addr_parts *p, int family, int socktype, bool passive,
                 uint64_t until_ns, struct stoa_addr *list, size_t n, char *why, size_t why_len)
{
    struct text t;
    struct lookup *l;

    text_init(&t, why, why_len);
    if (backend_here()->resolve && p->family == AF_UNSPEC && *p->host && p->port >= 0)
        return ask_simulation(p, family, socktype, until_ns, list, n, &t);
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->parts = *p;
    l->family = family;
    l->socktype = socktype;
    l->passive = passive;
    int rc = offload_run(look_up, l, free, until_ns, NULL);
    if (rc == -ETIME || rc == -ECANCELED)
        return no_answer(rc, &t); /* l is the helper's */
    if (rc < 0) {
        free(l);
        return no_answer(rc, &t);
    }
    text_add(&t, l->why);
    rc = l->rc;
    if (rc > 0) {
        rc = (size_t)rc < n ? rc : (int)n;
        memcpy(list, l->list, (size_t)rc * sizeof(*list));
    }
    free(l);
    return rc;
}
