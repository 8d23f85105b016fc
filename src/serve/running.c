/* running.c - stoa_let_go(): who listens stops, and leaves the queue to others who have it.
 *
 * A server that lets go goes on as one that has had its count of connections: it closes its
 * listeners, serves those that it has, and returns.
 *
 * What holds: a server is on the list while it may be told.  One whose workers do not stand yet
 * sees let_go when they do.
 */
#include "serve/running.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list running = {&running, &running}; /* under lock: struct server */
static bool ended;                                 /* under lock, as those below */
static int narranging;
static bool is_copied;
static pthread_cond_t arranged = PTHREAD_COND_INITIALIZER;

/* Those of the parent are not here. */
static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&arranged, NULL);
    list_init(&running);
    ended = false;
    is_copied = false;
    narranging = 0;
}

static void begin(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

void running_arranges(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin);
    pthread_mutex_lock(&lock);
    narranging++;
    pthread_mutex_unlock(&lock);
}

void running_arranged(void)
{
    pthread_mutex_lock(&lock);
    narranging--;
    pthread_cond_broadcast(&arranged);
    pthread_mutex_unlock(&lock);
}

bool running_is_copied(void)
{
    pthread_mutex_lock(&lock);
    bool is = is_copied;
    pthread_mutex_unlock(&lock);
    return is;
}

void running_copy(void)
{
    pthread_mutex_lock(&lock);
    is_copied = true;
    while (narranging > 0)
        pthread_cond_wait(&arranged, &lock);
}

void running_copied(void)
{
    pthread_mutex_unlock(&lock);
}

void running_goes_on(void)
{
    pthread_mutex_lock(&lock);
    is_copied = false;
    pthread_mutex_unlock(&lock);
}

void running_add(struct server *sv)
{
    pthread_mutex_lock(&lock);
    list_add(&running, &sv->running);
    if (ended)
        worker_let_go(sv);
    pthread_mutex_unlock(&lock);
}

void running_remove(struct server *sv)
{
    pthread_mutex_lock(&lock);
    list_remove(&sv->running);
    pthread_mutex_unlock(&lock);
}

static void let_go(bool for_good)
{
    pthread_mutex_lock(&lock);
    ended = ended || for_good;
    for (struct list *n = running.next; n != &running; n = n->next)
        worker_let_go(CONTAINER(n, struct server, running));
    pthread_mutex_unlock(&lock);
}

void running_end(void)
{
    let_go(true);
}

int stoa_let_go(void)
{
    let_go(false);
    return 0;
}
