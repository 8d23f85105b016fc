/* fork.c - a fork on a fiber before the process has made its first socket.
 *
 * The child must not go on with the loop of the parent, whose epoll and ring they share: what
 * it waited for would come to the parent, with addresses of the child's.  It is a
 * program of its own, for in all others a socket is made before the first test.
 */
#include "t.h"

#include <stoa.h>
#include <sys/wait.h>
#include <unistd.h>

void t_setup(void);

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* A run alone: it makes what the library keeps, and no socket. */
void t_setup(void)
{
    stoa_run(nothing, NULL, NULL);
}

static int in_child(void)
{
    int pair[2];
    char c = 0;

    if (stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return 1;
    stoa_settimeout(pair[0], 0.01);
    if (stoa_recv(pair[0], &c, 1, 0) != -1 || errno != ETIME)
        return 2;
    if (stoa_sendall(pair[1], "x", 1, 0) < 0 || stoa_recv(pair[0], &c, 1, 0) != 1)
        return 3;
    return stoa_close(pair[0]) | stoa_close(pair[1]) ? 4 : 0;
}

static int forks(void *arg)
{
    int status = -1, pair[2];
    char c;

    (void)arg;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(300);
        _exit(in_child());
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(stoa_socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    stoa_settimeout(pair[0], 0.05);
    EXPECT_ERR(stoa_recv(pair[0], &c, 1, 0), ETIME);
    return stoa_close(pair[0]) | stoa_close(pair[1]);
}

TEST(a_fork_before_the_first_socket_leaves_the_parents_loop_alone)
{
    EXPECT_EQ(stoa_run(forks, NULL, NULL), 0);
}
