/* cmd_serve.c - `stoa serve HANDLER ADDR`: the textbook's server, for ever, for everybody.
 *
 *     stoa serve upper :8081
 *     stoa serve exec 'cat; date' unix:/run/clock --max-conns 10
 *
 * The address is announced first, so that the one really had (port 0, --next-free) can be
 * told, and told before the first client: --ready-fd is for those who start us and must
 * not guess when we listen.  Then the listener goes to stoa_serve_on(), or, for UDP,
 * datagram.c's loop runs as a fiber.
 *
 * SIGINT and SIGTERM become stoa_stop(): connections have --drain-timeout to end.  The exit
 * code is 0 after SIGTERM, for that is how a service is stopped, and 130 after SIGINT.  A
 * second one ends everything at once.
 *
 * The soft limit of descriptors is raised to the hard one: 1,024 is select(2)'s limit, not
 * ours.  Not for exec, whose programs inherit it and may be select's.
 */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/control.h"
#include "cli/datagram.h"
#include "cli/exec.h"
#include "cli/exitcode.h"
#include "cli/handlers.h"
#include "cli/handover.h"
#include "cli/listener.h"
#include "cli/log.h"
#include "cli/notify.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "cli/signals.h"
#include "cli/words.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char WHO[] = "stoa serve";
static const double DRAIN_DEFAULT = 10; /* as stoa_options.drain */
static const double NO_TIME = 1e-9;     /* for options whose 0 is their default */

static const rlim_t EXEC_DESCRIPTORS = 4; /* a connection of exec's: itself, pidfd, socket pair */
static const rlim_t SPARE_DESCRIPTORS = 64;

struct serve {
    const struct handler *handler;
    const char *command;
    const char *at;
    struct stoa_options options;
    enum log_form log;
    const char *control; /* NULL: none */
    bool brief, next_free;
    int ready_fd;       /* -1: none */
    unsigned nprocess;  /* 0: this one alone */
    unsigned max_conns; /* of all processes together, as it was wished; 0: not at all */
    struct listener listener;
};

static double drain_seconds;
static atomic_int stopped_by; /* the first signal */

/* -------------------------------------------------------------------------
 * The command line
 * ---------------------------------------------------------------------- */

enum key {
    KEY_ONCE = 256,
    KEY_COUNT,
    KEY_TIMEOUT,
    KEY_MAX_CONNS,
    KEY_WORKERS,
    KEY_PROCESSES,
    KEY_BACKEND,
    KEY_BACKLOG,
    KEY_DRAIN,
    KEY_JSON,
    KEY_LOG,
    KEY_BRIEF,
    KEY_CONTROL,
    KEY_NEXT_FREE,
    KEY_READY_FD,
    KEY_MODE,
    KEY_PER_ADDRESS,
    KEY_FIRST_BYTE,
    KEY_IDLE,
    KEY_MIN_RATE,
    KEY_MAX_HOLD,
};

