/* status.c - stoa_status(): what is alive, seen by a thread that no worker has to answer.
 *
 *     server pid=1234 backend=epoll workers=2 connections=1 max_conns=1024 stopping=no
 *     listener worker=1 addr=tcp://127.0.0.1:8081 queue=0 limit=4096 drops=0
 *     connection worker=1 peer=tcp://127.0.0.1:40312 age_ms=1234 in=12 out=12 does=waits for=recv
 *
 * Who is there stands on each worker's roll, under its lock, which is held for LOOKS visitors at a
 * time; a fiber and what it waits for are peeked at then.  Bytes and queues are TCP's.
 *
 * What holds: a server that is looked at does not end; it waits for the look.
 *
 * Limits: a UNIX listener's queue, and bytes of UNIX connections, nobody counts.  Where
 * process_vm_readv(2) is forbidden, what a fiber does is not known.  In a child of fork(2)
 * there is no server.
 * Sources: tcp(7), TCP_INFO; inet_csk_listen_start() and tcp_get_info() of Linux for listeners:
 * tcpi_unacked is the queue and tcpi_sacked its limit; SO_MEMINFO of socket(7).
 */
#include "serve/status.h"

#include "backend/peek.h"
#include "base/text.h"
#include "net/error.h"
#include "net/sock.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* TCP_CLOSE_WAIT of <netinet/tcp.h>, whose struct tcp_info is older than that of <linux/tcp.h>. */
enum { STATE_CLOSE_WAIT = 8 };

#define LOOKS 64 /* visitors seen while a worker may not let one in: 50 microseconds */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list servers = {.next = &servers, .prev = &servers}; /* under lock */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* One visitor, as he was. */
struct glance {
    uint64_t came_ns;
    const struct fiber *fiber;
    int conn;
    int state; /* enum fiber_state; 0: not known */
    int kind;  /* enum op_kind; 0: none, or not known */
};

struct report {
    FILE *to;
    struct glance glance[LOOKS];
    size_t n;
};

/* The servers are the parent's. */
static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    list_init(&servers);
}

