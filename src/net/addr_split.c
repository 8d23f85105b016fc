/* addr_split.c - an address text taken apart, and refused where it is not wholly understood.
 *
 * Each refusal says which part is wrong and what to write instead: it is the middle of a
 * sentence that error.c begins with the call and the text.
 *
 * What holds:
 *   - The text is read up to its 0 and not beyond; its length is not limited, what is kept
 *     and what is quoted of it is.
 *   - A host that goes on as a name is none that inet_aton(3) would take for a number: no
 *     filter that has looked at the text is fooled by 0177.0.0.1 or 2130706433.
 *   - The only system calls are those of if_nametoindex(3), where a zone is named.
 *
 * Limits: HOST_NAME_MAX_LEN, SERVICE_NAME_MAX_LEN, UNIX_NAME_MAX_LEN, TEXT_QUOTE_MAX.
 * Sources: inet_pton(3), unix(7), RFC 3986 3.1, RFC 4007 11, RFC 6335 5.1; that a host whose
 * last label is a number must be an address is the WHATWG's URL Standard 3.5.
 */
#include "base/text.h"
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>
#include <strings.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"
#define HEX     DIGITS "abcdefABCDEF"

_Static_assert(INET6_ADDRSTRLEN + IFNAMSIZ <= HOST_NAME_MAX_LEN, "host has room for a zone");

/* -------------------------------------------------------------------------
 * Refusing
 * ---------------------------------------------------------------------- */

static int refuse(struct text *why, const char *sentence)
{
    text_add(why, sentence);
    return -EINVAL;
}

/* before "part" after */
static int refuse_part(struct text *why, const char *before, const char *part, size_t len,
                       const char *after)
{
    text_add(why, before);
    text_quote(why, part, len);
    text_add(why, after);
    return -EINVAL;
}

static int refuse_length(struct text *why, const char *what, size_t len, size_t max)
{
    text_add(why, what);
    text_add(why, " has ");
    text_add_number(why, len);
    text_add(why, " bytes, over ");
    text_add_number(why, max);
    return -EINVAL;
}

/* A part of what the user should write: his own, unless it is too long to be shown. */
static void add_part(struct text *why, const char *part, size_t len, const char *else_add)
{
    if (len > TEXT_QUOTE_MAX)
        text_add(why, else_add);
    else
        text_add_escaped(why, part, len, "");
}

static int refuse_no_port(struct text *why, const char *host, size_t len)
{
    text_add(why, "no port: write ");
    add_part(why, host, len, "HOST");
    text_add(why, ":PORT");
    return -EINVAL;
}

/* -------------------------------------------------------------------------
 * Numbers
 * ---------------------------------------------------------------------- */

/* Are these len bytes, one or more, all of the set? */
static bool all_of(const char *s, size_t len, const char *set)
{
    return len && strspn(s, set) >= len;
}

/* Read len digits into *value: 0, or what is wrong with them. */
static const char *number(uint64_t *value, const char *s, size_t len, uint64_t max)
{
    *value = 0;
    if (!all_of(s, len, DIGITS))
        return "is not a number";
    if (s[0] == '0' && len > 1)
        return "begins with a 0";
    for (size_t i = 0; i < len && *value <= max; i++)
        *value = *value * 10 + (uint64_t)(s[i] - '0');
    return *value > max ? "is too large" : NULL;
}

/* Copy len bytes into a buffer that has room for them and a 0. */
static void copy(char *to, const char *s, size_t len)
{
    memcpy(to, s, len);
    to[len] = '\0';
}

/* Read an IPv6 address, with or without a zone; *zone is where that begins, or NULL. */
static bool ipv6(struct in6_addr *in6, const char *s, size_t len, const char **zone)
{
    char plain[INET6_ADDRSTRLEN];
    const char *percent = memchr(s, '%', len);
    size_t plain_len = percent ? (size_t)(percent - s) : len;

    *zone = percent ? percent + 1 : NULL;
    if (plain_len >= sizeof(plain))
        return false;
    copy(plain, s, plain_len);
    return inet_pton(AF_INET6, plain, in6) == 1;
}

