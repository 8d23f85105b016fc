/* bench/options.c - the argp table of `stoa bench`, and which options go together. */
#include "cli/bench/options.h"

#include "cli/args.h"
#include "cli/bench/number.h"
#include "cli/bench/replace.h"
#include "cli/commands.h"
#include "cli/exitcode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CONNS_MAX = 1000000,
    WORKERS_MAX = 64,
    PIPELINE_MAX = 4096,
    SIZE_MAX_BYTES = 64 << 20,
    DATAGRAM_MAX = 65507,
};

static const double RATE_MAX = 1e9;
static const double DURATION_MAX = 86400;

/* Those of a load come before KEY_JSON. */
enum key {
    KEY_PIPELINE = 256,
    KEY_RATE,
    KEY_RAMP,
    KEY_FIND_MAX,
    KEY_STREAM,
    KEY_CHURN,
    KEY_CLOSE,
    KEY_IDLE,
    KEY_SLOW,
    KEY_PAUSE,
    KEY_WORKERS,
    KEY_SEND,
    KEY_EXPECT,
    KEY_NO_VERIFY,
    KEY_ANSWER_SIZE,
    KEY_TIMEOUT,
    KEY_FROM,
    KEY_START_AT,
    KEY_JSON,
    KEY_HLOG,
    KEY_HTML,
    KEY_COMPARE,
    KEY_FAIL_IF,
    KEY_MERGE,
};

