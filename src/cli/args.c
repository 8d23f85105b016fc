/* args.c - strict readers of numbers and times: all of the text counts, or it is refused.
 *
 * strtoul(3) takes "-1", " 7" and "7 apples", and strtod(3) "inf" and "0x1p3".  A typing
 * error must not become a port or a timeout, so digits are looked at here.
 *
 * Limits: a time is at most SECONDS_MAX (31 years) and has at most 9 digits after the point.
 */
#include "cli/args.h"

#include <ctype.h>
#include <string.h>

static const double SECONDS_MAX = 1e9;

static const struct {
    const char *unit;
    double seconds;
} units[] = {
    {"", 1}, {"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"m", 60}, {"h", 3600},
};

bool args_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
    uint64_t n = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text) || n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *number = n;
    return n >= least && n <= most;
}

bool args_duration(const char *text, double *seconds)
{
    double n = 0, place = 1;

    if (!isdigit((unsigned char)*text))
        return false;
    for (; isdigit((unsigned char)*text); text++)
        n = n * 10 + (*text - '0');
    if (*text == '.' && isdigit((unsigned char)text[1]))
        for (text++; isdigit((unsigned char)*text) && place > 1e-9; text++)
            n += (*text - '0') * (place /= 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(text, units[i].unit) == 0) {
            *seconds = n * units[i].seconds;
            return *seconds <= SECONDS_MAX;
        }
    return false;
}

double args_seconds(struct argp_state *state, const char *option, const char *text)
{
    double seconds = 0;

    if (!args_duration(text, &seconds))
        argp_error(state, "%s %s: not a time; 500ms, 5s, 2m or 1h is one", option, text);
    return seconds;
}

uint64_t args_count(struct argp_state *state, const char *option, const char *text, uint64_t least,
                    uint64_t most)
{
    uint64_t n = 0;

    if (!args_number(text, least, most, &n))
        argp_error(state, "%s %s: not a number from %ju to %ju", option, text, (uintmax_t)least,
                   (uintmax_t)most);
    return n;
}
