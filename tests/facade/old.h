/* old.h - a server that lets go of its listener, and its clients. */
#ifndef FACADE_OLD_H
#define FACADE_OLD_H

#include "backends.h"

struct old {
    int listener;
    void (*handler)(int conn, void *arg);
    struct stoa_options o;
    struct text at;
    int rc;
    pthread_t thread;
};

static inline int serve(void *arg)
{
    struct old *s = arg;

    s->o.size = sizeof(s->o);
    s->rc = stoa_serve_on(s->listener, s->handler, NULL, &s->o);
    return 0;
}

static inline void *serve_on_thread(void *arg)
{
    serve(arg);
    return NULL;
}

static inline void old_start(struct old *s, enum kind k)
{
    s->listener = listener_make(k, &s->at);
    EXPECT_EQ(pthread_create(&s->thread, NULL, serve_on_thread, s), 0);
}

static inline void old_join(struct old *s)
{
    EXPECT_EQ(pthread_join(s->thread, NULL), 0);
    EXPECT_EQ(s->rc, 0);
}

/* Answers small letters with small letters, so that the two can be told apart. */
static inline void serve_old(int conn, void *arg)
{
    char c;

    (void)arg;
    while (stoa_recv(conn, &c, 1, 0) == 1)
        stoa_sendall(conn, &c, 1, 0);
}

static inline int dial_and_say(const char *to, const char *c)
{
    int conn = stoa_dial(to, NULL);

    EXPECT_OK(conn);
    EXPECT_OK(stoa_sendall(conn, c, 1, 0));
    return conn;
}

static inline void hear(int conn, char want)
{
    char c = 0;

    EXPECT_EQ(stoa_recv(conn, &c, 1, 0), 1);
    EXPECT_EQ(c, want);
}

#endif
