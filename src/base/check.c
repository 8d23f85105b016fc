/* check.c - the end of a program whose promise is broken. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *file, int line, const char *sentence)
{
    fprintf(stderr, "stoa: %s:%d: %s\n", file, line, sentence);
    abort();
}
