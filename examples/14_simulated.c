/* 14_simulated.c - a chat server with a bug that no test on one machine shows, found by seed.
 *
 *     ./14_simulated
 *
 * What one sees: in a network where nothing goes wrong a hundred runs are good.  In one that
 * fails, a run is found in which somebody reads what nobody has said; run again by its
 * seed, it is the same run, event for event.  Mended, a hundred runs are good again.
 *
 * Lines to look at: hear() takes what one recv brings for one line, as many a program does,
 * and on one machine it is.  run() is all that it takes to try a server in a thousand
 * networks: the server's code knows nothing of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <stoa.h>
#include <stoa/sim.h>
#include <string.h>

enum { LINES = 5, TALKERS = 3 };

/* The server: whatever is said goes to all. */

static char room[1000][32];
static int said;
static int mended;

static int tell(void *arg)
{
    int conn = *(int *)arg;

    for (int next = 0;; next++) {
        while (next == said)
            if (stoa_sleep(0.01) < 0)
                return 0;
        if (stoa_sendall(conn, room[next], strlen(room[next]), 0) < 0)
            return stoa_shutdown(conn, SHUT_RDWR); /* so that hear() ends, too */
    }
}

/* One recv is one line?  It is what has come: half a line, or two. */
static bool hear(int conn, FILE *lines, char line[32])
{
    ssize_t n;

    if (mended)
        return lines && fgets(line, 32, lines) && strchr(line, '\n');
    n = stoa_recv(conn, line, 31, 0);
    line[n > 0 ? n : 0] = 0;
    return n > 0;
}

static void chat(int conn, void *arg)
{
    struct stoa_group *teller = stoa_group_open();
    FILE *lines = stoa_makefile(conn, "r");
    char line[32];

    (void)arg;
    stoa_go(teller, tell, &conn);
    while (hear(conn, lines, line))
        memcpy(room[said++], line, sizeof(line));
    if (lines)
        fclose(lines);
    stoa_group_cancel(teller);
    stoa_group_join(teller);
}

static int serve(void *arg)
{
    (void)arg;
    return stoa_serve(":8081", chat, NULL, NULL);
}

/* The world: some who talk, and look at what they hear. */

static char wrong[64];

/* A number, and what is after it; NULL: there is none, or not below the limit. */
static const char *number(const char *text, long limit)
{
    char *end = NULL;

    return strtol(text, &end, 10) < limit && end != text ? end : NULL;
}

static bool is_line(const char *line)
{
    const char *rest = number(line, TALKERS);

    return rest && strncmp(rest, " says ", 6) == 0 && number(rest + 6, LINES);
}

static int talker(void *arg)
{
    int me = *(int *)arg, s = stoa_dial("server:8081", NULL);
    FILE *f = s < 0 ? NULL : stoa_makefile(s, "r");
    char line[64];

    for (int i = 0; f && i < LINES; i++) {
        snprintf(line, sizeof(line), "%d says %d\n", me, i);
        stoa_settimeout(s, 60); /* the server's goodbye can be lost */
        stoa_sleep(0.05);
        if (stoa_sendall(s, line, strlen(line), 0) < 0 || !fgets(line, sizeof(line), f))
            break;               /* the network's fault, and not the server's; */
        if (!strchr(line, '\n')) /* and so is an end in the middle of a line */
            break;
        if (!is_line(line))
            snprintf(wrong, sizeof(wrong), "somebody read %.40s", line);
    }
    if (f)
        fclose(f);
    if (s >= 0)
        stoa_close(s);
    return 0;
}

static int world(void *arg)
{
    static int names[TALKERS];
    struct stoa_group *talkers = stoa_group_open();
    int server = stoa_sim_host("server", NULL);

    (void)arg;
    said = 0;
    wrong[0] = 0;
    stoa_sim_go(server, NULL, serve, NULL);
    for (int i = 0; i < TALKERS; i++) {
        names[i] = i;
        stoa_go(talkers, talker, &names[i]);
    }
    stoa_group_join(talkers);
    return wrong[0] ? -1 : 0;
}

/* One network.  0: nothing was wrong in it. */
static int run(uint64_t seed, bool faults, struct stoa_sim_result *result)
{
    struct stoa_sim_options o = {.size = sizeof(o), .faults = faults, .result = result};

    o.link.latency = 0.01;
    return stoa_sim_run(seed, world, NULL, &o);
}

/* The first seed of a hundred that is not good; 0: all are. */
static uint64_t search(const char *how, bool faults)
{
    struct stoa_sim_result result;

    for (uint64_t seed = 1; seed <= 100; seed++)
        if (run(seed, faults, &result) != 0) {
            printf("%s: seed %" PRIu64 ": %s", how, seed, wrong[0] ? wrong : stoa_errmsg());
            return seed;
        }
    printf("%s: 100 seeds are good\n", how);
    return 0;
}

int main(void)
{
    struct stoa_sim_result one, two;
    uint64_t seed;

    search("without faults", false);
    seed = search("with faults", true);
    run(seed, true, &one);
    run(seed, true, &two);
    printf("seed %" PRIu64 " again, and again: %s\n", seed,
           one.hash == two.hash ? "the same run, event for event" : "another run");
    mended = 1;
    return search("mended", true) != 0;
}
