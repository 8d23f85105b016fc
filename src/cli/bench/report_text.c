/* bench/report_text.c - a run on a screen of text. */
#include "cli/bench/number.h"
#include "cli/bench/report.h"
#include "cli/page.h"

#include <inttypes.h>

enum { STEPS = 10 }; /* rows of a ramp */

double report_seconds(const struct report *r)
{
    return r->plan ? r->outcome->seconds : series_seconds(r->outcome->series);
}

double report_answers(const struct report *r)
{
    return (double)(r->plan ? r->outcome->nanswer : series_answers(r->outcome->series));
}

bool report_tells(const struct hist *h, double part)
{
    return hist_beyond(h, part) >= HIST_BEYOND_MIN * (1 - 1e-9);
}

static const char *value(char *buf, const struct hist *h, double part)
{
    if (part < 1 && !report_tells(h, part))
        return "-";
    return h->count ? number_time(buf, (double)hist_value(h, part)) : "-";
}

static void row(FILE *f, const char *name, const struct series *s, double part)
{
    char response[NUMBER_ROOM], service[NUMBER_ROOM];

    fprintf(f, "    %-8s %14s %14s\n", name, value(response, &s->response, part),
            value(service, &s->service, part));
}

static void percentiles(FILE *f, const struct series *s)
{
    char name[NUMBER_ROOM + 1], count[NUMBER_ROOM];
    bool few = false;

    if (s->response.count == 0)
        return;
    fprintf(f, "\n    %-8s %14s %14s\n", "", "response", "service");
    for (size_t i = 0; i < number_nparts; i++) {
        name[0] = 'p';
        number_percent(name + 1, number_parts[i]);
        row(f, name, s, number_parts[i]);
        few |= !report_tells(&s->response, number_parts[i]);
    }
    row(f, "max", s, 1);
    if (few)
        fprintf(f, "    (-: fewer than %d of the %s samples lie beyond)\n", HIST_BEYOND_MIN,
                number_count(count, (double)s->response.count));
}

/* Intervals put together to a few rows: what each rate of a ramp brought. */
static void ramp(FILE *f, const struct plan *p, const struct series *s)
{
    size_t step = (s->n + STEPS - 1) / STEPS;
    char asked[NUMBER_ROOM], got[NUMBER_ROOM], p50[NUMBER_ROOM], p99[NUMBER_ROOM];

    fprintf(f, "\n    %12s %12s %10s %10s   (the last second of each step)\n", "asked/s",
            "answered/s", "p50", "p99");
    for (size_t i = step ? step - 1 : 0; i < s->n; i += step) {
        const struct interval *v = &s->list[i];
        fprintf(f, "    %12s %12s %10s %10s\n",
                number_count(asked, plan_rate_at(p, v->start_sec + v->len_sec / 2)),
                number_count(got, v->len_sec > 0 ? (double)v->count / v->len_sec : 0),
                v->count ? number_time(p50, (double)v->p50) : "-",
                v->count ? number_time(p99, (double)v->p99) : "-");
    }
}

static void head(FILE *f, const struct report *r)
{
    const struct outcome *o = r->outcome;
    char count[NUMBER_ROOM], rate[NUMBER_ROOM], out[NUMBER_ROOM], in[NUMBER_ROOM];
    double seconds = report_seconds(r), answers = report_answers(r);

    if (r->plan) {
        char what[PLAN_TEXT_MAX];
        plan_text(r->plan, what, sizeof(what));
        fprintf(f, "stoa bench %s\n\n", what);
    }
    fprintf(f, "    %s answers in %.2f s, %s/s", number_count(count, answers), seconds,
            number_count(rate, seconds > 0 ? answers / seconds : 0));
    if (r->plan && seconds > 0)
        fprintf(f, "; %s/s out, %s/s in", number_bytes(out, (double)o->sent / seconds),
                number_bytes(in, (double)o->came / seconds));
    fprintf(f, "; %s errors\n",
            number_count(count, (double)(r->plan ? o->nerror : o->series->nerror)));
}

static void faults(FILE *f, const struct outcome *o)
{
    char name[160], count[NUMBER_ROOM];

    if (o->nfault > 0)
        fprintf(f, "\n    errors\n");
    for (unsigned i = 0; i < o->nfault; i++)
        fprintf(f, "    %12s  %-8s %s\n", number_count(count, (double)o->fault[i].n),
                fault_phase(&o->fault[i]), fault_name(&o->fault[i], name, sizeof(name)));
}

static void generator(FILE *f, const struct report *r)
{
    const struct outcome *o = r->outcome;
    char lag[NUMBER_ROOM];

    fprintf(f, "    the generator: %.0f %% of a processor", o->busy * 100);
    if (r->plan->rate > 0)
        fprintf(f, ", its waits included");
    else if (o->nanswer > 0)
        fprintf(f, ", %.2f us for an answer", o->cpu_sec * 1e6 / (double)o->nanswer);
    if (o->lag->count)
        fprintf(f, ", p99 of lag %s", number_time(lag, (double)hist_value(o->lag, 0.99)));
    fprintf(f, "\n");
}

static void foot(FILE *f, const struct report *r)
{
    const struct outcome *o = r->outcome;
    char a[NUMBER_ROOM], b[NUMBER_ROOM], c[NUMBER_ROOM];

    fprintf(f, "\n");
    if (o->connect->count)
        fprintf(f, "    %s connections, each made in %s (median), %s at most\n",
                number_count(a, (double)o->nconnect),
                number_time(b, (double)hist_value(o->connect, 0.5)),
                number_time(c, (double)o->connect->max));
    if (r->plan->nidle + r->plan->nslow > 0)
        fprintf(f, "    %s silent and %s slow clients besides, %s of them sent off\n",
                number_count(a, r->plan->nidle), number_count(b, r->plan->nslow),
                number_count(c, (double)o->ncut));
    if (o->begun)
        generator(f, r);
}

/* Sentences: in a pipe a line each, on a terminal paragraphs of its width. */
static void notes(FILE *f, const struct notes *n)
{
    char buf[NOTE_LEN * 2];
    struct page p;

    for (unsigned i = 0; i < n->n; i++) {
        page_init(&p, buf, sizeof(buf));
        if (p.rows == 0) {
            fprintf(f, "%s%s\n", i == 0 ? "\n" : "", n->text[i]);
            continue;
        }
        page_paragraph(&p, "", 0, n->text[i]);
        fprintf(f, "\n%s", buf);
    }
}

void report_text(const struct report *r, FILE *f)
{
    const struct outcome *o = r->outcome;

    head(f, r);
    percentiles(f, o->series);
    if (r->plan && r->plan->rate != r->plan->rate_end)
        ramp(f, r->plan, o->series);
    faults(f, o);
    if (r->plan)
        foot(f, r);
    notes(f, &r->notes);
}
