/* resolve.c - stoa_resolve(): names, services, the order, and what is said when there is none.
 *
 * Only names of the hosts file are asked for; whether an outer name service answers is
 * this machine's affair, so a name that cannot be (RFC 2606 .invalid) may fail in two ways.
 */
#include "backends.h"

#include <netinet/in.h>

TEST(numbers_resolve_to_themselves)
{
    struct stoa_addr list[4];

    EXPECT_EQ(stoa_resolve("tcp://127.0.0.1:8081", list, 4), 1);
    EXPECT_EQ(list[0].sa.ss_family, AF_INET);
    EXPECT_EQ(port_of(&list[0]), 8081);
    EXPECT_EQ(list[0].type, SOCK_STREAM);
    EXPECT_EQ(stoa_resolve("unix:@name", list, 4), 1);
    EXPECT_EQ(list[0].sa.ss_family, AF_UNIX);
}
ON_EVERY_BACKEND(numbers_resolve_to_themselves)

TEST(localhost_is_a_loopback_address)
{
    struct stoa_addr list[8];
    int n = stoa_resolve("localhost:8081", list, 8);

    EXPECT_GE(n, 1);
    EXPECT_LE(n, 8);
    for (int i = 0; i < n; i++) {
        struct text t;
        stoa_addr_text(&list[i], t.c, sizeof(t.c));
        EXPECT(strstr(t.c, "127.0.0.1:8081") || strstr(t.c, "[::1]:8081"));
    }
}
ON_EVERY_BACKEND(localhost_is_a_loopback_address)

TEST(no_more_addresses_than_there_is_room_for)
{
    struct stoa_addr list[2] = {{.len = 0}, {.len = 0, .type = 77}};

    EXPECT_EQ(stoa_resolve("localhost:80", list, 1), 1);
    EXPECT_EQ(list[1].type, 77);
    EXPECT_EQ(list[1].len, 0);
}
ON_EVERY_BACKEND(no_more_addresses_than_there_is_room_for)

TEST(services_have_names)
{
    struct stoa_addr a;

    if (stoa_resolve("127.0.0.1:http", &a, 1) == 1)
        EXPECT_EQ(port_of(&a), 80);
    else
        EXPECT_EQ(errno, ENOENT); /* no /etc/services here */
    EXPECT_ERR(stoa_resolve("127.0.0.1:nosuchservice-x", &a, 1), ENOENT);
    EXPECT_SAID("nosuchservice-x");
}
ON_EVERY_BACKEND(services_have_names)

TEST(a_name_that_cannot_be_is_ENOENT_or_EREMOTEIO)
{
    struct stoa_addr a;
    struct stoa_scope scope;

    stoa_within(&scope, 20);
    errno = 0;
    EXPECT_EQ(stoa_resolve("no-such-host.invalid:80", &a, 1), -1);
    EXPECT(errno == ENOENT || errno == EREMOTEIO || errno == ETIME);
    EXPECT_SAID("no-such-host.invalid");
    stoa_leave(&scope);
}
ON_EVERY_BACKEND(a_name_that_cannot_be_is_ENOENT_or_EREMOTEIO)

TEST(bad_texts_do_not_reach_the_name_service)
{
    struct stoa_addr a;
    char text[600];

    EXPECT_ERR(stoa_resolve("127.0.0.1:65536", &a, 1), EINVAL);
    EXPECT_ERR(stoa_resolve("127.1:80", &a, 1), EINVAL);
    EXPECT_ERR(stoa_resolve("2130706433:80", &a, 1), EINVAL);
    EXPECT_ERR(stoa_resolve("", &a, 1), EINVAL);
    memset(text, 'a', sizeof(text));
    memcpy(text + sizeof(text) - 4, ":80", 4);
    errno = 0;
    EXPECT_EQ(stoa_resolve(text, &a, 1), -1);
    EXPECT(errno == EINVAL || errno == ENAMETOOLONG || errno == ENOENT);
    memset(text, 'a', sizeof(text));
    memcpy(text, "unix:/", 6);
    text[sizeof(text) - 1] = 0;
    EXPECT_ERR(stoa_resolve(text, &a, 1), ENAMETOOLONG);
}
ON_EVERY_BACKEND(bad_texts_do_not_reach_the_name_service)

TEST(a_scope_that_is_over_ends_a_look_up_and_keeps_numbers_working)
{
    struct stoa_addr a;
    struct stoa_scope scope;

    stoa_within(&scope, 0);
    EXPECT_ERR(stoa_resolve("no-such-host.invalid:80", &a, 1), ETIME);
    EXPECT_EQ(stoa_resolve("127.0.0.1:80", &a, 1), 1);
    EXPECT_ERR(stoa_leave(&scope), ETIME);
}
ON_EVERY_BACKEND(a_scope_that_is_over_ends_a_look_up_and_keeps_numbers_working)

static int turns(void *arg)
{
    atomic_int *n = arg;

    while (atomic_load(n) >= 0) {
        atomic_fetch_add(n, 1);
        if (stoa_sleep(0.0005) < 0)
            return -1;
    }
    return 0;
}

/* getaddrinfo(3) blocks its thread: the other fibers must run meanwhile. */
FIBER_TEST(a_look_up_does_not_stop_the_worker)
{
    struct stoa_addr a;
    atomic_int n = 0;
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, turns, &n));
    EXPECT_GE(stoa_resolve("localhost:80", &a, 1), 1);
    EXPECT_GE(atomic_load(&n), 1);
    atomic_store(&n, -1000000000);
    EXPECT_OK(stoa_group_join(g));
}
