/* addr.c - address texts: what stoa_addr_parse() takes, what it refuses, and the way back.
 *
 * The dangers: a number that others read otherwise (127.1, 0177.0.0.1, 2130706433), a
 * port or a zone that is lost on the way, a path cut short, a byte in an abstract name
 * that a terminal obeys.  So: a table of texts with the bytes they stand for, a table of
 * refused ones, and every good one must come back from its own text unchanged.
 */
#include "backends.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

static const struct {
    const char *text;
    int type;
    const char *host;
    int port;
} good_inet[] = {
    {"127.0.0.1:8081", 0, "127.0.0.1", 8081},
    {"0.0.0.0:0", 0, "0.0.0.0", 0},
    {"255.255.255.255:65535", 0, "255.255.255.255", 65535},
    {"tcp://10.2.3.4:80", SOCK_STREAM, "10.2.3.4", 80},
    {"udp://10.2.3.4:53", SOCK_DGRAM, "10.2.3.4", 53},
};

TEST(ipv4_texts_are_read)
{
    for (size_t i = 0; i < sizeof(good_inet) / sizeof(good_inet[0]); i++) {
        struct stoa_addr a = {.len = 0};
        struct sockaddr_in in;
        char host[64];

        EXPECT_OK(stoa_addr_parse(&a, good_inet[i].text));
        memcpy(&in, &a.sa, sizeof(in));
        EXPECT_EQ(a.len, sizeof(in));
        EXPECT_EQ(in.sin_family, AF_INET);
        EXPECT_STR(inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host)), good_inet[i].host);
        EXPECT_EQ(ntohs(in.sin_port), good_inet[i].port);
        EXPECT_EQ(a.type, good_inet[i].type);
    }
}

static const struct {
    const char *text;
    int type;
    const char *host;
    int port;
    unsigned zone;
} good_inet6[] = {
    {"[::1]:8081", 0, "::1", 8081, 0},
    {"[::]:0", 0, "::", 0, 0},
    {"tcp://[2001:db8::7]:443", SOCK_STREAM, "2001:db8::7", 443, 0},
    {"udp://[::ffff:10.0.0.1]:53", SOCK_DGRAM, "::ffff:10.0.0.1", 53, 0},
    {"[fe80::1%1]:80", 0, "fe80::1", 80, 1},
    {"[fe80::1%lo]:80", 0, "fe80::1", 80, 1},
    {"tcp://[fe80::abcd%lo]:80", SOCK_STREAM, "fe80::abcd", 80, 1},
};

TEST(ipv6_texts_are_read_and_the_zone_is_kept)
{
    if (if_nametoindex("lo") != 1) {
        SKIP("no interface lo");
        return;
    }
    for (size_t i = 0; i < sizeof(good_inet6) / sizeof(good_inet6[0]); i++) {
        struct stoa_addr a = {.len = 0};
        struct sockaddr_in6 in6;
        char host[64];

        EXPECT_OK(stoa_addr_parse(&a, good_inet6[i].text));
        memcpy(&in6, &a.sa, sizeof(in6));
        EXPECT_EQ(a.len, sizeof(in6));
        EXPECT_EQ(in6.sin6_family, AF_INET6);
        EXPECT_STR(inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host)), good_inet6[i].host);
        EXPECT_EQ(ntohs(in6.sin6_port), good_inet6[i].port);
        EXPECT_EQ(in6.sin6_scope_id, good_inet6[i].zone);
        EXPECT_EQ(a.type, good_inet6[i].type);
    }
}

TEST(an_empty_host_is_an_address_with_the_port)
{
    struct stoa_addr a;

    EXPECT_OK(stoa_addr_parse(&a, ":8081"));
    EXPECT_EQ(port_of(&a), 8081);
    EXPECT(a.sa.ss_family == AF_INET6 || a.sa.ss_family == AF_INET);
    EXPECT_OK(stoa_addr_parse(&a, "tcp://:8081"));
    EXPECT_EQ(a.type, SOCK_STREAM);
    EXPECT_EQ(port_of(&a), 8081);
}

