/* addr.c - addresses come out as the kernel has them, and back from their texts.
 *
 * The dangers: a zone that is lost, an address whose text leads elsewhere or moves the
 * reader's cursor, a text longer than is promised.  The ways: a table of how each kind is
 * written, random addresses of all families there and back, and a network of our own whose
 * interface has the strangest names.
 */
#include "net/addr.h"
#include "base/limits.h"
#include "t.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define A10  "aaaaaaaaaa"
#define A107 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10 "aaaaaaa"

/* As stoa_addr_parse() will do it: 0, 1 or a negative errno. */
static int parse(struct stoa_addr *a, const char *text, int family)
{
    struct addr_parts p;
    char why[DETAIL_MAX];
    int rc = addr_split(&p, text, why, sizeof(why));

    return rc < 0 ? rc : addr_numeric(a, &p, family);
}

static const char *text_of(const struct stoa_addr *a)
{
    static char text[STOA_ADDR_TEXT_MAX];

    return stoa_addr_text(a, text, sizeof(text));
}

TEST(numeric_texts_are_written_in_one_way)
{
    static const struct {
        const char *text, *written; /* NULL: the same */
        int family, type;
    } rows[] = {
        {"127.0.0.1:8081", NULL, AF_INET, 0},
        {"tcp://127.0.0.1:8081", NULL, AF_INET, SOCK_STREAM},
        {"udp://255.255.255.255:65535", NULL, AF_INET, SOCK_DGRAM},
        {"UDP://1.2.3.4:5", "udp://1.2.3.4:5", AF_INET, SOCK_DGRAM},
        {"0.0.0.0:0", NULL, AF_INET, 0},
        {"[::1]:80", NULL, AF_INET6, 0},
        {"tcp://[::]:0", NULL, AF_INET6, SOCK_STREAM},
        {":8081", "[::]:8081", AF_INET6, 0},
        {"*:8081", "[::]:8081", AF_INET6, 0},
        {"udp://:53", "udp://[::]:53", AF_INET6, SOCK_DGRAM},
        /* RFC 5952 4 and 5 */
        {"[2001:DB8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1", AF_INET6, 0},
        {"[2001:0db8:0:1:1:1:1:1]:1", "[2001:db8:0:1:1:1:1:1]:1", AF_INET6, 0},
        {"[1:0:0:2:0:0:0:3]:1", "[1:0:0:2::3]:1", AF_INET6, 0},
        {"[::ffff:1.2.3.4]:1", NULL, AF_INET6, 0},
        {"[::FFFF:102:304]:1", "[::ffff:1.2.3.4]:1", AF_INET6, 0},
        {"[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1", AF_INET6, 0},
        /* zones */
        {"[fe80::1%lo]:80", NULL, AF_INET6, 0},
        {"[fe80::1%1]:80", "[fe80::1%lo]:80", AF_INET6, 0},
        {"[fe80::1%4294967295]:80", NULL, AF_INET6, 0},
        {"udp://[ff02::fb%lo]:5353", NULL, AF_INET6, SOCK_DGRAM},
        {"[fe80::1%0]:80", "[fe80::1]:80", AF_INET6, 0},
        /* UNIX */
        {"unix:/run/x", NULL, AF_UNIX, 0},
        {"UNIX:/run/X", "unix:/run/X", AF_UNIX, 0},
        {"unix:///run/x", "unix:/run/x", AF_UNIX, 0},
        {"unix:////run/x", "unix:/\\x2frun/x", AF_UNIX, 0},
        {"unix:sock", NULL, AF_UNIX, 0},
        {"unix:./x", NULL, AF_UNIX, 0},
        {"unix:80", NULL, AF_UNIX, 0},
        {"unix:a b:c\"d", NULL, AF_UNIX, 0},
        {"unix:/\xe4\xbd\xa0", NULL, AF_UNIX, 0},
        {"unix:/\x1b[2J\x9b\n", "unix:/\\x1b[2J\\x9b\\x0a", AF_UNIX, 0},
        {"unix:\\x40x", NULL, AF_UNIX, 0},
        {"unix:a\\x5Cb", "unix:a\\x5cb", AF_UNIX, 0},
        {"unix:@name", NULL, AF_UNIX, 0},
        {"unix:@", NULL, AF_UNIX, 0},
        {"unix:@@/x", NULL, AF_UNIX, 0},
        {"unix:@a\\x00\\xFf", "unix:@a\\x00\\xff", AF_UNIX, 0},
        {"unix:", NULL, AF_UNIX, 0},
        {"unix:///", "unix:/", AF_UNIX, 0},
        {"unix:" A107, NULL, AF_UNIX, 0},
        {"unix:@" A107, NULL, AF_UNIX, 0},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stoa_addr a, again;

        EXPECT_EQ(parse(&a, rows[i].text, AF_UNSPEC), 0);
        EXPECT_STR(text_of(&a), rows[i].written ? rows[i].written : rows[i].text);
        EXPECT_EQ(a.sa.ss_family, rows[i].family);
        EXPECT_EQ(a.type, rows[i].type);
        EXPECT_EQ(parse(&again, text_of(&a), rows[i].family), 0);
        EXPECT_EQ(memcmp(&a, &again, sizeof(a)), 0);
    }
}