static const struct argp_option option_table[] = {
    {"once", KEY_ONCE, NULL, 0, "Serve one connection, then end (--count 1)", 0},
    {"count", KEY_COUNT, "N", 0, "Serve N connections (UDP: datagrams), then end", 0},
    {"timeout", KEY_TIMEOUT, "TIME", 0, "A client silent so long is sent off; exec: may run", 0},
    {"max-conns", KEY_MAX_CONNS, "N", 0, "Connections at once; others wait in the queue", 0},
    {"max-per-address", KEY_PER_ADDRESS, "N", 0, "Connections of one client address (1024)", 0},
    {"first-byte", KEY_FIRST_BYTE, "TIME", 0, "A client silent from the start is sent off", 0},
    {"idle", KEY_IDLE, "TIME", 0, "So is a connection without a byte either way", 0},
    {"min-rate", KEY_MIN_RATE, "N", 0, "So is one of fewer bytes a second, after 30s", 0},
    {"max-hold", KEY_MAX_HOLD, "TIME", 0, "A handler that keeps its worker so long is told", 0},
    {"workers", KEY_WORKERS, "N", 0, "Threads (one per core; of each process, one)", 0},
    {"processes", KEY_PROCESSES, "N", 0, "Processes, each with its own descriptors", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "How fibers wait: epoll or uring", 0},
    {"backlog", KEY_BACKLOG, "N", 0, "Length of that queue (default: the most allowed)", 0},
    {"drain-timeout", KEY_DRAIN, "TIME", 0, "For connections to end when stopped (10s)", 0},
    {"next-free", KEY_NEXT_FREE, NULL, 0, "If the port is taken, take the next free one", 0},
    {"ready-fd", KEY_READY_FD, "N", 0, "Write the address to descriptor N when listening", 0},
    {"mode", KEY_MODE, "OCTAL", 0, "A UNIX path's permissions (default 600)", 0},
    {"log", KEY_LOG, "FORM", 0, "The log: text, logfmt, json or none", 0},
    {"control", KEY_CONTROL, "PATH", 0, "Tell stoa top PATH what is alive", 0},
    {"brief", KEY_BRIEF, NULL, 0, "Log a connection when it goes, not when it comes", 0},
    {"json", KEY_JSON, NULL, 0, "The same as --log json", 0},
    {"quiet", 'q', NULL, 0, "The same as --log none", 0},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

static unsigned parse_mode(struct argp_state *state, const char *text)
{
    char *end = NULL;
    unsigned long mode = strtoul(text, &end, 8);

    if (*text < '0' || *text > '7' || *end || mode == 0 || mode > 0777)
        argp_error(state, "--mode %s: not permissions; 600, 660 or 666 are", text);
    return (unsigned)mode;
}

static enum log_form parse_log(struct argp_state *state, const char *word)
{
    static const char *const words[] = {
        [LOG_TEXT] = "text",
        [LOG_NONE] = "none",
        [LOG_LOGFMT] = "logfmt",
        [LOG_JSON] = "json",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i], word) == 0)
            return (enum log_form)i;
    argp_error(state, "--log %s: text, logfmt, json or none", word);
    return LOG_TEXT;
}

static int parse_ready_fd(struct argp_state *state, const char *text)
{
    int fd = (int)args_count(state, "--ready-fd", text, 0, INT32_MAX);
    int flags = fcntl(fd, F_GETFL);

    if (handover_is_next()) /* who waited for it has been told by our predecessor */
        return -1;
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        argp_error(state, "--ready-fd %d: %s", fd,
                   flags < 0 ? "this descriptor is not open" : "not open for writing");
    return fd;
}

static void parse_word(struct argp_state *state, struct serve *s, char *word)
{
    bool is_exec = s->handler && !s->handler->answer;

    if (!s->handler) {
        s->handler = handler_find(word);
        if (!s->handler)
            argp_error(state, "there is no handler '%s'; upper, echo, discard, exec CMD are", word);
    } else if (is_exec && !s->command) {
        s->command = word;
    } else if (!s->at) {
        s->at = word;
    } else {
        argp_error(state, "'%s' is one word too many%s", word,
                   is_exec ? "; put exec's command into quotation marks" : "");
    }
}

/* Never, which is 0 here, is negative there. */
static double or_never(double wish)
{
    return wish > 0 ? wish : -1;
}

