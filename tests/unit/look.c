/* look.c - when a worker looks before it sleeps: it stops when that does not pay, and never
 * takes more than its part on top.
 *
 * The worker is played: it works, then something comes after a gap.  If it looks long
 * enough it finds it; else it sleeps.
 */
#include "backend/look.h"
#include "base/limits.h"
#include "t.h"

#include <errno.h>
#include <stdlib.h>

enum { SLEEP_NS = 6000 }; /* the processor time of a sleep */

struct played {
    int64_t time_ns;
    int64_t without_ns; /* processor time, had it only slept */
    int64_t looked_ns;
    int64_t saved_ns; /* sleeps that did not happen */
    int nlook, nfound;
};

static void play(struct look *k, struct played *p, int n, int64_t work_ns, int64_t gap_ns)
{
    for (int i = 0; i < n; i++) {
        p->time_ns += work_ns;
        p->without_ns += work_ns + SLEEP_NS;
        uint64_t begin = (uint64_t)p->time_ns;
        int64_t look_ns = look_begin(k, begin);
        bool found = look_ns >= gap_ns;

        if (look_ns > 0) {
            int64_t looked_ns = found ? gap_ns : look_ns;
            p->nlook++;
            p->nfound += found;
            p->looked_ns += looked_ns;
            p->saved_ns += found ? SLEEP_NS : 0;
            look_ended(k, begin, begin + (uint64_t)looked_ns, found ? LOOK_FOUND : LOOK_NOTHING);
        }
        p->time_ns += gap_ns;
        if (!found)
            look_slept(k, (uint64_t)p->time_ns, look_measures(k) ? SLEEP_NS : -1);
    }
}

TEST(forbidden_it_never_looks)
{
    struct look k;
    struct played p = {.time_ns = 1};

    look_init(&k, 0);
    play(&k, &p, 1000, 4000, 1000);
    EXPECT_EQ(p.nlook, 0);
}

TEST(what_comes_soon_is_found_nearly_always)
{
    struct look k;
    struct played p = {.time_ns = 1};

    look_init(&k, -1);
    play(&k, &p, 1000, 4000, 5000);
    EXPECT_GT(p.nfound, 900);
    EXPECT_EQ(p.nfound, p.nlook);
}

TEST(what_comes_late_is_not_looked_for)
{
    struct look k;
    struct played p = {.time_ns = 1};

    look_init(&k, -1);
    play(&k, &p, 100000, 4000, 1000000);
    EXPECT_EQ(p.nfound, 0);
    EXPECT_GT(p.nlook, 0); /* it tries, now and then */
    EXPECT_LT(p.looked_ns * 100, p.without_ns);
}

TEST(it_learns_when_the_load_changes)
{
    struct look k;
    struct played idle = {.time_ns = 1};

    look_init(&k, -1);
    play(&k, &idle, 10000, 4000, 1000000);
    struct played busy = {.time_ns = idle.time_ns};
    play(&k, &busy, 10000, 4000, 5000);
    EXPECT_GT(busy.nfound, 8000);
    struct played gone = {.time_ns = busy.time_ns};
    play(&k, &gone, 8, 4000, 1000000);
    struct played back = {.time_ns = gone.time_ns};
    play(&k, &back, 100, 4000, 5000);
    EXPECT_GT(back.nfound, 50);
    struct played again = {.time_ns = back.time_ns};
    play(&k, &again, 10000, 4000, 1000000);
    EXPECT_LT(again.nlook, 40);
}

/* Whatever the load, what looking costs beyond the sleeps it saves is that part at most. */
static void budget(int64_t max_ns, int part)
{
    for (int64_t gap_ns = 1000; gap_ns < 100000; gap_ns += 1000) {
        struct look k;
        struct played p = {.time_ns = 1};

        look_init(&k, max_ns);
        play(&k, &p, 20000, 4000, gap_ns);
        int64_t extra_ns = p.looked_ns - p.saved_ns;
        EXPECT_LE(extra_ns, p.without_ns / part + 1100000);
    }
}

TEST(the_budget_holds)
{
    budget(-1, 32);
    budget(50000, 1);
}

TEST(who_asks_for_it_gets_more)
{
    struct look unasked, asked;
    struct played p = {.time_ns = 1}, q = {.time_ns = 1};

    look_init(&unasked, -1);
    look_init(&asked, 50000);
    play(&unasked, &p, 10000, 4000, 14000);
    play(&asked, &q, 10000, 4000, 14000);
    EXPECT_LT(p.nfound, 2000);
    EXPECT_GT(q.nfound, 8000);
}

TEST(where_others_need_the_processor_it_stops)
{
    struct look k;
    struct played p = {.time_ns = 1};

    look_init(&k, -1);
    play(&k, &p, 1000, 4000, 5000);
    look_ended(&k, (uint64_t)p.time_ns, (uint64_t)p.time_ns + 200000, LOOK_DISTURBED);
    p.time_ns += 200000;
    struct played after = {.time_ns = p.time_ns};
    play(&k, &after, 1000, 4000, 5000);
    EXPECT_EQ(after.nlook, 0);
}

TEST(STOA_SPIN_is_microseconds)
{
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {{"", -1},          {"0", 0},        {"20", 20000},    {"1000", 1000000},
                {"1001", -EINVAL}, {"-1", -EINVAL}, {"5us", -EINVAL}, {"much", -EINVAL}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        setenv("STOA_SPIN", rows[i].text, 1);
        EXPECT_EQ(look_wanted(), rows[i].ns);
    }
    unsetenv("STOA_SPIN");
    EXPECT_EQ(look_wanted(), -1);
}
