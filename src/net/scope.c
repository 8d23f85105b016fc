/* scope.c - times that hold for a part of the program: stoa_within, stoa_shield, stoa_leave.
 *
 * A scope lives in its function's frame and is the head of a chain in the fiber (or the
 * thread).  When it is entered it takes the nearest deadline of those outside with it,
 * so that a call looks at the innermost one only.  A shield does not take it, and
 * while one is in the chain a cancelled fiber may wait.
 *
 * A scope that is left out of order, or whose frame is gone, is a programmer's mistake:
 * CHECKed by a magic number and by the chain's head.
 */
#include "net/scope.h"

#include "backend/loop.h"
#include "base/check.h"
#include "net/error.h"

#include <math.h>

#define SCOPE_MAGIC 0x73636f70u

int64_t scope_nanoseconds(double seconds)
{
    double ns = seconds * 1e9;

    if (seconds < 0 || ns >= (double)INT64_MAX)
        return -1;
    int64_t whole = (int64_t)ns;

    return (double)whole < ns ? whole + 1 : whole;
}

static void enter(struct stoa_scope *scope, double seconds, bool shield)
{
    struct local *me = &fiber_self()->local;
    int64_t ns = scope_nanoseconds(seconds);

    CHECK(!isnan(seconds), "a scope's seconds are not a number");
    if (seconds < 0)
        ns = 0;
    uint64_t end_ns = ns < 0 ? WHEEL_NEVER : backend_here()->now() + (uint64_t)ns;

    *scope = (struct stoa_scope){
        .outer = me->scope,
        .until_ns = end_ns,
        .own_ns = end_ns,
        .flags = shield ? SCOPE_SHIELD : 0,
        .magic = SCOPE_MAGIC,
    };
    if (me->scope && !shield) {
        scope->flags = me->scope->flags;
        if (me->scope->until_ns < scope->until_ns)
            scope->until_ns = me->scope->until_ns;
    }
    me->scope = scope;
}

void stoa_within(struct stoa_scope *scope, double seconds)
{
    enter(scope, seconds, false);
}

void stoa_shield(struct stoa_scope *scope, double seconds)
{
    enter(scope, seconds, true);
}

int stoa_leave(struct stoa_scope *scope)
{
    struct local *me = &fiber_self()->local;

    CHECK(scope->magic == SCOPE_MAGIC, "stoa_leave() of a scope that was not entered");
    CHECK(me->scope == scope, "scopes must be left in the reverse order of entering");
    me->scope = scope->outer;
    scope->magic = 0;
    if (scope->own_ns != WHEEL_NEVER && backend_here()->now() >= scope->own_ns)
        return (int)error_out(VERB_LEAVE, -1, -ETIME);
    return 0;
}
