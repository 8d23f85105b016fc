/* stoa/sim.h - a network in one thread, in which every run can be run again.
 *
 * Hosts, links, sockets and the clock are simulated.  A program's fibers run in it
 * unchanged, with the calls of stoa.h, and a seed decides everything that chance decides:
 * which packet is slow, which receive brings one byte, which connection is reset.  The same
 * seed does the same again, so a bug that was seen once can be looked at for ever.
 *
 *     static int world(void *arg)
 *     {
 *         int server = stoa_sim_host("server", NULL);
 *
 *         stoa_sim_go(server, NULL, serve_chat, NULL);
 *         return talk_to("server:8081");
 *     }
 *
 *     struct stoa_sim_options o = {.size = sizeof(o), .faults = true};
 *
 *     for (uint64_t seed = 1; seed <= 1000; seed++)
 *         if (stoa_sim_run(seed, world, NULL, &o) != 0)
 *             printf("seed %" PRIu64 ": %s\n", seed, stoa_errmsg());
 *
 * Time is virtual: it passes when all fibers wait, and then at once.  Errors and limits
 * are Linux's.  The first host has no name that one needs: it is where the world's
 * function runs, with 10.0.0.1, fd00::1 and the loopback addresses.
 *
 * What a run must not use, for it would not be the same again: the real clock, the real
 * random numbers, real files and threads.  A descriptor of this network is a number
 * that no call of the real kernel knows.
 *
 * This header is for tests, and stoa.h does not include it.  Manual: stoa_sim(3).
 */
#ifndef STOA_SIM_H
#define STOA_SIM_H

#include <stoa.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How packets go from a host to another. */
struct stoa_sim_link {
    double latency;          /* seconds, one way */
    double jitter;           /* up to so many seconds more, each time another */
    double loss;             /* 0 .. 1: TCP sends a lost packet again, a datagram is gone */
    double bytes_per_second; /* 0 = no bound */
};

/* What a run was. */
struct stoa_sim_result {
    uint64_t hash;   /* of all that happened, in its order */
    uint64_t events; /* packets and timers of the simulated kernel */
    uint64_t calls;  /* operations of the program */
    uint64_t faults; /* how often one struck */
    double seconds;  /* virtual ones */
};

/* What one may wish.  Set size, leave the rest 0. */
struct stoa_sim_options {
    size_t size;                    /* sizeof(struct stoa_sim_options) */
    bool faults;                    /* draw this run's faults from the seed; false: none */
    struct stoa_sim_link link;      /* between any two hosts; 0: instant and sure */
    double seconds;                 /* virtual ones after which it must have ended; 0 = 86,400 */
    FILE *trace;                    /* each thing that happens, as a line; NULL = none */
    struct stoa_sim_result *result; /* what it was, also when it failed; NULL = not wanted */
};

/* Run a world.
 *
 *   seed   decides all that chance decides
 *   world  its first fiber.  When it returns, all other fibers are cancelled, and must end
 *
 * Returns what world returned; -1 with errno set when a promise did not hold, which
 * stoa_errmsg() tells: EDEADLK all fibers wait and nothing is on its way to them, or
 * the time was over (who waits for what is written to options.trace); EPROTO a socket
 * was left open, or the simulation itself is wrong; EINVAL a bad option, or called on
 * a fiber; ENOMEM.
 * Context: thread.
 */
STOA_API int stoa_sim_run(uint64_t seed, int (*world)(void *arg), void *arg,
                          const struct stoa_sim_options *options);

/* Make a host.
 *
 *   name       what others may dial it by
 *   addresses  "10.0.0.7 fd00::7": up to four, with spaces between; NULL = two that are free
 *
 * Returns its number; -1 with errno set: EINVAL, EEXIST the name or an address is
 * taken, ENOSPC there are 64.  Context: fiber of a simulated world, as all below.
 */
STOA_API int stoa_sim_host(const char *name, const char *addresses);

/* Start a fiber on a host, as stoa_go().  Fibers that it starts are of that host, too. */
STOA_API int stoa_sim_go(int host, struct stoa_group *group, int (*fn)(void *arg), void *arg);

/* Make both ways between two hosts (or within one) such a link.  Returns 0; -1 with EINVAL. */
STOA_API int stoa_sim_set_link(int a, int b, const struct stoa_sim_link *link);

/* Cut the link between two hosts: nothing passes until it is healed.  Returns 0; -1 with EINVAL. */
STOA_API int stoa_sim_cut(int a, int b, bool cut);

/* From now on faults strike, newly drawn, or none do: then everything should end well. */
STOA_API void stoa_sim_faults(bool on);

/* How many descriptors a host may have open.  Returns 0; -1 with EINVAL. */
STOA_API int stoa_sim_descriptors(int host, unsigned limit);

/* The run's own chance, for what the world itself draws: 0 .. n - 1. */
STOA_API uint64_t stoa_sim_random(uint64_t n);

/* Virtual seconds since the world began. */
STOA_API double stoa_sim_now(void);

#ifdef __cplusplus
}
#endif

#endif
