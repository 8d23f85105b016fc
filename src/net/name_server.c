/* name_server.c - which name server answered what, when a name could not be found.
 *
 * getaddrinfo(3) has one code for a server that is not there, one that is silent, one that
 * refuses and one that has failed, and names none.  So when it has failed, the servers of
 * resolv.conf(5) are asked once more, each by one datagram, and their own words are told.
 *
 * What holds:
 *   - It is for the message alone: the look-up has failed whatever is found here, and where
 *     this finds nothing out it says less.  It costs each failure a datagram a server.
 *   - Only addresses that resolv.conf names are asked, and only where nsswitch.conf(5) has
 *     names asked for by DNS at all.
 *   - An answer counts if it comes from the server's address (the socket is connected) and
 *     carries our number; nothing of it but its code is read.
 *
 * Limits: SERVERS_MAX, as glibc's MAXNS; ANSWER_MS for all of them together.
 * Sources: RFC 1035 4.1; resolv.conf(5), nsswitch.conf(5).
 */
#include "net/name_server.h"

#include "net/addr.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
    SERVERS_MAX = 3,
    ANSWER_MS = 1000,
    LABEL_MAX = 63, /* RFC 1035 2.3.4 */
    HEADER_LEN = 12,
    QUESTION_MAX = HEADER_LEN + HOST_NAME_MAX_LEN + 2 + 4, /* the name's two ends, type, class */
    RCODE_NXDOMAIN = 3,
};

struct server {
    char name[64];         /* as resolv.conf has it */
    struct stoa_addr addr; /* len 0: the name could not be read */
    int said;              /* the answer's code, or negative errno; -ETIMEDOUT: nothing */
};

/* -------------------------------------------------------------------------
 * Which there are
 * ---------------------------------------------------------------------- */

static void read_address(struct server *s)
{
    char text[80], why[1];
    struct addr_parts p;

    snprintf(text, sizeof(text), strchr(s->name, ':') ? "[%s]:53" : "%s:53", s->name);
    if (addr_split(&p, text, why, sizeof(why)) < 0 || addr_numeric(&s->addr, &p, AF_UNSPEC) != 0)
        s->addr.len = 0;
}

/* How many there are.  Where the file names none, or is not there, glibc asks the machine
 * itself; where it cannot be read (no descriptor is left), nothing is known: 0. */
static int read_servers(struct server *servers)
{
    FILE *f = fopen("/etc/resolv.conf", "re");
    char line[256];
    int n = 0;

    if (!f && errno != ENOENT)
        return 0;
    while (f && n < SERVERS_MAX && fgets(line, sizeof(line), f))
        n += sscanf(line, "nameserver%*[ \t]%63s", servers[n].name) == 1;
    if (f)
        fclose(f);
    if (n == 0)
        memcpy(servers[n++].name, "127.0.0.1", sizeof("127.0.0.1"));
    for (int i = 0; i < n; i++)
        read_address(&servers[i]);
    return n;
}

/* Does nsswitch.conf's line for hosts, or for want of one the default, have DNS? */
static bool dns_is_used(void)
{
    FILE *f = fopen("/etc/nsswitch.conf", "re");
    char line[256], *rest;
    bool used = true;

    while (f && fgets(line, sizeof(line), f)) {
        const char *word = strtok_r(line, " \t\n", &rest);

        if (!word || strcmp(word, "hosts:") != 0)
            continue;
        used = false;
        while ((word = strtok_r(NULL, " \t\n", &rest)))
            used |= strcmp(word, "dns") == 0 || strcmp(word, "resolve") == 0;
    }
    if (f)
        fclose(f);
    return used;
}

/* -------------------------------------------------------------------------
 * What they say
 * ---------------------------------------------------------------------- */

/* The question's bytes; 0 when a part of the name is too long. */
static size_t question(unsigned char *to, uint16_t id, const char *host, int family)
{
    const unsigned char head[HEADER_LEN] = {
        (unsigned char)(id >> 8), (unsigned char)id, 1 /* recursion desired */, 0, 0, 1};
    const unsigned char tail[] = {0, 0, family == AF_INET6 ? 28 : 1, 0, 1 /* Internet */};
    size_t len = HEADER_LEN;

    memcpy(to, head, sizeof(head));
    while (*host) {
        size_t label = strcspn(host, ".");

        if (label == 0 || label > LABEL_MAX)
            return 0;
        to[len++] = (unsigned char)label;
        memcpy(to + len, host, label);
        len += label;
        host += label;
        host += *host == '.';
    }
    memcpy(to + len, tail, sizeof(tail));
    return len + sizeof(tail);
}

