/* explain_connect.c - sentences for a connection that did not come about, or has broken.
 *
 * Of another machine nothing can be seen from here but what it answered; of this one, who
 * listens beside the address that was called: on another address, in the other family, near by.
 */
#include "diag/machine.h"
#include "diag/place.h"

#include <errno.h>
#include <string.h>

enum { BESIDE = 10 }; /* ports around the one that was called */

struct beside {
    const struct port_place *place;
    struct diag_socket found;
    bool has;
    unsigned distance; /* from the port that was called */
    bool overlaps;     /* it has the address that was called, too */
};

static bool serves(const struct diag_socket *s)
{
    return s->state == DIAG_LISTEN || (s->proto == IPPROTO_UDP && s->state == DIAG_CLOSE);
}

static int look_at(void *arg, const struct diag_socket *s)
{
    struct beside *b = arg;
    unsigned port = b->place->port, distance = s->port > port ? s->port - port : port - s->port;
    bool overlaps = socket_overlaps(s, b->place->family, &b->place->addr, false);
    bool nearer = distance < b->distance || (distance == b->distance && overlaps && !b->overlaps);

    if (!serves(s) || (b->has && !nearer))
        return 0;
    b->found = *s;
    b->distance = distance;
    b->overlaps = overlaps;
    b->has = true;
    return 0;
}

/* Who serves nearest to the place: at the port first, and there at the address, else at a port
 * near by. */
static enum sockets_source look_beside(struct beside *b, const struct port_place *p)
{
    struct sockdiag_wish wish = {
        .proto = p->proto,
        .states = DIAG_BIT(DIAG_LISTEN) | (p->proto == IPPROTO_UDP ? DIAG_BIT(DIAG_CLOSE) : 0),
        .first = (uint16_t)(p->port > BESIDE ? p->port - BESIDE : 1),
        .last = (uint16_t)(p->port < UINT16_MAX - BESIDE ? p->port + BESIDE : UINT16_MAX),
    };

    *b = (struct beside){.place = p};
    return sockets_inet(&wish, look_at, b);
}

static void add_server(struct text *t, const struct diag_socket *s)
{
    struct port_facts f = {.held = true, .holder = *s};

    port_find_owner(&f, EXPLAIN_LINKS_MAX);
    place_owner(t, &f.owner, s->uid, s);
    text_add(t, s->proto == IPPROTO_UDP ? " receives at " : " listens at ");
    socket_text(t, s, false);
}

static void add_place(struct text *t, const struct port_place *p)
{
    socket_address_text(t, p->family, &p->addr, p->port);
}

/* Someone serves the port, and not that address. */
static void elsewhere(struct text *t, const struct port_place *p, const struct diag_socket *s)
{
    text_add(t, "nothing listens at ");
    add_place(t, p);
    text_add(t, ", but ");
    add_server(t, s);
    if (socket_is_loopback(s->family, &s->addr) && !socket_is_loopback(p->family, &p->addr)) {
        text_add(t, ", which others cannot reach; let it listen on ");
        text_add(t, p->family == AF_INET ? "0.0.0.0" : "[::]");
    } else {
        text_add(t, "; connect there, or let it listen on [::] for both families");
    }
}

/* The cause has been said: who serves beside it, if anybody. */
static bool refused_more(struct text *t, const struct port_place *p)
{
    struct beside b;

    if (!machine_has(p->family, &p->addr) || look_beside(&b, p) == SOCKETS_NONE || !b.has)
        return false;
    text_add(t, "; near by, ");
    add_server(t, &b.found);
    return true;
}

static bool refused_here(struct text *t, const struct port_place *p)
{
    struct beside b;

    if (look_beside(&b, p) == SOCKETS_NONE)
        return false;
    if (b.has && b.distance == 0) {
        if (!b.overlaps) {
            elsewhere(t, p, &b.found);
            return true;
        }
        text_add(t, "nothing listened there; now ");
        add_server(t, &b.found);
        text_add(t, ": try again");
        return true;
    }
    text_add(t, "nothing listens on port ");
    text_add_number(t, p->port);
    text_add(t, " of this machine");
    if (b.has) {
        text_add(t, "; near by, ");
        add_server(t, &b.found);
    } else {
        text_add(t, "; start its server first");
    }
    return true;
}

