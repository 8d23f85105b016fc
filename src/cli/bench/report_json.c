/* bench/report_json.c - a run as one JSON object: all that was asked for, and all that came.
 *
 * Times are in nanoseconds; a percentile that too few samples support is null, and so is what
 * a merged log does not know.
 */
#include "cli/bench/number.h"
#include "cli/bench/report.h"
#include "cli/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 256 << 10, INTERVAL_ROOM = 320 };

static void command(struct text *t, const struct report *r)
{
    static const char *const expects[] = {"upper", "echo", "file", "length", "none"};
    static const char *const closers[] = {"client", "server", "reset"};
    const struct plan *p = r->plan;
    char options[PLAN_TEXT_MAX];

    plan_text(p, options, sizeof(options));
    json_open(t, "config", '{');
    json_string(t, "options", options);
    json_string(t, "address", p->to);
    json_string(t, "mode", plan_mode_name(p));
    json_string(t, "loop", p->rate > 0 ? "open" : "closed");
    json_number(t, "conns", p->nconn);
    json_number(t, "idle", p->nidle);
    json_number(t, "slow", p->nslow);
    json_real(t, "pause_s", p->pause_sec);
    json_number(t, "pipeline", p->pipeline);
    json_number(t, "size", p->script.ask_len);
    json_number(t, "answer_size", p->script.answer_len);
    json_string(t, "expect", p->want_path ? p->want_path : expects[p->script.expect]);
    json_string(t, "send", p->ask_path ? p->ask_path : "");
    json_string(t, "close", p->mode == MODE_CHURN ? closers[p->closer] : "");
    json_real(t, "rate", p->rate > 0 ? p->rate : NAN);
    json_real(t, "rate_end", p->rate > 0 ? p->rate_end : NAN);
    json_real(t, "duration_s", p->duration_sec);
    json_real(t, "timeout_s", p->timeout_sec);
    json_real(t, "interval_s", p->interval_sec);
    json_number(t, "workers", p->nworker);
    json_string(t, "from", p->spread ? "127.64.0.0/10" : p->from ? p->from : "");
    json_close(t, '}');
}

static void times(struct text *t, const char *key, const struct hist *h)
{
    char name[NUMBER_ROOM + 1] = "p";

    json_open(t, key, '{');
    json_number(t, "count", h->count);
    json_real(t, "mean", h->count ? (double)h->sum / (double)h->count : NAN);
    for (size_t i = 0; i < number_nparts; i++) {
        number_percent(name + 1, number_parts[i]);
        if (report_tells(h, number_parts[i]))
            json_number(t, name, hist_value(h, number_parts[i]));
        else
            json_real(t, name, NAN);
    }
    json_number(t, "max", h->max);
    json_close(t, '}');
}

static void faults(struct text *t, const struct outcome *o)
{
    char name[160];

    json_open(t, "faults", '[');
    for (unsigned i = 0; i < o->nfault; i++) {
        json_open(t, NULL, '{');
        json_string(t, "phase", fault_phase(&o->fault[i]));
        json_string(t, "what", fault_name(&o->fault[i], name, sizeof(name)));
        json_number(t, "count", o->fault[i].n);
        json_close(t, '}');
    }
    json_close(t, ']');
}

static void run(struct text *t, const struct report *r)
{
    const struct outcome *o = r->outcome;

    json_number(t, "lost", o->nlost);
    json_number(t, "expired", o->nexpired);
    json_number(t, "cut", o->ncut);
    json_number(t, "connections", o->nconnect);
    json_number(t, "bytes_out", o->sent);
    json_number(t, "bytes_in", o->came);
    json_real(t, "silence_s", o->silence_sec);
    json_real(t, "longest_silence_s", o->longest_sec);
    json_real(t, "longest_silence_at_s", o->longest_at_sec);
    times(t, "connect_ns", o->connect);
    json_open(t, "generator", '{');
    json_real(t, "busy", o->busy);
    json_real(t, "away_s", o->away_sec);
    json_real(t, "cpu_s", o->cpu_sec);
    json_real(t, "cpu_us_per_answer", o->nanswer ? o->cpu_sec * 1e6 / (double)o->nanswer : NAN);
    times(t, "lag_ns", o->lag);
    json_close(t, '}');
    faults(t, o);
    json_open(t, "counters", '{');
    for (size_t i = 0; surroundings_counters[i]; i++)
        json_number(t, surroundings_counters[i], r->around.counter[i]);
    json_close(t, '}');
    json_open(t, "environment", '{');
    for (unsigned i = 0; i < r->around.nfact; i++)
        json_string(t, r->around.fact[i].name, r->around.fact[i].value);
    json_close(t, '}');
}

static void intervals(struct text *t, const struct report *r)
{
    const struct series *s = r->outcome->series;

    json_open(t, "intervals", '[');
    for (size_t i = 0; i < s->n; i++) {
        const struct interval *v = &s->list[i];
        json_open(t, NULL, '{');
        json_real(t, "start_s", v->start_sec);
        json_real(t, "length_s", v->len_sec);
        if (r->plan && r->plan->rate > 0)
            json_real(t, "asked_per_s", plan_rate_at(r->plan, v->start_sec + v->len_sec / 2));
        json_number(t, "answers", v->count);
        json_number(t, "errors", v->nerror);
        json_number(t, "p50_ns", v->p50);
        json_number(t, "p99_ns", v->p99);
        json_number(t, "max_ns", v->max);
        json_close(t, '}');
    }
    json_close(t, ']');
}

void report_json(const struct report *r, FILE *f)
{
    const struct series *s = r->outcome->series;
    size_t room = ROOM + s->n * INTERVAL_ROOM;
    char *buf = malloc(room);
    struct text t;

    if (!buf)
        return;
    text_init(&t, buf, room);
    json_begin(&t, "bench");
    if (r->plan)
        command(&t, r);
    json_real(&t, "began", s->epoch_sec);
    json_real(&t, "seconds", report_seconds(r));
    json_real(&t, "answers_per_s", report_answers(r) / report_seconds(r));
    json_number(&t, "answers", (uint64_t)report_answers(r));
    json_number(&t, "errors", r->plan ? r->outcome->nerror : s->nerror);
    times(&t, "response_ns", &s->response);
    times(&t, "service_ns", &s->service);
    if (r->plan)
        run(&t, r);
    intervals(&t, r);
    json_open(&t, "notes", '[');
    for (unsigned i = 0; i < r->notes.n; i++)
        json_string(&t, NULL, r->notes.text[i]);
    json_close(&t, ']');
    json_end(&t);
    fwrite(t.buf, 1, t.len, f);
    free(buf);
}
