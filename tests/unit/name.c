/* name.c - names become addresses, or it is told which name server said what.
 *
 * The dangers: a wait that outlives its time, a zone or an address lost on the way, a
 * sentence that blames the wrong server.  The way: a network and an /etc of our own, made
 * before the first test, where a name server of ours answers at 127.0.0.53 what the name's
 * first part says: both, v4, v6, nx, nothing, servfail, refused, odd, silent, late, held.
 */
#include "net/name.h"
#include "backend/loop.h"
#include "base/limits.h"
#include "netns.h"
#include "t.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define OUR_SERVER "nameserver 127.0.0.53\n"
#define QUICK      "options timeout:1 attempts:1\n"
#define SLOW       "options timeout:30 attempts:1\n" /* the longest that glibc knows */

static bool isolated;
static char why[DETAIL_MAX];

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

/* glibc reads them again when they have changed: a new file has. */
static void configure(const char *resolv, const char *nsswitch)
{
    put("/etc/new", resolv);
    rename("/etc/new", "/etc/resolv.conf");
    put("/etc/new", nsswitch);
    rename("/etc/new", "/etc/nsswitch.conf");
}

/* A network and an /etc that nobody else sees; not everywhere allowed. */
void t_setup(void);
void t_setup(void)
{
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 &&
        unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0)
        return;
    if (!loopback_up() || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/etc", "tmpfs", 0, NULL) != 0)
        return;
    put("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"
                      "2001:db8::7 six\n");
    put("/etc/services", "web 80/tcp\nweb 8080/udp\n");
    isolated = true;

    struct addr_parts p; /* what a thread that waits for a helper keeps is opened now */
    struct stoa_addr a;
    addr_split(&p, ":web", why, sizeof(why));
    name_resolve(&p, AF_UNSPEC, 0, true, WHEEL_NEVER, &a, 1, why, sizeof(why));
}

/* Without them a test cannot be run: say so. */
static bool skipped(void)
{
    if (!isolated)
        SKIP("needs a network namespace");
    return !isolated;
}

/* -------------------------------------------------------------------------
 * The name server
 * ---------------------------------------------------------------------- */

struct dns {
    int fd;
    pthread_t thread;
    int nquestion;
    int nipv4;       /* and how many of them for IPv4 */
    sem_t released;  /* answers to "held" wait for it */
    char asked[256]; /* the first part of the last name; the server's until it has ended */
};

static int code_for(const char *part)
{
    static const struct {
        const char *part;
        int code;
    } codes[] = {{"odd", 1}, {"servfail", 2}, {"nx", 3}, {"held", 3}, {"refused", 5}};

    for (size_t i = 0; i < COUNT(codes); i++)
        if (strcmp(part, codes[i].part) == 0)
            return codes[i].code;
    return 0;
}

/* The answer to a question, written over it; 0 = none. */
static size_t answer(struct dns *d, unsigned char *m, size_t len)
{
    static const unsigned char a[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};
    static const unsigned char aaaa[] = {0xc0, 12,   0, 28, 0, 1, 0, 0, 0, 60, 0, 16, 0x20, 1,
                                         13,   0xb8, 0, 0,  0, 0, 0, 0, 0, 0,  0, 0,  0,    1};
    size_t at = 12;

    memcpy(d->asked, m + 13, m[12]);
    d->asked[m[12]] = '\0';
    d->nquestion++;
    d->nipv4 += len > 17 && m[len - 3] == 1;
    if (strcmp(d->asked, "held") == 0) {
        sem_wait(&d->released);
        sem_post(&d->released);
    }
    if (strcmp(d->asked, "silent") == 0 || (strcmp(d->asked, "late") == 0 && d->nquestion <= 2))
        return 0;
    while (m[at])
        at += m[at] + 1u;
    bool six = m[at + 2] == 28, both = strcmp(d->asked, "both") == 0;
    bool idn = strncmp(d->asked, "xn--", 4) == 0;
    bool found = both || strcmp(d->asked, six ? "v6" : "v4") == 0 || (idn && !six);

    m[2] = 0x81;
    m[3] = (unsigned char)(0x80 | code_for(d->asked));
    m[7] = found;
    memset(m + 8, 0, 4);
    len = at + 5;
    if (!found)
        return len;
    memcpy(m + len, six ? aaaa : a, six ? sizeof(aaaa) : sizeof(a));
    return len + (six ? sizeof(aaaa) : sizeof(a));
}

/* A datagram of one byte ends it. */
static void *serve(void *arg)
{
    struct dns *d = arg;

    for (;;) {
        unsigned char m[1024];
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t len = recvfrom(d->fd, m, 512, 0, (struct sockaddr *)&from, &from_len);

        if (len < 13)
            return NULL;
        size_t out = answer(d, m, (size_t)len);
        if (out && sendto(d->fd, m, out, 0, (struct sockaddr *)&from, from_len) < 0)
            abort();
    }
}

