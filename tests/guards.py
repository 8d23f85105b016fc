"""guards.py - spoil a copy of the library, one change at a time, and see that a test fails.

    python3 tests/guards.py BUILD_FOLDER [NUMBER-OR-WORD ...]   guards against traps
    python3 tests/guards.py BUILD_FOLDER mistakes [WORD ...]    mistakes made on purpose

A test that cannot fail protects nothing.  Each row of GUARDS names a trap (docs/why/0006-traps.md),
the guard's file and function, a change that takes it out, and the tests that must fail then:
by EXPECTs, a crash, or by not coming to an end.  MISTAKES (tests/mistakes.py) are such as anybody
makes, and any test may find them: first the programs that a row names are asked, then all
others, the worlds with 500 seeds.  The change is made in a copy of src/ in BUILD_FOLDER, never
here; a test that fails without it, too, has found nothing, and the row fails.  When the library
has changed so that a row's text is not found, the row must be written anew.  Output is TAP; it
takes some minutes, so it is not part of the suite.
"""
import functools
import json
import os
import pathlib
import shutil
import subprocess
import sys

from mistakes import MISTAKES

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 60  # seconds for the tests of a row

# trap, file: function, [(what stands there, what is put there)], program, tests
GUARDS = [
    ('1', 'backend/backend.h: op_deadline',
     [('    if (op->until_ns)\n        return;\n    op->until_ns = op->scope_ns;',
       '    op->until_ns = op->scope_ns;')],
     'traps_time', ['trap_1_one_clock_for_all_parts']),
    ('2', 'backend/block.c: block_sleep',
     [('            r = interrupt_check();',
       '            until_ns = until_ns == WHEEL_NEVER ? until_ns : kernel_now() + 500000000;\n'
       '            r = interrupt_check();')],
     'traps_time', ['trap_2_an_interval_timer_does_not_stretch_a_timeout']),
    ('3 count', 'net/error.c: error_out_done',
     [('return r >= 0 ? r : fail(verb, s, r, done);', 'return r >= 0 ? r : fail(verb, s, r, 0);')],
     'traps_bytes', ['trap_3_done_is_what_the_peer_reads_when_time_is_over',
                     'trap_3_done_is_what_the_peer_reads_when_the_socket_is_closed',
                     'trap_3_done_is_what_the_peer_reads_when_cancelled']),
    ('3 error', 'net/stream.c: send_rest',
     [('        if (r < 0)\n            return r;\n        *done +=',
       '        if (r < 0)\n            return 0;\n        *done +=')],
     'traps_bytes', ['trap_3_an_error_after_a_partial_send_is_told']),
    ('4', 'backend/block.c: block_sleep; backend/loop.c: fire_timers',
     [('|| rests ? 0 : -ETIME;', '|| rests ? 0 : -ETIMEDOUT;'),
      ('            loop_interrupt(f, -ETIME);', '            loop_interrupt(f, -ETIMEDOUT);')],
     'traps_time', ['trap_4_the_networks_time_is_ETIMEDOUT_for_send_and_recv',
                    'trap_4_the_networks_time_is_ETIMEDOUT_for_connect']),
    ('5 guests', 'backend/life.c: life_close, guest_wake',
     [('    guest_wake(s, 0);\n    return home &&', '    return home &&')],
     'traps_close', ['trap_5_the_peer_sees_the_end_though_a_reader_waited']),
    ('5 home', 'backend/life.c: cancel_unfit',
     [('        if (life_fits(life, op->life) || op->state != OP_WAITING)\n            continue;',
       '        (void)life;\n        continue;')],
     'traps_close', ['trap_5_the_peer_sees_the_end_though_a_reader_waited/epoll']),
    ('5 life', 'backend/life.h: life_fits',
     [('    return likely(life == want) || (life | LIFE_FILE) == want;',
       '    return life | want | 1;')],
     'storm', ['no_byte_crosses_in_a_storm_of_closes']),
    ('5 calls', 'backend/life.c: guests_end',
     [('tries = 0; atomic_load(&s->nguest) > 0; tries++', 'tries = 0; s && tries < 0; tries++')],
     'close', ['the_address_is_free_when_close_returns']),
    ('5 waits', 'backend/block.c: wait_counted',
     [('    if (!life_hold(NULL, s, w->life))\n        return -ECANCELED;\n', '    (void)w;\n'),
      ('    life_drop(NULL, s);\n', '')],
     'close', ['the_address_is_free_when_close_returns']),
    ('5 generation', 'net/sock.c: gone',
     [('    so->generation = (uint8_t)(so->generation % GENERATION_MAX + 1);\n', '')],
     'handle', ['a_stale_handle_stays_dead_whatever_is_opened_since']),
    ('6 data', 'backend/kernel.h: kernel_try',
     [('flags = op->flags | MSG_DONTWAIT;', 'flags = op->flags;')],
     'traps_flag', ['trap_6_a_dup_that_clears_the_flag_does_not_make_us_hang']),
    ('6 accept', 'backend/kernel.c: try_accept',
     [('    if (shared)\n        g = guard_shared(fd, SO_RCVTIMEO);\n    for', '    for')],
     'traps_flag', ['trap_6_a_listener_whose_flag_was_cleared_still_keeps_time']),
    ('6 bound', 'backend/kernel.c: is_ours',
     [('t->tv_usec == atomic_load(&bound_usec)', 't->tv_usec == -1')],
     'accept', ['two_handles_of_a_listener_accept_at_once']),
    ('7', 'backend/kernel.c: connect_call, KERNEL_UNIX_FULL',
     [('        return KERNEL_UNIX_FULL;\n    if (r != -EINPROGRESS',
       '        return -EAGAIN;\n    if (r != -EINPROGRESS')],
     'traps_unix', ['trap_7_connect_waits_while_the_unix_queue_is_full']),
    ('8 time', 'backend/epoll.c: epoll_cancel',
     [('    op_complete(op, r == -EAGAIN ? op->why : r);', '    op_complete(op, op->why);')],
     'traps_bytes', ['trap_8_a_recv_out_of_time_takes_nothing/epoll+worker',
                     'trap_8_a_recv_out_of_time_takes_nothing/epoll+thread']),
    ('first short', 'backend/epoll.c: arm',
     [('    return likely((op->sock->armed & need) == need) ? 0',
       '    return op->sock->heard & HEARD_EMPTY || (op->sock->armed & need) == need ? 0')],
     'recv', ['what_comes_after_a_first_short_recv_is_told/epoll']),
    ('8 guest', 'backend/guest.c: guest_wait',
     [('    return r == -EAGAIN ? -ETIME : r;', '    return -ETIME;')],
     'traps_bytes', ['trap_8_a_recv_out_of_time_takes_nothing']),
    ('9', 'net/sock.c: way_to_close; backend/linger.c',
     [('    return CLOSE_POLITE;\n}', '    return CLOSE_PLAIN;\n}')],
     'traps_close', ['trap_9_close_with_unread_input_keeps_the_answer']),
    ('10 client', 'backend/kernel.c: is_of_the_lost_client',
     [('    case ECONNABORTED:\n    case EPROTO:', '    case 0:')],
     'traps_accept', ['trap_10_the_errors_of_a_lost_client_are_not_the_listeners']),
    ('10 table', 'net/listen.c: accept_fd',
     [('        paused = sock_pause(ACCEPT_PAUSE_NS, op->until_ns);', '        paused = 0;')],
     'traps_accept', ['trap_10_a_client_survives_the_full_table_and_nobody_spins']),
    ('10 error', 'net/listen.c: accept_fd, nothing_left',
     [('    return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM;',
       '    return r == 1;')],
     'traps_accept', ['trap_10_a_full_table_is_waited_for']),
    ('11 loser', 'backend/guest.c: guest_run',
     [('    while (r == -EAGAIN && !op_never_waits(op)) {',
       '    if (r == -EAGAIN && !op_never_waits(op)) {')],
     'traps_dgram', ['trap_11_the_loser_of_one_datagram_goes_on_waiting']),
    ('11 flag', 'net/sock.h: sock_times, MSG_DONTWAIT',
     [('op->timeout_ns = dont_wait ? 0 : ', 'op->timeout_ns = dont_wait && op->len == 77 ? 0 : ')],
     'traps_dgram', ['trap_11_MSG_DONTWAIT_does_not_wait_for_the_timeout']),
    ('12 empty', 'net/dgram.c: stoa_recvfrom',
     [('    return r >= 0 ? r : error_out(VERB_RECVFROM, s, r);',
       '    return r > 0 ? r : error_out(VERB_RECVFROM, s, r < 0 ? r : -ECONNRESET);')],
     'traps_dgram', ['trap_12_an_empty_datagram_ends_nothing']),
    ('12 cut', 'backend/kernel.h: kernel_try',
     [('flags = op->flags | MSG_DONTWAIT;', 'flags = (op->flags & ~MSG_TRUNC) | MSG_DONTWAIT;')],
     'traps_dgram', ['trap_12_a_cut_datagram_is_told']),
    ('13 living', 'net/path.c: remove_stale',
     [('    if (!dead || bound)\n        return -EADDRINUSE;\n', '    (void)bound;\n')],
     'traps_unix', ['trap_13_a_live_servers_path_is_left_alone']),
    ('13 bound', 'net/path.c: is_bound',
     [('    int bound = dead > 0 ? is_bound(path, &st) : 0;',
       '    int bound = 0;\n\n    (void)is_bound;')],
     'traps_unix', ['trap_13_a_server_that_does_not_listen_yet_is_left_alone']),
    ('13 race', 'net/path.c: lock_folder',
     [('i < LOCK_TRIES && flock(', 'i < LOCK_TRIES * 0 && flock(')],
     'traps_unix', ['trap_13_of_two_starters_exactly_one_wins_a_thousand_times']),
    ('13 stale', 'net/path.c: path_bind',
     [('        r = remove_stale(sa, len, path, s->type);', '        (void)remove_stale;')],
     'traps_unix', ['trap_13_a_dead_servers_path_is_taken_over']),
    ('14 itself', 'net/dial.c: met_itself',
     [('    if (so->b.type != SOCK_STREAM || so->b.family == AF_UNIX)\n        return false;',
       '    if (so->b.type)\n        return false;')],
     'traps_address', ['trap_14_a_socket_that_meets_itself_is_refused']),
    ('14 zone', 'net/addr.c: numeric_ipv6', [('    sin6->sin6_scope_id = p->zone;\n', '')],
     'traps_address', ['trap_14_a_zone_is_kept_all_the_way']),
    ('15 short', 'net/scope.c: scope_nanoseconds',
     [('    int64_t whole = (int64_t)ns;',
       '    int64_t whole = (int64_t)(ns / 1e6) * 1000000;\n\n    return whole;')],
     'traps_time', ['trap_15_a_timeout_below_a_millisecond_is_neither_0_nor_a_spin']),
    ('15 long', 'backend/block.c: wait_until',
     [('(time_t)(left / 1000000000u)', '(time_t)((int)(left / 1000000u) / 1000)')],
     'traps_time', ['trap_15_a_huge_timeout_does_not_end_at_once']),
    ('15 default', 'net/listen.c: accept_one',
     [('    peer->type = type;\n', '    peer->type = type;\n'
       '    atomic_store(&sock_at(conn)->b.timeout_ns, atomic_load(&so->b.timeout_ns));\n')],
     'traps_time', ['trap_15_the_listeners_timeout_is_not_the_connections']),
    ('15 exec', 'backend/kernel.c: try_accept, SOCK_CLOEXEC',
     [('op->sa, op->sa_len, SOCK_CLOEXEC)', 'op->sa, op->sa_len, 0)')],
     'traps_time', ['trap_15_every_way_to_get_a_descriptor_is_closed_on_exec']),
    ('15 passed', 'backend/kernel.c: MSG_CMSG_CLOEXEC',
     [('MSG_DONTWAIT | MSG_CMSG_CLOEXEC', 'MSG_DONTWAIT')],
     'fds', ['a_descriptor_is_passed', 'recvmsg_closes_descriptors_on_exec']),
    ('SIGPIPE send', 'backend/kernel.h: kernel_try, MSG_NOSIGNAL',
     [('op->len, flags | MSG_NOSIGNAL);', 'op->len, flags);')],
     'traps_other', ['trap_SIGPIPE_is_raised_by_no_call']),
    ('SIGPIPE sendfile', 'backend/kernel.c: sendfile_quietly',
     [('    if (r != (ssize_t)len && !sigismember', '    if (r > 0 && !sigismember')],
     'traps_other', ['trap_SIGPIPE_is_raised_by_no_call']),
    ('REUSEPORT', 'net/listen.c: announce_at', [('    if (o->reuseport)\n', '')], 'traps_other',
     ['trap_REUSEPORT_a_second_server_is_refused', 'trap_REUSEPORT_only_who_asks_shares']),
    ('ghost', 'net/listen.c: bind_after', [('i < GHOST_TRIES && ', 'i < GHOST_TRIES * 0 && ')],
     'bind', ['a_killed_programs_port_is_waited_for']),
    ('patience', 'backend/linger.c: close_patiently',
     [('    put_gap_back(fd, gap_ms);\n    close(fd);', '    close(fd + 0 * gap_ms);')],
     'dead', ['a_client_who_reads_late_gets_the_whole_answer']),
    ('late reader', 'backend/linger.c: must_keep',
     [('    if (g->gap_ms == 0 || (!g->late', '    if (g->fd >= 0 || (!g->late')],
     'dead', ['a_client_who_has_not_read_for_long_gets_the_whole_answer']),
    ('late reader talks', 'backend/linger.c: listen_to, while he is late',
     [('    g->late = true;\n',
       '    g->late = true;\n    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, g->fd, NULL);\n')],
     'dead', ['a_client_who_has_not_read_for_long_gets_the_whole_answer']),
    ('late reader asked', 'backend/linger.c: end_goodbye puts the gap back, nobody before',
     [('    pthread_once(&once, begin);\n',
       '    pthread_once(&once, begin);\n    put_gap_back(fd, gap_ms);\n')],
     'dead', ['a_client_who_has_not_read_for_long_gets_the_whole_answer']),
    ('late reader served', 'backend/linger.c: linger_close, must_keep',
     [('!(gap_ms > 0 && is_late(fd))', '!is_late(fd)'),
      ('    if (g->gap_ms == 0 || (!g->late', '    if ((!g->late')],
     'dead', ['a_connection_of_ones_own_is_not_kept_for_who_reads_late']),
    ('gap shared', 'net/sock.c: end, put_gap_back',
     [('    if (how == CLOSE_SHARED || how == CLOSE_DETACH)', '    if (how == CLOSE_DETACH)')],
     'dead', ['who_goes_on_with_a_served_connection_has_its_gaps_of_before']),
    ('gap own', 'net/opt.c: stoa_setsockopt, gap_ms',
     [('option == TCP_RTO_MAX_MS && r == 0)', 'option == TCP_RTO_MAX_MS && r > 0)')],
     'dead', ['who_goes_on_with_a_served_connection_has_its_gaps_of_before']),
    ('gap shorter', 'serve/limits.c: shorten_gaps',
     [('ms > RTO_MAX_SERVED_MS &&', 'ms > 0 &&')],
     'dead', ['who_goes_on_with_a_served_connection_has_its_gaps_of_before']),
    ('late reader ended', 'net/sock.c: way_to_close',
     [('atomic_load(&so->ended) && atomic_load(&so->b.gap_ms) == 0', 'atomic_load(&so->ended)')],
     'dead', ['a_client_who_has_not_read_for_long_gets_the_whole_answer']),
    ('death seen', 'serve/limits.c: look, see_death',
     [('        see_death(g);', '        (void)see_death;')],
     'dead', ['the_peer_of_who_stays_is_watched_unless_the_handler_does']),
    ('death own', 'net/opt.c: stoa_setsockopt, own_death',
     [('    if (is_of_death(level, option))', '    if (is_of_death(level, option) && r > 0)')],
     'dead', ['the_peer_of_who_stays_is_watched_unless_the_handler_does']),
    ('peer', 'net/listen.c: sock_keep_peer',
     [('    sock_keep_peer(sock_at(conn), peer);\n', '')],
     'opt', ['an_accepted_connections_peer_is_known_after_it_left']),
    ('fds', 'net/fds.c: take', [('            else\n                backend_drop(fd);\n', '')],
     'fds', ['too_many_descriptors_do_not_leak']),
    ('8 ring', 'backend/uring.c: meaning',
     [('    if (r != -EAGAIN && r != -EINTR &&',
       '    if (op->state != OP_CANCELLING && r != -EAGAIN && r != -EINTR &&')],
     'storm', ['nothing_is_lost_when_fibers_are_cancelled_at_any_moment/uring']),
    ('ring order', 'backend/uring.c: uring_submit',
     [('list_empty(&s->ops) || !op_someone_waits(op) || !', '1 || !')],
     'uring', ['readers_are_served_in_their_order/uring']),
    ('ring settle', 'backend/life.c: settle',
     [('    if (home->ops->settle)\n        home->ops->settle(home, s);\n', '')],
     'uring', ['the_address_is_free_when_close_returns/uring']),
    ('ring handed', 'backend/life.c: close_elsewhere',
     [('    if (atomic_load(&s->nflight) > 0)\n        return hand_over(s, home, how);\n',
       '    (void)hand_over;\n')],
     'uring', ['the_address_is_free_when_close_returns/uring+worker']),
    ('ring wait', 'backend/life.c: hand_over',
     [('    if (!late || how == CLOSE_DETACH)\n        await_home(s, generation, how);\n',
       '    (void)late;\n    (void)generation;\n    (void)await_home;\n')],
     'uring', ['the_address_is_free_when_close_returns/uring+worker',
               'a_detached_descriptor_is_read_by_nobody_else/uring+worker']),
    ('ring bound', 'backend/life.c: await_home',
     [('(how == CLOSE_DETACH || kernel_now() < until_ns)', '(how >= 0 || until_ns)')],
     'uring', ['close_returns_though_the_home_waits_for_us/uring+worker']),
    ('ring turns', 'backend/life.c: await_home',
     [('        if (loop_here)\n            loop_take_posts(loop_here);\n', '')],
     'uring', ['two_workers_close_each_others_sockets/uring+worker']),
    ('ring probe', 'backend/backend.c: is_there',
     [('    return !ops->probe || ops->probe() == 0;', '    return ops->name[0] != 0;')],
     'uring', ['a_kernel_that_refuses_rings_is_served_otherwise']),
    ('fork', 'backend/life.c: forked', [('    atomic_fetch_add(&life_forks, 1);', '')],
     'traps_other', ['trap_fork_a_child_does_not_disturb_the_parent',
                     'trap_fork_the_child_serves_and_the_parent_closes']),
    ('fork birth', 'net/sock.c: sock_make',
     [('(&so->b.forks, forks, memory', '(&so->b.forks, life_forks + (forks & 0), memory')],
     'traps_other', ['trap_fork_between_a_descriptor_and_its_handle']),
]


