/* bench/surroundings.c - facts of this machine, and the kernel's counters twice.
 *
 * The counters are those that explain a strange result: segments sent again, connections that
 * a full queue turned away, resets.  They are of this network namespace, all programs'.
 */
#include "cli/bench/surroundings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LINE_ROOM = 8192 };

const char *const surroundings_counters[] = {
    "RetransSegs", "OutRsts",         "AttemptFails", "EstabResets",
    "ListenDrops", "ListenOverflows", "TCPTimeouts",  NULL,
};

static void fact(struct surroundings *s, const char *name, const char *value)
{
    if (s->nfact == FACTS_MAX || !*value)
        return;
    s->fact[s->nfact].name = name;
    snprintf(s->fact[s->nfact++].value, FACT_LEN, "%.*s", (int)strcspn(value, "\n"), value);
}

/* The first line of a file that begins so, from after the colon; or its first line at all. */
static void fact_of_file(struct surroundings *s, const char *name, const char *path,
                         const char *begins)
{
    char line[LINE_ROOM];
    FILE *f = fopen(path, "re");

    while (f && fgets(line, sizeof(line), f)) {
        const char *colon = strchr(line, ':');
        if (begins && strncmp(line, begins, strlen(begins)) != 0)
            continue;
        if (begins && colon)
            fact(s, name, colon + 1 + strspn(colon + 1, " \t"));
        else
            fact(s, name, line);
        break;
    }
    if (f)
        fclose(f);
}

static void settings(struct surroundings *s)
{
    static const char *const names[] = {
        "net/core/somaxconn",
        "net/core/rmem_max",
        "net/core/wmem_max",
        "net/ipv4/tcp_rmem",
        "net/ipv4/tcp_wmem",
        "net/ipv4/tcp_max_syn_backlog",
        "net/ipv4/ip_local_port_range",
        "net/ipv4/tcp_tw_reuse",
        "net/ipv4/tcp_congestion_control",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "/proc/sys/%s", names[i]);
        fact_of_file(s, names[i], path, NULL);
    }
}

/* Lines come in pairs: names, then values. */
static void count_file(struct surroundings *s, const char *path, bool after)
{
    char names[LINE_ROOM], values[LINE_ROOM];
    FILE *f = fopen(path, "re");

    while (f && fgets(names, sizeof(names), f) && fgets(values, sizeof(values), f)) {
        char *name_rest = names, *value_rest = values, *name, *value;
        while ((name = strsep(&name_rest, " \n")) && (value = strsep(&value_rest, " \n")))
            for (size_t i = 0; surroundings_counters[i]; i++)
                if (strcmp(name, surroundings_counters[i]) == 0)
                    s->counter[i] = strtoull(value, NULL, 10) - (after ? s->counter[i] : 0);
    }
    if (f)
        fclose(f);
}

static void count(struct surroundings *s, bool after)
{
    count_file(s, "/proc/net/snmp", after);
    count_file(s, "/proc/net/netstat", after);
}

void surroundings_before(struct surroundings *s)
{
    const char *backend = getenv("STOA_BACKEND");
    struct utsname system;
    char text[FACT_LEN];

    *s = (struct surroundings){0};
    fact(s, "stoa", stoa_version());
    if (uname(&system) == 0) {
        snprintf(text, sizeof(text), "%.60s %.60s", system.sysname, system.release);
        fact(s, "kernel", text);
        fact(s, "machine", system.machine);
    }
    fact_of_file(s, "processor", "/proc/cpuinfo", "model name");
    snprintf(text, sizeof(text), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    fact(s, "processors", text);
    fact_of_file(s, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", NULL);
    fact_of_file(s, "memory", "/proc/meminfo", "MemTotal");
    fact_of_file(s, "load average before", "/proc/loadavg", NULL);
    fact(s, "STOA_BACKEND", backend ? backend : "");
    settings(s);
    count(s, false);
}

void surroundings_after(struct surroundings *s)
{
    count(s, true);
    fact_of_file(s, "load average after", "/proc/loadavg", NULL);
}
