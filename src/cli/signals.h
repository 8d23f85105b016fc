/* signals.h - SIGINT and its like as ordinary calls on a thread.  Does not know what they end. */
#ifndef STOA_CLI_SIGNALS_H
#define STOA_CLI_SIGNALS_H

#include <signal.h>

/* Block these signals, which end with 0, on this thread and those that it starts; *blocked is
 * those of them that the process was not told to ignore, for sigwait(3) and its like. */
void signals_block(const int *sigs, sigset_t *blocked);

/* From now on `taken` is called, on a thread of its own, for each of these signals that the
 * process was not told to ignore.  Call it before there are other threads.
 * 0, or -1 with errno: no thread could be started. */
int signals_take(const int *sigs, void (*taken)(int sig));

#endif
