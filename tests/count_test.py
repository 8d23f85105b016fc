#!/usr/bin/env python3
"""count_test.py - count.py calls nothing good that is not.

The danger: the last line of ./x test is what everybody believes.  A program that
crashed, printed nothing, or ended early must be a failure.
"""
import json
import os
import subprocess
import sys
import tempfile

COUNT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'count.py')


def entry(stdout, result='OK', status=0):
    return {'name': 'program', 'stdout': stdout, 'result': result, 'returncode': status}


CASES = [  # name, entries of the log, the last line, exit status
    ('each line is a test', [entry('1..2\nok 1 - a\nok 2 - b\n')], '2 passed, 0 failed', 0),
    ('a failure is one', [entry('1..2\nok 1 - a\nnot ok 2 - b\n', 'FAIL', 1)],
     '1 passed, 1 failed', 1),
    ('a skipped test is neither', [entry('1..2\nok 1 - a\nok 2 - b # SKIP no c\n')],
     '1 passed, 0 failed, 1 skipped', 0),
    ('a crash is a failure', [entry('1..2\nok 1 - a\n', 'FAIL', -11)], '1 passed, 1 failed', 1),
    ('an early end is a failure', [entry('1..2\nok 1 - a\n')], '1 passed, 1 failed', 1),
    ('a failure after the last test is one', [entry('1..1\nok 1 - a\n', 'FAIL', 1)],
     '1 passed, 1 failed', 1),
    ('out of time is a failure', [entry('1..1\n', 'TIMEOUT', -15)], '0 passed, 1 failed', 1),
    ('without TAP the exit status speaks', [entry('hello\n'), entry('', 'FAIL', 1)],
     '1 passed, 1 failed', 1),
    ('a program that is skipped', [entry('no c here\n', 'SKIP', 77)],
     '0 passed, 0 failed, 1 skipped', 0),
    ('nothing run is a failure', [], '0 passed, 1 failed', 1),
]


def run(paths):
    done = subprocess.run([sys.executable, COUNT, *paths], stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1], done.returncode


def main():
    failed = 0
    print(f'1..{len(CASES) + 1}')
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, entries, line, status) in enumerate(CASES, 1):
            path = os.path.join(folder, 'testlog.json')
            with open(path, 'w', encoding='utf-8') as f:
                f.writelines(json.dumps(e) + '\n' for e in entries)
            got = run([path])
            good = got == (line, status)
            failed += not good
            if not good:
                print(f'# {got}, not {(line, status)}')
            print(f'{"ok" if good else "not ok"} {number} - {name}')
        good = run([os.path.join(folder, 'none.json')]) == ('0 passed, 1 failed', 1)
        print(f'{"ok" if good else "not ok"} {len(CASES) + 1} - no log is a failure')
    return 1 if failed or not good else 0


if __name__ == '__main__':
    sys.exit(main())
