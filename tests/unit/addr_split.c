/* addr_split.c - an address text is what it says, or is refused with the reason.
 *
 * The dangers: a text that one program reads as another address than the next (127.1), a
 * refusal that does not help, a read beyond the text's end.  The ways: a table of what is
 * accepted, one of every refusal with its exact words, and every text, whole and cut at each
 * of its bytes, flush against a page that cannot be touched.
 */
#include "base/limits.h"
#include "net/addr.h"
#include "t.h"
#include "wall.h"

#include <sys/resource.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define A10  "aaaaaaaaaa"
#define A50  A10 A10 A10 A10 A10
#define A100 A50 A50
#define A107 A100 "aaaaaaa"
#define A253 A100 A100 A50 "aaa"

static int split(struct addr_parts *p, const char *text, char *why)
{
    return addr_split(p, at_the_wall(text, strlen(text)), why, DETAIL_MAX);
}

TEST(names_go_through_to_be_looked_up)
{
    static const struct {
        const char *text, *host, *service;
        int port, family;
    } rows[] = {
        {"localhost:8081", "localhost", "8081", 8081, AF_UNSPEC},
        {"tcp://example.org.:http", "example.org.", "http", -1, AF_UNSPEC},
        {"127.0.0.1:http", "127.0.0.1", "http", -1, AF_INET},
        {"[::1]:z39.50_a-b+", "::1", "z39.50_a-b+", -1, AF_INET6},
        {":http", "", "http", -1, AF_UNSPEC},
        {"*:8081x", "", "8081x", -1, AF_UNSPEC},
        {"b\xc3\xbc"
         "cher.example:80",
         "b\xc3\xbc"
         "cher.example",
         "80", 80, AF_UNSPEC},
        {"_my-host:80", "_my-host", "80", 80, AF_UNSPEC},
        {"1.2.3.4.example:80", "1.2.3.4.example", "80", 80, AF_UNSPEC},
        {"0x7f.0x1x:80", "0x7f.0x1x", "80", 80, AF_UNSPEC},
        {"0x:80", "0x", "80", 80, AF_UNSPEC},
        {"tcp:80", "tcp", "80", 80, AF_UNSPEC},
        {"udp://unix:80", "unix", "80", 80, AF_UNSPEC},
        {A253 ":1", A253, "1", 1, AF_UNSPEC},
        {A253 ".:1", A253 ".", "1", 1, AF_UNSPEC},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr_parts p;
        char why[DETAIL_MAX] = "untouched";
        struct stoa_addr a = {.len = 77};

        EXPECT_EQ(split(&p, rows[i].text, why), 0);
        EXPECT_STR(why, "");
        EXPECT_STR(p.host, rows[i].host);
        EXPECT_STR(p.service, rows[i].service);
        EXPECT_EQ(p.port, rows[i].port);
        EXPECT_EQ(p.family, rows[i].family);
        EXPECT_EQ(addr_numeric(&a, &p, AF_UNSPEC), 1);
        EXPECT_EQ(a.len, 77);
    }
}

TEST(a_descriptor_is_no_address)
{
    struct addr_parts p;
    char why[DETAIL_MAX];
    struct stoa_addr a;

    EXPECT_EQ(split(&p, "fd:2147483647", why), 0);
    EXPECT_EQ(p.scheme, ADDR_FD);
    EXPECT_EQ(p.fd, 2147483647);
    EXPECT_EQ(addr_numeric(&a, &p, AF_UNSPEC), -EINVAL);
    EXPECT_EQ(split(&p, "127.0.0.1:80", why), 0);
    EXPECT_EQ(p.fd, -1);
}

/* -------------------------------------------------------------------------
 * What is refused, and in which words
 * ---------------------------------------------------------------------- */

