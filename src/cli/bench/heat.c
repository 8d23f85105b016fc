/* bench/heat.c - a field's darkness is the logarithm of its samples: one in a million is seen.
 *
 * What percentiles by the second do not show is seen here: two kinds of answers, of which one is
 * slow; a stall's slope; a pause that comes every ten seconds.
 *
 * Limits: COLUMNS of time, however many seconds; ROWS of value.
 */
#include "cli/bench/heat.h"

#include "cli/bench/codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 120, ROWS = 36 };

static const double FAINTEST = 0.12; /* of 1: a single sample */

struct heat {
    size_t ncolumn;
    uint64_t most;
    uint64_t count[COLUMNS][ROWS];
};

/* Which of n equal parts of 0 .. 1. */
static size_t part_of(double part, size_t n)
{
    double at = floor(part * (double)n);

    return at < 0 ? 0 : at < (double)n ? (size_t)at : n - 1;
}

static size_t row_of(const struct svg_axis *y, uint64_t ns)
{
    return part_of(log((double)ns / y->least) / log(y->most / y->least), ROWS);
}

static void add(struct heat *heat, const struct svg *s, const struct hist *h, size_t column)
{
    for (size_t i = 0; i < HIST_LEN; i++) {
        if (h->at[i] == 0)
            continue;
        uint64_t *count = &heat->count[column][row_of(&s->y, hist_most(i))];
        *count += h->at[i];
        if (*count > heat->most)
            heat->most = *count;
    }
}

static int gather(struct heat *heat, const struct svg *s, const struct series *series)
{
    struct hist *h = malloc(sizeof(*h));
    const char *why;
    int r = h ? 0 : -1;

    heat->ncolumn = series->n < COLUMNS ? series->n : COLUMNS;
    for (size_t i = 0; r == 0 && i < series->n; i++) {
        const struct interval *v = &series->list[i];
        double middle = (v->start_sec + v->len_sec / 2 - s->x.least) / (s->x.most - s->x.least);
        hist_clear(h);
        r = codec_read(h, v->response, strlen(v->response), &why);
        add(heat, s, h, part_of(middle, heat->ncolumn));
    }
    free(h);
    return r;
}

/* A column's left side, or a row's lower one. */
static double time_at(const struct svg *s, const struct heat *heat, size_t column)
{
    return s->x.least + (s->x.most - s->x.least) * (double)column / (double)heat->ncolumn;
}

static double value_at(const struct svg *s, size_t row)
{
    return s->y.least * pow(s->y.most / s->y.least, (double)row / ROWS);
}

static void draw(struct svg *s, const struct heat *heat)
{
    for (size_t c = 0; c < heat->ncolumn; c++)
        for (size_t row = 0; row < ROWS; row++) {
            struct svg_point from = {time_at(s, heat, c), value_at(s, row)};
            struct svg_point to = {time_at(s, heat, c + 1), value_at(s, row + 1)};
            double part = log1p((double)heat->count[c][row]) / log1p((double)heat->most);
            if (heat->count[c][row] > 0)
                svg_field(s, from, to, FAINTEST + (1 - FAINTEST) * part);
        }
}

int heat_draw(struct svg *s, const struct series *series)
{
    struct heat *heat = calloc(1, sizeof(*heat));
    int r = heat ? gather(heat, s, series) : -1;

    if (r == 0)
        draw(s, heat);
    free(heat);
    return r;
}
