/* bench/report.h - a run told: as text, as JSON, as a page.  Measures nothing.
 *
 * All of them tell the same figures and the same sentences.  A report may also be made of a
 * merged log: then there is no plan, and of the outcome only the series.
 */
#ifndef STOA_CLI_BENCH_REPORT_H
#define STOA_CLI_BENCH_REPORT_H

#include "cli/bench/outcome.h"
#include "cli/bench/surroundings.h"

enum { NOTES_MAX = 12, NOTE_LEN = 600 };

/* Sentences that a reader must not miss. */
struct notes {
    char text[NOTES_MAX][NOTE_LEN];
    unsigned n;
};

struct report {
    const struct plan *plan; /* NULL: a merged log */
    const char *command;     /* the command line */
    const struct outcome *outcome;
    struct notes notes;
    struct surroundings around;
};

void notes_make(struct notes *n, const struct plan *p, const struct outcome *o);

/* Seconds and answers of a run, or of what a log holds. */
double report_seconds(const struct report *r);
double report_answers(const struct report *r);

/* Is a percentile worth telling: are there samples enough beyond it? */
bool report_tells(const struct hist *h, double part);

void report_text(const struct report *r, FILE *f);
void report_json(const struct report *r, FILE *f);
void report_html(const struct report *r, FILE *f);

#endif
