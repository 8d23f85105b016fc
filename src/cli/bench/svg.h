/* bench/svg.h - lines and fields in a frame with two axes, as SVG.  Knows nothing of what they
 * show. */
#ifndef STOA_CLI_BENCH_SVG_H
#define STOA_CLI_BENCH_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct svg_axis {
    double least, most;
    bool logarithmic;
    const char *(*label)(char *buf, double value); /* into NUMBER_ROOM bytes */
};

struct svg {
    FILE *f;
    const char *title;
    struct svg_axis x, y;
    unsigned nline; /* drawn; each has its own colour, and a name above the frame */
};

struct svg_point {
    double x, y;
};

/* The frame with its labels; xs are the n places of the x axis that get one. */
void svg_begin(struct svg *s, const double *xs, size_t n);

/* A line through points, with what it is; a point below the frame's least is left out. */
void svg_line(struct svg *s, const char *name, const struct svg_point *points, size_t n);

/* A field from one corner to the other, so dark: 0 .. 1. */
void svg_field(struct svg *s, struct svg_point from, struct svg_point to, double dark);

void svg_end(struct svg *s);

#endif
