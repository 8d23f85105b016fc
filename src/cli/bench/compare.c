/* bench/compare.c - is B worse than A, or was it the weather?
 *
 * A run's seconds differ among themselves, and by how much tells how far two runs of the same
 * program would differ: they are drawn again by chance, as many as there are, with
 * repetition, and the measure taken of what was drawn (the bootstrap: Efron, 1979).  Of
 * ROUNDS such pairs, the middle 95 % are the interval.  Chance has a fixed seed, so the same
 * logs give the same answer.
 *
 * Neighbouring seconds are alike, and drawn one by one they would promise more than was measured.
 * So what is drawn are blocks of them, as long as the third root of their number (Carlstein, 1986),
 * but BLOCKS_WANTED at least: an hour is 240 blocks of 15 seconds.
 *
 * What holds: a block has, for each value that occurs at all, how many samples do not exceed it.
 * So a percentile of what was drawn is found by halving, exactly, and not by adding
 * up all histograms: an hour of seconds takes a tenth of one to compare.
 */
#include "cli/bench/codec.h"
#include "cli/bench/logs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 1000, BLOCKS_WANTED = 30 };

/* A series in blocks. */
struct blocks {
    size_t n, nvalue;
    uint64_t *value;   /* that occur, ascending */
    uint64_t *upto;    /* nvalue * n: samples of a block up to a value */
    double *seconds;   /* of a block */
    uint64_t *answers; /* in it */
    uint64_t *drawn;   /* how often, in this round */
};

struct comparison {
    const struct series *a, *b;
    struct blocks of_a, of_b;
};

static void blocks_fini(struct blocks *b)
{
    free(b->value);
    free(b->upto);
    free(b->seconds);
    free(b->answers);
    free(b->drawn);
}

static size_t block_len(size_t nsecond)
{
    size_t len = (size_t)cbrt((double)nsecond), most = nsecond / BLOCKS_WANTED;

    len = len < most ? len : most;
    return len > 0 ? len : 1;
}

/* All of one length, but for the last, which may be longer: a short one would weigh too much. */
static size_t block_of(const struct blocks *b, size_t second, size_t nsecond)
{
    size_t block = second / block_len(nsecond);

    return block < b->n ? block : b->n - 1;
}

static int blocks_room(struct blocks *b, const struct series *s)
{
    b->n = s->n / block_len(s->n);
    for (size_t i = 0; i < HIST_LEN; i++)
        b->nvalue += s->response.at[i] > 0;
    b->value = calloc(b->nvalue + 1, sizeof(*b->value));
    b->upto = calloc(b->nvalue * b->n + 1, sizeof(*b->upto));
    b->seconds = calloc(b->n + 1, sizeof(*b->seconds));
    b->answers = calloc(b->n + 1, sizeof(*b->answers));
    b->drawn = calloc(b->n + 1, sizeof(*b->drawn));
    return b->value && b->upto && b->seconds && b->answers && b->drawn ? 0 : -1;
}

/* One second's samples, up to each value, are added to its block's. */
static void blocks_add(struct blocks *b, const struct series *s, const struct hist *h, size_t block)
{
    uint64_t seen = 0;

    for (size_t i = 0, v = 0; i < HIST_LEN; i++) {
        if (s->response.at[i] == 0)
            continue;
        seen += h->at[i];
        b->value[v] = hist_most(i) < s->response.max ? hist_most(i) : s->response.max;
        b->upto[v++ * b->n + block] += seen;
    }
}

static int blocks_init(struct blocks *b, const struct series *s)
{
    struct hist *h = malloc(sizeof(*h));
    const char *why;
    int r = h ? blocks_room(b, s) : -1;

    for (size_t i = 0; r == 0 && i < s->n; i++) {
        size_t block = block_of(b, i, s->n);
        hist_clear(h);
        r = codec_read(h, s->list[i].response, strlen(s->list[i].response), &why);
        blocks_add(b, s, h, block);
        b->seconds[block] += s->list[i].len_sec;
        b->answers[block] += s->list[i].count;
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

/* Samples of all that was drawn, up to value number v. */
static uint64_t drawn_upto(const struct blocks *b, size_t v)
{
    const uint64_t *upto = b->upto + v * b->n;
    uint64_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        n += b->drawn[i] * upto[i];
    return n;
}

/* The least value that enough samples do not exceed. */
static double drawn_value(const struct blocks *b, double part)
{
    uint64_t total = b->nvalue > 0 ? drawn_upto(b, b->nvalue - 1) : 0;
    uint64_t wanted = (uint64_t)ceil(part * (double)total);
    size_t low = 0, high = b->nvalue - 1;

    if (total == 0)
        return 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (drawn_upto(b, middle) >= (wanted > 0 ? wanted : 1))
            high = middle;
        else
            low = middle + 1;
    }
    return (double)b->value[low];
}

static double drawn_rate(const struct blocks *b)
{
    double seconds = 0, answers = 0;

    for (size_t i = 0; i < b->n; i++) {
        seconds += (double)b->drawn[i] * b->seconds[i];
        answers += (double)b->drawn[i] * (double)b->answers[i];
    }
    return seconds > 0 ? answers / seconds : 0;
}

/* The measure of blocks drawn by chance. */
static double draw(struct blocks *b, const struct goal *g, uint64_t *chance)
{
    memset(b->drawn, 0, b->n * sizeof(*b->drawn));
    for (size_t i = 0; i < b->n; i++)
        b->drawn[next_chance(chance) % b->n]++;
    return g->rate ? drawn_rate(b) : drawn_value(b, g->part);
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

int compare_measure(struct change *c, struct comparison *of, const struct goal *measure)
{
    uint64_t chance = 88172645463325252;
    double change[ROUNDS];

    *c = (struct change){.a = measure_of(of->a, measure), .b = measure_of(of->b, measure)};
    if (c->a <= 0)
        return -1;
    for (int i = 0; i < ROUNDS; i++) {
        double one = draw(&of->of_a, measure, &chance), two = draw(&of->of_b, measure, &chance);
        change[i] = one > 0 ? two / one - 1 : 0;
    }
    qsort(change, ROUNDS, sizeof(change[0]), by_size);
    c->part = c->b / c->a - 1;
    c->low = change[ROUNDS * 25 / 1000];
    c->high = change[ROUNDS * 975 / 1000 - 1];
    return 0;
}

struct comparison *compare_make(const struct series *a, const struct series *b)
{
    struct comparison *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    *c = (struct comparison){.a = a, .b = b};
    if (blocks_init(&c->of_a, a) == 0 && blocks_init(&c->of_b, b) == 0)
        return c;
    compare_free(c);
    return NULL;
}

void compare_free(struct comparison *c)
{
    if (!c)
        return;
    blocks_fini(&c->of_a);
    blocks_fini(&c->of_b);
    free(c);
}
