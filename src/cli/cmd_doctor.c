/* cmd_doctor.c - `stoa doctor`: what is wrong with this machine's sockets, worst first.
 *
 *     stoa doctor                      the machine
 *     stoa doctor :8081                one port: who has it, who may reach it, when it is free
 *     stoa doctor --explain EMFILE     what that means, and what brings it
 *
 * It changes nothing but by --free and --apply, which ask first.  It sends nothing to anybody.
 */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/exitcode.h"
#include "cli/output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char WHO[] = "stoa doctor";
static const double SECONDS_DEFAULT = 0.4, WATCH_DEFAULT = 2, IDLE_DEFAULT = 3600;

enum key {
    KEY_PID = 256,
    KEY_EXPLAIN,
    KEY_JSON,
    KEY_SECONDS,
    KEY_IDLE,
    KEY_FREE,
    KEY_APPLY,
};

static const struct argp_option option_table[] = {
    {"pid", KEY_PID, "PID", 0, "Only what is of this process", 0},
    {"explain", KEY_EXPLAIN, "WORD", 0, "Tell of ECONNREFUSED, or of a finding's id; list", 0},
    {"watch", 'w', NULL, 0, "Look again and again, until interrupted", 0},
    {"seconds", KEY_SECONDS, "TIME", 0, "Between the two looks (0.4s; with --watch 2s)", 0},
    {"idle", KEY_IDLE, "TIME", 0, "Silence after which a connection is idle (1h)", 0},
    {"json", KEY_JSON, NULL, 0, "One JSON object a line", 0},
    {"free", KEY_FREE, "PORT", 0, "Forget the port's connections in TIME_WAIT; asks first", 0},
    {"apply", KEY_APPLY, "ID", 0, "Write the setting a finding proposes; asks first", 0},
    {"yes", 'y', NULL, 0, "Do not ask", 0},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct doctor *d = state->input;

    switch (key) {
    case KEY_PID:
        d->pid = (int)args_count(state, "--pid", arg, 1, INT32_MAX);
        break;
    case KEY_EXPLAIN:
        d->explain = arg;
        break;
    case 'w':
        d->watch = true;
        break;
    case KEY_SECONDS:
        d->seconds = args_seconds(state, "--seconds", arg);
        break;
    case KEY_IDLE:
        d->idle = args_seconds(state, "--idle", arg);
        break;
    case KEY_JSON:
        d->json = true;
        break;
    case KEY_FREE:
        d->free_port = arg;
        break;
    case KEY_APPLY:
        d->apply = arg;
        break;
    case 'y':
        d->yes = true;
        break;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        break;
    case ARGP_KEY_ARG:
        if (d->place)
            argp_error(state, "one place at a time: '%s' is the second", arg);
        d->place = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp cmd_doctor_argp = {
    .options = option_table,
    .parser = parse,
    .args_doc = "[PORT | ADDRESS | unix:PATH]",
    .doc =
        "Tell what is wrong with this machine's sockets, worst first, with what was seen and what "
        "to do; or who has a port.\vIt changes nothing, unless --free or --apply says so.  "
        "Exit: 0 nothing found, 10 a note, 11 a warning, 12 something fails now, 1 it could not "
        "look, 2 usage, 130 interrupted.",
};

/* What does not go together. */
static const char *mistake(const struct doctor *d)
{
    int changes = !!d->free_port + !!d->apply + !!d->explain;

    if (changes > 1)
        return "--explain, --free and --apply are three questions: ask one";
    if (d->watch && changes)
        return "--watch looks, and does not go with --explain, --free or --apply";
    if (d->place && d->pid)
        return "--pid is about the whole machine: leave the place away";
    if (d->place && (d->free_port || d->explain))
        return "--free and --explain take no place";
    if (d->yes && !d->free_port && !d->apply)
        return "--yes agrees to --free or --apply, and neither is there";
    return NULL;
}

/* 0; -1: nobody reads it any more, or it could not be written, which is said. */
static int written(const struct doctor *d, const struct doctor_look *look, int *code)
{
    *code = doctor_code(&look->findings);
    if (doctor_show(d, look) == 0)
        return 0;
    if (errno != EPIPE) {
        output_say(WHO, "write standard output: %s", strerror(errno));
        *code = CODE_FAILED;
    }
    return -1;
}

static int once(const struct doctor *d)
{
    static struct doctor_look look;
    int code = doctor_look(d, NULL, &look);

    if (code == CODE_OK && d->apply)
        code = doctor_apply(d, &look.findings);
    else if (code == CODE_OK)
        (void)written(d, &look, &code);
    facts_free(&look.facts);
    return code;
}

static void clear_screen(const struct doctor *d)
{
    if (!d->json && isatty(STDOUT_FILENO))
        (void)output_all(STDOUT_FILENO, "\033[H\033[J", 6);
}

/* Until SIGINT, which ends the program with its own code, or until nobody reads. */
static int watch(const struct doctor *d)
{
    static struct doctor_look look[2];
    int code = doctor_look(d, NULL, &look[0]), shown = code;

    for (int i = 0; code == CODE_OK; i = !i) {
        clear_screen(d);
        if (written(d, &look[i], &shown) < 0)
            break;
        doctor_rest(d->seconds);
        code = doctor_look(d, &look[i].facts, &look[!i]);
        facts_free(&look[i].facts);
    }
    return code ? code : shown;
}

static void interrupted(int sig)
{
    _exit(CODE_SIGNAL + sig);
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor d = {.seconds = -1, .idle = IDLE_DEFAULT};
    const char *wrong;

    argp_parse(&cmd_doctor_argp, argc, argv, 0, NULL, &d);
    wrong = mistake(&d);
    if (wrong) {
        output_say(WHO, "%s", wrong);
        return CODE_USAGE;
    }
    if (d.seconds < 0)
        d.seconds = d.watch ? WATCH_DEFAULT : SECONDS_DEFAULT;
    signal(SIGINT, interrupted);
    if (d.explain)
        return doctor_explain(d.explain);
    if (d.free_port)
        return doctor_free(&d);
    return d.watch ? watch(&d) : once(&d);
}
