/* fields.h - a line of stoa_status(): a word, and fields "key=value".  Does not know which. */
#ifndef STOA_CLI_FIELDS_H
#define STOA_CLI_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIELDS_MAX = 16 };

struct fields {
    const char *word;
    size_t n;
    const char *key[FIELDS_MAX];
    const char *value[FIELDS_MAX];
};

/* Take the next line of text apart, in its place; returns what is behind it, NULL at the end. */
char *fields_take(struct fields *f, char *text);

/* The value of a key, or "". */
const char *fields_of(const struct fields *f, const char *key);

/* The same as a number; false: it is none. */
bool fields_number(const char *value, uint64_t *number);

#endif
