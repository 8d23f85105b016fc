/* judge.c - findings from recorded facts: each kind by the facts that make it, and no other.
 *
 * No socket is opened and nothing of this machine is looked at, so it also tests what cannot
 * be made here: a full table of tracked connections, memory pressure, a machine short of files.
 * The real conditions are in tests/doctor/.
 */
#include "diag/judge.h"
#include "diag/procnet.h"
#include "t.h"

#include <netinet/in.h>

/* A machine on which nothing is wrong: a listener, a client of it, and their second. */
struct machine {
    struct facts was, now;
    struct findings found;
};

static struct diag_socket tcp(uint8_t state, uint16_t port, uint32_t inode)
{
    struct diag_socket s = {.family = AF_INET,
                            .proto = IPPROTO_TCP,
                            .state = state,
                            .port = port,
                            .inode = inode,
                            .nodelay = -1};

    s.addr.s6_addr32[0] = htonl(0x0a000001);
    if (state != DIAG_LISTEN) {
        s.peer.s6_addr32[0] = htonl(0x0a000002);
        s.peer_port = 50000;
    }
    return s;
}

static void add(struct facts *f, struct diag_socket s)
{
    EXPECT(facts_add(f, &s));
}

static void add_both(struct machine *m, struct diag_socket s)
{
    add(&m->was, s);
    add(&m->now, s);
}

static void healthy(struct machine *m)
{
    static struct diag_owner owner = {.pid = 7, .program = "server", .user = "amy"};
    struct diag_socket listener = tcp(DIAG_LISTEN, 8081, 1),
                       client = tcp(DIAG_ESTABLISHED, 8081, 2);

    *m = (struct machine){.was.when_ns = 1000000000, .now.when_ns = 2000000000};
    m->now.root = true;
    m->now.idle_ms = 3600000;
    m->now.owners = &owner;
    m->now.nowner = 1;
    m->now.set = (struct facts_settings){
        .range = {.first = 32768, .last = 60999},
        .somaxconn = 4096,
        .syncookies = 1,
        .tw_buckets = 131072,
        .tw_reuse = 2,
        .rmem_max = 4194304,
        .tcp_mem = {1000, 2000, 3000},
        .max_orphans = 1000,
        .conntrack_max = 1000,
        .conntrack_count = 10,
        .files = 100,
        .files_max = 1000,
    };
    listener.send = 128;
    listener.pid = client.pid = 7;
    client.has_info = true;
    client.timer = DIAG_KEEPALIVE;
    add_both(m, listener);
    add_both(m, client);
}

/* The judgement; the first finding of that kind, NULL: there is none. */
static const struct finding *find(struct machine *m, enum kind kind)
{
    judge(&m->was, &m->now, &m->found);
    for (size_t i = 0; i < m->found.n; i++)
        if (m->found.list[i].kind == kind)
            return &m->found.list[i];
    return NULL;
}

static void end(struct machine *m)
{
    m->now.owners = NULL;
    facts_free(&m->was);
    facts_free(&m->now);
}

static void expect(int line, const struct finding *f, enum severity severity, const char *part)
{
    if (!f)
        t_fail(__FILE__, line, "it is not found");
    else if (f->severity != severity || !(strstr(f->evidence, part) || strstr(f->subject, part)))
        t_fail(__FILE__, line, "%s, \"%s: %s\", not %s, \"%s\"", finding_severity(f->severity),
               f->subject, f->evidence, finding_severity(severity), part);
}

/* With `make` done to a healthy machine, this is found, and nothing else is. */
#define FINDS(kind, severity, part, ...)                                                           \
    do {                                                                                           \
        struct machine m;                                                                          \
        healthy(&m);                                                                               \
        __VA_ARGS__;                                                                               \
        expect(__LINE__, find(&m, kind), severity, part);                                          \
        EXPECT_EQ(m.found.n, 1);                                                                   \
        end(&m);                                                                                   \
    } while (0)

TEST(a_healthy_machine_has_no_findings)
{
    struct machine m;

    healthy(&m);
    judge(&m.was, &m.now, &m.found);
    EXPECT_EQ(m.found.n, 0);
    EXPECT_EQ(finding_worst(&m.found), SEVERITY_NONE);
    judge(NULL, &m.now, &m.found);
    EXPECT_EQ(m.found.n, 0);
    end(&m);
}