/* unix(7): a path ends with its 0; an abstract name with the length. */
TEST(unix_texts_are_read)
{
    struct stoa_addr a;
    struct sockaddr_un un;
    const socklen_t head = offsetof(struct sockaddr_un, sun_path);

    EXPECT_OK(stoa_addr_parse(&a, "unix:/run/x"));
    memcpy(&un, &a.sa, sizeof(un));
    EXPECT_EQ(un.sun_family, AF_UNIX);
    EXPECT_STR(un.sun_path, "/run/x");
    EXPECT_EQ(a.len, head + 7);

    EXPECT_OK(stoa_addr_parse(&a, "unix:@name"));
    memcpy(&un, &a.sa, sizeof(un));
    EXPECT_EQ(un.sun_family, AF_UNIX);
    EXPECT_EQ(memcmp(un.sun_path, "\0name", 5), 0);
    EXPECT_EQ(a.len, head + 5);

    EXPECT_OK(stoa_addr_parse(&a, "unix:"));
    EXPECT_EQ(a.sa.ss_family, AF_UNIX);
    EXPECT_EQ(a.len, head);
}

TEST(a_unix_path_may_have_107_bytes_and_no_more)
{
    struct stoa_addr a;
    struct sockaddr_un un;
    char text[128] = "unix:/";

    memset(text + 6, 'p', 106);
    EXPECT_OK(stoa_addr_parse(&a, text));
    memcpy(&un, &a.sa, sizeof(un));
    EXPECT_EQ(strnlen(un.sun_path, sizeof(un.sun_path)), 107);
    text[112] = 'p';
    EXPECT_ERR(stoa_addr_parse(&a, text), ENAMETOOLONG);
    EXPECT_SAID("107");

    text[5] = '@';
    text[112] = 0;
    EXPECT_OK(stoa_addr_parse(&a, text));
    EXPECT_EQ(a.len, offsetof(struct sockaddr_un, sun_path) + 107);
    memset(text + 6, 'p', 110);
    EXPECT_ERR(stoa_addr_parse(&a, text), ENAMETOOLONG);
}

TEST(texts_that_are_no_numeric_address_are_refused_with_a_sentence)
{
    static const char *const bad[] = {
        "127.1:80",
        "0177.0.0.1:80",
        "2130706433:80",
        "0x7f.0.0.1:80",
        "127.0.0.01:80",
        "1.2.3.4.5:80",
        "1.2.3:80",
        "256.0.0.1:80",
        "1.2.3.-4:80",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:+80",
        "1.2.3.4: 80",
        " 1.2.3.4:80",
        "1.2.3.4:80 ",
        "1.2.3.4:80x",
        "1.2.3.4:0x50",
        "1.2.3.4:",
        "1.2.3.4",
        "1..3.4:80",
        "1.2.3.4:99999999999999999999",
        "[::1]",
        "[::1]:",
        "[::1:80",
        "[::g]:80",
        "[1.2.3.4]:80",
        "[]:80",
        "[::1]80",
        "[1::2::3]:80",
        "[fe80::1%]:80",
        "[fe80::1%nosuchif0]:80",
        "",
        "tcp://",
        "tcp://1.2.3.4",
        "http://1.2.3.4:80",
        "tcp:1.2.3.4:80",
        "://1.2.3.4:80",
        "example.org:80",
        "localhost:80",
        "nosuchscheme://",
        "1.2.3.4:80:81",
        "::1",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct stoa_addr a;

        errno = 0;
        int rc = stoa_addr_parse(&a, bad[i]);
        if (rc != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "\"%s\": %d, errno %d", bad[i], rc, errno);
        if (strlen(stoa_errmsg()) < 10)
            t_fail(__FILE__, __LINE__, "\"%s\": the sentence is \"%s\"", bad[i], stoa_errmsg());
        if (bad[i][0] && !said(bad[i]))
            t_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", bad[i], stoa_errmsg());
    }
}

