/* traps_address.c - trap 14: a socket that meets itself, and addresses that others read otherwise.
 *
 * The texts that are refused are in addr.c's table; here is that refused ones do not get to the
 * resolver by another door, and that a zone stays on its way through every call.
 */
#include "backends.h"

#include <net/if.h>
#include <netinet/in.h>

/* TCP's simultaneous open lets a socket bound to a port connect to that port. */
TEST(trap_14_a_socket_that_meets_itself_is_refused)
{
    static const enum kind kinds[] = {TCP4, TCP6};

    for (int i = 0; i < 2; i++) {
        int s = bound_make(kinds[i]);
        struct text self = self_text(s);
        struct stoa_addr a = self_addr(s);

        EXPECT_ERR(stoa_connect(s, self.c), EADDRNOTAVAIL);
        EXPECT_SAID("itself");
        EXPECT_OK(stoa_close(s));
        s = stoa_socket(kind_family(kinds[i]), SOCK_STREAM, 0);
        EXPECT_OK(stoa_bind(s, self.c));
        EXPECT_EQ(stoa_connect_ex(s, self.c), EADDRNOTAVAIL);
        EXPECT_OK(stoa_close(s));
        s = stoa_socket(kind_family(kinds[i]), SOCK_STREAM, 0);
        EXPECT_OK(stoa_bind_sa(s, (struct sockaddr *)&a.sa, a.len));
        EXPECT_ERR(stoa_connect_sa(s, (struct sockaddr *)&a.sa, a.len), EADDRNOTAVAIL);
        EXPECT_OK(stoa_close(s));
    }
}
ON_EVERY_BACKEND(trap_14_a_socket_that_meets_itself_is_refused)

TEST(trap_14_dial_does_not_meet_itself)
{
    int s = -1;

    do { /* unless another has the port by now */
        struct text there = free_there(TCP4);
        struct stoa_options o = {.size = sizeof(o), .from = there.c};

        s = stoa_dial(there.c, &o);
    } while (s < 0 && errno == EADDRINUSE);
    EXPECT_EQ(s, -1);
    EXPECT_EQ(errno, EADDRNOTAVAIL);
    EXPECT_SAID("itself");
}
ON_EVERY_BACKEND(trap_14_dial_does_not_meet_itself)

/* The same by chance: a client that tries and tries to reach a port of the ephemeral range
 * which nobody serves is given that port itself, once in some 28,000 times. */
TEST(trap_14_trying_again_and_again_does_not_meet_itself)
{
    struct text there = free_there(TCP4);

    for (int i = 0; i < 2000; i++) {
        int s = stoa_dial(there.c, NULL);
        if (s < 0 ? errno != ECONNREFUSED && errno != EADDRNOTAVAIL
                  : strcmp(self_text(s).c, there.c) == 0) {
            t_fail(__FILE__, __LINE__, "try %d: %d, errno %d", i, s, errno);
            break;
        }
        if (s >= 0) { /* another serves there by now */
            EXPECT_OK(stoa_close(s));
            there = free_there(TCP4);
        }
    }
}

/* A datagram socket may talk to itself: that is harmless and sometimes meant. */
TEST(trap_14_datagrams_to_oneself_are_allowed)
{
    int s = bound_make(UDP4);
    char c;

    EXPECT_OK(stoa_connect(s, self_text(s).c));
    EXPECT_EQ(stoa_send(s, "x", 1, 0), 1);
    EXPECT_EQ(stoa_recv(s, &c, 1, 0), 1);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_14_datagrams_to_oneself_are_allowed)

/* getaddrinfo(3) would take each of them for 127.0.0.1. */
TEST(trap_14_odd_numbers_are_not_given_to_the_resolver)
{
    static const char *const odd[] = {
        "127.1:80",      "0177.0.0.1:80", "2130706433:80", "0x7f000001:80",    "127.0.1:80",
        "0x7f.0.0.1:80", "127.0.0.01:80", "0:80",          "00000000177.1:80", "127.0.0.1.:80",
    };
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    struct stoa_addr a;

    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        if (stoa_resolve(odd[i], &a, 1) != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "resolve %s: errno %d", odd[i], errno);
        if (stoa_connect(s, odd[i]) != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "connect %s: errno %d", odd[i], errno);
        if (stoa_bind(s, odd[i]) != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "bind %s: errno %d", odd[i], errno);
        if (stoa_dial(odd[i], NULL) != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "dial %s: errno %d", odd[i], errno);
        if (stoa_announce(odd[i], NULL) != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "announce %s: errno %d", odd[i], errno);
    }
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(trap_14_odd_numbers_are_not_given_to_the_resolver)

/* Python's two-tuple loses the zone; here it goes through bind, getsockname and text. */
TEST(trap_14_a_zone_is_kept_all_the_way)
{
    struct stoa_addr a;
    struct sockaddr_in6 in6;
    struct text t;
    char zone[IF_NAMESIZE] = "";

    if (!if_indextoname(1, zone)) {
        SKIP("no interface 1");
        return;
    }
    char text[64];
    snprintf(text, sizeof(text), "[fe80::1%%%s]:8081", zone);
    EXPECT_OK(stoa_addr_parse(&a, text));
    stoa_addr_text(&a, t.c, sizeof(t.c));
    EXPECT_STR(t.c, text);
    EXPECT_EQ(stoa_resolve(text, &a, 1), 1);
    memcpy(&in6, &a.sa, sizeof(in6));
    EXPECT_EQ(in6.sin6_scope_id, 1);
}
ON_EVERY_BACKEND(trap_14_a_zone_is_kept_all_the_way)