/* Send the question: a descriptor, or -1 with said. */
static int send_question(struct server *s, const unsigned char *bytes, size_t len)
{
    const struct sockaddr *sa = (const struct sockaddr *)&s->addr.sa;
    int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    s->said = -ETIMEDOUT;
    if (fd >= 0 && connect(fd, sa, s->addr.len) == 0 && send(fd, bytes, len, 0) == (ssize_t)len)
        return fd;
    s->said = -errno;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Has it said anything to the question of this number? */
static bool read_answer(struct server *s, int fd, const unsigned char *id)
{
    unsigned char head[HEADER_LEN];
    ssize_t len = recv(fd, head, sizeof(head), 0);

    if (len < 0 && errno != EAGAIN)
        s->said = -errno;
    else if (len == HEADER_LEN && memcmp(head, id, 2) == 0 && (head[2] & 0x80))
        s->said = head[3] & 0x0f;
    return s->said != -ETIMEDOUT;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool knows(const struct server *s)
{
    return s->said == 0 || s->said == RCODE_NXDOMAIN;
}

/* Wait for the answers of those whose descriptor is open; with one, for one that knows. */
static void await_answers(struct server *servers, struct pollfd *fds, int n, bool one,
                          const unsigned char *id)
{
    int64_t until = now_ms() + ANSWER_MS;

    for (;;) {
        int64_t left = until - now_ms();
        bool open = false, enough = false;

        for (int i = 0; i < n; i++) {
            open |= fds[i].fd >= 0;
            enough |= one && knows(&servers[i]);
        }
        if (!open || enough || left <= 0 || poll(fds, (nfds_t)n, (int)left) <= 0)
            return;
        for (int i = 0; i < n; i++) {
            if (!fds[i].revents || !read_answer(&servers[i], fds[i].fd, id))
                continue;
            close(fds[i].fd);
            fds[i].fd = -1;
        }
    }
}

static void ask_all(struct server *servers, int n, const unsigned char *bytes, size_t len, bool one)
{
    struct pollfd fds[SERVERS_MAX];

    for (int i = 0; i < n; i++)
        fds[i] = (struct pollfd){
            .fd = send_question(&servers[i], bytes, len),
            .events = POLLIN,
        };
    await_answers(servers, fds, n, one, bytes);
    for (int i = 0; i < n; i++)
        if (fds[i].fd >= 0)
            close(fds[i].fd);
}

/* -------------------------------------------------------------------------
 * In words
 * ---------------------------------------------------------------------- */

static void add_server(struct text *why, const struct server *s)
{
    text_add(why, "the name server ");
    text_add_escaped(why, s->name, strlen(s->name), "");
}

static void add_code(struct text *why, int said, bool one)
{
    static const struct {
        int said;
        const char *words;
    } answers[] = {
        {2, " could not find out (SERVFAIL)"},
        {RCODE_NXDOMAIN, " says there is no such name"},
        {5, " refuses to answer (REFUSED)"},
        {-ETIMEDOUT, " did not answer"},
        {-ECONNREFUSED, " is not running: nothing listens at its port 53"},
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (answers[i].said != said)
            continue;
        text_add(why, answers[i].words);
        return;
    }
    if (said == 0) {
        text_add(why, one ? " knows the name, but no address for it" : " answers now: try again");
        return;
    }
    text_add(why, said < 0 ? " cannot be reached: " : " answers with the error ");
    if (said < 0)
        text_add(why, strerrordesc_np(-said));
    else
        text_add_number(why, (uint64_t)said);
}

/* one: getaddrinfo says that there is no such host or address, not that it does not know.
 * Then those are left out that have said nothing because another was enough. */
static void add_answers(struct text *why, const struct server *servers, int n, bool one)
{
    bool enough = false;
    const char *between = "";

    for (int i = 0; i < n; i++)
        enough |= one && knows(&servers[i]);
    for (int i = 0; i < n; i++) {
        if (enough && servers[i].said == -ETIMEDOUT)
            continue;
        text_add(why, between);
        add_server(why, &servers[i]);
        add_code(why, servers[i].said, one);
        between = "; ";
    }
}

void name_server_ask(struct text *why, const char *host, int family, bool one)
{
    struct server servers[SERVERS_MAX] = {0};
    unsigned char bytes[QUESTION_MAX];
    uint16_t id = 0;

    if (!dns_is_used()) {
        text_add(why, "/etc/hosts has no such name, and nsswitch.conf has no name server asked");
        return;
    }
    if (getrandom(&id, sizeof(id), GRND_NONBLOCK) < 0)
        id = 0;
    int n = read_servers(servers);
    size_t len = question(bytes, id, host, family);
    if (len == 0) {
        text_add(why, "a part of the name has over 63 bytes");
        return;
    }
    ask_all(servers, n, bytes, len, one);
    add_answers(why, servers, n, one);
}

void name_server_list(struct text *why, const char *before)
{
    struct server servers[SERVERS_MAX] = {0};
    int n = dns_is_used() ? read_servers(servers) : 0;

    text_add(why, n ? before : "");
    for (int i = 0; i < n; i++) {
        text_add(why, i == 0 ? "" : i == n - 1 ? " and " : ", ");
        add_server(why, &servers[i]);
    }
}
