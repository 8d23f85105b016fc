/* doctor_look.c - from what was asked to facts, and from facts to findings.
 *
 * Counters count since the machine's start, so what happens now is the difference of two looks.
 * The first takes counters, listeners and what waits to be closed; after a moment the second
 * takes everything.
 */
#include "cli/doctor.h"

#include "cli/exitcode.h"
#include "cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

static const char WHO[] = "stoa doctor";

void doctor_rest(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds,
                         .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static int usage(const char *place, const char *why)
{
    output_say(WHO, "%s: %s", place, why);
    return CODE_USAGE;
}

/* "8081" is ":8081" for hands that are in a hurry. */
static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text);
}

static int find_address(const char *place, struct stoa_addr *a)
{
    char with_colon[16];

    if (is_number(place) && strlen(place) < sizeof(with_colon) - 1) {
        snprintf(with_colon, sizeof(with_colon), ":%s", place);
        place = with_colon;
    }
    /* A name has several addresses; the first is what a client tries first. */
    if (stoa_addr_parse(a, place) == 0 || stoa_resolve(place, a, 1) > 0)
        return CODE_OK;
    output_say(WHO, "%s", stoa_errmsg());
    return errno == ENOENT || errno == EREMOTEIO ? CODE_NAME : CODE_USAGE;
}

static uint16_t next_free(const struct facts *f, const struct port_place *at)
{
    static bool taken[UINT16_MAX + 1];

    memset(taken, 0, sizeof(taken)); /* --watch asks again */
    for (size_t i = 0; i < f->nsocket; i++)
        if (f->sockets[i].proto == at->proto)
            taken[f->sockets[i].port] = true;
    for (unsigned port = at->port + 1u; port <= UINT16_MAX; port++)
        if (!taken[port])
            return (uint16_t)port;
    return 0;
}

static void fill_place(struct judge_place *p, const struct stoa_addr *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
    struct text t;

    p->at.proto = a->type == SOCK_DGRAM ? IPPROTO_UDP : IPPROTO_TCP;
    p->at.family = a->sa.ss_family;
    if (p->at.family == AF_INET) {
        memcpy(&p->at.addr, &in->sin_addr, sizeof(in->sin_addr));
        p->at.port = ntohs(in->sin_port);
    } else {
        p->at.addr = in6->sin6_addr;
        p->at.port = ntohs(in6->sin6_port);
    }
    struct diag_socket any = {.family = (uint8_t)p->at.family, .addr = p->at.addr};
    if (socket_is_any(&any))
        p->at.family = 0;
    p->here = !p->at.family || machine_has(p->at.family, &p->at.addr);
    text_init(&t, p->has, sizeof(p->has));
    if (!p->here)
        machine_addresses(&t, p->at.family);
}

static int look_at_path(const struct stoa_addr *a, struct doctor_look *look)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
    size_t len = a->len - offsetof(struct sockaddr_un, sun_path);
    char shown[4 * sizeof(un->sun_path) + 2];
    char word[4 * sizeof(un->sun_path) + 6];
    struct judge_path p = {.shown = shown, .word = word, .abstract = len && !un->sun_path[0]};
    char path[sizeof(un->sun_path) + 1] = "";
    struct stat st;
    struct text t;

    text_init(&t, shown, sizeof(shown));
    text_add(&t, p.abstract ? "@" : "");
    if (!p.abstract)
        len = strnlen(un->sun_path, len);
    text_add_escaped(&t, un->sun_path + p.abstract, len - p.abstract, "");
    memcpy(path, un->sun_path, len);
    text_init(&t, word, sizeof(word));
    text_add_path(&t, path, len);
    path_look(&p.facts, path, len, SIZE_MAX);
    p.exists = !p.abstract && lstat(path, &st) == 0;
    p.is_socket = p.exists && stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
    judge_path(&p, &look->findings);
    return CODE_OK;
}