static const struct refusal {
    const char *text, *why;
} refusals[] = {
    /* no port */
    {"", "the address is empty: write HOST:PORT"},
    {"tcp://", "the address is empty: write HOST:PORT"},
    {"127.0.0.1", "no port: write 127.0.0.1:PORT"},
    {"127.0.0.1:", "no port: write 127.0.0.1:PORT"},
    {"localhost", "no port: write localhost:PORT"},
    {"[::1]", "no port: write [::1]:PORT"},
    {"[::1]:", "no port: write [::1]:PORT"},
    {":", "no port: write :PORT"},
    {"*", "no port: write *:PORT"},
    {A100, "no port: write HOST:PORT"},
    {"8081", "a port needs a \":\" before it: write :8081"},
    /* the port */
    {":99999", "the port \"99999\" is above 65535"},
    {"127.0.0.1:65536", "the port \"65536\" is above 65535"},
    {"[::1]:99999999999999999999", "the port \"99999999999999999999\" is above 65535"},
    {":18446744073709551696", "the port \"18446744073709551696\" is above 65535"}, /* 2^64 + 80 */
    {":080", "the port \"080\" begins with a 0: write it without"},
    {":00", "the port \"00\" begins with a 0: write it without"},
    {":-1", "the port \"-1\" is no number and no service's name"},
    {":+80", "the port \"+80\" is no number and no service's name"},
    {":-http", "the port \"-http\" is no number and no service's name"},
    {": 80", "the port \" 80\" is no number and no service's name"},
    {":80 ", "the port \"80 \" is no number and no service's name"},
    {":8_0", "the port \"8_0\" is no number and no service's name"},
    {"tcp://h:80/x", "the port \"80/x\" is no number and no service's name"},
    {"h:\x1b[2J", "the port \"\\x1b[2J\" is no number and no service's name"},
    {":" A10 A10 A10 "aa", "the service's name has 32 bytes, over 31"},
    /* the scheme */
    {"tls://h:443", "\"tls\" is not a scheme known here (tcp, udp, unix, fd)"},
    {"http://h:80/", "\"http\" is not a scheme known here (tcp, udp, unix, fd)"},
    {"tcp4://h:80/", "\"tcp4\" is not a scheme known here (tcp, udp, unix, fd)"},
    {"tcp:127.0.0.1:80", "a scheme ends in \"://\": write tcp://127.0.0.1:80"},
    {"UDP:[::1]:80", "a scheme ends in \"://\": write UDP://[::1]:80"},
    {"/run/x", "a UNIX path needs its scheme: write unix:/run/x"},
    {"./x:1", "a UNIX path needs its scheme: write unix:/run/x"},
    {"../x", "a UNIX path needs its scheme: write unix:/run/x"},
    {"@x", "an abstract name needs its scheme: write unix:@x"},
    /* IPv4 */
    {"127.1:80", "the host \"127.1\" is not a whole IPv4 address: write 127.0.0.1"},
    {"2130706433:80", "the host \"2130706433\" is not a whole IPv4 address: write 127.0.0.1"},
    {"0x7f000001:80", "the host \"0x7f000001\" is not a whole IPv4 address: write 127.0.0.1"},
    {"0X7F000001:80", "the host \"0X7F000001\" is not a whole IPv4 address: write 127.0.0.1"},
    {"0X7f.1:80", "the host \"0X7f.1\" is not a whole IPv4 address: write 127.0.0.1"},
    {"0x7f.0.0.1:80", "the host \"0x7f.0.0.1\" is not a whole IPv4 address: write 127.0.0.1"},
    {"0:80", "the host \"0\" is not a whole IPv4 address: write 0.0.0.0"},
    {"0177.0.0.1:80", "the host \"0177.0.0.1\" has a number that begins with a 0, which some "
                      "read as octal: write it without"},
    {"10.0.0.01:80", "the host \"10.0.0.01\" has a number that begins with a 0, which some "
                     "read as octal: write it without"},
    {"256.0.0.1:80", "the host \"256.0.0.1\" is not an IPv4 address: those are four numbers "
                     "from 0 to 255"},
    {"1.2.3.4.5:80", "the host \"1.2.3.4.5\" is not an IPv4 address: those are four numbers "
                     "from 0 to 255"},
    {"127.0.0.1.:80", "the host \"127.0.0.1.\" is not an IPv4 address: those are four numbers "
                      "from 0 to 255"},
    {"example.0x1f:80", "the host \"example.0x1f\" is not an IPv4 address: those are four "
                        "numbers from 0 to 255"},
    /* IPv6 */
    {"::1", "an IPv6 address needs brackets: [::1]:PORT"},
    {"fe80::1%lo", "an IPv6 address needs brackets: [fe80::1%lo]:PORT"},
    {"::1:", "an IPv6 address needs brackets: [::1]:PORT"},
    {"::1:80", "an IPv6 address needs brackets: [::1]:80"},
    {"fe80::1%lo:http", "an IPv6 address needs brackets: [fe80::1%lo]:http"},
    {"tcp://2001:db8:0:0:0:0:0:1", "an IPv6 address needs brackets: [2001:db8:0:0:0:0:0:1]:PORT"},
    {"::", "an IPv6 address needs brackets: [::]:PORT"},
    {"a:b:c", "\"a:b:c\" has more than one \":\", but one before the port"},
    {"::1::80", "\"::1::80\" has more than one \":\", but one before the port"},
    {"[::1", "no \"]\" after the IPv6 address: write [::1]:PORT"},
    {"[::1]80", "after the \"]\" comes \"80\", not a port: write [::1]:PORT"},
    {"[localhost]:80", "the brackets hold \"localhost\": only an IPv6 address is written in them"},
    {"[127.0.0.1]:80", "the brackets hold \"127.0.0.1\": only an IPv6 address is written in them"},
    {"[]:80", "the brackets hold \"\": only an IPv6 address is written in them"},
    {"[::1::]:80", "the brackets hold \"::1::\": only an IPv6 address is written in them"},
    {"[::ffff:1.2.3.04]:80",
     "the brackets hold \"::ffff:1.2.3.04\": only an IPv6 address is written in them"},
    /* zones */
    {"[fe80::1%nowhere]:80", "the zone \"nowhere\" is no interface of this machine"},
    {"[fe80::1%]:80", "the zone \"\" is no interface of this machine"},
    {"[fe80::1%25lo]:80", "the zone \"25lo\" is no interface of this machine"},
    {"[fe80::1%01]:80", "the zone \"01\" is no interface of this machine"},
    {"[fe80::1%4294967296]:80", "the zone \"4294967296\" is no interface of this machine"},
    {"[fe80::1%" A10 "aaaaaa]:80", "the zone \"aaaaaaaaaaaaaaaa\" is no interface of this machine"},
    /* names */
    {"my host:80", "the host \"my host\" has a \" \" in it"},
    {"h%lo:80", "the host \"h%lo\" has a \"%\" in it"},
    {"h\\x00:80", "the host \"h\\x00\" has a \"\\\" in it"},
    {"user@h:80", "the host \"user@h\" has a \"@\" in it"},
    {"h\x7f:80", "the host \"h\\x7f\" has a \"\\x7f\" in it"},
    {"a..b:80", "the host \"a..b\" has nothing between two dots"},
    {".:80", "the host \".\" has nothing between two dots"},
    {"a" A253 ":80", "the host has 254 bytes, over 253"},
    {"a" A253 ".:80", "the host has 255 bytes, over 254"},
    /* unix: and fd: */
    {"unix:a\\", "a backslash that begins no \\xHH: write \\x5c for itself"},
    {"unix:a\\\\b", "a backslash that begins no \\xHH: write \\x5c for itself"},
    {"unix:a\\x4", "a backslash that begins no \\xHH: write \\x5c for itself"},
    {"unix:a\\x4g", "a backslash that begins no \\xHH: write \\x5c for itself"},
    {"unix:a\\x00b", "\\x00 in a path: only an abstract name can have it"},
    {"unix://h/x", "unix: takes a path and no host: write unix:/run/x, or unix:x for one in this "
                   "folder"},
    {"fd:", "the descriptor \"\" is not a number: write fd:3"},
    {"fd:-1", "the descriptor \"-1\" is not a number: write fd:3"},
    {"fd://3", "the descriptor \"//3\" is not a number: write fd:3"},
    {"fd:03", "the descriptor \"03\" begins with a 0: write fd:3"},
    {"fd:2147483648", "the descriptor \"2147483648\" is too large: write fd:3"},
};

