/* socket.c - addresses of sockets: compared as bind(2) compares them, and written.
 *
 * Two sockets can have one port when their addresses differ, when neither is the wildcard, or
 * when one is of IPv6 alone and the other of IPv4 (ip(7), ipv6(7): IPV6_V6ONLY).
 */
#include "diag/socket.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_v4(int family, const struct in6_addr *a)
{
    return family == AF_INET || IN6_IS_ADDR_V4MAPPED(a);
}

static uint32_t v4_of(int family, const struct in6_addr *a)
{
    return family == AF_INET ? a->s6_addr32[0] : a->s6_addr32[3];
}

static bool is_any(int family, const struct in6_addr *a)
{
    return is_v4(family, a) ? v4_of(family, a) == 0 : IN6_IS_ADDR_UNSPECIFIED(a);
}

bool socket_is_any(const struct diag_socket *s)
{
    return is_any(s->family, &s->addr);
}

bool socket_is_loopback(int family, const struct in6_addr *addr)
{
    return is_v4(family, addr) ? (ntohl(v4_of(family, addr)) >> 24) == 127
                               : IN6_IS_ADDR_LOOPBACK(addr);
}

bool socket_overlaps(const struct diag_socket *s, int family, const struct in6_addr *addr,
                     bool v6only)
{
    if (!family)
        return true;
    bool s4 = is_v4(s->family, &s->addr), a4 = is_v4(family, addr);

    if (s4 == a4) {
        if (socket_is_any(s) || is_any(family, addr))
            return true;
        return s4 ? v4_of(s->family, &s->addr) == v4_of(family, addr)
                  : IN6_ARE_ADDR_EQUAL(&s->addr, addr);
    }
    /* Of two families they meet when the one of IPv6 is the wildcard and takes IPv4, too. */
    return s4 ? is_any(family, addr) && !v6only : socket_is_any(s) && !s->v6only;
}

bool socket_is_held_back(const struct diag_socket *s)
{
    return s->has_info && s->state == DIAG_ESTABLISHED && s->unacked && s->unacked < s->window &&
           s->not_sent && s->not_sent < s->segment;
}

void socket_address_text(struct text *t, int family, const struct in6_addr *addr, uint16_t port)
{
    char buf[INET6_ADDRSTRLEN];

    if (is_any(family, addr)) {
        text_add(t, family == AF_INET ? "0.0.0.0" : "[::]");
    } else if (is_v4(family, addr)) {
        struct in_addr a = {.s_addr = v4_of(family, addr)};

        text_add(t, inet_ntop(AF_INET, &a, buf, sizeof(buf)));
    } else {
        text_add(t, "[");
        text_add(t, inet_ntop(AF_INET6, addr, buf, sizeof(buf)));
        text_add(t, "]");
    }
    text_add(t, ":");
    text_add_number(t, port);
}

void socket_text(struct text *t, const struct diag_socket *s, bool peer)
{
    socket_address_text(t, s->family, peer ? &s->peer : &s->addr, peer ? s->peer_port : s->port);
}
