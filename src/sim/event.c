/* event.c - a binary heap by (time, tie); each event knows its place, so it can be taken out.
 */
#include "sim/event.h"

#include "base/check.h"

#include <stdbool.h>
#include <stdlib.h>

enum { ROOM_FIRST = 256 };

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->tie < b->tie;
}

static void put(struct events *all, size_t place, struct event *e)
{
    all->heap[place] = e;
    e->place = place;
}

/* Find e's place at or above `place`. */
static void rise(struct events *all, size_t place, struct event *e)
{
    for (; place > 1 && earlier(e, all->heap[place / 2]); place /= 2)
        put(all, place, all->heap[place / 2]);
    put(all, place, e);
}

/* Find e's place at or below `place`. */
static void sink(struct events *all, size_t place, struct event *e)
{
    for (size_t child; (child = 2 * place) <= all->n; place = child) {
        if (child < all->n && earlier(all->heap[child + 1], all->heap[child]))
            child++;
        if (!earlier(all->heap[child], e))
            break;
        put(all, place, all->heap[child]);
    }
    put(all, place, e);
}

void events_add(struct events *all, struct event *e, uint64_t at_ns, uint64_t tie)
{
    CHECK(e->place == 0, "events_add: the event is to happen already");
    if (all->n + 1 >= all->room) {
        all->room = all->room ? 2 * all->room : ROOM_FIRST;
        all->heap = realloc(all->heap, all->room * sizeof(void *));
        CHECK(all->heap, "no memory for the simulation's events");
    }
    e->at_ns = at_ns;
    e->tie = tie;
    rise(all, ++all->n, e);
}

void events_remove(struct events *all, struct event *e)
{
    size_t place = e->place;

    if (!place)
        return;
    e->place = 0;
    struct event *last = all->heap[all->n--];
    if (last == e)
        return;
    if (place > 1 && earlier(last, all->heap[place / 2]))
        rise(all, place, last);
    else
        sink(all, place, last);
}

void events_fini(struct events *all)
{
    free(all->heap);
    *all = (struct events){0};
}
