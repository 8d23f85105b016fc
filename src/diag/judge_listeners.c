/* judge_listeners.c - who waits to be let in: queues, half-open connections, restarts. */
#include "diag/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COOKIES_BACK_PERCENT = 10 }; /* of a flood's cookies fewer come back */

/* limit: the queue's, as listen(2) has set it. */
static void say_backlog(const struct judgement *j, struct finding *f, uint64_t limit)
{
    uint64_t max = j->now->set.somaxconn;
    char value[24], old[24];

    if (limit < max) {
        FINDING_SAY(f->act,
                    "call listen() with %" PRIu64
                    " (net.core.somaxconn allows it), and accept sooner",
                    max);
        return;
    }
    snprintf(value, sizeof(value), "%" PRIu64, max < 4096 ? 4096 : max * 2);
    snprintf(old, sizeof(old), "%" PRIu64, max);
    FINDING_SAY(f->act,
                "accept sooner; or sysctl -w net.core.somaxconn=%s, and listen() with as much (the "
                "program must be started again)",
                value);
    judge_setting(f, value, old);
}

static void queue(struct judgement *j, const struct diag_socket *s)
{
    const struct diag_socket *then = j->was ? facts_find(j->was, s->inode, s->state) : NULL;
    uint64_t fresh = then && s->drops > then->drops ? s->drops - then->drops : 0;
    bool full = s->receive > s->send && j->now->source == SOCKETS_DIAG;
    struct finding *f;

    if (!full && !s->drops)
        return;
    f = finding_add(j->out, KIND_LISTEN_QUEUE_FULL,
                    full    ? SEVERITY_FAILING
                    : fresh ? SEVERITY_WARNING
                            : SEVERITY_NOTE);
    if (!f)
        return;
    f->port = s->port;
    f->weight = fresh * 1000 + s->drops;
    FINDING_SAY(f->subject, "%s", judge_address(s, false).c);
    judge_whose(j, f, s->pid, s->uid);
    FINDING_SAY(f->evidence,
                "%s in it, the limit is %s (listen(2)); %s dropped since it listens, "
                "%s/s now",
                finding_count(s->receive, "connection").c, finding_digits(s->send).c,
                finding_digits(s->drops).c, judge_rate(j, fresh).c);
    if (!full && !fresh)
        FINDING_SAY(f->act,
                    "nothing now: it has been full, and is not; if it comes again, raise the "
                    "backlog of listen(2) above %u",
                    s->send);
    else
        say_backlog(j, f, s->send);
    if (j->now->set.abort_on_overflow)
        FINDING_SAY(f->unseen, "net.ipv4.tcp_abort_on_overflow is 1: clients are reset, not kept "
                               "waiting");
}

/* How many half-open connections there are, and one of them. */
static const struct diag_socket *half_open_of(const struct facts *f, uint64_t *n)
{
    const struct diag_socket *one = NULL;

    *n = 0;
    for (size_t i = 0; i < f->nsocket; i++) {
        const struct diag_socket *s = &f->sockets[i];

        if (s->state == DIAG_SYN_RECV || s->state == DIAG_NEW_SYN_RECV) {
            ++*n;
            one = s;
        }
    }
    return one;
}

static void syn_queue(struct judgement *j)
{
    uint64_t sent = judge_grown(j, COUNT_COOKIES_SENT), back = judge_grown(j, COUNT_COOKIES_BACK);
    uint64_t dropped = judge_grown(j, COUNT_SYN_DROPPED), half_open;
    const struct diag_socket *one = half_open_of(j->now, &half_open);
    bool flood = back * 100 < sent * COOKIES_BACK_PERCENT;
    const struct diag_socket *listener = one ? facts_listener(j->now, one) : NULL;
    struct finding *f;

    if (dropped && !j->now->set.syncookies)
        f = finding_add(j->out, KIND_SYN_DROPPED, SEVERITY_FAILING);
    else if (sent)
        f = finding_add(j->out, flood ? KIND_SYN_FLOOD : KIND_SYN_BURST, SEVERITY_WARNING);
    else
        return;
    if (!f)
        return;
    f->weight = sent + dropped;
    if (listener) {
        f->port = listener->port;
        FINDING_SAY(f->subject, "%s", judge_address(listener, false).c);
        judge_whose(j, f, listener->pid, listener->uid);
    }
    FINDING_SAY(f->evidence,
                "%s%s%s%s; %s requests dropped (%s/s), %s cookies sent (%s/s), "
                "%s of them came back",
                finding_count(half_open, "half-open connection").c, listener ? ", backlog " : "",
                listener ? finding_digits(listener->send).c : "",
                j->now->set.syncookies ? "" : ", SYN cookies are off", finding_digits(dropped).c,
                judge_rate(j, dropped).c, finding_digits(sent).c, judge_rate(j, sent).c,
                finding_digits(back).c);
    if (f->kind == KIND_SYN_DROPPED)
        judge_setting(f, "1", "0");
    if (f->kind == KIND_SYN_BURST && listener)
        say_backlog(j, f, listener->send);
}

