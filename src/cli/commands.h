/* commands.h - the subcommands of `stoa` and their argp tables.  Not what they do. */
#ifndef STOA_CLI_COMMANDS_H
#define STOA_CLI_COMMANDS_H

#include <argp.h>

struct command {
    const char *name;
    const char *what; /* one line for the usage */
    const struct argp *argp;
    int (*run)(int argc, char **argv); /* argv[0] is "stoa NAME"; returns an exit code */
};

/* All of them; the last has no name. */
extern const struct command commands[];

/* The program's own name and words as they were typed, for who starts it again; ends with NULL. */
extern char **command_line;

extern const struct argp cmd_serve_argp;
extern const struct argp cmd_connect_argp;
extern const struct argp cmd_sim_argp;
extern const struct argp cmd_doctor_argp;
extern const struct argp cmd_bench_argp;
extern const struct argp cmd_top_argp;
int cmd_serve(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_top(int argc, char **argv);

/* Write the completions for bash, fish or zsh to standard output.  An exit code. */
int completion(const char *shell);

#endif
