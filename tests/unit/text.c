/* text.c - texts are built whole or cut cleanly, and strange bytes come out harmless.
 *
 * The dangers: a byte beyond the buffer, half a character or half an escape at the cut, a
 * later word after a hole, and a control that reaches a terminal.  The way: every text is
 * built into every size of buffer, which ends at a page that cannot be touched; and each
 * of the 65,536 pairs of bytes, and each character of Unicode, is escaped and judged by a
 * rule written otherwise than the code's.
 */
#include "base/text.h"
#include "base/limits.h"
#include "t.h"

#include <sys/mman.h>

/* A page before one that cannot be touched; the last size bytes of it. */
static char *before_the_wall(size_t size)
{
    static char *page;
    size_t len = (size_t)sysconf(_SC_PAGESIZE);

    if (!page) {
        page = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || mprotect(page + len, len, PROT_NONE) != 0)
            abort();
    }
    memset(page, '#', len);
    return page + len - size;
}

static void build(struct text *t)
{
    text_add(t, "the port ");
    text_quote(t, "\x1b[2J\xff", 5);
    text_add(t, " is above ");
    text_add_number(t, 65535);
    text_add(t, " \xe4\xbd\xa0\xe5\xa5\xbd"); /* two characters of three bytes */
}

static const char built[] = "the port \"\\x1b[2J\\xff\" is above 65535 \xe4\xbd\xa0\xe5\xa5\xbd";

TEST(a_text_is_what_was_added)
{
    char buf[128];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    EXPECT_STR(buf, "");
    build(&t);
    EXPECT_STR(buf, built);
    EXPECT_EQ(t.len, strlen(built));
    EXPECT(!t.cut);
}

TEST(a_text_fits_into_its_very_length)
{
    struct text t;
    char *buf = before_the_wall(sizeof(built));

    text_init(&t, buf, sizeof(built));
    build(&t);
    EXPECT_STR(buf, built);
    EXPECT(!t.cut);
}

/* Does the text end within one of the places that must not be cut? */
static bool splits_something(size_t len)
{
    static const char *const wholes[] = {"\\x1b", "\\xff", "65535", "\xe4\xbd\xa0", "\xe5\xa5\xbd"};

    for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++) {
        size_t at = (size_t)(strstr(built, wholes[i]) - built);

        if (len > at && len < at + strlen(wholes[i]))
            return true;
    }
    return false;
}

TEST(a_cut_text_is_a_beginning_without_holes_or_halves)
{
    for (size_t size = 0; size < sizeof(built); size++) {
        struct text t;
        char *buf = before_the_wall(size);
        char left = buf[-1];

        text_init(&t, buf, size);
        build(&t);
        text_add(&t, "later");
        EXPECT(t.cut);
        EXPECT_EQ(buf[-1], left);
        if (size == 0)
            continue;
        EXPECT_EQ(strlen(buf), t.len);
        EXPECT_EQ(strncmp(buf, built, t.len), 0);
        EXPECT(!splits_something(t.len));
        EXPECT_GE(t.len + 5, size); /* nothing longer than 65535 is left out whole */
    }
}

TEST(numbers_have_all_their_digits)
{
    static const struct {
        uint64_t n;
        const char *text;
    } rows[] = {{0, "0"}, {9, "9"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char buf[32];
        struct text t;

        text_init(&t, buf, sizeof(buf));
        text_add_number(&t, rows[i].n);
        EXPECT_STR(buf, rows[i].text);
    }
}

static const char *escaped(const void *bytes, size_t len, const char *also)
{
    static char buf[256];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    text_add_escaped(&t, bytes, len, also);
    return buf;
}

/* One character as iconv would write it. */
static size_t encode(unsigned char *to, uint32_t value)
{
    if (value < 0x80)
        return to[0] = (unsigned char)value, 1;
    if (value < 0x800)
        return to[0] = (unsigned char)(0xc0 | value >> 6),
               to[1] = (unsigned char)(0x80 | (value & 0x3f)), 2;
    size_t n = value < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; value >>= 6)
        to[i] = (unsigned char)(0x80 | (value & 0x3f));
    to[0] = (unsigned char)((n == 3 ? 0xe0 : 0xf0) | value);
    return n;
}