static const struct argp_option option_table[] = {
    {NULL, 0, NULL, 0, "The load:", 1},
    {"conns", 'c', "N", 0, "Connections (64)", 1},
    {"size", 's', "BYTES", 0, "Of a message (64; with --stream 16KiB)", 1},
    {"duration", 'd', "TIME", 0, "How long (10s; with --find-max, each step 2s)", 1},
    {"pipeline", KEY_PIPELINE, "N", 0, "Messages under way on each connection (1)", 1},
    {"rate", KEY_RATE, "N", 0, "Messages a second, on a fixed schedule", 1},
    {"ramp", KEY_RAMP, "N:M", 0, "The same, the rate going from N to M", 1},
    {"find-max", KEY_FIND_MAX, "GOAL", 0, "Find the highest rate with, say, 'p99<5ms'", 1},
    {"stream", KEY_STREAM, NULL, 0, "As many bytes as go through", 1},
    {"churn", KEY_CHURN, NULL, 0, "A connection for each message", 1},
    {"close", KEY_CLOSE, "WHO", 0, "With --churn: client (default), server, or reset", 1},
    {"idle", KEY_IDLE, "N", 0, "Silent connections besides", 1},
    {"slow", KEY_SLOW, "N", 0, "Clients besides that send a byte at a time", 1},
    {"pause", KEY_PAUSE, "TIME", 0, "Of a slow one, between two bytes (1s)", 1},
    {NULL, 0, NULL, 0, "What is sent, and what must come back:", 2},
    {"send", KEY_SEND, "FILE", 0, "The message (default: bytes of chance)", 2},
    {"expect", KEY_EXPECT, "WHAT", 0, "upper (default), echo, none, or a FILE with the answer", 2},
    {"no-verify", KEY_NO_VERIFY, NULL, 0, "Count the answer's bytes, do not compare them", 2},
    {"answer-size", KEY_ANSWER_SIZE, "BYTES", 0, "With --no-verify (the message's)", 2},
    {"timeout", KEY_TIMEOUT, "TIME", 0, "An answer that takes longer is none (10s, UDP 1s)", 2},
    {NULL, 0, NULL, 0, "This side:", 3},
    {"workers", KEY_WORKERS, "N", 0, "Threads (half the processors, 8 at most)", 3},
    {"from", KEY_FROM, "ADDR", 0, "Connect from this address (loopback: from many)", 3},
    {"start-at", KEY_START_AT, "SECONDS", 0, "Begin at this time, in seconds since 1970", 3},
    {NULL, 0, NULL, 0, "Reports:", 4},
    {"json", KEY_JSON, "FILE", OPTION_ARG_OPTIONAL, "JSON, on standard output or to a file", 4},
    {"hlog", KEY_HLOG, "FILE", 0, "A log of HdrHistogram, for --compare and other tools", 4},
    {"html", KEY_HTML, "FILE", 0, "A page with plots", 4},
    {"quiet", 'q', NULL, 0, "Nothing on standard error while it runs", 4},
    {NULL, 0, NULL, 0, "Of logs:", 5},
    {"compare", KEY_COMPARE, NULL, 0, "Compare two logs, A and B", 5},
    {"fail-if", KEY_FAIL_IF, "GOAL", 0, "Exit 1 when B is worse by, say, 'p99+10%'", 5},
    {"merge", KEY_MERGE, NULL, 0, "Report several logs, of several machines, as one", 5},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

/* -------------------------------------------------------------------------
 * Values
 * ---------------------------------------------------------------------- */

static double amount(struct argp_state *state, const char *option, const char *arg, double least,
                     double most)
{
    double n;

    if (!number_read(arg, least, most, &n))
        argp_error(state, "%s %s: not a number from %.15g to %.15g; 100, 10k, 1.5M, 16KiB is one",
                   option, arg, least, most);
    return n;
}

static unsigned count(struct argp_state *state, const char *option, const char *arg, double least,
                      double most)
{
    double n = amount(state, option, arg, least, most);

    if (n != floor(n))
        argp_error(state, "%s %s: not a whole number", option, arg);
    return (unsigned)n;
}

static double time_over_0(struct argp_state *state, const char *option, const char *arg)
{
    double seconds = args_seconds(state, option, arg);

    if (seconds <= 0 || seconds > DURATION_MAX)
        argp_error(state, "%s %s: from a moment to a day", option, arg);
    return seconds;
}

/* "1k:100k" */
static void ramp(struct argp_state *state, struct plan *p, const char *arg)
{
    const char *colon = strchr(arg, ':');
    char first[32];

    if (!colon || (size_t)(colon - arg) >= sizeof(first))
        argp_error(state, "--ramp %s: two rates are wanted, 1k:100k", arg);
    snprintf(first, sizeof(first), "%.*s", (int)(colon - arg), arg);
    p->rate = amount(state, "--ramp", first, 1, RATE_MAX);
    p->rate_end = amount(state, "--ramp", colon + 1, 1, RATE_MAX);
}

static enum closer closer(struct argp_state *state, const char *arg)
{
    static const char *const names[] = {"client", "server", "reset"};

    for (int i = 0; i < 3; i++)
        if (strcmp(arg, names[i]) == 0)
            return (enum closer)i;
    argp_error(state, "--close %s: client, server or reset", arg);
    return CLOSER_CLIENT;
}

static double start_at(struct argp_state *state, const char *arg)
{
    double seconds;
    const char *rest = number_scan(arg, &seconds);

    if (!rest || *rest || fabs(seconds - (double)time(NULL)) > DURATION_MAX)
        argp_error(state,
                   "--start-at %s: seconds since 1970, within a day from now, are wanted: "
                   "$(($(date +%%s) + 10))",
                   arg);
    return seconds;
}

/* -------------------------------------------------------------------------
 * Which go together
 * ---------------------------------------------------------------------- */

/* How many reports want standard output. */
static int on_stdout(const struct options *o)
{
    return o->json + replace_is_stdout(o->hlog_path) + replace_is_stdout(o->html_path) +
           replace_is_stdout(o->json_path);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static void check_logs(struct argp_state *state, const struct options *o)
{
    const struct {
        bool wrong;
        const char *why;
    } rules[] = {
        {o->compare && o->merge, "--compare and --merge exclude each other"},
        {o->compare && o->nword != 2, "--compare takes two logs, A and B"},
        {o->merge && o->nword < 1, "--merge: which logs?"},
        {(o->compare || o->merge) && o->load_said,
         "--compare and --merge load nothing: no address, and no options of a load"},
        {on_stdout(o) > 1, "standard output takes one report: the others need a file"},
        {o->fail_if.text && !o->compare, "--fail-if needs --compare"},
        {o->compare && (o->hlog_path || o->html_path || o->json_path || o->json),
         "--compare prints text only"},
        {!o->compare && !o->merge && o->nword > 1 && o->json,
         "one address is wanted; --json takes its file with =: --json=FILE"},
        {!o->compare && !o->merge && o->nword > 1, "one address is wanted"},
        {same(o->hlog_path, o->html_path), "--html and --hlog have one file"},
        {same(o->hlog_path, o->json_path), "--hlog and --json have one file"},
        {same(o->html_path, o->json_path), "--html and --json have one file"},
        {!o->nword, "which address? 127.0.0.1:8081, [::1]:80, unix:/path, udp://:53 ..."},
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].wrong)
            argp_error(state, "%s", rules[i].why);
}

static void check_load(struct argp_state *state, const struct options *o)
{
    const struct plan *p = &o->plan;
    bool none = o->expect && strcmp(o->expect, "none") == 0;
    const struct {
        bool wrong;
        const char *why;
    } rules[] = {
        {p->mode == MODE_STREAM && p->rate > 0, "--stream goes as fast as it can: no --rate"},
        {p->mode == MODE_CHURN && o->pipeline_said, "--churn sends one message a connection"},
        {p->mode == MODE_CHURN && none && p->closer != CLOSER_SERVER && p->rate == 0,
         "--churn --expect none needs --close server: else nothing shows that it arrived"},
        {o->stream_said && o->churn_said, "--stream and --churn exclude each other"},
        {o->rate_said && o->ramp_said, "--rate and --ramp exclude each other"},
        {p->pause_sec > 0 && p->nslow == 0, "--pause needs --slow"},
        {p->closer != CLOSER_CLIENT && p->mode != MODE_CHURN, "--close needs --churn"},
        {none && p->rate > 0 && p->mode != MODE_CHURN,
         "--expect none has no answers whose time could be measured: no --rate"},
        {none && o->pipeline_said, "--expect none has no answers: no --pipeline"},
        {o->find_max.text && p->rate > 0, "--find-max chooses the rates itself"},
        {o->find_max.text && (p->mode == MODE_STREAM || none), "--find-max needs answers"},
        {o->find_max.text && (o->hlog_path || o->html_path),
         "--find-max has many runs: no --hlog, no --html"},
        {o->find_max.text && p->start_at > 0, "--find-max has many runs: no --start-at"},
        {o->find_max.text && (o->json || o->json_path), "--find-max prints text only"},
        {o->no_verify && o->expect, "--no-verify and --expect exclude each other"},
        {o->answer_len > 0 && !o->no_verify, "--answer-size needs --no-verify"},
        {o->size_said && o->ask_path, "--send has its own size"},
        {p->nconn == 0 && p->nidle + p->nslow == 0, "--conns 0 needs --idle or --slow"},
        {p->nconn == 0 && p->rate > 0, "--conns 0 sends nothing: no --rate"},
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].wrong)
            argp_error(state, "%s", rules[i].why);
    if (p->nconn && p->nworker > p->nconn)
        argp_error(state, "--workers %u: there are %u connections only", p->nworker, p->nconn);
}

