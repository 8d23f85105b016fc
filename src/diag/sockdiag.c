/* sockdiag.c - sock_diag over raw netlink.
 *
 * A request, and a train of messages until NLMSG_DONE.  Ports are chosen by the kernel: a
 * program of two comparisons goes with the request, so that twenty thousand connections are
 * not copied to find one listener.
 *
 * The kernel walks its whole table of connections for each request, some ten milliseconds on a
 * large machine, whatever is in it.  For TCP the older form of the request is used, which has
 * both families told in one walk (net/ipv4/inet_diag.c: inet_diag_dump_compat).
 *
 * Nothing here waits for the network: the kernel answers while it is asked.  The socket has a
 * timeout all the same.  Source: sock_diag(7); linux/inet_diag.h, linux/unix_diag.h,
 * net/ipv4/inet_diag.c (inet_diag_bc_run: a program accepts when it ends at its end).
 */
#include "diag/sockdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

_Static_assert(NLMSG_HDRLEN + sizeof(struct inet_diag_req_v2) + 32 <= 256, "a request's room");

#define CHUNK        32768
#define PATIENCE_SEC 1

static int ask(const void *request, size_t len)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct timeval patience = {.tv_sec = PATIENCE_SEC};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (sendto(fd, request, len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

/* What becomes of each message: other than 0 ends it. */
struct reader {
    int (*message)(struct reader *r, const struct nlmsghdr *h);
    int (*each_inet)(void *arg, const struct diag_socket *s);
    int (*each_unix)(void *arg, const struct diag_unix *s);
    void *arg;
    int proto;
};

#define DONE 1

/* 0: more is to come.  DONE; or *result says why it ends. */
static int read_chunk(struct reader *r, const char *buf, size_t len, int *result)
{
    const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)buf;

    for (; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
        if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
            *result = -EPROTO;
        else if (h->nlmsg_type == NLMSG_ERROR)
            *result = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
        else if (h->nlmsg_type == NLMSG_DONE && h->nlmsg_len >= NLMSG_LENGTH(sizeof(int)))
            *result = *(const int *)NLMSG_DATA(h);
        else if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY || h->nlmsg_type == TCPDIAG_GETSOCK)
            *result = r->message(r, h);
        if (*result || h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE)
            return DONE;
    }
    return 0;
}

