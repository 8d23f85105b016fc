/* fail.h - the k-th allocation, or the k-th descriptor, is refused.
 *
 * The linker puts these functions in front of the C library's (-Wl,--wrap), for all that is
 * linked into the program: the library and its test.  It does not know what is allocated.
 */
#ifndef STOA_TESTS_FAIL_H
#define STOA_TESTS_FAIL_H

#include <stdbool.h>

enum fail_what {
    FAIL_NOTHING,
    FAIL_MEMORY,      /* malloc, mmap, fopencookie, pthread_create, getaddrinfo, epoll_ctl ... */
    FAIL_DESCRIPTORS, /* socket, accept4, eventfd, epoll_create1, open ... */
};

/* From here on: refuse the k-th of what, counted from 1, and with `more` all that follow. */
void fail_arm(enum fail_what what, long k, bool more);
void fail_disarm(void);

/* Has one been refused since fail_arm()? */
bool fail_happened(void);

/* Where the first was: for addr2line(1), `addr2line -fe PROGRAM 0x...`. */
long fail_where(void);

/* Blocks and mappings that are held now, through us. */
long fail_held(void);

#endif
