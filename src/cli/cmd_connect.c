/* cmd_connect.c - `stoa connect ADDR`: the textbook's client, and what nc(1) is used for.
 *
 *     stoa connect 127.0.0.1:8081             a prompt, at a terminal
 *     printf 'hello\n' | stoa connect :8081   the answer on standard output
 *     stoa connect --wait 30s -z db 5432      until it is up
 *     stoa connect -l 9000 > file             receive one client
 *
 * netcat's daily letters have netcat's meaning, so that fingers need not learn: -4 -6 -l -k
 * -u -U -N -w -v -z -s, `host port`, and a port alone after -l.  -N does nothing: to end
 * one's own stream at the end of input is what happens anyway.
 *
 * What is done with the connection is transfer.c's, or, when standard input and output are
 * both a terminal, prompt.c's.
 */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/exitcode.h"
#include "cli/line.h"
#include "cli/output.h"
#include "cli/reach.h"
#include "cli/session.h"
#include "cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char WHO[] = "stoa connect";
static const double DATAGRAM_WAIT = 1; /* for UDP's answers, without --timeout */

struct client {
    struct reach reach;
    struct session session;
    const char *words[2]; /* the operands */
    size_t nword;
    bool udp, unix_path, listen, keep, verbose, scan, hex, json;
    bool interactive;
    uint64_t first_port, last_port; /* -z host 20-30; 0: as the address says */
    char to[1024];                  /* what reach.to points to */
    char source[256];
};

/* -------------------------------------------------------------------------
 * The command line
 * ---------------------------------------------------------------------- */

enum key {
    KEY_WAIT = 256,
    KEY_TIMEOUT,
    KEY_HEX,
    KEY_JSON,
    KEY_CRLF,
    KEY_RAW,
};

static const struct argp_option option_table[] = {
    {"wait", KEY_WAIT, "TIME", 0, "Try again for so long until somebody listens", 0},
    {"timeout", KEY_TIMEOUT, "TIME", 0, "Longest wait for the connection, longest silence", 0},
    {"hex", KEY_HEX, NULL, 0, "Show both directions in hex, with the time", 0},
    {"json", KEY_JSON, NULL, 0, "Show both directions in JSON, an object a line", 0},
    {"crlf", KEY_CRLF, NULL, 0, "Send lines with \\r\\n", 0},
    {"raw", KEY_RAW, NULL, 0, "At the prompt: send lines without their newline", 0},
    {NULL, 0, NULL, 0, "netcat's letters:", 1},
    {NULL, '4', NULL, 0, "IPv4 only", 1},
    {NULL, '6', NULL, 0, "IPv6 only", 1},
    {NULL, 'l', NULL, 0, "Listen, and talk to the first client", 1},
    {NULL, 'k', NULL, 0, "With -l: then to the next", 1},
    {NULL, 'u', NULL, 0, "UDP", 1},
    {NULL, 'U', NULL, 0, "The address is a UNIX socket's path", 1},
    {NULL, 's', "ADDR", 0, "Connect from this address", 1},
    {NULL, 'w', "TIME", 0, "The same as --timeout", 1},
    {NULL, 'v', NULL, 0, "Say when connected", 1},
    {NULL, 'z', NULL, 0, "Connect only, send nothing; the port may be LOW-HIGH", 1},
    {NULL, 'N', NULL, 0, "Nothing: input's end is always passed on", 1},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

static void check_pairs(struct argp_state *state, const struct client *c)
{
    const struct {
        bool wrong;
        const char *why;
    } rules[] = {
        {c->keep && !c->listen, "-k needs -l"},
        {c->scan && c->listen, "-z and -l exclude each other"},
        {c->scan && c->udp, "-z -u: an open UDP port and a silent one look the same"},
        {c->udp && c->unix_path, "-u and -U exclude each other"},
        {c->reach.source && c->listen, "-s and -l exclude each other"},
        {c->reach.wait > 0 && c->listen, "--wait and -l exclude each other"},
        {c->hex && c->json, "--hex and --json exclude each other"},
        {c->session.raw && c->session.crlf, "--raw and --crlf exclude each other"},
        {!c->nword, "which address? 127.0.0.1:8081, [::1]:80, unix:/path, udp://:53 ..."},
        {c->unix_path && c->nword == 2, "-U takes one path"},
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].wrong)
            argp_error(state, "%s", rules[i].why);
}

static bool has_scheme(const char *text)
{
    return strstr(text, "://") || strncasecmp(text, "unix:", 5) == 0 ||
           strncasecmp(text, "fd:", 3) == 0;
}

/* "20-30" after -z. */
static bool port_range(struct client *c, const char *text)
{
    const char *dash = strchr(text, '-');
    uint64_t first, last;
    char low[8];
    size_t n = dash ? (size_t)(dash - text) : sizeof(low);

    if (!c->scan || n >= sizeof(low))
        return false;
    memcpy(low, text, n);
    low[n] = '\0';
    if (!args_number(low, 1, 65535, &first) || !args_number(dash + 1, first, 65535, &last))
        return false;
    c->first_port = first;
    c->last_port = last;
    return true;
}