static int exchange(const void *request, size_t len, struct reader *r)
{
    char *buf = malloc(CHUNK);
    int fd = buf ? ask(request, len) : -ENOMEM;
    int result = 0;

    for (bool more = fd >= 0; more;) {
        ssize_t n = recv(fd, buf, CHUNK, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            result = n < 0 ? -errno : -EPROTO;
        more = n > 0 && !read_chunk(r, buf, (size_t)n, &result);
    }
    if (fd >= 0)
        close(fd);
    free(buf);
    return fd < 0 ? fd : result;
}

static void take_info(struct diag_socket *s, const void *data, size_t len)
{
    struct tcp_info info = {0};

    memcpy(&info, data, len < sizeof(info) ? len : sizeof(info));
    s->has_info = true;
    s->window_closed = len > offsetof(struct tcp_info, tcpi_snd_wnd) && info.tcpi_snd_wnd == 0;
    s->heard_ms = info.tcpi_last_data_recv;
    s->sent_ms = info.tcpi_last_data_sent;
    s->unacked = info.tcpi_unacked;
    s->not_sent = info.tcpi_notsent_bytes;
    s->segment = info.tcpi_snd_mss;
    s->window = info.tcpi_snd_cwnd;
    s->backoff = info.tcpi_backoff;
    s->sent = info.tcpi_bytes_sent;
    s->acked = info.tcpi_bytes_acked;
    s->received = info.tcpi_bytes_received;
    s->busy_us = info.tcpi_busy_time;
    s->rwnd_us = info.tcpi_rwnd_limited;
}

static void take_attribute(struct diag_socket *s, const struct rtattr *a)
{
    const void *data = RTA_DATA(a);
    size_t len = RTA_PAYLOAD(a);

    switch (a->rta_type) {
    case INET_DIAG_INFO:
        if (s->proto == IPPROTO_TCP)
            take_info(s, data, len);
        break;
    case INET_DIAG_SKMEMINFO:
        if (len > SK_MEMINFO_DROPS * sizeof(uint32_t))
            memcpy(&s->drops, (const char *)data + SK_MEMINFO_DROPS * sizeof(uint32_t),
                   sizeof(s->drops));
        break;
    case INET_DIAG_SKV6ONLY:
        s->v6only = len >= 1 && *(const uint8_t *)data;
        break;
    default:
        break;
    }
}

static int inet_message(struct reader *r, const struct nlmsghdr *h)
{
    const struct inet_diag_msg *m = NLMSG_DATA(h);
    struct diag_socket s = {.proto = (uint8_t)r->proto, .nodelay = -1};

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EPROTO;
    s.family = m->idiag_family;
    s.state = m->idiag_state;
    s.timer = m->idiag_timer;
    s.retransmits = m->idiag_retrans;
    s.port = ntohs(m->id.idiag_sport);
    s.peer_port = ntohs(m->id.idiag_dport);
    memcpy(&s.addr, m->id.idiag_src, sizeof(s.addr));
    memcpy(&s.peer, m->id.idiag_dst, sizeof(s.peer));
    memcpy(&s.cookie, m->id.idiag_cookie, sizeof(s.cookie));
    s.device = m->id.idiag_if;
    s.timer_ms = m->idiag_expires;
    s.uid = m->idiag_uid;
    s.inode = m->idiag_inode;
    s.receive = m->idiag_rqueue;
    s.send = m->idiag_wqueue;
    size_t len = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));
    const struct rtattr *a = (const struct rtattr *)(const void *)(m + 1);
    for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
        take_attribute(&s, a);
    return r->each_inet(r->arg, &s);
}

/* A program for the kernel, behind a request. */
struct port_filter {
    struct rtattr head;
    struct inet_diag_bc_op op[4];
};

/* "port >= first and port <= last": each comparison's port is in the op behind it.  `no` goes
 * beyond the end, which refuses. */
static void choose_ports(struct port_filter *p, uint16_t first, uint16_t last)
{
    const unsigned short size = sizeof(p->op[0]);

    p->head =
        (struct rtattr){.rta_len = RTA_LENGTH(sizeof(p->op)), .rta_type = INET_DIAG_REQ_BYTECODE};
    p->op[0] = (struct inet_diag_bc_op){
        .code = INET_DIAG_BC_S_GE, .yes = (unsigned char)(2 * size), .no = 5 * size};
    p->op[1] = (struct inet_diag_bc_op){.no = first};
    p->op[2] = (struct inet_diag_bc_op){
        .code = INET_DIAG_BC_S_LE, .yes = (unsigned char)(2 * size), .no = 3 * size};
    p->op[3] = (struct inet_diag_bc_op){.no = last};
}

/* The request, in buf: its length. */
static size_t inet_request(const struct sockdiag_wish *w, char *buf)
{
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)buf;
    uint8_t details = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_SKMEMINFO - 1);
    struct inet_diag_req old = {.idiag_family = AF_INET, .idiag_states = w->states};
    struct inet_diag_req_v2 one = {.sdiag_family = (uint8_t)w->family,
                                   .sdiag_protocol = (uint8_t)w->proto,
                                   .idiag_states = w->states};
    bool both = w->family == AF_UNSPEC;
    size_t len = NLMSG_LENGTH(both ? sizeof(old) : sizeof(one));

    old.idiag_ext = one.idiag_ext = w->details ? details : 0;
    memcpy(NLMSG_DATA(h), both ? (const void *)&old : &one, len - NLMSG_HDRLEN);
    if (w->last) {
        choose_ports((struct port_filter *)(void *)(buf + len), w->first, w->last);
        len += sizeof(struct port_filter);
    }
    *h = (struct nlmsghdr){.nlmsg_len = (uint32_t)len,
                           .nlmsg_type = both ? TCPDIAG_GETSOCK : SOCK_DIAG_BY_FAMILY,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP};
    return len;
}

