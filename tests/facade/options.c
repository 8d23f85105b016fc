/* options.c - options of an older and of a newer version of the library than this one.
 *
 * A struct is as large as its version's, so that AddressSanitizer and Valgrind see who reads
 * beyond its end.
 */
#include "backends.h"

#include <stddef.h>
#include <stoa/sim.h>

enum { ALL = sizeof(struct stoa_options), NEWER = ALL + 64 };

/* GCC must not see how small it is.  (clang does not look.) */
#if __has_attribute(noipa)
#define UNSEEN __attribute__((noipa))
#else
#define UNSEEN __attribute__((noinline))
#endif

/* A struct of so many bytes, all 0 but its size. */
UNSEEN static struct stoa_options *of_size(size_t size)
{
    struct stoa_options *o = calloc(1, size > sizeof(size_t) ? size : sizeof(size_t));

    o->size = size;
    return o;
}

static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

static int try_run(const struct stoa_options *o)
{
    return stoa_run(nothing, NULL, o) == 7 ? 0 : -1;
}

static int try_announce(const struct stoa_options *o)
{
    int s = stoa_announce("127.0.0.1:0", o);

    return s < 0 ? s : stoa_close(s);
}

static int try_dial(const struct stoa_options *o)
{
    struct text where;
    int s = listener_make(TCP4, &where), c = stoa_dial(where.c, o), error = errno;

    if (c >= 0)
        EXPECT_OK(stoa_close(c));
    EXPECT_OK(stoa_close(s));
    errno = error;
    return c < 0 ? -1 : 0;
}

static void handler(int conn, void *arg)
{
    (void)conn;
    (void)arg;
}

/* One that would serve needs a client; so it is asked to serve a socket that is none. */
static int try_serve(const struct stoa_options *o)
{
    int s = stoa_socket(AF_INET, SOCK_STREAM, 0), r = stoa_serve_on(s, handler, NULL, o);

    EXPECT_EQ(r, -1);
    bool unfit = said("the socket does not listen");
    EXPECT_OK(stoa_close(s));
    errno = EINVAL;
    return unfit ? 0 : -1;
}

static int (*const tries[])(const struct stoa_options *o) = {try_run, try_announce, try_dial,
                                                             try_serve};
#define EACH_TRY(t) for (size_t t = 0; t < sizeof(tries) / sizeof(tries[0]); t++)

TEST(every_older_version_is_taken)
{
    for (size_t size = offsetof(struct stoa_options, workers); size <= ALL; size += 8)
        EACH_TRY(t)
        {
            struct stoa_options *o = of_size(size);

            EXPECT_OK(tries[t](o));
            EXPECT_EQ(o->size, size);
            free(o);
        }
}

TEST(fields_that_an_older_version_has_are_heard)
{
    struct stoa_options *o = of_size(offsetof(struct stoa_options, mode));

    o->workers = -1;
    EXPECT_ERR(stoa_run(nothing, NULL, o), EINVAL);
    EXPECT_SAID("options.workers");
    o->workers = 0;
    o->backend = "no such";
    EXPECT_ERR(stoa_run(nothing, NULL, o), EINVAL);
    free(o);
}

TEST(a_newer_version_is_taken_when_what_is_new_is_0)
{
    EACH_TRY(t)
    {
        struct stoa_options *o = of_size(NEWER);

        EXPECT_OK(tries[t](o));
        for (size_t at = ALL; at < NEWER; at++) {
            ((char *)o)[at] = 1;
            EXPECT_ERR(tries[t](o), EINVAL);
            ((char *)o)[at] = 0;
        }
        free(o);
    }
    struct stoa_options *o = of_size(NEWER);
    ((char *)o)[NEWER - 1] = 1;
    EXPECT_ERR(stoa_run(nothing, NULL, o), EINVAL);
    EXPECT_SAID("options.size is that of a newer library's struct, and of its new fields one is "
                "not 0");
    free(o);
}

TEST(what_no_version_has_is_refused)
{
    static const size_t sizes[] = {0, 1, 8, 16, ALL - 1, ALL + 1, 4104, SIZE_MAX};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        EACH_TRY(t)
        {
            struct stoa_options *o = of_size(ALL);

            o->size = sizes[i];
            EXPECT_ERR(tries[t](o), EINVAL);
            free(o);
        }
}

TEST(a_simulated_world_has_options_of_any_version_too)
{
    struct stoa_sim_options *o = calloc(1, sizeof(*o) + 8);

    for (o->size = offsetof(struct stoa_sim_options, link); o->size <= sizeof(*o) + 8; o->size += 8)
        EXPECT_EQ(stoa_sim_run(1, nothing, NULL, o), 7);
    ((char *)o)[sizeof(*o)] = 1;
    o->size = sizeof(*o) + 8;
    EXPECT_ERR(stoa_sim_run(1, nothing, NULL, o), EINVAL);
    EXPECT_SAID("options.size is that of a newer library's struct");
    o->size = 0;
    EXPECT_ERR(stoa_sim_run(1, nothing, NULL, o), EINVAL);
    EXPECT_SAID("options.size is less than any version");
    free(o);
}