/* -------------------------------------------------------------------------
 * host:port
 * ---------------------------------------------------------------------- */

/* Letters, digits and what /etc/services has beside them; not -1, +80, or a path. */
static bool service_name(const char *s, size_t len)
{
    return strspn(s, LETTERS DIGITS "-_.+") == len && strspn(s, LETTERS DIGITS) > 0 &&
           strpbrk(s, LETTERS);
}

static int split_port(struct addr_parts *p, const char *s, struct text *why)
{
    size_t len = strlen(s);
    uint64_t value;
    const char *wrong = number(&value, s, len, UINT16_MAX);

    if (value > UINT16_MAX)
        return refuse_part(why, "the port ", s, len, " is above 65535");
    if (wrong && all_of(s, len, DIGITS))
        return refuse_part(why, "the port ", s, len, " begins with a 0: write it without");
    if (wrong && !service_name(s, len))
        return refuse_part(why, "the port ", s, len, " is no number and no service's name");
    if (len > SERVICE_NAME_MAX_LEN)
        return refuse_length(why, "the service's name", len, SERVICE_NAME_MAX_LEN);
    copy(p->service, s, len);
    p->port = wrong ? -1 : (int)value;
    return 0;
}

/* Would inet_aton(3) or a browser take this host for an IPv4 address? */
static bool ends_in_number(const char *s, size_t len)
{
    if (len && s[len - 1] == '.')
        len--;
    const char *dot = memrchr(s, '.', len);
    const char *label = dot ? dot + 1 : s;
    size_t label_len = (size_t)(s + len - label);

    if (label_len > 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return all_of(label + 2, label_len - 2, HEX);
    return all_of(label, label_len, DIGITS);
}

/* Does a number of more than one digit begin with 0, as 0177.0.0.1 does? */
static bool has_leading_zero(const char *host)
{
    for (const char *s = host; s; s = strchr(s, '.')) {
        s += *s == '.';
        if (s[0] == '0' && strspn(s, DIGITS) > 1)
            return true;
    }
    return false;
}

static int refuse_ipv4(struct text *why, const char *host)
{
    size_t len = strlen(host);
    struct in_addr in;
    char whole[INET_ADDRSTRLEN];

    if (all_of(host, len, DIGITS ".") && has_leading_zero(host))
        return refuse_part(why, "the host ", host, len,
                           " has a number that begins with a 0, which some read as octal: "
                           "write it without");
    if (inet_aton(host, &in) == 0)
        return refuse_part(why, "the host ", host, len,
                           " is not an IPv4 address: those are four numbers from 0 to 255");
    refuse_part(why, "the host ", host, len, " is not a whole IPv4 address: write ");
    text_add(why, inet_ntop(AF_INET, &in, whole, sizeof(whole)));
    return -EINVAL;
}

/* What a host's name is made of: letters, also those that are not of ASCII, and -_. */
static bool of_a_name(char c)
{
    return (unsigned char)c >= 0x80 || (c && strchr(LETTERS DIGITS "-_.", c));
}

static int split_host(struct addr_parts *p, const char *s, size_t len, struct text *why)
{
    size_t max = HOST_NAME_MAX_LEN;

    if (len && s[len - 1] == '.')
        max++; /* the root's dot is not counted */
    if (len == 1 && s[0] == '*')
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (of_a_name(s[i]))
            continue;
        refuse_part(why, "the host ", s, len, " has a ");
        return refuse_part(why, "", s + i, 1, " in it");
    }
    if (len > max)
        return refuse_length(why, "the host", len, max);
    copy(p->host, s, len);
    if (p->host[0] == '.' || strstr(p->host, ".."))
        return refuse_part(why, "the host ", s, len, " has nothing between two dots");
    if (inet_pton(AF_INET, p->host, &p->ipv4) == 1)
        p->family = AF_INET;
    else if (ends_in_number(p->host, len))
        return refuse_ipv4(why, p->host);
    return 0;
}

