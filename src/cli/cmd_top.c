/* cmd_top.c - `stoa top PATH`: what is alive in a server that was started with --control PATH.
 *
 *     stoa top /run/clock.control            on a terminal: again every two seconds
 *     stoa top /run/clock.control --json     an object a thing, for programs
 *
 * The server answers with lines (stoa_serve(3), stoa_status()), and here they become a screen:
 * first who holds a worker, then the others in the order of their coming.  What does not fit on a
 * terminal is counted.
 */
#include "base/text.h"
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/exitcode.h"
#include "cli/fields.h"
#include "cli/json.h"
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char WHO[] = "stoa top";
static const double PATIENCE = 10; /* seconds for the server's answer */
static const double INTERVAL = 2;

enum { PIECE = 64 << 10, LINES_ELSE = 5 /* of a screen: headings, what is counted, the cursor */ };

struct top {
    const char *path;
    bool json, once;
    double interval; /* 0: not given */
    size_t rows;     /* connections that are shown */
};

enum key { KEY_JSON = 256, KEY_ONCE, KEY_INTERVAL };

static const struct argp_option option_table[] = {
    {"json", KEY_JSON, NULL, 0, "An object a line, one for each thing", 0},
    {"once", KEY_ONCE, NULL, 0, "Show it once (so it is where there is no terminal)", 0},
    {"interval", KEY_INTERVAL, "TIME", 0, "Show it again after so long (2s)", 0},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct top *t = state->input;

    switch (key) {
    case KEY_JSON:
        t->json = true;
        return 0;
    case KEY_ONCE:
        t->once = true;
        return 0;
    case KEY_INTERVAL:
        t->interval = args_seconds(state, "--interval", arg);
        if (t->interval == 0)
            argp_error(state, "--interval 0: a time, or --once");
        return 0;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    case ARGP_KEY_ARG:
        if (t->path)
            argp_error(state, "'%s' is one word too many", arg);
        t->path = arg;
        return 0;
    case ARGP_KEY_END:
        if (!t->path)
            argp_error(state, "which server? the path that its --control has");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp cmd_top_argp = {
    .options = option_table,
    .parser = parse,
    .args_doc = "PATH",
    .doc = "Show what is alive in a server: stoa serve ... --control PATH\v" EXITCODE_HELP,
};

/* -------------------------------------------------------------------------
 * The answer
 * ---------------------------------------------------------------------- */

/* All that the server says, to be freed; NULL: errno. */
static char *hear(int conn)
{
    char *text = NULL;
    size_t len = 0;
    ssize_t n;

    do {
        char *more = realloc(text, len + PIECE + 1);

        if (!more) {
            free(text);
            errno = ENOMEM;
            return NULL;
        }
        text = more;
        n = stoa_recv(conn, text + len, PIECE, 0);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    text[len] = '\0';
    if (n == 0)
        return text;
    free(text);
    return NULL;
}

/* The server's answer, to be freed; NULL: that it did not come has been said, and *code is why. */
static char *ask(const struct top *t, int *code)
{
    char at[STOA_ADDR_TEXT_MAX];
    char *text = NULL;

    snprintf(at, sizeof(at), strncmp(t->path, "unix:", 5) == 0 ? "%s" : "unix:%s", t->path);
    int conn = stoa_dial(at, NULL);

    if (conn >= 0) {
        stoa_settimeout(conn, PATIENCE);
        text = hear(conn);
    }
    if (!text) {
        *code = exitcode_peer(errno, at);
        output_say(WHO, "%s", stoa_errmsg());
    } else if (!*text) {
        *code = CODE_FAILED;
        output_say(WHO,
                   "%s: the server serves nobody yet or any more, or answers its own user only",
                   t->path);
        free(text);
        text = NULL;
    }
    if (conn >= 0)
        stoa_close(conn);
    return text;
}

/* -------------------------------------------------------------------------
 * On a screen
 * ---------------------------------------------------------------------- */

static bool is(const struct fields *f, const char *word)
{
    return strcmp(f->word, word) == 0;
}

static const char *or_dash(const char *value)
{
    return *value ? value : "-";
}

/* Scheme or not: "tcp://127.0.0.1:80" is known to be TCP's. */
static const char *bare(const char *address)
{
    return strncmp(address, "tcp://", 6) == 0 ? address + 6 : or_dash(address);
}

static void age_add(char *to, size_t size, const char *ms)
{
    uint64_t n = 0;

    if (!fields_number(ms, &n))
        snprintf(to, size, "-");
    else if (n < 60000)
        snprintf(to, size, "%.1f s", (double)n / 1000);
    else if (n < 3600000)
        snprintf(to, size, "%.1f min", (double)n / 60000);
    else
        snprintf(to, size, "%.1f h", (double)n / 3600000);
}

static void show_server(FILE *to, const struct fields *f)
{
    fprintf(to, "pid %s: %s connections of %s, %s workers, %s%s\n", fields_of(f, "pid"),
            fields_of(f, "connections"), fields_of(f, "max_conns"), fields_of(f, "workers"),
            fields_of(f, "backend"),
            strcmp(fields_of(f, "stopping"), "yes") == 0 ? ", stopping" : "");
}

static void show_listener(FILE *to, const struct fields *f)
{
    fprintf(to, "%6s  %-40s %6s %6s %6s\n", fields_of(f, "worker"), bare(fields_of(f, "addr")),
            or_dash(fields_of(f, "queue")), or_dash(fields_of(f, "limit")),
            or_dash(fields_of(f, "drops")));
}

static void show_connection(FILE *to, const struct fields *f)
{
    const char *what = fields_of(f, "for"), *held = fields_of(f, "held_ms");
    char age[32];

    age_add(age, sizeof(age), fields_of(f, "age_ms"));
    fprintf(to, "%6s  %-40s %9s %12s %12s  ", fields_of(f, "worker"), bare(fields_of(f, "peer")),
            age, or_dash(fields_of(f, "in")), or_dash(fields_of(f, "out")));
    if (*held)
        fprintf(to, "HOLDS its worker for %s ms\n", held);
    else if (*what)
        fprintf(to, "waits: %s\n", what);
    else
        fprintf(to, "%s\n", fields_of(f, "does"));
}

/* What is shown of each kind of line, and its heading. */
static const struct part {
    const char *word;
    const char *heading;
    bool held; /* of connections: those that hold their worker */
    void (*show)(FILE *to, const struct fields *f);
} parts[] = {
    {"server", NULL, false, show_server},
    {"listener", "WORKER  LISTENER                                  QUEUE  LIMIT  DROPS\n", false,
     show_listener},
    {"connection",
     "WORKER  CONNECTION                                     AGE           IN          OUT  DOES\n",
     true, show_connection},
    {"connection", NULL, false, show_connection},
};

/* One part of a text, which is left as it was. */
static void show_part(FILE *to, const struct part *part, const char *text, size_t *room)
{
    char *copy = strdup(text), *line = copy;
    bool connections = strcmp(part->word, "connection") == 0;
    struct fields f;

    if (part->heading)
        fputs(part->heading, to);
    while (copy && (line = fields_take(&f, line))) {
        if (!is(&f, part->word) || (connections && part->held != (*fields_of(&f, "held_ms") != 0)))
            continue;
        if (!connections || *room > 0)
            part->show(to, &f);
        if (connections)
            *room -= *room > 0;
    }
    free(copy);
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0, len = strlen(word);

    for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        n += strncmp(line, word, len) == 0;
    return n;
}

static void show_screen(FILE *to, const struct top *t, const char *text)
{
    size_t total = count(text, "connection "), room = t->rows;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        show_part(to, &parts[i], text, &room);
    if (total > t->rows)
        fprintf(to, "... and %zu more\n", total - t->rows);
}

static void show_json(FILE *to, char *text)
{
    struct fields f;

    while ((text = fields_take(&f, text))) {
        char object[4096];
        struct text t;

        text_init(&t, object, sizeof(object));
        json_begin(&t, f.word);
        for (size_t i = 0; i < f.n; i++) {
            uint64_t number;

            if (fields_number(f.value[i], &number))
                json_number(&t, f.key[i], number);
            else
                json_string(&t, f.key[i], f.value[i]);
        }
        json_end(&t);
        fputs(object, to);
    }
}

/* Once.  An exit code. */
static int show(const struct top *t, bool on_screen)
{
    int code = CODE_OK;
    char *text = ask(t, &code), *shown = NULL;
    size_t len = 0;
    FILE *to = text ? open_memstream(&shown, &len) : NULL;

    if (to && on_screen)
        fputs("\033[H\033[2J", to); /* the first place, and all erased: ECMA-48, CUP and ED */
    if (to && t->json)
        show_json(to, text);
    else if (to)
        show_screen(to, t, text);
    if (to && fclose(to) == 0 && output_all(STDOUT_FILENO, shown, len) < 0) {
        if (errno != EPIPE)
            output_say(WHO, "write standard output: %s", strerror(errno));
        code = CODE_FAILED;
    }
    free(shown);
    free(text);
    return code;
}

/* Connections that a terminal has room for. */
static size_t rows_of(int fd)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row <= 2 * LINES_ELSE)
        return LINES_ELSE;
    return size.ws_row - 2u * LINES_ELSE;
}

int cmd_top(int argc, char **argv)
{
    struct top t = {.rows = SIZE_MAX};
    bool on_screen;
    int code;

    argp_parse(&cmd_top_argp, argc, argv, 0, NULL, &t);
    on_screen = isatty(STDOUT_FILENO) && !t.json && !t.once;
    if (!on_screen && t.interval == 0)
        t.once = true;
    do {
        double seconds = t.interval > 0 ? t.interval : INTERVAL;

        if (on_screen)
            t.rows = rows_of(STDOUT_FILENO);
        code = show(&t, on_screen);
        if (code == CODE_OK && !t.once)
            stoa_sleep(seconds);
    } while (code == CODE_OK && !t.once);
    return code;
}
