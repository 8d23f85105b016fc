/* place.h - an error's address, as the probes want it; what each family of them can explain. */
#ifndef STOA_DIAG_PLACE_H
#define STOA_DIAG_PLACE_H

#include "diag/explain.h"
#include "diag/port.h"

/* How many descriptors of others an error's sentence is worth: some tens of milliseconds. */
#define EXPLAIN_LINKS_MAX 8192

/* The address of an internet socket; false: it is none. */
bool place_of(struct port_place *p, const struct sockaddr *sa, int type);

/* "python3 (pid 154, ...)", or what is known of a holder whose process is not seen: the user, and,
 * of the socket s, the command that tells more; NULL: there is none. */
void place_owner(struct text *t, const struct diag_owner *owner, uint32_t uid,
                 const struct diag_socket *s);

/* explain()'s parts. */
bool explain_bind(struct text *t, const struct explain_ask *ask);
bool explain_connect(struct text *t, const struct explain_ask *ask);
bool explain_talk(struct text *t, const struct explain_ask *ask);
bool explain_path(struct text *t, const struct explain_ask *ask);

#endif