def refresh(copy):
    """What was changed for the row before, or here since, is as it stands here."""
    for part in [*ROOT.glob('src/**/*.[chS]'), *ROOT.glob('tests/**/*.[ch]')]:
        to = copy / part.relative_to(ROOT)
        if not to.exists() or to.read_bytes() != part.read_bytes():
            shutil.copyfile(part, to)


def change(copy, where, changes):
    """Make the changes; what does not stand there is a row that has grown old."""
    files = [copy / 'src' / part.split(':')[0].strip() for part in where.split(';')]
    for old, new in changes:
        holders = [f for f in files if f.read_text().count(old) == 1]
        if len(holders) != 1:
            return f'"{old.strip()}" stands in {len(holders)} of {where}'
        holders[0].write_text(holders[0].read_text().replace(old, new))
    return None


def build(copy, program):
    """What the compiler says; nothing when it is built."""
    built = subprocess.run(['ninja', '-C', copy / 'build', f'tests/{program}'],
                           capture_output=True, text=True)
    return 'DOES NOT BUILD: ' + built.stdout[-600:] if built.returncode else None


def verdict(copy, program, tests=()):
    """How the tests failed; None when they did not."""
    if wrong := build(copy, program):
        return wrong
    try:
        ran = subprocess.run([copy / f'build/tests/{program}', *tests], text=True, timeout=PATIENCE,
                             capture_output=True, stdin=subprocess.DEVNULL,
                             env={**os.environ, 'STOA_SEEDS': '500', 'STOA_FAULTS': '1:50'})
    except subprocess.TimeoutExpired as e:
        said = (e.stdout or b'').decode() if isinstance(e.stdout, bytes) else e.stdout or ''
        done = sum(line.startswith(('ok', 'not ok')) for line in said.splitlines())
        return f'hangs after {done} tests; ' + first_failure(said)
    if ran.returncode in (0, 77):
        return None
    if ran.returncode < 0:
        return f'killed by signal {-ran.returncode}; ' + first_failure(ran.stdout)
    return first_failure(ran.stdout)


