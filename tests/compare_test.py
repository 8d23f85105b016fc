#!/usr/bin/env python3
"""compare_test.py - bench/compare.py's arithmetic, and the page that it writes.

The danger: a figure that everybody believes and nobody can check by looking at it.  So the
inputs here are such that the answer is plain.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'bench'))

import compare
import report
import turns
from servers import Server

RAW = [Server('raw_a', 'a {at}', raw=True), Server('raw_b', 'b {at}', raw=True)]
PEERS = [Server('peer', 'p {port}', peer=True), Server('lame', 'l {port}', peer=True)]
STOA = Server('stoa-epoll', 's {at}')


def counted(*slices_us, **more):
    """A generator's report."""
    return {'slices_us': list(slices_us), 'limit': 'server', 'per_sec': 1000, 'p50_us': 10,
            'p99_us': 20, 'p999_us': None, 'server_busy': 1.0, 'self_busy': 0.5, 'others': 0.0,
            'grown_bytes': 10064 * 100, **more}


def near(a, b):
    return abs(a - b) < 1e-9


def a_ratio_of_two_is_the_median_of_their_turns():
    scored = compare.scores({'a': counted(2, 10, 3), 'b': counted(3, 11, 30)})
    assert near(scored['b'] / scored['a'], 1.5), scored


def the_machines_speed_has_no_part_in_it():
    calm = {'a': counted(2, 2, 2, 2), 'b': counted(3, 3, 3, 3), 'c': counted(5, 5, 5, 5)}
    wild = {name: counted(*(us * speed for us, speed in zip(r['slices_us'], (1, 7, 0.2, 3))))
            for name, r in calm.items()}
    for scored in (compare.scores(calm), compare.scores(wild)):
        assert near(scored['b'] / scored['a'], 1.5) and near(scored['c'] / scored['a'], 2.5), scored


def a_turn_without_a_processor_is_left_out():
    scored = compare.scores({'a': counted(2, 0, 2), 'b': counted(4, 9, 4)})
    assert near(scored['b'] / scored['a'], 2), scored


def no_turn_at_all_is_told():
    try:
        compare.scores({'a': counted(0), 'b': counted(1)})
    except turns.Failure:
        return
    raise AssertionError('it went on')


def rows(name='c64'):
    rounds = [
        {'raw_a': counted(4, 4), 'raw_b': counted(2, 2), 'stoa-epoll': counted(2.2, 2.2),
         'peer': counted(3, 3, p999_us=7), 'lame': counted(1, 1)},
        {'raw_a': counted(4, 4), 'raw_b': counted(2, 2), 'stoa-epoll': counted(2, 2),
         'peer': counted(5, 5)},
        {'raw_a': counted(4, 4), 'raw_b': counted(2, 2), 'stoa-epoll': counted(2.4, 2.4),
         'peer': counted(4, 4)},
    ]
    table = compare.summary(name, [*RAW, STOA, *PEERS], rounds, {'lame': 'it is lame'})
    return {r['server']: r for r in table}


def ratios_are_to_the_best_by_hand():
    found = rows()
    assert found['raw_b']['yardstick'] == 'raw_b' and near(found['raw_b']['ratio'], 1), found
    assert near(found['raw_a']['ratio'], 2), found['raw_a']
    stoa = found['stoa-epoll']
    assert near(stoa['ratio'], 1.1), stoa
    assert near(stoa['ratio_min'], 1) and near(stoa['ratio_max'], 1.2), stoa


def medians_pass_over_what_was_not_measured():
    found = rows()
    assert near(found['peer']['server_us'], 4) and found['peer']['p999_us'] == 7, found['peer']
    assert found['raw_a']['p999_us'] is None


def who_failed_has_a_reason_and_no_figure():
    assert rows()['lame'] == {'scenario': 'c64', 'server': 'lame', 'failed': 'it is lame'}


