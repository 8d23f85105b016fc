/* status.c - stoa_status(): all that is alive, each once, whatever comes and goes meanwhile. */
#include "backends.h"
#include "unit/watched.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { STAYING = 150, CHURNING = 300 };

struct server {
    struct text at;
    int keep;
    struct stoa_options o;
    int rc;
    pthread_t thread;
};

static void echo(int conn, void *arg)
{
    char buf[64];

    (void)arg;
    for (ssize_t n; (n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0;)
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
}

static void *serve(void *arg)
{
    struct server *s = arg;

    s->rc = stoa_serve(s->at.c, echo, s, &s->o);
    return NULL;
}

static bool server_start(struct server *s, const char *backend)
{
    if (!backend_is_there(backend))
        return false;
    s->o.size = sizeof(s->o);
    s->o.backend = backend;
    if (!s->at.c[0])
        s->keep = port_keep(&s->at);
    EXPECT_EQ(pthread_create(&s->thread, NULL, serve, s), 0);
    return true;
}

static void server_join(struct server *s)
{
    EXPECT_EQ(pthread_join(s->thread, NULL), 0);
    EXPECT_EQ(s->rc, 0);
    close(s->keep);
}

static void ask(int c)
{
    char buf[2];

    EXPECT_OK(stoa_sendall(c, "hi", 2, 0));
    EXPECT_EQ(stoa_recvall(c, buf, 2), 2);
}

/* How many lines have both. */
static int lines_with(const char *text, const char *a, const char *b)
{
    int n = 0;
    size_t len;

    for (const char *line = text; *line; line += len + (line[len] == '\n')) {
        char copy[1024];

        len = strcspn(line, "\n");
        snprintf(copy, sizeof(copy), "%.*s ", (int)len, line);
        n += strstr(copy, a) && strstr(copy, b);
    }
    return n;
}

/* Until the only connection is as told: a fiber parks after it has answered.  An emulator has
 * neither process_vm_readv(2) nor more than the first word of TCP_INFO. */
static void until_it_says(const char *a, const char *b)
{
    for (bool says = false; !says;) {
        char *text = stoa_status();

        says = lines_with(text, a, b) == 1;
        free(text);
        breathe();
    }
}

static const char *const backends[] = {"epoll", "uring"};
#define EACH_BACKEND(b) for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++)

TEST(it_tells_of_servers_listeners_and_connections)
{
    EACH_BACKEND(b)
    {
        struct server s = {.o = {.count = 1, .workers = 2}};
        char peer[600], listener[600];

        if (!server_start(&s, backends[b]))
            continue;
        int c = dial_soon(s.at.c);
        ask(c);
        snprintf(peer, sizeof(peer), " peer=%s ", self_text(c).c);
        snprintf(listener, sizeof(listener), " addr=%s ", s.at.c);
        until_it_says(peer, emulator() ? " does=unknown " : " in=2 out=2 does=waits for=recv ");
        char *text = stoa_status();
        EXPECT_EQ(lines_with(text, "connection ", " in="), emulator() ? 0 : 1);
        EXPECT_EQ(lines_with(text, "server pid=", backends[b]), 1);
        EXPECT_EQ(lines_with(text, " workers=2 connections=1 ", " stopping=no "), 1);
        EXPECT_EQ(lines_with(text, "connection ", ""), 1);
        free(text);
        EXPECT_OK(stoa_close(c));
        server_join(&s);
        text = stoa_status();
        EXPECT_STR(text, "");
        free(text);
    }
}

TEST(a_listener_has_its_queue_and_limit)
{
    if (emulator()) {
        SKIP("an emulator tells nothing of a listener");
        return;
    }
    struct server s = {.o = {.count = 1000000, .workers = 1, .max_conns = 1, .backlog = 7}};

    if (!server_start(&s, "epoll"))
        return;
    int served = dial_soon(s.at.c), waits;
    ask(served);
    waits = stoa_dial(s.at.c, NULL);
    until_it_says("listener worker=1 ", " queue=1 limit=7 drops=0 ");
    EXPECT_OK(stoa_close(served));
    EXPECT_OK(stoa_close(waits));
    stoa_stop();
    server_join(&s);
}

TEST(unix_connections_are_there_without_what_nobody_counts)
{
    struct server s = {.at = unix_path(), .keep = -1, .o = {.count = 1, .workers = 1}};

    if (!server_start(&s, "epoll"))
        return;
    int c = dial_soon(s.at.c);
    ask(c);
    until_it_says("connection worker=1 peer=",
                  emulator() ? " does=unknown " : " does=waits for=recv ");
    char *text = stoa_status();
    EXPECT_EQ(lines_with(text, "connection ", " in="), 0);
    free(text);
    EXPECT_OK(stoa_close(c));
    EXPECT_EQ(pthread_join(s.thread, NULL), 0);
}

static void *churn(void *at)
{
    for (int i = 0; i < CHURNING; i++) {
        int c = stoa_dial(at, NULL);

        EXPECT_OK(c);
        ask(c);
        EXPECT_OK(stoa_close(c));
    }
    return NULL;
}

TEST(who_stays_is_told_once_while_others_come_and_go)
{
    EACH_BACKEND(b)
    {
        struct server s = {.o = {.count = STAYING + 2 * CHURNING, .workers = 2}};
        int c[STAYING];
        static char peer[STAYING][600];
        pthread_t t[2];

        if (!server_start(&s, backends[b]))
            continue;
        for (int i = 0; i < STAYING; i++) {
            c[i] = dial_soon(s.at.c);
            ask(c[i]);
            snprintf(peer[i], sizeof(peer[i]), " peer=%s ", self_text(c[i]).c);
        }
        for (int i = 0; i < 2; i++)
            EXPECT_EQ(pthread_create(&t[i], NULL, churn, s.at.c), 0);
        for (int round = 0; round < 20; round++) {
            char *text = stoa_status();

            for (int i = 0; i < STAYING; i++)
                EXPECT_EQ(lines_with(text, "connection ", peer[i]), 1);
            free(text);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(t[i], NULL);
        for (int i = 0; i < STAYING; i++)
            EXPECT_OK(stoa_close(c[i]));
        server_join(&s);
    }
}
