/* file.c - stoa_makefile(): stdio over a socket.
 *
 * The dangers: half a line lost by a timeout and nobody told; a connection that ends
 * with the handle although a file still uses it; a file that keeps it open for ever.
 */
#include "backends.h"

TEST(lines_are_read)
{
    EACH_STREAM (k) {
        struct pair p = pair_of(k);
        FILE *f = stoa_makefile(p.near, "r");
        char line[32];

        EXPECT(f != NULL);
        EXPECT_OK(stoa_sendall(p.far, "one\ntwo\nthr", 11, 0));
        EXPECT(fgets(line, sizeof(line), f) != NULL);
        EXPECT_STR(line, "one\n");
        EXPECT(fgets(line, sizeof(line), f) != NULL);
        EXPECT_STR(line, "two\n");
        EXPECT_OK(stoa_sendall(p.far, "ee", 2, 0));
        EXPECT_OK(stoa_shutdown(p.far, SHUT_WR));
        EXPECT(fgets(line, sizeof(line), f) != NULL);
        EXPECT_STR(line, "three");
        EXPECT(fgets(line, sizeof(line), f) == NULL);
        EXPECT(feof(f) && !ferror(f));
        EXPECT_EQ(fclose(f), 0);
        pair_close(&p);
    }
}
ON_EVERY_BACKEND(lines_are_read)

TEST(what_is_printed_goes_when_flushed)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "w");
    char buf[32];

    EXPECT_EQ(fprintf(f, "%d-%s", 42, "x"), 4);
    EXPECT_ERR(stoa_recv(p.far, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    EXPECT_EQ(fflush(f), 0);
    EXPECT_EQ(stoa_recvall(p.far, buf, 4), 4);
    EXPECT_EQ(memcmp(buf, "42-x", 4), 0);
    EXPECT_EQ(fprintf(f, "end"), 3);
    EXPECT_EQ(fclose(f), 0);
    EXPECT_EQ(stoa_recvall(p.far, buf, 3), 3);
    pair_close(&p);
}
ON_EVERY_BACKEND(what_is_printed_goes_when_flushed)

/* "rw": an answer is read after a question was printed, in turns, without fseek. */
static int answer_lines(struct beside *me)
{
    FILE *f = stoa_makefile(*(int *)me->arg, "rw");
    char line[32];

    for (int i = 0; i < 50; i++) {
        if (!fgets(line, sizeof(line), f))
            break;
        fprintf(f, "<%s", line);
        fflush(f);
        me->result++;
    }
    return fclose(f);
}

TEST(questions_and_answers_over_one_file)
{
    static const char *const modes[] = {"rw", "r+", "w+", "rwb", "r+b", "rb+"};

    for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
        struct pair p = pair_make();
        FILE *f = stoa_makefile(p.near, modes[m]);
        struct beside b;
        char line[32], want[32];

        if (!f) {
            t_fail(__FILE__, __LINE__, "mode \"%s\": %s", modes[m], stoa_errmsg());
            pair_close(&p);
            continue;
        }
        beside(&b, answer_lines, &p.far);
        for (int i = 0; i < 50; i++) {
            EXPECT_GT(fprintf(f, "%d\n", i), 0);
            EXPECT_EQ(fflush(f), 0);
            EXPECT(fgets(line, sizeof(line), f) != NULL);
            snprintf(want, sizeof(want), "<%d\n", i);
            EXPECT_STR(line, want);
        }
        EXPECT_EQ(beside_join(&b), 0);
        EXPECT_EQ(b.result, 50);
        EXPECT_EQ(fclose(f), 0);
        pair_close(&p);
    }
}
ON_EVERY_PAIRING(questions_and_answers_over_one_file)

/* stdio goes back over what it has read ahead, to write, and comes to it again. */
TEST(what_was_read_ahead_is_read_after_a_write)
{
    static const char *const lines[] = {"one\n", "two\n", "three\n", "four\n"};
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "rw");
    char line[16];

    EXPECT_OK(stoa_sendall(p.far, "one\ntwo\nthree\nfour\n", 19, 0));
    for (int i = 0; i < 4; i++) {
        EXPECT(fgets(line, sizeof(line), f) != NULL);
        EXPECT_STR(line, lines[i]);
        EXPECT_GT(fprintf(f, "%d\n", i), 0);
        EXPECT_EQ(fflush(f), 0);
    }
    EXPECT_EQ(fclose(f), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(what_was_read_ahead_is_read_after_a_write)

TEST(modes_that_cannot_be)
{
    static const char *const bad[] = {"", "a", "x", "rq", "b", "rt", "wr+x", "+"};
    struct pair p = pair_make();

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 0;
        FILE *f = stoa_makefile(p.near, bad[i]);
        if (f || errno != EINVAL)
            t_fail(__FILE__, __LINE__, "mode \"%s\": %p, errno %d", bad[i], (void *)f, errno);
        if (f)
            fclose(f);
    }
    EXPECT_SAID("makefile");
    pair_close(&p);
}
ON_EVERY_BACKEND(modes_that_cannot_be)

