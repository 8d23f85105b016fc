/* bench/surroundings.h - the machine a run was made on, and what its network counted meanwhile.
 *
 * Read from /proc and uname(2); what is not there is left out.
 */
#ifndef STOA_CLI_BENCH_SURROUNDINGS_H
#define STOA_CLI_BENCH_SURROUNDINGS_H

#include <stddef.h>
#include <stdint.h>

enum { FACTS_MAX = 24, FACT_LEN = 160, COUNTERS_MAX = 8 };

struct fact {
    const char *name;
    char value[FACT_LEN];
};

struct surroundings {
    struct fact fact[FACTS_MAX];
    unsigned nfact;
    uint64_t counter[COUNTERS_MAX]; /* before the run, then how much they grew */
};

/* Counters of /proc/net, in the order of `counter`; NULL ends them. */
extern const char *const surroundings_counters[];

void surroundings_before(struct surroundings *s);
void surroundings_after(struct surroundings *s);

#endif
