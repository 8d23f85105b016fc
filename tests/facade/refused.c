/* refused.c - what only another machine says: no way there, no name service, not allowed.
 *
 * Each test has a process of its own, and in it a network and an /etc that nobody else sees,
 * or a kernel that refuses a call (seccomp(2)).  Where that is not to be had it is skipped.
 */
#include "backends.h"
#include "netns.h"
#include "unit/watched.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* -------------------------------------------------------------------------
 * A network
 * ---------------------------------------------------------------------- */

static bool put(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    return f && fputs(text, f) >= 0 && fclose(f) == 0;
}

/* Of a user, where root is not; he is root there. */
static bool user_of_our_own(void)
{
    char map[32];

    snprintf(map, sizeof(map), "0 %d 1", (int)geteuid());
    return unshare(CLONE_NEWUSER) == 0 && put("/proc/self/uid_map", map);
}

/* This thread, and those that it makes, have them alone. */
static bool network_of_our_own(void)
{
    return (geteuid() == 0 || user_of_our_own()) && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
           loopback_up();
}

/* rtnetlink(7): "unreachable 192.0.2.0/24". */
static bool route_to_nowhere(void)
{
    struct {
        struct nlmsghdr head;
        struct rtmsg route;
        struct rtattr attr;
        struct in_addr to;
    } m = {
        .head = {.nlmsg_len = sizeof(m),
                 .nlmsg_type = RTM_NEWROUTE,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK},
        .route = {.rtm_family = AF_INET,
                  .rtm_dst_len = 24,
                  .rtm_table = RT_TABLE_MAIN,
                  .rtm_protocol = RTPROT_STATIC,
                  .rtm_type = RTN_UNREACHABLE},
        .attr = {.rta_len = RTA_LENGTH(sizeof(m.to)), .rta_type = RTA_DST},
        .to.s_addr = htonl(0xc0000200),
    };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
    } answer = {.error.error = -1};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool good = send(fd, &m, sizeof(m), 0) == sizeof(m) && recv(fd, &answer, sizeof(answer), 0) > 0;

    close(fd);
    return good && answer.error.error == 0;
}

TEST(no_way_to_a_host)
{
    NOT_SIMULATED("it has its own routes");
    ALONE(no_way_to_a_host);
    if (!network_of_our_own() || !route_to_nowhere()) {
        SKIP("needs a network namespace");
        return;
    }
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_connect(s, "192.0.2.1:80"), EHOSTUNREACH);
    EXPECT_SAID("no way to that host");
    EXPECT_ERR(stoa_dial("192.0.2.1:80", NULL), EHOSTUNREACH);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(no_way_to_a_host)

TEST(an_option_that_is_not_allowed)
{
    NOT_SIMULATED("there is no other user");
    if (emulator()) {
        SKIP("an emulator does not know SO_MARK");
        return;
    }
    ALONE(an_option_that_is_not_allowed);
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0), mark = 1;
    bool root = geteuid() == 0;

    EXPECT(!root || seteuid(65534) == 0);
    EXPECT_ERR(stoa_setsockopt(s, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), EPERM);
    EXPECT_SAID("not allowed");
    EXPECT(!root || seteuid(0) == 0);
    EXPECT_OK(stoa_close(s));
}
ON_EVERY_BACKEND(an_option_that_is_not_allowed)

/* -------------------------------------------------------------------------
 * A name service, for an address to bind to
 * ---------------------------------------------------------------------- */

