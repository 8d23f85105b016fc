/* facts.c - one look at the machine: counters, settings, sockets, and who has those that matter.
 *
 * Of a hundred thousand sockets not each one's process is looked for: a link of /proc costs as
 * much as ten sockets of sock_diag.  Listeners come first, then a sample of those whose state
 * somebody may want to be told of (OWNERS_MAX); a connection of a known listener's port is its.
 */
#include "diag/facts.h"

#include "diag/procfile.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    OWNERS_MAX = 1024,
    PROGRAMS_MAX = 256, /* whose names are kept */
    LINKS_MAX = 16384,
    NODELAY_MAX = 16, /* sockets whose option is asked for */
    CROWDED_PERCENT = 80,
    FIRST_ROOM = 256,
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Room for one more of that size; false: no memory. */
static bool grow(void **list, size_t n, size_t *room, size_t size)
{
    size_t more = *room ? *room * 2 : FIRST_ROOM;
    void *larger;

    if (n < *room)
        return true;
    larger = realloc(*list, more * size);
    if (!larger)
        return false;
    *list = larger;
    *room = more;
    return true;
}

bool facts_add(struct facts *f, const struct diag_socket *s)
{
    bool listens = s->state == DIAG_LISTEN;

    if (!grow((void **)&f->sockets, f->nsocket, &f->room, sizeof(*s)) ||
        (listens &&
         !grow((void **)&f->listeners, f->nlistener, &f->listener_room, sizeof(*f->listeners)))) {
        f->short_of_memory = true;
        return false;
    }
    if (listens)
        f->listeners[f->nlistener++] = (uint32_t)f->nsocket;
    f->sockets[f->nsocket++] = *s;
    return true;
}

static int compare_places(const void *a, const void *b, void *arg)
{
    const struct diag_socket *sockets = arg;
    uint32_t x = sockets[*(const uint32_t *)a].inode, y = sockets[*(const uint32_t *)b].inode;

    return x < y ? -1 : x > y;
}

/* Without memory for it, looking for one goes through all. */
static void sort_by_inode(struct facts *f)
{
    f->by_inode = malloc((f->nsocket + 1) * sizeof(*f->by_inode));
    for (size_t i = 0; f->by_inode && i < f->nsocket; i++)
        f->by_inode[i] = (uint32_t)i;
    if (f->by_inode)
        qsort_r(f->by_inode, f->nsocket, sizeof(*f->by_inode), compare_places, f->sockets);
}

