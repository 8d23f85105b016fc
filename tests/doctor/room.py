"""room.py - what a case of the doctor is given: a network of its own, programs in it, the doctor.

A case is a function in cases_*.py.  It makes a real condition, says what a user sees of it, and
expects a finding.  It runs in a network and a process namespace of its own, which end with it:
what another case does to its descriptors is none of its findings.
"""
import ctypes
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'faults'))
from net import CLONE_NEWNET, lo_up  # noqa: E402

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
PATIENCE = 100  # seconds, for a finding to show itself on a busy machine
CASES = {}


class Skip(Exception):
    """This cannot be had here; the word says why."""


def case(title):
    """A case; its title is the problem's name in the table of docs/doctor.md."""
    def keep(function):
        CASES[function.__name__] = (title, function)
        return function
    return keep


def own_place():
    """A network and a list of processes of our own, in a child: this process waits for its end."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS) < 0:
        raise Skip('no namespaces here')
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xff)
    if libc.mount(b'proc', b'/proc', b'proc', 0, None) < 0:
        raise Skip('no /proc of our own here')
    lo_up()


def setting(name, value):
    """A sysctl of our own network."""
    try:
        with open('/proc/sys/' + name.replace('.', '/'), 'w', encoding='ascii') as f:
            f.write(str(value))
    except OSError as e:
        raise Skip(f'{name} cannot be set here') from e


def listen(address=('127.0.0.1', 8081), backlog=5, reuse=True, family=socket.AF_INET):
    s = socket.socket(family)
    if reuse:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(address)
    s.listen(backlog)
    return s


class Room:
    """One case's place."""

    def __init__(self, stoa):
        self.stoa = stoa
        self.children = []
        self.saw_text = self.said_text = ''
        self.took = 0.0

    def saw(self, call, error):
        """What a user sees: the failed call and its error; or a sentence."""
        what = f'"{os.strerror(error)}" ({errno.errorcode[error]})' if error else ''
        self.saw_text = f'{call}: {what}' if what else call

    def fails(self, call, function):
        """The function fails with an OSError: that is what a user sees."""
        try:
            function()
        except OSError as e:
            self.saw(call, e.errno)
            return e.errno
        raise AssertionError(f'{call} was to fail, and did not')

    def child(self, function):
        """A process that calls function(ready) and says ready() once; its pid."""
        hear, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.close(hear)
                function(lambda: os.write(tell, b'.'))
            finally:
                os._exit(1)
        os.close(tell)
        self.children.append(pid)
        if os.read(hear, 1) != b'.':
            raise AssertionError('the other process has failed')
        os.close(hear)
        return pid

    def server(self, *args, **how):
        """A process that listens and does nothing more."""
        def live(ready):
            keep = listen(*args, **how)
            ready()
            signal.pause()
            keep.close()
        return self.child(live)

    def busy(self, function):
        """A process that calls the function again and again."""
        def live(ready):
            function()
            ready()
            while True:
                function()
        return self.child(live)

    def run(self, *args, code=None, **how):
        """stoa doctor with these arguments; (exit code, standard output, standard error)."""
        done = subprocess.run([self.stoa, 'doctor', *args], text=True, capture_output=True,
                              check=False, stdin=subprocess.DEVNULL, **how)
        if code is not None and done.returncode != code:
            raise AssertionError(f'doctor {" ".join(args)}: exit {done.returncode}, not {code}: '
                                 f'{done.stdout}{done.stderr}')
        return done.returncode, done.stdout, done.stderr

    def findings(self, *args, **how):
        """What it finds now, as objects; the last one is the end's."""
        begun = time.monotonic()
        code, out, err = self.run('--json', *args, **how)
        self.took = time.monotonic() - begun
        events = [json.loads(line) for line in out.splitlines()]
        if not events or events[-1]['event'] != 'end':
            raise AssertionError(f'doctor --json: exit {code}: {out}{err}')
        worst = {'healthy': 0, 'note': 10, 'warning': 11, 'failing': 12}[events[-1]['worst']]
        if code != worst:
            raise AssertionError(f'exit {code}, and the worst is {events[-1]["worst"]}')
        return events

    def expect(self, name, pattern, *args, severity=None, **how):
        """The doctor finds it, with this in subject and evidence; the finding."""
        until, last = time.monotonic() + PATIENCE, []
        while time.monotonic() < until:
            last = self.findings(*args, **how)
            for f in last[:-1]:
                text = f'{f["subject"]}: {f["evidence"]}'
                if f['id'] == name and re.search(pattern, text) and \
                        severity in (None, f['severity']):
                    self.said_text = f'**{name}** ({f["severity"]}), {text}'
                    return f
        raise AssertionError(f'no {name} with "{pattern}" in {json.dumps(last, indent=1)}')

    def expect_none(self, name, *args, **how):
        """The doctor does not find it; a busy machine may have troubles of its own."""
        events = self.findings(*args, **how)
        if name in {f.get('id') for f in events}:
            raise AssertionError(f'{name} in {json.dumps(events, indent=1)}')
        return events

    def end(self):
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
