/* backend.c - which backend: by name, by STOA_BACKEND, or the best that there is.
 *
 * A new backend is a line in the table; the best comes first.
 */
#include "backend/backend.h"

#include "backend/loop.h"
#include "backend/probe.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct backend_ops *const backends[] = {
    &epoll_ops,
    &uring_ops,
};

#define NBACKEND (sizeof(backends) / sizeof(backends[0]))

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

void backend_drop(int fd)
{
    const struct backend_ops *ops = backend_here();

    if (!ops->end || ops->end(fd, CLOSE_PLAIN) == -ENOTSOCK)
        close(fd);
}

int backend_dup(int fd)
{
    const struct backend_ops *ops = backend_here();
    int copy = ops->dup ? ops->dup(fd) : -ENOTSOCK;

    if (copy != -ENOTSOCK)
        return copy;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy < 0 ? -errno : copy;
}

static bool is_there(const struct backend_ops *ops)
{
    return !ops->probe || ops->probe() == 0;
}

/* NULL: any will do. */
static const char *wish(const char *name)
{
    if (!name)
        name = getenv("STOA_BACKEND");
    return name && *name ? name : NULL;
}

const struct backend_ops *backend_choose(const char *name)
{
    name = wish(name);
    for (size_t i = 0; i < NBACKEND; i++)
        if ((!name || strcmp(backends[i]->name, name) == 0) && is_there(backends[i]))
            return backends[i];
    return NULL;
}

void backend_missing(const char *name, struct text *why)
{
    name = wish(name);
    if (name && strcmp(name, uring_ops.name) == 0) {
        text_add(why, "io_uring is not available here (");
        text_add(why, probe_reason(probe_uring()));
        text_add(why, ")");
        return;
    }
    text_add(why, "there is no backend ");
    text_quote(why, name ? name : "", name ? strlen(name) : 0);
    text_add(why, "; there are ");
    for (size_t i = 0; i < NBACKEND; i++) {
        text_add(why, i == 0 ? "\"" : i + 1 < NBACKEND ? "\", \"" : "\" and \"");
        text_add(why, backends[i]->name);
    }
    text_add(why, "\"");
}
