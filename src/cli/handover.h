/* handover.h - SIGUSR2: the same command again, with our listeners, and we let go.  It knows no
 * handler and no connection. */
#ifndef STOA_CLI_HANDOVER_H
#define STOA_CLI_HANDOVER_H

#include <stdbool.h>
#include <sys/types.h>

/* Were we started by one that hands over to us?  Then our listener is descriptor 3. */
bool handover_is_next(void);

/* Were we started with listeners that are another's, and stay so? */
bool handover_is_given(void);

/* Hand over, on a thread of its own.  What becomes of it is told. */
void handover_begin(void);

/* No more begins, and one that is under way has ended.  True: another process has the listeners. */
bool handover_end(void);

/* The parts of it, for who has no threads.  May it begin?  Else it is said why not.  Then wait for
 * it, which gives the new process's number, or -1 with stoa_errmsg(); it has failed, and this
 * process serves on or does not; it has succeeded. */
bool handover_may_begin(void);
pid_t handover_await(void);
void handover_tell_failed(const char *why, bool serves_on);
void handover_tell_done(pid_t pid);

/* The process is to stop: its manager is told, unless another one is in its place. */
void handover_tell_stopping(void);

#endif
