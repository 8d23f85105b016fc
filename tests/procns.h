/* procns.h - for tests that see their own processes alone. */
#ifndef TESTS_PROCNS_H
#define TESTS_PROCNS_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is mounted on /proc shall be seen here alone.  In a chroot / is no mount, but /proc is. */
static inline int make_private(void)
{
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
               ? 0
               : mount(NULL, "/proc", NULL, MS_PRIVATE, NULL);
}

/* From here on this process is a child that is the first of a list of processes of its own, with a
 * /proc of its own; the one that was called waits for its end, and ends as it does.  Where that is
 * forbidden nothing changes. */
static inline void among_ourselves(void)
{
    int status = 0;

    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
        return;
    pid_t child = fork();
    if (child > 0) {
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    if (child < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || make_private() < 0 ||
        mount("proc", "/proc", "proc", 0, NULL) < 0) {
        perror("a list of processes of our own");
        _exit(1);
    }
}

#endif
