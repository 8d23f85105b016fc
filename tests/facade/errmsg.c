/* errmsg.c - a sentence for each failure: the call, the address, the cause.
 *
 * The table drives every call into an error of its own and looks for the three parts.
 * The wording is free; that the verb, what it was about and why are there is not.
 */
#include "backends.h"

#include <netinet/in.h>

static void *first_words(void *arg)
{
    (void)arg;
    EXPECT_STR(stoa_errmsg(), "");
    return NULL;
}

TEST(nothing_has_failed_yet)
{
    pthread_t thread;

    EXPECT_EQ(pthread_create(&thread, NULL, first_words, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}
ON_EVERY_BACKEND(nothing_has_failed_yet)

FIBER_TEST(nothing_has_failed_in_a_new_fiber)
{
    EXPECT_STR(stoa_errmsg(), "");
}

TEST(errno_is_left_alone_by_errmsg)
{
    stoa_socket(9999, 1, 0);
    errno = 77;
    EXPECT_GT(strlen(stoa_errmsg()), 0);
    EXPECT_EQ(errno, 77);
    EXPECT(stoa_errmsg() == stoa_errmsg());
}
ON_EVERY_BACKEND(errno_is_left_alone_by_errmsg)

TEST(success_leaves_the_last_failure)
{
    EXPECT_ERR(stoa_socket(9999, 1, 0), EAFNOSUPPORT);
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_SAID("socket");
    EXPECT_OK(stoa_close(s));
    EXPECT_SAID("socket");
}
ON_EVERY_BACKEND(success_leaves_the_last_failure)

/* What a sentence must have besides the verb: the address, and the cause's own word. */
static void expect_sentence(int line, const char *verb, const char *about, const char *cause)
{
    const char *text = stoa_errmsg();

    if (strncmp(text, verb, strlen(verb)) != 0)
        t_fail(__FILE__, line, "\"%s\" does not begin with %s", text, verb);
    if (about && !strstr(text, about))
        t_fail(__FILE__, line, "\"%s\" does not name %s", text, about);
    if (cause && !strcasestr(text, cause))
        t_fail(__FILE__, line, "\"%s\" does not say %s", text, cause);
    if (strchr(text, '\n') || strlen(text) > 1000)
        t_fail(__FILE__, line, "\"%s\" is no single sentence", text);
}

TEST(addresses_are_named)
{
    struct text there = nobody_there(TCP4), taken;
    const char *port = strrchr(there.c, ':');
    int s = listener_make(TCP4, &taken), c = stoa_socket(AF_INET, SOCK_STREAM, 0);
    int u = stoa_socket(AF_UNIX, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_connect(c, there.c), ECONNREFUSED);
    expect_sentence(__LINE__, "connect", port, "refused");
    EXPECT_ERR(stoa_bind(c, taken.c), EADDRINUSE);
    expect_sentence(__LINE__, "bind", strrchr(taken.c, ':'), "");
    EXPECT_ERR(stoa_bind(c, "192.0.2.1:80"), EADDRNOTAVAIL);
    expect_sentence(__LINE__, "bind", "192.0.2.1:80", "");
    EXPECT_ERR(stoa_dial(there.c, NULL), ECONNREFUSED);
    expect_sentence(__LINE__, "dial", port, "refused");
    EXPECT_ERR(stoa_announce(taken.c, NULL), EADDRINUSE);
    expect_sentence(__LINE__, "announce", strrchr(taken.c, ':'), "");
    EXPECT_ERR(stoa_connect(u, "unix:/no/such/path"), ENOENT);
    expect_sentence(__LINE__, "connect", "/no/such/path", "no such");
    EXPECT_ERR(stoa_resolve("127.0.0.1:nosuchport", &(struct stoa_addr){.len = 0}, 1), ENOENT);
    expect_sentence(__LINE__, "resolve", "nosuchport", NULL);
    EXPECT_OK(stoa_close(s) | stoa_close(c) | stoa_close(u));
}
ON_EVERY_BACKEND(addresses_are_named)

/* Which part of an address text is wrong. */
TEST(the_wrong_part_of_a_text_is_named)
{
    static const struct {
        const char *text;
        const char *part;
    } bad[] = {
        {"127.0.0.1:70000", "70000"},
        {"127.0.0.1:80x", "80x"},
        {"127.1:80", "127.1"},
        {"[::g]:80", "::g"},
        {"gopher://x:70", "gopher"},
        {"127.0.0.1", "port"},
        {"[fe80::1%nosuchif]:80", "nosuchif"},
        {"0177.0.0.1:80", "0177.0.0.1"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct stoa_addr a;

        EXPECT_ERR(stoa_addr_parse(&a, bad[i].text), EINVAL);
        expect_sentence(__LINE__, "addr_parse", bad[i].part, "");
    }
}

TEST(the_peer_is_named)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL), d = stoa_accept(s, NULL);
    struct stoa_addr self = self_addr(c);
    char port[16], byte;

    snprintf(port, sizeof(port), ":%d", port_of(&self));
    stoa_settimeout(d, 0.01);
    EXPECT_ERR(stoa_recv(d, &byte, 1, 0), ETIME);
    expect_sentence(__LINE__, "recv", port, "time");
    EXPECT_OK(stoa_abort(c));
    stoa_settimeout(d, -1);
    EXPECT_ERR(stoa_recv(d, &byte, 1, 0), ECONNRESET);
    expect_sentence(__LINE__, "recv", port, "reset");
    EXPECT_OK(stoa_close(d) | stoa_close(s));
}
ON_EVERY_BACKEND(the_peer_is_named)

TEST(three_codes_three_sentences)
{
    struct pair p = pair_make();
    char byte, time[1024], handle[1024];

    stoa_settimeout(p.near, 0.001);
    EXPECT_ERR(stoa_recv(p.near, &byte, 1, 0), ETIME);
    snprintf(time, sizeof(time), "%s", stoa_errmsg());
    pair_close(&p);
    EXPECT_ERR(stoa_recv(3, &byte, 1, 0), EBADF);
    snprintf(handle, sizeof(handle), "%s", stoa_errmsg());
    EXPECT_NE(strcmp(time, handle), 0);
    EXPECT(strstr(time, "Timer expired") == NULL); /* libc's word for ETIME says nothing */
}
ON_EVERY_BACKEND(three_codes_three_sentences)

static int sentence_there(struct beside *me)
{
    (void)me;
    stoa_socket(9999, 1, 0);
    return said("socket");
}

TEST(sentences_do_not_mix)
{
    struct beside b;

    stoa_recv(-1, NULL, 0, 0);
    beside(&b, sentence_there, NULL);
    EXPECT_EQ(beside_join(&b), 1);
    EXPECT_SAID("recv");
}
ON_EVERY_PAIRING(sentences_do_not_mix)

/* Whatever a peer or a path contains, no sentence carries a terminal's commands. */
TEST(control_characters_do_not_reach_the_sentence)
{
    int c = stoa_socket(AF_UNIX, SOCK_STREAM, 0);
    struct stoa_addr a;

    EXPECT_EQ(stoa_connect(c, "unix:/no/such\x1b[31m\npath"), -1);
    for (const char *p = stoa_errmsg(); *p; p++)
        EXPECT((unsigned char)*p >= 32);
    EXPECT_EQ(stoa_addr_parse(&a, "1.2.3.4\x1b]0;evil\a:80"), -1);
    for (const char *p = stoa_errmsg(); *p; p++)
        EXPECT((unsigned char)*p >= 32);
    EXPECT_OK(stoa_close(c));
}
ON_EVERY_BACKEND(control_characters_do_not_reach_the_sentence)

TEST(the_version_is_told)
{
    EXPECT_EQ(strspn(stoa_version(), "0123456789."), strlen(stoa_version()));
    EXPECT_GE(strlen(stoa_version()), 5);
}
