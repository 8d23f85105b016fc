/* comparison.c - how surely one log is worse than another (bench/compare.c).
 *
 * The promises: a percentile of what was drawn is exactly that; seconds that differ make the
 * interval wide; neighbours that are alike make it wider than the same seconds in disorder;
 * and an hour of seconds against another is a matter of seconds.
 */
#include "cli/bench/logs.h"
#include "t.h"
#include "unit/chance.h"

#include <stdlib.h>

enum { HOUR = 3600, SPELL = 30, SPREAD = 4000 };

static struct hist second;

/* A second more, of which each of n samples has a value from value on, evenly spread. */
static void add(struct series *s, uint64_t value, uint64_t spread, int n)
{
    struct interval of = {.start_sec = (double)s->n, .len_sec = 1};

    hist_clear(&second);
    for (int i = 0; i < n; i++)
        hist_add(&second, value + (spread ? rand64() % spread : 0), 1);
    EXPECT_EQ(series_add(s, &of, &second, NULL), 0);
}

static struct series *all_same(int nsecond, uint64_t value, int n)
{
    struct series *s = series_make(0);

    for (int i = 0; i < nsecond; i++)
        add(s, value, 0, n);
    return s;
}

/* Compares, and frees both. */
static struct change change_of(struct series *a, struct series *b, struct goal measure)
{
    struct comparison *of = compare_make(a, b);
    struct change c;

    EXPECT(of != NULL);
    EXPECT_EQ(compare_measure(&c, of, &measure), 0);
    compare_free(of);
    series_free(a);
    series_free(b);
    return c;
}

static struct goal part(double part)
{
    return (struct goal){.part = part};
}

TEST(seconds_that_do_not_differ_leave_no_doubt)
{
    for (double p = 0.1; p <= 1; p += 0.1) {
        struct change c = change_of(all_same(20, 1000, 10), all_same(20, 1500, 10), part(p));
        EXPECT(c.part == 0.5 && c.low == 0.5 && c.high == 0.5);
    }
    struct change c =
        change_of(all_same(20, 1000, 10), all_same(20, 1000, 5), (struct goal){.rate = true});
    EXPECT(c.part == -0.5 && c.low == -0.5 && c.high == -0.5);
}

/* Of two seconds, one of them is drawn twice in half of all rounds. */
TEST(a_percentile_of_what_was_drawn_is_exact)
{
    struct series *two = all_same(1, 1000, 10);

    add(two, 2000, 0, 10);
    struct change c = change_of(all_same(2, 1000, 10), two, part(0.5));
    EXPECT(c.part == 0 && c.low == 0 && c.high == 1);
    two = all_same(1, 1000, 10);
    add(two, 2000, 0, 10);
    c = change_of(all_same(2, 1000, 10), two, part(0.51));
    EXPECT(c.part == 1 && c.low == 0 && c.high == 1);
}

/* Half an hour of either kind of second, in spells or in disorder. */
static struct series *moody(bool in_spells)
{
    struct series *s = series_make(0);

    for (int i = 0; i < HOUR; i++)
        add(s, (in_spells ? (uint64_t)i / SPELL : rand64() >> 20) % 2 ? 100000 : 120000, 10000, 20);
    return s;
}

TEST(neighbours_that_are_alike_promise_less)
{
    struct change spells = change_of(moody(true), moody(true), part(0.9));
    struct change disorder = change_of(moody(false), moody(false), part(0.9));

    EXPECT(spells.low <= 0 && spells.high >= 0);
    EXPECT(spells.high - spells.low > 2 * (disorder.high - disorder.low));
}

static struct series *busy_hour(uint64_t value)
{
    struct series *s = series_make(0);

    for (int i = 0; i < HOUR; i++)
        add(s, value, value * SPREAD, 1000);
    return s;
}

TEST(an_hour_against_an_hour_ends)
{
    struct change c = change_of(busy_hour(1000), busy_hour(1200), part(0.99));

    EXPECT(c.low > 0.19 && c.low <= c.part && c.part <= c.high && c.high < 0.21);
}
