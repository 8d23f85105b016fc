#!/usr/bin/env python3
"""count.py LOG... - what the tests came to: `N passed, N failed`, on the last line.

A LOG is meson's testlog.json, or a TAP file (*.tap).  Single tests are counted, not
programs.  A program that ends badly without a `not ok`, or before its plan is
fulfilled, has failed tests, too: a crash must not look like fewer tests.
"""
import json
import re
import sys

LINE = re.compile(r'^(not )?ok\b *\d*(?: - )? *(.*?)(?: *# *(SKIP|TODO)\b *(.*))?$', re.I)
PLAN = re.compile(r'^1\.\.(\d+)', re.M)


class Count:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.bad = []   # names of what failed
        self.left = {}  # reason -> how many were skipped for it

    def fail(self, name):
        self.failed += 1
        self.bad.append(name)

    def skip(self, reason):
        self.skipped += 1
        self.left[reason] = self.left.get(reason, 0) + 1

    def tap(self, program, text):
        """Count a program's TAP; returns what is wrong with it as a whole, or None."""
        planned, seen, failed = None, 0, self.failed
        for line in text.splitlines():
            if plan := PLAN.match(line):
                planned = int(plan[1])
                if planned == 0:
                    self.skip(line.partition('SKIP')[2].strip() or 'no reason given')
            elif line.startswith('Bail out!'):
                self.fail(f'{program}: {line}')
            elif found := LINE.match(line):
                seen += 1
                if found[1]:
                    self.fail(f'{program}: {found[2]}')
                elif found[3]:
                    self.skip(found[4] or 'no reason given')
                else:
                    self.passed += 1
        if planned is None:
            return 'printed no plan'
        if seen < planned and self.failed == failed:
            return f'ended after {seen} of {planned} tests'
        return None

    def program(self, test):
        """One entry of meson's log."""
        name, text = test['name'], test.get('stdout', '')
        before = self.failed
        if test['result'] == 'SKIP' and not PLAN.search(text):
            self.skip(text.strip().splitlines()[-1] if text.strip() else 'no reason given')
            return
        if 'TAP version' in text or re.search(r'^1\.\.\d', text, re.M):
            wrong = self.tap(name, text)
            if wrong and self.failed == before:
                self.fail(f'{name}: {wrong}')
        elif test['result'] == 'OK':
            self.passed += 1
        if test['result'] not in ('OK', 'SKIP', 'EXPECTEDFAIL') and self.failed == before:
            self.fail(f'{name}: {test["result"].lower()}, exit status {test["returncode"]}')


def main(paths):
    count = Count()
    for path in paths:
        try:
            with open(path, encoding='utf-8', errors='replace') as log:
                if path.endswith('.tap'):
                    wrong = count.tap(path, log.read())
                    if wrong:
                        count.fail(f'{path}: {wrong}')
                else:
                    for line in log:
                        count.program(json.loads(line))
        except OSError as error:
            count.fail(f'no results: {error}')
    if count.passed + count.failed + count.skipped == 0:
        count.fail('no test was run')
    for reason, n in sorted(count.left.items()):
        print(f'skipped {n}: {reason}')
    for name in count.bad:
        print(f'failed: {name}')
    skipped = f', {count.skipped} skipped' if count.skipped else ''
    print(f'{count.passed} passed, {count.failed} failed{skipped}')
    return 1 if count.failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
