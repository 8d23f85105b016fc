/* spot.c - a thread that waits in the kernel is read by /proc, one that computes is asked.
 *
 * /proc/self/task/TID/syscall (proc(5)) has the system call's number, the stack pointer and the
 * program counter of a thread that waits, and disturbs nobody.  Its callers are then the return
 * addresses on its stack.  Without the unwinding tables of each function nobody knows where
 * in its frame one lies, so all of them are told, from the innermost on: one that an earlier
 * call left in a part of the stack that nobody has written since may be among them.
 *
 * A thread that computes has its registers in the processor; sample.c asks it.
 */
#include "backend/spot.h"

#include "backend/code.h"
#include "backend/peek.h"
#include "backend/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACK_WORDS = 2048 /* looked through; 16 KiB */ };

#define CALL(name)                                                                                 \
    {                                                                                              \
        SYS_##name, #name                                                                          \
    }

/* The calls that wait, by their names in their manual pages. */
static const struct {
    long call;
    const char *name;
} calls[] = {
#ifdef SYS_open
    CALL(open),
    CALL(poll),
    CALL(select),
    CALL(pause),
    CALL(epoll_wait),
    CALL(vfork),
    CALL(unlink),
    CALL(rename),
    CALL(stat),
    CALL(mkdir),
    CALL(rmdir),
    CALL(fork),
    CALL(accept),
    CALL(creat),
#endif
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(pread64),
    CALL(pwrite64),
    CALL(preadv),
    CALL(pwritev),
    CALL(openat),
    CALL(close),
    CALL(ppoll),
    CALL(pselect6),
    CALL(epoll_pwait),
    CALL(nanosleep),
    CALL(clock_nanosleep),
    CALL(futex),
    CALL(flock),
    CALL(fcntl),
    CALL(fsync),
    CALL(fdatasync),
    CALL(sync),
    CALL(wait4),
    CALL(waitid),
    CALL(recvfrom),
    CALL(recvmsg),
    CALL(recvmmsg),
    CALL(sendto),
    CALL(sendmsg),
    CALL(sendmmsg),
    CALL(accept4),
    CALL(connect),
    CALL(sendfile),
    CALL(splice),
    CALL(rt_sigtimedwait),
    CALL(rt_sigsuspend),
    CALL(io_uring_enter),
    CALL(msgrcv),
    CALL(msgsnd),
    CALL(semop),
    CALL(semtimedop),
    CALL(mq_timedreceive),
    CALL(mq_timedsend),
    CALL(clone),
    CALL(unlinkat),
    CALL(renameat),
    CALL(ioctl),
    CALL(getrandom),
    CALL(mmap),
    CALL(munmap),
    CALL(madvise),
    CALL(copy_file_range),
    CALL(truncate),
    CALL(ftruncate),
    CALL(fallocate),
    CALL(getdents64),
};

/* The text of /proc; "" when it is not to be had. */
static void read_what(pid_t tid, char *text, size_t size)
{
    char path[64];
    ssize_t n = -1;

    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        n = read(fd, text, size - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
}

void spot_look(struct spot *s, pid_t tid)
{
    char text[256];
    char *end;

    *s = (struct spot){.doing = DOING_UNKNOWN};
    read_what(tid, text, sizeof(text));
    if (strncmp(text, "running", 7) == 0) {
        s->doing = DOING_COMPUTES;
        return;
    }
    s->call = strtol(text, &end, 10);
    if (end == text)
        return;
    s->doing = s->call >= 0 ? DOING_CALL : DOING_MEMORY;
    for (char *word = end; *word == ' ';) { /* the last two */
        s->sp = s->at;
        s->at = strtoul(word, &word, 16);
    }
}

static void read_stack(struct spot *s, uintptr_t low, uintptr_t high)
{
    uintptr_t words[STACK_WORDS], pc;
    size_t n = 0, i = 0;

    s->pc[s->npc++] = s->at;
    if (s->sp >= low && s->sp < high)
        n = (high - s->sp) / sizeof(words[0]);
    n = n < STACK_WORDS ? n : STACK_WORDS;
    if (!n || !peek(words, (void *)s->sp, n * sizeof(words[0])))
        return;
    while (s->npc < SPOT_FRAMES && (pc = code_next_return(words, &i, n)))
        s->pc[s->npc++] = pc;
}

bool spot_trace(struct spot *s, pid_t tid, uintptr_t low, uintptr_t high)
{
    struct spot then;

    spot_look(s, tid);
    if (s->doing == DOING_UNKNOWN)
        return false;
    if (s->doing == DOING_COMPUTES) {
        s->npc = sample(tid, s->pc, SPOT_FRAMES);
        return s->npc > 0;
    }
    read_stack(s, low, high);
    spot_look(&then, tid);
    return then.doing == s->doing && then.call == s->call && then.sp == s->sp && then.at == s->at;
}

static void add_call(struct text *t, long call)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (calls[i].call == call) {
            text_add(t, calls[i].name);
            return;
        }
    text_add(t, "number ");
    text_add_number(t, (uint64_t)call);
}

void spot_add(struct text *t, const struct spot *s)
{
    static const char *const words[] = {
        [DOING_UNKNOWN] = "running",
        [DOING_COMPUTES] = "computing",
        [DOING_CALL] = "in the system call ",
        [DOING_MEMORY] = "waiting for memory",
    };

    text_add(t, words[s->doing]);
    if (s->doing == DOING_CALL)
        add_call(t, s->call);
    for (size_t i = 0; i < s->npc; i++) {
        text_add(t, i ? " < " : " at ");
        code_add(t, s->pc[i]);
    }
}