def an_idle_connections_bytes_are_of_the_idle_scenario():
    assert rows()['peer']['idle_bytes'] is None
    assert near(rows('idle10k')['peer']['idle_bytes'], 100)


def a_peer_may_fail_and_nobody_else():
    failed = {}
    turns.leave_out(PEERS[0], turns.Failure('why'), failed)
    assert failed == {'peer': 'why'}
    try:
        turns.leave_out(STOA, turns.Failure('why'), failed)
    except turns.Failure as failure:
        assert str(failure) == 'stoa-epoll: why', failure
        return
    raise AssertionError('stoa may not fail')


def page(folder, text=None):
    path = Path(folder) / 'page.md'
    if text is not None:
        path.write_text(text)
    args = argparse.Namespace(rounds=3, duration=1.0)
    table = list(rows('c64').values()) + list(rows('idle10k').values())
    scenarios = {name: compare.SCENARIOS[name] for name in ('c64', 'idle10k')}
    report.write(path, table, [*RAW, STOA, *PEERS], ['gone'], scenarios, args)
    return path.read_text(), path.with_suffix('.svg').read_text()


def the_page_has_it_all():
    with tempfile.TemporaryDirectory() as folder:
        text, _ = page(folder)
    assert '| stoa-epoll | **1.10** | **1.10** | 100 |' in text, text
    assert '| lame | cannot | cannot | - |' in text, text
    assert 'lame, c64: it is lame.' in text, text
    assert '| peer | 4 | 2.000 | 1.500 to 2.500 | 1,000 | 10 | 20 | 7 |' in text, text
    assert 'Not there when this was made: gone.' in text, text


def prose_stays():
    with tempfile.TemporaryDirectory() as folder:
        text, _ = page(folder, f'before\n\n{report.BEGIN}\nstale\n{report.END}\n\nafter\n')
        again, _ = page(folder)
    assert text.startswith('before\n\n') and text.endswith('\n\nafter\n'), text
    assert 'stale' not in text and again == text


def a_page_without_marks_is_left_alone():
    with tempfile.TemporaryDirectory() as folder:
        try:
            page(folder, 'mine\n')
        except OSError:
            assert (Path(folder) / 'page.md').read_text() == 'mine\n'
            return
    raise AssertionError('it was overwritten')


def the_picture_names_everybody():
    with tempfile.TemporaryDirectory() as folder:
        _, svg = page(folder)
    words = [e.text for e in ElementTree.fromstring(svg).iter() if e.text]
    for word in ('raw_a', 'stoa-epoll', 'peer', 'lame', 'c64', 'idle10k', '1.10', 'cannot'):
        assert word in words, word


def in_the_picture_more_is_further_right():
    places = [report.across(ratio) for ratio in (0.5, 1, 1.05, 2, 15, 400)]
    assert places == sorted(places) and places[1] < places[2] < places[3] < places[4]
    assert near(report.across(4) - report.across(2), report.across(2) - report.across(1))


TESTS = [
    a_ratio_of_two_is_the_median_of_their_turns,
    the_machines_speed_has_no_part_in_it,
    a_turn_without_a_processor_is_left_out,
    no_turn_at_all_is_told,
    ratios_are_to_the_best_by_hand,
    medians_pass_over_what_was_not_measured,
    who_failed_has_a_reason_and_no_figure,
    an_idle_connections_bytes_are_of_the_idle_scenario,
    a_peer_may_fail_and_nobody_else,
    the_page_has_it_all,
    prose_stays,
    a_page_without_marks_is_left_alone,
    the_picture_names_everybody,
    in_the_picture_more_is_further_right,
]


def main():
    wrong = 0
    print(f'TAP version 13\n1..{len(TESTS)}')
    for number, test in enumerate(TESTS, 1):
        name = test.__name__.replace('_', ' ')
        try:
            test()
            print(f'ok {number} - {name}')
        except AssertionError as e:
            wrong += 1
            print(f'# {e}\nnot ok {number} - {name}')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
