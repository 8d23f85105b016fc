#!/usr/bin/env python3
"""gdb.py PROGRAM SCRIPT - `stoa fibers` shows every fiber, down to where its stack starts.

PROGRAM is parked.c's, SCRIPT is stoa-gdb.py.  Looks at the program when it has received its
SIGABRT, and at the core file it leaves where the kernel writes one.
"""
import glob
import os
import re
import resource
import subprocess
import sys
import tempfile

PROGRAM, SCRIPT = (os.path.abspath(path) for path in sys.argv[1:3])
BAKER = ['fiber_park', 'wait_for_bread', 'bake', 'baker', 'fiber_main', 'switch_start']
SKIPPED = 77

failed = 0
number = 0


def test(name, holds, shown):
    global failed, number
    number += 1
    if not holds:
        failed += 1
        for line in shown.splitlines():
            print('# ' + line)
    print('%s %d - %s' % ('ok' if holds else 'not ok', number, name))


def skip(why):
    print('ok %d - fibers_in_gdb # SKIP %s' % (number + 1, why))
    sys.exit(SKIPPED)


def gdb(target, *commands):
    """What gdb prints on standard output."""
    line = ['gdb', '-nx', '-q', '--batch']
    for command in commands:
        line += ['-ex', command]
    return subprocess.run(line + target, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, timeout=100, check=False).stdout


def groups(shown):
    """{(how many, state): its lines}"""
    found, lines = {}, None
    for line in shown.splitlines():
        head = re.match(r'(\d+) (ready|running|parked): 0x', line)
        if head:
            lines = found.setdefault((int(head[1]), head[2]), [])
            lines.append(line)
        elif lines is not None:
            lines.append(line)
    return found


def functions(lines):
    """The functions of a backtrace, in order."""
    names = (re.match(r'\s+#\d+\s+(?:0x\w+ in )?(\w+) \(', line) for line in lines)
    return [name[1] for name in names if name]


def look(where, shown):
    found = groups(shown)
    parked = functions(found.get((5, 'parked'), []))
    ready = '\n'.join(found.get((1, 'ready'), []))
    test('equal_backtraces_are_one_group_in_' + where, (5, 'parked') in found, shown)
    test('a_parked_fiber_has_its_whole_backtrace_in_' + where,
         [name for name in parked if name in BAKER] == BAKER, shown)
    test('a_backtrace_ends_where_the_stack_starts_in_' + where,
         parked[-1:] == ['switch_start'] and 'Backtrace stopped' not in shown, shown)
    test('who_yields_and_who_has_not_begun_are_ready_in_' + where,
         'yield_for_ever' in ready and 'not started yet: begin_late' in ready
         and 'wait_for_bread' in ready, shown)
    test('who_runs_is_named_in_' + where, (1, 'running') in found, shown)


def look_at_process():
    shown = gdb([PROGRAM], 'run', 'source ' + SCRIPT, 'stoa fibers')
    if re.search('ptrace: Operation not permitted|Python scripting is not supported', shown):
        skip('gdb cannot run a program here')
    look('a_process', shown)

    shown = gdb([PROGRAM], 'run', 'source ' + SCRIPT, 'stoa fiber first',
                'stoa fiber first frame apply all -s print ordered', 'echo ====\\n', 'bt',
                'stoa fibers 3')
    one, _, rest = shown.partition('====')
    test('one_fiber_can_be_looked_at', 'in baker' in one and '= 42' in one, shown)
    test('the_threads_own_backtrace_is_as_before', 'end_process' in rest
         and 'in baker' not in rest.partition('parked:')[0], shown)
    test('no_more_are_looked_at_than_asked_for', '6 fibers more' in rest, shown)


def look_at_core():
    with open('/proc/sys/kernel/core_pattern', encoding='ascii') as pattern:
        pattern = pattern.read().strip()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if pattern.startswith('|') or '/' in pattern or hard == 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        limit = (hard, hard)
        subprocess.run([PROGRAM], cwd=folder, check=False,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, limit))
        cores = glob.glob(os.path.join(folder, '*'))
        if cores:
            look('a_core_file', gdb([PROGRAM, cores[0]], 'source ' + SCRIPT, 'stoa fibers'))


print('TAP version 13')
look_at_process()
look_at_core()
print('1..%d' % number)
sys.exit(1 if failed else 0)
