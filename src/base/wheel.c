/* wheel.c - a hierarchical timer wheel: eight levels of 64 slots, one bit a slot.
 *
 * Time is counted in ticks.  Write a timer's tick and the wheel's own as numbers of
 * eight digits of six bits: the timer lies in the level of the highest digit in which
 * the two differ, in the slot that its own digit names.  So level 0 holds single ticks,
 * and a slot of level n the span of 64^n of them.
 *
 * What holds, and follows from that choice:
 *   - every slot in use lies after the wheel's own digit of its level: nothing wraps,
 *     and the lowest bit of the lowest level in use is the first timer's slot;
 *   - a timer's place can be told from its time and the wheel's alone, as long as it
 *     is armed, so a node needs no place of its own to be cancelled;
 *   - when the wheel's time reaches a slot's start, that slot's timers differ from it
 *     in lower digits only: they are added again (at most once a level), and those
 *     of that very tick are due.
 *
 * A timer's tick is its time rounded up, the wheel's is the clock's rounded down: thus
 * never early, and late by less than a tick.  Times after 2^64 - 2^20 ns (584 years)
 * never fire.
 *
 * Sources: Varghese and Lauck, Hashed and Hierarchical Timing Wheels (SOSP 1987),
 * scheme 7; the masks as in W. Ahern's timeout.c.
 */
#include "base/wheel.h"

#include "base/check.h"

#define TICK_NS   ((uint64_t)1 << WHEEL_TICK_SHIFT)
#define TICK_END  ((uint64_t)1 << (64 - WHEEL_TICK_SHIFT)) /* the first that no clock reaches */
#define SLOT_MASK ((uint64_t)WHEEL_SLOTS - 1)

_Static_assert(64 - WHEEL_TICK_SHIFT < WHEEL_LEVELS * WHEEL_SLOT_BITS, "every tick has a level");
_Static_assert(WHEEL_SLOTS == 64, "a level's slots are the bits of one word");

struct place {
    unsigned level;
    unsigned slot;
};

static uint64_t tick_of(uint64_t until_ns)
{
    return (until_ns >> WHEEL_TICK_SHIFT) + ((until_ns & (TICK_NS - 1)) != 0);
}

/* Where a tick after the wheel's lies. */
static struct place place_of(const struct wheel *w, uint64_t tick)
{
    unsigned bit = 63 - (unsigned)__builtin_clzll(tick ^ w->tick);
    unsigned level = bit / WHEEL_SLOT_BITS;

    return (struct place){
        .level = level,
        .slot = (unsigned)(tick >> (level * WHEEL_SLOT_BITS) & SLOT_MASK),
    };
}

/* The first place in use.  False: the wheel is empty. */
static bool first_place(const struct wheel *w, struct place *first)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        if (w->used[level] != 0) {
            first->level = level;
            first->slot = (unsigned)__builtin_ctzll(w->used[level]);
            return true;
        }
    }
    return false;
}

/* The tick at which a place in use begins: the wheel's digits above it, its own, zeros. */
static uint64_t place_start(const struct wheel *w, struct place p)
{
    unsigned shift = p.level * WHEEL_SLOT_BITS;
    uint64_t above = w->tick >> shift & ~SLOT_MASK;

    return (above | p.slot) << shift;
}

static void link_node(struct wheel *w, struct wheel_node *n)
{
    uint64_t tick = tick_of(n->until_ns);

    if (tick <= w->tick) {
        list_add(&w->fired, &n->link);
        return;
    }
    struct place p = place_of(w, tick);

    list_add(&w->slot[p.level][p.slot], &n->link);
    w->used[p.level] |= (uint64_t)1 << p.slot;
}

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    w->tick = now_ns >> WHEEL_TICK_SHIFT;
    list_init(&w->fired);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        w->used[level] = 0;
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slot[level][slot]);
    }
}

void wheel_add(struct wheel *w, struct wheel_node *n, uint64_t until_ns)
{
    CHECK(!wheel_armed(n), "wheel_add: the timer is armed already");
    n->until_ns = until_ns;
    link_node(w, n);
}

void wheel_cancel(struct wheel *w, struct wheel_node *n)
{
    if (!wheel_armed(n))
        return;
    list_remove(&n->link);

    uint64_t tick = tick_of(n->until_ns);

    if (tick <= w->tick)
        return; /* it was in fired, which has no bit */
    struct place p = place_of(w, tick);

    if (list_empty(&w->slot[p.level][p.slot]))
        w->used[p.level] &= ~((uint64_t)1 << p.slot);
}

void wheel_advance(struct wheel *w, uint64_t now_ns)
{
    uint64_t now = now_ns >> WHEEL_TICK_SHIFT;
    struct place p;

    while (first_place(w, &p)) {
        uint64_t start = place_start(w, p);
        struct list due;
        struct list *node;

        if (start > now)
            break;
        w->tick = start;
        w->used[p.level] &= ~((uint64_t)1 << p.slot);
        list_init(&due);
        list_splice(&due, &w->slot[p.level][p.slot]);
        while ((node = list_shift(&due)) != NULL)
            link_node(w, CONTAINER(node, struct wheel_node, link));
    }
    if (now > w->tick)
        w->tick = now;
}

struct wheel_node *wheel_fired(struct wheel *w)
{
    struct list *node = list_shift(&w->fired);

    return node ? CONTAINER(node, struct wheel_node, link) : NULL;
}

uint64_t wheel_next(const struct wheel *w)
{
    struct place p;

    if (!list_empty(&w->fired))
        return w->tick << WHEEL_TICK_SHIFT;
    if (!first_place(w, &p))
        return WHEEL_NEVER;
    uint64_t start = place_start(w, p);

    return start < TICK_END ? start << WHEEL_TICK_SHIFT : WHEEL_NEVER;
}
