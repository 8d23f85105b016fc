/* machine.h - what this machine is set to, as far as a sentence needs it: addresses, ports. */
#ifndef STOA_DIAG_MACHINE_H
#define STOA_DIAG_MACHINE_H

#include "base/text.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Is it an address of this machine, a loopback one too?  In doubt no. */
bool machine_has(int family, const struct in6_addr *addr);

/* "10.0.0.7, 192.168.1.5 and 2 more": what this machine has of a family; "127.0.0.1 alone", or
 * "none of that family". */
void machine_addresses(struct text *t, int family);

/* The ports that connect(2) chooses from: first and last, and how many of them are reserved. */
struct machine_range {
    uint16_t first;
    uint16_t last;
    uint32_t reserved;
};
void machine_range(struct machine_range *r);

/* Is the port one that connect(2) may choose? */
bool machine_may_choose(const struct machine_range *r, uint16_t port);

/* net.ipv4.ip_local_reserved_ports as it is written; "": none. */
void machine_reserved(char *list, size_t size);

/* How many ports of "8080,40000-40010" lie in first..last; and is this one of them? */
uint32_t machine_count_ports(const char *list, uint16_t first, uint16_t last);

/* A number below /proc/sys, or otherwise. */
uint64_t machine_setting(const char *name, uint64_t otherwise);

#endif
