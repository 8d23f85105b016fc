/* finding.c - a list of findings: bounded, ranked, filtered.  The texts of their kinds: kinds.c. */
#include "diag/finding.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct finding *finding_add(struct findings *f, enum kind kind, enum severity severity)
{
    struct finding *one;

    if (++f->of_kind[kind] > FINDINGS_PER_KIND || f->n == FINDINGS_MAX)
        return NULL;
    one = &f->list[f->n++];
    *one = (struct finding){.kind = kind, .severity = severity};
    return one;
}

void finding_say(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf, size, fmt, ap);
    va_end(ap);
}

static int compare(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;

    if (x->severity != y->severity)
        return x->severity > y->severity ? -1 : 1;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->subject, y->subject);
}

void finding_rank(struct findings *f)
{
    qsort(f->list, f->n, sizeof(f->list[0]), compare);
}

enum severity finding_worst(const struct findings *f)
{
    enum severity worst = SEVERITY_NONE;

    for (size_t i = 0; i < f->n; i++)
        if (f->list[i].severity > worst)
            worst = f->list[i].severity;
    return worst;
}

void finding_filter(struct findings *f, int pid, uint16_t port)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++)
        if ((!pid || f->list[i].pid == pid) && (!port || f->list[i].port == port))
            f->list[n++] = f->list[i];
    f->n = n;
}

const char *finding_severity(enum severity s)
{
    static const char *const words[SEVERITIES] = {"healthy", "note", "warning", "failing"};

    return words[s];
}

enum kind finding_kind(const char *id)
{
    enum kind k = 0;

    while (k < KINDS && strcmp(finding_kinds[k].id, id) != 0)
        k++;
    return k;
}

struct digits finding_digits(uint64_t n)
{
    struct digits d = {""};
    char plain[24];
    int len = snprintf(plain, sizeof(plain), "%" PRIu64, n), at = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            d.c[at++] = ',';
        d.c[at++] = plain[i];
    }
    return d;
}

struct digits finding_span(uint64_t ms)
{
    struct digits d;
    uint64_t s = ms / 1000;

    if (s < 10)
        snprintf(d.c, sizeof(d.c), "%" PRIu64 ".%" PRIu64 " s", s, ms / 100 % 10);
    else if (s < 120)
        snprintf(d.c, sizeof(d.c), "%" PRIu64 " s", s);
    else if (s < 7200)
        snprintf(d.c, sizeof(d.c), "%" PRIu64 " min", s / 60);
    else if (s < 172800)
        snprintf(d.c, sizeof(d.c), "%" PRIu64 " h", s / 3600);
    else
        snprintf(d.c, sizeof(d.c), "%" PRIu64 " days", s / 86400);
    return d;
}

struct digits finding_count(uint64_t n, const char *noun)
{
    struct digits d = finding_digits(n);
    struct text t = {.buf = d.c, .size = sizeof(d.c), .len = strlen(d.c)};

    text_add(&t, " ");
    text_add(&t, noun);
    text_add(&t, n == 1 ? "" : "s");
    return d;
}
