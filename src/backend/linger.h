/* linger.h - closing a stream so that what was sent arrives.  Knows descriptors only. */
#ifndef STOA_BACKEND_LINGER_H
#define STOA_BACKEND_LINGER_H

/* Close fd, a connected stream that nobody else shares, politely.  Does not wait. */
void linger_close(int fd);

/* With SO_LINGER and a time close(2) waits, whatever O_NONBLOCK says.  Here it shall not. */
void linger_forbid(int fd);

#endif