TEST(an_address_has_the_form_of_the_kernel)
{
    struct stoa_addr a;
    struct sockaddr_in *sin = (struct sockaddr_in *)&a.sa;
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&a.sa;
    struct sockaddr_un *un = (struct sockaddr_un *)&a.sa;

    EXPECT_EQ(parse(&a, "1.2.3.4:258", AF_UNSPEC), 0);
    EXPECT_EQ(a.len, sizeof(*sin));
    EXPECT_EQ(sin->sin_port, htons(258));
    EXPECT_EQ(sin->sin_addr.s_addr, htonl(0x01020304));

    EXPECT_EQ(parse(&a, "[fe80::1%lo]:258", AF_UNSPEC), 0);
    EXPECT_EQ(a.len, sizeof(*sin6));
    EXPECT_EQ(sin6->sin6_port, htons(258));
    EXPECT_EQ(sin6->sin6_scope_id, if_nametoindex("lo"));
    EXPECT_EQ(sin6->sin6_addr.s6_addr[15], 1);

    EXPECT_EQ(parse(&a, "unix:/x", AF_UNSPEC), 0);
    EXPECT_EQ(a.len, offsetof(struct sockaddr_un, sun_path) + sizeof("/x"));
    EXPECT_STR(un->sun_path, "/x");

    EXPECT_EQ(parse(&a, "unix:@x\\x00y", AF_UNSPEC), 0);
    EXPECT_EQ(a.len, offsetof(struct sockaddr_un, sun_path) + 4);
    EXPECT_EQ(memcmp(un->sun_path, "\0x\0y", 4), 0);

    EXPECT_EQ(parse(&a, "unix:", AF_UNSPEC), 0);
    EXPECT_EQ(a.len, offsetof(struct sockaddr_un, sun_path));
}

TEST(an_address_of_another_family_is_refused)
{
    static const struct {
        const char *text;
        int family, rc;
    } rows[] = {
        {"1.2.3.4:1", AF_INET, 0},
        {"1.2.3.4:1", AF_INET6, -EAFNOSUPPORT},
        {"1.2.3.4:1", AF_UNIX, -EAFNOSUPPORT},
        {"[::1]:1", AF_INET6, 0},
        {"[::1]:1", AF_INET, -EAFNOSUPPORT},
        {"[::1]:http", AF_INET, -EAFNOSUPPORT},
        {"localhost:1", AF_INET, 1},
        {"localhost:1", AF_UNIX, -EAFNOSUPPORT},
        {":1", AF_UNIX, -EAFNOSUPPORT},
        {"unix:/x", AF_UNIX, 0},
        {"unix:/x", AF_INET, -EAFNOSUPPORT},
        {"unix:", AF_INET6, -EAFNOSUPPORT},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stoa_addr a;

        EXPECT_EQ(parse(&a, rows[i].text, rows[i].family), rows[i].rc);
    }
}

