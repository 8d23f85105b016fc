/* bench/cmd_bench.c - `stoa bench ADDR`: how fast is a server, really?
 *
 *     stoa bench 127.0.0.1:8081                         closed loop, ten seconds
 *     stoa bench 127.0.0.1:8081 --rate 50k --html r.html
 *     stoa bench :8081 --find-max 'p99<5ms'
 *     stoa bench --compare before.hlog after.hlog --fail-if 'p99+10%'
 *
 * A run: is there a server (probe.c); load it (run.c and what is below); tell (report_*.c).
 */
#include "cli/bench/live.h"
#include "cli/bench/logs.h"
#include "cli/bench/options.h"
#include "cli/bench/search.h"
#include "cli/bench/write.h"
#include "cli/commands.h"
#include "cli/exitcode.h"
#include "cli/output.h"
#include "cli/reach.h"
#include "cli/signals.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char WHO[] = "stoa bench";

enum {
    CONNS_DEFAULT = 64,
    SIZE_DEFAULT = 64,
    STREAM_SIZE = 16 << 10,
    STREAM_FLIGHT = 1 << 20, /* bytes under way on a connection of --stream */
    WHOLE_MAX = 64 << 10,    /* bytes that surely go before the answer is read */
    WORKERS_DEFAULT_MAX = 8,
    INTERVALS_MAX = 3600,
    DESCRIPTORS_SPARE = 64,
};

static const double DURATION_DEFAULT = 10, STEP_DEFAULT = 2;
static const double TIMEOUT_DEFAULT = 10, TIMEOUT_DATAGRAM = 1;

/* The first asks for an end with a report, the second for an end. */
static void on_signal(int sig)
{
    static int nsignal;

    if (nsignal++ > 0)
        _exit(CODE_SIGNAL + sig);
    run_stop();
}

static int usage(const char *fmt, const char *what)
{
    output_say(WHO, fmt, what);
    return CODE_USAGE;
}

/* -------------------------------------------------------------------------
 * From options to a plan
 * ---------------------------------------------------------------------- */

static enum expect expectation(const struct options *o)
{
    if (o->no_verify)
        return EXPECT_LENGTH;
    if (!o->expect || strcmp(o->expect, "upper") == 0)
        return EXPECT_UPPER;
    if (strcmp(o->expect, "echo") == 0)
        return EXPECT_ECHO;
    return strcmp(o->expect, "none") == 0 ? EXPECT_NOTHING : EXPECT_FILE;
}

static unsigned default_workers(const struct plan *p)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;

    if (n > WORKERS_DEFAULT_MAX)
        n = WORKERS_DEFAULT_MAX;
    if (n > (long)p->nconn)
        n = p->nconn;
    return n > 1 ? (unsigned)n : 1;
}

static void fill_in(struct options *o)
{
    struct plan *p = &o->plan;
    bool stream = p->mode == MODE_STREAM;

    p->to = o->words[0];
    p->ask_path = o->ask_path;
    p->want_path = expectation(o) == EXPECT_FILE ? o->expect : NULL;
    if (p->nworker == 0)
        p->nworker = default_workers(p);
    if (p->duration_sec == 0)
        p->duration_sec = o->find_max.text ? STEP_DEFAULT : DURATION_DEFAULT;
    p->interval_sec = fmax(1, ceil(p->duration_sec / INTERVALS_MAX));
    if (o->size == 0)
        o->size = stream ? STREAM_SIZE : SIZE_DEFAULT;
    if (p->pause_sec == 0)
        p->pause_sec = 1;
}

/* With the script made: what depends on a message's size. */
static int fill_in_sizes(struct plan *p)
{
    if (p->script.ask_len > WHOLE_MAX && (p->mode == MODE_CHURN || p->nidle || p->nslow)) {
        output_say(WHO,
                   "--churn, --idle and --slow send whole messages before they read: %d bytes "
                   "at most",
                   WHOLE_MAX);
        return CODE_USAGE;
    }
    if (p->pipeline == 0)
        p->pipeline = p->mode == MODE_STREAM && p->script.ask_len < STREAM_FLIGHT
                          ? (unsigned)(STREAM_FLIGHT / p->script.ask_len)
                          : 1;
    return CODE_OK;
}

/* Descriptors for all connections, as far as the limit can be raised. */
static int make_room(const struct plan *p)
{
    struct rlimit files;
    uint64_t wanted = (uint64_t)p->nconn + p->nidle + p->nslow + DESCRIPTORS_SPARE;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (wanted <= files.rlim_max)
        return CODE_OK;
    output_say(WHO,
               "%ju connections need %ju descriptors, and this process may have %ju "
               "(ulimit -Hn): use fewer, or several processes and --merge",
               (uintmax_t)(wanted - DESCRIPTORS_SPARE), (uintmax_t)wanted,
               (uintmax_t)files.rlim_max);
    return CODE_FAILED;
}

