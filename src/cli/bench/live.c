/* bench/live.c - one line on a terminal, or a line a second in a pipe.
 *
 *     [########            ] 4 of 10 s  213,004/s  0 errors  p50 231 us  p99 1.10 ms  max 3.2 ms
 *
 * Times are the last interval's; the rate, of the last tenth of a second or so.
 */
#include "cli/bench/live.h"

#include "cli/bench/number.h"
#include "cli/output.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 20, LINE_ROOM = 320, COLUMNS_USUAL = 80 };

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
    say(&t, AGAIN);
    say(&t, "[");
    for (int i = 0; i < BAR; i++)
        say(&t, i * whole < seconds * BAR ? "#" : " ");
    say(&t, "] ");
    text_add_number(&t, (uint64_t)(seconds < whole ? seconds : whole));
    say(&t, " of ");
    text_add_number(&t, (uint64_t)(whole + 0.5));
    say(&t, " s  ");
    say(&t, number_count(number, l->rate));
    say(&t, "/s");
    say(&t, "  ");
    say(&t, number_count(number, (double)nerror));
    say(&t, nerror == 1 ? " error" : " errors");
    say(&t, l->state);
    l->drawn = true;
    size_t most = strlen(AGAIN) + columns() - 1;
    (void)output_all(STDERR_FILENO, t.buf, t.len < most ? t.len : most);
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