TEST(no_host_is_every_address_and_reached_by_the_loopback_one)
{
    static const struct {
        const char *text;
        int family;
        const char *any, *loopback;
    } rows[] = {
        {":80", AF_UNSPEC, "[::]:80", "[::1]:80"},
        {":80", AF_INET6, "[::]:80", "[::1]:80"},
        {"udp://*:80", AF_INET, "udp://0.0.0.0:80", "udp://127.0.0.1:80"},
        {"0.0.0.0:80", AF_UNSPEC, "0.0.0.0:80", "127.0.0.1:80"},
    };
    struct stoa_addr a;

    for (size_t i = 0; i < COUNT(rows); i++) {
        EXPECT_EQ(parse(&a, rows[i].text, rows[i].family), 0);
        EXPECT_STR(text_of(&a), rows[i].any);
        EXPECT(addr_is_any(&a));
        addr_loopback(&a);
        EXPECT(!addr_is_any(&a));
        EXPECT_STR(text_of(&a), rows[i].loopback);
    }
    EXPECT_EQ(parse(&a, "unix:", AF_UNSPEC), 0);
    EXPECT(!addr_is_any(&a));
    addr_loopback(&a);
    EXPECT_STR(text_of(&a), "unix:");
}

static uint64_t chance = 8081;

/* A number below n.  xorshift64*, by Vigna. */
static uint32_t any_of(uint32_t n)
{
    chance ^= chance >> 12;
    chance ^= chance << 25;
    chance ^= chance >> 27;
    return (uint32_t)(chance * 0x2545f4914f6cdd1d >> 32) % n;
}

static void any_bytes(void *to, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((unsigned char *)to)[i] = (unsigned char)any_of(256);
}

static void any_ipv4(struct stoa_addr *a)
{
    struct sockaddr_in *sin = (struct sockaddr_in *)&a->sa;

    sin->sin_family = AF_INET;
    any_bytes(&sin->sin_addr, sizeof(sin->sin_addr));
    any_bytes(&sin->sin_port, sizeof(sin->sin_port));
    a->len = sizeof(*sin);
    a->type = (int[]){0, SOCK_STREAM, SOCK_DGRAM}[any_of(3)];
}

static void any_ipv6(struct stoa_addr *a)
{
    struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&a->sa;

    sin6->sin6_family = AF_INET6;
    any_bytes(&sin6->sin6_port, sizeof(sin6->sin6_port));
    for (size_t i = 0; i < 16; i++)
        sin6->sin6_addr.s6_addr[i] = (uint8_t)(any_of(2) ? 0 : any_of(256));
    if (any_of(4) == 0)
        memcpy(&sin6->sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
    if (any_of(4) == 0)
        sin6->sin6_scope_id = any_of(2) ? any_of(8) : any_of(UINT32_MAX);
    a->len = sizeof(*sin6);
    a->type = (int[]){0, SOCK_STREAM, SOCK_DGRAM}[any_of(3)];
}

static void any_unix(struct stoa_addr *a)
{
    static const char strange[] = "/@\\x04:%[]\"' \n\x1b\x9b\xc2\xe4\xbd\xa0";
    struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
    size_t len = any_of(4) ? any_of(UNIX_NAME_MAX_LEN + 1) : any_of(4);
    bool abstract = any_of(2);

    un->sun_family = AF_UNIX;
    a->len = offsetof(struct sockaddr_un, sun_path);
    if (!len && !abstract)
        return;
    a->len += (socklen_t)len + 1;
    for (size_t i = 0; i < len; i++) {
        char c = any_of(2) ? strange[any_of(sizeof(strange) - 1)] : (char)any_of(256);

        un->sun_path[i + abstract] = c || abstract ? c : 'x';
    }
}

TEST(random_addresses_come_back_from_their_text)
{
    static void (*const makers[])(struct stoa_addr * a) = {any_ipv4, any_ipv6, any_unix};

    for (int i = 0; i < 30000; i++) {
        struct stoa_addr a = {0}, again;
        char text[STOA_ADDR_TEXT_MAX];
        size_t len;

        makers[i % 3](&a);
        stoa_addr_text(&a, text, sizeof(text));
        len = strlen(text);
        for (size_t k = 0; k < len; k++)
            if ((unsigned char)text[k] < 0x20 || text[k] == 0x7f)
                t_fail(__FILE__, __LINE__, "a control in the text: %d", text[k]);
        if (parse(&again, text, AF_UNSPEC) != 0 || memcmp(&a, &again, sizeof(a)) != 0 ||
            !addr_equal(&a, &again))
            t_fail(__FILE__, __LINE__, "%s comes back as %s", text, text_of(&again));
        if (len >= STOA_ADDR_TEXT_MAX - 1)
            t_fail(__FILE__, __LINE__, "%s was cut", text);
    }
}

TEST(ipv6_is_written_as_inet_ntop_does)
{
    for (int i = 0; i < 10000; i++) {
        struct stoa_addr a = {0};
        char host[INET6_ADDRSTRLEN], text[STOA_ADDR_TEXT_MAX];
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&a.sa;

        any_ipv6(&a);
        a.type = 0;
        sin6->sin6_scope_id = 0;
        inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host));
        snprintf(text, sizeof(text), "[%s]:%d", host, ntohs(sin6->sin6_port));
        EXPECT_STR(text_of(&a), text);
    }
}