static void begin(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

void status_enter(struct server *sv)
{
    pthread_once(&once, begin);
    pthread_mutex_lock(&lock);
    list_add(&servers, &sv->link);
    pthread_mutex_unlock(&lock);
}

void status_leave(struct server *sv)
{
    pthread_mutex_lock(&lock);
    list_remove(&sv->link);
    pthread_mutex_unlock(&lock);
}

/* Under the roll's lock: the fiber is alive, though it may go on. */
static void see(const struct visitor *v, void *arg)
{
    struct report *l = arg;
    struct glance *g = &l->glance[l->n++];
    struct fiber f;
    struct op op;

    *g = (struct glance){.came_ns = v->came_ns, .fiber = v->fiber, .conn = v->conn};
    if (!peek(&f, v->fiber, sizeof(f)))
        return;
    g->state = (int)f.state;
    if (f.state == FIBER_PARKED && f.waits_for && peek(&op, f.waits_for, sizeof(op)))
        g->kind = op.kind;
}

static void field(FILE *to, const char *key, uint64_t number)
{
    fprintf(to, " %s=%llu", key, (unsigned long long)number);
}

/* An address has no byte that a terminal obeys, but may have blanks. */
static void address(FILE *to, const char *key, const struct stoa_addr *a)
{
    char shown[STOA_ADDR_TEXT_MAX], quoted[4 * STOA_ADDR_TEXT_MAX];
    struct text t;

    stoa_addr_text(a, shown, sizeof(shown));
    text_init(&t, quoted, sizeof(quoted));
    text_add_escaped(&t, shown, strlen(shown), "\"");
    fprintf(to, strchr(quoted, ' ') ? " %s=\"%s\"" : " %s=%s", key, quoted);
}

/* What TCP knows of a socket; false: it is none of TCP's, or has ended, or little is told of it:
 * before Linux 4.19, and by emulators. */
static bool ask_tcp(int s, struct tcp_info *info, uint32_t *drops)
{
    struct stoa_sock *so = sock_enter(s);
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof(*info), memory_len = sizeof(memory);
    int r = -EBADF;

    if (so && so->b.proto == IPPROTO_TCP)
        r = backend_here()->getopt(&so->b, IPPROTO_TCP, TCP_INFO, info, &len);
    if (r == 0 && backend_here()->getopt(&so->b, SOL_SOCKET, SO_MEMINFO, memory, &memory_len) == 0)
        *drops = memory[SK_MEMINFO_DROPS];
    if (so)
        sock_leave(so);
    return r == 0 && len >= offsetof(struct tcp_info, tcpi_dsack_dups);
}

static void tell_listener(FILE *to, int worker, int s)
{
    struct stoa_addr a;
    struct tcp_info info = {0};
    uint32_t drops = 0;

    if (s < 0 || stoa_getsockname(s, &a) < 0)
        return;
    fprintf(to, "listener worker=%d", worker);
    address(to, "addr", &a);
    if (ask_tcp(s, &info, &drops)) {
        field(to, "queue", info.tcpi_unacked);
        field(to, "limit", info.tcpi_sacked);
        field(to, "drops", drops);
    }
    fputs("\n", to);
}

static void tell_doing(FILE *to, const struct glance *g, bool holds)
{
    static const char *const states[] = {
        "unknown",
        [FIBER_READY] = "ready",
        [FIBER_RUNNING] = "runs",
        [FIBER_PARKED] = "waits",
    };
    static const char *const kinds[] = {
        [OP_RECV] = "recv",       [OP_SEND] = "send",         [OP_RECVMSG] = "recvmsg",
        [OP_SENDMSG] = "sendmsg", [OP_ACCEPT] = "accept",     [OP_CONNECT] = "connect",
        [OP_POLL] = "poll",       [OP_SENDFILE] = "sendfile", [OP_EVENT] = "event",
    };
    size_t state = (size_t)g->state < sizeof(states) / sizeof(states[0]) ? (size_t)g->state : 0;

    fprintf(to, " does=%s", holds ? "holds" : states[state]);
    if (g->kind > 0 && (size_t)g->kind < sizeof(kinds) / sizeof(kinds[0]))
        fprintf(to, " for=%s", kinds[g->kind]);
}

static void tell_connection(FILE *to, int worker, const struct glance *g, const struct hold *h)
{
    struct stoa_addr a = {0};
    struct tcp_info info = {0};
    uint32_t drops;
    uint64_t now_ns = backend_here()->now();
    bool holds = h->fiber == g->fiber;

    (void)stoa_getpeername(g->conn, &a); /* without a name it is "-" */
    fprintf(to, "connection worker=%d", worker);
    address(to, "peer", &a);
    field(to, "age_ms", now_ns > g->came_ns ? (now_ns - g->came_ns) / 1000000 : 0);
    if (ask_tcp(g->conn, &info, &drops)) {
        /* The end of the stream has a sequence number, and is counted like a byte. */
        field(to, "in", info.tcpi_bytes_received - (info.tcpi_state == STATE_CLOSE_WAIT));
        field(to, "out", info.tcpi_bytes_sent - info.tcpi_bytes_retrans);
    }
    tell_doing(to, g, holds);
    if (holds)
        field(to, "held_ms", h->lasts_ns / 1000000);
    fputs("\n", to);
}

static void tell_worker(struct report *l, struct worker *w, int number)
{
    struct server *sv = w->server;
    struct hold h = {.fiber = NULL};
    struct visitor mark;
    size_t n;

    if (sv->watches) /* the first worker of its thread stands for all */
        watch_holds(&sv->watch, &sv->worker[(number - 1) % sv->nthread].watched, &h);
    tell_listener(l->to, number, roll_listener(&w->roll));
    roll_mark(&w->roll, &mark);
    do {
        l->n = 0;
        n = roll_walk(&w->roll, &mark, LOOKS, see, l);
        for (size_t i = 0; i < n; i++)
            tell_connection(l->to, number, &l->glance[i], &h);
    } while (n == LOOKS);
    roll_unmark(&w->roll, &mark);
}

static void tell_server(struct report *l, struct server *sv)
{
    fprintf(l->to, "server pid=%d", (int)getpid());
    fprintf(l->to, " backend=%s", sv->backend);
    field(l->to, "workers", (uint64_t)sv->nworker);
    field(l->to, "connections", atomic_load(&sv->nconn));
    field(l->to, "max_conns", sv->max_conns);
    fprintf(l->to, " stopping=%s\n", loop_stopping() ? "yes" : "no");
    for (int i = 0; i < sv->nworker; i++)
        tell_worker(l, &sv->worker[i], i + 1);
}

char *stoa_status(void)
{
    struct report *l = malloc(sizeof(*l));
    char *text = NULL;
    size_t len;

    if (!l)
        goto fail;
    l->to = open_memstream(&text, &len);
    if (!l->to)
        goto fail;
    pthread_mutex_lock(&lock);
    for (struct list *n = servers.next; n != &servers; n = n->next)
        tell_server(l, CONTAINER(n, struct server, link));
    pthread_mutex_unlock(&lock);
    bool cut = ferror(l->to) != 0;

    if (fclose(l->to) != 0 || cut) {
        free(text);
        goto fail;
    }
    free(l);
    return text;

fail:
    free(l);
    error_out(VERB_STATUS, -1, -ENOMEM);
    return NULL;
}
