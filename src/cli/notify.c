/* notify.c - one datagram to a UNIX socket, as sd_notify(3) sends it.
 *
 * The protocol is part of systemd's interface promise, and smaller than the library that would have
 * to be linked for it.  Limits: its vsock form, for virtual machines, is not known here.
 */
#include "cli/notify.h"

#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WORD_MAX = 256 };

/* 0; -1 with errno. */
static int send_to(const char *path, const char *word, size_t len)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t path_len = strlen(path);

    if ((*path != '/' && *path != '@') || path_len >= sizeof(to.sun_path)) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    memcpy(to.sun_path, path, path_len);
    if (*path == '@')
        to.sun_path[0] = 0; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    ssize_t sent = sendto(fd, word, len, MSG_NOSIGNAL, (const struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len));
    close(fd);
    return sent < 0 ? -1 : 0;
}

void notify(const char *fmt, ...)
{
    const char *path = getenv("NOTIFY_SOCKET");
    char word[WORD_MAX];
    va_list args;

    if (!path || !*path)
        return;
    va_start(args, fmt);
    int len = vsnprintf(word, sizeof(word), fmt, args);
    va_end(args);
    if (send_to(path, word, (size_t)len) < 0)
        output_say("stoa serve", "NOTIFY_SOCKET %s: %s", path, strerror(errno));
}