int sockdiag_inet(const struct sockdiag_wish *wish,
                  int (*each)(void *arg, const struct diag_socket *s), void *arg)
{
    _Alignas(struct nlmsghdr) char request[256] = "";
    struct reader r = {
        .message = inet_message, .each_inet = each, .arg = arg, .proto = wish->proto};

    return exchange(request, inet_request(wish, request), &r);
}

static void take_unix_attribute(struct diag_unix *s, const struct rtattr *a)
{
    const void *data = RTA_DATA(a);
    size_t len = RTA_PAYLOAD(a);

    if (a->rta_type == UNIX_DIAG_NAME) {
        s->name_len = len < sizeof(s->name) ? len : sizeof(s->name);
        memcpy(s->name, data, s->name_len);
    } else if (a->rta_type == UNIX_DIAG_VFS && len >= sizeof(struct unix_diag_vfs)) {
        const struct unix_diag_vfs *v = data;

        s->file = v->udiag_vfs_ino;
        /* The kernel's own form, of 20 bits for the minor number: include/linux/kdev_t.h. */
        s->device = makedev(v->udiag_vfs_dev >> 20, v->udiag_vfs_dev & 0xfffff);
    } else if (a->rta_type == UNIX_DIAG_RQLEN && len >= sizeof(struct unix_diag_rqlen)) {
        const struct unix_diag_rqlen *q = data;

        s->receive = q->udiag_rqueue;
        s->send = q->udiag_wqueue;
    } else if (a->rta_type == UNIX_DIAG_UID && len >= sizeof(s->uid)) {
        memcpy(&s->uid, data, sizeof(s->uid));
    }
}

static int unix_message(struct reader *r, const struct nlmsghdr *h)
{
    const struct unix_diag_msg *m = NLMSG_DATA(h);
    struct diag_unix s = {.uid = UINT32_MAX};

    if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
        return -EPROTO;
    s.inode = m->udiag_ino;
    s.state = m->udiag_state;
    s.type = m->udiag_type;
    size_t len = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));
    const struct rtattr *a = (const struct rtattr *)(const void *)(m + 1);
    for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
        take_unix_attribute(&s, a);
    return r->each_unix(r->arg, &s);
}

int sockdiag_unix(uint32_t states, int (*each)(void *arg, const struct diag_unix *s), void *arg)
{
    struct {
        struct nlmsghdr h;
        struct unix_diag_req body;
    } q = {
        .h = {.nlmsg_len = sizeof(q),
              .nlmsg_type = SOCK_DIAG_BY_FAMILY,
              .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = AF_UNIX,
                 .udiag_states = states,
                 .udiag_show =
                     UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID},
    };
    struct reader r = {.message = unix_message, .each_unix = each, .arg = arg};

    return exchange(&q, sizeof(q), &r);
}

int sockdiag_destroy(const struct diag_socket *s)
{
    struct {
        struct nlmsghdr h;
        struct inet_diag_req_v2 body;
    } q = {
        .h = {.nlmsg_len = sizeof(q),
              .nlmsg_type = SOCK_DESTROY,
              .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .body = {.sdiag_family = s->family,
                 .sdiag_protocol = s->proto,
                 .idiag_states = DIAG_BIT(s->state),
                 .id = {.idiag_sport = htons(s->port),
                        .idiag_dport = htons(s->peer_port),
                        .idiag_if = s->device}},
    };
    struct reader r = {.message = NULL};

    memcpy(q.body.id.idiag_src, &s->addr, sizeof(s->addr));
    memcpy(q.body.id.idiag_dst, &s->peer, sizeof(s->peer));
    /* The state of the request is not looked at, and a new connection may have the ports by now. */
    memcpy(q.body.id.idiag_cookie, &s->cookie, sizeof(s->cookie));
    return exchange(&q, sizeof(q), &r);
}