def programs_of(copy):
    """All that are built and asked, in an order that does not change."""
    asked = subprocess.run(['meson', 'introspect', copy / 'build', '--tests'], check=True,
                           capture_output=True, text=True)
    found = []
    for test in json.loads(asked.stdout):
        path = pathlib.Path(test['cmd'][0])
        if path.is_relative_to(copy / 'build/tests') and path.name != 'alloc':
            found.append(str(path.relative_to(copy / 'build/tests')))
    return sorted(set(found), key=lambda p: (not p.startswith('sim'), p))


def who_finds(copy, suspects):
    """The program that fails, and how; None when none does."""
    for program in dict.fromkeys([*suspects, *programs_of(copy)]):
        how = verdict(copy, program)
        if how:
            return program, how
    return None, None


@functools.cache
def passes(copy, program, tests):
    """Does it come to a good end with nothing changed?"""
    refresh(copy)
    return verdict(copy, program, tests) is None


def first_failure(said):
    lines = [line for line in said.splitlines() if line.startswith('#')]
    return next((line[2:] for line in lines if '.c:' in line), '')


def main(folder, *chosen):
    copy = pathlib.Path(folder).resolve()
    if not (copy / 'build').exists():
        copy.mkdir(parents=True, exist_ok=True)
        for part in ('include', 'tests', 'src'):
            shutil.copytree(ROOT / part, copy / part)
        for part in ('meson.build', 'meson_options.txt', 'seal.sh', 'man', 'examples'):
            (shutil.copytree if (ROOT / part).is_dir() else shutil.copy2)(ROOT / part, copy / part)
        subprocess.run(['meson', 'setup', copy / 'build', copy, '-Dtools=false', '-Dexamples=false',
                        '-Dbench=false'], check=True, stdout=subprocess.DEVNULL)
    mistakes = chosen[:1] == ('mistakes',)
    rows = MISTAKES if mistakes else GUARDS
    chosen = chosen[1:] if mistakes else chosen
    rows = [row for row in rows if not chosen or row[0] in chosen or row[0].split()[0] in chosen]
    print(f'TAP version 13\n1..{len(rows)}')
    failed = 0
    for i, (name, where, changes, program, *tests) in enumerate(rows, 1):
        refresh(copy)
        by, tests = f'facade/facade-{program}', tuple(*tests)
        how = change(copy, where, changes)
        if how:
            how = 'DOES NOT APPLY: ' + how
        elif mistakes:
            by, how = who_finds(copy, program)
        else:
            how = verdict(copy, by, tests)
        found = bool(how) and not how.startswith('DOES NOT')
        if found and not passes(copy, by, tests):
            how, found = 'DOES NOT COUNT, as it fails without the change, too: ' + how, False
        failed += not found
        print(f'# {by}: {how}' if how else '# nothing failed')
        print('ok' if found else 'not ok', i, '-', name if mistakes else f'trap {name} without',
              f'in {where}' if mistakes else where, flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
