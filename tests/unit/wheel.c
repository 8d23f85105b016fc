/* wheel.c - the timer wheel against a list that is simply searched.
 *
 * The promises: no timer fires before its time, none more than a tick after, none is
 * lost or fires twice; wheel_next() is never later than that, and to sleep until it
 * and advance always comes to an end.  The dangers lie where digits of the time turn
 * over: a timer put into the wrong slot there fires a round late, 64 times
 * its distance.  The way: random adds, cancels and advances by a seeded generator, over
 * all distances from 1 ns to centuries and starting just before such turns.
 */
#include "base/wheel.h"
#include "t.h"

#define TICK ((uint64_t)1 << WHEEL_TICK_SHIFT)

enum { NTIMER = 200, NSTEP = 3000, NSEED = 60 };

static uint64_t chance;

/* xorshift64* (Vigna, 2016). */
static uint64_t rand64(void)
{
    chance ^= chance >> 12;
    chance ^= chance << 25;
    chance ^= chance >> 27;
    return chance * 0x2545F4914F6CDD1D;
}

/* A number of random size: as often of 5 bits as of 50. */
static uint64_t rand_span(unsigned bits)
{
    return rand64() >> (64 - 1 - rand64() % bits);
}

struct timer {
    struct wheel_node node;
    uint64_t until_ns; /* the model's */
    bool armed;
};

static struct wheel wheel;
static struct timer timer[NTIMER];
static uint64_t now;

static uint64_t first_until(void)
{
    uint64_t first = WHEEL_NEVER;

    for (int i = 0; i < NTIMER; i++)
        if (timer[i].armed && timer[i].until_ns < first)
            first = timer[i].until_ns;
    return first;
}

/* Take what is due and compare; returns how many fired. */
static int take_fired(void)
{
    struct wheel_node *n;
    int nfired = 0;

    while ((n = wheel_fired(&wheel)) != NULL) {
        struct timer *t = CONTAINER(n, struct timer, node);

        EXPECT(t->armed);
        EXPECT(!wheel_armed(n));
        EXPECT_LE(t->until_ns, now);
        t->armed = false;
        nfired++;
    }
    if (now >= TICK)
        EXPECT_GT(first_until(), now - TICK);
    return nfired;
}

static void expect_next(void)
{
    uint64_t first = first_until();
    uint64_t next = wheel_next(&wheel);

    if (first == WHEEL_NEVER)
        EXPECT_EQ(next, WHEEL_NEVER);
    else if (first <= WHEEL_NEVER - TICK)
        EXPECT_LT(next, first + TICK);
}

static void start(uint64_t seed, uint64_t at)
{
    chance = seed * 0x9E3779B97F4A7C15 + 1;
    now = at;
    memset(timer, 0, sizeof(timer));
    wheel_init(&wheel, now);
}

static void arm(struct timer *t, uint64_t until_ns)
{
    wheel_add(&wheel, &t->node, until_ns);
    t->until_ns = until_ns;
    t->armed = true;
}

static void disarm(struct timer *t)
{
    wheel_cancel(&wheel, &t->node);
    t->armed = false;
}

static void random_step(void)
{
    struct timer *t = &timer[rand64() % NTIMER];

    switch (rand64() % 8) {
    case 0:
        disarm(t);
        EXPECT(!wheel_armed(&t->node));
        break;
    case 1:
        now += rand_span(38);
        wheel_advance(&wheel, now);
        take_fired();
        break;
    case 2:
        if (wheel_next(&wheel) < now + ((uint64_t)1 << 45)) {
            now = wheel_next(&wheel) > now ? wheel_next(&wheel) : now;
            wheel_advance(&wheel, now);
            take_fired();
        }
        break;
    default:
        disarm(t);
        arm(t, rand64() % 16 == 0 ? now - rand_span(20) : now + rand_span(62));
        break;
    }
    expect_next();
}

/* Sleep until wheel_next() over and over: every timer must come, in at most one wake-up
 * a level each. */
static void drain(void)
{
    int narmed = 0;

    for (int i = 0; i < NTIMER; i++)
        narmed += timer[i].armed;
    for (int nwake = narmed * WHEEL_LEVELS + 1; narmed > 0 && nwake > 0; nwake--) {
        uint64_t next = wheel_next(&wheel);

        now = next > now ? next : now;
        wheel_advance(&wheel, now);
        narmed -= take_fired();
        expect_next();
    }
    EXPECT_EQ(narmed, 0);
    EXPECT_EQ(wheel_next(&wheel), WHEEL_NEVER);
}

static void run_random(uint64_t at)
{
    for (uint64_t seed = 1; seed <= NSEED && t_failed == 0; seed++) {
        start(seed, at + seed);
        for (int i = 0; i < NSTEP && t_failed == 0; i++)
            random_step();
        drain();
        if (t_failed > 0)
            printf("# seed %llu\n", (unsigned long long)seed);
    }
}

