/* 09_udp.c - datagrams: recvfrom and sendto, and three ways in which they differ from TCP.
 *
 *     ./09_udp                      in one terminal; Ctrl-C ends it
 *     stoa connect udp://127.0.0.1:8081     in another, or: nc -u 127.0.0.1 8081
 *
 * A UDP server has no connections, so there is nothing to listen for or to accept:
 * one socket talks with all clients, recvfrom tells who has spoken, and sendto
 * answers.  What is different from a stream:
 *
 *   - One recvfrom gives one datagram, whole, never two and never a half.
 *   - An empty datagram is a message like others.  0 is not the end here.
 *   - What does not fit into the buffer is cut off and lost.  With MSG_TRUNC
 *     stoa_recvfrom() returns the whole length, so that this can be noticed.
 *
 * What one sees: each datagram's sender and length.  The answer is the datagram in
 * upper case.  (Datagrams may get lost on the way.  Then neither side is told.)
 *
 * Lines to look at: `udp://`, MSG_TRUNC, and that the loop goes on after an error:
 * it belongs to one client, not to the server.
 */
#include <ctype.h>
#include <stdio.h>
#include <stoa.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *at = argc > 1 ? argv[1] : "udp://127.0.0.1:8081";
    struct stoa_addr here;
    struct stoa_addr from;
    char text[STOA_ADDR_TEXT_MAX];
    char data[1024];

    int s = stoa_socket(AF_INET, SOCK_DGRAM, 0);
    if (s < 0 || stoa_bind(s, at) < 0) {
        fprintf(stderr, "%s\n", stoa_errmsg());
        return 1;
    }
    stoa_getsockname(s, &here);
    printf("waiting on %s\n", stoa_addr_text(&here, text, sizeof(text)));

    for (;;) {
        ssize_t whole = stoa_recvfrom(s, data, sizeof(data), MSG_TRUNC, &from);
        if (whole < 0) {
            fprintf(stderr, "%s\n", stoa_errmsg());
            continue;
        }
        size_t len = (size_t)whole < sizeof(data) ? (size_t)whole : sizeof(data);
        printf("%s sent %zd bytes", stoa_addr_text(&from, text, sizeof(text)), whole);
        printf("%s\n", (size_t)whole > len ? ", cut to 1024" : "");

        for (size_t i = 0; i < len; i++)
            data[i] = (char)toupper((unsigned char)data[i]);
        if (stoa_sendto(s, data, len, 0, &from) < 0)
            fprintf(stderr, "%s\n", stoa_errmsg());
    }
}
