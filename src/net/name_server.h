/* name_server.h - which name servers there are, and what they say.  For messages only. */
#ifndef STOA_NET_NAME_SERVER_H
#define STOA_NET_NAME_SERVER_H

#include "base/text.h"

#include <stdbool.h>

/* Ask this machine's name servers, all at once, for a host that could not be found, and add
 * what each of them says: `the name server 10.0.0.2 did not answer; ...`
 *
 *   host    in ASCII
 *   family  AF_INET, AF_INET6; AF_UNSPEC asks for IPv4
 *   one     there is no such host or address, as getaddrinfo(3) says; the first server that
 *           says the same is enough
 *
 * Blocks its thread for a second at most. */
void name_server_ask(struct text *why, const char *host, int family, bool one);

/* Add before and who they are: `no answer yet from ` `the name server 10.0.0.2`.  Nothing,
 * where none is asked.  Only reads two files of /etc. */
void name_server_list(struct text *why, const char *before);

#endif
