/* wall.h - memory that ends: a text flush against a page that cannot be touched. */
#ifndef STOA_TESTS_WALL_H
#define STOA_TESTS_WALL_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The end of two pages, after which nothing can be read or written. */
static inline char *wall(void)
{
    static char *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!end) {
        char *pages =
            mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (pages == MAP_FAILED || mprotect(pages + 2 * page, page, PROT_NONE) != 0)
            abort();
        end = pages + 2 * page;
    }
    return end;
}

/* A copy of these bytes, and a 0, that ends at the wall. */
static inline const char *at_the_wall(const char *text, size_t len)
{
    wall()[-1] = '\0';
    return memcpy(wall() - 1 - len, text, len);
}

#endif
