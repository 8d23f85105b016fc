/* completion.c - what a shell offers when TAB is pressed, made of the argp tables.
 *
 * So an option that is added to a table is completed without another thought; where a
 * word is no option, serve's handlers are offered, and files otherwise (UNIX paths).
 *
 * Sources: bash(1) "Programmable Completion"; complete(1) of fish; zshcompsys(1),
 * _arguments.  Descriptions are put into single quotes: the only character that needs
 * care there is the quote itself.
 */
#include "cli/commands.h"
#include "cli/exitcode.h"
#include "cli/handlers.h"
#include "cli/output.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A row of a table that can be typed: not a heading, the end, or hidden. */
static bool typed(const struct argp_option *o)
{
    return o->doc && (o->name || o->key);
}

static bool at_end(const struct argp_option *o)
{
    return !o->name && !o->key && !o->doc;
}

static bool has_letter(const struct argp_option *o)
{
    return o->key > ' ' && o->key < 0x7f;
}

static void quoted(const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
}

static void handler_names(void)
{
    for (const struct handler *h = handlers; h->name; h++)
        printf(" %s", h->name);
}

/* -------------------------------------------------------------------------
 * bash
 * ---------------------------------------------------------------------- */

static void bash_command(const struct command *c)
{
    printf("    *:%s) words='--help", c->name);
    for (const struct argp_option *o = c->argp->options; !at_end(o); o++) {
        if (typed(o) && o->name)
            printf(" --%s", o->name);
        if (typed(o) && has_letter(o))
            printf(" -%c", o->key);
    }
    if (c->run == cmd_serve)
        handler_names();
    puts("' ;;");
}

static void bash(void)
{
    puts("_stoa() {\n"
         "    local words= word=${COMP_WORDS[COMP_CWORD]}\n"
         "    case $COMP_CWORD:${COMP_WORDS[1]} in");
    fputs("    1:*) words='help --version --completion", stdout);
    for (const struct command *c = commands; c->name; c++)
        printf(" %s", c->name);
    puts("' ;;");
    for (const struct command *c = commands; c->name; c++)
        bash_command(c);
    puts("    esac\n"
         "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "}\n"
         "complete -o default -F _stoa stoa");
}

/* -------------------------------------------------------------------------
 * fish
 * ---------------------------------------------------------------------- */

static void fish_option(const char *command, const struct argp_option *o)
{
    printf("complete -c stoa -n '__fish_seen_subcommand_from %s'", command);
    if (o->name)
        printf(" -l %s", o->name);
    if (has_letter(o))
        printf(" -s %c", o->key);
    if (o->arg)
        fputs(" -x", stdout);
    fputs(" -d '", stdout);
    for (const char *s = o->doc; *s; s++)
        printf(*s == '\'' || *s == '\\' ? "\\%c" : "%c", *s);
    puts("'");
}

static void fish(void)
{
    for (const struct command *c = commands; c->name; c++) {
        printf("complete -c stoa -f -n __fish_use_subcommand -a %s -d '%s'\n", c->name, c->what);
        for (const struct argp_option *o = c->argp->options; !at_end(o); o++)
            if (typed(o))
                fish_option(c->name, o);
    }
    fputs("complete -c stoa -n '__fish_seen_subcommand_from serve' -a '", stdout);
    handler_names();
    puts("'");
}

/* -------------------------------------------------------------------------
 * zsh
 * ---------------------------------------------------------------------- */

/* '--count=[Serve N ...]:N:' as _arguments has it. */
static void zsh_spec(const char *option, const struct argp_option *o, const char *before_value)
{
    printf("            '%s%s[", option, o->arg ? before_value : "");
    quoted(o->doc);
    fputs("]", stdout);
    if (o->arg)
        printf(":%s:", o->arg);
    puts("' \\");
}

static void zsh_command(const struct command *c)
{
    char option[64];

    printf("        %s)\n        _arguments \\\n", c->name);
    for (const struct argp_option *o = c->argp->options; !at_end(o); o++) {
        if (typed(o) && o->name) {
            snprintf(option, sizeof(option), "--%s", o->name);
            zsh_spec(option, o, "=");
        }
        if (typed(o) && has_letter(o)) {
            snprintf(option, sizeof(option), "-%c", o->key);
            zsh_spec(option, o, "+");
        }
    }
    fputs("            '*:word:", stdout);
    if (c->run == cmd_serve) {
        fputs("(", stdout);
        handler_names();
        fputs(" )", stdout);
    } else {
        fputs("_files", stdout);
    }
    puts("' ;;");
}

static void zsh(void)
{
    puts("#compdef stoa\n"
         "_stoa() {\n"
         "    if ((CURRENT == 2)); then\n"
         "        local -a commands");
    fputs("        commands=(", stdout);
    for (const struct command *c = commands; c->name; c++)
        printf("'%s:%s' ", c->name, c->what);
    puts("'help:tell the options')\n"
         "        _describe command commands\n"
         "    else\n"
         "        shift words\n"
         "        ((CURRENT--))\n"
         "        case $words[1] in");
    for (const struct command *c = commands; c->name; c++)
        zsh_command(c);
    puts("        esac\n"
         "    fi\n"
         "}\n"
         "_stoa \"$@\"");
}

int completion(const char *shell)
{
    static const struct {
        const char *name;
        void (*write)(void);
    } shells[] = {{"bash", bash}, {"fish", fish}, {"zsh", zsh}};

    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].write();
            return CODE_OK;
        }
    output_say("stoa", "--completion: for bash, fish or zsh");
    return CODE_USAGE;
}
