/* kinds.c - what each finding means and what helps, once for all: `stoa doctor --explain ID`. */
#include "diag/finding.h"

const struct finding_kind finding_kinds[KINDS] = {
    [KIND_PORT_HELD] =
        {.id = "port-held",
         .what = "a program has this port",
         .why = "Whoever binds the same address and port gets EADDRINUSE (\"Address already in "
                "use\"): a port has one listener, unless all of its listeners set SO_REUSEPORT.",
         .act = "stop that program, or choose another port"},
    [KIND_PORT_TIME_WAIT] =
        {.id = "port-time-wait",
         .what = "nobody listens, but connections of the port are in TIME_WAIT",
         .why =
             "The end that closes first remembers the connection for a minute, lest a late packet "
             "meets a new one. bind(2) refuses the port meanwhile, unless both the old and the new "
             "socket had SO_REUSEADDR: setting it now does not help for the old ones.",
         .act = "wait, or forget them"},
    [KIND_PORT_LEFT_OVER] =
        {.id = "port-left-over",
         .what = "nobody listens, but connections of the port live",
         .why =
             "Connections that the last server accepted still have the port, often in a child "
             "process that inherited them. bind(2) refuses the port unless all had SO_REUSEADDR.",
         .act = "end the program that has them"},
    [KIND_PORT_IN_RANGE] =
        {.id = "port-in-range",
         .what = "the port is one that connect(2) chooses from",
         .why =
             "Any program's outgoing connection may have it when the server starts (a random "
             "EADDRINUSE), and a client may be given it and connect to itself while the server is "
             "down.",
         .act = "choose a port below the range, or reserve it",
         .setting = "net.ipv4.ip_local_reserved_ports"},
    [KIND_NOBODY_LISTENS] = {.id = "nobody-listens",
                             .what = "nothing listens on that port",
                             .why = "A connect to it gets ECONNREFUSED (\"Connection refused\").",
                             .act = "start the server, or correct the port"},
    [KIND_LISTENS_ELSEWHERE] =
        {.id = "listens-elsewhere",
         .what = "the port is served, but not at that address",
         .why =
             "A listener on 127.0.0.1 is not reached from other machines, and one of IPv4 not by "
             "::1, which `localhost` may give first: ECONNREFUSED.",
         .act = "connect to the address that is served, or bind the server to [::]"},
    [KIND_DUAL_STACK] =
        {.id = "dual-stack",
         .what = "one listener covers both families",
         .why =
             "A socket on [::] without IPV6_V6ONLY takes IPv4, too; a second one for 0.0.0.0 gets "
             "EADDRINUSE.",
         .act = "bind only [::], or set IPV6_V6ONLY on it to bind both"},
    [KIND_ONE_FAMILY] =
        {.id = "one-family",
         .what = "only one family is served",
         .why =
             "Clients that try the other family first are refused, or wait before they try again.",
         .act = "bind to [::] with IPV6_V6ONLY off, which serves both"},
    [KIND_NO_SUCH_ADDRESS] =
        {.id = "no-such-address",
         .what = "that is not an address of this machine",
         .why = "bind(2) gets EADDRNOTAVAIL (\"Cannot assign requested address\"): the address "
                "belongs "
                "to another machine, to the container's outside, or is not up yet.",
         .act = "bind to 0.0.0.0 or [::]; for a floating address, set IP_FREEBIND"},
    [KIND_PATH_HELD] = {.id = "path-held",
                        .what = "a program has this UNIX socket",
                        .why = "Whoever binds the same path gets EADDRINUSE.",
                        .act = "stop that program, or choose another path"},
    [KIND_PATH_STALE] =
        {.id = "path-stale",
         .what = "a UNIX socket's file without a server",
         .why =
             "The file outlives its server: connect(2) gets ECONNREFUSED and bind(2) EADDRINUSE, "
             "whatever options are set.",
         .act = "start the server again, or remove the file"},
    [KIND_PATH_MISSING] = {.id = "path-missing",
                           .what = "there is no such UNIX path",
                           .why = "connect(2) gets ENOENT: no server has made its socket there.",
                           .act = "start the server, or correct the path"},
    [KIND_TIME_WAIT_MANY] =
        {.id = "time-wait-many",
         .what = "many connections in TIME_WAIT",
         .why =
             "Each is some 256 bytes and harmless on a server. They matter on the side that "
             "connects, where each takes a local port for a minute, and when there are more than "
             "tcp_max_tw_buckets, for then connections end without it. tcp_fin_timeout does not "
             "touch TIME_WAIT, and tcp_tw_recycle is gone since Linux 4.12.",
         .act = "let the client close first, or keep connections and use them again"},
    [KIND_PORTS_EXHAUSTED] =
        {.id = "ports-exhausted",
         .what = "the local ports for one destination run out",
         .why =
             "A connection is told from others by its two addresses and ports, so to one address "
             "and port there can be as many as there are local ports; then connect(2) gets "
             "EADDRNOTAVAIL (\"Cannot assign requested address\").",
         .act = "keep connections and use them again; use more source addresses with "
                "IP_BIND_ADDRESS_NO_PORT",
         .setting = "net.ipv4.ip_local_port_range"},
    [KIND_CLOSES_UNREAD] =
        {.id = "closes-unread",
         .what = "connections are closed with bytes unread",
         .why = "close(2) with received bytes unread sends a reset: the peer gets ECONNRESET "
                "(\"Connection reset by peer\"), loses what was on its way to it, and EPIPE at its "
                "next send.",
         .act = "before close: shutdown(SHUT_WR), then read to the end (stoa_close() does)"},
    [KIND_LISTEN_QUEUE_FULL] =
        {.id = "listen-queue-full",
         .what = "a listener's queue is full",
         .why =
             "Connections wait there until accept(2). When it is full the kernel drops what comes: "
             "clients time out while the server seems idle.",
         .act = "accept sooner (is the program blocked?), or raise the backlog",
         .setting = "net.core.somaxconn"},
    [KIND_SYN_FLOOD] =
        {.id = "syn-flood",
         .what = "a SYN flood: cookies are sent and hardly any comes back",
         .why = "Connection requests come from addresses that do not answer. With SYN cookies they "
                "cost no memory, and honest clients are still served.",
         .act = "nothing to do here; filter upstream if the packets cost too much"},
    [KIND_SYN_BURST] =
        {.id = "syn-burst",
         .what = "more connection requests at once than the listener's backlog",
         .why =
             "SYN cookies are sent and come back: the clients are real. Such connections lose some "
             "TCP options, and a larger backlog needs no cookies.",
         .act = "raise the backlog of listen(2), and net.core.somaxconn with it",
         .setting = "net.core.somaxconn"},
    [KIND_SYN_DROPPED] =
        {.id = "syn-dropped",
         .what = "connection requests are dropped, for SYN cookies are off",
         .why =
             "The queue of half-open connections is full and requests are dropped: honest clients "
             "wait a second or more for their next try.",
         .act = "turn SYN cookies on",
         .setting = "net.ipv4.tcp_syncookies"},
    [KIND_CLOSE_WAIT] =
        {.id = "close-wait",
         .what = "connections whose peer has left are not closed",
         .why =
             "In CLOSE_WAIT the peer has closed and this program has not: recv(2) returned 0 and "
             "was not heeded, or was never called. Each keeps a descriptor, until EMFILE. No "
             "setting cures it.",
         .act = "in the program: when recv() returns 0, close() the socket"},
    [KIND_DESCRIPTORS] =
        {.id = "descriptors",
         .what = "a process is near its limit of descriptors",
         .why = "At the limit accept(2) fails with EMFILE (\"Too many open files\") and the "
                "connection "
                "stays in the queue, so a plain event loop spins with 100 % of a processor.",
         .act = "close what leaks, or raise the limit (LimitNOFILE= in its unit, ulimit -n)"},
    [KIND_SYSTEM_FILES] = {.id = "system-files",
                           .what = "the system is near its limit of open files",
                           .why = "At the limit every program's open and accept fail with ENFILE.",
                           .act = "raise fs.file-max",
                           .setting = "fs.file-max"},
    [KIND_NO_KEEPALIVE] =
        {.id = "no-keepalive",
         .what = "idle connections without keepalive",
         .why = "A peer that vanished (power, network, a NAT that forgot) says nothing: without "
                "keepalive such a connection stays for ever, and a firewall may forget it although "
                "both ends live.",
         .act = "set SO_KEEPALIVE with TCP_KEEPIDLE 60, TCP_KEEPINTVL 10, TCP_KEEPCNT 6, or send a "
                "heartbeat"},
    [KIND_PEER_GONE] =
        {.id = "peer-gone",
         .what = "a peer does not answer any more",
         .why =
             "Bytes are sent again and again, at doubled intervals, and nothing acknowledges them: "
             "the peer or the way to it is gone. By itself this ends after tcp_retries2, some "
             "quarter of an hour.",
         .act = "set TCP_USER_TIMEOUT to give up sooner"},
    [KIND_NAGLE] =
        {.id = "nagle",
         .what = "small messages wait some 40 ms for an acknowledgement",
         .why =
             "Nagle's algorithm holds back a small piece while an earlier one is unacknowledged, "
             "and the peer delays its acknowledgement by up to 40 ms, for it waits for the whole "
             "request: header and body were sent by two sends.",
         .act = "send both at once (sendmsg, MSG_MORE), or set TCP_NODELAY"},
    [KIND_SELF_CONNECTED] =
        {.id = "self-connected",
         .what = "a connection that has itself as its peer",
         .why = "A connect to a local port that nobody listens at can be given that very port and "
                "meet itself: the client works without a server, and the server cannot start.",
         .act = "end that program, choose a port below the range, or reserve it",
         .setting = "net.ipv4.ip_local_reserved_ports"},
    [KIND_UDP_LOSS] = {.id = "udp-loss",
                       .what = "datagrams are lost, for the program reads too slowly",
                       .why = "The socket's buffer is full and the kernel drops what comes.",
                       .act = "read faster (recvmmsg), or set a larger SO_RCVBUF"},
    [KIND_UDP_NOBODY] =
        {.id = "udp-nobody",
         .what = "datagrams come for a port that nobody has",
         .why =
             "Each is answered by ICMP: the sender's next call gets ECONNREFUSED, and what it sent "
             "is lost.",
         .act = "start the receiver, or correct the sender's port"},
    [KIND_SLOW_READER] =
        {.id = "slow-reader",
         .what = "a peer reads more slowly than it is sent to",
         .why =
             "Its window is closed, so what is sent waits here: in this machine's memory, and in "
             "the program's send().",
         .act = "send less, or give up on such peers (a timeout for sending)"},
    [KIND_MEMORY] =
        {.id = "memory",
         .what = "TCP is short of memory",
         .why = "Near net.ipv4.tcp_mem the kernel makes windows small; above it, and above "
                "tcp_max_orphans, it breaks connections off.",
         .act = "look for connections with long queues (ss -tm), or raise net.ipv4.tcp_mem"},
    [KIND_UNIX_QUEUE_FULL] =
        {.id = "unix-queue-full",
         .what = "a UNIX listener's queue is full",
         .why =
             "Clients wait in connect(2), or, when they are non-blocking, get EAGAIN: there is no "
             "event that tells when room comes.",
         .act = "accept sooner, or raise the backlog of listen(2)",
         .setting = "net.core.somaxconn"},
    [KIND_RESTART_LOSS] =
        {.id = "restart-loss",
         .what = "a listener that closed took its queue with it",
         .why = "With SO_REUSEPORT each listener has a queue of its own; when one closes, as at a "
                "restart, the clients in it are reset.",
         .act = "let the kernel move them, or hand the listening socket over instead",
         .setting = "net.ipv4.tcp_migrate_req"},
    [KIND_CONNTRACK] =
        {.id = "conntrack",
         .what = "the table of tracked connections is nearly full",
         .why =
             "When it is full the firewall drops packets of new connections (\"nf_conntrack: table "
             "full, dropping packet\").",
         .act = "raise nf_conntrack_max, or do not track that port (NOTRACK)",
         .setting = "net.netfilter.nf_conntrack_max"},
};