/* -------------------------------------------------------------------------
 * The table's other half
 * ---------------------------------------------------------------------- */

static const char *file(struct argp_state *state, const char *option, const char *arg)
{
    if (arg && !*arg)
        argp_error(state, "%s: the name of a file is empty", option);
    return arg;
}

/* A file after --json and not with it would be taken for an address, or for a log. */
static void refuse_apart(struct argp_state *state)
{
    const char *word = state->next < state->argc ? state->argv[state->next] : "";
    const char *end = strrchr(word, '.');

    if (end && strcmp(end, ".json") == 0)
        argp_error(state, "--json %s: the file is said with =, --json=%s", word, word);
}

static error_t parse_report(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case KEY_JSON:
        if (!arg)
            refuse_apart(state);
        o->json = !arg;
        o->json_path = file(state, "--json", arg);
        return 0;
    case KEY_HLOG:
        o->hlog_path = file(state, "--hlog", arg);
        return 0;
    case KEY_HTML:
        o->html_path = file(state, "--html", arg);
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case KEY_COMPARE:
        o->compare = true;
        return 0;
    case KEY_MERGE:
        o->merge = true;
        return 0;
    case KEY_FAIL_IF:
        if (!goal_read_relative(&o->fail_if, arg))
            argp_error(state, "--fail-if %s: 'p99+10%%', 'max+50%%' or 'rate-5%%' is one", arg);
        return 0;
    case KEY_FIND_MAX:
        if (!goal_read(&o->find_max, arg))
            argp_error(state, "--find-max %s: 'p99<5ms' or 'max<1s' is one", arg);
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    case ARGP_KEY_ARG:
        if (o->nword == WORDS_MAX)
            argp_error(state, "more than %d words", WORDS_MAX);
        o->words[o->nword++] = arg;
        return 0;
    case ARGP_KEY_END:
        check_logs(state, o);
        if (!o->compare && !o->merge)
            check_load(state, o);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_bytes(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;

    switch (key) {
    case 's':
        o->size = count(state, "--size", arg, 1, SIZE_MAX_BYTES);
        o->size_said = true;
        return 0;
    case KEY_SEND:
        o->ask_path = arg;
        return 0;
    case KEY_EXPECT:
        o->expect = arg;
        return 0;
    case KEY_NO_VERIFY:
        o->no_verify = true;
        return 0;
    case KEY_ANSWER_SIZE:
        o->answer_len = count(state, "--answer-size", arg, 1, SIZE_MAX_BYTES);
        return 0;
    default:
        return parse_report(key, arg, state);
    }
}

static error_t parse_side(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    struct plan *p = &o->plan;

    switch (key) {
    case KEY_TIMEOUT:
        p->timeout_sec = time_over_0(state, "--timeout", arg);
        return 0;
    case KEY_WORKERS:
        p->nworker = count(state, "--workers", arg, 1, WORKERS_MAX);
        return 0;
    case KEY_FROM:
        p->from = arg;
        return 0;
    case KEY_START_AT:
        p->start_at = start_at(state, arg);
        return 0;
    case KEY_IDLE:
        p->nidle = count(state, "--idle", arg, 1, CONNS_MAX);
        return 0;
    case KEY_SLOW:
        p->nslow = count(state, "--slow", arg, 1, CONNS_MAX);
        return 0;
    case KEY_PAUSE:
        p->pause_sec = time_over_0(state, "--pause", arg);
        return 0;
    default:
        return parse_bytes(key, arg, state);
    }
}

static bool is_load(int key)
{
    return key == 'c' || key == 's' || key == 'd' || (key >= KEY_PIPELINE && key < KEY_JSON);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    struct plan *p = &o->plan;

    o->load_said |= is_load(key);
    switch (key) {
    case 'c':
        p->nconn = count(state, "--conns", arg, 0, CONNS_MAX);
        return 0;
    case 'd':
        p->duration_sec = time_over_0(state, "--duration", arg);
        return 0;
    case KEY_PIPELINE:
        p->pipeline = count(state, "--pipeline", arg, 1, PIPELINE_MAX);
        o->pipeline_said = true;
        return 0;
    case KEY_RATE:
        p->rate = p->rate_end = amount(state, "--rate", arg, 0.001, RATE_MAX);
        o->rate_said = true;
        return 0;
    case KEY_RAMP:
        ramp(state, p, arg);
        o->ramp_said = true;
        return 0;
    case KEY_STREAM:
        p->mode = MODE_STREAM;
        o->stream_said = true;
        return 0;
    case KEY_CHURN:
        p->mode = MODE_CHURN;
        o->churn_said = true;
        return 0;
    case KEY_CLOSE:
        p->closer = closer(state, arg);
        return 0;
    default:
        return parse_side(key, arg, state);
    }
}

const struct argp cmd_bench_argp = {
    .options = option_table,
    .parser = parse,
    .args_doc = "ADDR\n--compare A B\n--merge LOG...",
    .doc = "Load a server and measure its answers.\v"
           "Without --rate each connection asks again when it has its answer (closed loop); with "
           "it, messages are due at fixed times, and response time counts from there.\n"
           "ADDR: 127.0.0.1:8081, [::1]:80, udp://host:53, unix:/path, unix:@name\n"
           "TIME: 500ms, 5s, 2m, 1h\n" EXITCODE_HELP,
};
