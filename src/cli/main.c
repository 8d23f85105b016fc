/* main.c - `stoa`: a table of subcommands, each with its own options and manual page.
 *
 *     stoa serve upper :8081        stoa connect :8081
 *
 * Before a subcommand runs, what every one of them needs is set right: SIGPIPE is ignored,
 * so that a reader who has gone is an error and no sudden end; the three standard
 * descriptors are open, so that no socket gets their numbers; the locale shows UTF-8.
 */
#include "base/limits.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/exitcode.h"
#include "cli/line.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <unistd.h>

const struct command commands[] = {
    {"serve", "serve every client: stoa serve upper :8081", &cmd_serve_argp, cmd_serve},
    {"connect", "talk to a server: stoa connect :8081", &cmd_connect_argp, cmd_connect},
    {"sim", "try a server in a network that fails: stoa sim", &cmd_sim_argp, cmd_sim},
    {"bench", "load a server and measure it: stoa bench ADDR", &cmd_bench_argp, cmd_bench},
    {"doctor", "what is wrong with this machine's sockets", &cmd_doctor_argp, cmd_doctor},
    {"top", "what is alive in a server: stoa top PATH", &cmd_top_argp, cmd_top},
    {NULL, NULL, NULL, NULL},
};

char **command_line;

/* argp changes the order of argv, and run() a word of it.  -1: no memory. */
static int keep_command_line(int argc, char **argv)
{
    command_line = calloc((size_t)argc + 1, sizeof(*command_line));
    for (int i = 0; command_line && i < argc; i++)
        command_line[i] = argv[i];
    return command_line ? 0 : -1;
}

static void usage(FILE *to)
{
    fprintf(to, "stoa - the textbook's sockets, for one client or a million\n\n");
    for (const struct command *c = commands; c->name; c++)
        fprintf(to, "  stoa %-8s  %s\n", c->name, c->what);
    fprintf(to, "\nstoa COMMAND --help (or stoa help COMMAND) tells the options,\n"
                "stoa --version the version; the manual is stoa(1).\n"
                "stoa --completion bash (or fish, zsh) is for the shell to source.\n" EXITCODE_HELP
                ".\n");
}

static const struct command *find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* How many letters must be changed, put in or left out to make b of a (Levenshtein 1966). */
static size_t distance(const char *a, const char *b)
{
    size_t row[32];
    size_t len = strlen(b);

    if (len >= sizeof(row) / sizeof(row[0]))
        return len;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t change = corner + (a[i] != b[j]);
            size_t best = row[j] < row[j + 1] ? row[j] + 1 : row[j + 1] + 1;
            corner = row[j + 1];
            row[j + 1] = change < best ? change : best;
        }
    }
    return row[len];
}

static int unknown(const char *word)
{
    const struct command *nearest = NULL;
    size_t least = SIZE_MAX;
    char quoted[4 * TEXT_QUOTE_MAX + 8];
    struct text t;

    text_init(&t, quoted, sizeof(quoted));
    text_quote(&t, word, strlen(word));
    for (const struct command *c = commands; c->name; c++) {
        size_t changes = distance(word, c->name);
        if (changes < least) {
            least = changes;
            nearest = c;
        }
    }
    if (nearest && least <= strlen(nearest->name) / 2)
        output_say("stoa", "there is no command %s; did you mean '%s'?", quoted, nearest->name);
    else
        output_say(
            "stoa",
            "there is no command %s; serve, connect, sim, bench, doctor and top are (stoa help)",
            quoted);
    return CODE_USAGE;
}

/* Run a command; its name in messages is "stoa serve". */
static int run(const struct command *c, int argc, char **argv)
{
    static char name[32];

    snprintf(name, sizeof(name), "stoa %s", c->name);
    argv[0] = name;
    return c->run(argc, argv);
}

static int help(int argc, char **argv)
{
    static char option[] = "--help";
    char *as_typed[] = {argv[0], option, NULL};
    const struct command *c;

    if (argc < 2) {
        usage(stdout);
        return CODE_OK;
    }
    c = find(argv[1]);
    return c ? run(c, 2, as_typed) : unknown(argv[1]);
}

static void version(FILE *to, struct argp_state *state)
{
    (void)state;
    fprintf(to, "stoa %s\n", stoa_version());
}

/* A descriptor that should be open and is not: one that fails when it is used. */
static void standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_RDONLY | O_PATH);
}

/* What was printed by stdio (help, the version) must have been written, too. */
static void end_of_output(void)
{
    if (fflush(stdout) == 0 || errno == EPIPE)
        return;
    output_say("stoa", "write standard output: %s", strerror(errno));
    _exit(CODE_FAILED);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";

    standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    line_locale();
    atexit(end_of_output);
    argp_program_version_hook = version;
    argp_err_exit_status = CODE_USAGE;
    if (argc < 2) {
        usage(stderr);
        return CODE_USAGE;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        version(stdout, NULL);
        return CODE_OK;
    }
    if (strcmp(word, "--completion") == 0)
        return completion(argc > 2 ? argv[2] : "");
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help(argc - 1, argv + 1);
    const struct command *c = find(word);
    if (keep_command_line(argc, argv) < 0) {
        output_say("stoa", "%s", strerror(errno));
        return CODE_FAILED;
    }
    return c ? run(c, argc - 1, argv + 1) : unknown(word);
}
