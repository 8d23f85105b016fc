/* handlers.h - what `stoa serve` can do with a connection.  Knows no option and no log. */
#ifndef STOA_CLI_HANDLERS_H
#define STOA_CLI_HANDLERS_H

#include "cli/visit.h"

#include <stddef.h>

struct handler {
    const char *name;

    /* Talk until the stream ends.  0, or the errno value of what ended it. */
    int (*talk)(int conn, struct visit *v);

    /* The same for datagrams: the answer is made in buf, its length returned; < 0 = none.
     * NULL: it needs a stream. */
    int (*answer)(char *buf, size_t len);
};

/* All of them; the last has no name. */
extern const struct handler handlers[];

/* The handler of that name; NULL: there is none. */
const struct handler *handler_find(const char *name);

#endif
