/* grown.h - a caller's struct that begins with its size, and may be older or newer than ours.
 *
 * Fields are only ever added, at the end, and 0 in a field is its default.  So an older struct is
 * ours with zeroes behind it; a newer one is ours if what we do not know is 0, for then
 * nothing is asked that we would leave undone.  As openat2(2), "Extensibility".
 */
#ifndef STOA_BASE_GROWN_H
#define STOA_BASE_GROWN_H

#include <stddef.h>

/* The largest that is looked through. */
#define GROWN_SIZE_MAX 4096

/* Copy `from`, which begins with a size_t that says how large it is, to `to`, of len bytes, whose
 * size then is len.  The first version of the struct had `least` bytes.  NULL: done; else what
 * is wrong with the size, as the end of a sentence that begins "options.size ". */
const char *grown_copy(void *to, size_t len, const void *from, size_t least);

#endif
