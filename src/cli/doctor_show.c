/* doctor_show.c - findings for people, on one screen, and for programs, an object a line.
 *
 * On a terminal, what does not fit in full is told in a line each; in a pipe all is in full.
 */
#include "cli/doctor.h"

#include "cli/exitcode.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ROOM = 131072, /* FINDINGS_MAX of them, in full */
    JSON_LINE = 16384,
    INDENT = 10,
};

int doctor_code(const struct findings *f)
{
    static const int codes[SEVERITIES] = {CODE_OK, CODE_NOTE, CODE_WARNING, CODE_FAILING};

    return codes[finding_worst(f)];
}

static void heading(struct page *p, const struct finding *f)
{
    static const enum page_colour colours[SEVERITIES] = {PAGE_GREEN, PAGE_CYAN, PAGE_YELLOW,
                                                         PAGE_RED};

    page_word(p, colours[f->severity], finding_severity(f->severity), INDENT);
    text_add(&p->t, finding_kinds[f->kind].id);
    text_add(&p->t, ": ");
}

static void paragraph(struct page *p, const char *label, const char *words)
{
    page_paragraph(p, label, INDENT, words);
}

static const char *act_of(const struct finding *f)
{
    return f->act[0] ? f->act : finding_kinds[f->kind].act;
}

static void in_full(struct page *p, const struct finding *f)
{
    heading(p, f);
    text_add(&p->t, finding_kinds[f->kind].what);
    page_end_line(p);
    paragraph(p, "  who", f->subject);
    paragraph(p, "  seen", f->evidence);
    paragraph(p, "  why", finding_kinds[f->kind].why);
    paragraph(p, "  do", act_of(f));
    paragraph(p, "  undo", f->undo);
    paragraph(p, "  unseen", f->unseen);
}

static void in_a_line(struct page *p, const struct finding *f)
{
    heading(p, f);
    text_add(&p->t, f->subject);
    page_end_line(p);
}

/* How many rows it takes in full. */
static size_t rows_of(const struct page *p, const struct finding *f)
{
    static char scratch[8192];
    struct page trial = {.width = p->width};

    text_init(&trial.t, scratch, sizeof(scratch));
    in_full(&trial, f);
    return trial.row + 1;
}

static void summary(struct page *p, const struct doctor_look *l)
{
    char line[256];

    snprintf(line, sizeof(line), "%s sockets looked at in %s%s%s",
             finding_digits(l->facts.nsocket).c, finding_span(l->took_ns / 1000000).c,
             l->apart_ms ? ", rates over " : "", l->apart_ms ? finding_span(l->apart_ms).c : "");
    text_add(&p->t, line);
    if (l->facts.source == SOCKETS_PROC)
        text_add(&p->t,
                 "; by /proc/net, for sock_diag is refused: drops and queue limits are hidden");
    if (l->facts.short_of_memory)
        text_add(&p->t, "; out of memory: there are more");
    page_end_line(p);
    if (!l->facts.root && l->facts.closed)
        paragraph(p, "  unseen",
                  "not root: other users' programs and descriptors; sudo stoa doctor sees "
                  "them");
}

static void more_of_a_kind(struct page *p, const struct findings *f)
{
    char line[128];

    for (int k = 0; k < KINDS; k++)
        if (f->of_kind[k] > FINDINGS_PER_KIND) {
            snprintf(line, sizeof(line), "and %s more of %s",
                     finding_digits(f->of_kind[k] - FINDINGS_PER_KIND).c, finding_kinds[k].id);
            text_add(&p->t, line);
            page_end_line(p);
        }
}

static int show_text(const struct doctor_look *l)
{
    static char buf[ROOM];
    const struct findings *f = &l->findings;
    struct page p;

    page_init(&p, buf, sizeof(buf));
    if (l->about[0]) {
        text_add(&p.t, l->about);
        page_end_line(&p);
    }
    for (size_t i = 0; i < f->n; i++) {
        size_t left = f->n - i - 1;

        if (i && p.rows && p.row + rows_of(&p, &f->list[i]) + left + 3 > p.rows) {
            in_a_line(&p, &f->list[i]);
            continue;
        }
        in_full(&p, &f->list[i]);
        page_end_line(&p);
    }
    more_of_a_kind(&p, f);
    if (!f->n) {
        text_add(&p.t, "nothing found: ");
        text_add(&p.t, l->about[0] ? "this process is healthy; "
                                   : "this machine's sockets are healthy; ");
    }
    summary(&p, l);
    return output_all(STDOUT_FILENO, p.t.buf, p.t.len);
}

static int json_line(struct text *t)
{
    json_end(t);
    return output_all(STDOUT_FILENO, t->buf, t->len);
}

static int json_finding(const struct finding *f)
{
    static char buf[JSON_LINE];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    json_begin(&t, "finding");
    json_string(&t, "id", finding_kinds[f->kind].id);
    json_string(&t, "severity", finding_severity(f->severity));
    json_string(&t, "what", finding_kinds[f->kind].what);
    json_string(&t, "subject", f->subject);
    json_string(&t, "evidence", f->evidence);
    json_string(&t, "why", finding_kinds[f->kind].why);
    json_string(&t, "do", act_of(f));
    json_string(&t, "undo", f->undo);
    json_string(&t, "unseen", f->unseen);
    json_number(&t, "pid", (uint64_t)f->pid);
    json_number(&t, "port", f->port);
    if (f->value[0]) {
        json_string(&t, "setting", finding_kinds[f->kind].setting);
        json_string(&t, "value", f->value);
        json_string(&t, "old", f->old);
    }
    return json_line(&t);
}

static int show_json(const struct doctor *d, const struct doctor_look *l)
{
    static char buf[JSON_LINE];
    struct text t;

    for (size_t i = 0; i < l->findings.n; i++)
        if (json_finding(&l->findings.list[i]) < 0)
            return -1;
    text_init(&t, buf, sizeof(buf));
    json_begin(&t, "end");
    json_string(&t, "worst", finding_severity(finding_worst(&l->findings)));
    json_number(&t, "findings", l->findings.n);
    json_number(&t, "sockets", l->facts.nsocket);
    json_number(&t, "took_ms", l->took_ns / 1000000);
    json_number(&t, "apart_ms", l->apart_ms);
    json_string(&t, "source", l->facts.source == SOCKETS_DIAG ? "sock_diag" : "/proc/net");
    json_number(&t, "root", l->facts.root);
    json_number(&t, "closed_processes", l->facts.closed);
    json_string(&t, "place", d->place ? d->place : "");
    json_number(&t, "asked_pid", (uint64_t)d->pid);
    json_number(&t, "idle_ms", l->facts.idle_ms);
    return json_line(&t);
}

int doctor_show(const struct doctor *d, const struct doctor_look *look)
{
    return d->json ? show_json(d, look) : show_text(look);
}
