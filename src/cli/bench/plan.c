/* bench/plan.c - the schedule, and a plan as text.
 *
 * A ramp from a to b over D seconds has asked for a t + (b - a) t^2 / 2D messages after t;
 * message n is due when that is n.  Written so that equal rates are no special case but
 * the division's.
 */
#include "cli/bench/plan.h"

#include "cli/bench/number.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>

uint64_t plan_due_ns(const struct plan *p, uint64_t n)
{
    double a = p->rate, growth = (p->rate_end - p->rate) / p->duration_sec;

    if (growth == 0)
        return (uint64_t)((double)n / a * 1e9);
    double square = a * a + 2 * growth * (double)n;
    if (square < 0) /* a falling ramp has no such message */
        return UINT64_MAX / 4;
    return (uint64_t)(2 * (double)n / (a + sqrt(square)) * 1e9);
}

double plan_rate_at(const struct plan *p, double seconds)
{
    double part = seconds / p->duration_sec;

    return p->rate + (p->rate_end - p->rate) * (part < 1 ? part : 1);
}

unsigned plan_connections(const struct plan *p)
{
    return (p->mode == MODE_CHURN ? 0 : p->nconn) + p->nidle + p->nslow;
}

const char *plan_mode_name(const struct plan *p)
{
    static const char *const names[] = {"talk", "stream", "churn"};

    return names[p->mode];
}

static void option(struct text *t, const char *name, uint64_t number)
{
    text_add(t, " ");
    text_add(t, name);
    text_add(t, " ");
    text_add_number(t, number);
}

static void load_options(struct text *t, const struct plan *p)
{
    static const char *const closers[] = {"client", "server", "reset"};
    char rate[2 * NUMBER_ROOM + 16] = "";

    if (p->mode == MODE_STREAM)
        text_add(t, " --stream");
    if (p->mode == MODE_CHURN) {
        text_add(t, " --churn --close ");
        text_add(t, closers[p->closer]);
    }
    option(t, "--conns", p->nconn);
    if (p->pipeline > 1)
        option(t, "--pipeline", p->pipeline);
    if (p->rate != p->rate_end)
        snprintf(rate, sizeof(rate), " --ramp %.15g:%.15g", p->rate, p->rate_end);
    else if (p->rate > 0)
        snprintf(rate, sizeof(rate), " --rate %.15g", p->rate);
    text_add(t, rate);
}

static void time_option(struct text *t, const char *name, double seconds)
{
    char number[NUMBER_ROOM];

    snprintf(number, sizeof(number), " %gs", seconds);
    text_add(t, " ");
    text_add(t, name);
    text_add(t, number);
}

static void script_options(struct text *t, const struct plan *p)
{
    static const char *const expects[] = {"upper", "echo", NULL, NULL, "none"};

    if (p->ask_path) {
        text_add(t, " --send ");
        text_add(t, p->ask_path);
    } else {
        option(t, "--size", p->script.ask_len);
    }
    if (p->script.expect == EXPECT_LENGTH) {
        option(t, "--no-verify --answer-size", p->script.answer_len);
        return;
    }
    text_add(t, " --expect ");
    text_add(t, p->want_path ? p->want_path : expects[p->script.expect]);
}

void plan_text(const struct plan *p, char *buf, size_t size)
{
    struct text t;

    text_init(&t, buf, size);
    text_add(&t, p->to);
    load_options(&t, p);
    time_option(&t, "--duration", p->duration_sec);
    script_options(&t, p);
    time_option(&t, "--timeout", p->timeout_sec);
    if (p->nidle > 0)
        option(&t, "--idle", p->nidle);
    if (p->nslow > 0) {
        option(&t, "--slow", p->nslow);
        time_option(&t, "--pause", p->pause_sec);
    }
    if (p->from) {
        text_add(&t, " --from ");
        text_add(&t, p->from);
    }
    option(&t, "--workers", p->nworker);
}
