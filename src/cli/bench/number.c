/* bench/number.c - three digits where three are known, and commas. */
#include "cli/bench/number.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const double number_parts[] = {0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 0.99999};
const size_t number_nparts = sizeof(number_parts) / sizeof(number_parts[0]);

const char *number_count(char *buf, double n)
{
    char digits[NUMBER_ROOM];
    int len = snprintf(digits, sizeof(digits), "%.0f", fmin(fmax(n, 0), 1e18));
    char *to = buf;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buf;
}

/* Three digits and a unit. */
static const char *scaled(char *buf, double n, double step, const char *const *units, size_t nunit)
{
    size_t unit = 0;

    while (n >= step && unit + 1 < nunit) {
        n /= step;
        unit++;
    }
    snprintf(buf, NUMBER_ROOM, "%.*f %s", n < 9.995 ? 2 : n < 99.95 ? 1 : 0, n, units[unit]);
    return buf;
}

const char *number_time(char *buf, double ns)
{
    static const char *const units[] = {"us", "ms", "s"};

    return scaled(buf, ns / 1000, 1000, units, 3);
}

const char *number_bytes(char *buf, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};

    return scaled(buf, bytes, 1000, units, 5);
}

const char *number_percent(char *buf, double part)
{
    snprintf(buf, NUMBER_ROOM, "%.6g", part * 100);
    return buf;
}

const char *number_scan(const char *text, double *number)
{
    double place = 1;

    if (!isdigit((unsigned char)*text))
        return NULL;
    for (*number = 0; isdigit((unsigned char)*text); text++)
        *number = *number * 10 + (*text - '0');
    if (*text == '.' && isdigit((unsigned char)text[1]))
        for (text++; isdigit((unsigned char)*text); text++)
            *number += (*text - '0') * (place /= 10);
    return text;
}

bool number_read(const char *text, double least, double most, double *number)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1},       {"k", 1e3},       {"M", 1e6},         {"G", 1e9},
                 {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}};
    const char *unit = number_scan(text, number);

    for (size_t i = 0; unit && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i].unit) == 0) {
            *number *= units[i].factor;
            return *number >= least && *number <= most;
        }
    return false;
}