TEST(what_counts_since_the_start_and_does_not_grow_is_no_finding)
{
    struct machine m;

    healthy(&m);
    for (int i = 0; i < COUNT_TCP_INUSE; i++)
        m.was.counters.value[i] = m.now.counters.value[i] = 1000000;
    judge(&m.was, &m.now, &m.found);
    EXPECT_EQ(m.found.n, 0);
    end(&m);
}

TEST(listeners)
{
    FINDS(KIND_LISTEN_QUEUE_FULL, SEVERITY_FAILING, "129 connections in it, the limit is 128",
          m.now.sockets[0].receive = 129);
    FINDS(KIND_LISTEN_QUEUE_FULL, SEVERITY_WARNING, "50 dropped since it listens, 20/s now",
          (m.was.sockets[0].drops = 30, m.now.sockets[0].drops = 50));
    FINDS(KIND_LISTEN_QUEUE_FULL, SEVERITY_NOTE, "50 dropped since it listens, 0/s now",
          (m.was.sockets[0].drops = 50, m.now.sockets[0].drops = 50));
    FINDS(KIND_SYN_FLOOD, SEVERITY_WARNING, "1,936 cookies sent (1,936/s), 1 of them came back",
          (m.now.counters.value[COUNT_COOKIES_SENT] = 1936,
           m.now.counters.value[COUNT_COOKIES_BACK] = 1));
    FINDS(KIND_SYN_BURST, SEVERITY_WARNING, "90 of them came back",
          (m.now.counters.value[COUNT_COOKIES_SENT] = 100,
           m.now.counters.value[COUNT_COOKIES_BACK] = 90));
    FINDS(KIND_SYN_DROPPED, SEVERITY_FAILING, "cookies are off; 1,936 requests dropped",
          (m.now.set.syncookies = 0, m.now.counters.value[COUNT_SYN_DROPPED] = 1936));
}

TEST(a_unix_listener)
{
    struct diag_unix u = {.inode = 9,
                          .state = DIAG_LISTEN,
                          .receive = 3,
                          .send = 2,
                          .name_len = 7,
                          .name = "\0server"};

    FINDS(KIND_UNIX_QUEUE_FULL, SEVERITY_FAILING, "unix:@server",
          EXPECT(facts_add_path(&m.now, &u)));
    u.receive = 2;
    struct machine m;
    healthy(&m);
    EXPECT(facts_add_path(&m.now, &u));
    EXPECT(!find(&m, KIND_UNIX_QUEUE_FULL));
    end(&m);
}

TEST(two_programs_at_one_port)
{
    struct diag_owner two[] = {{.pid = 7, .program = "old"}, {.pid = 8, .program = "new"}};
    struct diag_socket other = tcp(DIAG_LISTEN, 8081, 3);

    other.pid = 8;
    other.send = 128;
    FINDS(KIND_RESTART_LOSS, SEVERITY_NOTE, "shares the port with new (pid 8)",
          (m.now.owners = two, m.now.nowner = 2, add_both(&m, other)));
    struct machine m;
    healthy(&m);
    m.now.owners = two;
    m.now.nowner = 2;
    m.now.set.migrate_req = 1;
    add_both(&m, other);
    EXPECT(!find(&m, KIND_RESTART_LOSS));
    m.now.set.migrate_req = 0;
    m.now.sockets[m.now.nsocket - 1].pid = 7; /* workers of one program close together */
    EXPECT(!find(&m, KIND_RESTART_LOSS));
    end(&m);
}

TEST(ports)
{
    struct diag_socket itself = tcp(DIAG_ESTABLISHED, 45008, 3);

    itself.peer = itself.addr;
    itself.peer_port = itself.port;
    itself.pid = 7;
    FINDS(KIND_SELF_CONNECTED, SEVERITY_FAILING, "10.0.0.1:45008", add(&m.now, itself));
    FINDS(KIND_TIME_WAIT_MANY, SEVERITY_NOTE, "12,000 in TIME_WAIT",
          m.now.counters.value[COUNT_IN_TIME_WAIT] = 12000);
    FINDS(KIND_TIME_WAIT_MANY, SEVERITY_WARNING, "500/s had no room",
          m.now.counters.value[COUNT_TIME_WAIT_OVERFLOWS] = 500);
    FINDS(KIND_PORTS_EXHAUSTED, SEVERITY_WARNING, "85 of 100 local ports", {
        m.now.set.range.last = (uint16_t)(m.now.set.range.first + 99);
        for (uint16_t i = 0; i < 85; i++)
            add(&m.now, tcp(DIAG_TIME_WAIT, (uint16_t)(32768 + i), 0));
    });
    FINDS(KIND_PORTS_EXHAUSTED, SEVERITY_FAILING, "50 of 50 local ports", {
        m.now.set.range.last = (uint16_t)(m.now.set.range.first + 99);
        m.now.set.range.reserved = 50;
        for (uint16_t i = 0; i < 50; i++)
            add(&m.now, tcp(DIAG_ESTABLISHED, (uint16_t)(32768 + i), 100u + i));
    });
}

