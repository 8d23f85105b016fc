/* procnet.c - /proc/net/tcp, tcp6, udp, udp6 and unix, line by line.
 *
 * Addresses are words of 32 bits in the machine's own order, times are in hundredths of a second.
 * Source: proc(5), Linux Documentation/networking/proc_net_tcp.rst; net/ipv4/tcp_ipv4.c.
 */
#include "diag/procnet.h"

#include "diag/procfile.h"

#include <errno.h>
#include <linux/net.h>
#include <stdio.h>
#include <string.h>

enum { MS_PER_TICK = 10 };

/* Hexadecimal words of 8 digits, as many as words. */
static bool read_words(const char *digits, uint32_t *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sscanf(digits + 8 * i, "%8x", &words[i]) != 1)
            return false;
    return digits[8 * n] == '\0';
}

bool procnet_line(struct diag_socket *s, int family, int proto, const char *line)
{
    char here[33], there[33];
    unsigned port, peer_port, state, timer, retransmits;
    unsigned long when;
    size_t words = family == AF_INET ? 1 : 4;

    *s = (struct diag_socket){.family = (uint8_t)family, .proto = (uint8_t)proto, .nodelay = -1};
    if (sscanf(line, " %*u: %32[0-9A-Fa-f]:%x %32[0-9A-Fa-f]:%x %x %x:%x %x:%lx %x %u %*u %u", here,
               &port, there, &peer_port, &state, &s->send, &s->receive, &timer, &when, &retransmits,
               &s->uid, &s->inode) != 12)
        return false;
    if (!read_words(here, s->addr.s6_addr32, words) || !read_words(there, s->peer.s6_addr32, words))
        return false;
    s->port = (uint16_t)port;
    s->peer_port = (uint16_t)peer_port;
    s->state = (uint8_t)state;
    s->timer = (uint8_t)timer;
    s->retransmits = (uint8_t)retransmits;
    s->timer_ms = (uint32_t)(when * MS_PER_TICK);
    return true;
}

struct inet_reader {
    const struct sockdiag_wish *wish;
    int (*each)(void *arg, const struct diag_socket *s);
    void *arg;
};

static int inet_line(void *arg, char *line)
{
    const struct inet_reader *r = arg;
    const struct sockdiag_wish *w = r->wish;
    struct diag_socket s;

    if (!procnet_line(&s, w->family, w->proto, line) || !(w->states & DIAG_BIT(s.state)))
        return 0;
    if (w->last && (s.port < w->first || s.port > w->last))
        return 0;
    return r->each(r->arg, &s);
}

int procnet_inet(const struct sockdiag_wish *wish,
                 int (*each)(void *arg, const struct diag_socket *s), void *arg)
{
    struct inet_reader r = {.wish = wish, .each = each, .arg = arg};
    char path[32];

    snprintf(path, sizeof(path), "/proc/net/%s%s", wish->proto == IPPROTO_UDP ? "udp" : "tcp",
             wish->family == AF_INET6 ? "6" : "");
    int result = procfile_lines(path, inet_line, &r);
    return result == -ENOENT && wish->family == AF_INET6 ? 0 : result;
}

struct unix_reader {
    uint32_t states;
    int (*each)(void *arg, const struct diag_unix *s);
    void *arg;
};

/* Num RefCount Protocol Flags Type St Inode Path; listeners have the flag __SO_ACCEPTCON. */
static int unix_line(void *arg, char *line)
{
    const struct unix_reader *r = arg;
    struct diag_unix s = {.uid = UINT32_MAX};
    unsigned flags, type, state;
    int at = 0;

    if (sscanf(line, "%*[0-9a-fA-FxX:] %*x %*x %x %x %x %u%n", &flags, &type, &state, &s.inode,
               &at) != 4)
        return 0;
    s.type = (uint8_t)type;
    s.state = flags & __SO_ACCEPTCON  ? DIAG_LISTEN
              : state == SS_CONNECTED ? DIAG_ESTABLISHED
                                      : DIAG_CLOSE;
    line += at + (line[at] == ' ');
    s.name_len = strnlen(line, sizeof(s.name));
    memcpy(s.name, line, s.name_len);
    if (s.name[0] == '@')
        s.name[0] = '\0';
    return r->states & DIAG_BIT(s.state) ? r->each(r->arg, &s) : 0;
}

int procnet_unix(uint32_t states, int (*each)(void *arg, const struct diag_unix *s), void *arg)
{
    struct unix_reader r = {.states = states, .each = each, .arg = arg};

    return procfile_lines("/proc/net/unix", unix_line, &r);
}
