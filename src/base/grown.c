/* grown.c - structs whose size says how old they are. */
#include "base/grown.h"

#include <stdbool.h>
#include <string.h>

static bool is_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i])
            return false;
    return true;
}

const char *grown_copy(void *to, size_t len, const void *from, size_t least)
{
    size_t size;

    memcpy(&size, from, sizeof(size));
    if (size < least)
        return "is less than any version of the struct has had; sizeof of it is meant";
    if (size > GROWN_SIZE_MAX || size % sizeof(void *))
        return "is no version's of the struct; sizeof of it is meant";
    if (size > len && !is_zero((const char *)from + len, size - len))
        return "is that of a newer library's struct, and of its new fields one is not 0";
    memset(to, 0, len);
    memcpy(to, from, size < len ? size : len);
    memcpy(to, &len, sizeof(len));
    return NULL;
}
