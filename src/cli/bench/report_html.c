/* bench/report_html.c - a run as one page that needs nothing else: no script, no other file.
 *
 * The sentences first, then the figures, then the plots: percentiles by their nines, for
 * that is where servers differ, rate and times by the second, and when which times were.
 */
#include "cli/bench/heat.h"
#include "cli/bench/number.h"
#include "cli/bench/report.h"
#include "cli/bench/svg.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { CURVE_POINTS = 160, TIME_LABELS = 8, ROWS_MAX = 3600 };

static const char STYLE[] =
    ":root{color-scheme:light dark;--ink:#1c2330;--paper:#fff;--faint:#d9dee7;--c0:#0b6bcb;"
    "--c1:#c2410c;--c2:#15803d}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--paper:#12161d;--faint:#303845;"
    "--c0:#6cb4ff;--c1:#ff9d6b;--c2:#6fd08c}}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
    "max-width:48rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.3rem}h2{font-size:1.05rem;margin-top:2rem}code{font-size:.9em}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.15rem .9rem .15rem 0;text-align:right;border-bottom:1px solid var(--faint)}"
    "td:first-child,th:first-child,td.text{text-align:left}"
    ".note{border-left:4px solid var(--c1);padding:.3rem .8rem;margin:.6rem 0}"
    ".big{font-size:1.5rem;font-weight:600}"
    "svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--ink)}"
    "svg .end{text-anchor:end}svg .middle{text-anchor:middle}"
    ".grid{stroke:var(--faint);fill:none}.line{fill:none;stroke-width:1.8}"
    "path.line0{stroke:var(--c0)}path.line1{stroke:var(--c1)}path.line2{stroke:var(--c2)}"
    "circle.line0,rect.line0,svg text.line0{fill:var(--c0)}"
    "circle.line1,svg text.line1{fill:var(--c1)}"
    "circle.line2,svg text.line2{fill:var(--c2)}"
    "circle.many{fill-opacity:0}";

static void escaped(FILE *f, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fputc((unsigned char)*text < ' ' ? '?' : *text, f);
        }
}

static void pair(FILE *f, const char *name, const char *value)
{
    fputs("<tr><td>", f);
    escaped(f, name);
    fputs("</td><td class=\"text\">", f);
    escaped(f, value);
    fputs("</td></tr>\n", f);
}

/* -------------------------------------------------------------------------
 * Tables
 * ---------------------------------------------------------------------- */

static void head(FILE *f, const struct report *r)
{
    char what[PLAN_TEXT_MAX] = "merged logs", count[NUMBER_ROOM], rate[NUMBER_ROOM];
    double seconds = report_seconds(r), answers = report_answers(r);

    if (r->plan)
        plan_text(r->plan, what, sizeof(what));
    fprintf(f, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
               "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
               "style-src 'unsafe-inline'\">"
               "<meta name=\"viewport\" content=\"width=device-width\"><title>stoa bench ");
    escaped(f, what);
    fprintf(f, "</title>\n<style>%s</style></head><body>\n<h1>stoa bench <code>", STYLE);
    escaped(f, what);
    fprintf(f, "</code></h1>\n<p><span class=\"big\">%s/s</span> &nbsp; %s answers in %.2f s, ",
            number_count(rate, seconds > 0 ? answers / seconds : 0), number_count(count, answers),
            seconds);
    fprintf(
        f, "%s errors</p>\n",
        number_count(count, (double)(r->plan ? r->outcome->nerror : r->outcome->series->nerror)));
    for (unsigned i = 0; i < r->notes.n; i++) {
        fprintf(f, "<p class=\"note\">");
        escaped(f, r->notes.text[i]);
        fprintf(f, "</p>\n");
    }
}

static const char *time_cell(char *buf, const struct hist *h, double part)
{
    if (h->count == 0 || (part < 1 && !report_tells(h, part)))
        return "&ndash;";
    return number_time(buf, (double)hist_value(h, part));
}

static void percentile_row(FILE *f, const char *name, const struct series *s, double part)
{
    char response[NUMBER_ROOM], service[NUMBER_ROOM], beyond[NUMBER_ROOM];

    fprintf(f, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n", name,
            time_cell(response, &s->response, part), time_cell(service, &s->service, part),
            number_count(beyond, hist_beyond(&s->response, part)));
}

static void percentiles(FILE *f, const struct series *s)
{
    char name[NUMBER_ROOM + 1] = "p";

    fprintf(f, "<h2>Times</h2>\n<table><tr><th></th><th>response</th><th>service</th>"
               "<th>samples beyond</th></tr>\n");
    for (size_t i = 0; i < number_nparts; i++) {
        number_percent(name + 1, number_parts[i]);
        percentile_row(f, name, s, number_parts[i]);
    }
    percentile_row(f, "max", s, 1);
    fprintf(f,
            "</table>\n<p>Response: from when a message was due to its answer. Service: from when "
            "it was sent. A percentile with fewer than %d samples beyond is not told.</p>\n",
            HIST_BEYOND_MIN);
}

