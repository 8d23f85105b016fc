/* finding.h - something that is wrong, or worth knowing: which kind, how bad, how it is seen. */
#ifndef STOA_DIAG_FINDING_H
#define STOA_DIAG_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum severity {
    SEVERITY_NONE,
    SEVERITY_NOTE,    /* worth knowing; nothing is lost by it */
    SEVERITY_WARNING, /* something is lost or slow, or will be */
    SEVERITY_FAILING, /* somebody is refused or kept waiting now */
    SEVERITIES,
};

/* What holds for all findings of one id. */
struct finding_kind {
    const char *id;
    const char *what; /* a title */
    const char *why;
    const char *act;     /* what to do, where a finding has nothing more exact */
    const char *setting; /* the sysctl that --apply changes; NULL: there is none */
};

enum kind {
    KIND_PORT_HELD,
    KIND_PORT_TIME_WAIT,
    KIND_PORT_LEFT_OVER,
    KIND_PORT_IN_RANGE,
    KIND_NOBODY_LISTENS,
    KIND_LISTENS_ELSEWHERE,
    KIND_DUAL_STACK,
    KIND_ONE_FAMILY,
    KIND_NO_SUCH_ADDRESS,
    KIND_PATH_HELD,
    KIND_PATH_STALE,
    KIND_PATH_MISSING,
    KIND_TIME_WAIT_MANY,
    KIND_PORTS_EXHAUSTED,
    KIND_CLOSES_UNREAD,
    KIND_LISTEN_QUEUE_FULL,
    KIND_SYN_FLOOD,
    KIND_SYN_BURST,
    KIND_SYN_DROPPED,
    KIND_CLOSE_WAIT,
    KIND_DESCRIPTORS,
    KIND_SYSTEM_FILES,
    KIND_NO_KEEPALIVE,
    KIND_PEER_GONE,
    KIND_NAGLE,
    KIND_SELF_CONNECTED,
    KIND_UDP_LOSS,
    KIND_UDP_NOBODY,
    KIND_SLOW_READER,
    KIND_MEMORY,
    KIND_UNIX_QUEUE_FULL,
    KIND_RESTART_LOSS,
    KIND_CONNTRACK,
    KINDS,
};

extern const struct finding_kind finding_kinds[KINDS];

struct finding {
    enum kind kind;
    enum severity severity;
    uint64_t weight; /* among those of one severity: the larger comes first */
    int pid;         /* whose it is; 0: not known, or nobody's */
    uint16_t port;   /* 0: of none */
    char subject[160];
    char evidence[512];
    char act[512]; /* the exact line; "": its kind's */
    char undo[256];
    char unseen[256]; /* what could not be seen, and what would show it; "": nothing */
    char value[160];  /* what --apply writes to the kind's setting; "": nothing */
    char old[160];    /* what it was before */
};

#define FINDINGS_MAX      48
#define FINDINGS_PER_KIND 6

struct findings {
    struct finding list[FINDINGS_MAX];
    size_t n;
    size_t of_kind[KINDS]; /* also those there was no room for */
};

/* One more, to be filled in; NULL: there are enough of its kind. */
struct finding *finding_add(struct findings *f, enum kind kind, enum severity severity);

/* Write one of its texts. */
#define FINDING_SAY(field, ...) finding_say(field, sizeof(field), __VA_ARGS__)
void finding_say(char *buf, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Worst first. */
void finding_rank(struct findings *f);

/* The worst there is. */
enum severity finding_worst(const struct findings *f);

/* Leave only those of a process, or of a port; 0: of any. */
void finding_filter(struct findings *f, int pid, uint16_t port);

/* "note", "warning", "failing". */
const char *finding_severity(enum severity s);

/* The kind of that id; KINDS: there is none. */
enum kind finding_kind(const char *id);

/* For sentences, by value: "12,000", "40 min", "1 socket", "20 sockets". */
struct digits {
    char c[56];
};
struct digits finding_digits(uint64_t n);
struct digits finding_span(uint64_t ms);
struct digits finding_count(uint64_t n, const char *noun);

#endif
