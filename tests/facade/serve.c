/* serve.c - stoa_serve(): many clients, one handler; counts, limits, and clients that leave.
 *
 * The server runs in a thread of its own, or in a fiber; the body is its clients.  Its
 * port is kept by a bound socket (port_keep), so nobody else can take it.
 */
#include "backends.h"

#include <ctype.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct server {
    const char *at;
    void (*handler)(int conn, void *arg);
    void *arg;
    struct stoa_options o;
    int listener; /* stoa_serve_on()'s */
    int rc;
    int error;
    pthread_t thread;
};

static int serve(void *arg)
{
    struct server *s = arg;

    s->rc = stoa_serve(s->at, s->handler, s->arg, &s->o);
    s->error = errno;
    return 0;
}

static void *serve_on_thread(void *arg)
{
    serve(arg);
    return NULL;
}

static void *serve_on_fiber(void *arg)
{
    EXPECT_EQ(stoa_run(serve, arg, NULL), 0);
    return NULL;
}

static void server_start(struct server *s, bool fiber)
{
    s->o.size = sizeof(s->o);
    EXPECT_EQ(pthread_create(&s->thread, NULL, fiber ? serve_on_fiber : serve_on_thread, s), 0);
}

static void server_join(struct server *s)
{
    EXPECT_EQ(pthread_join(s->thread, NULL), 0);
    if (s->rc < 0)
        t_fail(__FILE__, __LINE__, "stoa_serve: errno %d", s->error);
}