static void faults(FILE *f, const struct outcome *o)
{
    char name[160], count[NUMBER_ROOM];

    fprintf(f, "<h2>Errors</h2>\n");
    if (o->nfault == 0) {
        fprintf(f, "<p>None.</p>\n");
        return;
    }
    fprintf(f, "<table id=\"errors\"><tr><th>phase</th><th>what</th><th>how often</th></tr>\n");
    for (unsigned i = 0; i < o->nfault; i++)
        fprintf(f, "<tr><td>%s</td><td class=\"text\">%s</td><td>%s</td></tr>\n",
                fault_phase(&o->fault[i]), fault_name(&o->fault[i], name, sizeof(name)),
                number_count(count, (double)o->fault[i].n));
    fprintf(f, "</table>\n");
}

static void generator(FILE *f, const struct report *r)
{
    const struct outcome *o = r->outcome;
    char text[64], number[NUMBER_ROOM];

    fprintf(f, "<h2>The generator</h2>\n<table>\n");
    snprintf(text, sizeof(text), "%.0f %%", o->busy * 100);
    pair(f,
         r->plan->rate > 0 ? "processor time of the busiest worker, its waits included"
                           : "processor time of the busiest worker",
         text);
    if (r->plan->rate == 0 && o->nanswer > 0) {
        snprintf(text, sizeof(text), "%.2f us", o->cpu_sec * 1e6 / (double)o->nanswer);
        pair(f, "processor time for an answer", text);
    }
    if (o->lag->count)
        pair(f, "p99 of schedule lag", number_time(number, (double)hist_value(o->lag, 0.99)));
    if (o->connect->count)
        pair(f, "median time of a connection",
             number_time(number, (double)hist_value(o->connect, 0.5)));
    fprintf(f, "</table>\n");
}

static void environment(FILE *f, const struct report *r)
{
    char number[NUMBER_ROOM];

    fprintf(f, "<h2>Environment</h2>\n<table id=\"environment\">\n");
    for (unsigned i = 0; i < r->around.nfact; i++)
        pair(f, r->around.fact[i].name, r->around.fact[i].value);
    for (size_t i = 0; surroundings_counters[i]; i++)
        if (r->around.counter[i] > 0)
            pair(f, surroundings_counters[i], number_count(number, (double)r->around.counter[i]));
    fprintf(f, "</table>\n");
}

/* -------------------------------------------------------------------------
 * Plots
 * ---------------------------------------------------------------------- */

/* 0 nines is the least value, 1 is p90, 2 is p99 ... */
static const char *nines_label(char *buf, double nines)
{
    buf[0] = 'p';
    number_percent(buf + 1, nines == 0 ? 0 : 1 - pow(10, -nines));
    return buf;
}

static const char *seconds_label(char *buf, double seconds)
{
    snprintf(buf, NUMBER_ROOM, "%g s", seconds);
    return buf;
}

/* The frame for times from least to most. */
static struct svg_axis time_axis(double least, double most)
{
    least = fmax(least, 100);
    return (struct svg_axis){least * 0.8, fmax(most, least * 2) * 1.2, true, number_time};
}

static void curve(struct svg *s, const char *name, const struct hist *h, double nines)
{
    struct svg_point point[CURVE_POINTS];
    size_t n = 0;

    for (size_t i = 0; i < CURVE_POINTS; i++) {
        double x = nines * (double)i / (CURVE_POINTS - 1), part = 1 - pow(10, -x);
        if (report_tells(h, part))
            point[n++] = (struct svg_point){x, (double)hist_value(h, part)};
    }
    svg_line(s, name, point, n);
}

static void percentile_plot(FILE *f, const struct series *series)
{
    static const double labels[] = {0, 1, 2, 3, 4, 5, 6};
    const struct hist *response = &series->response, *service = &series->service;
    double nines = fmin(6, floor(log10(fmax((double)response->count / HIST_BEYOND_MIN, 10))));
    double least = (double)hist_value(service->count ? service : response, 0);
    struct svg s = {.f = f,
                    .title = "Percentiles by their nines",
                    .x = {0, nines, false, nines_label},
                    .y = time_axis(least, (double)response->max)};

    fprintf(f, "<h2>Percentiles</h2>\n");
    svg_begin(&s, labels, (size_t)nines + 1);
    curve(&s, "response", response, nines);
    if (service->count)
        curve(&s, "service", service, nines);
    svg_end(&s);
}

/* Places for labels on the axis of time. */
static size_t time_labels(double *labels, double seconds)
{
    double step = fmax(1, ceil(seconds / TIME_LABELS));
    size_t n = 0;

    for (; (double)n * step <= seconds && n <= TIME_LABELS; n++)
        labels[n] = (double)n * step;
    return n;
}