/* 0 or negative errno. */
static int split_zone(struct addr_parts *p, const char *s, size_t len, struct text *why)
{
    char name[IFNAMSIZ];
    uint64_t value;
    const char *wrong = number(&value, s, len, UINT32_MAX);

    p->zone = (uint32_t)value;
    if (!wrong)
        return 0;
    if (len < sizeof(name)) {
        copy(name, s, len);
        p->zone = if_nametoindex(name);
        if (p->zone)
            return 0;
        if (errno != ENODEV) {
            /* glibc has lost the reason why it got no socket to ask by, and says ENOENT. */
            int code = errno == ENOENT ? -EMFILE : -errno;

            refuse_part(why, "the zone ", s, len, " could not be looked for");
            return code;
        }
    }
    return refuse_part(why, "the zone ", s, len, " is no interface of this machine");
}

/* [IPv6]:port; s is after the "[". */
static int split_brackets(struct addr_parts *p, const char *s, struct text *why)
{
    const char *end = strchr(s, ']'), *zone;

    if (!end)
        return refuse(why, "no \"]\" after the IPv6 address: write [::1]:PORT");
    size_t len = (size_t)(end - s);
    if (!ipv6(&p->ipv6, s, len, &zone))
        return refuse_part(why, "the brackets hold ", s, len,
                           ": only an IPv6 address is written in them");
    if (end[1] == '\0' || strcmp(end, "]:") == 0)
        return refuse_no_port(why, s - 1, len + 2);
    if (end[1] != ':')
        return refuse_part(why, "after the \"]\" comes ", end + 1, strlen(end + 1),
                           ", not a port: write [::1]:PORT");
    int rc = zone ? split_zone(p, zone, (size_t)(end - zone), why) : 0;
    if (rc < 0)
        return rc;
    copy(p->host, s, len);
    p->family = AF_INET6;
    return split_port(p, end + 2, why);
}

/* More than one ":", and no brackets. */
static int refuse_colons(struct text *why, const char *s)
{
    const char *last = strrchr(s, ':'), *zone;
    size_t head = (size_t)(last - s), len = strlen(s);
    struct in6_addr in6;

    if (strncasecmp(s, "tcp:", 4) == 0 || strncasecmp(s, "udp:", 4) == 0) {
        text_add(why, "a scheme ends in \"://\": write ");
        text_add_bytes(why, s, 4);
        text_add(why, "//");
        add_part(why, s + 4, len - 4, "HOST:PORT");
        return -EINVAL;
    }
    bool port_too = ipv6(&in6, s, head, &zone);
    if (!port_too && !ipv6(&in6, s, len, &zone))
        return refuse_part(why, "", s, len, " has more than one \":\", but one before the port");
    const char *port = port_too && last[1] ? last + 1 : "PORT";
    text_add(why, "an IPv6 address needs brackets: [");
    add_part(why, s, port_too ? head : len, "::1");
    text_add(why, "]:");
    add_part(why, port, strlen(port), "PORT");
    return -EINVAL;
}

static int split_inet(struct addr_parts *p, const char *s, struct text *why)
{
    const char *colon = strchr(s, ':');
    size_t len = strlen(s);

    if (s[0] == '[')
        return split_brackets(p, s + 1, why);
    if (s[0] == '/' || strncmp(s, "./", 2) == 0 || strncmp(s, "../", 3) == 0)
        return refuse(why, "a UNIX path needs its scheme: write unix:/run/x");
    if (s[0] == '@')
        return refuse(why, "an abstract name needs its scheme: write unix:@x");
    if (!colon && number(&(uint64_t){0}, s, len, UINT16_MAX) == NULL) {
        text_add(why, "a port needs a \":\" before it: write :");
        text_add(why, s);
        return -EINVAL;
    }
    if (!colon)
        return len ? refuse_no_port(why, s, len)
                   : refuse(why, "the address is empty: write HOST:PORT");
    if (strchr(colon + 1, ':'))
        return refuse_colons(why, s);
    if (colon[1] == '\0')
        return refuse_no_port(why, s, (size_t)(colon - s));
    int rc = split_host(p, s, (size_t)(colon - s), why);
    return rc < 0 ? rc : split_port(p, colon + 1, why);
}

