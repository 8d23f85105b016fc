/* hist.c - the recorder of `stoa bench`: against sorted numbers, and against its own text.
 *
 * The promises: any value is known to one part in 1024; a percentile is that of the sorted
 * samples, to that precision; merging two is recording both; what is written is read
 * the same; a text that is cut or changed is refused and never read beyond its end; and the
 * correction adds what a stall has hidden.  tests/cli/hlog.py asks another reader.
 */
#include "cli/bench/hist.h"
#include "cli/bench/codec.h"
#include "t.h"
#include "unit/chance.h"

#include <string.h>

enum { NSAMPLE = 20000 };

/* As often of 8 bits as of 40. */
static uint64_t rand_value(void)
{
    return rand64() >> (24 + rand64() % 40);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static struct hist one, two, both;
static uint64_t sample[NSAMPLE];

static void fill(struct hist *h, size_t from, size_t n)
{
    hist_clear(h);
    for (size_t i = from; i < from + n; i++)
        hist_add(h, sample[i], 1);
}

TEST(every_value_is_known_to_one_part_in_1024)
{
    for (int i = 0; i < 1000000; i++) {
        uint64_t value = rand_value();
        size_t at = hist_index(value);
        EXPECT(at < HIST_LEN && hist_least(at) <= value && value <= hist_most(at));
        EXPECT_LE((hist_most(at) - hist_least(at)) * 1024, value);
    }
}

TEST(indexes_follow_each_other_without_a_hole)
{
    for (size_t i = 0; i + 1 < HIST_LEN; i++) {
        EXPECT_EQ(hist_most(i) + 1, hist_least(i + 1));
        EXPECT_EQ(hist_index(hist_least(i)), i);
        EXPECT_EQ(hist_index(hist_most(i)), i);
    }
    EXPECT_LT(hist_index(HIST_VALUE_MAX), HIST_LEN);
}

TEST(percentiles_are_those_of_the_sorted_samples)
{
    static const double parts[] = {0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};

    for (size_t i = 0; i < NSAMPLE; i++)
        sample[i] = rand_value();
    fill(&one, 0, NSAMPLE);
    qsort(sample, NSAMPLE, sizeof(sample[0]), by_size);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t rank = (size_t)(parts[i] * NSAMPLE + 0.999999);
        uint64_t want = sample[rank > 0 ? rank - 1 : 0];
        EXPECT_EQ(hist_index(hist_value(&one, parts[i])), hist_index(want));
    }
    EXPECT_EQ(hist_value(&one, 1), sample[NSAMPLE - 1]);
}

TEST(an_empty_one_has_no_value)
{
    hist_clear(&one);
    EXPECT_EQ(hist_value(&one, 0.99), 0);
    EXPECT_EQ(hist_beyond(&one, 0.99), 0);
}

TEST(longer_than_an_hour_is_an_hour)
{
    hist_clear(&one);
    hist_add(&one, UINT64_MAX, 1);
    EXPECT_EQ(one.max, HIST_VALUE_MAX);
    EXPECT_EQ(hist_value(&one, 1), HIST_VALUE_MAX);
}

TEST(two_that_are_merged_are_one_of_both)
{
    fill(&one, 0, NSAMPLE / 3);
    fill(&two, NSAMPLE / 3, NSAMPLE - NSAMPLE / 3);
    fill(&both, 0, NSAMPLE);
    hist_merge(&one, &two);
    EXPECT(memcmp(&one, &both, sizeof(one)) == 0);
}

TEST(what_is_written_is_read_the_same)
{
    const char *why = "";

    for (size_t n = 0; n <= NSAMPLE; n = n * 3 + 1) {
        fill(&one, 0, n);
        if (n > 0)
            hist_add(&one, rand_value(), rand64() >> 4); /* a number of nine bytes */
        char *text = codec_write(&one);
        hist_clear(&two);
        EXPECT_OK(codec_read(&two, text, strlen(text), &why));
        EXPECT(memcmp(one.at, two.at, sizeof(one.at)) == 0 && one.count == two.count);
        free(text);
    }
}

TEST(a_text_that_is_cut_or_changed_is_refused_or_read_to_its_end)
{
    const char *why = "";

    fill(&one, 0, 1000);
    char *text = codec_write(&one);
    size_t len = strlen(text);
    for (size_t cut = 0; cut < len; cut++) {
        char *copy = malloc(cut + 1); /* of just this size: a sanitizer sees what is beyond */
        memcpy(copy, text, cut);
        EXPECT(codec_read(&two, copy, cut, &why) < 0 || cut + 4 > len);
        free(copy);
    }
    for (int i = 0; i < 2000; i++) {
        char *copy = strdup(text);
        copy[rand64() % len] = (char)rand64();
        hist_clear(&two);
        (void)codec_read(&two, copy, len, &why);
        free(copy);
    }
    free(text);
}

/* 100 requests a second for 4 seconds, of which one second stood still. */
TEST(a_stall_that_a_closed_loop_hides_is_found)
{
    hist_clear(&one);
    hist_clear(&two);
    hist_add(&one, 1000000, 299);
    hist_add(&one, 1000000000, 1);
    EXPECT_LE(hist_value(&one, 0.99), 1001000);
    hist_correct(&two, &one, 10000000, 100000000);
    EXPECT_EQ(two.count, 399);
    EXPECT_GE(hist_value(&two, 0.99), 960000000);
    EXPECT_LE(hist_value(&two, 0.74), 1001000);
}

TEST(a_correction_without_a_stall_changes_nothing)
{
    fill(&one, 0, 100);
    hist_clear(&two);
    hist_correct(&two, &one, 1000, one.max + 1);
    EXPECT(memcmp(&one, &two, sizeof(one)) == 0);
    hist_clear(&two);
    hist_correct(&two, &one, 0, 0);
    EXPECT(memcmp(&one, &two, sizeof(one)) == 0);
}

TEST(a_correction_in_long_steps_counts_as_many)
{
    hist_clear(&one);
    hist_clear(&two);
    hist_add(&one, (uint64_t)1 << 32, 2);
    hist_correct(&two, &one, 1 << 10, 0);
    EXPECT_GE(two.count, 2 * ((uint64_t)1 << 22) * 99 / 100);
    EXPECT_LE(two.count, 2 * ((uint64_t)1 << 22) * 101 / 100);
}