TEST(the_connection_ends_with_the_last_of_handle_and_files)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "r"), *g = stoa_makefile(p.near, "w");
    char line[16] = "";

    EXPECT_OK(stoa_close(p.near));
    EXPECT_ERR(stoa_recv(p.near, line, 1, 0), EBADF);
    EXPECT_OK(stoa_sendall(p.far, "still\n", 6, 0));
    EXPECT(fgets(line, sizeof(line), f) != NULL);
    EXPECT_STR(line, "still\n");
    EXPECT_EQ(fclose(f), 0);
    EXPECT_EQ(fputs("me too", g) >= 0, 1);
    EXPECT_EQ(fflush(g), 0);
    EXPECT_EQ(stoa_recvall(p.far, line, 6), 6);
    stoa_settimeout(p.far, 0.02);
    EXPECT_ERR(stoa_recv(p.far, line, 1, 0), ETIME);
    EXPECT_EQ(fclose(g), 0);
    stoa_settimeout(p.far, -1);
    EXPECT_EQ(stoa_recv(p.far, line, 1, 0), 0);
    EXPECT_OK(stoa_close(p.far));
}
ON_EVERY_BACKEND(the_connection_ends_with_the_last_of_handle_and_files)

TEST(the_handle_lives_on_after_its_file)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "rw");
    char c;

    EXPECT_EQ(fclose(f), 0);
    EXPECT_OK(stoa_sendall(p.near, "x", 1, 0));
    EXPECT_EQ(stoa_recv(p.far, &c, 1, 0), 1);
    pair_close(&p);
}
ON_EVERY_BACKEND(the_handle_lives_on_after_its_file)

/* Python: "cannot read from timed out object". */
TEST(a_file_that_ran_out_of_time_cannot_be_read_any_more)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "r");
    char line[16];

    stoa_settimeout(p.near, 0.03);
    EXPECT_OK(stoa_sendall(p.far, "half", 4, 0));
    errno = 0;
    EXPECT(fgets(line, sizeof(line), f) == NULL);
    EXPECT_EQ(errno, ETIME);
    EXPECT(ferror(f));
    EXPECT_OK(stoa_sendall(p.far, "line\n", 5, 0));
    clearerr(f);
    errno = 0;
    EXPECT(fgets(line, sizeof(line), f) == NULL);
    EXPECT_EQ(errno, EIO);
    EXPECT_EQ(fclose(f), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_file_that_ran_out_of_time_cannot_be_read_any_more)

TEST(the_scope_holds_below_a_file)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "r");
    struct stoa_scope scope;
    char line[16];

    stoa_within(&scope, 0.03);
    errno = 0;
    EXPECT(fgets(line, sizeof(line), f) == NULL);
    EXPECT_EQ(errno, ETIME);
    EXPECT_ERR(stoa_leave(&scope), ETIME);
    EXPECT_EQ(fclose(f), 0);
    pair_close(&p);
}
ON_EVERY_BACKEND(the_scope_holds_below_a_file)

TEST(a_file_to_a_peer_that_left_fails_without_a_signal)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "w");

    EXPECT_OK(stoa_abort(p.far));
    p.far = -1;
    setvbuf(f, NULL, _IONBF, 0);
    errno = 0;
    EXPECT_EQ(fputs("x", f), EOF);
    EXPECT(errno == EPIPE || errno == ECONNRESET);
    EXPECT_EQ(fputs("x", f), EOF);
    fclose(f);
    pair_close(&p);
}
ON_EVERY_BACKEND(a_file_to_a_peer_that_left_fails_without_a_signal)

/* More than any buffer: the write below waits and goes on until all is out. */
static int count_bytes(struct beside *me)
{
    static _Thread_local char buf[65536];

    for (ssize_t n; (n = stoa_recv(*(int *)me->arg, buf, sizeof(buf), 0)) > 0;)
        me->result += n;
    return 0;
}

TEST(a_large_write_goes_whole)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "w");
    size_t len = 5 << 20;
    char *big = calloc(1, len);
    struct beside b;

    beside(&b, count_bytes, &p.far);
    EXPECT_EQ(fwrite(big, 1, len, f), len);
    EXPECT_EQ(fclose(f), 0);
    EXPECT_OK(stoa_shutdown(p.near, SHUT_WR));
    EXPECT_EQ(beside_join(&b), 0);
    EXPECT_EQ(b.result, len);
    free(big);
    pair_close(&p);
}
ON_EVERY_PAIRING(a_large_write_goes_whole)

static int read_a_line(struct beside *me)
{
    char line[16];

    about_to_wait(me);
    return fgets(line, sizeof(line), me->arg) ? 1 : 0;
}

/* "With a file open the connection goes on until that is closed": closing the handle
 * must not take a line away from the file's reader. */
TEST(close_of_the_handle_leaves_the_files_reader_waiting)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "r");
    struct beside b;

    beside(&b, read_a_line, f);
    until_asleep(&b);
    EXPECT_OK(stoa_close(p.near));
    EXPECT_OK(stoa_sendall(p.far, "line\n", 5, 0));
    EXPECT_EQ(beside_join(&b), 1);
    EXPECT_EQ(fclose(f), 0);
    EXPECT_OK(stoa_close(p.far));
}
ON_EVERY_PAIRING(close_of_the_handle_leaves_the_files_reader_waiting)

TEST(abort_ends_the_files_too)
{
    struct pair p = pair_make();
    FILE *f = stoa_makefile(p.near, "r");
    char line[16];

    EXPECT_OK(stoa_abort(p.near));
    EXPECT_ERR(stoa_recv(p.far, line, 1, 0), ECONNRESET);
    errno = 0;
    EXPECT(fgets(line, sizeof(line), f) == NULL);
    EXPECT_NE(errno, 0);
    fclose(f);
    EXPECT_OK(stoa_close(p.far));
}
ON_EVERY_BACKEND(abort_ends_the_files_too)
