/* bench/live.c - one line on a terminal, or a line a second in a pipe.
 *
 *     [########            ] 4 of 10 s  213,004/s  0 errors  p50 231 us  p99 1.10 ms  max 3.2 ms
 *
 * Times are the last interval's; the rate, of the last tenth of a second or so.  After the run,
 * while answers are still waited for: "for answers: 3 of 10 s".
 */
#include "cli/bench/live.h"

#include "cli/bench/number.h"
#include "cli/output.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 20, LINE_ROOM = 320, COLUMNS_USUAL = 80 };

/* In a pipe. */
static const uint64_t TELL_NS = 1000000000;

static const char AGAIN[] = "\r\033[K";

void live_start(struct live *l, const struct plan *p, bool quiet)
{
    *l = (struct live){.plan = p, .quiet = quiet, .terminal = isatty(STDERR_FILENO)};
}

/* Columns that the line may have: one that is longer could not be drawn over. */
static size_t columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_USUAL;
    return size.ws_col;
}

static void say(struct text *t, const char *text)
{
    text_add(t, text);
}

/* A line of so many bytes, over the last one. */
static void draw(struct live *l, const char *line, size_t len)
{
    char buf[LINE_ROOM];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    text_add(&t, AGAIN);
    text_add_bytes(&t, line, len < columns() - 1 ? len : columns() - 1);
    l->drawn = true;
    (void)output_all(STDERR_FILENO, t.buf, t.len);
}

void live_wait(struct live *l, double seconds)
{
    char line[LINE_ROOM], when[64];
    time_t at = (time_t)l->plan->start_at;
    struct tm local;

    if (l->quiet || l->wait_told)
        return;
    strftime(when, sizeof(when), "%F %T %Z", localtime_r(&at, &local));
    int len =
        snprintf(line, sizeof(line), "begins in %.0f s, at %s (--start-at)", ceil(seconds), when);
    l->wait_told = !l->terminal;
    if (l->terminal)
        draw(l, line, (size_t)len);
    else
        output_say("stoa bench", "%s", line);
}

void live_connect(struct live *l, uint64_t nmade, uint64_t n)
{
    char line[LINE_ROOM], made[NUMBER_ROOM], all[NUMBER_ROOM];
    uint64_t now_ns = output_now_ns();

    if (l->quiet || nmade >= n)
        return;
    int len = snprintf(line, sizeof(line), "%s of %s connections",
                       number_count(made, (double)nmade), number_count(all, (double)n));
    if (l->terminal) {
        draw(l, line, (size_t)len);
    } else if (l->connect_told == 0) {
        l->connect_told = now_ns;
    } else if (now_ns - l->connect_told >= TELL_NS) {
        output_say("stoa bench", "%s", line);
        l->connect_told = now_ns;
    }
}

void live_draw(struct live *l, double seconds, uint64_t nanswer, uint64_t nerror)
{
    double whole = l->plan->duration_sec, since = seconds - l->last_seconds;
    char buf[LINE_ROOM], number[NUMBER_ROOM];
    struct text t;

    if (l->quiet || !l->terminal || since <= 0)
        return;
    l->rate = (double)(nanswer - l->last_answers) / since;
    l->last_answers = nanswer;
    l->last_seconds = seconds;
    text_init(&t, buf, sizeof(buf));
    say(&t, "[");
    for (int i = 0; i < BAR; i++)
        say(&t, i * whole < seconds * BAR ? "#" : " ");
    say(&t, seconds <= whole ? "] " : "] for answers: ");
    text_add_number(&t, (uint64_t)(seconds <= whole ? seconds : seconds - whole));
    say(&t, " of ");
    text_add_number(&t, (uint64_t)ceil(seconds <= whole ? whole : l->plan->timeout_sec));
    say(&t, " s  ");
    say(&t, number_count(number, l->rate));
    say(&t, "/s");
    say(&t, "  ");
    say(&t, number_count(number, (double)nerror));
    say(&t, nerror == 1 ? " error" : " errors");
    say(&t, l->state);
    draw(l, t.buf, t.len);
}

static const char *time_or_dash(char *buf, const struct interval *i, uint64_t ns)
{
    return i->count > 0 ? number_time(buf, (double)ns) : "-";
}

void live_interval(struct live *l, const struct series *s)
{
    char p50[NUMBER_ROOM], p99[NUMBER_ROOM], max[NUMBER_ROOM], rate[NUMBER_ROOM];
    const struct interval *i;

    if (l->quiet || s->n == 0)
        return;
    i = &s->list[s->n - 1];
    snprintf(l->state, sizeof(l->state), "  p50 %s  p99 %s  max %s", time_or_dash(p50, i, i->p50),
             time_or_dash(p99, i, i->p99), time_or_dash(max, i, i->max));
    if (!l->terminal)
        output_say("stoa bench", "%5.1f s  %s/s%s  %ju errors", i->start_sec + i->len_sec,
                   number_count(rate, i->len_sec > 0 ? (double)i->count / i->len_sec : 0), l->state,
                   (uintmax_t)i->nerror);
}

void live_end(struct live *l)
{
    if (l->drawn)
        (void)output_all(STDERR_FILENO, AGAIN, strlen(AGAIN));
    l->drawn = false;
}
