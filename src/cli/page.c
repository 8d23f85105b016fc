/* page.c - a page built in memory, for it to be written at once. */
#include "cli/page.h"

#include "cli/screen.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH = 96, WIDTH_MIN = 20 };

void page_init(struct page *p, char *buf, size_t size)
{
    struct winsize w = {.ws_row = 0};
    struct screen s;

    *p = (struct page){.width = WIDTH};
    text_init(&p->t, buf, size);
    screen_init(&s, STDOUT_FILENO);
    p->colour = s.colour;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_row)
        return;
    p->rows = w.ws_row;
    p->width = w.ws_col > WIDTH ? WIDTH : w.ws_col < WIDTH_MIN ? WIDTH_MIN : w.ws_col;
}

static void spaces(struct page *p, size_t from, size_t to)
{
    while (from++ < to)
        text_add(&p->t, " ");
}

void page_word(struct page *p, enum page_colour colour, const char *word, size_t width)
{
    static const char *const codes[] = {"\033[32m", "\033[36m", "\033[33m", "\033[1;31m"};

    text_add(&p->t, p->colour ? codes[colour] : "");
    text_add(&p->t, word);
    text_add(&p->t, p->colour ? "\033[0m" : "");
    spaces(p, strlen(word), width);
}

void page_end_line(struct page *p)
{
    text_add(&p->t, "\n");
    p->row++;
}

void page_paragraph(struct page *p, const char *label, size_t indent, const char *words)
{
    size_t at = indent;

    if (!*words)
        return;
    text_add(&p->t, label);
    spaces(p, strlen(label), indent);
    while (*words) {
        size_t len = strcspn(words, " ");

        if (at > indent && at + 1 + len > p->width) {
            page_end_line(p);
            spaces(p, 0, indent);
            at = indent;
        }
        if (at > indent)
            text_add(&p->t, " ");
        text_add_bytes(&p->t, words, len);
        at += len + (at > indent);
        words += len;
        words += strspn(words, " ");
    }
    page_end_line(p);
}
