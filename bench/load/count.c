/* count.c - time, what is counted of a server in its slices, and the report.
 *
 * The server's processor time is read by clock_gettime(2) on its process clock: all
 * threads, user and system, exact to the nanosecond even while it runs (schedstat
 * in /proc is up to a scheduler tick late).  It contains what the kernel's network
 * code did in the server's context, and not what it did in ours.
 *
 * Latencies go to a log-linear histogram of 64 steps to a power of two, so a
 * percentile is right to 1.6 %; none is printed that fewer than ten messages exceed.
 *
 * "limit" in the report says who could do no more: the generator when it was busy (over
 * 95 %) and the server was not, or when it could not keep an open loop's schedule.
 */
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) < 0)
        fail("the server has ended: %s", strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int64_t server_ns(pid_t pid)
{
    clockid_t clock;

    if (pid == 0)
        return 0;
    if (clock_getcpuclockid(pid, &clock))
        fail("there is no process %d", pid);
    return (int64_t)clock_ns(clock);
}

static void hist_add(struct hist *h, uint64_t value)
{
    unsigned shift = 0;

    if (value > h->max)
        h->max = value;
    if (value >= HIST_SUB)
        shift = (unsigned)(63 - __builtin_clzll(value)) - 5;
    size_t bin = (size_t)shift * (HIST_SUB / 2) + (size_t)(value >> shift);
    h->bins[bin < HIST_LEN ? bin : HIST_LEN - 1]++;
    h->count++;
}

static uint64_t hist_at(const struct hist *h, double part)
{
    uint64_t below = (uint64_t)((double)h->count * part), seen = 0;

    for (size_t bin = 0; bin < HIST_LEN; bin++) {
        seen += h->bins[bin];
        if (seen <= below)
            continue;
        size_t shift = bin < HIST_SUB ? 0 : bin / (HIST_SUB / 2) - 1;
        return (uint64_t)(bin - shift * (HIST_SUB / 2)) << shift;
    }
    return h->max;
}

void count_begin(struct target *t)
{
    t->counting = true;
    t->self_ns -= (int64_t)clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    t->wall_ns -= (int64_t)now_ns();
    t->slice_message = t->nmessage;
    t->slice_ns = server_ns(t->pid);
}

void count_end(struct target *t)
{
    int64_t spent_ns = server_ns(t->pid) - t->slice_ns;
    t->wall_ns += (int64_t)now_ns();
    t->self_ns += (int64_t)clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    t->server_ns += spent_ns;
    t->counting = false;
    t->slice_us[t->nslice++] = (double)spent_ns / 1e3 / (double)(t->nmessage - t->slice_message);
}

void count_message(struct target *t, uint64_t latency_ns)
{
    if (!t->counting)
        return;
    t->nmessage++;
    hist_add(&t->latency, latency_ns);
}

void count_lag(struct target *t, uint64_t lag_ns)
{
    if (t->counting)
        hist_add(&t->lag, lag_ns);
}

static void print_percentile(const char *name, const struct hist *h, double part)
{
    if ((double)h->count * (1 - part) >= 10)
        printf(", \"%s\": %.1f", name, (double)hist_at(h, part) / 1e3);
    else
        printf(", \"%s\": null", name);
}

static const char *limit(const struct target *t, const struct options *o, double self,
                         double server)
{
    if (o->rate > 0)
        return hist_at(&t->lag, 0.99) > 1000000 ? "generator" : "schedule";
    if (self > 0.95)
        return server > 0.95 ? "both" : "generator";
    return server > 0.95 ? "server" : "latency";
}

void count_print(const struct target *t, const struct options *o)
{
    double wall = (double)t->wall_ns, n = (double)t->nmessage;
    double self = (double)t->self_ns / wall, server = (double)t->server_ns / wall;

    if (t->nmessage == 0)
        fail("no message came back in %.1f s", wall / 1e9);
    printf("{\"mode\": \"%s\", \"conns\": %u, \"idle\": %u, \"size\": %zu, \"pipeline\": %u",
           o->churn      ? "churn"
           : o->rate > 0 ? "open"
                         : "closed",
           o->nconn, o->nidle, o->size, o->pipeline);
    printf(", \"rate\": %.0f, \"seconds\": %.6f, \"messages\": %.0f, \"per_sec\": %.0f", o->rate,
           wall / 1e9, n, n / wall * 1e9);
    print_percentile("p50_us", &t->latency, 0.50);
    print_percentile("p99_us", &t->latency, 0.99);
    print_percentile("p999_us", &t->latency, 0.999);
    printf(", \"max_us\": %.1f", (double)t->latency.max / 1e3);
    if (o->rate > 0)
        print_percentile("lag_p99_us", &t->lag, 0.99);
    if (t->pid) {
        printf(", \"server_us\": %.4f, \"server_busy\": %.4f, \"slices_us\": [",
               (double)t->server_ns / 1e3 / n, server);
        for (unsigned i = 0; i < t->nslice; i++)
            printf("%s%.4f", i ? ", " : "", t->slice_us[i]);
        printf("]");
    }
    printf(", \"self_us\": %.4f, \"self_busy\": %.4f, \"limit\": \"%s\"}\n",
           (double)t->self_ns / 1e3 / n, self, limit(t, o, self, server));
}
