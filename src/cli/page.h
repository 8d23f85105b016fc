/* page.h - text for a terminal's width: headings in colour, paragraphs behind labels. */
#ifndef STOA_CLI_PAGE_H
#define STOA_CLI_PAGE_H

#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

enum page_colour { PAGE_GREEN, PAGE_CYAN, PAGE_YELLOW, PAGE_RED };

struct page {
    struct text t;
    size_t width;
    size_t rows; /* of the terminal; 0: there is none */
    size_t row;  /* lines so far */
    bool colour;
};

/* A page for standard output, built in buf. */
void page_init(struct page *p, char *buf, size_t size);

/* A word in colour, with spaces up to that width. */
void page_word(struct page *p, enum page_colour colour, const char *word, size_t width);

/* Words behind a label, broken between words at the page's width; nothing for no words. */
void page_paragraph(struct page *p, const char *label, size_t indent, const char *words);

/* The line ends. */
void page_end_line(struct page *p);

#endif