static bool refused(struct text *t, const struct port_place *p, bool more)
{
    if (more)
        return refused_more(t, p);
    text_add(t, "connection refused: ");
    if (machine_has(p->family, &p->addr))
        return refused_here(t, p);
    text_add(t, "that machine answers, but nothing listens on port ");
    text_add_number(t, p->port);
    text_add(t, " there, or a firewall refuses for it");
    return true;
}

struct used {
    const struct port_place *place;
    uint64_t n;
    uint64_t time_wait;
};

static int count(void *arg, const struct diag_socket *s)
{
    struct used *u = arg;
    bool is_to = s->family == u->place->family && s->peer_port == u->place->port &&
                 IN6_ARE_ADDR_EQUAL(&s->peer, &u->place->addr);

    u->n += is_to;
    u->time_wait += is_to && s->state == DIAG_TIME_WAIT;
    return 0;
}

/* The line that reserves one port more; the setting is written as a whole. */
static void add_reserve(struct text *t, uint16_t port)
{
    char list[128];

    machine_reserved(list, sizeof(list));
    if (strlen(list) == sizeof(list) - 1) {
        text_add(t, "add it to net.ipv4.ip_local_reserved_ports");
        return;
    }
    text_add(t, "reserve this one: `sysctl -w net.ipv4.ip_local_reserved_ports=");
    text_add(t, list);
    text_add(t, *list ? "," : "");
    text_add_number(t, port);
    text_add(t, "`");
}

/* Without IPv6 `localhost` may be ::1 all the same. */
static bool no_loopback(struct text *t, const struct port_place *p)
{
    struct port_place four = {.family = AF_INET, .port = p->port};

    if (!socket_is_loopback(p->family, &p->addr) || machine_has(p->family, &p->addr))
        return false;
    text_add(t, "[::1] is not an address of this machine, which has ");
    machine_addresses(t, AF_INET6);
    text_add(t, "; connect to ");
    four.addr.s6_addr32[0] = htonl(INADDR_LOOPBACK);
    add_place(t, &four);
    return true;
}

/* No port for this peer is left, or the socket was given the very port that it called. */
static bool no_port(struct text *t, const struct port_place *p)
{
    struct used u = {.place = p};
    struct sockdiag_wish wish = {.proto = p->proto, .states = DIAG_ALL};
    struct machine_range range;

    if (no_loopback(t, p))
        return true;
    machine_range(&range);
    uint64_t have = (uint64_t)range.last - range.first + 1 - range.reserved;
    if (sockets_inet(&wish, count, &u) == SOCKETS_NONE)
        return false;
    if (u.n * 10 >= have * 9) {
        text_add_number(t, u.n);
        text_add(t, " of the ");
        text_add_number(t, have);
        text_add(t, " local ports are in use for ");
        add_place(t, p);
        text_add(t, " (");
        text_add_number(t, u.time_wait);
        text_add(t, " of them in TIME_WAIT); keep connections and use them again, or widen "
                    "net.ipv4.ip_local_port_range");
        return true;
    }
    if (!machine_has(p->family, &p->addr) || p->port < range.first || p->port > range.last)
        return false;
    text_add(t, "the socket met itself: nothing listens on port ");
    text_add_number(t, p->port);
    text_add(t, ", which is one that connect(2) chooses from (");
    text_add_number(t, range.first);
    text_add(t, " to ");
    text_add_number(t, range.last);
    text_add(t, "); give the server a port below, or ");
    add_reserve(t, p->port);
    return true;
}

/* Nobody answers, for the listener's queue is full: of this machine that can be seen. */
static bool is_full(struct text *t, const struct port_place *p)
{
    struct beside b;

    if (!machine_has(p->family, &p->addr) || look_beside(&b, p) != SOCKETS_DIAG || !b.has ||
        b.distance || !b.overlaps || b.found.receive <= b.found.send)
        return false;
    text_add(t, ": its queue is full, ");
    text_add_number(t, b.found.receive);
    text_add(t, " connections wait and the limit is ");
    text_add_number(t, b.found.send);
    text_add(t, " (listen(2)); ");
    add_server(t, &b.found);
    text_add(t, " and accepts too slowly, or not at all");
    return true;
}

static bool gave_up(struct text *t, const struct port_place *p)
{
    text_add(t, "the network gave up");
    if (is_full(t, p))
        return true;
    text_add(t, ": no answer to the first packet and ");
    text_add_number(t, machine_setting("net.ipv4.tcp_syn_retries", 6));
    text_add(t,
             " more (net.ipv4.tcp_syn_retries, unless the socket has another TCP_SYNCNT); that "
             "host is off, or a firewall drops what is for it; a timeout of your own ends sooner, "
             "with ETIME");
    return true;
}

