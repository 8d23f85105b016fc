/* judge_machine.c - what is the whole machine's, or a process's: descriptors, datagrams, memory. */
#include "diag/judge.h"

#include <inttypes.h>
#include <stdio.h>

enum { NEARLY_PERCENT = 90, ORPHANS_PERCENT = 80, FULL_LEFT = 2 };

static uint64_t cpu_before(const struct judgement *j, int pid, uint64_t otherwise)
{
    for (size_t i = 0; j->was && i < j->was->ncrowded; i++)
        if (j->was->crowded[i].who.pid == pid)
            return j->was->crowded[i].cpu_ms;
    return otherwise;
}

static void descriptors(struct judgement *j, const struct diag_process *p)
{
    uint64_t before = cpu_before(j, p->who.pid, p->cpu_ms);
    uint64_t cpu_ms = p->cpu_ms > before ? p->cpu_ms - before : 0; /* less: another has its pid */
    uint64_t percent = j->ms ? cpu_ms * 100 / j->ms : 0;
    bool full = p->nfd + FULL_LEFT >= p->soft;
    struct finding *f;
    struct text t;

    if (p->nfd * 100 < p->soft * NEARLY_PERCENT && !full)
        return;
    f = finding_add(j->out, KIND_DESCRIPTORS, full ? SEVERITY_FAILING : SEVERITY_WARNING);
    if (!f)
        return;
    f->pid = p->who.pid;
    f->weight = p->nfd;
    text_init(&t, f->subject, sizeof(f->subject));
    owner_text(&t, &p->who);
    FINDING_SAY(
        f->evidence,
        "%s of %s descriptors are open (hard limit %s); it uses %" PRIu64 " %% of a processor",
        finding_digits(p->nfd).c, finding_digits(p->soft).c, finding_digits(p->hard).c, percent);
    if (p->soft < p->hard)
        FINDING_SAY(f->act,
                    "close what leaks; or prlimit --pid %d --nofile=%" PRIu64 " (for good: "
                    "LimitNOFILE=%" PRIu64 " in its unit)",
                    p->who.pid, p->hard, p->hard);
    else
        FINDING_SAY(f->act,
                    "close what leaks; or, as root, prlimit --pid %d --nofile=%" PRIu64 " (for "
                    "good: LimitNOFILE= in its unit)",
                    p->who.pid, p->hard * 2);
    FINDING_SAY(f->undo, "prlimit --pid %d --nofile=%" PRIu64 ":%" PRIu64, p->who.pid, p->soft,
                p->hard);
}

static void system_files(struct judgement *j)
{
    const struct facts_settings *s = &j->now->set;
    char value[24], old[24];
    struct finding *f;

    if (!s->files_max || s->files < s->files_max / 100 * NEARLY_PERCENT)
        return;
    f = finding_add(j->out, KIND_SYSTEM_FILES, SEVERITY_WARNING);
    if (!f)
        return;
    FINDING_SAY(f->subject, "this machine");
    FINDING_SAY(f->evidence, "%s of %s files are open (fs.file-nr)", finding_digits(s->files).c,
                finding_digits(s->files_max).c);
    snprintf(value, sizeof(value), "%" PRIu64, s->files_max * 2);
    snprintf(old, sizeof(old), "%" PRIu64, s->files_max);
    judge_setting(f, value, old);
}

static void datagrams_lost(struct judgement *j, const struct diag_socket *s)
{
    const struct diag_socket *then = j->was ? facts_find(j->was, s->inode, s->state) : NULL;
    uint64_t fresh = then && s->drops > then->drops ? s->drops - then->drops : 0;
    struct finding *f;

    if (!s->drops)
        return;
    f = finding_add(j->out, KIND_UDP_LOSS, fresh ? SEVERITY_WARNING : SEVERITY_NOTE);
    if (!f)
        return;
    f->port = s->port;
    f->weight = s->drops;
    FINDING_SAY(f->subject, "udp %s", judge_address(s, false).c);
    judge_whose(j, f, s->pid, s->uid);
    FINDING_SAY(f->evidence,
                "%s datagrams were dropped since it was bound, %s/s now; %s bytes wait to be read; "
                "SO_RCVBUF may be up to %s (net.core.rmem_max)",
                finding_digits(s->drops).c, judge_rate(j, fresh).c, finding_digits(s->receive).c,
                finding_digits(j->now->set.rmem_max).c);
}

