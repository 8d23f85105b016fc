#!/usr/bin/env python3
"""run.py - real conditions, and what `stoa doctor` says of them.

    tests/doctor/run.py build/src/cli/stoa [CASE ...]     TAP
    tests/doctor/run.py build/src/cli/stoa --table        the table of docs/doctor.md, written there

Each case has a process, a network and a list of processes of its own (namespaces).
"""
import argparse
import concurrent.futures
import os
import subprocess
import sys
import traceback

import cases_ports  # noqa: F401
import cases_servers  # noqa: F401
import cases_talk  # noqa: F401
import cases_whole  # noqa: F401
from room import CASES, Room, Skip, own_place

SKIPPED = 77
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs/doctor.md')
BEGIN, END = '<!-- the table begins -->', '<!-- the table ends -->'
JOBS = 3  # at a time: most wait for the doctor


def ask():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('stoa')
    parser.add_argument('cases', nargs='*')
    parser.add_argument('--table', action='store_true')
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args()


def again_inside():
    """This program once more, in namespaces of its own; None where that is forbidden."""
    for prefix in (['unshare'], ['unshare', '-r']):
        command = [*prefix, '--net', '--pid', '--fork', '--mount-proc', '--kill-child']
        try:
            if subprocess.run([*command, 'true'], capture_output=True, check=False).returncode == 0:
                return subprocess.run([*command, sys.executable, *sys.argv, '--inside'],
                                      check=False).returncode
        except OSError:
            break
    return None


def one(name, stoa):
    """Run a case, in a child of ours: (exit status, lines), which are what was seen, what the
    doctor said and the seconds; or what is wrong."""
    hear, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hear)
        status = inside(name, stoa, os.fdopen(tell, 'w', encoding='utf-8'))
        os._exit(status)
    os.close(tell)
    with os.fdopen(hear, encoding='utf-8') as f:
        lines = f.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, lines


def inside(name, stoa, out):
    room = Room(stoa)
    try:
        own_place()
        CASES[name][1](room)
        print(room.saw_text, room.said_text, f'{room.took:.2f}', sep='\n', file=out)
        return 0
    except Skip as e:
        print(e, file=out)
        return SKIPPED
    except Exception:
        print(traceback.format_exc(), file=out)
        return 1
    finally:
        room.end()
        out.close()


def tap(names, stoa):
    failed = 0
    print(f'TAP version 13\n1..{len(names)}', flush=True)
    pool = concurrent.futures.ThreadPoolExecutor(JOBS)
    results = pool.map(lambda name: one(name, stoa), names)
    for number, (name, (status, lines)) in enumerate(zip(names, results), 1):
        if status == SKIPPED:
            print(f'ok {number} - {name} # SKIP {" ".join(lines)}')
        elif status == 0:
            print(f'ok {number} - {name}')
            print(f'# named in {lines[2]} s: {lines[1]}' if lines[1] else '# nothing to name')
        else:
            failed += 1
            print('\n'.join('# ' + line for line in lines))
            print(f'not ok {number} - {name}')
        sys.stdout.flush()
    return 1 if failed else 0


def table(names, stoa):
    """What was seen and said, into the page; one at a time, for the seconds are in it."""
    rows = ['| the problem | what the user saw | what doctor said |', '| --- | --- | --- |']
    for name in names:
        if not CASES[name][0]:
            continue
        status, lines = one(name, stoa)
        if status:
            print('\n'.join(lines), file=sys.stderr)
            return 1
        saw, said = (line.replace('|', '\\|') for line in lines[:2])
        rows.append(f'| {CASES[name][0]} | {saw} | {said} ({lines[2]} s) |')
    with open(PAGE, encoding='utf-8') as f:
        before, begin, rest = f.read().partition(BEGIN)
        _, end, after = rest.partition(END)
    with open(PAGE, 'w', encoding='utf-8') as f:
        f.write(before + begin + '\n'.join(['', *rows, '']) + end + after)
    return 0


def main():
    o = ask()
    names = o.cases or list(CASES)
    if not o.inside:
        status = again_inside()
        if status is None:
            print('1..0 # SKIP no namespaces here')
            return SKIPPED
        return status
    return (table if o.table else tap)(names, os.path.abspath(o.stoa))


if __name__ == '__main__':
    sys.exit(main())
