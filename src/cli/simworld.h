/* simworld.h - the world of `stoa sim`: a handler's server, clients, and a network that fails. */
#ifndef STOA_CLI_SIMWORLD_H
#define STOA_CLI_SIMWORLD_H

#include "cli/handlers.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct simworld {
    const struct handler *handler;
    unsigned clients;
    unsigned messages; /* of each client */
    bool faults;
    FILE *trace; /* NULL = none */
};

/* What one seed was. */
struct simrun {
    uint64_t hash;
    double seconds; /* virtual */
    uint64_t events;
    uint64_t faults;
    char why[512]; /* "", or what went wrong */
};

/* Run one seed.  0; -1 when something went wrong. */
int simworld_run(const struct simworld *w, uint64_t seed, struct simrun *r);

#endif
