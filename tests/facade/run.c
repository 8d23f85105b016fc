/* run.c - stoa_run() and its options; several at once; what happens without a backend.
 */
#include "backends.h"
#include "unit/watched.h"

#include <math.h>

static int gives_back(void *arg)
{
    return *(int *)arg;
}

TEST(run_gives_the_first_fibers_value)
{
    static const int values[] = {0, 1, 42, -7, 2147483647};

    for (size_t i = 0; i < 5; i++)
        EXPECT_EQ(stoa_run(gives_back, (void *)(uintptr_t)&values[i], NULL), values[i]);
}

static int runs_again(void *arg)
{
    int value = 3;

    (void)arg;
    EXPECT_ERR(stoa_run(gives_back, &value, NULL), EDEADLK);
    EXPECT_SAID("run");
    return 0;
}

TEST(run_on_a_fiber_is_EDEADLK)
{
    EXPECT_EQ(stoa_run(runs_again, NULL, NULL), 0);
}

TEST(bad_options_are_EINVAL)
{
    struct stoa_options bad[] = {
        {.size = 0},
        {.size = 3},
        {.size = sizeof(bad[0]), .backend = "nosuch"},
        {.size = sizeof(bad[0]), .stack = (size_t)-1},
        {.size = sizeof(bad[0]), .stack = (size_t)1 << 50},
    };
    int value = 3;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 0;
        int rc = stoa_run(gives_back, &value, &bad[i]);
        if (rc != -1 || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "options %zu: %d, errno %d", i, rc, errno);
    }
    stoa_run(gives_back, &value, &bad[2]);
    EXPECT_SAID("nosuch");
    stoa_run(gives_back, &value, &bad[0]);
    EXPECT_SAID("size");
}

TEST(the_environment_chooses_the_backend)
{
    ALONE(the_environment_chooses_the_backend);
    int value = 3;

    setenv("STOA_BACKEND", "epoll", 1);
    EXPECT_EQ(stoa_run(gives_back, &value, NULL), 3);
    setenv("STOA_BACKEND", "nosuch", 1);
    EXPECT_ERR(stoa_run(gives_back, &value, NULL), EINVAL);
    EXPECT_SAID("nosuch");
    struct stoa_options o = {.size = sizeof(o), .backend = "epoll"};
    EXPECT_EQ(stoa_run(gives_back, &value, &o), 3);
}

static int uses_stack(void *arg)
{
    size_t len = *(size_t *)arg;
    volatile char big[200000];

    for (size_t i = 0; i < len; i += 512)
        big[i] = (char)i;
    return stoa_yield() | (big[0] != 0);
}

TEST(the_stack_is_as_large_as_asked_for)
{
    size_t len = 200000;
    struct stoa_options o = {.size = sizeof(o), .stack = 262144 + 1};

    EXPECT_EQ(stoa_run(uses_stack, &len, &o), 0);
}

static int talks(void *arg)
{
    struct pair p = pair_make();
    char buf[8];
    long *rounds = arg;

    for (int i = 0; i < 200; i++) {
        EXPECT_OK(stoa_sendall(p.near, "ping", 4, 0));
        EXPECT_EQ(stoa_recvall(p.far, buf, 4), 4);
        ++*rounds;
    }
    pair_close(&p);
    return 0;
}

static void *runs(void *arg)
{
    EXPECT_EQ(stoa_run(talks, arg, NULL), 0);
    EXPECT_EQ(stoa_run(talks, arg, NULL), 0);
    return NULL;
}

TEST(several_runs_at_once)
{
    pthread_t threads[4];
    long rounds[4] = {0};

    for (int i = 0; i < 4; i++)
        EXPECT_EQ(pthread_create(&threads[i], NULL, runs, &rounds[i]), 0);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(pthread_join(threads[i], NULL), 0);
        EXPECT_EQ(rounds[i], 400);
    }
}

static int makes(void *arg)
{
    *(struct pair *)arg = pair_make();
    return 0;
}

static int uses(void *arg)
{
    struct pair *p = arg;
    char buf[8];

    EXPECT_OK(stoa_sendall(p->near, "abc", 3, 0));
    EXPECT_EQ(stoa_recv(p->far, buf, sizeof(buf), 0), 3);
    return 0;
}

/* A socket is of no worker: made in one, used in the next, closed by a plain thread. */
TEST(a_socket_outlives_the_worker_that_made_it)
{
    struct pair p;

    EXPECT_EQ(stoa_run(makes, &p, NULL), 0);
    uses(&p);
    EXPECT_EQ(stoa_run(uses, &p, NULL), 0);
    uses(&p);
    EXPECT_EQ(stoa_run(uses, &p, NULL), 0);
    pair_close(&p);
}

static int does_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ThreadSanitizer allows 8,128. */
static int starts_many(void *arg)
{
    struct stoa_group *g = stoa_group_open();

    (void)arg;
    for (int i = 0; i < (watched() ? 2000 : 20000); i++)
        if (stoa_go(g, does_nothing, NULL) < 0)
            return -1;
    return stoa_group_join(g);
}

TEST(twenty_thousand_fibers_at_once)
{
    EXPECT_EQ(stoa_run(starts_many, NULL, NULL), 0);
}