static void dns_open(struct dns *d, const char *at)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(53)};

    inet_pton(AF_INET, at, &sin.sin_addr);
    *d = (struct dns){.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sem_init(&d->released, 0, 0);
    if (bind(d->fd, (struct sockaddr *)&sin, sizeof(sin)) != 0 ||
        pthread_create(&d->thread, NULL, serve, d) != 0)
        abort();
}

static void dns_close(struct dns *d)
{
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);

    getsockname(d->fd, (struct sockaddr *)&sin, &len);
    sendto(d->fd, "", 1, 0, (struct sockaddr *)&sin, len);
    pthread_join(d->thread, NULL);
    close(d->fd);
}

/* -------------------------------------------------------------------------
 * Looking up
 * ---------------------------------------------------------------------- */

static int resolve_until(const char *text, int family, int type, bool passive, uint64_t until_ns,
                         struct stoa_addr *list, size_t n)
{
    struct addr_parts p;

    EXPECT_EQ(addr_split(&p, text, why, sizeof(why)), 0);
    return name_resolve(&p, family, type, passive, until_ns, list, n, why, sizeof(why));
}

/* The addresses' texts, with spaces between; or the negative errno in why's place. */
static const char *resolved(const char *text, int family, int type, bool passive)
{
    static char texts[1024];
    struct stoa_addr list[DIAL_ADDRESSES_MAX];
    int n = resolve_until(text, family, type, passive, WHEEL_NEVER, list, COUNT(list));

    snprintf(texts, sizeof(texts), "%s", n < 0 ? strerrorname_np(-n) : "");
    for (int i = 0; i < n; i++) {
        char one[STOA_ADDR_TEXT_MAX];
        size_t len = strlen(texts);

        snprintf(texts + len, sizeof(texts) - len, "%s%s", i ? " " : "",
                 stoa_addr_text(&list[i], one, sizeof(one)));
    }
    return texts;
}

TEST(a_name_has_all_its_addresses)
{
    struct dns d;

    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    EXPECT_STR(resolved("both.test:80", AF_UNSPEC, SOCK_STREAM, false),
               "tcp://[2001:db8::1]:80 tcp://192.0.2.1:80");
    EXPECT_STR(why, "");
    EXPECT_STR(resolved("both.test:80", AF_INET, 0, false), "192.0.2.1:80");
    EXPECT_STR(resolved("both.test:80", AF_INET6, 0, false), "[2001:db8::1]:80");
    EXPECT_STR(resolved("v4.test.:web", AF_UNSPEC, SOCK_DGRAM, true), "udp://192.0.2.1:8080");
    EXPECT_STR(resolved("localhost:80", AF_INET, 0, false), "127.0.0.1:80");
    EXPECT_STR(resolved("six:80", AF_UNSPEC, 0, false), "[2001:db8::7]:80");
    dns_close(&d);
}

/* Give lo another address, or take it away again. */
static void also_ipv4(bool there)
{
    struct ifreq lo = {.ifr_name = "lo:1"};
    struct sockaddr_in *sin = (struct sockaddr_in *)&lo.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (there)
        *sin = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000263)};
    EXPECT_EQ(ioctl(fd, there ? SIOCSIFADDR : SIOCSIFFLAGS, &lo), 0);
    close(fd);
}

TEST(a_machine_without_ipv6_gets_ipv6_only_where_there_is_nothing_else)
{
    struct dns d;

    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    also_ipv4(true);
    EXPECT_STR(resolved("both.test:80", AF_UNSPEC, 0, false), "192.0.2.1:80");
    EXPECT_STR(resolved("v6.test:80", AF_UNSPEC, 0, false), "[2001:db8::1]:80");
    EXPECT_STR(resolved("both.test:80", AF_INET6, 0, false), "[2001:db8::1]:80");
    also_ipv4(false);
    dns_close(&d);
}

TEST(no_more_addresses_are_written_than_there_is_room_for)
{
    struct stoa_addr list[2] = {{.len = 0}, {.len = 77}};
    struct dns d;

    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    EXPECT_EQ(resolve_until("both.test:80", AF_UNSPEC, 0, false, WHEEL_NEVER, list, 1), 1);
    EXPECT_EQ(list[0].sa.ss_family, AF_INET6);
    EXPECT_EQ(list[1].len, 77);
    dns_close(&d);
}