/* The next listener, behind the k-th, of another program, that shares its port (SO_REUSEPORT). */
static const struct diag_socket *sharer(const struct facts *f, size_t k)
{
    const struct diag_socket *s = &f->sockets[f->listeners[k]];

    for (size_t i = k + 1; i < f->nlistener; i++) {
        const struct diag_socket *o = &f->sockets[f->listeners[i]];

        if (o->port == s->port && o->family == s->family && o->pid && o->pid != s->pid &&
            IN6_ARE_ADDR_EQUAL(&o->addr, &s->addr))
            return o;
    }
    return NULL;
}

/* When one of them closes, and the kernel does not move what is in its queue, that is reset.  The
 * kernel counts no such loss, so it is told before. */
static void restart(struct judgement *j, size_t k)
{
    const struct diag_socket *s = &j->now->sockets[j->now->listeners[k]];
    const struct diag_socket *other = s->pid ? sharer(j->now, k) : NULL;
    const struct diag_owner *who = other ? facts_who(j->now, other->pid) : NULL;
    char program[4 * OWNER_PROGRAM_MAX];
    struct finding *f;
    struct text t;

    if (!other || !who)
        return;
    f = finding_add(j->out, KIND_RESTART_LOSS, SEVERITY_NOTE);
    if (!f)
        return;
    f->port = s->port;
    f->weight = s->receive + other->receive;
    FINDING_SAY(f->subject, "%s", judge_address(s, false).c);
    judge_whose(j, f, s->pid, s->uid);
    text_init(&t, program, sizeof(program));
    text_add_escaped(&t, who->program, strlen(who->program), "");
    FINDING_SAY(
        f->evidence,
        "it shares the port with %s (pid %d), each with a queue of its own: %u and %u wait in "
        "them; net.ipv4.tcp_migrate_req is 0",
        program, who->pid, s->receive, other->receive);
    judge_setting(f, "1", "0");
}

static void unix_queue(struct judgement *j, const struct diag_unix *s)
{
    struct finding *f;
    struct text t;
    char name[4 * sizeof(s->name)];

    if (s->state != DIAG_LISTEN || s->receive <= s->send)
        return;
    f = finding_add(j->out, KIND_UNIX_QUEUE_FULL, SEVERITY_FAILING);
    if (!f)
        return;
    f->weight = s->receive;
    text_init(&t, name, sizeof(name));
    if (s->name_len && !s->name[0])
        text_add(&t, "@");
    text_add_escaped(&t, s->name + !s->name[0],
                     s->name[0] ? strnlen(s->name, s->name_len) : s->name_len - 1, "");
    FINDING_SAY(f->subject, "unix:%s", name);
    judge_whose(j, f, s->pid, s->uid);
    FINDING_SAY(f->evidence, "%s in it, the limit is %u (listen(2))",
                finding_count(s->receive, "connection").c, s->send);
    say_backlog(j, f, s->send);
}

void judge_listeners(struct judgement *j)
{
    for (size_t i = 0; i < j->now->nlistener; i++) {
        queue(j, &j->now->sockets[j->now->listeners[i]]);
        if (!j->now->set.migrate_req)
            restart(j, i);
    }
    for (size_t i = 0; i < j->now->npath; i++)
        unix_queue(j, &j->now->paths[i]);
    syn_queue(j);
}