/* connect(2) takes the wildcard for the loopback address: ip(7). */
static void take_loopback(struct port_place *p)
{
    struct diag_socket s = {.family = (uint8_t)p->family, .addr = p->addr};

    if (!socket_is_any(&s))
        return;
    p->addr = in6addr_loopback;
    if (p->family == AF_INET)
        p->addr = (struct in6_addr){.s6_addr32 = {htonl(INADDR_LOOPBACK)}};
}

bool explain_connect(struct text *t, const struct explain_ask *ask)
{
    struct port_place p;

    if (!place_of(&p, ask->at, ask->type) || (ask->more && ask->code != ECONNREFUSED))
        return false;
    take_loopback(&p);
    switch (ask->code) {
    case ECONNREFUSED:
        return refused(t, &p, ask->more);
    case EADDRNOTAVAIL:
        return no_port(t, &p);
    case ETIMEDOUT:
        return gave_up(t, &p);
    case ETIME:
        text_add(t, "our own time is over (the socket's timeout or the scope's)");
        return is_full(t, &p);
    default:
        return false;
    }
}

/* A datagram's refusal is told by the next call: udp(7). */
static bool refused_before(struct text *t, const struct port_place *p)
{
    text_add(t, "an earlier message was refused: nobody receives on port ");
    text_add_number(t, p->port);
    text_add(t, " there (UDP tells it, by ICMP, at the next call)");
    if (machine_has(p->family, &p->addr)) {
        struct beside b;

        look_beside(&b, p);
        if (b.has) {
            text_add(t, b.distance ? "; near by, " : "; but ");
            add_server(t, &b.found);
        }
    }
    return true;
}

static void add_bytes(struct text *t, const struct explain_ask *ask)
{
    if (!ask->sent)
        return;
    text_add(t, "; its kernel had taken ");
    text_add_number(t, ask->acked < ask->sent ? ask->acked : ask->sent);
    text_add(t, " of the ");
    text_add_number(t, ask->sent);
    text_add(t, " bytes sent");
}

/* Is the peer a program here, and does it live?  Who is asked is the client, if anybody listens
 * at the peer's port; whose own port is listened at is the server. */
static bool was_reset(struct text *t, const struct explain_ask *ask, const struct port_place *peer)
{
    struct port_place own;
    struct beside b;

    text_add(t, "the peer reset the connection: ");
    if (machine_has(peer->family, &peer->addr) && look_beside(&b, peer) == SOCKETS_DIAG) {
        bool is_server = place_of(&own, ask->own, ask->type) && own.port != peer->port;
        struct beside mine = {.has = false};

        if (is_server && !(b.has && b.distance == 0))
            look_beside(&mine, &own);
        if (b.has && b.distance == 0) {
            add_server(t, &b.found);
            text_add(t, " and lives: it closed while bytes of ours were unread, or on purpose");
        } else if (mine.has && mine.distance == 0) {
            text_add(t, "that client closed while bytes of ours were unread, or its program died");
        } else {
            text_add(t, "nobody listens on port ");
            text_add_number(t, peer->port);
            text_add(t, " any more: its program has ended");
        }
    } else {
        text_add(t, "it ended without reading all, or its program died");
    }
    add_bytes(t, ask);
    return true;
}

static bool died(struct text *t, const struct explain_ask *ask)
{
    text_add(
        t, "the network gave up: the peer did not answer any more (tries: net.ipv4.tcp_retries2, ");
    text_add_number(t, machine_setting("net.ipv4.tcp_retries2", 15));
    text_add(t, "; silence: keepalive, or TCP_USER_TIMEOUT)");
    add_bytes(t, ask);
    return true;
}

bool explain_talk(struct text *t, const struct explain_ask *ask)
{
    struct port_place p;

    if (!place_of(&p, ask->at, ask->type))
        return false;
    if (ask->code == ECONNREFUSED && ask->type == SOCK_DGRAM)
        return refused_before(t, &p);
    if (ask->code == ECONNRESET && ask->type != SOCK_DGRAM)
        return was_reset(t, ask, &p);
    return ask->code == ETIMEDOUT && ask->type != SOCK_DGRAM && died(t, ask);
}
