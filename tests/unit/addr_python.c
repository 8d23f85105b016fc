/* addr_python.c - CPython's opinion of 20,000 texts that are almost addresses.
 *
 * The danger: to read a text otherwise than the rest of the world, or to let go on as a name
 * what inet_aton(3), and so a resolver, takes for a number.  The way: texts made of what
 * addresses are made of, by a seeded generator; ipaddress and inet_pton of CPython and ours
 * must agree on which are addresses and on their bytes.
 */
#include "base/limits.h"
#include "base/text.h"
#include "net/addr.h"
#include "t.h"

#include <arpa/inet.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t chance = 8081;

/* A number below n.  xorshift64*, by Vigna. */
static uint32_t any_of(uint32_t n)
{
    chance ^= chance >> 12;
    chance ^= chance << 25;
    chance ^= chance >> 27;
    return (uint32_t)(chance * 0x2545f4914f6cdd1d >> 32) % n;
}

enum { NTEXT = 10000, TEXT_LEN = 64 };

static void almost_ipv4(struct text *t)
{
    static const char *const bits[] = {"0",   "1",    "127", "255", "256", "01",
                                       "999", "0x7f", "",    "1a",  "-1",  "2130706433"};
    uint32_t nparts = any_of(4) ? 4 : 1 + any_of(5);

    for (uint32_t i = 0; i < nparts; i++) {
        text_add(t, i ? "." : "");
        text_add(t, bits[any_of(any_of(4) ? 4 : COUNT(bits))]);
    }
}

static void almost_ipv6(struct text *t)
{
    static const char *const groups[] = {"0", "1", "ffff", "FE80", "0db8", "abc", "12345", "g"};
    static const char *const tails[] = {"1.2.3.4", "255.0.0.255", "1.2.3.04", "127.1", "::"};
    uint32_t ngroups = any_of(3) ? 8 : 1 + any_of(9);
    uint32_t shortened = any_of(2) ? any_of(8) : UINT32_MAX;
    bool tail = any_of(3) == 0;

    for (uint32_t i = 0; i < ngroups; i++) {
        bool last = tail && i + 2 >= ngroups;

        text_add(t, i == shortened || any_of(60) == 0 ? "::" : i ? ":" : "");
        text_add(t, last ? tails[any_of(COUNT(tails))] : groups[any_of(any_of(8) ? 6 : 8)]);
        i += last || i == shortened ? 1 + any_of(2) : 0;
    }
}

static void ask_python(FILE *answers, bool (*agrees)(const char *text, const char *packed))
{
    char line[TEXT_LEN + 40];
    int n = 0, valid = 0;

    while (fgets(line, sizeof(line), answers)) {
        char *packed = strchr(line, ' ');

        *packed++ = '\0';
        packed[strcspn(packed, "\n")] = '\0';
        n++;
        valid += packed[0] != '-';
        if (!agrees(line, packed))
            t_fail(__FILE__, __LINE__, "CPython reads %s as %s", line, packed);
    }
    EXPECT_EQ(n, NTEXT);
    EXPECT_GT(valid, NTEXT / 20); /* both kinds are among them */
    EXPECT_LT(valid, NTEXT - NTEXT / 20);
}

static void compare_with_python(void (*make)(struct text *t), const char *family,
                                bool (*agrees)(const char *text, const char *packed))
{
    static const char program[] =
        "import ipaddress, socket, sys\n"
        "family = {'IPv4': socket.AF_INET, 'IPv6': socket.AF_INET6}[sys.argv[2]]\n"
        "for text in open(sys.argv[1]):\n"
        "    text = text[:-1]\n"
        "    try:\n"
        "        packed = getattr(ipaddress, sys.argv[2] + 'Address')(text).packed\n"
        "        assert packed == socket.inet_pton(family, text)\n"
        "        print(text, packed.hex())\n"
        "    except ValueError:\n"
        "        print(text, '-')\n";
    char path[] = "/tmp/stoa-addr-XXXXXX", command[1024], buf[TEXT_LEN];
    FILE *texts = fdopen(mkstemp(path), "w");

    for (int i = 0; i < NTEXT; i++) {
        struct text t;

        text_init(&t, buf, sizeof(buf));
        make(&t);
        fprintf(texts, "%s\n", buf);
    }
    fclose(texts);
    snprintf(command, sizeof(command), "exec python3 -c \"%s\" %s %s", program, path, family);
    FILE *answers = popen(command, "r");
    ask_python(answers, agrees);
    EXPECT_EQ(pclose(answers), 0);
    unlink(path);
}

/* The numbers of the address in hexadecimal, as Python writes bytes. */
static const char *packed_ip(const struct addr_parts *p)
{
    static char hex[33];
    size_t len = p->family == AF_INET ? 4 : 16;
    const unsigned char *bytes = len == 4 ? (const void *)&p->ipv4 : (const void *)&p->ipv6;

    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return hex;
}

static bool agrees_ipv4(const char *host, const char *packed)
{
    struct addr_parts p;
    struct in_addr in;
    char text[TEXT_LEN + 8], why[DETAIL_MAX];

    snprintf(text, sizeof(text), "%s:80", host);
    int rc = addr_split(&p, text, why, sizeof(why));
    if (packed[0] != '-')
        return rc == 0 && p.family == AF_INET && strcmp(packed_ip(&p), packed) == 0;
    if (rc == 0 && host[0] && inet_aton(host, &in)) /* then resolvers would take it */
        return false;
    return rc < 0 || p.family == AF_UNSPEC;
}

static bool agrees_ipv6(const char *host, const char *packed)
{
    struct addr_parts p;
    char text[TEXT_LEN + 8], why[DETAIL_MAX];

    snprintf(text, sizeof(text), "[%s]:80", host);
    int rc = addr_split(&p, text, why, sizeof(why));
    if (packed[0] == '-')
        return rc == -EINVAL;
    return rc == 0 && p.family == AF_INET6 && strcmp(packed_ip(&p), packed) == 0;
}

TEST(cpython_agrees_on_ipv4)
{
    if (system("python3 -c '' 2>/dev/null") != 0)
        SKIP("needs python3");
    else
        compare_with_python(almost_ipv4, "IPv4", agrees_ipv4);
}

TEST(cpython_agrees_on_ipv6)
{
    if (system("python3 -c '' 2>/dev/null") != 0)
        SKIP("needs python3");
    else
        compare_with_python(almost_ipv6, "IPv6", agrees_ipv6);
}
