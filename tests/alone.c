/* alone.c - a test's body in a process of its own: ALONE() of backends.h.
 *
 * The program runs itself again with the test's name; STOA_TEST_ALONE says in which place.
 */
#include "backends.h"
#include "unit/watched.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

/* Read what the child says; its comments become ours. */
static void relay(int from)
{
    FILE *f = fdopen(from, "r");
    char line[2048];

    while (f && fgets(line, sizeof(line), f))
        if (line[0] == '#' || strncmp(line, "Bail", 4) == 0)
            printf("#%s%s", line[0] == '#' ? "" : " ", line + (line[0] == '#'));
    if (f)
        fclose(f);
}

/* Run this case, and only in this place, in a new process.  Its exit status. */
static int run_alone(const char *name, const char *key)
{
    char exe[4096] = "";
    int out[2], status = -1;
    pid_t pid;
    posix_spawn_file_actions_t actions;

    EXPECT_GT(readlink("/proc/self/exe", exe, sizeof(exe) - 1), 0);
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    fflush(stdout);
    setenv("STOA_TEST_ALONE", key, 1);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    char *argv[] = {(char *)(uintptr_t)emulator(), exe, (char *)(uintptr_t)name, NULL};
    char **args = emulator() ? argv : argv + 1;
    /* Not by its name: in a chroot and a mount namespace (procns.h) the kernel does not know it. */
    const char *file = emulator() ? args[0] : "/proc/self/exe";
    EXPECT_EQ(posix_spawnp(&pid, file, &actions, NULL, args, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    unsetenv("STOA_TEST_ALONE");
    close(out[1]);
    relay(out[0]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

bool alone(const char *name)
{
    const char *mine = getenv("STOA_TEST_ALONE");
    char key[256];

    snprintf(key, sizeof(key), "%s/%s/%d/%s", name, place->backend ? place->backend : "block",
             (int)place->beside, place->beside_backend ? place->beside_backend : "");
    if (mine)
        return strcmp(mine, key) == 0;
    int status = run_alone(name, key);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        SKIP("not possible here");
    else
        EXPECT_EQ(status, 0);
    return false;
}
