/* fields.c - a line taken apart at its blanks, except between quotation marks. */
#include "cli/fields.h"

#include "cli/args.h"

#include <string.h>

/* The end of a value that begins here, which is made a string of its own; behind it is more. */
static char *end_value(char **value)
{
    bool quoted = **value == '"';
    char *end;

    *value += quoted;
    end = *value + strcspn(*value, quoted ? "\"" : " ");
    if (!*end)
        return end;
    *end++ = '\0';
    return end;
}

char *fields_take(struct fields *f, char *text)
{
    char *end = strchr(text, '\n'), *p;

    if (!end)
        return NULL;
    *end = '\0';
    *f = (struct fields){.word = text};
    p = text + strcspn(text, " ");
    if (*p)
        *p++ = '\0';
    for (p += strspn(p, " "); *p && f->n < FIELDS_MAX; p += strspn(p, " ")) {
        char *value = strchr(p, '=');

        if (!value)
            break;
        *value++ = '\0';
        f->key[f->n] = p;
        p = end_value(&value);
        f->value[f->n++] = value;
    }
    return end + 1;
}

const char *fields_of(const struct fields *f, const char *key)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->key[i], key) == 0)
            return f->value[i];
    return "";
}

bool fields_number(const char *value, uint64_t *number)
{
    return args_number(value, 0, UINT64_MAX, number);
}
