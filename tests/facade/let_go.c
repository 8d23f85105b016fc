/* let_go.c - stoa_let_go(): who listens stops, and the queue is left to who has the listener, too.
 *
 * The danger: a connection that is hurried, a client in the queue who is reset, a worker that goes
 * on.
 */
#include "old.h"

FIBER_TEST(who_lets_go_leaves_the_queue_to_who_has_it_too)
{
    EACH_STREAM (k) {
        struct old first = {.handler = serve_old}, next = {.handler = serve_old};
        struct stoa_group *group = stoa_group_open();
        int waiting[10];

        first.listener = listener_make(k, &first.at);
        next.listener = stoa_dup(first.listener);
        EXPECT_OK(stoa_go(group, serve, &first));
        int guest = dial_and_say(first.at.c, "a");
        hear(guest, 'a');

        EXPECT_OK(stoa_let_go());
        EXPECT_OK(stoa_sendall(guest, "b", 1, 0));
        hear(guest, 'b');
        EXPECT_OK(stoa_close(guest));
        EXPECT_OK(stoa_group_join(group)); /* the last connection has ended, and so has serve() */
        EXPECT_EQ(first.rc, 0);

        for (int i = 0; i < 10; i++)
            waiting[i] = dial_and_say(first.at.c, "c");
        group = stoa_group_open();
        next.o.count = 10;
        EXPECT_OK(stoa_go(group, serve, &next)); /* who comes later accepts */
        for (int i = 0; i < 10; i++) {
            hear(waiting[i], 'c');
            EXPECT_OK(stoa_close(waiting[i]));
        }
        EXPECT_OK(stoa_group_join(group));
    }
}

TEST(workers_let_go_all_of_them)
{
    for (int workers = 1; workers <= 3; workers++) {
        struct old s = {.handler = serve_old, .o = {.workers = workers}};
        int conn[12];

        old_start(&s, TCP4);
        for (int i = 0; i < 12; i++) {
            conn[i] = dial_and_say(s.at.c, "a");
            hear(conn[i], 'a');
        }
        EXPECT_OK(stoa_let_go());
        EXPECT_OK(stoa_let_go());
        for (int i = 0; i < 12; i++) {
            EXPECT_OK(stoa_sendall(conn[i], "b", 1, 0));
            hear(conn[i], 'b');
            EXPECT_OK(stoa_close(conn[i]));
        }
        old_join(&s);
    }
}

static void stays(int conn, void *arg)
{
    char c;

    (void)arg;
    stoa_sendall(conn, "+", 1, 0);
    while (stoa_recv(conn, &c, 1, 0) == 1)
        ;
}

/* Connections are not hurried by letting go, and have options.drain seconds after a stop. */
TEST(a_stop_after_letting_go)
{
    ALONE(a_stop_after_letting_go);
    struct old s = {.handler = stays, .o = {.drain = 0.05}};

    old_start(&s, TCP4);
    int conn = stoa_dial(s.at.c, NULL);
    char c;

    hear(conn, '+');
    EXPECT_OK(stoa_let_go());
    EXPECT_OK(stoa_stop());
    old_join(&s);
    EXPECT_EQ(stoa_recv(conn, &c, 1, 0), 0);
    EXPECT_OK(stoa_close(conn));
}
