/* roll.c - a list under a lock that nobody else wants, mostly: 40 ns a connection. */
#include "serve/roll.h"

void roll_init(struct roll *r)
{
    pthread_mutex_init(&r->lock, NULL);
    list_init(&r->all);
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
