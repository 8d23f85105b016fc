/* simworld.c - one world of `stoa sim`: clients ask the handler's server until all is answered.
 *
 * Whatever the network does, no client may get a wrong byte; what it may get is an end or an
 * error in the middle, and then it asks again on a new connection.  After FAULTS_SECONDS
 * the faults stop, and from then on everything must be answered within PATIENCE_SECONDS.
 */
#include "cli/simworld.h"

#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <stoa.h>
#include <stoa/sim.h>
#include <string.h>

enum { MESSAGE_MAX = 3000 };

static const char *const AT = ":8081";
static const char *const TO = "server:8081";
static const double FAULTS_SECONDS = 60;
static const double PATIENCE_SECONDS = 900;
static const double SILENCE_SECONDS = 120; /* a reset can be lost, and is not sent again */

/* Of the run under way: a world's functions have one argument, and it is the host's. */
static const struct simworld *world;
static struct simrun *now;

static int wrong(const char *sentence)
{
    struct text t;

    text_init(&t, now->why, sizeof(now->why));
    text_add(&t, sentence);
    return -1;
}

static void talk(int conn, void *arg)
{
    struct visit v = {0};

    (void)arg;
    world->handler->talk(conn, &v);
}

static int serve(void *arg)
{
    (void)arg;
    while (stoa_serve(AT, talk, NULL, NULL) < 0 && errno != ECANCELED)
        stoa_sleep(0.1);
    return 0;
}

/* Send one message, and look at the answer: 1 it was right, 0 the connection broke, -1 wrong. */
static int ask(int s)
{
    char out[MESSAGE_MAX], want[MESSAGE_MAX], in[MESSAGE_MAX];
    size_t len = 1 + (size_t)stoa_sim_random(stoa_sim_random(4) ? 100 : MESSAGE_MAX);

    for (size_t i = 0; i < len; i++)
        out[i] = want[i] = (char)stoa_sim_random(256);
    int answer = world->handler->answer(want, len);
    if (stoa_sendall(s, out, len, 0) < 0)
        return 0;
    if (answer < 0)
        return 1;
    ssize_t n = stoa_recvall(s, in, (size_t)answer);
    size_t came = n < 0 ? stoa_done() : (size_t)n;
    if (memcmp(in, want, came) != 0)
        return wrong("a client got other bytes than its own, answered");
    return n == answer;
}

static int client(void *arg)
{
    int s = -1, r = 0;

    (void)arg;
    for (unsigned n = 0; r >= 0 && n < world->messages;) {
        if (s < 0)
            s = stoa_dial(TO, NULL);
        if (s >= 0) {
            stoa_settimeout(s, SILENCE_SECONDS);
            r = ask(s);
            n += r > 0;
        }
        if (s >= 0 && r <= 0) {
            stoa_close(s);
            s = -1;
        }
        if (stoa_sleep(0.001 * (double)stoa_sim_random(1000)) < 0)
            r = -1;
    }
    if (s >= 0)
        stoa_close(s);
    return r < 0 ? -1 : 0;
}

static int ends_faults(void *arg)
{
    (void)arg;
    if (stoa_sleep(FAULTS_SECONDS) == 0)
        stoa_sim_faults(false);
    return 0;
}

static int first(void *arg)
{
    struct stoa_group *clients = stoa_group_open();
    struct stoa_scope patience;
    int r = 0;

    (void)arg;
    if (!clients)
        return -1;
    stoa_sim_go(stoa_sim_host("server", NULL), NULL, serve, NULL);
    stoa_go(NULL, ends_faults, NULL);
    for (unsigned i = 0; i < world->clients; i++)
        stoa_go(clients, client, NULL);
    stoa_within(&patience, FAULTS_SECONDS + PATIENCE_SECONDS);
    r = stoa_group_join(clients);
    if (stoa_leave(&patience) < 0 && !now->why[0])
        wrong("a client is still without its answers, long after the faults have stopped");
    return r;
}

int simworld_run(const struct simworld *w, uint64_t seed, struct simrun *r)
{
    struct stoa_sim_result result = {0};
    struct stoa_sim_options o = {
        .size = sizeof(o),
        .faults = w->faults,
        .link = {.latency = 0.001, .jitter = 0.01},
        .trace = w->trace,
        .result = &result,
    };

    *r = (struct simrun){.why = ""};
    world = w;
    now = r;
    int rc = stoa_sim_run(seed, first, NULL, &o);
    if (rc < 0 && !r->why[0])
        wrong(stoa_errmsg());
    r->hash = result.hash;
    r->seconds = result.seconds;
    r->events = result.events;
    r->faults = result.faults;
    return r->why[0] ? -1 : 0;
}