static void upper(int conn, void *arg)
{
    char buf[1024];
    ssize_t n;

    if (arg)
        atomic_fetch_add((atomic_int *)arg, 1);
    while ((n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            buf[i] = (char)toupper((unsigned char)buf[i]);
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
    }
}

static void ask(int c, const char *question, const char *answer)
{
    char buf[64] = "";

    EXPECT_OK(stoa_sendall(c, question, strlen(question), 0));
    EXPECT_EQ(stoa_recvall(c, buf, strlen(question)), strlen(question));
    EXPECT_STR(buf, answer);
}

static void serves(const char *at, struct server *s, bool fiber)
{
    int c[20];
    atomic_int seen = 0;

    s->at = at;
    s->handler = upper;
    s->arg = &seen;
    s->o.count = 20;
    server_start(s, fiber);
    for (int i = 0; i < 20; i++) {
        c[i] = dial_soon(at);
        EXPECT_OK(c[i]);
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 20; i++)
            ask(c[i], "hello, world", "HELLO, WORLD");
    for (int i = 0; i < 20; i++)
        EXPECT_OK(stoa_close(c[i]));
    server_join(s);
    EXPECT_EQ(s->rc, 0);
    EXPECT_EQ(atomic_load(&seen), 20);
}

TEST(many_clients_at_once_and_back_after_count)
{
    for (int workers = 0; workers <= 3; workers++)
        for (int fiber = 0; fiber < 2; fiber++) {
            struct text where;
            int keep = port_keep(&where);
            struct server s = {.o = {.workers = workers}};

            serves(where.c, &s, fiber);
            close(keep);
        }
}

TEST(unix_clients_are_served)
{
    for (int workers = 0; workers <= 3; workers++) {
        struct text where = unix_path();
        struct server s = {.o = {.workers = workers, .mode = 0660}};

        serves(where.c, &s, workers == 1);
    }
}

/* The question is there and stays unread: one that came after the close would be answered by
 * a reset, whoever closes. */
static void returns_without_close(int conn, void *arg)
{
    (void)arg;
    EXPECT_EQ(stoa_poll(conn, POLLIN), POLLIN);
    stoa_sendall(conn, "bye", 3, 0);
}

static void closes(int conn, void *arg)
{
    (void)arg;
    EXPECT_EQ(stoa_poll(conn, POLLIN), POLLIN);
    stoa_sendall(conn, "bye", 3, 0);
    stoa_close(conn);
}

static void aborts(int conn, void *arg)
{
    char c;

    (void)arg;
    stoa_recv(conn, &c, 1, 0);
    stoa_abort(conn);
}

static void detaches(int conn, void *arg)
{
    atomic_store((atomic_int *)arg, stoa_detach(conn));
}

TEST(a_handlers_connection_is_closed_when_it_returns)
{
    void (*const handlers[])(int, void *) = {returns_without_close, closes};

    for (int i = 0; i < 2; i++) {
        struct text where;
        int keep = port_keep(&where);
        struct server s = {.at = where.c, .handler = handlers[i], .o = {.count = 10}};
        char buf[8];

        server_start(&s, false);
        for (int j = 0; j < 10; j++) {
            int c = dial_soon(where.c);
            EXPECT_OK(stoa_sendall(c, "?", 1, 0));
            EXPECT_EQ(stoa_recvall(c, buf, 8), 3);
            EXPECT_OK(stoa_close(c));
        }
        server_join(&s);
        close(keep);
    }
}

TEST(a_handler_may_abort_or_detach)
{
    struct text where;
    int keep = port_keep(&where);
    struct server s = {.at = where.c, .handler = aborts, .o = {.count = 1}};
    atomic_int fd = -1;
    char c;

    server_start(&s, false);
    int conn = dial_soon(where.c);
    EXPECT_OK(stoa_sendall(conn, "x", 1, 0));
    EXPECT_ERR(stoa_recv(conn, &c, 1, 0), ECONNRESET);
    EXPECT_OK(stoa_close(conn));
    server_join(&s);

    s.handler = detaches;
    s.arg = &fd;
    server_start(&s, false);
    conn = dial_soon(where.c);
    server_join(&s);
    EXPECT_EQ(write(atomic_load(&fd), "x", 1), 1);
    EXPECT_EQ(stoa_recv(conn, &c, 1, 0), 1);
    EXPECT_OK(stoa_close(conn));
    EXPECT_EQ(close(atomic_load(&fd)), 0);
    close(keep);
}

static void tells_its_time(int conn, void *arg)
{
    char c;

    *(double *)arg = stoa_gettimeout(conn);
    if (stoa_recv(conn, &c, 1, 0) < 0 && errno == ETIME)
        stoa_sendall(conn, "late", 4, 0);
}

TEST(each_connection_has_the_timeout_asked_for)
{
    struct text where;
    int keep = port_keep(&where);
    double timeout = 0;
    struct server s = {.at = where.c,
                       .handler = tells_its_time,
                       .arg = &timeout,
                       .o = {.count = 1, .timeout = 0.05}};
    char buf[4];

    server_start(&s, false);
    int c = dial_soon(where.c);
    EXPECT_EQ(stoa_recvall(c, buf, 4), 4);
    server_join(&s);
    EXPECT_EQ(timeout, 0.05);
    EXPECT_OK(stoa_close(c));
    close(keep);
}

static atomic_int inside, most;

static void counts_who_is_inside(int conn, void *arg)
{
    int n = atomic_fetch_add(&inside, 1) + 1;
    char c;

    for (int old = atomic_load(&most); n > old && !atomic_compare_exchange_weak(&most, &old, n);)
        ;
    stoa_sendall(conn, "+", 1, 0);
    stoa_recv(conn, &c, 1, 0);
    atomic_fetch_sub(&inside, 1);
    (void)arg;
}

/* "When max_conns run out, clients wait in the listener's queue", and are served then. */
TEST(no_more_connections_at_once_than_max_conns)
{
    for (int workers = 1; workers <= 2; workers++) {
        struct text where;
        int keep = port_keep(&where), c[12];
        struct server s = {.at = where.c,
                           .handler = counts_who_is_inside,
                           .o = {.count = 12, .max_conns = 4, .workers = workers}};
        char byte;

        atomic_store(&most, 0);
        server_start(&s, false);
        for (int i = 0; i < 12; i++)
            c[i] = dial_soon(where.c);
        for (int i = 0; i < 12; i++) {
            /* Whoever is inside has its plus; others get it when somebody leaves. */
            int j = 0;
            do
                j = (j + 1) % 12;
            while (c[j] < 0 || stoa_recv(c[j], &byte, 1, MSG_DONTWAIT) != 1);
            EXPECT_OK(stoa_close(c[j]));
            c[j] = -1;
        }
        server_join(&s);
        EXPECT_LE(atomic_load(&most), 4);
        EXPECT_GE(atomic_load(&most), 1);
        EXPECT_EQ(atomic_load(&inside), 0);
        close(keep);
    }
}

/* The port is told by the listener before anybody serves. */
static int serve_on(void *arg)
{
    struct server *s = arg;

    s->rc = stoa_serve_on(s->listener, s->handler, s->arg, &s->o);
    s->error = errno;
    return 0;
}

static void *serve_on_thread_on(void *arg)
{
    serve_on(arg);
    return NULL;
}

static void *serve_on_fiber_on(void *arg)
{
    EXPECT_EQ(stoa_run(serve_on, arg, NULL), 0);
    return NULL;
}

/* at has port 0; clients come by loopback. */
static void serves_a_listener(const char *at, bool fiber)
{
    struct stoa_addr a;
    struct text where, own;
    struct server s = {.handler = upper, .o = {.size = sizeof(s.o), .count = 3}};

    s.listener = stoa_announce(at, NULL);
    EXPECT_OK(s.listener);
    EXPECT_OK(stoa_getsockname(s.listener, &a));
    stoa_addr_text(&a, own.c, sizeof(own.c));
    snprintf(where.c, sizeof(where.c), "127.0.0.1%s", strrchr(own.c, ':'));
    EXPECT_EQ(pthread_create(&s.thread, NULL, fiber ? serve_on_fiber_on : serve_on_thread_on, &s),
              0);
    for (int i = 0; i < 3; i++) {
        int c = stoa_dial(where.c, NULL);

        EXPECT_OK(c);
        ask(c, "hello", "HELLO");
        EXPECT_OK(stoa_close(c));
    }
    server_join(&s);
    EXPECT_ERR(stoa_close(s.listener), EBADF);
}

static void leave(int conn, void *arg)
{
    (void)conn;
    (void)arg;
}

/* How many clients have begun; and had, when the first one's turn came again. */
struct crowd {
    atomic_int began, meanwhile;
};

/* All but the first wait for their client. */
static void counts_the_crowd(int conn, void *arg)
{
    struct crowd *crowd = arg;
    char c;

    if (atomic_fetch_add(&crowd->began, 1) > 0) {
        EXPECT_EQ(stoa_recv(conn, &c, 1, 0), 0);
        return;
    }
    stoa_yield();
    atomic_store(&crowd->meanwhile, atomic_load(&crowd->began));
}

TEST(a_crowd_in_the_queue_lets_others_have_their_turn)
{
    enum { CROWD = 120 };
    struct crowd crowd = {0};
    struct server s = {.handler = counts_the_crowd, .arg = &crowd};
    struct stoa_addr a;
    struct text own;
    int c[CROWD];

    s.o = (struct stoa_options){.size = sizeof(s.o), .count = CROWD, .workers = 1};
    s.listener = stoa_announce("127.0.0.1:0", NULL);
    EXPECT_OK(stoa_getsockname(s.listener, &a));
    stoa_addr_text(&a, own.c, sizeof(own.c));
    for (int i = 0; i < CROWD; i++)
        EXPECT_OK(c[i] = stoa_dial(own.c, NULL));
    EXPECT_EQ(pthread_create(&s.thread, NULL, serve_on_thread_on, &s), 0);
    while (atomic_load(&crowd.meanwhile) == 0)
        sched_yield();
    for (int i = 0; i < CROWD; i++)
        EXPECT_OK(stoa_close(c[i]));
    server_join(&s);
    EXPECT_EQ(crowd.began, CROWD);
    EXPECT_LT(crowd.meanwhile, CROWD / 2);
}

static void *serve_on_two(void *arg)
{
    struct stoa_options o = {.size = sizeof(o), .workers = 2, .count = 0};

    EXPECT_OK(stoa_serve_on(*(int *)arg, leave, NULL, &o));
    return NULL;
}

/* How many listeners there are on a port of ours, by the kernel's word. */
static int listeners(int port)
{
    FILE *f = fopen("/proc/net/tcp", "re");
    char line[256], at[16];
    int n = 0;

    snprintf(at, sizeof(at), ":%04X ", (unsigned)port);
    while (f && fgets(line, sizeof(line), f))
        n += strstr(line, at) && strstr(line, " 0A ") && strstr(line, at) < strstr(line, " 0A ");
    if (f)
        fclose(f);
    return n;
}

static void serve_and_count(int s, int expected)
{
    struct stoa_addr a;
    struct text own;
    pthread_t thread;

    EXPECT_OK(stoa_getsockname(s, &a));
    stoa_addr_text(&a, own.c, sizeof(own.c));
    int port = atoi(strrchr(own.c, ':') + 1);

    EXPECT_EQ(pthread_create(&thread, NULL, serve_on_two, &s), 0);
    for (double start = now(); listeners(port) != expected && now() - start < 300;)
        sched_yield();
    EXPECT_EQ(listeners(port), expected);
    stoa_stop();
    EXPECT_EQ(pthread_join(thread, NULL), 0);
}

/* The others would not have them: a device, keys, a filter. */
TEST(a_listener_with_options_of_its_own_is_not_joined_by_others)
{
    int one = 1;
    int s = stoa_announce("127.0.0.1:0", NULL);

    serve_and_count(s, 2);
    s = stoa_announce("127.0.0.1:0", NULL);
    EXPECT_OK(stoa_setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)));
    serve_and_count(s, 1);
}

