/* judge.c - the whole machine: all rules, then the ranking; and what the rules share. */
#include "diag/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t judge_grown(const struct judgement *j, enum counter which)
{
    uint64_t then = j->was ? j->was->counters.value[which] : 0;
    uint64_t now = j->now->counters.value[which];

    return j->ms && now > then ? now - then : 0;
}

struct digits judge_rate(const struct judgement *j, uint64_t grown)
{
    uint64_t tenths = j->ms ? grown * 10000 / j->ms : 0;
    struct digits d;

    if (!grown)
        return (struct digits){"0"};
    if (tenths >= 100)
        return finding_digits(tenths / 10);
    snprintf(d.c, sizeof(d.c), "%" PRIu64 ".%" PRIu64, tenths / 10, tenths % 10);
    return d;
}

void judge_whose(const struct judgement *j, struct finding *f, int pid, uint32_t uid)
{
    const struct diag_owner *who = facts_who(j->now, pid);
    size_t len = strlen(f->subject);
    struct text t;

    f->pid = pid;
    text_init(&t, f->subject + len, sizeof(f->subject) - len);
    if (len)
        text_add(&t, ", ");
    if (who) {
        owner_text(&t, who);
        return;
    }
    text_add(&t, "a program of uid ");
    text_add_number(&t, uid);
    if (j->now->walk_cut)
        FINDING_SAY(f->unseen, "which program: too many descriptors are open to look at them all; "
                               "`ss -tanp` takes its time for it");
    else if (!j->now->root)
        FINDING_SAY(f->unseen, "not root: which program is unknown; `sudo stoa doctor` names it");
}

struct judge_name judge_address(const struct diag_socket *s, bool peer)
{
    struct judge_name n;
    struct text t;

    text_init(&t, n.c, sizeof(n.c));
    socket_text(&t, s, peer);
    return n;
}

void judge_setting(struct finding *f, const char *value, const char *old)
{
    const char *setting = finding_kinds[f->kind].setting;

    FINDING_SAY(f->value, "%s", value);
    FINDING_SAY(f->old, "%s", old);
    if (!f->act[0])
        FINDING_SAY(f->act, "sysctl -w %s=\"%s\"", setting, value);
    FINDING_SAY(f->undo, "sysctl -w %s=\"%s\"", setting, old);
}

/* Writing that setting replaces all of it, so a list that is too long is not proposed in part. */
void judge_reserve(const struct judgement *j, struct finding *f, uint16_t port)
{
    const char *have = j->now->set.reserved;
    size_t len = strlen(have);
    struct text t;
    char value[sizeof(f->value)];

    text_init(&t, value, sizeof(value));
    text_add(&t, have);
    text_add(&t, len ? "," : "");
    text_add_number(&t, port);
    if (!t.cut)
        judge_setting(f, value, have);
    else
        FINDING_SAY(f->act,
                    "add %u to net.ipv4.ip_local_reserved_ports, whose list is too long to be "
                    "shown here: what is written replaces all of it",
                    port);
}

/* Counters and queues of sock_diag are not in /proc/net. */
static void tell_blindness(struct judgement *j)
{
    if (j->now->source == SOCKETS_DIAG)
        return;
    for (size_t i = 0; i < j->out->n; i++) {
        struct finding *f = &j->out->list[i];

        if (!f->unseen[0])
            FINDING_SAY(f->unseen,
                        "this kernel has no sock_diag, or a filter refuses it: drops, queue "
                        "limits, and how long a connection has been idle are hidden");
    }
}

void judge(const struct facts *was, const struct facts *now, struct findings *out)
{
    struct judgement j = {.was = was, .now = now, .out = out};

    memset(out, 0, sizeof(*out));
    if (was && now->when_ns > was->when_ns)
        j.ms = (now->when_ns - was->when_ns) / 1000000;
    judge_listeners(&j);
    judge_ports(&j);
    judge_connections(&j);
    judge_machine(&j);
    tell_blindness(&j);
    finding_rank(out);
}