/* One text of what was typed in netcat's manner. */
static void compose(struct argp_state *state, struct client *c)
{
    const char *scheme = c->unix_path ? "unix:" : c->udp ? "udp://" : "";
    const char *one = c->words[0];
    uint64_t number;
    bool fits = true;

    if (c->nword == 2) {
        if (has_scheme(one))
            argp_error(state, "%s %s: an address with a scheme holds its port itself", one,
                       c->words[1]);
        fits = reach_address(c->to, sizeof(c->to), scheme, one,
                             port_range(c, c->words[1]) ? "1" : c->words[1]);
    } else {
        bool port = c->listen && args_number(one, 0, UINT64_MAX, &number);
        if (has_scheme(one) && *scheme && strncasecmp(one, scheme, strlen(scheme)) != 0)
            argp_error(state, "%s is not an address for -%c", one, c->udp ? 'u' : 'U');
        if (has_scheme(one))
            scheme = "";
        int n = snprintf(c->to, sizeof(c->to), "%s%s%s", scheme, port ? ":" : "", one);
        fits = (size_t)n < sizeof(c->to);
    }
    if (!fits)
        argp_error(state, "the address is longer than any address");
    c->reach.to = c->to;
}

/* An address to come from needs no port. */
static void source(struct argp_state *state, struct client *c, const char *text)
{
    bool bare = !strchr(text, ':') || (text[0] != '[' && strchr(text, ':') != strrchr(text, ':'));
    bool fits =
        bare ? reach_address(c->source, sizeof(c->source), "", text, "0")
             : (size_t)snprintf(c->source, sizeof(c->source), "%s", text) < sizeof(c->source);

    if (!fits)
        argp_error(state, "-s %s: the address is longer than any address", text);
    c->reach.source = c->source;
}

static void family(struct argp_state *state, struct client *c, int wanted)
{
    if (c->reach.family && c->reach.family != wanted)
        argp_error(state, "-4 and -6 exclude each other");
    c->reach.family = wanted;
}

static void timeout(struct argp_state *state, struct client *c, const char *option, const char *arg)
{
    double seconds = args_seconds(state, option, arg);

    if (seconds == 0)
        argp_error(state, "%s 0: leave it out for no timeout", option);
    c->reach.timeout = c->session.timeout = seconds;
}

