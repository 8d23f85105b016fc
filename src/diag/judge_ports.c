/* judge_ports.c - ports that run out: TIME_WAIT, ephemeral ports, and sockets that met themselves.
 *
 * Connections to one destination are counted by sorting; TIME_WAIT by the kernel's own number.
 */
#include "diag/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIME_WAIT_MANY = 10000,
    TIME_WAIT_BYTES = 256, /* struct tcp_timewait_sock and its bind bucket's share */
    NEARLY_PERCENT = 80,
    FULL_PERCENT = 97,
};

static bool may_be_ephemeral(const struct facts *f, const struct diag_socket *s)
{
    return s->proto == IPPROTO_TCP && s->state != DIAG_LISTEN && s->peer_port &&
           s->port >= f->set.range.first && s->port <= f->set.range.last;
}

/* By destination, for a run of equal ones is a group. */
static int compare(const void *a, const void *b)
{
    const struct diag_socket *x = *(const struct diag_socket *const *)a;
    const struct diag_socket *y = *(const struct diag_socket *const *)b;

    if (x->family != y->family)
        return x->family - y->family;
    if (x->peer_port != y->peer_port)
        return x->peer_port - y->peer_port;
    return memcmp(&x->peer, &y->peer, sizeof(x->peer));
}

static void exhausted(struct judgement *j, const struct diag_socket *one, uint64_t n,
                      uint64_t waits)
{
    const struct machine_range *r = &j->now->set.range;
    uint64_t have = (uint64_t)r->last - r->first + 1 - r->reserved;
    char wide[32], old[32];
    struct finding *f;

    if (n * 100 < have * NEARLY_PERCENT)
        return;
    f = finding_add(j->out, KIND_PORTS_EXHAUSTED,
                    n * 100 >= have * FULL_PERCENT ? SEVERITY_FAILING : SEVERITY_WARNING);
    if (!f)
        return;
    f->weight = n;
    FINDING_SAY(f->subject, "connections to %s", judge_address(one, true).c);
    judge_whose(j, f, one->pid, one->uid);
    FINDING_SAY(f->evidence,
                "%s of %s local ports to it are in use, %s of them in TIME_WAIT; "
                "net.ipv4.tcp_tw_reuse is %" PRIu64,
                finding_digits(n).c, finding_digits(have).c, finding_digits(waits).c,
                j->now->set.tw_reuse);
    snprintf(old, sizeof(old), "%u %u", r->first, r->last);
    snprintf(wide, sizeof(wide), "%u %u", r->first > 10000 ? 10000 : r->first,
             r->last < 60999 ? 60999 : r->last);
    if (r->first > 10000 || r->last < 60999) {
        FINDING_SAY(f->act,
                    "keep connections and use them again; or sysctl -w "
                    "net.ipv4.ip_local_port_range=\"%s\"%s",
                    wide, waits * 2 > n ? ", or net.ipv4.tcp_tw_reuse=1" : "");
        judge_setting(f, wide, old);
    }
}

static void destinations(struct judgement *j)
{
    const struct facts *f = j->now;
    const struct diag_socket **list = malloc((f->nsocket + 1) * sizeof(const struct diag_socket *));
    const struct diag_socket *known = NULL; /* one of the group whose program is known */
    size_t n = 0, first = 0;
    uint64_t waits = 0;

    if (!list)
        return;
    for (size_t i = 0; i < f->nsocket; i++)
        if (may_be_ephemeral(f, &f->sockets[i]))
            list[n++] = &f->sockets[i];
    qsort(list, n, sizeof(const struct diag_socket *), compare);
    for (size_t i = 0; i < n; i++) {
        waits += list[i]->state == DIAG_TIME_WAIT;
        known = list[i]->pid ? list[i] : known;
        if (i + 1 < n && compare(&list[i], &list[i + 1]) == 0)
            continue;
        exhausted(j, known ? known : list[i], i + 1 - first, waits);
        first = i + 1;
        waits = 0;
        known = NULL;
    }
    free(list);
}

/* Of those in TIME_WAIT, how many were a server's: at a port below the range. */
static uint64_t of_servers(const struct facts *f)
{
    uint64_t n = 0;

    for (size_t i = 0; i < f->nsocket; i++)
        n += f->sockets[i].state == DIAG_TIME_WAIT &&
             (f->sockets[i].port < f->set.range.first || f->sockets[i].port > f->set.range.last);
    return n;
}

static void time_waits(struct judgement *j)
{
    uint64_t n = j->now->counters.value[COUNT_IN_TIME_WAIT];
    uint64_t over = judge_grown(j, COUNT_TIME_WAIT_OVERFLOWS), max = j->now->set.tw_buckets;
    bool full = over > 0 || (max && n * 100 >= max * 95);
    struct finding *f;

    if (n < TIME_WAIT_MANY && !full)
        return;
    f = finding_add(j->out, KIND_TIME_WAIT_MANY, full ? SEVERITY_WARNING : SEVERITY_NOTE);
    if (!f)
        return;
    f->weight = n;
    FINDING_SAY(f->subject, "connections of this machine that it closed first");
    FINDING_SAY(f->evidence,
                "%s in TIME_WAIT (net.ipv4.tcp_max_tw_buckets is %s), %s/s more; they take some %s "
                "KiB; %s are at ports of servers; %s/s had no room and ended without it",
                finding_digits(n).c, finding_digits(max).c,
                judge_rate(j, judge_grown(j, COUNT_TIME_WAITS)).c,
                finding_digits(n * TIME_WAIT_BYTES / 1024).c, finding_digits(of_servers(j->now)).c,
                judge_rate(j, over).c);
}

static void met_itself(struct judgement *j, const struct diag_socket *s)
{
    const struct machine_range *r = &j->now->set.range;
    struct finding *f;
    struct text t;
    char reserve[256];

    if (s->state != DIAG_ESTABLISHED || s->port != s->peer_port ||
        memcmp(&s->addr, &s->peer, sizeof(s->addr)) != 0 || s->proto != IPPROTO_TCP)
        return;
    f = finding_add(j->out, KIND_SELF_CONNECTED, SEVERITY_FAILING);
    if (!f)
        return;
    f->port = s->port;
    FINDING_SAY(f->subject, "%s", judge_address(s, false).c);
    judge_whose(j, f, s->pid, s->uid);
    FINDING_SAY(
        f->evidence,
        "both its ends are %s; connect(2) chooses from %u to %u (net.ipv4.ip_local_port_range)",
        judge_address(s, false).c, r->first, r->last);
    judge_reserve(j, f, s->port);
    snprintf(reserve, sizeof(reserve), "%.255s", f->act);
    text_init(&t, f->act, sizeof(f->act));
    text_add(&t, "end that program; give the server a port below ");
    text_add_number(&t, r->first);
    text_add(&t, ", or ");
    text_add(&t, reserve);
}

void judge_ports(struct judgement *j)
{
    for (size_t i = 0; i < j->now->nsocket; i++)
        met_itself(j, &j->now->sockets[i]);
    destinations(j);
    time_waits(j);
}
