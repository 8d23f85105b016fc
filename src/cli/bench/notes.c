/* bench/notes.c - the sentences of a report: what its figures do not say, or only to experts.
 *
 * A stall; a schedule that was not kept and by whom; the generator at its limit; wrong answers;
 * messages that never came back.
 */
#include "cli/bench/number.h"
#include "cli/bench/report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static const double PART = 2;      /* response over service: they have parted ... */
static const double PART_NS = 1e6; /* ... if they differ by a millisecond */
static const double BUSY = 0.9;    /* of a processor: the generator is the limit */
static const double LAG_NS = 1e6;  /* sent so long after it was due, for its own fault */
static const double AWAY_SEC = 0.1;
static const double LATE_SEC = 0.1;
static const double KEPT = 0.99; /* of the rate that was asked for */

__attribute__((format(printf, 2, 3))) static void say(struct notes *n, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (n->n < NOTES_MAX)
        vsnprintf(n->text[n->n++], NOTE_LEN, fmt, args);
    va_end(args);
}

static bool parted(const struct outcome *o, double part)
{
    double response = (double)hist_value(&o->series->response, part);
    double service = (double)hist_value(&o->series->service, part);

    return response > PART * service && response - service > PART_NS;
}

/* The server was silent: what both times say of it. */
static void stall(struct notes *n, const struct plan *p, const struct outcome *o)
{
    char response[NUMBER_ROOM], service[NUMBER_ROOM];

    if (o->silence_sec == 0)
        return;
    number_time(response, (double)hist_value(&o->series->response, 0.99));
    number_time(service, (double)hist_value(&o->series->service, 0.99));
    say(n,
        "The server stalled: for %.2f of %.2f s no answer came, %.2f s at a time at most, from "
        "%.2f s on. The p99 of answers as sent (service) is %s; as they were %s (response), %s.",
        o->silence_sec, o->seconds, o->longest_sec, o->longest_at_sec, service,
        p->rate > 0 ? "due" : "to be sent at an even pace", response);
}

static void parting(struct notes *n, const struct plan *p, const struct outcome *o)
{
    char response[NUMBER_ROOM], service[NUMBER_ROOM];

    if (p->rate == 0 || o->silence_sec > 0 || !parted(o, 0.99))
        return;
    number_time(response, (double)hist_value(&o->series->response, 0.99));
    number_time(service, (double)hist_value(&o->series->service, 0.99));
    say(n,
        "Response and service part: at p99 a message has its answer %s after it was due, but %s "
        "after it was sent. The rest is waiting for a connection that is free: the server does "
        "not keep up with this rate on %u connections%s.",
        response, service, p->nconn, p->pipeline == 1 ? ", one message at a time on each" : "");
}

/* What was asked for in a second, and what came. */
static void rate_kept(struct notes *n, const struct plan *p, const struct outcome *o)
{
    double asked = (p->rate + p->rate_end) / 2;
    double last = (double)hist_value(&o->series->service, 0.99) / 1e9; /* of the last answers */
    double seconds = fmax(o->seconds - last, p->duration_sec);
    double got = (double)o->nanswer / seconds;
    char wanted[NUMBER_ROOM], came[NUMBER_ROOM];

    if (p->rate == 0 || o->interrupted || got >= KEPT * asked)
        return;
    say(n, "The rate was not reached: %s a second were asked for, and %s were answered.",
        number_count(wanted, asked), number_count(came, got));
}

/* The schedule was not kept, though a connection was free. */
static void late(struct notes *n, const struct outcome *o)
{
    double lag_ns = (double)hist_value(o->lag, 0.99);
    char lag[NUMBER_ROOM];

    if (lag_ns <= LAG_NS)
        return;
    number_time(lag, lag_ns);
    if (o->busy > BUSY)
        say(n,
            "The generator is the limit: it sent one message in a hundred %s or more after it was "
            "due. Give it more processors (--workers), or less to do.",
            lag);
    else
        say(n,
            "The generator did not always get its processor, other programs had it: one message "
            "in a hundred was sent %s or more after it was due. Response times hold that, too.",
            lag);
}

static void away(struct notes *n, const struct outcome *o)
{
    if (o->away_sec >= AWAY_SEC)
        say(n,
            "The generator did not run for %.2f s of it: it was stopped, or other programs had its "
            "processor. Times hold that, and it is not the server's.",
            o->away_sec);
}

static void generator(struct notes *n, const struct plan *p, const struct outcome *o)
{
    if (p->rate > 0)
        late(n, o);
    else if (o->busy > BUSY)
        say(n,
            "The generator is the limit: its busiest worker took %.0f %% of a processor. The "
            "server may do more than this; give the generator more with --workers.",
            o->busy * 100);
}

static void wrong(struct notes *n, const struct outcome *o)
{
    char lost[NUMBER_ROOM], cut[NUMBER_ROOM];

    if (*o->wrong)
        say(n, "The server answered wrongly, the first time so: %s.", o->wrong);
    if (*o->first)
        say(n, "The first failure: %s.", o->first);
    if (o->nlost > 0)
        say(n, "%s messages have no answer.%s", number_count(lost, (double)o->nlost),
            o->nexpired > 0 ? " Those that were waited for to the end stand in the percentiles "
                              "with the time until then, the least they would have taken."
                            : "");
    if (o->ncut > 0)
        say(n, "%s of the silent and slow clients were sent off by the server.",
            number_count(cut, (double)o->ncut));
}

static void interrupted(struct notes *n, const struct plan *p, const struct outcome *o)
{
    char made[NUMBER_ROOM], wanted[NUMBER_ROOM];

    if (o->begun)
        say(n, "Interrupted after %.1f s.", o->seconds);
    else if (plan_connections(p) == 0)
        say(n, "Interrupted before it began.");
    else
        say(n, "Interrupted before it began: %s of %s connections had been made.",
            number_count(made, (double)o->nconnect), number_count(wanted, plan_connections(p)));
}

void notes_make(struct notes *n, const struct plan *p, const struct outcome *o)
{
    n->n = 0;
    if (o->interrupted)
        interrupted(n, p, o);
    if (!o->begun)
        return; /* no figure is of the load */
    if (o->late_sec >= LATE_SEC)
        say(n, "It began %.1f s after --start-at.", o->late_sec);
    stall(n, p, o);
    parting(n, p, o);
    rate_kept(n, p, o);
    away(n, o);
    generator(n, p, o);
    wrong(n, o);
}