static void datagrams_for_nobody(struct judgement *j)
{
    uint64_t n = judge_grown(j, COUNT_NO_PORTS);
    struct finding *f = n ? finding_add(j->out, KIND_UDP_NOBODY, SEVERITY_NOTE) : NULL;

    if (!f)
        return;
    f->weight = n;
    FINDING_SAY(f->subject, "this machine");
    FINDING_SAY(f->evidence, "%s/s (Udp NoPorts), %s since the machine's start", judge_rate(j, n).c,
                finding_digits(j->now->counters.value[COUNT_NO_PORTS]).c);
    FINDING_SAY(f->unseen, "which port: `tcpdump -ni any icmp` shows it in the answers");
}

static void memory(struct judgement *j)
{
    const struct facts_settings *s = &j->now->set;
    const uint64_t *count = j->now->counters.value;
    uint64_t broken = judge_grown(j, COUNT_ABORT_MEMORY);
    uint64_t pressures = judge_grown(j, COUNT_MEMORY_PRESSURES);
    bool pressed = s->tcp_mem[1] && count[COUNT_MEMORY_PAGES] >= s->tcp_mem[1];
    bool orphans = s->max_orphans && count[COUNT_ORPHANS] * 100 >= s->max_orphans * ORPHANS_PERCENT;
    struct finding *f;

    if (!broken && !pressures && !pressed && !orphans)
        return;
    f = finding_add(j->out, KIND_MEMORY, broken ? SEVERITY_FAILING : SEVERITY_WARNING);
    if (!f)
        return;
    f->weight = count[COUNT_MEMORY_PAGES];
    FINDING_SAY(f->subject, "this machine");
    FINDING_SAY(
        f->evidence,
        "TCP has %s pages; pressure begins at %s and the limit is %s (net.ipv4.tcp_mem); %s of "
        "%s orphans; %s connections/s broken off for it",
        finding_digits(count[COUNT_MEMORY_PAGES]).c, finding_digits(s->tcp_mem[1]).c,
        finding_digits(s->tcp_mem[2]).c, finding_digits(count[COUNT_ORPHANS]).c,
        finding_digits(s->max_orphans).c, judge_rate(j, broken).c);
}

static void conntrack(struct judgement *j)
{
    const struct facts_settings *s = &j->now->set;
    char value[24], old[24];
    struct finding *f;

    if (!s->conntrack_max || s->conntrack_count * 100 < s->conntrack_max * NEARLY_PERCENT)
        return;
    f = finding_add(j->out, KIND_CONNTRACK,
                    s->conntrack_count >= s->conntrack_max ? SEVERITY_FAILING : SEVERITY_WARNING);
    if (!f)
        return;
    f->weight = s->conntrack_count;
    FINDING_SAY(f->subject, "this machine's firewall");
    FINDING_SAY(f->evidence, "%s of %s connections are tracked (net.netfilter.nf_conntrack_max)",
                finding_digits(s->conntrack_count).c, finding_digits(s->conntrack_max).c);
    snprintf(value, sizeof(value), "%" PRIu64, s->conntrack_max * 2);
    snprintf(old, sizeof(old), "%" PRIu64, s->conntrack_max);
    judge_setting(f, value, old);
}

void judge_machine(struct judgement *j)
{
    for (size_t i = 0; i < j->now->ncrowded; i++)
        descriptors(j, &j->now->crowded[i]);
    for (size_t i = 0; i < j->now->nsocket; i++)
        if (j->now->sockets[i].proto == IPPROTO_UDP)
            datagrams_lost(j, &j->now->sockets[i]);
    system_files(j);
    datagrams_for_nobody(j);
    memory(j);
    conntrack(j);
}
