/* machine.c - addresses by getifaddrs(3), which is rtnetlink; settings by /proc/sys.
 *
 * Names of settings are those of sysctl(8), with dots.  None of it waits.
 */
#include "diag/machine.h"

#include "diag/procfile.h"
#include "diag/socket.h"

#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 4 };

/* The address in the form of struct diag_socket; 0: it is of neither family. */
static int family_of(const struct sockaddr *sa, struct in6_addr *addr)
{
    *addr = (struct in6_addr){0};
    if (sa && sa->sa_family == AF_INET) {
        memcpy(addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
        return AF_INET;
    }
    if (sa && sa->sa_family == AF_INET6) {
        *addr = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
        return AF_INET6;
    }
    return 0;
}

/* All of 127.0.0.0/8 is, without being listed; of IPv6 ::1 alone, and only where IPv6 is on. */
bool machine_has(int family, const struct in6_addr *addr)
{
    struct in6_addr four = {.s6_addr32 = {addr->s6_addr32[3]}}, own;
    bool mapped = family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(addr);
    struct ifaddrs *list, *i;
    bool has;

    addr = mapped ? &four : addr;
    family = mapped ? AF_INET : family;
    has = family == AF_INET && socket_is_loopback(family, addr);
    if (has || getifaddrs(&list) < 0)
        return has;
    for (i = list; i && !has; i = i->ifa_next)
        has = family_of(i->ifa_addr, &own) == family && memcmp(&own, addr, sizeof(own)) == 0;
    freeifaddrs(list);
    return has;
}

/* The address without its port. */
static void add_address(struct text *t, int family, const struct in6_addr *addr)
{
    char buf[64];
    struct text one;

    text_init(&one, buf, sizeof(buf));
    socket_address_text(&one, family, addr, 0);
    text_add_bytes(t, one.buf, one.len - strlen(":0"));
}

void machine_addresses(struct text *t, int family)
{
    struct ifaddrs *list, *i;
    struct in6_addr own;
    bool loopback = false;
    uint64_t n = 0;

    if (getifaddrs(&list) < 0) {
        text_add(t, "some that could not be listed");
        return;
    }
    for (i = list; i; i = i->ifa_next) {
        if (family_of(i->ifa_addr, &own) != family)
            continue;
        if (socket_is_loopback(family, &own)) {
            loopback = true;
            continue;
        }
        if (n++ >= SHOWN_MAX)
            continue;
        text_add(t, n > 1 ? ", " : "");
        add_address(t, family, &own);
    }
    freeifaddrs(list);
    if (n > SHOWN_MAX) {
        text_add(t, " and ");
        text_add_number(t, n - SHOWN_MAX);
        text_add(t, " more");
    }
    if (!n)
        text_add(t, !loopback           ? "none of that family"
                    : family == AF_INET ? "127.0.0.1 alone"
                                        : "[::1] alone");
}

uint64_t machine_setting(const char *name, uint64_t otherwise)
{
    char path[128] = "/proc/sys/";
    size_t len = strlen(path);
    uint64_t n;

    snprintf(path + len, sizeof(path) - len, "%s", name);
    for (char *dot = path + len; (dot = strchr(dot, '.')); dot++)
        *dot = '/';
    return procfile_numbers(path, &n, 1) == 1 ? n : otherwise;
}

uint32_t machine_count_ports(const char *list, uint16_t first, uint16_t last)
{
    uint32_t n = 0;
    char *end;

    for (const char *at = list;; at = end + 1) {
        unsigned long from = strtoul(at, &end, 10), to = from;

        if (end == at)
            return n;
        if (*end == '-')
            to = strtoul(end + 1, &end, 10);
        if (from < first)
            from = first;
        if (to > last)
            to = last;
        n += from <= to ? (uint32_t)(to - from + 1) : 0;
        if (*end != ',')
            return n;
    }
}

void machine_reserved(char *list, size_t size)
{
    procfile_read("/proc/sys/net/ipv4/ip_local_reserved_ports", list, size);
    list[strcspn(list, "\n")] = '\0';
}

static uint32_t reserved(uint16_t first, uint16_t last)
{
    char list[1024];

    machine_reserved(list, sizeof(list));
    return machine_count_ports(list, first, last);
}

void machine_range(struct machine_range *r)
{
    uint64_t range[2];

    *r = (struct machine_range){.first = 32768, .last = 60999};
    if (procfile_numbers("/proc/sys/net/ipv4/ip_local_port_range", range, 2) == 2) {
        r->first = (uint16_t)range[0];
        r->last = (uint16_t)range[1];
    }
    r->reserved = reserved(r->first, r->last);
}

bool machine_may_choose(const struct machine_range *r, uint16_t port)
{
    return port >= r->first && port <= r->last && reserved(port, port) == 0;
}
