/* addr.h - text <-> address.  Pure: it looks no name up, waits for nothing, and knows no socket.
 *
 *   address    = [ "tcp://" | "udp://" ] host ":" port
 *              | "unix:" ( path | "@" name | "" ) | "fd:" number
 *   host       = "" | "*" | IPv4 | "[" IPv6 [ "%" zone ] "]" | a name
 *   port       = 0 .. 65535 | a service's name
 *
 * - Schemes are known in either case (RFC 3986 3.1).  `unix:` and `fd:` come first: the
 *   port 80 of a host named unix is tcp://unix:80.
 * - "*" is the empty host, as ss(8) prints it.
 * - Numbers are decimal, without sign, space or leading zero: 080 is refused, for some
 *   read it as octal.  An IPv4 address has its four numbers.  What inet_aton(3) or a
 *   browser would take for one (a last label of digits, or of 0x and digits) and is not
 *   whole, is no name either.
 * - A zone of digits is an interface's index, known here or not; another is the name of an
 *   interface of this machine (RFC 4007 11.2).  "%25" is no "%" (RFC 6874 is for URIs).
 * - In a path and in an abstract name \xHH is the byte HH, and there is no other escape: a
 *   backslash is \x5c.  Paths may be relative; `unix:///run/x` is `unix:/run/x`.  A path
 *   that begins with "@" or "//" is written \x40..., /\x2f...
 * - A name may hold any letters, those beyond ASCII too: name.c encodes them.
 */
#ifndef STOA_NET_ADDR_H
#define STOA_NET_ADDR_H

#include "base/limits.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stoa.h>

enum addr_scheme {
    ADDR_NONE, /* none is written: the socket decides between TCP and UDP */
    ADDR_TCP,
    ADDR_UDP,
    ADDR_UNIX,
    ADDR_FD,
};

/* An address text, taken apart.  A value of its own: the text may go. */
struct addr_parts {
    enum addr_scheme scheme;

    /* ADDR_NONE, ADDR_TCP, ADDR_UDP. */
    int family; /* of the number that host is: AF_INET, AF_INET6; AF_UNSPEC: a name, or none */
    char host[HOST_NAME_MAX_LEN + 2]; /* as it was written, without brackets; "" = none */
    struct in_addr ipv4;
    struct in6_addr ipv6;
    uint32_t zone;                          /* the interface's index; 0 = none */
    char service[SERVICE_NAME_MAX_LEN + 1]; /* the port as it was written */
    int port;                               /* -1: service is a name */

    /* ADDR_UNIX.  With path_len 0 and not abstract, it is the unnamed one. */
    bool abstract;
    char path[UNIX_NAME_MAX_LEN + 1]; /* path or abstract name, \xHH read; then a 0 */
    size_t path_len;

    int fd; /* ADDR_FD; else -1 */
};

/* Take a text apart.
 *
 *   why  room for why_len bytes: "", or which part is wrong and how, as the middle of a
 *        sentence: `the port "99999" is above 65535`
 *
 * 0; -EINVAL; -ENAMETOOLONG: a UNIX path or name of over 107 bytes; -EMFILE, -ENFILE,
 * -ENOMEM: there is a zone, and nothing left to look for it with. */
int addr_split(struct addr_parts *p, const char *text, char *why, size_t why_len);

/* Make the address that the parts spell in numbers.
 *
 *   family  AF_INET, AF_INET6, AF_UNIX: no other will do; AF_UNSPEC: any.  No host is
 *           0.0.0.0 for AF_INET, else [::]
 *
 * 0; 1: host or service is a name, and a is untouched; -EAFNOSUPPORT: it is of another
 * family; -EINVAL: fd: is not an address. */
int addr_numeric(struct stoa_addr *a, const struct addr_parts *p, int family);

/* 0.0.0.0 or [::], whatever the port? */
bool addr_is_any(const struct stoa_addr *a);

/* Where one connects to reach an address of addr_is_any(): the loopback one.  Others stay. */
void addr_loopback(struct stoa_addr *a);

/* The same place: family, address, port, zone, path.  type does not count, nor does the way
 * in which the length of a UNIX path was counted. */
bool addr_equal(const struct stoa_addr *a, const struct stoa_addr *b);

/* stoa_addr_text() is addr.c's, too.  What it writes reads back to an address that is
 * addr_equal() and has the same type.  No text can say, and so this does not hold for: len
 * 0; other families than these three; another type than 0, SOCK_STREAM and SOCK_DGRAM, or
 * a type of a UNIX address; a flow label; a UNIX path of 108 bytes, which the kernel lets a
 * program bind, without the 0 at its end. */

#endif
