/* progress.c - "12.3 MB in, 0.5 MB out, 4.1 MB/s", drawn over itself twice a second.
 *
 * As pv(1): a transfer that is over in a second shows nothing.  A thread of its own draws,
 * so the threads that move bytes only add to two counters.
 */
#include "cli/progress.h"

#include "base/text.h"
#include "cli/output.h"

#include <time.h>
#include <unistd.h>

static const uint64_t FIRST_NS = 1000000000;
static const uint64_t NEXT_NS = 500000000;

/* In tenths of the largest unit that leaves a whole number. */
static void amount_add(struct text *t, uint64_t bytes)
{
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB"};
    uint64_t tenths = bytes * 10;
    size_t unit = 0;

    while (tenths >= 10000 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        tenths /= 1000;
        unit++;
    }
    text_add_number(t, tenths / 10);
    if (unit) {
        text_add(t, ".");
        text_add_number(t, tenths % 10);
    }
    text_add(t, units[unit]);
}

static void draw(struct progress *p, uint64_t *last, uint64_t ns)
{
    uint64_t in = atomic_load(&p->in);
    uint64_t out = atomic_load(&p->out);
    char buf[128];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    text_add(&t, "\r\033[K");
    amount_add(&t, in);
    text_add(&t, " in, ");
    amount_add(&t, out);
    text_add(&t, " out, ");
    amount_add(&t, (in + out - *last) * 1000 / (ns / 1000000));
    text_add(&t, "/s");
    *last = in + out;
    (void)output_all(STDERR_FILENO, t.buf, t.len);
}

static void *run(void *arg)
{
    struct progress *p = arg;
    uint64_t last = 0;
    uint64_t step_ns = FIRST_NS;
    uint64_t next_ns = output_now_ns() + step_ns;

    pthread_mutex_lock(&p->lock);
    while (!p->over) {
        struct timespec at = {.tv_sec = (time_t)(next_ns / 1000000000),
                              .tv_nsec = (long)(next_ns % 1000000000)};
        if (pthread_cond_clockwait(&p->end, &p->lock, CLOCK_MONOTONIC, &at) == 0)
            continue;
        p->drawn = true;
        draw(p, &last, step_ns);
        step_ns = NEXT_NS;
        next_ns += step_ns;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void progress_start(struct progress *p)
{
    if (!isatty(STDERR_FILENO) || isatty(STDOUT_FILENO))
        return;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->end, NULL);
    p->shown = pthread_create(&p->thread, NULL, run, p) == 0;
}

void progress_stop(struct progress *p)
{
    if (!p->shown)
        return;
    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_cond_signal(&p->end);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    if (p->drawn)
        (void)output_all(STDERR_FILENO, "\r\033[K", 4);
    p->shown = false;
}
