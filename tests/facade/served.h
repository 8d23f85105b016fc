/* served.h - stoa_serve() in a thread of its own, with each backend there is; the body is its
 * clients. */
#ifndef TESTS_FACADE_SERVED_H
#define TESTS_FACADE_SERVED_H

#include "backends.h"
#include "unit/watched.h"

#define REASONS 64

/* qemu-user gives the first word of TCP_INFO and no more: without it nobody is overdue,
 * and nobody late. */
#define NEEDS_TCP_INFO()                                                                           \
    if (emulator()) {                                                                              \
        SKIP("an emulator cuts TCP_INFO short");                                                   \
        return;                                                                                    \
    }

struct server {
    struct text at;
    void (*handler)(int conn, void *arg); /* NULL: talk */
    int keep;
    struct stoa_options o;
    int rc;
    int error;
    pthread_t thread;
    pthread_mutex_t lock;
    const char *cut[REASONS]; /* what handlers were told, in their order; under lock */
    int ncut;
    int ntold; /* refusals */
    char told[256];
};

static void talk(int conn, void *arg)
{
    struct server *s = arg;
    char buf[64];

    EXPECT(!stoa_cut_reason());
    for (ssize_t n; (n = stoa_recv(conn, buf, sizeof(buf), 0)) > 0;)
        if (stoa_sendall(conn, buf, (size_t)n, 0) < 0)
            break;
    if (!stoa_cut_reason())
        return;
    EXPECT_EQ(errno, ECANCELED);
    pthread_mutex_lock(&s->lock);
    s->cut[s->ncut++] = stoa_cut_reason();
    pthread_mutex_unlock(&s->lock);
}

static void told(const char *what, void *arg)
{
    struct server *s = arg;

    if (!strstr(what, "refused")) /* accept was out of memory for once (tests/shaky) */
        return;
    EXPECT(!stoa_cut_reason()); /* on the refused client's fiber: it has never been served */
    pthread_mutex_lock(&s->lock);
    s->ntold++;
    snprintf(s->told, sizeof(s->told), "%s", what);
    pthread_mutex_unlock(&s->lock);
}

static void *serve(void *arg)
{
    struct server *s = arg;

    s->rc = stoa_serve(s->at.c, s->handler ? s->handler : talk, s, &s->o);
    s->error = errno;
    return NULL;
}

static bool server_start(struct server *s, const char *backend)
{
    if (!backend_is_there(backend))
        return false;
    s->o.size = sizeof(s->o);
    s->o.backend = backend;
    s->o.tell = told;
    pthread_mutex_init(&s->lock, NULL);
    s->keep = port_keep(&s->at);
    EXPECT_EQ(pthread_create(&s->thread, NULL, serve, s), 0);
    return true;
}

static void server_join(struct server *s)
{
    EXPECT_EQ(pthread_join(s->thread, NULL), 0);
    if (s->rc < 0)
        t_fail(__FILE__, __LINE__, "stoa_serve: errno %d", s->error);
    close(s->keep);
}

static const char *const backends[] = {"epoll", "uring"};
#define NBACKEND        (sizeof(backends) / sizeof(backends[0]))
#define EACH_BACKEND(b) for (size_t b = 0; b < NBACKEND; b++)

#endif
