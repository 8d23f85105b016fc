/* backend.c - which backend: by name, by STOA_BACKEND, or the best that there is.
 *
 * A new backend is a line in the table; the best comes first.
 */
#include "backend/backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct backend_ops *const backends[] = {
    &epoll_ops,
    &uring_ops,
};

_Atomic(int (*)(void)) interrupt_hook;

int interrupt_check(void)
{
    int (*hook)(void) = atomic_load_explicit(&interrupt_hook, memory_order_relaxed);

    return hook && hook() != 0 ? -ECANCELED : 0;
}

bool op_someone_waits(const struct op *op)
{
    if (op_is_apart(op))
        return false;
    for (const struct list *n = op->sock->ops.next; n != &op->sock->ops; n = n->next) {
        const struct op *before = CONTAINER(n, const struct op, link);

        if (!op_is_apart(before) && (op_events(before) & op_events(op)))
            return true;
    }
    return false;
}

const struct backend_ops *backend_choose(const char *name)
{
    if (!name)
        name = getenv("STOA_BACKEND");
    if (!name || !*name)
        return backends[0];
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i];
    return NULL;
}
