/* bench/series.c - intervals put together, corrected, merged.
 *
 * Intervals are in the order of their starts.  Those of several machines are put together
 * by the nearest second, for no two begin at the same instant.
 */
#include "cli/bench/series.h"

#include "cli/bench/codec.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_STEP = 64 };

struct series *series_make(double epoch_sec)
{
    struct series *s = calloc(1, sizeof(*s));

    if (s)
        s->epoch_sec = epoch_sec;
    return s;
}

void series_free(struct series *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        free(s->list[i].response);
        free(s->list[i].service);
    }
    free(s->list);
    free(s);
}

double series_seconds(const struct series *s)
{
    const struct interval *last;

    if (s->n == 0)
        return 0;
    last = &s->list[s->n - 1];
    return last->start_sec + last->len_sec - s->list[0].start_sec;
}

uint64_t series_answers(const struct series *s)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        n += s->list[i].count;
    return n;
}

/* What an interval says of its histograms without their texts being read. */
static int interval_fill(struct interval *to, const struct hist *response,
                         const struct hist *service)
{
    to->response = codec_write(response);
    to->service = service ? codec_write(service) : NULL;
    if (!to->response || (service && !to->service)) {
        free(to->response);
        free(to->service);
        return -1;
    }
    to->count = service ? service->count : response->count;
    to->count -= to->nunanswered < to->count ? to->nunanswered : to->count;
    to->p50 = hist_value(response, 0.5);
    to->p99 = hist_value(response, 0.99);
    to->max = response->max;
    return 0;
}

static int make_room(struct series *s)
{
    struct interval *list;

    if (s->n % ROOM_STEP)
        return 0;
    list = realloc(s->list, (s->n + ROOM_STEP) * sizeof(*list));
    if (!list)
        return -1;
    s->list = list;
    return 0;
}

int series_add(struct series *s, const struct interval *of, const struct hist *response,
               const struct hist *service)
{
    struct interval new = *of;
    size_t at = s->n;

    if (make_room(s) < 0 || interval_fill(&new, response, service) < 0)
        return -1;
    while (at > 0 && s->list[at - 1].start_sec > of->start_sec)
        at--;
    memmove(&s->list[at + 1], &s->list[at], (s->n - at) * sizeof(s->list[0]));
    s->list[at] = new;
    s->n++;
    s->nerror += of->nerror;
    hist_merge(&s->response, response);
    if (service)
        hist_merge(&s->service, service);
    return 0;
}

static int read_into(struct hist *h, const char *text)
{
    const char *why;

    return text ? codec_read(h, text, strlen(text), &why) : 0;
}

/* Make one interval's response anew of its service. */
static int correct_one(struct series *s, struct interval *i, uint64_t expected_ns,
                       uint64_t stall_ns, struct hist scratch[2])
{
    char *old[2] = {i->response, i->service};

    hist_clear(&scratch[0]);
    hist_clear(&scratch[1]);
    if (read_into(&scratch[0], i->service) < 0)
        return -1;
    hist_correct(&scratch[1], &scratch[0], expected_ns, stall_ns);
    if (interval_fill(i, &scratch[1], &scratch[0]) < 0)
        return -1;
    free(old[0]);
    free(old[1]);
    hist_merge(&s->response, &scratch[1]);
    return 0;
}

int series_correct(struct series *s, uint64_t expected_ns, uint64_t stall_ns)
{
    struct hist *scratch = malloc(2 * sizeof(*scratch));
    int r = scratch ? 0 : -1;

    hist_clear(&s->response);
    for (size_t i = 0; r == 0 && i < s->n; i++)
        r = correct_one(s, &s->list[i], expected_ns, stall_ns, scratch);
    free(scratch);
    return r;
}

/* The interval of the same second, or NULL.  From *at on: those before it are over by then, and the
 * next one that is asked for is later. */
static struct interval *same_second(struct series *s, size_t *at, double start_sec)
{
    while (*at < s->n && s->list[*at].start_sec + s->list[*at].len_sec / 2 <= start_sec)
        ++*at;
    if (*at == s->n || s->list[*at].start_sec - s->list[*at].len_sec / 2 >= start_sec)
        return NULL;
    return &s->list[*at];
}

/* Add two intervals' histograms.  The totals are the caller's. */
static int merge_one(struct interval *to, const struct interval *from, struct hist scratch[2])
{
    char *old[2] = {to->response, to->service};
    bool both = from->service && to->service;

    to->nunanswered += from->nunanswered;

    hist_clear(&scratch[0]);
    hist_clear(&scratch[1]);
    if (read_into(&scratch[0], to->response) < 0 || read_into(&scratch[0], from->response) < 0 ||
        read_into(&scratch[1], to->service) < 0 || read_into(&scratch[1], from->service) < 0 ||
        interval_fill(to, &scratch[0], both ? &scratch[1] : NULL) < 0)
        return -1;
    to->nerror += from->nerror;
    free(old[0]);
    free(old[1]);
    return 0;
}

static int merge_each(struct series *s, const struct series *from, struct hist scratch[2])
{
    double shift = from->epoch_sec - s->epoch_sec;
    size_t at = 0;

    for (size_t i = 0; i < from->n; i++) {
        const struct interval *f = &from->list[i];
        struct interval *same = same_second(s, &at, f->start_sec + shift), new = *f;
        new.start_sec += shift;
        hist_clear(&scratch[0]);
        hist_clear(&scratch[1]);
        if (same ? merge_one(same, f, scratch) < 0
                 : read_into(&scratch[0], f->response) < 0 ||
                       read_into(&scratch[1], f->service) < 0 ||
                       series_add(s, &new, &scratch[0], f->service ? &scratch[1] : NULL) < 0)
            return -1;
        if (!same)
            continue;
        hist_clear(&scratch[0]);
        hist_clear(&scratch[1]);
        if (read_into(&scratch[0], f->response) < 0 || read_into(&scratch[1], f->service) < 0)
            return -1;
        hist_merge(&s->response, &scratch[0]);
        hist_merge(&s->service, &scratch[1]);
        s->nerror += f->nerror;
    }
    return 0;
}

int series_merge(struct series *s, const struct series *from)
{
    struct hist *scratch = malloc(2 * sizeof(*scratch));
    int r = scratch ? merge_each(s, from, scratch) : -1;

    free(scratch);
    return r;
}
