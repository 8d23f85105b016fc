/* utf8.h - where the characters of a stream of bytes end.  Does not know what they mean. */
#ifndef STOA_CLI_UTF8_H
#define STOA_CLI_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Is it well-formed UTF-8, from beginning to end? */
bool utf8_valid(const void *bytes, size_t len);

/* Bytes at the end, 0 .. 3, that begin a character whose rest may still come. */
size_t utf8_begun(const void *bytes, size_t len);

#endif
