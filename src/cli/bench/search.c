/* bench/search.c - twice the rate until the goal is missed, then halves of what is left.
 *
 * A rate is kept when the goal is, nearly all of it was answered, and nothing failed.  When it
 * was missed and the generator was late, that is said: it may not have been the server.
 *
 * Limits: found to 5 %; RATE_FIRST and RATE_LAST.
 */
#include "cli/bench/search.h"

#include "cli/bench/live.h"
#include "cli/bench/number.h"
#include "cli/bench/outcome.h"
#include "cli/bench/report.h"
#include "cli/exitcode.h"
#include "cli/output.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const double RATE_FIRST = 1000, RATE_LEAST = 1, RATE_LAST = 1e8;
static const double NEAR = 1.05; /* the highest kept and the lowest missed: near enough */
static const double ANSWERED = 0.99;
static const double LAG_NS = 1e6;

struct step {
    double rate;
    double value_ns; /* the goal's measure */
    double answered; /* a second */
    uint64_t nerror;
    bool kept, late, interrupted;
    bool few; /* samples, for the goal's percentile */
};

static void show(const struct goal *g, const struct step *s)
{
    char rate[NUMBER_ROOM], value[NUMBER_ROOM], answered[NUMBER_ROOM];
    int len = (int)(strchr(g->text, '<') - g->text);

    printf("    %12s/s  %.*s %-9s %12s/s answered, %ju errors: %s%s\n", number_count(rate, s->rate),
           len, g->text, number_time(value, s->value_ns), number_count(answered, s->answered),
           (uintmax_t)s->nerror,
           s->kept   ? "kept"
           : s->late ? "missed, and the generator was late"
                     : "missed",
           s->few ? ", but of few samples" : "");
    fflush(stdout);
}

/* A second.  The last answers may take as long as the goal allows, and that is no delay. */
static double answered(const struct plan *p, const struct outcome *o, double limit_sec)
{
    double over = o->seconds - p->duration_sec;
    double seconds = over > 0 && over < limit_sec ? p->duration_sec : o->seconds;

    return seconds > 0 ? (double)o->nanswer / seconds : 0;
}

static int try(const struct options *o, double rate, struct step *s)
{
    struct plan p = o->plan;
    struct outcome outcome;
    struct live live;
    char why[SENTENCE_MAX];

    *s = (struct step){.rate = rate};
    p.rate = p.rate_end = rate;
    live_start(&live, &p, true);
    int r = run_plan(&p, &outcome, &live, why, sizeof(why));
    if (r < 0) {
        output_say("stoa bench", "%s", why);
    } else {
        s->value_ns = (double)hist_value(&outcome.series->response, o->find_max.part);
        s->answered = answered(&p, &outcome, o->find_max.limit);
        s->nerror = outcome.nerror;
        s->interrupted = outcome.interrupted;
        s->kept = s->value_ns < o->find_max.limit * 1e9 && s->answered >= ANSWERED * rate &&
                  s->nerror == 0;
        s->few = o->find_max.part < 1 && !report_tells(&outcome.series->response, o->find_max.part);
        s->late = !s->kept && (double)hist_value(outcome.lag, 0.99) > LAG_NS;
    }
    outcome_fini(&outcome);
    if (r == 0 && !s->interrupted)
        show(&o->find_max, s);
    return r;
}

/* A percentile with few samples beyond it is chance, and so is what was found by it. */
static void tell_few(const struct options *o, double rate)
{
    char per_step[NUMBER_ROOM];

    printf(
        "Fewer than %d samples lay beyond %.*s in a step: steps of %.0f s (--duration) would tell "
        "at %s/s.\n",
        HIST_BEYOND_MIN, (int)(strchr(o->find_max.text, '<') - o->find_max.text), o->find_max.text,
        ceil(HIST_BEYOND_MIN / (1 - o->find_max.part) / rate), number_count(per_step, rate));
}

static int tell(const struct options *o, double kept, double missed, bool late)
{
    char rate[NUMBER_ROOM], next[NUMBER_ROOM];

    if (kept == 0) {
        printf("\n%s is not kept at any rate: already %s/s is too much.\n", o->find_max.text,
               number_count(next, missed));
        return CODE_FAILED;
    }
    printf("\n%s is kept up to %s/s", o->find_max.text, number_count(rate, kept));
    if (late)
        printf("; at %s/s it is missed, but the generator was late there: perhaps the server "
               "does more.\n",
               number_count(next, missed));
    else
        printf("; at %s/s it is missed.\n", number_count(next, missed));
    return CODE_OK;
}

static void tell_interrupted(double kept)
{
    char rate[NUMBER_ROOM];

    if (kept > 0)
        printf("\nInterrupted: kept up to %s/s so far.\n", number_count(rate, kept));
    else
        printf("\nInterrupted: no rate was kept so far.\n");
}

int search(const struct options *o)
{
    double kept = 0, missed = 0, rate = RATE_FIRST;
    bool late = false, few = false;
    struct step s;

    printf("stoa bench %s --find-max '%s'\n\n", o->plan.to, o->find_max.text);
    while (rate >= RATE_LEAST && rate <= RATE_LAST) {
        if (try(o, rate, &s) < 0)
            return CODE_FAILED;
        if (s.interrupted) {
            tell_interrupted(kept);
            return CODE_SIGNAL + SIGINT;
        }
        if (s.kept) {
            kept = rate;
            few = s.few;
        } else {
            missed = rate;
            late = s.late;
        }
        if (kept > 0 && missed > 0 && missed <= kept * NEAR)
            break;
        rate = missed == 0 ? rate * 2 : kept == 0 ? rate / 4 : sqrt(kept * missed);
    }
    int code = tell(o, kept, missed, late);
    if (few)
        tell_few(o, kept);
    return code;
}
