"""stoa-gdb.py - gdb commands for fibers, in a running program and in a core file.

    (gdb) source stoa-gdb.py
    (gdb) stoa fibers [MAX]         every fiber, those with equal backtraces together
    (gdb) stoa fiber ADDRESS [COMMAND]
                                    run a gdb command, bt if none, on a fiber's stack

A fiber that does not run has no thread, so gdb cannot know its stack.  The unwinder below
tells it: while a fiber is chosen, the frame that called the thread's innermost one is the
one where that fiber goes on.  No register is written, which a core file would not allow.
Frame 0 is then still the thread's; the fiber's begin at frame 1.

gcore(1) stops reading at a stack's guard page and loses the stacks; the core that the kernel
writes, at an abort(3), has them all.

Knows struct fiber and struct sched of fiber.h, and x86-64 and AArch64; programs built with
-Dswitch=portable show their fibers without backtraces.
"""
import itertools

import gdb
import gdb.unwinder

FIBERS_MAX = 1000  # looked at, if no other number is given: a million would take minutes
STATES = {1: 'ready', 2: 'running', 3: 'parked', 4: 'dead'}

# The registers that struct context holds, in its fields' order: pc, sp, frame.
REGISTERS = {
    'i386:x86-64': ('rip', 'rsp', 'rbp'),
    'aarch64': ('pc', 'sp', 'x29'),
}


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class FiberUnwinder(gdb.unwinder.Unwinder):
    """While a fiber is chosen, its frames are the innermost frame's callers."""

    def __init__(self):
        super().__init__('stoa-fiber')
        self.context = None
        self.innermost_sp = None

    def choose(self, fiber):
        self.innermost_sp = int(gdb.newest_frame().read_register('sp'))
        self.context = fiber['context']
        gdb.invalidate_cached_frames()

    def leave(self):
        self.context = None
        gdb.invalidate_cached_frames()

    def __call__(self, pending):
        if self.context is None:
            return None
        sp = pending.read_register('sp')
        if int(sp) != self.innermost_sp:
            return None
        names = REGISTERS[pending.architecture().name()]
        info = pending.create_unwind_info(FrameId(sp, pending.read_register('pc')))
        for name, field in zip(names, ('pc', 'sp', 'frame')):
            kind = pending.read_register(name).type
            info.add_saved_register(name, self.context[field].cast(kind))
        return info


UNWINDER = FiberUnwinder()
gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)


def on_stack_of(fiber, work):
    """What work() gives while the fiber's stack is under the innermost frame."""
    UNWINDER.choose(fiber)
    try:
        return work()
    finally:
        UNWINDER.leave()


def run_command(fiber, command):
    """What a gdb command prints on a fiber's stack."""
    return on_stack_of(fiber, lambda: gdb.execute(command, to_string=True))


def addresses():
    """Where each frame but the innermost goes on."""
    frame, found = gdb.newest_frame().older(), []
    while frame is not None:
        found.append(frame.pc())
        frame = frame.older()
    return tuple(found)


def listed(head, kind, member):
    """The structs of a struct list whose nodes are their member."""
    kind = gdb.lookup_type(kind)
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    node = head['next']
    while node != head.address:
        yield (node.cast(gdb.lookup_type('char').pointer()) - offset).cast(kind.pointer())
        node = node['next']


def all_scheds():
    return listed(gdb.parse_and_eval('fiber_scheds'), 'struct sched', 'link')


def all_fibers():
    for sched in all_scheds():
        yield from listed(sched['all'], 'struct fiber', 'all')


def function_name(pointer):
    return str(pointer.format_string(symbols=True, raw=True)).partition('<')[2].rstrip('>')


def without_stack(fiber):
    """Why a fiber has no backtrace; None when it has one."""
    if int(fiber['state']) == 2:
        return 'running: see its thread\'s backtrace'
    if not int(fiber['context']['pc']):
        return 'built with -Dswitch=portable: no backtrace'
    if function_name(fiber['context']['pc']) == 'switch_start':
        return 'not started yet: ' + function_name(fiber['fn'])
    return None


def backtrace(fiber):
    """A fiber's frames, a line each; or why there are none."""
    why = without_stack(fiber)
    if why:
        return [why]
    lines = run_command(fiber, 'bt').splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith('#1 ')), len(lines))
    return lines[first:]


def groups(most):
    """Fibers of equal state and backtrace, the most frequent first."""
    found = {}
    for fiber in itertools.islice(all_fibers(), most):
        place = without_stack(fiber) or on_stack_of(fiber, addresses)
        found.setdefault((int(fiber['state']), place), []).append(fiber)
    return sorted(found.items(), key=lambda group: -len(group[1]))


class Stoa(gdb.Command):
    """Commands for stoa's fibers."""

    def __init__(self):
        super().__init__('stoa', gdb.COMMAND_STACK, prefix=True)


class StoaFibers(gdb.Command):
    """stoa fibers [MAX]: every fiber, those with equal backtraces together."""

    def __init__(self):
        super().__init__('stoa fibers', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        most = int(argument) if argument else FIBERS_MAX
        for (state, _), fibers in groups(most):
            shown = ' '.join(hex(int(f)) for f in fibers[:4])
            more = ' ...' if len(fibers) > 4 else ''
            print('%d %s: %s%s' % (len(fibers), STATES.get(state, state), shown, more))
            for line in backtrace(fibers[0]):
                print('    ' + line)
        left = sum(int(s['nfiber']) for s in all_scheds()) - most
        if left > 0:
            print('%d fibers more were not looked at: stoa fibers MAX' % left)


class StoaFiber(gdb.Command):
    """stoa fiber ADDRESS [COMMAND]: run a command, bt if none, on a fiber's stack."""

    def __init__(self):
        super().__init__('stoa fiber', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        address, _, command = argument.partition(' ')
        if not address:
            raise gdb.GdbError('stoa fiber ADDRESS [COMMAND]')
        wanted = int(gdb.parse_and_eval(address))
        fiber = next((f for f in all_fibers() if int(f) == wanted), None)
        if fiber is None:
            raise gdb.GdbError('no fiber at %s; stoa fibers lists them' % address)
        if command:
            print(run_command(fiber, command), end='')
        else:
            print('\n'.join(backtrace(fiber)))


Stoa()
StoaFibers()
StoaFiber()
