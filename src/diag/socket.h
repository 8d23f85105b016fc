/* socket.h - what the machine says of one socket.  A plain struct, filled by whoever looked.
 *
 * Addresses of IPv4 are kept in the first four bytes.  What a source does not tell is 0; which
 * source it was is known to who asked (sockets.h).
 */
#ifndef STOA_DIAG_SOCKET_H
#define STOA_DIAG_SOCKET_H

#include "base/text.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

/* The kernel's states (include/net/tcp_states.h), TCP's and what UDP and UNIX make of them. */
enum diag_state {
    DIAG_ESTABLISHED = 1,
    DIAG_SYN_SENT,
    DIAG_SYN_RECV,
    DIAG_FIN_WAIT1,
    DIAG_FIN_WAIT2,
    DIAG_TIME_WAIT,
    DIAG_CLOSE, /* unconnected: UDP's usual one */
    DIAG_CLOSE_WAIT,
    DIAG_LAST_ACK,
    DIAG_LISTEN,
    DIAG_CLOSING,
    DIAG_NEW_SYN_RECV,
    DIAG_BOUND, /* has a port, neither listens nor is connected; told since Linux 6.8 */
    DIAG_STATES,
};

#define DIAG_ALL    ((1u << DIAG_STATES) - 2)
#define DIAG_BIT(s) (1u << (s))

enum diag_timer { DIAG_NO_TIMER, DIAG_RETRANSMITS, DIAG_KEEPALIVE, DIAG_TIME_WAITS, DIAG_PROBES };

struct diag_socket {
    uint8_t family; /* AF_INET, AF_INET6 */
    uint8_t proto;  /* IPPROTO_TCP, IPPROTO_UDP */
    uint8_t state;
    uint8_t timer;
    uint8_t retransmits; /* how often the timer's cause was repeated */
    bool v6only;
    uint16_t port;
    uint16_t peer_port;
    struct in6_addr addr;
    struct in6_addr peer;
    uint32_t device; /* bound to an interface; 0 = none */
    uint32_t timer_ms;
    uint32_t uid;
    uint32_t inode;   /* 0: no process has it */
    uint32_t receive; /* bytes; a listener's: connections that wait */
    uint32_t send;    /* bytes; a listener's: how many may wait */
    uint32_t drops;
    uint64_t cookie; /* the kernel's name for this very socket; 0: not told */
    int pid;         /* who has it, filled by who looked for that; 0: not known */
    int8_t nodelay;  /* its TCP_NODELAY, likewise; -1: not known */

    /* TCP's own (struct tcp_info), when it was asked for. */
    bool has_info;
    bool window_closed; /* the peer takes nothing now */
    uint32_t heard_ms;  /* since the peer's last bytes */
    uint32_t sent_ms;   /* since our last bytes */
    uint32_t unacked;   /* segments on their way */
    uint32_t not_sent;  /* bytes that wait to be sent */
    uint32_t segment;   /* bytes of a full one */
    uint32_t window;    /* segments that may be on their way */
    uint32_t backoff;   /* how often the timer was doubled */
    uint64_t sent;      /* bytes */
    uint64_t acked;     /* bytes */
    uint64_t received;  /* bytes */
    uint64_t busy_us;   /* time with something to send */
    uint64_t rwnd_us;   /* of it, limited by the receiver's window */
};

/* A UNIX socket. */
struct diag_unix {
    uint32_t inode;
    uint8_t state;    /* DIAG_LISTEN, DIAG_ESTABLISHED, DIAG_CLOSE */
    uint8_t type;     /* SOCK_* */
    uint32_t receive; /* a listener's: connections that wait */
    uint32_t send;    /* a listener's: how many may wait */
    uint32_t uid;     /* UINT32_MAX: not told */
    int pid;          /* as above */
    uint64_t device;  /* of its file, as st_dev; the name may be another by now */
    uint32_t file;    /* st_ino's lower half; 0: not told, or it has none */
    size_t name_len;  /* 0: it has none */
    char name[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* abstract ones begin with a 0 */
};

/* Is it of all addresses of its family? */
bool socket_is_any(const struct diag_socket *s);

/* Is that 127.0.0.0/8 or ::1 (mapped, too)? */
bool socket_is_loopback(int family, const struct in6_addr *addr);

/* Does a small rest wait for what is on its way to be acknowledged (Nagle's algorithm)? */
bool socket_is_held_back(const struct diag_socket *s);

/* Would a socket at that address and port meet s there?  family 0: any address of any family. */
bool socket_overlaps(const struct diag_socket *s, int family, const struct in6_addr *addr,
                     bool v6only);

/* "127.0.0.1:80", "[::1]:80", "*:80"; the peer's with peer. */
void socket_text(struct text *t, const struct diag_socket *s, bool peer);
void socket_address_text(struct text *t, int family, const struct in6_addr *addr, uint16_t port);

#endif