/* The first place whose inode is no less. */
static size_t lower_bound(const struct facts *f, uint32_t inode)
{
    size_t first = 0, end = f->nsocket;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (f->sockets[f->by_inode[middle]].inode < inode)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

const struct diag_socket *facts_find(const struct facts *f, uint32_t inode, uint8_t state)
{
    for (size_t i = f->by_inode ? lower_bound(f, inode) : 0; i < f->nsocket; i++) {
        const struct diag_socket *s = &f->sockets[f->by_inode ? f->by_inode[i] : i];

        if (s->inode == inode && s->state == state)
            return s;
        if (f->by_inode && s->inode > inode)
            return NULL;
    }
    return NULL;
}

bool facts_add_path(struct facts *f, const struct diag_unix *s)
{
    if (!grow((void **)&f->paths, f->npath, &f->path_room, sizeof(*s))) {
        f->short_of_memory = true;
        return false;
    }
    f->paths[f->npath++] = *s;
    return true;
}

static int keep(void *arg, const struct diag_socket *s)
{
    return facts_add(arg, s) ? 0 : 1;
}

static int keep_path(void *arg, const struct diag_unix *s)
{
    return facts_add_path(arg, s) ? 0 : 1;
}

static void read_settings(struct facts_settings *s)
{
    uint64_t files[3] = {0};

    machine_range(&s->range);
    machine_reserved(s->reserved, sizeof(s->reserved));
    s->somaxconn = machine_setting("net.core.somaxconn", 0);
    s->syncookies = machine_setting("net.ipv4.tcp_syncookies", 0);
    s->abort_on_overflow = machine_setting("net.ipv4.tcp_abort_on_overflow", 0);
    s->tw_buckets = machine_setting("net.ipv4.tcp_max_tw_buckets", 0);
    s->tw_reuse = machine_setting("net.ipv4.tcp_tw_reuse", 0);
    s->migrate_req = machine_setting("net.ipv4.tcp_migrate_req", 0);
    s->keepalive_time = machine_setting("net.ipv4.tcp_keepalive_time", 0);
    s->retries2 = machine_setting("net.ipv4.tcp_retries2", 0);
    s->max_orphans = machine_setting("net.ipv4.tcp_max_orphans", 0);
    procfile_numbers("/proc/sys/net/ipv4/tcp_mem", s->tcp_mem, 3);
    s->rmem_max = machine_setting("net.core.rmem_max", 0);
    s->conntrack_count = machine_setting("net.netfilter.nf_conntrack_count", 0);
    s->conntrack_max = machine_setting("net.netfilter.nf_conntrack_max", 0);
    if (procfile_numbers("/proc/sys/fs/file-nr", files, 3) == 3) {
        s->files = files[0];
        s->files_max = files[2];
    }
}

void facts_count(struct facts *f)
{
    counters_read(&f->counters);
    f->when_ns = now_ns(CLOCK_MONOTONIC);
    f->up_s = (int64_t)(now_ns(CLOCK_BOOTTIME) / 1000000000);
}

/* Sockets of TCP in these states, and all of UDP. */
static void read_sockets(struct facts *f, uint32_t tcp_states)
{
    struct sockdiag_wish tcp = {.proto = IPPROTO_TCP, .states = tcp_states, .details = true};
    struct sockdiag_wish udp = {.proto = IPPROTO_UDP, .states = DIAG_ALL, .details = true};

    f->source = sockets_inet(&tcp, keep, f);
    sockets_inet(&udp, keep, f);
}

void facts_early(struct facts *f)
{
    *f = (struct facts){.root = geteuid() == 0};
    facts_count(f);
    read_sockets(f, DIAG_BIT(DIAG_LISTEN) | DIAG_BIT(DIAG_CLOSE_WAIT));
    sort_by_inode(f);
    f->ncrowded = process_crowded(f->crowded, FACTS_CROWDED_MAX, CROWDED_PERCENT, &f->closed);
}

static bool is_outgoing(const struct facts *f, const struct diag_socket *s)
{
    return s->proto == IPPROTO_TCP && s->state != DIAG_LISTEN && s->port >= f->set.range.first &&
           s->port <= f->set.range.last;
}

/* Do outgoing connections have so many ports that one may ask whose they are? */
static bool is_short_of_ports(const struct facts *f)
{
    size_t n = 0, have = (size_t)f->set.range.last - f->set.range.first + 1;

    for (size_t i = 0; i < f->nsocket; i++)
        n += is_outgoing(f, &f->sockets[i]);
    return n >= have / 2;
}

/* Might somebody want to know whose it is? */
static bool matters(const struct facts *f, const struct diag_socket *s)
{
    if (!s->inode || s->state == DIAG_LISTEN)
        return false;
    if (s->proto == IPPROTO_UDP)
        return s->drops || s->receive;
    if (s->state == DIAG_CLOSE_WAIT || s->send || s->receive)
        return true;
    if (f->short_of_ports && is_outgoing(f, s))
        return true;
    return s->state == DIAG_ESTABLISHED &&
           (s->port == s->peer_port ||
            (s->has_info && s->heard_ms >= f->idle_ms && s->sent_ms >= f->idle_ms));
}

static int compare(const void *a, const void *b)
{
    uint32_t x = ((const struct owner_wish *)a)->inode, y = ((const struct owner_wish *)b)->inode;

    return x < y ? -1 : x > y;
}

static int owner_of(const struct owner_wish *wishes, size_t n, uint32_t inode)
{
    struct owner_wish key = {.inode = inode};
    const struct owner_wish *w = bsearch(&key, wishes, n, sizeof(key), compare);

    return w ? w->pid : 0;
}

/* Listeners, then every k-th of the others that matter, so that all kinds are among them. */
static size_t collect_wishes(const struct facts *f, struct owner_wish *wishes)
{
    size_t n = 0, others = 0, step, seen = 0;

    for (size_t i = 0; i < f->npath && n < OWNERS_MAX / 4; i++)
        wishes[n++] = (struct owner_wish){.inode = f->paths[i].inode};
    for (size_t i = 0; i < f->nlistener && n < OWNERS_MAX / 2; i++)
        if (f->sockets[f->listeners[i]].inode)
            wishes[n++] = (struct owner_wish){.inode = f->sockets[f->listeners[i]].inode};
    for (size_t i = 0; i < f->nsocket; i++)
        others += matters(f, &f->sockets[i]);
    step = others / (OWNERS_MAX - n) + 1;
    for (size_t i = 0; i < f->nsocket && n < OWNERS_MAX; i++)
        if (matters(f, &f->sockets[i]) && seen++ % step == 0)
            wishes[n++] = (struct owner_wish){.inode = f->sockets[i].inode};
    return n;
}

static int compare_pid(const void *a, const void *b)
{
    return ((const struct diag_owner *)a)->pid - ((const struct diag_owner *)b)->pid;
}

const struct diag_owner *facts_who(const struct facts *f, int pid)
{
    struct diag_owner key = {.pid = pid};

    return f->nowner ? bsearch(&key, f->owners, f->nowner, sizeof(key), compare_pid) : NULL;
}

/* Each process once. */
static void look_at_owners(struct facts *f, const struct owner_wish *wishes, size_t n)
{
    if (!f->owners)
        f->owners = calloc(PROGRAMS_MAX, sizeof(*f->owners));
    for (size_t i = 0; f->owners && i < n && f->nowner < PROGRAMS_MAX; i++) {
        bool known = !wishes[i].pid;

        for (size_t k = 0; k < f->nowner && !known; k++)
            known = f->owners[k].pid == wishes[i].pid;
        if (!known && owner_look(&f->owners[f->nowner], wishes[i].pid))
            f->nowner++;
    }
    if (f->owners)
        qsort(f->owners, f->nowner, sizeof(*f->owners), compare_pid);
}

/* Look for them, and note what is found. */
static void ask_owners(struct facts *f, struct owner_wish *wishes, size_t n, size_t links_max)
{
    struct owner_walk walk;
    int pid;

    qsort(wishes, n, sizeof(*wishes), compare);
    walk = owner_find(wishes, n, links_max);
    f->walk_cut = walk.cut;
    for (size_t i = 0; i < f->nsocket; i++)
        if ((pid = owner_of(wishes, n, f->sockets[i].inode)))
            f->sockets[i].pid = pid;
    for (size_t i = 0; i < f->npath; i++)
        if ((pid = owner_of(wishes, n, f->paths[i].inode)))
            f->paths[i].pid = pid;
    look_at_owners(f, wishes, n);
}

static void find_owners(struct facts *f)
{
    struct owner_wish *wishes = malloc(OWNERS_MAX * sizeof(*wishes));

    if (!wishes)
        return;
    ask_owners(f, wishes, collect_wishes(f, wishes), LINKS_MAX);
    free(wishes);
}

void facts_of_port(struct facts *f, int proto, uint16_t port)
{
    struct owner_wish *wishes = malloc(OWNERS_MAX * sizeof(*wishes));
    size_t n = 0;

    for (size_t i = 0; wishes && i < f->nsocket && n < OWNERS_MAX; i++) {
        const struct diag_socket *s = &f->sockets[i];

        if (s->proto == proto && s->port == port && s->inode && !s->pid)
            wishes[n++] = (struct owner_wish){.inode = s->inode};
    }
    if (n)
        ask_owners(f, wishes, n, SIZE_MAX);
    free(wishes);
}

/* Is what waits in a socket held back by its own program's wish?  Only another's option tells. */
static void ask_nodelay(struct facts *f)
{
    int asked = 0;

    for (size_t i = 0; i < f->nsocket && asked < NODELAY_MAX; i++) {
        struct diag_socket *s = &f->sockets[i];

        if (!socket_is_held_back(s) || !s->pid)
            continue;
        s->nodelay = (int8_t)process_nodelay(s->pid, s->inode);
        asked++;
    }
}

static int compare_inodes(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

int facts_of_process(struct facts *f, int pid)
{
    uint32_t *inodes;
    long n = owner_sockets(pid, &inodes);

    for (size_t i = 0; inodes && n > 0 && i < f->nsocket; i++)
        if (bsearch(&f->sockets[i].inode, inodes, (size_t)n, sizeof(*inodes), compare_inodes))
            f->sockets[i].pid = pid;
    free(inodes);
    if (n < 0)
        return (int)n;
    if (f->owners && !facts_who(f, pid) && f->nowner < PROGRAMS_MAX &&
        owner_look(&f->owners[f->nowner], pid)) {
        f->nowner++;
        qsort(f->owners, f->nowner, sizeof(*f->owners), compare_pid);
    }
    ask_nodelay(f);
    return 0;
}

void facts_full(struct facts *f, uint64_t idle_ms)
{
    *f = (struct facts){.root = geteuid() == 0, .idle_ms = idle_ms};
    read_settings(&f->set);
    read_sockets(f, DIAG_ALL);
    sort_by_inode(f);
    sockets_unix(DIAG_BIT(DIAG_LISTEN), keep_path, f);
    f->short_of_ports = is_short_of_ports(f);
    find_owners(f);
    ask_nodelay(f);
    f->ncrowded = process_crowded(f->crowded, FACTS_CROWDED_MAX, CROWDED_PERCENT, &f->closed);
    facts_count(f);
}

void facts_free(struct facts *f)
{
    free(f->sockets);
    free(f->listeners);
    free(f->by_inode);
    free(f->paths);
    free(f->owners);
    *f = (struct facts){.when_ns = 0};
}

const struct diag_socket *facts_listener(const struct facts *f, const struct diag_socket *s)
{
    for (size_t i = 0; i < f->nlistener; i++) {
        const struct diag_socket *l = &f->sockets[f->listeners[i]];

        if (l->port == s->port && socket_overlaps(l, s->family, &s->addr, true))
            return l;
    }
    return NULL;
}
