/* where.c - one way from a text to addresses, for bind, connect, dial, announce and resolve.
 *
 * Numbers are done here; names go to name.c, which waits.  Where no host is written,
 * all of this machine is meant to bind to, and its loopback addresses to connect to, IPv6
 * first as getaddrinfo(3) has it.
 */
#include "net/where.h"

#include "backend/loop.h"
#include "base/text.h"
#include "net/error.h"
#include "net/name.h"
#include "net/scope.h"

#include <errno.h>
#include <string.h>

static int type_of(const struct addr_parts *p)
{
    switch (p->scheme) {
    case ADDR_TCP:
        return SOCK_STREAM;
    case ADDR_UDP:
        return SOCK_DGRAM;
    default:
        return 0;
    }
}

static int because(struct where *w, int error, const char *why)
{
    struct text t;

    text_init(&t, w->why, sizeof(w->why));
    text_add(&t, why);
    return error;
}

/* No host, and not to bind to: this machine, by both families. */
static int this_machine(struct where *w, int family, int type)
{
    static const int families[] = {AF_INET6, AF_INET};

    for (int i = 0; i < 2; i++) {
        if (family != AF_UNSPEC && family != families[i])
            continue;
        struct stoa_addr *a = &w->list[w->n];
        int r = addr_numeric(a, &w->parts, families[i]);

        if (r != 0)
            return r;
        addr_loopback(a);
        a->type = type;
        w->n++;
    }
    return 0;
}

static int find(struct where *w, int family, int type, bool passive, uint64_t until_ns)
{
    const struct addr_parts *p = &w->parts;
    bool inet = p->scheme != ADDR_UNIX;
    int r;

    if (inet && !passive && !*p->host && p->port >= 0 && family != AF_UNIX)
        return this_machine(w, family, type);
    r = addr_numeric(&w->list[0], p, family);
    if (r == 1 && until_ns <= backend_here()->now())
        return -ETIME;
    if (r == 1) {
        r = name_resolve(p, family, type, passive, until_ns, w->list, DIAL_ADDRESSES_MAX, w->why,
                         sizeof(w->why));
        if (r > 0)
            w->n = r;
        return r < 0 ? r : 0;
    }
    w->n = r == 0;
    if (r == 0 && inet)
        w->list[0].type = type;
    return r;
}

int where_find(struct where *w, const char *text, int family, int type, bool passive,
               uint64_t until_ns)
{
    int said, r;

    w->n = 0;
    w->why[0] = 0;
    r = addr_split(&w->parts, text, w->why, sizeof(w->why));
    if (r < 0)
        return r;
    said = type_of(&w->parts);
    if (type && said && said != type)
        return because(w, -EINVAL, "the address's scheme and the socket's type do not agree");
    if (w->parts.scheme == ADDR_FD)
        return 0;
    return find(w, family, type ? type : said, passive, until_ns);
}

int stoa_addr_parse(struct stoa_addr *a, const char *text)
{
    struct addr_parts p;
    char why[DETAIL_MAX];
    int r = addr_split(&p, text, why, sizeof(why));

    if (r == 0)
        r = addr_numeric(a, &p, AF_UNSPEC);
    if (r == 1)
        return (int)error_out_why(VERB_ADDR_PARSE, -1, -EINVAL, text,
                                  "a host or port by name must be looked up: use stoa_resolve()");
    return (int)error_out_why(VERB_ADDR_PARSE, -1, r, text,
                              p.scheme == ADDR_FD ? "fd: is a descriptor, not an address" : why);
}

int stoa_resolve(const char *text, struct stoa_addr *list, size_t n)
{
    struct local *me = &fiber_self()->local;
    struct where w;
    int r = scope_check(me);

    w.n = 0;
    w.why[0] = 0;
    if (n == 0)
        return (int)error_out_why(VERB_RESOLVE, -1, -EINVAL, text, "there is room for no address");
    if (r == 0)
        r = where_find(&w, text, AF_UNSPEC, 0, false, scope_until(me));
    if (r == 0 && w.n == 0)
        r = because(&w, -EINVAL, "fd: is a descriptor, not an address");
    if (r < 0)
        return (int)error_out_why(VERB_RESOLVE, -1, r, text, w.why);
    if (n > (size_t)w.n)
        n = (size_t)w.n;
    memcpy(list, w.list, n * sizeof(*list));
    return (int)n;
}
