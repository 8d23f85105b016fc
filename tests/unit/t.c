/* t.c - the test kit itself: what it counts, what it prints, what it notices.
 *
 * The danger: a kit that calls everything good.  The way: the test runs its own
 * program again (/proc/self/exe) with T_BROKEN set, in which every case but one is
 * wrong in its own way, and reads what comes out.
 */
#include "t.h"
#include "watched.h"

#include <fcntl.h>
#include <pthread.h>

static bool broken(void)
{
    return getenv("T_BROKEN") != NULL;
}

/* Run one case of this program, broken; its output in out, its exit status back. */
static int run_broken(const char *name, char *out, size_t len)
{
    char command[384], self[128];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[n > 0 ? n : 0] = 0;
    snprintf(command, sizeof(command), "T_BROKEN=1 %s '%s' %s 2>&1", emulator() ? emulator() : "",
             self, name);
    FILE *f = popen(command, "r");
    out[f ? fread(out, 1, len - 1, f) : 0] = 0;
    return f ? pclose(f) >> 8 : -1;
}

#define EXPECT_BROKEN(name, status, text)                                                          \
    do {                                                                                           \
        char out_[4096];                                                                           \
        EXPECT_EQ(run_broken(name, out_, sizeof(out_)), status);                                   \
        if (!strstr(out_, text))                                                                   \
            t_fail(__FILE__, __LINE__, "no \"%s\" in: %s", text, out_);                            \
    } while (0)

TEST(both_values_are_printed)
{
    if (broken()) {
        EXPECT_EQ(UINT64_MAX, UINT64_MAX - 1);
        return;
    }
    EXPECT_BROKEN("both_values_are_printed", 1, "18446744073709551615 and 18446744073709551614");
    EXPECT_BROKEN("both_values_are_printed", 1, "not ok 1 - both_values_are_printed");
}

TEST(each_kind_of_expectation_can_fail)
{
    char out[4096];

    if (broken()) {
        EXPECT(1 > 2);
        EXPECT_NE(1, 1);
        EXPECT_LT(1, 1);
        EXPECT_LE(2, 1);
        EXPECT_GT(1, 1);
        EXPECT_GE(0.5, 0.75);
        EXPECT_STR("a", "b");
        EXPECT_STR(NULL, "b");
        EXPECT_OK(close(-1));
        EXPECT_ERR(close(-1), EINVAL);
        EXPECT_ERR(0, EBADF);
        return;
    }
    EXPECT_EQ(run_broken("each_kind_of_expectation_can_fail", out, sizeof(out)), 1);
    int lines = 0;
    for (const char *p = out; (p = strstr(p, "\n# ")); p++)
        lines++;
    EXPECT_EQ(lines, 11);
    EXPECT_ERR(close(-1), EBADF);
    EXPECT_STR("a", "a");
}

TEST(a_descriptor_left_open_is_a_failure)
{
    if (broken()) {
        EXPECT_GE(open("/dev/null", O_RDONLY | O_CLOEXEC), 0);
        return;
    }
    EXPECT_BROKEN("a_descriptor_left_open_is_a_failure", 1, "/dev/null");
}

static void *fails(void *arg)
{
    EXPECT_EQ(1, 2);
    return arg;
}

TEST(a_failure_in_another_thread_counts)
{
    pthread_t t;

    if (broken()) {
        pthread_create(&t, NULL, fails, NULL);
        pthread_join(t, NULL);
        return;
    }
    EXPECT_BROKEN("a_failure_in_another_thread_counts", 1, "not ok 1");
}

TEST(an_end_in_the_middle_is_a_failure)
{
    if (broken())
        exit(0);
    EXPECT_BROKEN("an_end_in_the_middle_is_a_failure", 1, "Bail out!");
}

TEST(skipped_alone_exits_77)
{
    if (broken()) {
        SKIP("because");
        return;
    }
    EXPECT_BROKEN("skipped_alone_exits_77", 77, "ok 1 - skipped_alone_exits_77 # SKIP because");
}

TEST(a_name_nobody_has_is_a_failure)
{
    if (!broken())
        EXPECT_BROKEN("no_such_test", 1, "no test of that name");
}