static error_t parse_letter(int key, struct argp_state *state)
{
    struct client *c = state->input;

    switch (key) {
    case '4':
    case '6':
        family(state, c, key == '4' ? AF_INET : AF_INET6);
        return 0;
    case 'l':
        c->listen = true;
        return 0;
    case 'k':
        c->keep = true;
        return 0;
    case 'u':
        c->udp = true;
        return 0;
    case 'U':
        c->unix_path = true;
        return 0;
    case 'v':
        c->verbose = true;
        return 0;
    case 'z':
        c->scan = true;
        return 0;
    case 'N':
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct client *c = state->input;

    switch (key) {
    case KEY_WAIT:
        c->reach.wait = args_seconds(state, "--wait", arg);
        return 0;
    case KEY_TIMEOUT:
    case 'w':
        timeout(state, c, key == 'w' ? "-w" : "--timeout", arg);
        return 0;
    case KEY_HEX:
        c->hex = true;
        return 0;
    case KEY_JSON:
        c->json = true;
        return 0;
    case KEY_CRLF:
        c->session.crlf = true;
        return 0;
    case KEY_RAW:
        c->session.raw = true;
        return 0;
    case 's':
        source(state, c, arg);
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    case ARGP_KEY_ARG:
        if (c->nword == sizeof(c->words) / sizeof(c->words[0]))
            argp_error(state, "'%s' is one word too many", arg);
        c->words[c->nword++] = arg;
        return 0;
    case ARGP_KEY_END:
        check_pairs(state, c);
        compose(state, c);
        return 0;
    default:
        return parse_letter(key, state);
    }
}

const struct argp cmd_connect_argp = {
    .options = option_table,
    .parser = parse,
    .args_doc = "ADDR\nHOST PORT",
    .doc = "Talk to a server: at a prompt, or from standard input to standard output.\v"
           "ADDR: 127.0.0.1:8081, :8081, [::1]:80, udp://host:53, unix:/path, unix:@name\n"
           "TIME: 500ms, 5s, 2m, 1h\n"
           "At the prompt, ctrl-D sends the end of the stream, and once more leaves.\n"
           "UDP: after the input's end, answers are awaited for TIME, or 1s.\n" EXITCODE_HELP,
};

/* -------------------------------------------------------------------------
 * Doing it
 * ---------------------------------------------------------------------- */

static void on_signal(int sig)
{
    if (sig == SIGWINCH) {
        line_refresh();
        return;
    }
    bool ours = line_take_terminal();
    if (sig == SIGTSTP) {
        raise(SIGSTOP);
        line_give_terminal();
        return;
    }
    if (ours)
        (void)output_all(STDOUT_FILENO, "\n", 1);
    _exit(CODE_SIGNAL + sig);
}

static void peer_name(const struct client *c, int s, char *buf, size_t size)
{
    struct stoa_addr peer;

    if (stoa_getpeername(s, &peer) < 0 || peer.sa.ss_family == AF_UNIX)
        snprintf(buf, size, "%s", c->reach.to);
    else
        stoa_addr_text(&peer, buf, size);
}

static bool is_datagram(int s)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return stoa_getsockopt(s, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM;
}

static int talk(struct client *c, struct show *show, int s)
{
    struct session *x = &c->session;
    char peer[STOA_ADDR_TEXT_MAX];

    peer_name(c, s, peer, sizeof(peer));
    x->socket = s;
    x->who = WHO;
    x->to = c->reach.to;
    x->peer = peer;
    x->datagram = is_datagram(s);
    x->datagram_wait = x->datagram && !c->listen ? DATAGRAM_WAIT : 0;
    x->show = show;
    if (c->verbose)
        output_say(WHO, "connected to %s", peer);
    return c->interactive ? prompt(x) : transfer(x);
}

static int told(const struct client *c, int code)
{
    output_say(WHO, "%s", c->reach.why);
    return code;
}

static int scan_one(struct client *c)
{
    int s = reach_dial(&c->reach);

    if (s < 0)
        return exitcode_peer(c->reach.error, c->reach.to);
    stoa_close(s);
    if (c->verbose)
        output_say(WHO, "%s is open", c->reach.to);
    return CODE_OK;
}

/* -z: 0 if any port is open. */
static int scan(struct client *c)
{
    int code = CODE_FAILED;
    bool open = false;

    if (!c->first_port) {
        code = scan_one(c);
        return code ? told(c, code) : code;
    }
    for (uint64_t port = c->first_port; port <= c->last_port; port++) {
        char digits[8];
        snprintf(digits, sizeof(digits), "%u", (unsigned)port);
        reach_address(c->to, sizeof(c->to), "", c->words[0], digits);
        code = scan_one(c);
        open |= code == CODE_OK;
        if (code == CODE_NAME || code == CODE_USAGE)
            return told(c, code); /* no other port will do better */
        if (code && c->verbose)
            (void)told(c, code);
    }
    return open ? CODE_OK : code;
}

static int dial(struct client *c, struct show *show)
{
    int s = reach_dial(&c->reach);

    if (s < 0)
        return told(c, exitcode_peer(c->reach.error, c->reach.to));
    return talk(c, show, s);
}

static void say_listening(const struct client *c, int listener)
{
    struct stoa_addr at;
    char text[STOA_ADDR_TEXT_MAX];

    if (c->verbose && stoa_getsockname(listener, &at) == 0)
        output_say(WHO, "listening at %s", stoa_addr_text(&at, text, sizeof(text)));
}

/* -l.  UDP with -k takes datagrams from everybody, as nc(1): there is no client to end it. */
static int listen_and_talk(struct client *c, struct show *show)
{
    int listener = reach_listen(&c->reach);
    int code;

    if (listener < 0)
        return told(c, exitcode_bind(c->reach.error, c->reach.to));
    say_listening(c, listener);
    bool datagram = is_datagram(listener);
    if (datagram && c->keep)
        return talk(c, show, listener);
    do {
        int s = reach_accept(&c->reach, listener, datagram);
        if (s < 0)
            return told(c, CODE_FAILED);
        if (!c->keep && !datagram)
            stoa_close(listener); /* the next client is refused at once */
        code = talk(c, show, s);
    } while (c->keep);
    return code;
}

static enum show_as show_as(const struct client *c)
{
    if (c->json)
        return SHOW_JSON;
    if (c->hex)
        return SHOW_HEX;
    return isatty(STDOUT_FILENO) ? SHOW_SAFE : SHOW_RAW;
}

int cmd_connect(int argc, char **argv)
{
    static const int calm[] = {SIGINT, SIGTERM, 0};
    static const int all[] = {SIGINT, SIGTERM, SIGTSTP, SIGWINCH, 0};
    static struct client c;
    struct show show;
    int code;

    argp_parse(&cmd_connect_argp, argc, argv, 0, NULL, &c);
    c.interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && !c.json && !c.scan;
    if (signals_take(c.interactive ? all : calm, on_signal) < 0 ||
        show_open(&show, show_as(&c), transfer_put, NULL) < 0) {
        output_say(WHO, "%s", strerror(errno));
        return CODE_FAILED;
    }
    screen_init(&show.screen, STDOUT_FILENO);
    if (c.scan)
        code = scan(&c);
    else
        code = c.listen ? listen_and_talk(&c, &show) : dial(&c, &show);
    show_close(&show);
    return code;
}
