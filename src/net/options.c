/* options.c - options of another version of the library: docs/why/0013-options-grow.md. */
#include "net/options.h"

#include "base/grown.h"
#include "base/text.h"

/* The smallest that is taken; every version has had these fields. */
#define OPTIONS_LEAST offsetof(struct stoa_options, workers)

bool options_copy(struct stoa_options *to, const struct stoa_options *from, char *why,
                  size_t why_len)
{
    static const struct stoa_options defaults = {.size = sizeof(defaults)};
    const char *bad = grown_copy(to, sizeof(*to), from ? from : &defaults, OPTIONS_LEAST);
    struct text t;

    text_init(&t, why, why_len);
    if (!bad)
        return true;
    text_add(&t, "options.size ");
    text_add(&t, bad);
    return false;
}
