/* netns.h - for tests in a network namespace of their own. */
#ifndef TESTS_NETNS_H
#define TESTS_NETNS_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A new namespace's loopback device is down. */
static inline bool loopback_up(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool good = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;

    close(fd);
    return good;
}

#endif