TEST(a_text_is_cut_to_the_room_there_is)
{
    struct stoa_addr a;
    char text[8] = "#######";

    EXPECT_EQ(parse(&a, "127.0.0.1:80", AF_UNSPEC), 0);
    EXPECT(stoa_addr_text(&a, text, sizeof(text)) == text);
    EXPECT_STR(text, "127.0.0");
    EXPECT(stoa_addr_text(&a, text, 0) == text);
    EXPECT_STR(text, "127.0.0");
}

TEST(what_is_no_address_has_a_text_too)
{
    struct stoa_addr a = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&a.sa;

    EXPECT_STR(text_of(&a), "-");
    a.sa.ss_family = AF_UNIX;
    EXPECT_STR(text_of(&a), "unix:");
    a.sa.ss_family = AF_INET6; /* an IPv6 address with the length of an IPv4 one */
    a.len = sizeof(struct sockaddr_in);
    EXPECT_STR(text_of(&a), "-");
    a.sa.ss_family = AF_INET;
    a.len--;
    EXPECT_STR(text_of(&a), "-");
    a.sa.ss_family = AF_NETLINK;
    EXPECT_STR(text_of(&a), "-");

    /* A path of 108 control bytes with no 0 after it is the longest text of all. */
    a.sa.ss_family = AF_UNIX;
    memset(un->sun_path, '\x01', sizeof(un->sun_path));
    a.len = sizeof(*un);
    EXPECT_EQ(strlen(text_of(&a)), strlen("unix:") + 4 * 108);
    a.len = UINT32_MAX;
    EXPECT_EQ(strlen(text_of(&a)), strlen("unix:") + 4 * 108);
}

TEST(equal_addresses_are_the_same_place)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {
        {"1.2.3.4:5", "tcp://1.2.3.4:5", true}, {"1.2.3.4:5", "1.2.3.4:6", false},
        {"1.2.3.4:5", "1.2.3.5:5", false},      {"1.2.3.4:5", "[::ffff:1.2.3.4]:5", false},
        {"[::1]:5", "[0::1]:5", true},          {"[::1]:5", "[::2]:5", false},
        {"[::1]:5", "[::1]:6", false},          {"[fe80::1%1]:5", "[fe80::1%2]:5", false},
        {"unix:/x", "unix:///x", true},         {"unix:/x", "unix:/y", false},
        {"unix:/x", "unix:/xy", false},         {"unix:x", "unix:@x", false},
        {"unix:@x", "unix:@x\\x00", false},     {"unix:", "unix:@", false},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct stoa_addr a, b;

        EXPECT_EQ(parse(&a, rows[i].a, AF_UNSPEC), 0);
        EXPECT_EQ(parse(&b, rows[i].b, AF_UNSPEC), 0);
        if (addr_equal(&a, &b) != rows[i].equal || addr_equal(&b, &a) != rows[i].equal)
            t_fail(__FILE__, __LINE__, "%s and %s", rows[i].a, rows[i].b);
    }
}

