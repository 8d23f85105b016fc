/* doctor.h - the parts of `stoa doctor`: what was asked, the look, the page, the changes. */
#ifndef STOA_CLI_DOCTOR_H
#define STOA_CLI_DOCTOR_H

#include "diag/judge.h"

#include <stdbool.h>

struct doctor {
    const char *place; /* an address text; NULL: the whole machine */
    int pid;           /* 0: any */
    double seconds;    /* between the two looks */
    double idle;       /* seconds of silence after which a connection counts as idle */
    bool watch;
    bool json;
    bool yes;
    const char *explain;
    const char *free_port;
    const char *apply;
};

/* What a look has found. */
struct doctor_look {
    struct facts facts;
    struct findings findings;
    uint64_t took_ns;
    uint64_t apart_ms; /* of the two samples; 0: there was one */
    char about[256];   /* --pid: what the process has */
};

/* Look.  was: an earlier one for rates; NULL: take an early sample first and wait d->seconds.
 * An exit code: CODE_OK, or what was asked about is not there, which has been said. */
int doctor_look(const struct doctor *d, const struct facts *was, struct doctor_look *look);

/* Sleep so long. */
void doctor_rest(double seconds);

/* Write it to standard output.  0; -1 with errno. */
int doctor_show(const struct doctor *d, const struct doctor_look *look);

/* The exit code for the worst that was found. */
int doctor_code(const struct findings *f);

/* Forget the port's TIME_WAITs; write a finding's setting.  Exit codes. */
int doctor_free(const struct doctor *d);
int doctor_apply(const struct doctor *d, const struct findings *f);

/* Tell of an errno value's name, or of a finding's id.  An exit code. */
int doctor_explain(const char *word);

#endif
