/* hex.h - a hex dump with direction and time.  Does not know where it is shown. */
#ifndef STOA_CLI_HEX_H
#define STOA_CLI_HEX_H

#include "base/text.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes that hex_add() may make of len, apart from colours. */
#define HEX_ROOM(len) (112 * ((size_t)(len) / 16 + 2))

/* Add lines of 16 bytes each:
 *
 *     12:00:00.123 < 00000010  68 65 6c 6c 6f 0a                                 |hello.|
 *
 *   way     '<' for what came, '>' for what went
 *   offset  of the first byte in its stream
 */
void hex_add(struct text *out, char way, uint64_t offset, const void *bytes, size_t len);

#endif
