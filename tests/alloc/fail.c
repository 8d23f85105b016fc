/* fail.c - refusals in turn, after SQLite's out-of-memory tests ("How SQLite Is Tested", 3.1).
 *
 * Every wrapped function counts itself, and fails in the way its manual page says when its
 * number has come.  Blocks are counted too, so that a leak shows without a sanitizer.
 * Counting is atomic, for the library's threads allocate as well; which call is the k-th
 * may then differ from run to run, and that does no harm.  The names that end in 64 are what
 * _FILE_OFFSET_BITS makes of the usual ones.
 */
#include "fail.h"
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static atomic_int armed;
static atomic_long left;
static atomic_bool happened, goes_on;
static atomic_long held;
static atomic_long where;
extern char __executable_start[]; /* by the linker */

void fail_arm(enum fail_what what, long k, bool more)
{
    atomic_store(&happened, false);
    atomic_store(&goes_on, more);
    atomic_store(&left, k);
    atomic_store(&armed, (int)what);
}

void fail_disarm(void)
{
    atomic_store(&armed, FAIL_NOTHING);
}

bool fail_happened(void)
{
    return atomic_load(&happened);
}

long fail_where(void)
{
    return atomic_load(&where);
}

long fail_held(void)
{
    return atomic_load(&held);
}

/* Inlined into each wrapped function: the return address is the caller's. */
__attribute__((always_inline)) static inline bool refused(enum fail_what what)
{
    if (atomic_load(&armed) != (int)what)
        return false;
    long n = atomic_fetch_sub(&left, 1);
    if (n != 1 && !(n < 1 && atomic_load(&goes_on)))
        return false;
    if (!atomic_exchange(&happened, true))
        atomic_store(&where, (long)((char *)__builtin_return_address(0) - __executable_start));
    return true;
}

#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

WRAP(void *, malloc, size_t len)
{
    void *p = refused(FAIL_MEMORY) ? (errno = ENOMEM, NULL) : __real_malloc(len);

    if (p)
        atomic_fetch_add(&held, 1);
    return p;
}

WRAP(void *, calloc, size_t n, size_t len)
{
    void *p = refused(FAIL_MEMORY) ? (errno = ENOMEM, NULL) : __real_calloc(n, len);

    if (p)
        atomic_fetch_add(&held, 1);
    return p;
}

WRAP(void *, realloc, void *old, size_t len)
{
    void *p = refused(FAIL_MEMORY) ? (errno = ENOMEM, NULL) : __real_realloc(old, len);

    if (p && !old)
        atomic_fetch_add(&held, 1);
    return p;
}

WRAP(void, free, void *p)
{
    if (p)
        atomic_fetch_sub(&held, 1);
    __real_free(p);
}

WRAP(void *, mmap64, void *at, size_t len, int prot, int flags, int fd, off_t off)
{
    void *p = refused(FAIL_MEMORY) ? (errno = ENOMEM, MAP_FAILED)
                                   : __real_mmap64(at, len, prot, flags, fd, off);

    if (p != MAP_FAILED)
        atomic_fetch_add(&held, 1);
    return p;
}

WRAP(int, munmap, void *p, size_t len)
{
    atomic_fetch_sub(&held, 1);
    return __real_munmap(p, len);
}

WRAP(FILE *, fopencookie, void *restrict cookie, const char *restrict mode,
     cookie_io_functions_t io)
{
    return refused(FAIL_MEMORY) ? (errno = ENOMEM, NULL) : __real_fopencookie(cookie, mode, io);
}

WRAP(FILE *, fopen64, const char *restrict path, const char *restrict mode)
{
    if (refused(FAIL_MEMORY))
        return errno = ENOMEM, NULL;
    return refused(FAIL_DESCRIPTORS) ? (errno = EMFILE, NULL) : __real_fopen64(path, mode);
}

WRAP(int, pthread_create, pthread_t *restrict t, const pthread_attr_t *restrict attr,
     void *(*fn)(void *), void *restrict arg)
{
    return refused(FAIL_MEMORY) ? EAGAIN : __real_pthread_create(t, attr, fn, arg);
}

WRAP(int, getaddrinfo, const char *restrict host, const char *restrict service,
     const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
    return refused(FAIL_MEMORY) ? EAI_MEMORY : __real_getaddrinfo(host, service, hints, found);
}

WRAP(int, epoll_ctl, int epoll_fd, int how, int fd, struct epoll_event *e)
{
    if (how == EPOLL_CTL_ADD && refused(FAIL_MEMORY))
        return errno = ENOMEM, -1;
    return __real_epoll_ctl(epoll_fd, how, fd, e);
}

WRAP(int, socket, int family, int type, int proto)
{
    return refused(FAIL_DESCRIPTORS) ? (errno = EMFILE, -1) : __real_socket(family, type, proto);
}

WRAP(int, socketpair, int family, int type, int proto, int *pair)
{
    return refused(FAIL_DESCRIPTORS) ? (errno = EMFILE, -1)
                                     : __real_socketpair(family, type, proto, pair);
}

WRAP(int, accept4, int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags)
{
    return refused(FAIL_DESCRIPTORS) ? (errno = EMFILE, -1) : __real_accept4(fd, sa, len, flags);
}

WRAP(int, eventfd, unsigned value, int flags)
{
    return refused(FAIL_DESCRIPTORS) ? (errno = EMFILE, -1) : __real_eventfd(value, flags);
}

WRAP(int, epoll_create1, int flags)
{
    return refused(FAIL_DESCRIPTORS) ? (errno = EMFILE, -1) : __real_epoll_create1(flags);
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, ...);
long __wrap_syscall(long nr, ...)
{
    long word[6] = {0};
    va_list args;

    va_start(args, nr);
    for (int i = 0; i < words(nr); i++)
        word[i] = va_arg(args, long);
    va_end(args);
    if (nr == SYS_io_uring_setup && refused(FAIL_DESCRIPTORS))
        return errno = EMFILE, -1;
    return __real_syscall(nr, word[0], word[1], word[2], word[3], word[4], word[5]);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return refused(FAIL_DESCRIPTORS) ? (errno = EMFILE, -1) : __real_open64(path, flags, mode);
}

int __real_fcntl64(int fd, int how, ...);
int __wrap_fcntl64(int fd, int how, ...);
int __wrap_fcntl64(int fd, int how, ...)
{
    va_list args;

    va_start(args, how);
    long arg = va_arg(args, long);
    va_end(args);
    if (how == F_DUPFD_CLOEXEC && refused(FAIL_DESCRIPTORS))
        return errno = EMFILE, -1;
    return __real_fcntl64(fd, how, arg);
}
