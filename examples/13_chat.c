/* 13_chat.c - what everyone builds next: a room in which each client hears all others.
 *
 *     ./13_chat                     in one terminal; Ctrl-C ends it
 *     nc 127.0.0.1 8081             in as many others as you like
 *
 * What one sees: a client is asked for its name; from then on it gets each line of
 * every other client, and is told who comes and who leaves.
 *
 * The trouble of a chat server is that one client's fiber sends to all the others'
 * connections, which belong to other fibers and, with several cores, to other
 * threads.  Any fiber may use any handle, so there is just one table of handles,
 * and a mutex around it.
 *
 * Lines to look at:
 *   - say(): the mutex is held while it sends, so that all members hear all lines
 *     in the same order.  A fiber that waits with a mutex held would stop
 *     its whole thread, so these sends must not wait: MSG_DONTWAIT.
 *   - A client that does not read fills its buffers, and a send to it has no room
 *     (EAGAIN).  It is put out of the room: stoa_abort() ends its connection, and its own
 *     fiber, which waits in fgets(), is woken.  The others have noticed nothing.
 *   - member(): reads lines from a FILE and sends by the handle below it.  The
 *     handler closes the FILE; the connection is closed when the handler returns.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stoa.h>
#include <string.h>

enum { MEMBERS_MAX = 1000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int members[MEMBERS_MAX]; /* handles; under the lock, and so is their number */
static size_t nmembers;

/* Send a line to all members but one. */
static void say(int but, const char *name, const char *does, const char *text)
{
    char line[1200];

    snprintf(line, sizeof(line), "%s%s%s\n", name, does, text);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < nmembers; i++) {
        if (members[i] == but)
            continue;
        if (stoa_sendall(members[i], line, strlen(line), MSG_DONTWAIT) < 0 && errno == EAGAIN)
            stoa_abort(members[i]);
    }
    pthread_mutex_unlock(&lock);
}

static int enter(int conn)
{
    pthread_mutex_lock(&lock);
    int there_is_room = nmembers < MEMBERS_MAX;
    if (there_is_room)
        members[nmembers++] = conn;
    pthread_mutex_unlock(&lock);
    return there_is_room;
}

static void leave(int conn)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < nmembers; i++) {
        if (members[i] == conn) {
            members[i] = members[--nmembers]; /* the last takes the free place */
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

/* One line without its end; bytes that a terminal would obey become '?'. */
static int read_line(FILE *in, char *line, size_t size)
{
    if (fgets(line, (int)size, in) == NULL)
        return -1;
    line[strcspn(line, "\r\n")] = '\0';
    for (char *c = line; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    }
    return 0;
}

static void member(int conn, FILE *in)
{
    char name[32];
    char line[1024];

    if (stoa_sendall(conn, "your name: ", 11, 0) < 0 || read_line(in, line, sizeof(line)) < 0)
        return;
    snprintf(name, sizeof(name), "%.31s", line);
    if (!enter(conn)) {
        stoa_sendall(conn, "the room is full\n", 17, 0);
        return;
    }
    say(conn, name, " has come", "");
    printf("%s has come\n", name);
    while (read_line(in, line, sizeof(line)) == 0)
        say(conn, name, ": ", line);
    leave(conn);
    say(conn, name, " has left", "");
    printf("%s has left\n", name);
}

static void on_client(int conn, void *arg)
{
    (void)arg;
    FILE *in = stoa_makefile(conn, "r");
    if (in == NULL)
        return;
    member(conn, in);
    fclose(in);
}

static void on_interrupt(int signo)
{
    (void)signo;
    stoa_stop();
}

int main(int argc, char **argv)
{
    const char *at = argc > 1 ? argv[1] : "127.0.0.1:8081";
    struct stoa_options options = {.size = sizeof(options), .drain = 0.1};

    signal(SIGINT, on_interrupt);
    if (stoa_serve(at, on_client, NULL, &options) < 0) {
        fprintf(stderr, "%s\n", stoa_errmsg());
        return 1;
    }
    return 0;
}
