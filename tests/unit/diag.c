/* diag.c - what the kernel writes is read rightly: counters, /proc/net, ports, addresses. */
#include "diag/facts.h"
#include "diag/machine.h"
#include "diag/procnet.h"
#include "t.h"

#include <netinet/in.h>

/* -------------------------------------------------------------------------
 * Sources, as recorded
 * ---------------------------------------------------------------------- */

TEST(counters_as_the_kernel_writes_them)
{
    char text[] = "TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows Unknown DelayedACKs\n"
                  "TcpExt: 1936 1 8 5 18446744073709551615\n"
                  "IpExt: InNoRoutes\nIpExt: 0\n"
                  "Udp: InDatagrams NoPorts\nUdp: 7 2\nUdp: half";
    struct counters c = {{0}};

    counters_parse(&c, text);
    EXPECT_EQ(c.value[COUNT_COOKIES_SENT], 1936);
    EXPECT_EQ(c.value[COUNT_COOKIES_BACK], 1);
    EXPECT_EQ(c.value[COUNT_LISTEN_OVERFLOWS], 8);
    EXPECT_EQ(c.value[COUNT_DELAYED_ACKS], UINT64_MAX);
    EXPECT_EQ(c.value[COUNT_NO_PORTS], 2);
    counters_parse_sockstat(&c, "sockets: used 300\nTCP: inuse 3 orphan 1 tw 12 alloc 5 mem 2\n"
                                "UDP: inuse 1 mem 0\n");
    EXPECT_EQ(c.value[COUNT_TCP_INUSE], 3);
    EXPECT_EQ(c.value[COUNT_ORPHANS], 1);
    EXPECT_EQ(c.value[COUNT_IN_TIME_WAIT], 12);
    EXPECT_EQ(c.value[COUNT_MEMORY_PAGES], 2);
}

TEST(lines_of_proc_net)
{
    struct diag_socket s;

    EXPECT(
        procnet_line(&s, AF_INET, IPPROTO_TCP,
                     "   1: 0100007F:1F91 0200007F:C350 06 00000003:00000002 03:000016EC 00000005 "
                     " 1000        0 4711 3 ffff88800c0a8000 20 4 30 10 -1"));
    EXPECT_EQ(ntohl(s.addr.s6_addr32[0]), INADDR_LOOPBACK);
    EXPECT_EQ(s.port, 8081);
    EXPECT_EQ(s.peer_port, 50000);
    EXPECT_EQ(s.state, DIAG_TIME_WAIT);
    EXPECT_EQ(s.send, 3);
    EXPECT_EQ(s.receive, 2);
    EXPECT_EQ(s.timer_ms, 58680);
    EXPECT_EQ(s.retransmits, 5);
    EXPECT_EQ(s.uid, 1000);
    EXPECT_EQ(s.inode, 4711);
    EXPECT(procnet_line(&s, AF_INET6, IPPROTO_TCP,
                        "   0: 00000000000000000000000001000000:1F91 "
                        "00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 "
                        "00000000     0        0 12 1 0 100 0 0 10 0"));
    EXPECT(IN6_IS_ADDR_LOOPBACK(&s.addr));
    EXPECT(!procnet_line(&s, AF_INET, IPPROTO_TCP, "  sl  local_address rem_address   st"));
    EXPECT(!procnet_line(&s, AF_INET, IPPROTO_TCP, "   1: 0100007F:1F91"));
}

TEST(lists_of_ports)
{
    EXPECT_EQ(machine_count_ports("", 1, 65535), 0);
    EXPECT_EQ(machine_count_ports("8080\n", 1, 65535), 1);
    EXPECT_EQ(machine_count_ports("8080,40000-40009,50000", 32768, 60999), 11);
    EXPECT_EQ(machine_count_ports("40000-40009", 40005, 40005), 1);
    EXPECT_EQ(machine_count_ports("40000-40009", 40010, 40010), 0);
}

static bool meet(const struct diag_socket *s, int family, uint32_t v4, bool v6only)
{
    struct in6_addr a = {.s6_addr32[0] = family == AF_INET ? htonl(v4) : 0};

    return socket_overlaps(s, family, &a, v6only);
}

TEST(addresses_that_meet_as_bind_has_it)
{
    struct diag_socket one = {.family = AF_INET, .state = DIAG_LISTEN, .port = 80};
    struct diag_socket any6 = {.family = AF_INET6};
    struct diag_socket only6 = {.family = AF_INET6, .v6only = true};

    one.addr.s6_addr32[0] = htonl(0x0a000001);
    EXPECT(meet(&one, AF_INET, 0x0a000001, false));
    EXPECT(!meet(&one, AF_INET, 0x0a000002, false));
    EXPECT(meet(&one, AF_INET, 0, false));
    EXPECT(meet(&one, AF_INET6, 0, false));
    EXPECT(!meet(&one, AF_INET6, 0, true));
    EXPECT(meet(&any6, AF_INET, 0x0a000002, false));
    EXPECT(!meet(&only6, AF_INET, 0x0a000002, false));
    EXPECT(meet(&only6, AF_INET6, 0, false));
    EXPECT(meet(&one, 0, 0, false));
}
