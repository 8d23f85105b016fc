/* base64.h - bytes as base64 (RFC 4648 4), and back. */
#ifndef STOA_CLI_BASE64_H
#define STOA_CLI_BASE64_H

#include "base/text.h"

#include <sys/types.h>

/* Characters that len bytes become. */
#define BASE64_LEN(len) (((size_t)(len) + 2) / 3 * 4)

void base64_add(struct text *t, const void *bytes, size_t len);

/* The bytes of a text of len characters, to room for as many; -1: it is not base64. */
ssize_t base64_read(uint8_t *to, const char *text, size_t len);

#endif
