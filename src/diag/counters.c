/* counters.c - /proc/net/netstat, snmp and sockstat.
 *
 * Names are those of the kernel: net/ipv4/proc.c; Documentation/networking/snmp_counter.rst.
 */
#include "diag/counters.h"

#include "diag/procfile.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 32768 };

static const struct {
    const char *group;
    const char *name;
} names[COUNTERS] = {
    [COUNT_COOKIES_SENT] = {"TcpExt", "SyncookiesSent"},
    [COUNT_COOKIES_BACK] = {"TcpExt", "SyncookiesRecv"},
    [COUNT_COOKIES_FALSE] = {"TcpExt", "SyncookiesFailed"},
    [COUNT_TIME_WAITS] = {"TcpExt", "TW"},
    [COUNT_TIME_WAIT_OVERFLOWS] = {"TcpExt", "TCPTimeWaitOverflow"},
    [COUNT_LISTEN_OVERFLOWS] = {"TcpExt", "ListenOverflows"},
    [COUNT_LISTEN_DROPS] = {"TcpExt", "ListenDrops"},
    [COUNT_DELAYED_ACKS] = {"TcpExt", "DelayedACKs"},
    [COUNT_ABORT_UNREAD] = {"TcpExt", "TCPAbortOnClose"},
    [COUNT_ABORT_MEMORY] = {"TcpExt", "TCPAbortOnMemory"},
    [COUNT_ABORT_TIMEOUT] = {"TcpExt", "TCPAbortOnTimeout"},
    [COUNT_SYN_COOKIED] = {"TcpExt", "TCPReqQFullDoCookies"},
    [COUNT_SYN_DROPPED] = {"TcpExt", "TCPReqQFullDrop"},
    [COUNT_MIGRATE_FAILED] = {"TcpExt", "TCPMigrateReqFailure"},
    [COUNT_MIGRATED] = {"TcpExt", "TCPMigrateReqSuccess"},
    [COUNT_ZERO_WINDOWS] = {"TcpExt", "TCPToZeroWindowAdv"},
    [COUNT_MEMORY_PRESSURES] = {"TcpExt", "TCPMemoryPressures"},
    [COUNT_ACCEPTED] = {"Tcp", "PassiveOpens"},
    [COUNT_CONNECTS] = {"Tcp", "ActiveOpens"},
    [COUNT_RESETS_IN] = {"Tcp", "EstabResets"},
    [COUNT_RESETS_OUT] = {"Tcp", "OutRsts"},
    [COUNT_DATAGRAMS] = {"Udp", "InDatagrams"},
    [COUNT_NO_PORTS] = {"Udp", "NoPorts"},
    [COUNT_RECEIVE_ERRORS] = {"Udp", "RcvbufErrors"},
    [COUNT_TCP_INUSE] = {"TCP", "inuse"},
    [COUNT_ORPHANS] = {"TCP", "orphan"},
    [COUNT_IN_TIME_WAIT] = {"TCP", "tw"},
    [COUNT_MEMORY_PAGES] = {"TCP", "mem"},
};

const char *counters_name(enum counter which)
{
    return names[which].name;
}

static void take(struct counters *c, const char *group, const char *name, const char *number)
{
    for (int i = 0; i < COUNTERS; i++)
        if (strcmp(names[i].name, name) == 0 && strcmp(names[i].group, group) == 0)
            c->value[i] = strtoull(number, NULL, 10);
}

/* "Group: a b c" and "Group: 1 2 3". */
static void take_pair(struct counters *c, char *keys, char *values)
{
    char *next_key, *next_value;
    char *group = strtok_r(keys, ": ", &next_key);
    char *key, *value;

    if (!group || !strtok_r(values, " ", &next_value))
        return;
    while ((key = strtok_r(NULL, " ", &next_key)) && (value = strtok_r(NULL, " ", &next_value)))
        take(c, group, key, value);
}

void counters_parse(struct counters *c, char *text)
{
    char *next, *keys, *values;

    for (keys = strtok_r(text, "\n", &next); keys; keys = strtok_r(NULL, "\n", &next)) {
        values = strtok_r(NULL, "\n", &next);
        if (!values)
            return;
        take_pair(c, keys, values);
    }
}

void counters_parse_sockstat(struct counters *c, const char *text)
{
    const char *line = strstr(text, "TCP: ");
    char name[16], number[24];
    int at;

    for (line = line ? line + strlen("TCP: ") : "";
         sscanf(line, "%15s %23[0-9]%n", name, number, &at) == 2; line += at)
        take(c, "TCP", name, number);
}

void counters_read(struct counters *c)
{
    char *buf = malloc(ROOM);

    *c = (struct counters){{0}};
    if (!buf)
        return;
    if (procfile_read("/proc/net/netstat", buf, ROOM) > 0)
        counters_parse(c, buf);
    if (procfile_read("/proc/net/snmp", buf, ROOM) > 0)
        counters_parse(c, buf);
    if (procfile_read("/proc/net/sockstat", buf, ROOM) > 0)
        counters_parse_sockstat(c, buf);
    free(buf);
}