TEST(random_timers_agree_with_a_searched_list)
{
    run_random(0);
    run_random((uint64_t)12 * 3600 * 1000 * 1000 * 1000);
}

TEST(random_timers_agree_where_all_digits_turn_over)
{
    for (unsigned level = 1; level <= 6; level++)
        run_random(((uint64_t)1 << (WHEEL_TICK_SHIFT + level * WHEEL_SLOT_BITS)) - 1000);
}

TEST(no_timer_fires_a_nanosecond_early_or_a_tick_late)
{
    static const uint64_t distances[] = {
        1,          TICK - 1,         TICK,
        TICK + 1,   63 * TICK,        64 * TICK,
        65 * TICK,  4095 * TICK,      4096 * TICK + 7,
        TICK << 18, (TICK << 24) + 5, TICK << 30,
    };

    for (size_t i = 0; i < sizeof(distances) / sizeof(*distances); i++) {
        start(1, 5 * TICK + 12345);
        arm(&timer[0], now + distances[i]);
        uint64_t until_ns = timer[0].until_ns;

        wheel_advance(&wheel, now = until_ns - 1);
        EXPECT(wheel_fired(&wheel) == NULL);
        EXPECT(wheel_armed(&timer[0].node));
        wheel_advance(&wheel, now = until_ns + TICK - 1);
        EXPECT(wheel_fired(&wheel) == &timer[0].node);
        EXPECT(wheel_fired(&wheel) == NULL);
    }
}

TEST(a_time_that_is_over_is_due_at_once)
{
    start(1, 1000 * TICK);
    arm(&timer[0], 3);
    arm(&timer[1], 1000 * TICK);
    EXPECT_LE(wheel_next(&wheel), now);
    EXPECT_EQ(take_fired(), 2);
    EXPECT_EQ(wheel_next(&wheel), WHEEL_NEVER);
}

TEST(a_timer_due_but_not_taken_can_be_cancelled)
{
    start(1, 0);
    for (int i = 0; i < 4; i++)
        arm(&timer[i], 10 * TICK);
    arm(&timer[4], 11 * TICK);
    wheel_advance(&wheel, now = 10 * TICK);
    EXPECT(wheel_fired(&wheel) != NULL); /* the first; the others are due */
    disarm(&timer[1]);
    disarm(&timer[3]);
    EXPECT(wheel_fired(&wheel) == &timer[2].node);
    EXPECT(wheel_fired(&wheel) == NULL);
    disarm(&timer[3]); /* once more: nothing */
    EXPECT_EQ(wheel_next(&wheel), 11 * TICK);
    wheel_advance(&wheel, now = 11 * TICK);
    EXPECT(wheel_fired(&wheel) == &timer[4].node);
}

/* The mask's bit must go with the last timer of a slot, also after the wheel's time has
 * moved: a bit left over wakes the loop for nothing. */
TEST(cancelled_timers_leave_no_wake_up_behind)
{
    for (uint64_t distance = TICK / 2; distance < WHEEL_NEVER / 16; distance *= 3) {
        start(1, 77 * TICK);
        arm(&timer[0], now + distance);
        arm(&timer[1], now + distance);
        wheel_advance(&wheel, now + distance / 2);
        disarm(&timer[0]);
        EXPECT_NE(wheel_next(&wheel), WHEEL_NEVER);
        disarm(&timer[1]);
        EXPECT_EQ(wheel_next(&wheel), WHEEL_NEVER);
    }
}

TEST(never_does_not_fire_and_does_not_wake)
{
    start(1, 1);
    arm(&timer[0], WHEEL_NEVER);
    EXPECT(wheel_armed(&timer[0].node));
    EXPECT_EQ(wheel_next(&wheel), WHEEL_NEVER);
    wheel_advance(&wheel, now = WHEEL_NEVER);
    EXPECT(wheel_fired(&wheel) == NULL);
    disarm(&timer[0]);
    arm(&timer[1], WHEEL_NEVER - 2 * TICK); /* in 584 years */
    EXPECT(wheel_fired(&wheel) == &timer[1].node);
}

TEST(a_clock_that_steps_back_changes_nothing)
{
    start(1, 100 * TICK);
    arm(&timer[0], 102 * TICK);
    wheel_advance(&wheel, 101 * TICK);
    wheel_advance(&wheel, 5 * TICK);
    EXPECT(wheel_fired(&wheel) == NULL);
    arm(&timer[1], 101 * TICK); /* over, by the wheel's time */
    EXPECT(wheel_fired(&wheel) == &timer[1].node);
    wheel_advance(&wheel, now = 102 * TICK);
    EXPECT(wheel_fired(&wheel) == &timer[0].node);
}