static bool obeyed(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

TEST(every_character_passes_but_those_that_a_terminal_obeys)
{
    for (uint32_t c = 0; c <= 0x110000; c++) {
        unsigned char bytes[5] = {0};
        size_t len = encode(bytes, c);
        bool good = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
        const char *text = escaped(bytes, len, "");
        bool same = strlen(text) == len && memcmp(text, bytes, len) == 0;

        if (same != (good && !obeyed(c)))
            t_fail(__FILE__, __LINE__, "U+%04X is \"%s\"", c, text);
        else if (!same &&
                 (strlen(text) != 4 * len || strspn(text, "\\x0123456789abcdef") != 4 * len))
            t_fail(__FILE__, __LINE__, "U+%04X is escaped as \"%s\"", c, text);
    }
}

TEST(no_two_bytes_make_a_control_or_half_a_character)
{
    for (uint32_t pair = 0; pair <= 0xffff; pair++) {
        const unsigned char bytes[2] = {(unsigned char)(pair >> 8), (unsigned char)pair};
        const char *text = escaped(bytes, 2, "");

        for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
            bool two = c[0] >= 0xc2 && c[0] <= 0xdf && c[1] >= 0x80 && c[1] <= 0xbf;

            if (two && !(c[0] == 0xc2 && c[1] < 0xa0))
                c++;
            else if (*c < 0x20 || *c >= 0x7f)
                t_fail(__FILE__, __LINE__, "%04x leaves the byte %02x", pair, *c);
        }
    }
}

TEST(what_is_not_utf8_is_escaped_byte_by_byte)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong "/" */
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},          /* the same in three */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
        {"\xf8\x90\x80\x80\x80", "\\xf8\\x90\\x80\\x80\\x80"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xe4\xbd", "\\xe4\\xbd"}, /* ends too early */
        {"\xe4\xbd"
         "a",
         "\\xe4\\xbd"
         "a"},
        {"\xc2\x9b"
         "2J",
         "\\xc2\\x9b"
         "2J"}, /* CSI in UTF-8 */
        {"\x9b"
         "2J",
         "\\x9b"
         "2J"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        EXPECT_STR(escaped(rows[i].bytes, strlen(rows[i].bytes), ""), rows[i].text);
}

TEST(characters_can_be_escaped_on_demand)
{
    EXPECT_STR(escaped("a\\b\0c", 5, ""), "a\\b\\x00c");
    EXPECT_STR(escaped("a\\b\0c", 5, "\\"), "a\\x5cb\\x00c");
}

static const char *path_of(struct text *t, const char *path)
{
    static char buf[64];

    text_init(t, buf, sizeof(buf));
    text_add_path(t, path, strlen(path));
    return buf;
}

TEST(a_path_is_one_word_of_a_shell)
{
    struct text t;

    EXPECT_STR(path_of(&t, "/run/a-b_1.sock"), "/run/a-b_1.sock");
    EXPECT_STR(path_of(&t, "/run/a b;reboot"), "$'/run/a b;reboot'");
    EXPECT_STR(path_of(&t, "it's\\\n"), "$'it\\x27s\\x5c\\x0a'");
    EXPECT_STR(path_of(&t, "-rf"), "./-rf");
}

TEST(quotes_are_short_and_end_where_they_seem_to)
{
    char buf[512], longer[TEXT_QUOTE_MAX + 2];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    text_quote(&t, "a\" is fine", 10);
    EXPECT_STR(buf, "\"a\\x22 is fine\"");

    memset(longer, 'a', sizeof(longer));
    text_init(&t, buf, sizeof(buf));
    text_quote(&t, longer, TEXT_QUOTE_MAX);
    EXPECT_EQ(strlen(buf), TEXT_QUOTE_MAX + 2);

    memcpy(longer + TEXT_QUOTE_MAX - 1, "\xe4\xbd\xa0", 3); /* across the end */
    text_init(&t, buf, sizeof(buf));
    text_quote(&t, longer, sizeof(longer));
    EXPECT_EQ(strlen(buf), TEXT_QUOTE_MAX - 1 + strlen("\"\"..."));
    EXPECT_STR(buf + TEXT_QUOTE_MAX - 2, "aa\"...");
}
