/* judge.h - from facts to findings.  Pure: it reads what it is given and asks nothing. */
#ifndef STOA_DIAG_JUDGE_H
#define STOA_DIAG_JUDGE_H

#include "diag/facts.h"
#include "diag/finding.h"
#include "diag/port.h"

/* The whole machine, worst first.  was: an earlier look, for rates; NULL: there is none. */
void judge(const struct facts *was, const struct facts *now, struct findings *out);

/* What was asked about: a port, at an address or at any. */
struct judge_place {
    struct port_place at; /* at.family 0: no address was given */
    bool here;            /* at.addr is an address of this machine */
    char has[160];        /* the machine's addresses, where it is not */
    uint16_t next_free;   /* 0: none near */
};
void judge_place(const struct facts *now, const struct judge_place *place, struct findings *out);

/* Or a UNIX path (exists: lstat(2) knows it; is_socket: what stat(2) says), or an abstract name. */
struct judge_path {
    const char *shown; /* harmless on a terminal */
    const char *word;  /* the path as a word of a shell's line */
    bool abstract;
    bool exists;
    bool is_socket;
    struct path_facts facts;
};
void judge_path(const struct judge_path *path, struct findings *out);

/* The parts of judge(). */
struct judgement {
    const struct facts *was; /* may be NULL */
    const struct facts *now;
    struct findings *out;
    uint64_t ms; /* between the two; 0: no rates */
};
void judge_listeners(struct judgement *j);
void judge_ports(struct judgement *j);
void judge_connections(struct judgement *j);
void judge_machine(struct judgement *j);

/* How much a counter has grown between the two looks; and per second, in tenths, as text. */
uint64_t judge_grown(const struct judgement *j, enum counter which);
struct digits judge_rate(const struct judgement *j, uint64_t grown);

/* "server (pid 7)", for subjects; where it is not known, the user, and why in f->unseen. */
void judge_whose(const struct judgement *j, struct finding *f, int pid, uint32_t uid);

/* "127.0.0.1:80", by value. */
struct judge_name {
    char c[80];
};
struct judge_name judge_address(const struct diag_socket *s, bool peer);

/* What --apply would write, and the lines to type. */
void judge_setting(struct finding *f, const char *value, const char *old);

/* The same for one more port in net.ipv4.ip_local_reserved_ports, beside those that it has. */
void judge_reserve(const struct judgement *j, struct finding *f, uint16_t port);

#endif