static bool is_loopback(const struct stoa_addr *a)
{
    struct sockaddr_in in;

    memcpy(&in, &a->sa, sizeof(in));
    return a->sa.ss_family == AF_INET && ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* An address to come from needs no port. */
static int source(struct plan *p)
{
    static char with_port[STOA_ADDR_TEXT_MAX];
    const char *colon = strchr(p->from, ':');
    bool bare = !colon || (p->from[0] != '[' && colon != strrchr(p->from, ':'));

    if (bare && reach_address(with_port, sizeof(with_port), "", p->from, "0"))
        p->from = with_port;
    if (stoa_addr_parse(&p->source, p->from) < 0) {
        output_say(WHO, "--from %s: %s", p->from, stoa_errmsg());
        return CODE_USAGE;
    }
    return CODE_OK;
}

/* Ask the address what it is, and the server whether it is there. */
static int find_server(struct options *o)
{
    struct plan *p = &o->plan;
    char why[SENTENCE_MAX];

    if (strncmp(p->to, "fd:", 3) == 0)
        return usage("%s is one connection, and an address is wanted", p->to);
    if (p->from && source(p) != CODE_OK)
        return CODE_USAGE;
    if (stoa_resolve(p->to, &p->at, 1) < 0) {
        int code = exitcode_peer(errno, p->to);
        output_say(WHO, "%s", stoa_errmsg());
        return code;
    }
    p->datagram = p->at.type == SOCK_DGRAM;
    if (p->timeout_sec == 0)
        p->timeout_sec = p->datagram ? TIMEOUT_DATAGRAM : TIMEOUT_DEFAULT;
    if (p->datagram && (p->pipeline > 1 || p->mode != MODE_TALK || p->nidle || p->nslow))
        return usage("%s: UDP has one message under way at a time, and no connections: "
                     "no --pipeline, --stream, --churn, --idle, --slow",
                     p->to);
    if (p->datagram && (p->script.ask_len > 65507 || p->script.answer_len == 0))
        return usage("%s: a UDP message has 65507 bytes at most, and needs an answer", p->to);
    int code = run_probe(p, why, sizeof(why));
    if (code != CODE_OK)
        output_say(WHO, "%s", why);
    p->spread = !p->from && !p->datagram && is_loopback(&p->at);
    return code;
}

/* -------------------------------------------------------------------------
 * Doing it
 * ---------------------------------------------------------------------- */

static int run_and_report(struct options *o)
{
    struct outcome outcome;
    struct report r = {.plan = &o->plan, .outcome = &outcome};
    struct live live;
    char why[SENTENCE_MAX];
    int code;

    surroundings_before(&r.around);
    live_start(&live, &o->plan, o->quiet);
    if (run_plan(&o->plan, &outcome, &live, why, sizeof(why)) < 0) {
        output_say(WHO, "%s", why);
        outcome_fini(&outcome);
        return CODE_FAILED;
    }
    surroundings_after(&r.around);
    notes_make(&r.notes, &o->plan, &outcome);
    code = write_reports(o, &r);
    if (code == CODE_OK && (outcome.nerror > 0 || (outcome.nanswer == 0 && o->plan.nconn > 0)))
        code = CODE_FAILED;
    if (outcome.interrupted)
        code = CODE_SIGNAL + SIGINT;
    outcome_fini(&outcome);
    return code;
}

static int load(struct options *o)
{
    static const int signals[] = {SIGINT, SIGTERM, 0};
    struct plan *p = &o->plan;
    char why[SENTENCE_MAX];
    int code;

    fill_in(o);
    if (script_make(&p->script, expectation(o), (size_t)o->size, (size_t)o->answer_len, o->ask_path,
                    o->expect, why, sizeof(why)) < 0) {
        output_say(WHO, "%s", why);
        return CODE_FAILED;
    }
    code = fill_in_sizes(p);
    if (code == CODE_OK)
        code = make_room(p);
    if (code == CODE_OK)
        code = find_server(o);
    if (code != CODE_OK)
        goto end;
    if (signals_take(signals, on_signal) < 0) {
        output_say(WHO, "%s", strerror(errno));
        code = CODE_FAILED;
        goto end;
    }
    code = o->find_max.text ? search(o) : run_and_report(o);
end:
    script_free(&p->script);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    static struct options o = {.plan = {.nconn = CONNS_DEFAULT}};

    argp_parse(&cmd_bench_argp, argc, argv, 0, NULL, &o);
    if (o.compare)
        return logs_compare(&o);
    int code = write_try(&o);
    if (code != CODE_OK)
        return code;
    return o.merge ? logs_merge(&o) : load(&o);
}
