/* offload.c - getaddrinfo, and the user's blocking calls, on threads of their own.
 *
 * A helper starts when there is work and none is idle, HELPERS_MAX at most, and ends after
 * HELPER_IDLE_SEC without work.  So a name server that does not answer holds up only
 * those who asked it: others get further helpers.
 *
 * A call that waits on a helper parks its fiber on an OP_EVENT, or its thread on its
 * eventfd.  One that gives up leaves the job to the helper: getaddrinfo(3) cannot be
 * cancelled.  The job's state, under the lock, says who is last and frees it.
 */
#include "backend/offload.h"

#include "backend/guest.h"
#include "backend/loop.h"
#include "backend/thread.h"
#include "base/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct job {
    struct post post; /* first, for the way back */
    struct list link; /* in queue */
    int (*fn)(void *arg);
    void *arg;
    void (*drop)(void *arg);
    int value;
    int error;
    bool left;         /* the caller has gone; under lock */
    bool done;         /* fn has returned; under lock */
    bool seen;         /* the message has come; the loop's thread only */
    struct loop *loop; /* the caller's; NULL = a thread */
    int event_fd;
    struct op event;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct list queue; /* under lock, as all below */
static unsigned nhelper;
static unsigned nidle;
static unsigned nqueued;

static void posted(struct post *p)
{
    struct job *j = CONTAINER(p, struct job, post);

    j->seen = true;
    if (j->event.state == OP_WAITING)
        op_complete(&j->event, 0);
}

/* fn has returned: tell the caller, or clean up after one who has left. */
static void finish(struct job *j)
{
    uint64_t count = 1;

    pthread_mutex_lock(&lock);
    bool left = j->left;

    j->done = true;
    if (!left && !j->loop && write(j->event_fd, &count, sizeof(count)) < 0)
        count = 0; /* a full counter has the same effect */
    if (!left && j->loop)
        loop_post(j->loop, &j->post);
    pthread_mutex_unlock(&lock);
    if (left) {
        j->drop(j->arg);
        free(j);
    }
}

/* The next job, or NULL after a while without.  Under lock. */
static struct job *next_job(void)
{
    struct timespec t = thread_time_in(HELPER_IDLE_SEC);
    struct list *n;
    int r = 0;

    nidle++;
    while (list_empty(&queue) && r == 0)
        r = pthread_cond_timedwait(&work, &lock, &t);
    nidle--;
    n = list_shift(&queue);
    nqueued -= n != NULL;
    return n ? CONTAINER(n, struct job, link) : NULL;
}

static void *help(void *arg)
{
    struct job *j;

    (void)arg;
    pthread_mutex_lock(&lock);
    while ((j = next_job())) {
        pthread_mutex_unlock(&lock);
        j->value = j->fn(j->arg);
        j->error = errno;
        finish(j);
        pthread_mutex_lock(&lock);
    }
    nhelper--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* A child has no helpers, and the jobs are its parent's. */
static void in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    thread_cond_init(&work);
    list_init(&queue);
    nhelper = 0;
    nidle = 0;
    nqueued = 0;
}

static void begin(void)
{
    list_init(&queue);
    thread_cond_init(&work);
    pthread_atfork(NULL, NULL, in_child);
}

static int enqueue(struct job *j)
{
    int r = 0;

    pthread_mutex_lock(&lock);
    if (nidle <= nqueued && nhelper < HELPERS_MAX) {
        r = thread_start(help, NULL);
        nhelper += r == 0;
    }
    if (nhelper > 0)
        r = 0; /* one of those that are there will come to it */
    if (r == 0) {
        list_add(&queue, &j->link);
        nqueued++;
        pthread_cond_signal(&work);
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static int wait_for(struct job *j, uint64_t until_ns)
{
    struct waiter w = {.event_fd = j->event_fd};

    if (!j->loop)
        return block_sleep(NULL, &w, until_ns);
    j->event = (struct op){
        .kind = OP_EVENT,
        .timeout_ns = -1,
        .scope_ns = until_ns,
    };
    return j->seen ? 0 : (int)op_run(&j->event);
}

/* Give up, unless it is done after all.  true: the helper has the job now. */
static bool leave(struct job *j)
{
    pthread_mutex_lock(&lock);
    bool done = j->done;

    j->left = !done;
    pthread_mutex_unlock(&lock);
    return !done;
}

/* A finished job's message is on its way to us: the job must be there when it comes. */
static void await_message(struct job *j)
{
    while (!j->seen)
        wait_for(j, WHEEL_NEVER);
}

static bool is_done(struct job *j)
{
    pthread_mutex_lock(&lock);
    bool done = j->done;

    pthread_mutex_unlock(&lock);
    return done;
}

int offload_run(int (*fn)(void *arg), void *arg, void (*drop)(void *arg), uint64_t until_ns,
                int *error)
{
    struct job *j;
    int r;

    if (backend_here()->offload)
        return backend_here()->offload(fn, arg, error);
    j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    pthread_once(&once, begin);
    j->post.run = posted;
    j->fn = fn;
    j->arg = arg;
    j->drop = drop;
    j->loop = loop_here;
    j->event_fd = loop_here ? -1 : block_event_fd();
    r = !loop_here && j->event_fd < 0 ? j->event_fd : enqueue(j);
    if (r != 0) {
        free(j);
        return r;
    }
    do {
        r = wait_for(j, drop ? until_ns : WHEEL_NEVER);
        if ((r == -ETIME || r == -ECANCELED) && drop && leave(j))
            return r;
    } while (!is_done(j));
    if (j->loop)
        await_message(j);
    r = j->value;
    if (error)
        *error = j->error;
    free(j);
    return r;
}
