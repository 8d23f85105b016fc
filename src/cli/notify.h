/* notify.h - a word to the service manager: sd_notify(3).  It does not know what the words mean. */
#ifndef STOA_CLI_NOTIFY_H
#define STOA_CLI_NOTIFY_H

/* Tell the manager that NOTIFY_SOCKET names, if there is one: "READY=1", "MAINPID=7\nREADY=1".  One
 * that cannot be told is told of on standard error. */
void notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