/* All names are asked for at 127.0.0.53, where nobody is. */
static bool names_of_our_own(void)
{
    if (!network_of_our_own() || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/etc", "tmpfs", 0, NULL) != 0)
        return false;
    return put("/etc/nsswitch.conf", "hosts: files dns\n") &&
           put("/etc/hosts", "127.0.0.1 localhost\n") &&
           put("/etc/resolv.conf", "nameserver 127.0.0.53\noptions timeout:2 attempts:1\n");
}

/* A name server that says nothing. */
static int silent_server(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(53)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, "127.0.0.53", &in.sin_addr);
    EXPECT_EQ(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

static int bind_cancelled(void *arg)
{
    EXPECT_ERR(stoa_bind(*(int *)arg, "some.example:80"), ECANCELED);
    return 0;
}

TEST(an_address_to_bind_to_that_nobody_looks_up)
{
    NOT_SIMULATED("it has its own names");
    ALONE(an_address_to_bind_to_that_nobody_looks_up);
    if (!names_of_our_own()) {
        SKIP("needs a network namespace");
        return;
    }
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0);

    EXPECT_ERR(stoa_bind(s, "some.example:80"), EREMOTEIO);
    EXPECT_SAID("some.example");
    int fd = silent_server();
    stoa_settimeout(s, 0.05);
    EXPECT_ERR(stoa_bind(s, "some.example:80"), ETIME);
    stoa_settimeout(s, -1);
    struct stoa_scope scope;
    stoa_within(&scope, 0.05);
    EXPECT_ERR(stoa_bind(s, "some.example:80"), ETIME);
    stoa_leave(&scope);
    if (on_fiber()) {
        struct stoa_group *g = stoa_group_open();

        EXPECT_OK(stoa_go(g, bind_cancelled, &s));
        EXPECT_OK(stoa_yield());
        stoa_group_cancel(g);
        EXPECT_OK(stoa_group_join(g));
    }
    EXPECT_OK(stoa_bind(s, "localhost:0"));
    EXPECT_OK(stoa_close(s));
    close(fd);
}
ON_EVERY_BACKEND(an_address_to_bind_to_that_nobody_looks_up)

/* -------------------------------------------------------------------------
 * A kernel that refuses
 * ---------------------------------------------------------------------- */

/* From now on, this thread's call nr fails with EPERM. */
static bool refuse(uint32_t nr)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

/* EPERM is also a lost client's (accept(2)), but not always. */
TEST(an_accept_that_is_refused_ends)
{
    NOT_SIMULATED("a filter of the kernel's calls");
    ALONE(an_accept_that_is_refused_ends);
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, NULL);

    if (!refuse(SYS_accept4)) {
        SKIP("seccomp is not to be had here");
    } else {
        EXPECT_ERR(stoa_accept(s, NULL), EPERM);
        EXPECT_SAID("not allowed");
    }
    EXPECT_OK(stoa_close(c) | stoa_close(s));
}
ON_EVERY_BACKEND(an_accept_that_is_refused_ends)

static bool refused_from_start;

__attribute__((constructor)) static void refuse_if_asked(void)
{
    refused_from_start = getenv("STOA_TEST_REFUSE") && refuse(SYS_membarrier);
}

static int recv_there(struct beside *me)
{
    char c;

    about_to_wait(me);
    return (int)stoa_recv(*(int *)me->arg, &c, 1, 0);
}

/* A socket whose home is another's is closed. */
static void close_elsewhere(void)
{
    for (int i = 0; i < 20; i++) {
        struct pair p = pair_make();
        struct beside b;

        beside(&b, recv_there, &p.near);
        until_asleep(&b);
        EXPECT_OK(stoa_close(p.near));
        EXPECT_EQ(beside_join(&b), -1);
        EXPECT_EQ(b.error, ECANCELED);
        EXPECT_OK(stoa_close(p.far));
    }
}

/* Without membarrier(2) all are guests, and everything is the same. */
TEST(without_membarrier_a_close_is_safe)
{
    NOT_SIMULATED("a filter of the kernel's calls");
    setenv("STOA_TEST_REFUSE", "1", 1);
    bool here = alone("without_membarrier_a_close_is_safe");
    unsetenv("STOA_TEST_REFUSE");
    if (!here)
        return;
    if (!refused_from_start)
        SKIP("seccomp is not to be had here");
    else
        close_elsewhere();
}
ON_EVERY_PAIRING(without_membarrier_a_close_is_safe)

/* Refused later, it cannot be done without: nobody would know whether a call is under way. */
TEST(membarrier_refused_later_ends_the_program)
{
    ALONE(membarrier_refused_later_ends_the_program);
    if (watched()) {
        SKIP("a sanitizer or Valgrind, which take an abort for a mistake");
        return;
    }
    static const struct place fiber_there = {.beside = BESIDE_WORKER, .beside_backend = "epoll"};
    int out[2], status = 0;
    char said[512] = "";

    EXPECT_EQ(pipe2(out, 0), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDERR_FILENO);
        place = &fiber_there;
        if (!refuse(SYS_membarrier))
            _exit(77);
        close_elsewhere();
        _exit(0);
    }
    close(out[1]);
    for (size_t len = 0; len < sizeof(said) - 1;) {
        ssize_t n = read(out[0], said + len, sizeof(said) - 1 - len);

        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(out[0]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        SKIP("seccomp is not to be had here");
        return;
    }
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    EXPECT(strstr(said, "membarrier(2), which the kernel had promised, is refused"));
}
