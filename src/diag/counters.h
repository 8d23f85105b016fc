/* counters.h - the kernel's network counters by name, and what /proc/net/sockstat sums up. */
#ifndef STOA_DIAG_COUNTERS_H
#define STOA_DIAG_COUNTERS_H

#include <stdint.h>

enum counter {
    COUNT_COOKIES_SENT,
    COUNT_COOKIES_BACK,
    COUNT_COOKIES_FALSE,
    COUNT_TIME_WAITS,
    COUNT_TIME_WAIT_OVERFLOWS,
    COUNT_LISTEN_OVERFLOWS,
    COUNT_LISTEN_DROPS,
    COUNT_DELAYED_ACKS,
    COUNT_ABORT_UNREAD,
    COUNT_ABORT_MEMORY,
    COUNT_ABORT_TIMEOUT,
    COUNT_SYN_COOKIED,
    COUNT_SYN_DROPPED,
    COUNT_MIGRATE_FAILED,
    COUNT_MIGRATED,
    COUNT_ZERO_WINDOWS,
    COUNT_MEMORY_PRESSURES,
    COUNT_ACCEPTED,
    COUNT_CONNECTS,
    COUNT_RESETS_IN,
    COUNT_RESETS_OUT,
    COUNT_DATAGRAMS,
    COUNT_NO_PORTS,
    COUNT_RECEIVE_ERRORS,
    COUNT_TCP_INUSE, /* from here on: how many there are now */
    COUNT_ORPHANS,
    COUNT_IN_TIME_WAIT,
    COUNT_MEMORY_PAGES,
    COUNTERS,
};

struct counters {
    uint64_t value[COUNTERS]; /* 0: this kernel has not that one */
};

/* All of them as they are now. */
void counters_read(struct counters *c);

/* What a text of the form of /proc/net/netstat says: pairs of lines, names and numbers.  The text
 * is written into. */
void counters_parse(struct counters *c, char *text);

/* Likewise /proc/net/sockstat: "TCP: inuse 3 orphan 0 tw 12 alloc 5 mem 2". */
void counters_parse_sockstat(struct counters *c, const char *text);

/* The kernel's name for it, "TcpExt ListenOverflows". */
const char *counters_name(enum counter which);

#endif
