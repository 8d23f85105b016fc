/* linger.h - closing a stream so that what was sent arrives.  Knows descriptors only. */
#ifndef STOA_BACKEND_LINGER_H
#define STOA_BACKEND_LINGER_H

/* Close fd, a connected stream that nobody else shares, politely.  Does not wait.
 * gap_ms > 0: a served one, whose gaps stoa_serve() has made short, and what they were before. */
void linger_close(int fd, int gap_ms);

/* With SO_LINGER and a time close(2) waits, whatever O_NONBLOCK says.  Here it shall not. */
void linger_forbid(int fd);

/* Close fd, which others may have, and whose SO_LINGER is theirs as well: where close(2) would
 * wait, a thread does. */
void linger_close_shared(int fd);

#endif