TEST(a_service_has_its_port_and_the_host_stays_what_it_was)
{
    if (skipped())
        return;
    EXPECT_STR(resolved("10.1.2.3:web", AF_UNSPEC, 0, false), "10.1.2.3:80");
    EXPECT_STR(resolved("10.1.2.3:web", AF_INET, SOCK_DGRAM, false), "udp://10.1.2.3:8080");
    EXPECT_STR(resolved("[fe80::1%lo]:web", AF_UNSPEC, 0, false), "[fe80::1%lo]:80");
    EXPECT_STR(resolved("[2001:db8::1%lo]:web", AF_UNSPEC, 0, false), "[2001:db8::1%lo]:80");
    EXPECT_STR(resolved(":web", AF_UNSPEC, 0, true), "[::]:80");
    EXPECT_STR(resolved(":web", AF_INET, 0, true), "0.0.0.0:80");
    EXPECT_STR(resolved(":web", AF_UNSPEC, 0, false), "[::1]:80 127.0.0.1:80");
    EXPECT_STR(resolved(":web", AF_INET, 0, false), "127.0.0.1:80");
    EXPECT_STR(resolved("10.1.2.3:webb", AF_UNSPEC, 0, false), "ENOENT");
    EXPECT_STR(why, "the service \"webb\" is not in /etc/services");
    EXPECT_STR(resolved("localhost:webb", AF_UNSPEC, 0, false), "ENOENT");
    EXPECT_STR(why, "the service \"webb\" is not in /etc/services");
}

/* glibc loads it when it is needed: is it there? */
static bool no_idn(void)
{
    void *library = dlopen("libidn2.so.0", RTLD_NOW);

    if (library)
        dlclose(library);
    else
        SKIP("needs libidn2");
    return !library;
}

TEST(letters_beyond_ascii_are_encoded)
{
    struct dns d;

    if (skipped() || no_idn())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    EXPECT_STR(resolved("b\xc3\xbc"
                        "cher.test:80",
                        AF_UNSPEC, 0, false),
               "192.0.2.1:80");
    dns_close(&d);
    EXPECT_STR(d.asked, "xn--bcher-kva");
}

TEST(a_name_beyond_ascii_that_is_not_there_is_known_to_no_server)
{
    struct dns d;

    if (skipped() || no_idn())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    EXPECT_STR(resolved("nx.b\xc3\xbc"
                        "cher.test:80",
                        AF_UNSPEC, 0, false),
               "ENOENT");
    EXPECT_STR(why, "no such name is known to the name server 127.0.0.53");
    dns_close(&d);
}

TEST(letters_that_no_name_can_have_are_refused)
{
    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    EXPECT_STR(resolved("b\xff"
                        "cher.test:80",
                        AF_UNSPEC, 0, false),
               "ENOENT");
    EXPECT_STR(why, "the host \"b\\xffcher.test\" cannot be encoded for the name service "
                    "(IDNA 2008, by libidn2)");
}

/* -------------------------------------------------------------------------
 * Who said what
 * ---------------------------------------------------------------------- */

TEST(it_is_told_which_server_said_what)
{
    static const struct {
        const char *text;
        int family;
        const char *code, *why;
    } rows[] = {
        {"nx.test:80", AF_UNSPEC, "ENOENT",
         "the name server 127.0.0.53 says there is no such name"},
        {"nothing.test:80", AF_UNSPEC, "ENOENT",
         "the name server 127.0.0.53 knows the name, but no address for it"},
        {"v4.test:80", AF_INET6, "ENOENT",
         "the name server 127.0.0.53 knows the name, but no address for it"},
        {"servfail.test:80", AF_UNSPEC, "EREMOTEIO",
         "the name server 127.0.0.53 could not find out (SERVFAIL)"},
        {"refused.test:80", AF_UNSPEC, "EREMOTEIO",
         "the name server 127.0.0.53 refuses to answer (REFUSED)"},
        {"odd.test:80", AF_UNSPEC, "ENOENT", "the name server 127.0.0.53 answers with the error 1"},
        {"silent.test:80", AF_UNSPEC, "EREMOTEIO", "the name server 127.0.0.53 did not answer"},
    };
    struct dns d;

    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    for (size_t i = 0; i < COUNT(rows); i++) {
        EXPECT_STR(resolved(rows[i].text, rows[i].family, 0, false), rows[i].code);
        EXPECT_STR(why, rows[i].why);
    }
    dns_close(&d);
}

TEST(no_question_is_for_a_family_that_will_not_do)
{
    struct dns d;

    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    EXPECT_STR(resolved("v4.test:80", AF_INET6, 0, false), "ENOENT");
    dns_close(&d);
    EXPECT_EQ(d.nquestion, 2); /* getaddrinfo's, and the one for the message */
    EXPECT_EQ(d.nipv4, 0);
}

