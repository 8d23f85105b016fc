/* bench/logs.c - logs compared, and put together. */
#include "cli/bench/logs.h"

#include "cli/bench/hlog.h"
#include "cli/bench/number.h"
#include "cli/bench/replace.h"
#include "cli/bench/report.h"
#include "cli/bench/write.h"
#include "cli/exitcode.h"
#include "cli/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char WHO[] = "stoa bench";

enum { FEW_SECONDS = 5 };

static struct series *read_log(const char *path)
{
    char why[SENTENCE_MAX];
    struct series *s = hlog_read(path, why, sizeof(why));

    if (!s)
        output_say(WHO, "%s", why);
    return s;
}

/* -------------------------------------------------------------------------
 * --compare
 * ---------------------------------------------------------------------- */

static void show(const char *name, const struct change *c, bool rate)
{
    char a[NUMBER_ROOM], b[NUMBER_ROOM];

    printf("    %-8s %12s %12s %+9.1f %%   %+.1f .. %+.1f %%\n", name,
           rate ? number_count(a, c->a) : number_time(a, c->a),
           rate ? number_count(b, c->b) : number_time(b, c->b), c->part * 100, c->low * 100,
           c->high * 100);
}

static void show_all(struct comparison *of, const struct series *a, const struct series *b)
{
    static const double parts[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    struct goal rate = {.rate = true};
    struct change c;
    char name[NUMBER_ROOM + 1];

    printf("    %-8s %12s %12s %11s   %s\n", "", "A", "B", "change", "95 % of resamplings");
    if (compare_measure(&c, of, &rate) == 0)
        show("rate", &c, true);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct goal g = {.part = parts[i]};
        name[0] = 'p';
        number_percent(name + 1, parts[i]);
        if (report_tells(&a->response, parts[i]) && report_tells(&b->response, parts[i]) &&
            compare_measure(&c, of, &g) == 0)
            show(name, &c, false);
    }
}

/* 0 or 1, and a sentence. */
static int judge(const struct goal *g, struct comparison *of, const struct series *a,
                 const struct series *b)
{
    struct change c;
    bool worse, surely;

    if (!g->rate && g->part < 1 &&
        (!report_tells(&a->response, g->part) || !report_tells(&b->response, g->part))) {
        output_say(WHO, "--fail-if %s: the logs have too few samples for that", g->text);
        return CODE_FAILED;
    }
    if (compare_measure(&c, of, g) < 0) {
        output_say(WHO, "--fail-if %s: A has no such measure", g->text);
        return CODE_FAILED;
    }
    worse = g->rate ? c.part < g->limit : c.part > g->limit;
    surely = g->rate ? c.high < g->limit : c.low > g->limit;
    printf("\n%s: B is %+.1f %%, in 95 %% of resamplings %+.1f to %+.1f %%: %s\n", g->text,
           c.part * 100, c.low * 100, c.high * 100,
           surely  ? "worse"
           : worse ? "perhaps worse, but not surely: longer runs would tell"
                   : "not worse");
    return surely ? CODE_FAILED : CODE_OK;
}

/* An exit code. */
static int compare(const struct options *o, const struct series *a, const struct series *b)
{
    struct comparison *of = compare_make(a, b);
    char name_a[REPLACE_NAME_ROOM], name_b[REPLACE_NAME_ROOM];
    int code = CODE_OK;

    if (!of) {
        output_say(WHO, "out of memory");
        return CODE_FAILED;
    }
    printf("A %s, B %s: response\n\n", replace_name(name_a, o->words[0]),
           replace_name(name_b, o->words[1]));
    show_all(of, a, b);
    if (a->nerror + b->nerror > 0)
        printf("    %-8s %12ju %12ju\n", "errors", (uintmax_t)a->nerror, (uintmax_t)b->nerror);
    if (a->n < FEW_SECONDS || b->n < FEW_SECONDS)
        printf("\nWith fewer than %d seconds the resamplings say little.\n", FEW_SECONDS);
    if (o->fail_if.text)
        code = judge(&o->fail_if, of, a, b);
    compare_free(of);
    return code;
}

int logs_compare(const struct options *o)
{
    struct series *a = read_log(o->words[0]), *b = a ? read_log(o->words[1]) : NULL;
    int code = a && b ? compare(o, a, b) : CODE_FAILED;

    series_free(a);
    series_free(b);
    return code;
}

/* -------------------------------------------------------------------------
 * --merge
 * ---------------------------------------------------------------------- */

static struct series *merged(const struct options *o)
{
    struct series *all = read_log(o->words[0]);

    for (size_t i = 1; all && i < o->nword; i++) {
        struct series *next = read_log(o->words[i]);
        if (!next || series_merge(all, next) < 0) {
            if (next)
                output_say(WHO, "out of memory");
            series_free(all);
            all = NULL;
        }
        series_free(next);
    }
    return all;
}

int logs_merge(const struct options *o)
{
    struct outcome outcome = {.series = merged(o)};
    struct report r = {.outcome = &outcome};
    int code = CODE_FAILED;

    if (outcome.series)
        code = write_reports(o, &r);
    outcome_fini(&outcome);
    return code;
}