/* What is proposed must not take away what there is. */
TEST(a_wider_range_of_ports_is_wider_at_both_ends)
{
    struct machine m;
    const struct finding *f;

    healthy(&m);
    m.now.set.range = (struct machine_range){.first = 65000, .last = 65099};
    for (uint16_t i = 0; i < 85; i++)
        add(&m.now, tcp(DIAG_TIME_WAIT, (uint16_t)(65000 + i), 0));
    f = find(&m, KIND_PORTS_EXHAUSTED);
    expect(__LINE__, f, SEVERITY_WARNING, "85 of 100 local ports");
    EXPECT_STR(f->value, "10000 65099");
    EXPECT_STR(f->undo, "sysctl -w net.ipv4.ip_local_port_range=\"65000 65099\"");
    end(&m);
}

/* Connections to different places do not take each other's ports. */
TEST(ports_are_counted_for_each_destination)
{
    struct machine m;

    healthy(&m);
    m.now.set.range.last = (uint16_t)(m.now.set.range.first + 99);
    for (uint16_t i = 0; i < 100; i++) {
        struct diag_socket s = tcp(DIAG_ESTABLISHED, (uint16_t)(32768 + i), 100u + i);

        s.peer_port = (uint16_t)(1000 + i % 2);
        add(&m.now, s);
    }
    EXPECT(!find(&m, KIND_PORTS_EXHAUSTED));
    end(&m);
}

static struct diag_socket talking(uint32_t inode)
{
    struct diag_socket s = tcp(DIAG_ESTABLISHED, 8081, inode);

    s.has_info = true;
    s.pid = 7;
    s.timer = DIAG_KEEPALIVE;
    s.segment = 1448;
    s.window = 10;
    return s;
}

static void leave(struct machine *m, unsigned n, uint32_t ms)
{
    for (uint32_t i = 0; i < n; i++) {
        struct diag_socket s = talking(100 + i);

        s.state = DIAG_CLOSE_WAIT;
        s.heard_ms = ms;
        add_both(m, s);
    }
}

TEST(connections)
{
    struct diag_socket s = talking(3);

    FINDS(KIND_CLOSE_WAIT, SEVERITY_WARNING, "20 sockets in CLOSE_WAIT", leave(&m, 20, 2400000));
    FINDS(KIND_CLOSE_WAIT, SEVERITY_NOTE, "1 socket in CLOSE_WAIT", leave(&m, 1, 2400000));
    s.timer = DIAG_NO_TIMER;
    s.heard_ms = s.sent_ms = 4000000;
    FINDS(KIND_NO_KEEPALIVE, SEVERITY_NOTE, "1 connection silent for over 60 min", add(&m.now, s));
    s = talking(3);
    s.timer = DIAG_RETRANSMITS;
    s.retransmits = 5;
    s.send = 12;
    FINDS(KIND_PEER_GONE, SEVERITY_WARNING, "has been tried 5 times", add(&m.now, s));
    s = talking(3);
    s.unacked = 1;
    s.not_sent = 20;
    s.nodelay = 0;
    FINDS(KIND_NAGLE, SEVERITY_WARNING, "20 bytes held back", {
        add(&m.now, s);
        m.now.counters.value[COUNT_DELAYED_ACKS] = 25;
    });
    s = talking(3);
    s.send = 100000;
    s.busy_us = 1000000;
    s.rwnd_us = 870000;
    FINDS(KIND_SLOW_READER, SEVERITY_WARNING, "87 % of the time", add(&m.now, s));
    s = talking(3);
    s.send = 100000;
    s.window_closed = true;
    s.sent_ms = 5000;
    FINDS(KIND_SLOW_READER, SEVERITY_WARNING, "closed now, the last was taken 5.0 s ago",
          add(&m.now, s));
    FINDS(KIND_CLOSES_UNREAD, SEVERITY_WARNING, "41 closes/s",
          m.now.counters.value[COUNT_ABORT_UNREAD] = 41);
}