TEST(a_refusal_names_the_part_and_the_cure)
{
    for (size_t i = 0; i < COUNT(refusals); i++) {
        struct addr_parts p;
        char why[DETAIL_MAX] = "nothing";

        if (split(&p, refusals[i].text, why) != -EINVAL || strcmp(why, refusals[i].why) != 0)
            t_fail(__FILE__, __LINE__, "%s: is refused with: %s", refusals[i].text, why);
    }
}

TEST(a_unix_path_of_108_bytes_is_too_long)
{
    static const struct refusal rows[] = {
        {"unix:b" A107, "the UNIX path has 108 bytes, over 107"},
        {"unix:@b" A107, "the abstract name has 108 bytes, over 107"},
        {"unix:" A107 A107, "the UNIX path has 214 bytes, over 107"},
        {"unix:\\x62" A107, "the UNIX path has 108 bytes, over 107"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr_parts p;
        char why[DETAIL_MAX];

        EXPECT_EQ(split(&p, rows[i].text, why), -ENAMETOOLONG);
        EXPECT_STR(why, rows[i].why);
    }
}

TEST(a_long_text_is_refused_in_a_short_sentence)
{
    static const char *const around[][2] = {
        {"", ""},          {"", ":80"},   {":", ""},    {"[", "]:80"},
        {"[::1%", "]:80"}, {"[::1]", ""}, {"fd:", ""},  {"", "://h:80"},
        {"tcp:", ":80"},   {"a:b:", ""},  {"::1:", ""},
    };
    static char text[8192];

    for (size_t i = 0; i < 256; i++) {
        for (size_t k = 0; k < COUNT(around); k++) {
            struct addr_parts p;
            char why[DETAIL_MAX];
            size_t before = strlen(around[k][0]);

            memset(text, i ? (int)i : 'a', 4000);
            memcpy(text, around[k][0], before);
            text[3999] = '\0';
            strncat(text, around[k][1], 16);
            EXPECT_EQ(split(&p, text, why), -EINVAL);
            EXPECT_LT(strlen(why), DETAIL_MAX - 1);
            EXPECT_GT(strlen(why), 0);
        }
    }
}

TEST(a_sentence_is_cut_to_the_room_there_is)
{
    struct addr_parts p;
    char why[8] = "#######";

    EXPECT_EQ(addr_split(&p, ":99999", why, sizeof(why)), -EINVAL);
    EXPECT_STR(why, "the por");
    EXPECT_EQ(addr_split(&p, ":99999", NULL, 0), -EINVAL);
    EXPECT_EQ(addr_split(&p, ":80", NULL, 0), 0);
}

TEST(nothing_is_read_beyond_the_end)
{
    for (size_t i = 0; i < COUNT(refusals); i++) {
        for (size_t len = strlen(refusals[i].text); len > 0; len--) {
            struct addr_parts p;
            char why[DETAIL_MAX];

            EXPECT_LE(addr_split(&p, at_the_wall(refusals[i].text, len), why, sizeof(why)), 0);
        }
    }
}

TEST(a_zone_that_cannot_be_looked_for_is_not_called_unknown)
{
    struct rlimit limit;
    struct addr_parts p;
    char why[DETAIL_MAX];

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_max = limit.rlim_max}) != 0)
        abort();
    EXPECT_EQ(split(&p, "[fe80::1%lo]:80", why), -EMFILE);
    EXPECT_STR(why, "the zone \"lo\" could not be looked for");
    EXPECT_EQ(split(&p, "[fe80::1%1]:80", why), 0);
    setrlimit(RLIMIT_NOFILE, &limit);
}
