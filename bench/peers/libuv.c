/* libuv.c - the upper-casing server on libuv.
 *
 * Idiomatic: uv_read_start() with a buffer of the size that libuv suggests (64 KiB), one for all,
 * for it is done with when the reader returns: the answer is sent by uv_try_write(), and what
 * the socket refuses by uv_write().  (The guide's tcp-echo-server allocates 64 KiB for
 * each read and keeps them until the next turn of the loop: with 64 connections 1.7 times
 * the processor time.)  Back-pressure: what was refused is to go out before the next read.
 *
 * usage: libuv PORT
 */
#include "peer.h"

#include <signal.h>
#include <uv.h>

enum { BUFFER_LEN = 64 << 10 };

struct rest {
    uv_write_t request;
    char bytes[];
};

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void alloc(uv_handle_t *handle, size_t suggested_len, uv_buf_t *buf)
{
    static char buffer[BUFFER_LEN];

    (void)handle, (void)suggested_len;
    *buf = uv_buf_init(buffer, sizeof(buffer));
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void drop(uv_stream_t *stream)
{
    if (!uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_closed);
}

static void on_written(uv_write_t *request, int status)
{
    uv_stream_t *stream = request->handle;

    free(request);
    if (status < 0)
        drop(stream);
    else
        uv_read_start(stream, alloc, on_read);
}

/* Leave the rest of an answer to libuv, and read no more until it is out. */
static void write_later(uv_stream_t *stream, const char *bytes, size_t len)
{
    struct rest *rest = malloc(sizeof(*rest) + len);

    if (!rest) {
        drop(stream);
        return;
    }
    memcpy(rest->bytes, bytes, len);
    uv_buf_t buf = uv_buf_init(rest->bytes, (unsigned)len);
    uv_read_stop(stream);
    uv_write(&rest->request, stream, &buf, 1, on_written);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0)
        drop(stream);
    if (n <= 0)
        return;
    upper((uint8_t *)buf->base, (size_t)n);
    uv_buf_t answer = uv_buf_init(buf->base, (unsigned)n);
    int sent = uv_try_write(stream, &answer, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        drop(stream);
        return;
    }
    sent = sent > 0 ? sent : 0;
    if (sent < n)
        write_later(stream, buf->base + sent, (size_t)(n - sent));
}

static void on_connection(uv_stream_t *server, int status)
{
    uv_tcp_t *client = status < 0 ? NULL : malloc(sizeof(*client));

    if (!client)
        return;
    uv_tcp_init(server->loop, client);
    if (uv_accept(server, (uv_stream_t *)client) < 0) {
        drop((uv_stream_t *)client);
        return;
    }
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t *)client, alloc, on_read);
}

int main(int argc, char **argv)
{
    const struct sockaddr_in at = peer_address(argc, argv);
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    int e;

    signal(SIGPIPE, SIG_IGN);
    uv_tcp_init(loop, &server);
    e = uv_tcp_bind(&server, (const struct sockaddr *)&at, 0);
    if (e == 0)
        e = uv_listen((uv_stream_t *)&server, SOMAXCONN, on_connection);
    if (e < 0)
        peer_die("listen", uv_strerror(e));
    return uv_run(loop, UV_RUN_DEFAULT);
}