/* What passes by is no finding: a close that is on its way, a piece that waits with TCP_NODELAY. */
TEST(what_is_gone_in_a_moment_is_no_finding)
{
    struct diag_socket s = talking(3);
    struct machine m;

    healthy(&m);
    for (uint32_t i = 0; i < 20; i++) {
        struct diag_socket w = talking(100 + i);

        w.state = DIAG_CLOSE_WAIT;
        add(&m.now, w);
    }
    s.unacked = 1;
    s.not_sent = 20;
    s.nodelay = 1;
    add(&m.now, s);
    m.now.counters.value[COUNT_DELAYED_ACKS] = 25;
    judge(&m.was, &m.now, &m.found);
    EXPECT_EQ(m.found.n, 0);
    end(&m);
}

/* A loopback peer cannot lose its power alone. */
TEST(idle_on_loopback_needs_no_keepalive)
{
    struct diag_socket s = talking(3);
    struct machine m;

    healthy(&m);
    s.timer = DIAG_NO_TIMER;
    s.heard_ms = s.sent_ms = 4000000;
    s.peer.s6_addr32[0] = htonl(INADDR_LOOPBACK);
    add(&m.now, s);
    EXPECT(!find(&m, KIND_NO_KEEPALIVE));
    end(&m);
}

static struct diag_socket udp(uint16_t port, uint32_t drops)
{
    struct diag_socket s = tcp(DIAG_CLOSE, port, 5);

    s.proto = IPPROTO_UDP;
    s.pid = 7;
    s.drops = drops;
    return s;
}

TEST(the_machine)
{
    struct diag_process p = {
        .who = {.pid = 9, .program = "full"}, .nfd = 19998, .soft = 20000, .hard = 20000};

    FINDS(KIND_DESCRIPTORS, SEVERITY_FAILING, "19,998 of 20,000", {
        m.was.crowded[m.was.ncrowded++] = p;
        p.cpu_ms = 990;
        m.now.crowded[m.now.ncrowded++] = p;
    });
    p.nfd = 19000;
    FINDS(KIND_DESCRIPTORS, SEVERITY_WARNING, "19,000 of 20,000",
          m.now.crowded[m.now.ncrowded++] = p);
    FINDS(KIND_SYSTEM_FILES, SEVERITY_WARNING, "950 of 1,000 files", m.now.set.files = 950);
    FINDS(KIND_UDP_LOSS, SEVERITY_WARNING,
          "2,908 datagrams were dropped since it was bound, 2,900/s",
          (add(&m.was, udp(5300, 8)), add(&m.now, udp(5300, 2908))));
    FINDS(KIND_UDP_NOBODY, SEVERITY_NOTE, "70/s", m.now.counters.value[COUNT_NO_PORTS] = 70);
    FINDS(KIND_MEMORY, SEVERITY_WARNING, "TCP has 2,500 pages",
          m.now.counters.value[COUNT_MEMORY_PAGES] = 2500);
    FINDS(KIND_MEMORY, SEVERITY_WARNING, "900 of 1,000 orphans",
          m.now.counters.value[COUNT_ORPHANS] = 900);
    FINDS(KIND_MEMORY, SEVERITY_FAILING, "3.0 connections/s broken off",
          m.now.counters.value[COUNT_ABORT_MEMORY] = 3);
    FINDS(KIND_CONNTRACK, SEVERITY_WARNING, "950 of 1,000", m.now.set.conntrack_count = 950);
    FINDS(KIND_CONNTRACK, SEVERITY_FAILING, "1,000 of 1,000", m.now.set.conntrack_count = 1000);
}

TEST(the_exact_line_and_how_to_undo_it)
{
    struct machine m;

    healthy(&m);
    m.now.set.conntrack_count = 1000;
    const struct finding *f = find(&m, KIND_CONNTRACK);
    EXPECT_STR(f->act, "sysctl -w net.netfilter.nf_conntrack_max=\"2000\"");
    EXPECT_STR(f->undo, "sysctl -w net.netfilter.nf_conntrack_max=\"1000\"");
    end(&m);
}

