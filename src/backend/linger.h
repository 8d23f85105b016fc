/* linger.h - closing a stream so that what was sent arrives.  Knows descriptors only. */
#ifndef STOA_BACKEND_LINGER_H
#define STOA_BACKEND_LINGER_H

/* Close fd, a connected stream that nobody else shares, politely.  Does not wait. */
void linger_close(int fd);

/* Close any other that nobody else shares: close(2), but it does not wait, whatever
 * SO_LINGER says. */
void linger_close_plain(int fd);

#endif