static double middle(const struct interval *i)
{
    return i->start_sec + i->len_sec / 2;
}

static double answers_per_sec(const struct interval *i)
{
    return i->len_sec > 0 ? (double)i->count / i->len_sec : 0;
}

static void rate_plot(FILE *f, const struct report *r, struct svg_point *point)
{
    const struct series *series = r->outcome->series;
    bool open = r->plan && r->plan->rate > 0;
    double labels[TIME_LABELS + 1], most = open ? fmax(r->plan->rate, r->plan->rate_end) : 1;
    struct svg s = {.f = f,
                    .title = "Answers a second",
                    .x = {0, series_seconds(series), false, seconds_label},
                    .y = {0, 0, false, number_count}};

    for (size_t i = 0; i < series->n; i++) {
        point[i] = (struct svg_point){middle(&series->list[i]), answers_per_sec(&series->list[i])};
        most = fmax(most, point[i].y);
    }
    s.y.most = most * 1.1;
    fprintf(f, "<h2>Answers a second</h2>\n");
    svg_begin(&s, labels, time_labels(labels, s.x.most));
    svg_line(&s, "answered", point, series->n);
    for (size_t i = 0; i < series->n && open; i++)
        point[i].y = plan_rate_at(r->plan, point[i].x);
    if (open)
        svg_line(&s, "asked", point, series->n);
    svg_end(&s);
}

static void time_plot(FILE *f, const struct series *series, struct svg_point *point)
{
    static const char *const names[] = {"p50", "p99", "max"};
    double labels[TIME_LABELS + 1], least = INFINITY;
    struct svg s = {.f = f,
                    .title = "Response by the second",
                    .x = {0, series_seconds(series), false, seconds_label}};

    for (size_t i = 0; i < series->n; i++)
        if (series->list[i].p50 > 0)
            least = fmin(least, (double)series->list[i].p50);
    s.y = time_axis(isfinite(least) ? least : 1000, (double)series->response.max);
    fprintf(f, "<h2>Response by the second</h2>\n");
    svg_begin(&s, labels, time_labels(labels, s.x.most));
    for (int which = 0; which < 3; which++) {
        for (size_t i = 0; i < series->n; i++) {
            const struct interval *v = &series->list[i];
            uint64_t ns = which == 0 ? v->p50 : which == 1 ? v->p99 : v->max;
            point[i] = (struct svg_point){middle(v), (double)ns};
        }
        svg_line(&s, names[which], point, series->n);
    }
    svg_end(&s);
}

static void heat_plot(FILE *f, const struct series *series)
{
    double labels[TIME_LABELS + 1];
    struct svg s = {
        .f = f,
        .title = "Responses by time and value",
        .x = {0, series_seconds(series), false, seconds_label},
        .y = time_axis((double)hist_value(&series->response, 0), (double)series->response.max)};

    fprintf(f, "<h2>All responses</h2>\n");
    svg_begin(&s, labels, time_labels(labels, s.x.most));
    int r = heat_draw(&s, series);
    svg_end(&s);
    fprintf(f, "<p>%s</p>\n",
            r < 0 ? "There was no memory for them."
                  : "The darker a field, the more messages took so long then, by the logarithm: "
                    "the faintest is one message.");
}

static void interval_table(FILE *f, const struct series *s)
{
    char n[NUMBER_ROOM], a[NUMBER_ROOM], b[NUMBER_ROOM], c[NUMBER_ROOM];

    fprintf(f, "<details><summary>Each second</summary>\n<table><tr><th>from</th><th>answers"
               "</th><th>errors</th><th>p50</th><th>p99</th><th>max</th></tr>\n");
    for (size_t i = 0; i < s->n && i < ROWS_MAX; i++) {
        const struct interval *v = &s->list[i];
        fprintf(f, "<tr><td>%.1f s</td><td>%s</td><td>%" PRIu64 "</td>", v->start_sec,
                number_count(n, (double)v->count), v->nerror);
        fprintf(f, "<td>%s</td><td>%s</td><td>%s</td></tr>\n", number_time(a, (double)v->p50),
                number_time(b, (double)v->p99), number_time(c, (double)v->max));
    }
    fprintf(f, "</table></details>\n");
}

void report_html(const struct report *r, FILE *f)
{
    const struct series *s = r->outcome->series;
    struct svg_point *point = calloc(s->n + 1, sizeof(*point));

    head(f, r);
    percentiles(f, s);
    if (s->response.count > 0 && s->n > 0 && series_seconds(s) > 0 && point) {
        percentile_plot(f, s);
        rate_plot(f, r, point);
        time_plot(f, s, point);
        heat_plot(f, s);
        interval_table(f, s);
    }
    if (r->plan) {
        faults(f, r->outcome);
        if (r->outcome->begun)
            generator(f, r);
        environment(f, r);
    }
    fprintf(f, "</body></html>\n");
    free(point);
}