TEST(the_worst_comes_first_and_lists_end)
{
    struct machine m;

    healthy(&m);
    for (uint32_t i = 0; i < 60; i++) {
        struct diag_socket s = tcp(DIAG_LISTEN, (uint16_t)(9000 + i), 200 + i);

        s.send = 10;
        s.receive = i % 2 ? 11 : 0;
        s.drops = 1 + i;
        add_both(&m, s);
    }
    m.now.counters.value[COUNT_NO_PORTS] = 70;
    judge(&m.was, &m.now, &m.found);
    EXPECT_EQ(m.found.n, FINDINGS_PER_KIND + 1);
    EXPECT_EQ(m.found.of_kind[KIND_LISTEN_QUEUE_FULL], 60);
    for (size_t i = 1; i < m.found.n; i++)
        EXPECT_GE(m.found.list[i - 1].severity, m.found.list[i].severity);
    finding_filter(&m.found, 0, 9001);
    EXPECT_EQ(m.found.n, 1);
    end(&m);
}

TEST(who_is_not_seen_is_told_as_that)
{
    struct machine m;

    healthy(&m);
    m.now.root = false;
    m.now.sockets[0].pid = 0;
    m.now.sockets[0].uid = 1000;
    m.now.sockets[0].receive = 129;
    const struct finding *f = find(&m, KIND_LISTEN_QUEUE_FULL);
    expect(__LINE__, f, SEVERITY_FAILING, "a program of uid 1000");
    EXPECT(strstr(f->unseen, "sudo stoa doctor"));
    m.now.source = SOCKETS_PROC;
    m.now.sockets[0].receive = 0;
    m.now.set.conntrack_count = 1000;
    f = find(&m, KIND_CONNTRACK);
    EXPECT(f && strstr(f->unseen, "sock_diag"));
    end(&m);
}

TEST(every_kind_has_its_texts)
{
    for (int k = 0; k < KINDS; k++) {
        EXPECT(finding_kinds[k].id && finding_kinds[k].what && finding_kinds[k].why &&
               finding_kinds[k].act);
        EXPECT_EQ(finding_kind(finding_kinds[k].id), k);
    }
    EXPECT_EQ(finding_kind("no such"), KINDS);
}

/* -------------------------------------------------------------------------
 * What is told must be so, and harmless
 * ---------------------------------------------------------------------- */

TEST(a_program_s_name_is_harmless_wherever_it_is_told)
{
    static struct diag_owner owners[] = {{.pid = 7, .program = "server", .user = "amy"},
                                         {.pid = 8, .program = "a\033[2J", .user = "amy"}};
    struct diag_socket other = tcp(DIAG_LISTEN, 8081, 9);
    struct machine m;

    healthy(&m);
    other.pid = 8;
    add_both(&m, other);
    m.now.owners = owners;
    m.now.nowner = 2;
    const struct finding *f = find(&m, KIND_RESTART_LOSS);
    expect(__LINE__, f, SEVERITY_NOTE, "a\\x1b[2J (pid 8)");
    EXPECT(!strchr(f->evidence, '\033'));
    end(&m);
}

TEST(what_nobody_was_asked_for_is_not_known)
{
    struct diag_socket s;

    EXPECT(procnet_line(&s, AF_INET, IPPROTO_TCP,
                        "   0: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 "
                        "00000000  0        0 7 1 0 20 4 30 10 -1"));
    EXPECT_EQ(s.nodelay, -1);
}

/* With SYN cookies on, the queue's limit is the listener's backlog; tcp_max_syn_backlog is not
 * looked at (tcp_conn_request()). */
TEST(a_setting_is_named_where_it_is_proposed_and_helps)
{
    struct machine m;
    struct diag_socket s = tcp(DIAG_SYN_RECV, 8081, 0);
    struct diag_unix u = {.inode = 9, .state = DIAG_LISTEN, .receive = 4097, .send = 4096};
    const struct finding *f;

    healthy(&m);
    add(&m.now, s);
    m.now.sockets[0].send = 4096;
    m.now.counters.value[COUNT_COOKIES_SENT] = 100;
    m.now.counters.value[COUNT_COOKIES_BACK] = 90;
    f = find(&m, KIND_SYN_BURST);
    EXPECT_STR(finding_kinds[KIND_SYN_BURST].setting, "net.core.somaxconn");
    EXPECT(f && strcmp(f->value, "8192") == 0);
    end(&m);
    healthy(&m);
    EXPECT(facts_add_path(&m.now, &u));
    f = find(&m, KIND_UNIX_QUEUE_FULL);
    EXPECT(f && strcmp(f->value, "8192") == 0);
    EXPECT(!finding_kinds[KIND_UDP_LOSS].setting);
    end(&m);
}