TEST(a_unix_path_is_the_same_with_and_without_its_0)
{
    struct stoa_addr a, b;

    EXPECT_EQ(parse(&a, "unix:/x", AF_UNSPEC), 0);
    b = a;
    b.len--;
    EXPECT(addr_equal(&a, &b));
    EXPECT_EQ(parse(&a, "unix:", AF_UNSPEC), 0);
    b = a;
    b.len = 0;
    EXPECT(addr_equal(&a, &b));
}

TEST(a_zone_whose_name_cannot_be_looked_for_is_a_number)
{
    struct rlimit limit;
    struct stoa_addr a;

    EXPECT_EQ(parse(&a, "[fe80::1%lo]:80", AF_UNSPEC), 0);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_max = limit.rlim_max}) != 0)
        abort();
    errno = 0;
    EXPECT_STR(text_of(&a), "[fe80::1%1]:80");
    EXPECT_EQ(errno, 0);
    setrlimit(RLIMIT_NOFILE, &limit);
}

TEST(a_length_beyond_the_address_is_not_believed)
{
    struct stoa_addr a = {.len = UINT32_MAX}, b;
    struct sockaddr_un *un = (struct sockaddr_un *)&a.sa;

    memset(&a.sa, 'x', sizeof(a.sa));
    a.sa.ss_family = AF_UNIX;
    b = a;
    EXPECT(addr_equal(&a, &b));
    EXPECT_EQ(strlen(text_of(&a)), strlen("unix:") + sizeof(a.sa) - 2);
    un->sun_path[0] = '\0';
    b = a;
    EXPECT(addr_equal(&a, &b));
    EXPECT_EQ(strlen(text_of(&a)), strlen("unix:@") + sizeof(a.sa) - 3);
}

/* In a network of our own: give its only interface a name and read its address back. */
static bool zone_comes_back(const char *name, const char *written)
{
    struct ifreq from = {.ifr_name = "lo"};
    struct stoa_addr a, again;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strncpy(from.ifr_newname, name, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCSIFNAME, &from) != 0)
        return false;
    bool good = parse(&a, "[fe80::1%1]:80", AF_UNSPEC) == 0 && strcmp(text_of(&a), written) == 0 &&
                parse(&again, text_of(&a), AF_UNSPEC) == 0 && addr_equal(&a, &again);
    strncpy(from.ifr_name, name, IFNAMSIZ - 1);
    strncpy(from.ifr_newname, "lo", IFNAMSIZ - 1);
    ioctl(fd, SIOCSIFNAME, &from);
    close(fd);
    return good;
}

TEST(a_zone_comes_back_from_the_strangest_interface)
{
    static const struct {
        const char *name, *written;
    } rows[] = {
        {"eth0.100", "[fe80::1%eth0.100]:80"},
        {"veth-a_b@c", "[fe80::1%veth-a_b@c]:80"},
        {"5", "[fe80::1%1]:80"},
        {"a]b", "[fe80::1%1]:80"},
        {"\x1b[2J", "[fe80::1%1]:80"},
        {"\xe4\xbd\xbd", "[fe80::1%1]:80"},
        {"5a", "[fe80::1%5a]:80"},
    };
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
            _exit(77);
        for (size_t i = 0; i < COUNT(rows); i++)
            if (!zone_comes_back(rows[i].name, rows[i].written))
                _exit((int)i + 1);
        _exit(0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) == 77)
        SKIP("needs a network namespace");
    else
        EXPECT_EQ(status, 0); /* 256 times the row's number */
}
