/* main.c - load: makes an upper-casing TCP server busy, and says what it cost it.
 *
 * One thread, to be pinned by taskset(1) to a processor that the server does not use.
 * Every byte of every answer is compared with what upper() gives; a wrong one, or a
 * connection that ends, is the end of the run with a sentence and exit code 1.
 * The report is a line of JSON: messages, rate, percentiles of latency, processor time
 * of the server and of this program for a message, and who was the limit.
 *
 * The load is given in slices of duration / slices seconds: a slice ends when its last
 * answer is there, so what the server has spent in it is for its messages.  With --turns
 * whoever started us says when: by a byte on standard input, one for the warm-up, one for
 * each slice, and one for the end.  A line says that the connections are there, and that a
 * slice is over.
 * So several servers with a generator each can be loaded in turns, and on a machine
 * whose speed changes from second to second (neighbours, frequency) their ratio
 * is still right, for all were measured in each moment.
 *
 *   load [options] [PID@]ADDRESS:PORT
 *   --conns N      connections that talk, 64          --size N       bytes a message, 64
 *   --pipeline N   messages under way on each, 1      --rate R       open loop, messages a second
 *   --churn        a connection for each message      --wait-eof     ... seen to its very end
 *   --idle N       more connections, silent ones      --hold         only those, until stdin ends
 *   --warmup SEC   not counted, 0.3                   --duration SEC in all slices, 1
 *   --slices N     how many, 1                        --turns        ... when standard input says
 *
 * With --hold a line says when the idle connections are there; see idle.py.
 */
#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct option long_options[] = {
    {"conns", required_argument, NULL, 'c'},
    {"size", required_argument, NULL, 's'},
    {"pipeline", required_argument, NULL, 'p'},
    {"rate", required_argument, NULL, 'r'},
    {"idle", required_argument, NULL, 'i'},
    {"warmup", required_argument, NULL, 'w'},
    {"duration", required_argument, NULL, 'd'},
    {"slices", required_argument, NULL, 'S'},
    {"churn", no_argument, NULL, 'C'},
    {"wait-eof", no_argument, NULL, 'E'},
    {"hold", no_argument, NULL, 'H'},
    {"turns", no_argument, NULL, 'T'},
    {0},
};

__attribute__((noreturn)) static void usage(const char *why)
{
    fprintf(stderr, "load: %s\nusage: load [options] [PID@]ADDRESS:PORT (see bench/load/main.c)\n",
            why);
    exit(2);
}

static double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= least && value <= most)) {
        fprintf(stderr, "load: %s: a number from %g to %g is wanted\n", text, least, most);
        exit(2);
    }
    return value;
}

static void set(struct options *o, int option, const char *arg)
{
    switch (option) {
    case 'c':
        o->nconn = (unsigned)number(arg, 1, 1e6);
        break;
    case 's':
        o->size = (size_t)number(arg, 1, STREAM_CHUNK);
        break;
    case 'p':
        o->pipeline = (unsigned)number(arg, 1, 65536);
        break;
    case 'r':
        o->rate = number(arg, 1, 1e8);
        break;
    case 'i':
        o->nidle = (unsigned)number(arg, 1, 1e6);
        break;
    case 'w':
        o->warmup_sec = number(arg, 0, 3600);
        break;
    case 'd':
        o->duration_sec = number(arg, 0.001, 3600);
        break;
    case 'S':
        o->nslice = (unsigned)number(arg, 1, 10000);
        break;
    case 'C':
        o->churn = true;
        break;
    case 'E':
        o->wait_eof = true;
        break;
    case 'H':
        o->hold = true;
        break;
    case 'T':
        o->turns = true;
        break;
    default:
        usage("an option is unknown or incomplete");
    }
}

/* "1234@127.0.0.1:8081"; the text is changed. */
static struct target target(char *text, unsigned nslice)
{
    struct target t = {.at = {.sin_family = AF_INET}};
    char *colon = strrchr(text, ':'), *at = strchr(text, '@');

    if (!colon)
        usage("ADDRESS:PORT is wanted");
    *colon = '\0';
    t.at.sin_port = htons((uint16_t)number(colon + 1, 1, 65535));
    if (at) {
        *at = '\0';
        t.pid = (pid_t)number(text, 1, 1 << 22);
    }
    if (inet_pton(AF_INET, at ? at + 1 : text, &t.at.sin_addr) != 1)
        usage("an IPv4 address is wanted");
    t.slice_us = calloc(nslice, sizeof(*t.slice_us));
    if (!t.slice_us)
        fail("out of memory");
    return t;
}

static void hold(const struct options *o)
{
    char byte;

    printf("{\"idle\": %u}\n", o->nidle);
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        continue;
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

/* With --turns: our turn begins, and is over. */
static void turn_begin(const struct options *o)
{
    char byte;

    if (o->turns && read(STDIN_FILENO, &byte, 1) != 1)
        fail("nobody says whose turn it is");
}

static void turn_end(const struct options *o)
{
    if (o->turns)
        say("over");
}

static void run(const struct options *o, struct target *target)
{
    const struct kind *kind = o->churn ? &churn_kind : &talk_kind;
    uint64_t slice_ns = (uint64_t)(o->duration_sec * 1e9 / o->nslice);
    void *state = kind->open(o, target);

    if (o->turns)
        say("ready");
    turn_begin(o);
    kind->slice(state, now_ns() + (uint64_t)(o->warmup_sec * 1e9));
    turn_end(o);
    for (unsigned i = 0; i < o->nslice; i++) {
        turn_begin(o);
        count_begin(target);
        kind->slice(state, now_ns() + slice_ns);
        count_end(target);
        turn_end(o);
    }
    turn_begin(o); /* of closing, too: it is work for the server */
    count_print(target, o);
    kind->close(state);
}

static void raise_file_limit(void)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    struct options o = {
        .nconn = 64, .size = 64, .pipeline = 1, .warmup_sec = 0.3, .duration_sec = 1, .nslice = 1};
    int *idle = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        set(&o, option, optarg);
    if (optind != argc - 1)
        usage("one address is wanted");
    if (o.hold && o.nidle == 0)
        usage("--hold is for --idle");
    if (o.wait_eof && !o.churn)
        usage("--wait-eof is for --churn");
    struct target t = target(argv[optind], o.nslice);

    raise_file_limit();
    stream_make();
    if (o.nidle > 0)
        idle = idle_open(&o, &t);
    if (o.hold)
        hold(&o);
    else
        run(&o, &t);
    if (o.nidle > 0)
        idle_close(&o, idle);
    free(t.slice_us);
    return 0;
}