TEST(a_process_that_has_another_s_number_has_used_no_time)
{
    struct machine m;

    healthy(&m);
    m.was.ncrowded = m.now.ncrowded = 1;
    m.was.crowded[0] = m.now.crowded[0] =
        (struct diag_process){.who.pid = 9, .nfd = 64, .soft = 64, .hard = 64, .cpu_ms = 5000};
    m.now.crowded[0].cpu_ms = 10;
    expect(__LINE__, find(&m, KIND_DESCRIPTORS), SEVERITY_FAILING, " 0 % of a processor");
    end(&m);
}

/* -------------------------------------------------------------------------
 * One port, one path
 * ---------------------------------------------------------------------- */

static const struct finding *at_port(struct machine *m, uint16_t port, enum kind kind)
{
    struct judge_place place = {.at = {.proto = IPPROTO_TCP, .port = port},
                                .here = true,
                                .next_free = (uint16_t)(port + 1)};

    judge_place(&m->now, &place, &m->found);
    for (size_t i = 0; i < m->found.n; i++)
        if (m->found.list[i].kind == kind)
            return &m->found.list[i];
    return NULL;
}

TEST(a_port)
{
    struct diag_socket waits = tcp(DIAG_TIME_WAIT, 8082, 0), bound = tcp(DIAG_BOUND, 8083, 5);
    struct diag_socket high = tcp(DIAG_LISTEN, 45008, 6);
    struct machine m;

    healthy(&m);
    waits.timer_ms = 58900;
    add(&m.now, waits);
    add(&m.now, bound);
    add(&m.now, high);
    expect(__LINE__, at_port(&m, 8081, KIND_PORT_HELD), SEVERITY_NOTE, "server (pid 7, user amy)");
    EXPECT_EQ(m.found.n, 1);
    expect(__LINE__, at_port(&m, 8082, KIND_PORT_TIME_WAIT), SEVERITY_WARNING,
           "for 58 s more; 8083");
    expect(__LINE__, at_port(&m, 8083, KIND_PORT_HELD), SEVERITY_NOTE, "does not listen");
    expect(__LINE__, at_port(&m, 8084, KIND_NOBODY_LISTENS), SEVERITY_NOTE, "it is free");
    const struct finding *f = at_port(&m, 45008, KIND_PORT_IN_RANGE);
    expect(__LINE__, f, SEVERITY_NOTE, "chooses from 32768 to 60999");
    EXPECT_STR(f->value, "45008");
    FINDING_SAY(m.now.set.reserved, "1,2-3");
    EXPECT_STR(at_port(&m, 45008, KIND_PORT_IN_RANGE)->value, "1,2-3,45008");
    FINDING_SAY(m.now.set.reserved, "45000-46000");
    EXPECT(!at_port(&m, 45008, KIND_PORT_IN_RANGE));
    end(&m);
}

/* A list that is cut would free ports that somebody has reserved. */
TEST(a_long_list_of_reserved_ports_is_not_cut)
{
    struct machine m;
    const struct finding *f;
    struct text t;

    healthy(&m);
    add(&m.now, tcp(DIAG_LISTEN, 45008, 6));
    text_init(&t, m.now.set.reserved, sizeof(m.now.set.reserved));
    for (uint64_t i = 0; i < 30; i++) {
        text_add(&t, i ? "," : "");
        text_add_number(&t, 20000 + 2 * i);
    }
    f = at_port(&m, 45008, KIND_PORT_IN_RANGE);
    expect(__LINE__, f, SEVERITY_NOTE, "is not in net.ipv4.ip_local_reserved_ports");
    EXPECT_STR(f->value, "");
    EXPECT_STR(f->undo, "");
    EXPECT(strstr(f->act, "add 45008 to"));
    end(&m);
}
