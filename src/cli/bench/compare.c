/* bench/compare.c - is B worse than A, or was it the weather?
 *
 * A run's seconds differ among themselves, and by how much tells how far two runs of the same
 * program would differ: seconds are drawn again by chance, as many as there are, with
 * repetition, and the measure taken of what was drawn (the bootstrap: Efron, 1979).  Of
 * ROUNDS such pairs, the middle 95 % are the interval.  Chance has a fixed seed, so the same
 * logs give the same answer.
 *
 * What holds: intervals are kept sparse, one column for each value that occurs at all, so a
 * round costs some hundred thousand additions.
 */
#include "cli/bench/codec.h"
#include "cli/bench/logs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 1000 };

/* A series' intervals by values. */
struct matrix {
    size_t nrow, ncolumn;
    uint64_t *value; /* of a column, ascending */
    uint64_t *count; /* nrow * ncolumn */
    uint64_t *sum;   /* ncolumn: of the rows that were drawn */
    double *seconds; /* of a row */
    uint64_t *answers;
};

static void matrix_free(struct matrix *m)
{
    free(m->value);
    free(m->count);
    free(m->sum);
    free(m->seconds);
    free(m->answers);
}

static int matrix_room(struct matrix *m, const struct series *s)
{
    size_t most = 0;

    for (size_t i = 0; i < HIST_LEN; i++)
        most += s->response.at[i] > 0;
    m->nrow = s->n;
    m->ncolumn = most;
    m->value = calloc(most + 1, sizeof(*m->value));
    m->count = calloc(most * s->n + 1, sizeof(*m->count));
    m->sum = calloc(most + 1, sizeof(*m->sum));
    m->seconds = calloc(s->n + 1, sizeof(*m->seconds));
    m->answers = calloc(s->n + 1, sizeof(*m->answers));
    return m->value && m->count && m->sum && m->seconds && m->answers ? 0 : -1;
}

static int matrix_make(struct matrix *m, const struct series *s)
{
    struct hist *h = calloc(1, sizeof(*h));
    const char *why;
    int r = h ? matrix_room(m, s) : -1;

    for (size_t row = 0; r == 0 && row < s->n; row++) {
        hist_clear(h);
        r = codec_read(h, s->list[row].response, strlen(s->list[row].response), &why);
        m->seconds[row] = s->list[row].len_sec;
        m->answers[row] = s->list[row].count;
        for (size_t i = 0, column = 0; i < HIST_LEN; i++) {
            if (s->response.at[i] == 0)
                continue;
            m->value[column] = hist_most(i);
            m->count[row * m->ncolumn + column++] = h->at[i];
        }
    }
    free(h);
    return r;
}

static uint64_t next_chance(uint64_t *chance)
{
    *chance ^= *chance << 13; /* xorshift64 */
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return *chance;
}

static double value_of_sum(const struct matrix *m, const struct goal *g, uint64_t total)
{
    uint64_t wanted = (uint64_t)ceil(g->part * (double)total), seen = 0;

    for (size_t i = 0; i < m->ncolumn; i++) {
        seen += m->sum[i];
        if (seen >= wanted && seen > 0)
            return (double)m->value[i];
    }
    return 0;
}

/* The measure of rows drawn by chance. */
static double draw(struct matrix *m, const struct goal *g, uint64_t *chance)
{
    uint64_t total = 0, answers = 0;
    double seconds = 0;

    memset(m->sum, 0, m->ncolumn * sizeof(*m->sum));
    for (size_t i = 0; i < m->nrow; i++) {
        size_t row = (size_t)(next_chance(chance) % m->nrow);
        const uint64_t *count = m->count + row * m->ncolumn;
        for (size_t column = 0; column < m->ncolumn; column++) {
            m->sum[column] += count[column];
            total += count[column];
        }
        seconds += m->seconds[row];
        answers += m->answers[row];
    }
    if (g->rate)
        return seconds > 0 ? (double)answers / seconds : 0;
    return value_of_sum(m, g, total);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double measure_of(const struct series *s, const struct goal *g)
{
    if (g->rate)
        return (double)series_answers(s) / series_seconds(s);
    return (double)hist_value(&s->response, g->part);
}

int compare_measure(struct change *c, const struct series *a, const struct series *b,
                    const struct goal *measure)
{
    struct matrix ma = {0}, mb = {0};
    uint64_t chance = 88172645463325252;
    double change[ROUNDS];
    int r = -1;

    *c = (struct change){.a = measure_of(a, measure), .b = measure_of(b, measure)};
    if (c->a <= 0 || matrix_make(&ma, a) < 0 || matrix_make(&mb, b) < 0)
        goto end;
    for (int i = 0; i < ROUNDS; i++) {
        double one = draw(&ma, measure, &chance), two = draw(&mb, measure, &chance);
        change[i] = one > 0 ? two / one - 1 : 0;
    }
    qsort(change, ROUNDS, sizeof(change[0]), by_size);
    c->part = c->b / c->a - 1;
    c->low = change[ROUNDS * 25 / 1000];
    c->high = change[ROUNDS * 975 / 1000 - 1];
    r = 0;
end:
    matrix_free(&ma);
    matrix_free(&mb);
    return r;
}
