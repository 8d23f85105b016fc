/* sweep.c - many seeds of one world, and what worlds have in common.
 */
#include "sweep.h"

#include <inttypes.h>
#include <stdarg.h>

static char said[512];

void t_setup(void);

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* So that what the library keeps is there before descriptors are counted. */
void t_setup(void)
{
    stoa_sim_run(1, nothing, NULL, NULL);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

int wrong(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (!said[0])
        vsnprintf(said, sizeof(said), fmt, args);
    va_end(args);
    return -1;
}

static bool run(const char *name, int (*world)(void *arg), bool faults, uint64_t seed,
                struct stoa_sim_result *result)
{
    static FILE *trace;
    struct stoa_sim_options o = {
        .size = sizeof(o),
        .faults = faults,
        .link = {.latency = 0.005, .jitter = 0.005},
        .result = result,
        .seconds = 3600,
    };

    if (getenv("STOA_TRACE") && !trace)
        trace = fopen(getenv("STOA_TRACE"), "we");
    o.trace = trace;
    said[0] = 0;
    int r = stoa_sim_run(seed, world, NULL, &o);
    if (r == 0 && !said[0])
        return true;
    t_fail(__FILE__, __LINE__,
           "%s: seed %" PRIu64 ": %s%s%s (again: STOA_SEED=%" PRIu64 " STOA_SEEDS=1)", name, seed,
           said, said[0] && r ? "; " : "", r ? stoa_errmsg() : "", seed);
    return false;
}

void sweep(const char *name, int (*world)(void *arg), bool faults)
{
    uint64_t first = number("STOA_SEED", 1), n = number("STOA_SEEDS", 200);
    uint64_t events = 0, struck = 0;
    double seconds = 0;
    bool good = true;

    for (uint64_t seed = first; good && seed < first + n; seed++) {
        struct stoa_sim_result once, twice;

        good = run(name, world, faults, seed, &once);
        if (good && seed % 16 == 0) {
            good = run(name, world, faults, seed, &twice);
            EXPECT_EQ(once.hash, twice.hash);
        }
        events += once.events;
        struck += once.faults;
        seconds += once.seconds;
    }
    printf("# %s: %.0f virtual seconds, %" PRIu64 " events, %" PRIu64 " faults\n", name, seconds,
           events, struck);
}

static bool is_the_networks(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case ETIMEDOUT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EPIPE:
        return true;
    default:
        return false;
    }
}

int dial_surely(const char *to)
{
    for (int i = 0; i < 300; i++) {
        int s = stoa_dial(to, NULL);

        if (s >= 0) {
            stoa_settimeout(s, 120); /* a reset can be lost, and is not sent again */
            return s;
        }
        if (!is_the_networks(errno))
            return errno == ECANCELED ? -1 : wrong("dial %s: %s", to, stoa_errmsg());
        stoa_sleep(0.1);
    }
    return wrong("dial %s never got through: %s", to, stoa_errmsg());
}

int announce_surely(const char *at)
{
    for (int i = 0; i < 300; i++) {
        int s = stoa_announce(at, NULL);

        if (s >= 0)
            return s;
        if (!is_the_networks(errno))
            return errno == ECANCELED ? -1 : wrong("announce %s: %s", at, stoa_errmsg());
        stoa_sleep(0.1);
    }
    return wrong("announce %s: %s", at, stoa_errmsg());
}

unsigned char byte_at(unsigned n, size_t place)
{
    return (unsigned char)((place * 131 + n * 31 + place / 251) ^ (place >> 13));
}

void bytes_of(unsigned n, size_t from, unsigned char *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = byte_at(n, from + i);
}