/* -------------------------------------------------------------------------
 * unix: and fd:
 * ---------------------------------------------------------------------- */

/* The value of a hexadecimal digit, -1 = it is none. */
static int hex_digit(char c)
{
    const char *at = c ? strchr(HEX, c) : NULL;
    int value = at ? (int)(at - HEX) : -1;

    return value > 15 ? value - 6 : value; /* the capitals come after the 16 */
}

/* The byte of an escape, s being after its backslash; -1 = it is none. */
static int escaped_byte(const char *s)
{
    int high = s[0] == 'x' ? hex_digit(s[1]) : -1;
    int low = high < 0 ? -1 : hex_digit(s[2]);

    return low < 0 ? -1 : high << 4 | low;
}

/* Read a path or an abstract name into path, and its length, which may be more than fits. */
static int read_path(struct addr_parts *p, const char *s, struct text *why)
{
    while (*s) {
        int byte = (unsigned char)*s++;

        if (byte == '\\') {
            byte = escaped_byte(s);
            if (byte < 0)
                return refuse(why, "a backslash that begins no \\xHH: write \\x5c for itself");
            s += strlen("xHH");
        }
        if (byte == 0 && !p->abstract)
            return refuse(why, "\\x00 in a path: only an abstract name can have it");
        if (p->path_len < UNIX_NAME_MAX_LEN)
            p->path[p->path_len] = (char)byte;
        p->path_len++;
    }
    return 0;
}

static int split_unix(struct addr_parts *p, const char *s, struct text *why)
{
    if (strncmp(s, "//", 2) == 0) {
        if (s[2] != '/')
            return refuse(why, "unix: takes a path and no host: write unix:/run/x, or unix:x "
                               "for one in this folder");
        s += 2;
    }
    p->abstract = s[0] == '@';
    int rc = read_path(p, s + p->abstract, why);
    if (rc < 0 || p->path_len <= UNIX_NAME_MAX_LEN)
        return rc;
    refuse_length(why, p->abstract ? "the abstract name" : "the UNIX path", p->path_len,
                  UNIX_NAME_MAX_LEN);
    return -ENAMETOOLONG;
}

static int split_fd(struct addr_parts *p, const char *s, struct text *why)
{
    uint64_t value;
    const char *wrong = number(&value, s, strlen(s), INT_MAX);

    if (wrong) {
        refuse_part(why, "the descriptor ", s, strlen(s), " ");
        text_add(why, wrong);
        return refuse(why, ": write fd:3");
    }
    p->fd = (int)value;
    return 0;
}

int addr_split(struct addr_parts *p, const char *text, char *why, size_t why_len)
{
    static const struct {
        char word[5];
        enum addr_scheme scheme;
        const char *colon; /* what ends the word */
        int (*split)(struct addr_parts *p, const char *s, struct text *why);
    } schemes[] = {
        {"tcp", ADDR_TCP, "://", split_inet},
        {"udp", ADDR_UDP, "://", split_inet},
        {"unix", ADDR_UNIX, ":", split_unix},
        {"fd", ADDR_FD, ":", split_fd},
    };
    struct text t;
    size_t len = strspn(text, LETTERS DIGITS "+-.");

    *p = (struct addr_parts){.port = -1, .fd = -1};
    text_init(&t, why, why_len);
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t colon_len = strlen(schemes[i].colon);

        if (strlen(schemes[i].word) != len || strncasecmp(text, schemes[i].word, len) != 0 ||
            strncmp(text + len, schemes[i].colon, colon_len) != 0)
            continue;
        p->scheme = schemes[i].scheme;
        return schemes[i].split(p, text + len + colon_len, &t);
    }
    if (len && strncmp(text + len, "://", 3) == 0)
        return refuse_part(&t, "", text, len, " is not a scheme known here (tcp, udp, unix, fd)");
    return split_inet(p, text, &t);
}