TEST(servers_that_are_not_there_are_named)
{
    static const struct {
        const char *resolv, *why;
    } rows[] = {
        {OUR_SERVER QUICK,
         "the name server 127.0.0.53 is not running: nothing listens at its port 53"},
        {"nameserver\t::1 \n" QUICK,
         "the name server ::1 is not running: nothing listens at its port 53"},
        {"nameserver 192.0.2.53\n" QUICK,
         "the name server 192.0.2.53 cannot be reached: Network is unreachable"},
        {"#nameserver 192.0.2.53\n" QUICK,
         "the name server 127.0.0.1 is not running: nothing listens at its port 53"},
        {OUR_SERVER "nameserver 192.0.2.53\n" QUICK,
         "the name server 127.0.0.53 is not running: nothing listens at its port 53; the name "
         "server 192.0.2.53 cannot be reached: Network is unreachable"},
    };

    if (skipped())
        return;
    for (size_t i = 0; i < COUNT(rows); i++) {
        configure(rows[i].resolv, "hosts: files dns\n");
        EXPECT_STR(resolved("v4.test:80", AF_UNSPEC, 0, false), "EREMOTEIO");
        EXPECT_STR(why, rows[i].why);
    }
}

TEST(a_server_that_was_late_is_worth_another_try)
{
    struct dns d;

    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    EXPECT_STR(resolved("late.test:80", AF_UNSPEC, 0, false), "EREMOTEIO");
    EXPECT_STR(why, "the name server 127.0.0.53 answers now: try again");
    dns_close(&d);
}

TEST(one_server_that_knows_is_enough)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(53)};
    int mute = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct dns d;

    if (skipped()) {
        close(mute);
        return;
    }
    configure(OUR_SERVER "nameserver 127.0.0.54\n" SLOW, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    inet_pton(AF_INET, "127.0.0.54", &sin.sin_addr);
    EXPECT_EQ(bind(mute, (struct sockaddr *)&sin, sizeof(sin)), 0);
    uint64_t begin = backend_here()->now();
    EXPECT_STR(resolved("nx.test:80", AF_UNSPEC, 0, false), "ENOENT");
    EXPECT_STR(why, "the name server 127.0.0.53 says there is no such name");
    EXPECT_LT(backend_here()->now() - begin, 25ull * 1000 * 1000 * 1000);
    configure(OUR_SERVER "nameserver 127.0.0.54\n" QUICK, "hosts: files dns\n");
    EXPECT_STR(resolved("refused.test:80", AF_UNSPEC, 0, false), "EREMOTEIO");
    EXPECT_STR(why, "the name server 127.0.0.53 refuses to answer (REFUSED); "
                    "the name server 127.0.0.54 did not answer");
    dns_close(&d);
    close(mute);
}

TEST(a_look_up_without_descriptors_says_so)
{
    struct rlimit limit;

    if (skipped() || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_max = limit.rlim_max});
    EXPECT_STR(resolved("both.test:80", AF_UNSPEC, 0, false), "EMFILE");
    setrlimit(RLIMIT_NOFILE, &limit);
    EXPECT_STR(why, "");
}

TEST(where_no_server_is_asked_none_is_blamed)
{
    if (skipped())
        return;
    configure(OUR_SERVER QUICK, "hosts: files\n");
    EXPECT_STR(resolved("nx.test:80", AF_UNSPEC, 0, false), "ENOENT");
    EXPECT_STR(why, "/etc/hosts has no such name, and nsswitch.conf has no name server asked");
    configure(OUR_SERVER QUICK, "hosts: files nosuchdns\n"); /* glibc says EBUSY */
    EXPECT_STR(resolved("nx.test:80", AF_UNSPEC, 0, false), "EREMOTEIO");
    EXPECT(strstr(why, "nsswitch.conf"));
}

TEST(a_part_of_64_letters_is_asked_of_nobody)
{
    if (skipped())
        return;
    configure(OUR_SERVER "nameserver 127.0.0.54\n" QUICK, "hosts: files dns\n");
    EXPECT_STR(resolved("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test:80",
                        AF_UNSPEC, 0, false),
               "ENOENT");
    EXPECT_STR(why, "a part of the name has over 63 bytes");
}

TEST(a_wait_ends_at_its_time_and_names_who_was_waited_for)
{
    struct stoa_addr a;
    struct dns d;

    if (skipped())
        return;
    configure(OUR_SERVER "nameserver 127.0.0.54\n" QUICK, "hosts: files dns\n");
    dns_open(&d, "127.0.0.53");
    uint64_t until_ns = backend_here()->now() + 100 * 1000 * 1000;
    EXPECT_EQ(resolve_until("held.test:80", AF_UNSPEC, 0, false, until_ns, &a, 1), -ETIME);
    EXPECT_GE(backend_here()->now(), until_ns);
    EXPECT_STR(why, "no answer yet from the name server 127.0.0.53 and the name server 127.0.0.54");
    sem_post(&d.released); /* the helper ends, and has what was the look-up's to free */
    dns_close(&d);
}
