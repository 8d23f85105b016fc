/* group.c - go, join, cancel: fibers that end together.
 *
 * A group is a list of its fibers and a place for whoever joins.  Everything is of one
 * thread, so there is no lock.  A fiber's first frame is here: it runs the caller's
 * function, hands the error to the group, and leaves nothing behind.
 *
 * What holds: a group lives until it is joined, and is joined once; its fibers never
 * outlive stoa_group_join(), cancelled or not.
 */
#include "serve/group.h"

#include "base/check.h"
#include "net/error.h"
#include "net/scope.h"

#include <errno.h>
#include <stdlib.h>

/* Keep the first error: with its sentence when it is the fiber's last one. */
static void keep_error(struct stoa_group *g, struct note *from, int error)
{
    if (g->first.code)
        return;
    if (from->code == error)
        error_move(&g->first, from);
    g->first.code = error ? error : ECANCELED;
}

static void leave_group(struct fiber *f, int value, int error)
{
    struct stoa_group *g = f->local.group;

    if (!g)
        return;
    if (value != 0)
        keep_error(g, &f->local.note, error);
    list_remove(&f->local.in_group);
    g->nfiber--;
    if (g->nfiber == 0 && g->joiner && g->joiner->state == OP_WAITING)
        op_complete(g->joiner, 0);
}

static void first_frame(void *arg)
{
    struct fiber *f = fiber_self();
    int value;

    (void)arg;
    value = f->local.entry(f->local.entry_arg);
    CHECK(f->local.scope == NULL, "a fiber returned without stoa_leave() of its scope");
    leave_group(f, value, errno);
    loop_fiber_ends();
}

int group_go(struct stoa_group *g, int (*entry)(void *arg), void *arg, void *context)
{
    struct fiber *f;

    if (!loop_here)
        return -EINVAL;
    if (g && g->cancelled)
        return -ECANCELED;
    f = fiber_go(&loop_here->sched, first_frame, NULL);
    if (!f)
        return -ENOMEM;
    f->local.entry = entry;
    f->local.entry_arg = arg;
    f->local.context = context;
    f->local.host = fiber_self()->local.host;
    f->local.group = g;
    if (g) {
        CHECK(g->loop == loop_here, "a group's fibers must be of one worker");
        list_add(&g->fibers, &f->local.in_group);
        g->nfiber++;
    }
    return 0;
}

void group_cancel_fiber(struct fiber *f)
{
    atomic_store_explicit(&f->local.cancelled, true, memory_order_relaxed);
    if (f != fiber_self() && scope_check(&f->local) < 0)
        loop_interrupt(f, -ECANCELED);
}

struct stoa_group *stoa_group_open(void)
{
    struct stoa_group *g = loop_here ? calloc(1, sizeof(*g)) : NULL;

    if (!g) {
        error_out(loop_here ? VERB_GROUP_OPEN : VERB_GO, -1, loop_here ? -ENOMEM : -EINVAL);
        return NULL;
    }
    list_init(&g->fibers);
    g->loop = loop_here;
    g->first.handle = -1;
    return g;
}

int stoa_go(struct stoa_group *group, int (*fn)(void *arg), void *arg)
{
    return (int)error_out(VERB_GO, -1, group_go(group, fn, arg, NULL));
}

void stoa_group_cancel(struct stoa_group *group)
{
    CHECK(group->loop == loop_here, "a group belongs to the worker that made it");
    group->cancelled = true;
    for (struct list *n = group->fibers.next; n != &group->fibers; n = n->next)
        group_cancel_fiber(CONTAINER(CONTAINER(n, struct local, in_group), struct fiber, local));
}

/* Wait for the last fiber.  When the caller's own time or right to wait ends, the group is
 * cancelled, and then waited for without a limit. */
static int wait_for_all(struct stoa_group *g)
{
    struct local *me = &fiber_self()->local;
    int r = scope_check(me);
    struct op op = {.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = scope_until(me)};

    while (g->nfiber > 0) {
        if (r == 0) {
            g->joiner = &op;
            r = (int)op_run(&op);
        }
        if (r < 0) {
            stoa_group_cancel(g);
            op = (struct op){.kind = OP_EVENT, .timeout_ns = -1, .scope_ns = WHEEL_NEVER};
            g->joiner = &op;
            while (g->nfiber > 0)
                op_run(&op);
        }
    }
    return r;
}

int stoa_group_join(struct stoa_group *group)
{
    struct note *mine = &fiber_self()->local.note;
    int r, code;

    CHECK(group->loop == loop_here, "a group belongs to the worker that made it");
    CHECK(group->joiner == NULL, "a group is joined once");
    r = wait_for_all(group);
    code = group->first.code;
    if (r == 0 && code)
        error_move(mine, &group->first);
    free(group->first.detail);
    free(group);
    if (r < 0)
        return (int)error_out(VERB_GROUP_JOIN, -1, r);
    errno = code ? code : errno;
    return code ? -1 : 0;
}