/* The option would stay on the parent's open file: another program could share its port. */
TEST(a_listener_of_our_parent_gets_no_SO_REUSEPORT)
{
    int on = 1, status;
    socklen_t len = sizeof(on);
    int s = stoa_announce("127.0.0.1:0", NULL);
    pid_t child = fork();

    if (child == 0) {
        struct stoa_options o = {.size = sizeof(o), .workers = 2, .count = 0};

        stoa_stop();
        _exit(stoa_serve_on(s, leave, NULL, &o) < 0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_OK(stoa_getsockopt(s, SOL_SOCKET, SO_REUSEPORT, &on, &len));
    EXPECT_EQ(on, 0);
    EXPECT_OK(stoa_close(s));
}

TEST(a_listener_of_our_own_is_served)
{
    serves_a_listener("127.0.0.1:0", false);
    serves_a_listener("127.0.0.1:0", true);
}

TEST(every_interface_is_served)
{
    serves_a_listener(":0", false);
    serves_a_listener(":0", true);
}

static void handler_of_none(int conn, void *arg)
{
    (void)conn;
    (void)arg;
}

TEST(what_cannot_be_served)
{
    struct stoa_options bad[] = {
        {.size = 1},
        {.size = sizeof(bad[0]), .workers = -1},
        {.size = sizeof(bad[0]), .workers = 1025},
        {.size = sizeof(bad[0]), .backend = "nosuch"},
        {.size = sizeof(bad[0]), .drain = -1},
        {.size = sizeof(bad[0]), .drain = (double)NAN},
        {.size = sizeof(bad[0]), .timeout = (double)NAN},
        {.size = sizeof(bad[0]), .stack = (size_t)-1},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 0;
        int rc = stoa_serve("127.0.0.1:0", handler_of_none, NULL, &bad[i]);
        if (rc != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "options %zu: %d, errno %d", i, rc, errno);
        if (!said("serve"))
            t_fail(__FILE__, __LINE__, "options %zu: \"%s\"", i, stoa_errmsg());
    }
    EXPECT_ERR(stoa_serve("udp://127.0.0.1:0", handler_of_none, NULL, NULL), EINVAL);
    EXPECT_ERR(stoa_serve("127.0.0.1", handler_of_none, NULL, NULL), EINVAL);
    EXPECT_ERR(stoa_serve("192.0.2.1:80", handler_of_none, NULL, NULL), EADDRNOTAVAIL);
    EXPECT_SAID("192.0.2.1:80");
}
ON_EVERY_BACKEND(what_cannot_be_served)

TEST(what_cannot_be_served_on)
{
    struct stoa_options bad = {.size = sizeof(bad), .workers = -1};
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);
    int d = stoa_announce("udp://127.0.0.1:0", NULL);
    int l = stoa_announce("127.0.0.1:0", NULL);

    EXPECT_ERR(stoa_serve_on(s, handler_of_none, NULL, NULL), EINVAL);
    EXPECT_SAID("listen");
    EXPECT_ERR(stoa_serve_on(d, handler_of_none, NULL, NULL), EINVAL);
    EXPECT_SAID("datagram");
    EXPECT_ERR(stoa_serve_on(l, handler_of_none, NULL, &bad), EINVAL);
    EXPECT_SAID("workers");
    EXPECT_OK(stoa_close(s));
    EXPECT_OK(stoa_close(d));
    EXPECT_OK(stoa_close(l));
    EXPECT_ERR(stoa_serve_on(l, handler_of_none, NULL, NULL), EBADF);
}
ON_EVERY_BACKEND(what_cannot_be_served_on)

TEST(a_port_in_use_is_not_served)
{
    struct text where;
    int s = listener_make(TCP4, &where);

    EXPECT_ERR(stoa_serve(where.c, handler_of_none, NULL, NULL), EADDRINUSE);
    EXPECT_SAID("serve");
    EXPECT_SAID(strchr(where.c, ':'));
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(a_port_in_use_is_not_served)

/* Clients that leave at once, in the middle of a message, by reset, or send nothing. */
TEST(clients_may_leave_as_they_like)
{
    struct text where;
    int keep = port_keep(&where);
    atomic_int seen = 0;
    struct server s = {.at = where.c, .handler = upper, .arg = &seen, .o = {.count = 200}};

    server_start(&s, false);
    for (int i = 0; i < 200; i++) {
        int c = dial_soon(where.c);

        EXPECT_OK(c);
        if (i % 5 == 4)
            ask(c, "still here", "STILL HERE");
        if (i % 5 == 1 || i % 5 == 3)
            EXPECT_OK(stoa_sendall(c, "half a mess", 11, 0));
        if (i % 5 == 2 || i % 5 == 3)
            EXPECT_OK(stoa_abort(c));
        else
            EXPECT_OK(stoa_close(c));
    }
    server_join(&s);
    EXPECT_EQ(s.rc, 0);
    close(keep);
}

static int serves_here(void *arg)
{
    struct server *s = arg;

    EXPECT_ERR(stoa_serve(s->at, s->handler, s->arg, &s->o), ECANCELED);
    return 0;
}

/* On a fiber: it serves on that worker alone, and ends when it is cancelled. */
FIBER_TEST(serve_on_a_fiber_is_cancelled)
{
    struct text where;
    int keep = port_keep(&where);
    struct stoa_options o = {.size = sizeof(o)};
    struct server s = {.at = where.c, .handler = upper, .o = o};
    struct stoa_group *g = stoa_group_open();

    EXPECT_OK(stoa_go(g, serves_here, &s));
    int c = dial_soon(where.c);
    ask(c, "x", "X");
    EXPECT_OK(stoa_close(c));
    stoa_group_cancel(g);
    EXPECT_OK(stoa_group_join(g));
    EXPECT_ERR(stoa_dial(where.c, NULL), ECONNREFUSED);
    close(keep);
}
