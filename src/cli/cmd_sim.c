/* cmd_sim.c - `stoa sim`: a handler's server in a network that fails, by seed, thousands of times.
 *
 *     stoa sim --seeds 10000 --handler upper
 *     stoa sim --handler upper --seed 4711 --trace | less
 *
 * Seeds are run one after the other, each in a world of its own (simworld.h).  Some are run
 * twice, and must be the same twice.  The first that fails ends the sweep, and is told with
 * the command that runs it again.
 */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/exitcode.h"
#include "cli/output.h"
#include "cli/simworld.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static const char WHO[] = "stoa sim";

enum {
    SEEDS_DEFAULT = 1000,
    CLIENTS_DEFAULT = 5,
    MESSAGES_DEFAULT = 10,
    CLIENTS_MAX = 10000,
    TWICE_EACH = 16, /* one seed of so many is run twice */
    BAR = 30,        /* columns */
};

static const uint64_t DRAW_NS = 100000000;

struct sweep {
    struct simworld world;
    uint64_t first;
    uint64_t n; /* 0 = not said */
    bool seed_said;
    bool quiet;

    uint64_t done;
    double seconds; /* virtual */
    uint64_t events;
    uint64_t faults;
    uint64_t began_ns;
    uint64_t drawn_ns;
    bool drawn;
};

enum key {
    KEY_SEEDS = 256,
    KEY_SEED,
    KEY_HANDLER,
    KEY_CLIENTS,
    KEY_MESSAGES,
    KEY_NO_FAULTS,
    KEY_TRACE,
};

static const struct argp_option option_table[] = {
    {"seeds", KEY_SEEDS, "N", 0, "How many seeds (default 1000; with --seed, 1)", 0},
    {"seed", KEY_SEED, "N", 0, "The first one, or the only one (default 1)", 0},
    {"handler", KEY_HANDLER, "NAME", 0, "The server: upper (default), echo or discard", 0},
    {"clients", KEY_CLIENTS, "N", 0, "Clients at once (default 5)", 0},
    {"messages", KEY_MESSAGES, "N", 0, "Messages of each (default 10)", 0},
    {"no-faults", KEY_NO_FAULTS, NULL, 0, "A network in which nothing goes wrong", 0},
    {"trace", KEY_TRACE, NULL, 0, "Each thing that happens, on standard output", 0},
    {"quiet", 'q', NULL, 0, "No progress, and no word when all is well", 0},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

static const struct handler *parse_handler(struct argp_state *state, const char *name)
{
    const struct handler *h = handler_find(name);

    if (!h || !h->answer)
        argp_error(state, "there is no handler '%s' for a simulation; upper, echo, discard are",
                   name);
    return h;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct sweep *s = state->input;

    switch (key) {
    case KEY_SEEDS:
        s->n = args_count(state, "--seeds", arg, 1, UINT64_MAX / 2);
        break;
    case KEY_SEED:
        s->first = args_count(state, "--seed", arg, 0, UINT64_MAX / 2);
        s->seed_said = true;
        break;
    case KEY_HANDLER:
        s->world.handler = parse_handler(state, arg);
        break;
    case KEY_CLIENTS:
        s->world.clients = (unsigned)args_count(state, "--clients", arg, 1, CLIENTS_MAX);
        break;
    case KEY_MESSAGES:
        s->world.messages = (unsigned)args_count(state, "--messages", arg, 1, INT32_MAX);
        break;
    case KEY_NO_FAULTS:
        s->world.faults = false;
        break;
    case KEY_TRACE:
        s->world.trace = stdout;
        break;
    case 'q':
        s->quiet = true;
        break;
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

const struct argp cmd_sim_argp = {
    .options = option_table,
    .parser = parse,
    .doc =
        "Run a server and its clients in a simulated network, once for each seed.\v" EXITCODE_HELP,
};

/* "[######        ] 2,000 of 10,000 seeds, 900/s, 9 s left", drawn over itself. */
static void draw(struct sweep *s)
{
    uint64_t now = output_now_ns(), ns = now - s->began_ns + 1;
    uint64_t rate = s->done * 1000000000 / ns;
    char buf[160];
    struct text t;

    if (s->quiet || now - s->drawn_ns < DRAW_NS || !isatty(STDERR_FILENO))
        return;
    s->drawn_ns = now;
    s->drawn = true;
    text_init(&t, buf, sizeof(buf));
    text_add(&t, "\r\033[K[");
    for (uint64_t i = 0; i < BAR; i++)
        text_add(&t, i * s->n < s->done * BAR ? "#" : " ");
    text_add(&t, "] ");
    text_add_number(&t, s->done);
    text_add(&t, " of ");
    text_add_number(&t, s->n);
    text_add(&t, " seeds, ");
    text_add_number(&t, rate);
    text_add(&t, "/s");
    if (rate > 0) {
        text_add(&t, ", ");
        text_add_number(&t, (s->n - s->done) / rate);
        text_add(&t, " s left");
    }
    (void)output_all(STDERR_FILENO, t.buf, t.len);
}

static void undraw(struct sweep *s)
{
    if (s->drawn)
        (void)output_all(STDERR_FILENO, "\r\033[K", 4);
    s->drawn = false;
}

static int failed(struct sweep *s, uint64_t seed, const char *why)
{
    undraw(s);
    output_say(WHO, "seed %" PRIu64 ": %s", seed, why);
    output_say(WHO,
               "to see it again: stoa sim --handler %s --clients %u --messages %u%s --seed %" PRIu64
               " --trace",
               s->world.handler->name, s->world.clients, s->world.messages,
               s->world.faults ? "" : " --no-faults", seed);
    return CODE_FAILED;
}

/* One seed; some of them twice. */
static int run_seed(struct sweep *s, uint64_t seed)
{
    struct simrun once, twice;

    if (simworld_run(&s->world, seed, &once) < 0)
        return failed(s, seed, once.why);
    s->seconds += once.seconds;
    s->events += once.events;
    s->faults += once.faults;
    if (seed % TWICE_EACH || s->world.trace)
        return CODE_OK;
    if (simworld_run(&s->world, seed, &twice) < 0)
        return failed(s, seed, twice.why);
    return once.hash == twice.hash ? CODE_OK
                                   : failed(s, seed, "it was another run the second time");
}

int cmd_sim(int argc, char **argv)
{
    struct sweep s = {
        .world = {.handler = handler_find("upper"),
                  .clients = CLIENTS_DEFAULT,
                  .messages = MESSAGES_DEFAULT,
                  .faults = true},
        .first = 1,
    };
    int code = CODE_OK;

    argp_parse(&cmd_sim_argp, argc, argv, 0, NULL, &s);
    if (s.n == 0)
        s.n = s.seed_said ? 1 : SEEDS_DEFAULT;
    s.began_ns = output_now_ns();
    for (; code == CODE_OK && s.done < s.n; s.done++) {
        draw(&s);
        code = run_seed(&s, s.first + s.done);
    }
    undraw(&s);
    double real = (double)(output_now_ns() - s.began_ns) / 1e9;
    if (code == CODE_OK && !s.quiet)
        output_say(WHO,
                   "%" PRIu64 " seeds are good: %.0f virtual seconds in %.1f, %" PRIu64
                   " events, %" PRIu64 " faults",
                   s.n, s.seconds, real, s.events, s.faults);
    return code;
}
