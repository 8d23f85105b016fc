/* words.h - how a wrapper of syscall(2) passes on the arguments that the library gives it. */
#ifndef TESTS_WORDS_H
#define TESTS_WORDS_H

#include <sys/syscall.h>

/* How many words follow the number, of the calls that the library and tests make in this way. */
static inline int words(long nr)
{
    switch (nr) {
    case SYS_recvfrom:
    case SYS_sendto:
    case SYS_io_uring_enter:
        return 6;
    case SYS_io_uring_register:
    case SYS_accept4:
        return 4;
    case SYS_membarrier:
    case SYS_tgkill:
    case SYS_pidfd_getfd:
        return 3;
    case SYS_io_uring_setup:
    case SYS_pidfd_open:
        return 2;
    default:
        return 0;
    }
}

#endif