static int look_at_place(const struct doctor *d, struct doctor_look *look)
{
    struct stoa_addr a = {.len = 0};
    struct judge_place place = {.next_free = 0};
    int code = find_address(d->place, &a);

    if (code)
        return code;
    if (a.sa.ss_family == AF_UNIX)
        return look_at_path(&a, look);
    fill_place(&place, &a);
    if (!place.at.port)
        return usage(d->place, "a port is needed, 1 to 65535");
    facts_of_port(&look->facts, place.at.proto, place.at.port);
    place.next_free = next_free(&look->facts, &place.at);
    judge_place(&look->facts, &place, &look->findings);
    return CODE_OK;
}

/* "20 CLOSE_WAIT, 1 LISTEN" */
static void add_states(struct text *t, const struct facts *f, int pid)
{
    static const char *const names[DIAG_STATES] = {
        [DIAG_ESTABLISHED] = "ESTABLISHED",
        [DIAG_SYN_SENT] = "SYN_SENT",
        [DIAG_FIN_WAIT1] = "FIN_WAIT1",
        [DIAG_FIN_WAIT2] = "FIN_WAIT2",
        [DIAG_CLOSE] = "unconnected",
        [DIAG_CLOSE_WAIT] = "CLOSE_WAIT",
        [DIAG_LAST_ACK] = "LAST_ACK",
        [DIAG_LISTEN] = "LISTEN",
        [DIAG_BOUND] = "bound",
    };
    uint64_t n[DIAG_STATES] = {0};
    bool some = false;

    for (size_t i = 0; i < f->nsocket; i++)
        if (f->sockets[i].pid == pid && f->sockets[i].state < DIAG_STATES)
            n[f->sockets[i].state]++;
    for (int s = 0; s < DIAG_STATES; s++) {
        if (!n[s] || !names[s])
            continue;
        text_add(t, some ? ", " : "; sockets: ");
        text_add_number(t, n[s]);
        text_add(t, " ");
        text_add(t, names[s]);
        some = true;
    }
    text_add(t, some ? "" : "; no TCP or UDP socket");
}

static int look_at_process(const struct doctor *d, struct doctor_look *look)
{
    struct diag_process p;
    struct text t;
    int r;

    if (!process_look(&p, d->pid)) {
        output_say(WHO, "--pid %d: there is no such process", d->pid);
        return CODE_FAILED;
    }
    r = facts_of_process(&look->facts, d->pid);
    text_init(&t, look->about, sizeof(look->about));
    owner_text(&t, &p.who);
    if (r < 0) {
        output_say(WHO,
                   "--pid %d: %s: its descriptors may not be looked at: sudo stoa doctor --pid %d",
                   d->pid, strerror(-r), d->pid);
        return CODE_FAILED;
    }
    text_add(&t, ": ");
    text_add_number(&t, p.nfd);
    text_add(&t, " of ");
    text_add_number(&t, p.soft);
    text_add(&t, " descriptors");
    add_states(&t, &look->facts, d->pid);
    return CODE_OK;
}

int doctor_look(const struct doctor *d, const struct facts *was, struct doctor_look *look)
{
    uint64_t began = output_now_ns();
    struct facts early = {.when_ns = 0};
    int code = CODE_OK;

    *look = (struct doctor_look){.took_ns = 0};
    if (!was && !d->place) {
        facts_early(&early);
        doctor_rest(d->seconds);
        was = &early;
    }
    facts_full(&look->facts, (uint64_t)(d->idle * 1000));
    if (d->place)
        code = look_at_place(d, look);
    else if (d->pid)
        code = look_at_process(d, look);
    if (!d->place && code == CODE_OK) {
        judge(was, &look->facts, &look->findings);
        look->apart_ms = (look->facts.when_ns - was->when_ns) / 1000000;
        finding_filter(&look->findings, d->pid, 0);
    }
    facts_free(&early);
    look->took_ns = output_now_ns() - began;
    if (look->facts.source == SOCKETS_NONE && code == CODE_OK) {
        output_say(WHO, "neither sock_diag nor /proc/net tells of sockets here: is /proc mounted?");
        return CODE_FAILED;
    }
    return code;
}