static error_t parse_limit(int key, char *arg, struct argp_state *state)
{
    struct stoa_options *o = &((struct serve *)state->input)->options;

    switch (key) {
    case KEY_PER_ADDRESS:
        o->max_per_address = (unsigned)args_count(state, "--max-per-address", arg, 1, UINT32_MAX);
        return 0;
    case KEY_FIRST_BYTE:
        o->first_byte = or_never(args_seconds(state, "--first-byte", arg));
        return 0;
    case KEY_IDLE:
        o->idle = or_never(args_seconds(state, "--idle", arg));
        return 0;
    case KEY_MIN_RATE:
        o->min_rate = or_never((double)args_count(state, "--min-rate", arg, 0, UINT32_MAX));
        return 0;
    case KEY_MAX_HOLD:
        o->max_hold = or_never(args_seconds(state, "--max-hold", arg));
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_number(int key, char *arg, struct argp_state *state)
{
    struct serve *s = state->input;
    struct stoa_options *o = &s->options;

    switch (key) {
    case KEY_COUNT:
        o->count = args_count(state, "--count", arg, 1, INT64_MAX);
        return 0;
    case KEY_TIMEOUT:
        o->timeout = args_seconds(state, "--timeout", arg);
        if (o->timeout == 0)
            argp_error(state, "--timeout 0: leave it out for no timeout");
        return 0;
    case KEY_MAX_CONNS:
        s->max_conns = (unsigned)args_count(state, "--max-conns", arg, 1, UINT32_MAX);
        return 0;
    case KEY_WORKERS:
        o->workers = (int)args_count(state, "--workers", arg, 1, 1024);
        return 0;
    case KEY_PROCESSES:
        s->nprocess = (unsigned)args_count(state, "--processes", arg, 1, PROCESSES_MAX);
        return 0;
    case KEY_BACKLOG:
        o->backlog = (int)args_count(state, "--backlog", arg, 1, INT32_MAX);
        return 0;
    case KEY_DRAIN:
        drain_seconds = args_seconds(state, "--drain-timeout", arg);
        return 0;
    case KEY_MODE:
        o->mode = parse_mode(state, arg);
        return 0;
    case KEY_READY_FD:
        s->ready_fd = parse_ready_fd(state, arg);
        return 0;
    default:
        return parse_limit(key, arg, state);
    }
}

/* What is missing, and what does not go together. */
static void parse_end(struct argp_state *state, const struct serve *s)
{
    if (!s->handler)
        argp_error(state, "which handler? upper, echo, discard or exec CMD");
    if (!s->at)
        argp_error(state, "at which address? 127.0.0.1:8081, :8081, unix:/path ...");
    if (s->nprocess && s->options.count)
        argp_error(state, "--count or --once, and --processes: none of the processes knows how "
                          "many the others have served; leave out one");
    if (s->max_conns && s->max_conns < s->nprocess)
        argp_error(state, "--max-conns %u is for all processes together, and there are %u",
                   s->max_conns, s->nprocess);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct serve *s = state->input;

    switch (key) {
    case KEY_ONCE:
        s->options.count = 1;
        return 0;
    case KEY_BACKEND:
        s->options.backend = arg;
        return 0;
    case KEY_JSON:
        s->log = LOG_JSON;
        return 0;
    case KEY_LOG:
        s->log = parse_log(state, arg);
        return 0;
    case KEY_CONTROL:
        s->control = arg;
        return 0;
    case KEY_BRIEF:
        s->brief = true;
        return 0;
    case KEY_NEXT_FREE:
        s->next_free = true;
        return 0;
    case 'q':
        s->log = LOG_NONE;
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    case ARGP_KEY_ARG:
        parse_word(state, s, arg);
        return 0;
    case ARGP_KEY_END:
        parse_end(state, s);
        return 0;
    default:
        return parse_number(key, arg, state);
    }
}

const struct argp cmd_serve_argp = {
    .options = option_table,
    .parser = parse,
    .args_doc = "HANDLER ADDR",
    .doc = "Serve every client with a handler, for ever.\v"
           "HANDLER: upper (ASCII letters to capitals), echo, discard, exec CMD (sh -c)\n"
           "ADDR: 127.0.0.1:8081, :8081, [::1]:80, udp://:53, unix:/path, unix:@name, fd:3\n"
           "TIME: 500ms, 5s, 2m, 1h\n" EXITCODE_HELP,
};

/* -------------------------------------------------------------------------
 * Serving
 * ---------------------------------------------------------------------- */

static void stop(int sig)
{
    int none = 0;

    if (sig == SIGUSR2) {
        handover_begin();
        return;
    }
    if (!atomic_compare_exchange_strong(&stopped_by, &none, sig))
        _exit(CODE_SIGNAL + sig);
    log_stopping(drain_seconds);
    handover_tell_stopping();
    stoa_stop();
}

static void welcome(int conn, void *arg)
{
    const struct serve *s = arg;
    struct visit v = {.command = s->command, .timeout = s->options.timeout};

    log_came(conn, &v);
    int error = s->handler->talk(conn, &v);
    log_went(conn, &v, error);
}

/* The i-th process's part of --max-conns; 0: all that descriptors allow. */
static unsigned part_of_max_conns(const struct serve *s, unsigned i)
{
    unsigned n = s->nprocess ? s->nprocess : 1;

    return s->max_conns / n + (i < s->max_conns % n);
}

/* What may be open: all that is allowed, and for exec as many connections as fit.  An exit code. */
static int limits(struct serve *s)
{
    struct stoa_options *o = &s->options;
    rlim_t each = s->handler->answer ? 1 : EXEC_DESCRIPTORS;
    struct rlimit files;

    o->max_conns = part_of_max_conns(s, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return CODE_OK;
    if (s->handler->answer) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    } else if (!o->max_conns) {
        rlim_t n = files.rlim_cur > 2 * SPARE_DESCRIPTORS ? files.rlim_cur - SPARE_DESCRIPTORS
                                                          : SPARE_DESCRIPTORS;
        n /= EXEC_DESCRIPTORS;
        o->max_conns = n < UINT32_MAX ? (unsigned)n : UINT32_MAX;
    }
    if (o->max_conns <= files.rlim_cur / each)
        return CODE_OK;
    output_say(WHO,
               "--max-conns %u: each needs %ju of the %ju descriptors that %s process may have; "
               "LimitNOFILE= of systemd, or ulimit -n, allows more%s",
               s->max_conns ? s->max_conns : o->max_conns, (uintmax_t)each,
               (uintmax_t)files.rlim_cur, s->nprocess ? "a" : "the",
               s->nprocess ? "" : ", and so does --processes");
    return CODE_USAGE;
}

/* exec's command has its own limit of time; the connection itself, none. */
static struct stoa_options serve_options(const struct serve *s)
{
    struct stoa_options o = s->options;

    if (!s->handler->answer)
        o.timeout = 0;
    o.drain = drain_seconds > 0 ? drain_seconds : NO_TIME;
    o.tell = log_told;
    return o;
}

static int serve_stream(struct serve *s, int listener)
{
    struct stoa_options o = serve_options(s);

    return stoa_serve_on(listener, welcome, s, &o);
}

static int serve_datagrams(struct serve *s, int socket)
{
    struct datagrams d = {
        .socket = socket, .answer = s->handler->answer, .count = s->options.count};
    struct stoa_options o = s->options;

    return stoa_run(datagram_loop, &d, &o);
}

static bool limits_clients(const struct stoa_options *o)
{
    return o->max_conns || o->max_per_address || o->first_byte != 0 || o->idle != 0 ||
           o->min_rate != 0 || o->max_hold != 0;
}

static bool fits(const struct serve *s, const struct listener *l)
{
    if (!l->datagram)
        return true;
    if (!s->handler->answer)
        output_say(WHO, "%s: exec needs a stream, and this is UDP", s->at);
    else if (limits_clients(&s->options))
        output_say(WHO, "%s: a limit of clients has no meaning for UDP, which has none", s->at);
    else if (s->control)
        output_say(WHO, "%s: --control has no meaning for UDP, which has no connections", s->at);
    else if (s->options.timeout > 0)
        output_say(WHO, "%s: --timeout has no meaning for UDP, which has no connections", s->at);
    else
        return true;
    return false;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* At a socket, until it is over.  An exit code. */
static int serve_at(struct serve *s, int socket)
{
    int code = CODE_OK;

    if (!s->handler->answer)
        exec_errors(words_begin());
    if ((s->listener.datagram ? serve_datagrams : serve_stream)(s, socket) < 0) {
        code = errno == EINVAL ? CODE_USAGE : CODE_FAILED;
        output_say(WHO, "%s", stoa_errmsg());
    }
    words_end();
    return code;
}

/* Who waits for it is told that clients can connect.  An exit code. */
static int tell_ready(void *arg)
{
    struct serve *s = arg;
    int fd = s->ready_fd;

    log_listening(s->handler->name, &s->listener.at);
    s->ready_fd = -1; /* it is closed, and may soon be another's */
    if (!handover_is_next())
        notify("READY=1");
    if (fd < 0 || listener_tell(&s->listener, fd) == 0)
        return CODE_OK;
    output_say(WHO, "--ready-fd %d: %s", fd, strerror(errno));
    return CODE_FAILED;
}

static int serve_alone(struct serve *s)
{
    int code = control_begin(0);

    if (code == CODE_OK)
        code = tell_ready(s);
    if (code == CODE_OK)
        code = serve_at(s, s->listener.socket);
    control_stop();
    return code == CODE_OK && stopped_by == SIGINT ? CODE_SIGNAL + SIGINT : code;
}

static int serve_in_process(unsigned i, int socket, void *arg)
{
    struct serve *s = arg;
    int code;

    if (s->ready_fd >= 0)
        close(s->ready_fd);
    if (s->max_conns)
        s->options.max_conns = part_of_max_conns(s, i);
    if (!s->options.workers)
        s->options.workers = 1;
    code = control_begin(i);
    if (code == CODE_OK)
        code = serve_at(s, socket);
    control_stop();
    return code;
}

static int serve_by_processes(struct serve *s, const sigset_t *stops)
{
    struct plan plan = {
        .nprocess = s->nprocess,
        .at = s->at,
        .options = &s->options,
        .drain_seconds = drain_seconds,
        .stops = *stops,
        .serve = serve_in_process,
        .started = tell_ready,
        .arg = s,
    };

    return processes_run(&s->listener, &plan);
}

/* From now on signals stop the server, and do not end it.  Processes are made before there is a
 * thread, so then they are only blocked. */
static int take_signals(const struct serve *s, sigset_t *stops)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR2, 0};

    signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would take exec's children away */
    if (s->nprocess) {
        signals_block(signals, stops);
        return CODE_OK;
    }
    if (signals_take(signals, stop) == 0)
        return CODE_OK;
    output_say(WHO, "no thread for signals: %s", strerror(errno));
    return CODE_FAILED;
}

/* Before anybody can connect, see that all can be served as it was asked for; then listen. */
static int open_listener(struct serve *s)
{
    int code;

    if (stoa_run(nothing, NULL, &s->options) < 0) {
        output_say(WHO, "%s", stoa_errmsg());
        return errno == EINVAL ? CODE_USAGE : CODE_FAILED;
    }
    code = listener_open(&s->listener, s->at, &s->options, s->next_free ? WHO : NULL);
    if (code)
        output_say(WHO, "%s", s->listener.why);
    else if (!fits(s, &s->listener))
        return CODE_USAGE;
    return code;
}

static int serve(struct serve *s)
{
    sigset_t stops;
    int code = limits(s);

    if (code == CODE_OK)
        code = take_signals(s, &stops);
    if (code == CODE_OK)
        code = open_listener(s);
    if (code)
        return code;
    if (s->control)
        code = control_open(s->control, s->nprocess);
    if (code == CODE_OK)
        code = s->nprocess ? serve_by_processes(s, &stops) : serve_alone(s);
    bool handed_over = handover_end();

    control_end(handed_over);
    if (!handed_over)
        listener_end(&s->listener);
    return code;
}

int cmd_serve(int argc, char **argv)
{
    struct serve s = {.ready_fd = -1, .options = {.size = sizeof(s.options)}};

    drain_seconds = DRAIN_DEFAULT;
    argp_parse(&cmd_serve_argp, argc, argv, 0, NULL, &s);
    log_init(s.log, s.brief);
    return serve(&s);
}
