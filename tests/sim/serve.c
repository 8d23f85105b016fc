/* serve.c - stoa_serve() in worlds: how many at once, and how it ends.
 */
#include "sweep.h"

enum { CLIENTS = 12, MAX_CONNS = 4 };

static int alive, most, begun, ended, served;

static int below(int n)
{
    return (int)stoa_sim_random((uint64_t)n);
}

/* Reads a request of four bytes, thinks, and answers with as many. */
static void answers(int conn, void *arg)
{
    char request[4];

    (void)arg;
    begun++;
    alive++;
    most = alive > most ? alive : most;
    if (stoa_recvall(conn, request, 4) == 4) {
        stoa_sleep(0.001 * below(500));
        ended += stoa_sendall(conn, request, 4, 0) == 0;
    } else {
        ended++; /* there was no request */
    }
    alive--;
}

static int serve(void *arg)
{
    struct stoa_options o = {.size = sizeof(o), .max_conns = MAX_CONNS, .timeout = 30};

    served = 0;
    while (stoa_serve(":8081", answers, NULL, &o) < 0)
        if (errno == ECANCELED || stoa_sleep(0.05) < 0)
            return 0;
    served = 1;
    (void)arg;
    return 0;
}

static int asks(void *arg)
{
    char answer[4];
    int n = (int)(intptr_t)arg;

    for (int i = 0; i < 3; i++) {
        int s = stoa_dial("server:8081", NULL);

        if (s < 0) {
            stoa_sleep(0.1);
            continue;
        }
        stoa_settimeout(s, 60);
        stoa_sleep(0.001 * below(20));
        if (stoa_sendall(s, &n, 4, 0) == 0 && stoa_recvall(s, answer, 4) == 4 &&
            memcmp(answer, &n, 4) != 0)
            wrong("client %d got another one's answer", n);
        stoa_close(s);
    }
    return 0;
}

static int start(struct stoa_group **clients)
{
    int server = stoa_sim_host("server", NULL);

    *clients = stoa_group_open();
    alive = most = begun = ended = 0;
    stoa_sim_go(server, NULL, serve, NULL);
    for (int i = 0; i < CLIENTS; i++)
        stoa_go(*clients, asks, (void *)(intptr_t)i);
    return server;
}

SWEEP(no_more_than_max_conns_are_served_at_once)
{
    struct stoa_group *clients;

    start(&clients);
    stoa_group_join(clients);
    if (most > MAX_CONNS)
        return wrong("%d were served at once, %d may be", most, MAX_CONNS);
    return 0;
}

/* Faults are absent: whoever was let in is answered, whenever the stop comes. */
SWEEP_WITH(a_stop_lets_every_handler_end, false)
{
    struct stoa_group *clients;

    start(&clients);
    stoa_sleep(0.001 * below(1000));
    stoa_stop();
    if (!stoa_draining())
        return wrong("stopped, and not draining");
    stoa_sleep(15);
    if (!served || alive)
        return wrong("15 s after the stop the server %s, with %d handlers",
                     served ? "has ended" : "goes on", alive);
    if (begun != ended)
        return wrong("%d handlers began, %d could answer", begun, ended);
    stoa_group_join(clients);
    return 0;
}
