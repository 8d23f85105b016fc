/* bench/svg.c - a plot of 720 by 260, whose colours are the page's (classes line0, line1 ...).
 *
 * Points have a title element each where there are few, which browsers show under the pointer.
 */
#include "cli/bench/svg.h"

#include "cli/bench/number.h"

#include <math.h>

enum {
    WIDTH = 720,
    HEIGHT = 260,
    LEFT = 76,
    RIGHT = 30, /* half a label of "p99.9999" */
    TOP = 30,
    BOTTOM = 30,
    NAME_STEP = 130,
    DOTS_MAX = 60, /* more points are felt by the pointer, and not seen */
    TITLES_MAX = 400,
};

static double place(const struct svg_axis *a, double value)
{
    if (a->logarithmic)
        return (log10(value) - log10(a->least)) / (log10(a->most) - log10(a->least));
    return (value - a->least) / (a->most - a->least);
}

static double x_of(const struct svg *s, double value)
{
    return LEFT + place(&s->x, value) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct svg *s, double value)
{
    return HEIGHT - BOTTOM - place(&s->y, value) * (HEIGHT - TOP - BOTTOM);
}

static void grid_y(struct svg *s, double value)
{
    char label[NUMBER_ROOM];
    double y = y_of(s, value);

    fprintf(s->f, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, y, WIDTH - RIGHT);
    fprintf(s->f, "<text x=\"%d\" y=\"%.1f\" class=\"end\">%s</text>\n", LEFT - 6, y + 4,
            s->y.label(label, value));
}

/* Powers of ten, and between few of them, twice and five times as much. */
static void grid_logarithmic(struct svg *s)
{
    static const double between[] = {1, 2, 5};
    bool few = log10(s->y.most / s->y.least) < 3;
    int last = (int)ceil(log10(s->y.most));

    for (int power = (int)floor(log10(s->y.least)); power <= last; power++)
        for (int i = 0; i < (few ? 3 : 1); i++) {
            double value = pow(10, power) * between[i];
            if (value >= s->y.least * 0.999 && value <= s->y.most * 1.001)
                grid_y(s, value);
        }
}

static void grid_linear(struct svg *s)
{
    double span = s->y.most - s->y.least, step = pow(10, floor(log10(span)));

    while (span / step < 3)
        step /= 2;
    for (int i = 0, n = (int)(span / step * 1.001); i <= n; i++)
        grid_y(s, s->y.least + i * step);
}

void svg_begin(struct svg *s, const double *xs, size_t n)
{
    char label[NUMBER_ROOM];

    fprintf(s->f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n<title>%s</title>\n",
            WIDTH, HEIGHT, s->title, s->title);
    if (s->y.logarithmic)
        grid_logarithmic(s);
    else
        grid_linear(s);
    for (size_t i = 0; i < n; i++) {
        double x = x_of(s, xs[i]);
        fprintf(s->f, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>", x, TOP, HEIGHT - BOTTOM);
        fprintf(s->f, "<text x=\"%.1f\" y=\"%d\" class=\"middle\">%s</text>\n", x,
                HEIGHT - BOTTOM + 18, s->x.label(label, xs[i]));
    }
}

void svg_line(struct svg *s, const char *name, const struct svg_point *points, size_t n)
{
    char label[NUMBER_ROOM];
    unsigned colour = s->nline++;
    bool pen = false;

    fprintf(s->f, "<text x=\"%u\" y=\"18\" class=\"line%u\">%s</text>\n", LEFT + colour * NAME_STEP,
            colour, name);
    fprintf(s->f, "<path class=\"line line%u\" d=\"", colour);
    for (size_t i = 0; i < n; i++) {
        bool in = points[i].y >= s->y.least;
        if (in)
            fprintf(s->f, "%c%.1f %.1f", pen ? 'L' : 'M', x_of(s, points[i].x),
                    y_of(s, points[i].y));
        pen = in;
    }
    fprintf(s->f, "\"/>\n");
    for (size_t i = 0; i < n && n <= TITLES_MAX; i++)
        if (points[i].y >= s->y.least)
            fprintf(s->f,
                    "<circle class=\"line%u%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"><title>%s: "
                    "%s</title></circle>\n",
                    colour, n > DOTS_MAX ? " many" : "", x_of(s, points[i].x), y_of(s, points[i].y),
                    name, s->y.label(label, points[i].y));
}

void svg_field(struct svg *s, struct svg_point from, struct svg_point to, double dark)
{
    double x = x_of(s, from.x), y = y_of(s, to.y);

    fprintf(s->f,
            "<rect class=\"line0\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
            "fill-opacity=\"%.2f\"/>\n",
            x, y, x_of(s, to.x) - x, y_of(s, from.y) - y, dark);
}

void svg_end(struct svg *s)
{
    fprintf(s->f, "</svg>\n");
}
