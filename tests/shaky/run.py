"""run.py - the facade's programs with faults, many seeds of each, several at a time.

    python3 tests/shaky/run.py FOLDER [--seeds FIRST[-LAST]] [--jobs N] [PROGRAM ...]

FOLDER has the programs (build/tests/shaky).  Output is TAP: a line for a program and seed, and
of one that fails what it said.  To look at one again: STOA_FAULTS=SEED FOLDER/shaky-PROGRAM.
"""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

PATIENCE = 900  # seconds for a program


def ask(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--seeds', default='1')
    parser.add_argument('--jobs', type=int, default=4)
    parser.add_argument('programs', nargs='*')
    return parser.parse_intermixed_args(arguments)


def run(program, seed):
    """What is wrong with it, as lines; none: nothing."""
    try:
        ran = subprocess.run([program], env={**os.environ, 'STOA_FAULTS': str(seed)}, text=True,
                             capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as e:
        said = (e.stdout or b'').decode()
        return [*said.splitlines()[-5:], f'does not end in {PATIENCE} s']
    if ran.returncode in (0, 77):
        return []
    bad, notes = [], []
    for line in ran.stdout.splitlines():
        if line.startswith('#'):
            notes.append(line)
        else:
            bad += [*notes, line] if line.startswith(('not ok', 'Bail')) else []
            notes = []
    return [*bad, *notes, *ran.stderr.splitlines()[-3:], f'exit status {ran.returncode}']


def main(arguments):
    o = ask(arguments)
    first, _, last = o.seeds.partition('-')
    programs = sorted(p for p in o.folder.glob('shaky-*') if p.is_file() and
                      (not o.programs or p.name.removeprefix('shaky-') in o.programs))
    runs = [(p, seed) for seed in range(int(first), int(last or first) + 1) for p in programs]
    print(f'TAP version 13\n1..{len(runs)}')
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        for i, ((program, seed), wrong) in enumerate(
                zip(runs, pool.map(lambda r: run(*r), runs)), 1):
            for line in wrong:
                print('#', line)
            failed += bool(wrong)
            print('not ok' if wrong else 'ok', i, f'- {program.name} STOA_FAULTS={seed}',
                  flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
