/* why.h - a note's failure, explained by a look at this machine; only when somebody reads it. */
#ifndef STOA_NET_WHY_H
#define STOA_NET_WHY_H

#include "fiber/fiber.h"

#include <stdbool.h>

struct text;

/* Add the cause and what to do.  False: there is nothing beyond what the code means. */
bool why_add(struct text *t, const struct note *n);

#endif
