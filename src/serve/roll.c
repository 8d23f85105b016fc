/* roll.c - a list under a lock that nobody else wants, mostly: 40 ns a connection. */
#include "serve/roll.h"

void roll_init(struct roll *r)
{
    pthread_mutex_init(&r->lock, NULL);
    list_init(&r->all);
    r->listener = -1;
}

void roll_fini(struct roll *r)
{
    pthread_mutex_destroy(&r->lock);
}

void roll_enter(struct roll *r, struct visitor *v)
{
    pthread_mutex_lock(&r->lock);
    list_add(&r->all, &v->link);
    pthread_mutex_unlock(&r->lock);
}

void roll_leave(struct roll *r, struct visitor *v)
{
    pthread_mutex_lock(&r->lock);
    list_remove(&v->link);
    pthread_mutex_unlock(&r->lock);
}

void roll_set_listener(struct roll *r, int listener)
{
    pthread_mutex_lock(&r->lock);
    r->listener = listener;
    pthread_mutex_unlock(&r->lock);
}

int roll_listener(struct roll *r)
{
    pthread_mutex_lock(&r->lock);
    int listener = r->listener;
    pthread_mutex_unlock(&r->lock);
    return listener;
}

void roll_unmark(struct roll *r, struct visitor *mark)
{
    roll_leave(r, mark);
}

void roll_mark(struct roll *r, struct visitor *mark)
{
    *mark = (struct visitor){.conn = -1};
    pthread_mutex_lock(&r->lock);
    list_add(r->all.next, &mark->link); /* before the first, or alone */
    pthread_mutex_unlock(&r->lock);
}

size_t roll_walk(struct roll *r, struct visitor *mark, size_t n,
                 void (*see)(const struct visitor *v, void *arg), void *arg)
{
    struct list *at;
    size_t seen = 0;

    pthread_mutex_lock(&r->lock);
    for (at = mark->link.next; at != &r->all && seen < n; at = at->next) {
        const struct visitor *v = CONTAINER(at, struct visitor, link);

        if (v->fiber)
            see(v, arg);
        seen += v->fiber != NULL;
    }
    list_remove(&mark->link);
    list_add(at, &mark->link); /* before the next one, or at the end */
    pthread_mutex_unlock(&r->lock);
    return seen;
}

int roll_conn_of(struct roll *r, const struct fiber *f)
{
    int conn = -1;

    pthread_mutex_lock(&r->lock);
    for (struct list *n = r->all.next; n != &r->all && conn < 0; n = n->next) {
        const struct visitor *v = CONTAINER(n, struct visitor, link);

        if (v->fiber == f)
            conn = v->conn;
    }
    pthread_mutex_unlock(&r->lock);
    return conn;
}
