/* threads.c - the upper-casing server with a thread for each connection.
 *
 * Idiomatic: the textbook's loop of blocking calls, in a detached thread of pthread_create(3)'s
 * usual attributes; the buffer is on its stack.  Back-pressure is send(2), which blocks.
 *
 * usage: threads PORT
 */
#include "peer.h"

#include <pthread.h>

enum { BUFFER_LEN = 16 << 10 };

static int send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    uint8_t buffer[BUFFER_LEN];
    ssize_t n;

    while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
        upper(buffer, (size_t)n);
        if (send_all(fd, buffer, (size_t)n) < 0)
            break;
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    int listen_fd = peer_listen(argc, argv, 0);

    for (;;) {
        pthread_t thread;
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        int e = pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd);
        if (e)
            peer_die("pthread_create", strerror(e));
        pthread_detach(thread);
    }
}
