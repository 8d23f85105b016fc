/* st.c - the upper-casing server on State Threads: a cooperative thread for each connection.
 *
 * Idiomatic: as examples/server.c of the library has it, without its processes and its log: one
 * st_thread_create() for each accepted connection, st_read() and st_write() in a straight
 * line.  Back-pressure is st_write(), which waits.
 *
 * epoll is asked for, but Debian's library is built without: st_get_eventsys_name() is "select",
 * which knows no descriptor above 1,023.  It says so when they run out.
 *
 * usage: st PORT
 */
#include "peer.h"

#include <st.h>

enum { BUFFER_LEN = 16 << 10 };

static void *serve(void *arg)
{
    st_netfd_t peer = arg;
    uint8_t buffer[BUFFER_LEN];
    ssize_t n;

    while ((n = st_read(peer, buffer, sizeof(buffer), ST_UTIME_NO_TIMEOUT)) > 0) {
        upper(buffer, (size_t)n);
        if (st_write(peer, buffer, (size_t)n, ST_UTIME_NO_TIMEOUT) != n)
            break;
    }
    st_netfd_close(peer);
    return NULL;
}

int main(int argc, char **argv)
{
    int listen_fd = peer_listen(argc, argv, 0);
    char limit[100];

    st_set_eventsys(ST_EVENTSYS_ALT);
    if (st_init() < 0)
        peer_die("st_init", strerror(errno));
    snprintf(limit, sizeof(limit), "%s(2) ends at %d descriptors", st_get_eventsys_name(),
             st_getfdlimit());
    st_netfd_t listener = st_netfd_open_socket(listen_fd);
    if (!listener)
        peer_die("st_netfd_open_socket", strerror(errno));
    for (;;) {
        st_netfd_t peer = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);
        if (!peer && errno == EMFILE)
            peer_die("st_accept", limit);
        if (peer && !st_thread_create(serve, peer, 0, 0))
            peer_die("st_thread_create", strerror(errno));
    }
}
