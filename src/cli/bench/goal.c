/* bench/goal.c - a measure, a sign, a limit. */
#include "cli/bench/goal.h"

#include "cli/args.h"
#include "cli/bench/number.h"

#include <string.h>

/* "p99.9", "max", "rate"; what follows is returned. */
static const char *measure(struct goal *g, const char *text)
{
    double percent;

    *g = (struct goal){.text = text, .part = 1};
    if (strncmp(text, "max", 3) == 0)
        return text + 3;
    if (strncmp(text, "rate", 4) == 0) {
        g->rate = true;
        return text + 4;
    }
    text = *text == 'p' ? number_scan(text + 1, &percent) : NULL;
    if (!text || percent <= 0 || percent >= 100)
        return NULL;
    g->part = percent / 100;
    return text;
}

bool goal_read(struct goal *g, const char *text)
{
    const char *rest = measure(g, text);

    return rest && !g->rate && *rest == '<' && args_duration(rest + 1, &g->limit) && g->limit > 0;
}

bool goal_read_relative(struct goal *g, const char *text)
{
    const char *rest = measure(g, text);
    char sign = rest ? *rest : '\0';

    if (sign != '+' && sign != '-')
        return false;
    rest = number_scan(rest + 1, &g->limit);
    if (!rest || strcmp(rest, "%") != 0)
        return false;
    g->limit *= sign == '+' ? 0.01 : -0.01;
    return g->rate == (sign == '-'); /* a rate gets worse downwards, a time upwards */
}