static void goes_there_and_back(const char *text)
{
    struct stoa_addr a, b;
    struct text first, second;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    if (stoa_addr_parse(&a, text) < 0) {
        t_fail(__FILE__, __LINE__, "\"%s\": %s", text, stoa_errmsg());
        return;
    }
    EXPECT(stoa_addr_text(&a, first.c, sizeof(first.c)) == first.c);
    if (stoa_addr_parse(&b, first.c) < 0)
        t_fail(__FILE__, __LINE__, "\"%s\" became \"%s\": %s", text, first.c, stoa_errmsg());
    if (a.len != b.len || memcmp(&a.sa, &b.sa, a.len) != 0 || a.type != b.type)
        t_fail(__FILE__, __LINE__, "\"%s\" became \"%s\", and that something else", text, first.c);
    EXPECT_STR(stoa_addr_text(&b, second.c, sizeof(second.c)), first.c);
}

TEST(every_address_survives_being_written_and_read)
{
    static const char *const others[] = {
        "unix:/run/x",      "unix:relative/path", "unix:@name",        "unix:@", "unix:", ":8081",
        "unix:/with space", "unix:/caf\xc3\xa9",  "[ff02::1%lo]:5353",
    };

    for (size_t i = 0; i < sizeof(good_inet) / sizeof(good_inet[0]); i++)
        goes_there_and_back(good_inet[i].text);
    for (size_t i = 0; i < sizeof(good_inet6) / sizeof(good_inet6[0]); i++)
        goes_there_and_back(good_inet6[i].text);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        goes_there_and_back(others[i]);
}

TEST(usual_texts_stay_as_they_are)
{
    static const char *const usual[] = {
        "127.0.0.1:8081", "[::1]:8081", "tcp://127.0.0.1:80", "udp://[::1]:53", "unix:/run/x",
        "unix:@name",     "unix:",
    };

    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        struct stoa_addr a;
        struct text t;

        EXPECT_OK(stoa_addr_parse(&a, usual[i]));
        EXPECT_STR(stoa_addr_text(&a, t.c, sizeof(t.c)), usual[i]);
    }
}

/* An abstract name is any bytes (unix(7)): the text shows them harmlessly and whole. */
TEST(bytes_that_a_terminal_obeys_are_written_as_hex)
{
    struct stoa_addr a = {.len = 0}, b;
    struct text t;
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    memcpy(un.sun_path, "\0a\x1b[31m\0\n\x7f\x9b", 10);
    memcpy(&a.sa, &un, sizeof(un));
    a.len = offsetof(struct sockaddr_un, sun_path) + 10;
    stoa_addr_text(&a, t.c, sizeof(t.c));
    EXPECT(strstr(t.c, "\\x1b") || strstr(t.c, "\\x1B"));
    for (const char *p = t.c; *p; p++)
        EXPECT(*p >= 32 && *p < 127);
    EXPECT_OK(stoa_addr_parse(&b, t.c));
    EXPECT_EQ(a.len, b.len);
    EXPECT_EQ(memcmp(&a.sa, &b.sa, a.len), 0);
}

TEST(the_longest_text_fits_and_a_short_buffer_cuts)
{
    struct stoa_addr a = {.len = sizeof(struct sockaddr_un)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char buf[STOA_ADDR_TEXT_MAX + 1], small[8];

    memset(un.sun_path, 'p', sizeof(un.sun_path));
    un.sun_path[0] = 0;
    memcpy(&a.sa, &un, sizeof(un));
    memset(buf, 'x', sizeof(buf));
    stoa_addr_text(&a, buf, STOA_ADDR_TEXT_MAX);
    EXPECT_EQ(strlen(buf), strlen("unix:@") + 107);
    EXPECT_EQ(buf[STOA_ADDR_TEXT_MAX], 'x');

    memset(small, 'x', sizeof(small));
    EXPECT(stoa_addr_text(&a, small, 7) == small);
    EXPECT_EQ(strlen(small), 6);
    EXPECT_EQ(small[7], 'x');
    EXPECT_EQ(memcmp(small, "unix:@", 6), 0);
}

TEST(no_address_has_a_text_too)
{
    struct stoa_addr a = {.len = 0};
    struct text t;

    EXPECT_STR(stoa_addr_text(&a, t.c, sizeof(t.c)), "-");
    a.sa.ss_family = AF_UNIX;
    a.len = sizeof(sa_family_t);
    EXPECT_STR(stoa_addr_text(&a, t.c, sizeof(t.c)), "unix:");
}
