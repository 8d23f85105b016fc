"""compare.py - one situation after another, in CPython and in libstoa: the same results and errors.

    python3 compare.py LIBSTOA.SO [NAME ...]

A situation is a function of a net (nets.py) that gives a value; the first OSError ends it
and is its value.  Both values must be equal.  Where stoa.h promises something else than
Python does, @differs says what, and quotes the promise.  Output is TAP.
"""
import errno
import sys

import making
import owning
import talking
from nets import Python, Stoa

MODULES = making, talking, owning


def value_of(f, n):
    try:
        return f(n)
    except OSError as e:
        return 'OSError ' + errno.errorcode.get(e.errno, str(e))


def main(library, *names):
    python, stoa = Python(), Stoa(library)
    chosen = [f for module in MODULES for f in vars(module).values()
              if hasattr(f, 'is_situation') and (not names or f.__name__ in names)]
    print(f'TAP version 13\n1..{len(chosen)}')
    failed = 0
    for i, f in enumerate(chosen, 1):
        theirs, ours = value_of(f, python), value_of(f, stoa)
        want = getattr(f, 'value', theirs)
        good = ours == want
        if hasattr(f, 'value') and theirs == want:
            good = False
            print(f'# Python does the same: {f.promise} is no difference any more')
        if not good:
            print(f'# Python: {theirs!r}\n# stoa: {ours!r}\n# wanted: {want!r}')
            print('# stoa says:', (stoa.c.stoa_errmsg() or b'').decode())
        failed += not good
        print(('ok' if good else 'not ok'), i, '-', f.__name__, flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
