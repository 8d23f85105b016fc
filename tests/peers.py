#!/usr/bin/env python3
"""peers.py - the servers that stoa is compared with answer rightly (bench/peers/).

The danger: a peer that cheats is fast.  It may lose the end of a message when the socket is
full, or what was sent before the client's end, or change bytes that are no letters.
bench/load compares every byte.  $BUILD is the build folder; a peer whose library is not
on this machine is skipped.
"""
import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'bench'))

import servers
import turns
from servers import Server

BUILD = Path(os.environ['BUILD'])
CPU = min(os.sched_getaffinity(0))
ARGS = argparse.Namespace(server_cpu=CPU, load_cpu=CPU, nice=0, load=BUILD / 'bench/load')
MOMENT = ['--warmup', '0', '--duration', '0.05']
LOADS = [
    ['--conns', '8', '--pipeline', '16'],          # many messages in a receive
    ['--conns', '4', '--size', '200000'],          # more than a socket takes at once
    ['--conns', '4', '--churn', '--wait-eof'],     # the client's end comes with the message
]


def answers_rightly(server):
    with turns.running(ARGS, server) as (_, at):
        for load in LOADS:
            done = subprocess.run([ARGS.load, *load, *MOMENT, at], capture_output=True, text=True,
                                  check=False)
            assert done.returncode == 0, f'{" ".join(load)}: {done.stderr}'


def all_take_turns(there):
    """One round as compare.py has it; somebody who cannot do it is left out, with the reason."""
    liar = Server('liar', '/bin/false {port}', peer=True)
    failed = {}
    load = ['--conns', '3', '--warmup', '0.01', '--duration', '0.02', '--slices', '2']
    reports = turns.one_round(ARGS, [*there, liar], load, 2, failed)
    assert failed == {'liar': 'it did not start: it said nothing'}, failed
    assert set(reports) == {s.name for s in there}, reports
    for report in reports.values():
        assert len(report['slices_us']) == 2 and report['messages'] > 0, report


def main():
    known, (there, _) = servers.known_peers(BUILD), servers.peers(BUILD)
    tests = [(s.name, s in there, lambda s=s: answers_rightly(s)) for s in known]
    tests.append(('all take turns', bool(there), lambda: all_take_turns(there)))
    wrong = 0
    print(f'1..{len(tests)}')
    for number, (name, possible, test) in enumerate(tests, 1):
        if not possible:
            print(f'ok {number} - {name} # SKIP it is not on this machine')
            continue
        try:
            test()
        except (AssertionError, turns.Failure) as error:
            wrong += 1
            for line in str(error).splitlines():
                print(f'# {line}')
            print('not ', end='')
        print(f'ok {number} - {name}', flush=True)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
