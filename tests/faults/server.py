"""server.py - a server as another program: started, measured from outside, ended.

All figures are the kernel's (/proc), summed over the server's session: its children and workers
are in it.  Nothing is asked of the server itself.
"""
import glob
import os
import resource
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time

from client import ask, dial, patience

TICK = os.sysconf('SC_CLK_TCK')
PATIENCE = 15  # seconds for a start


class NotThere(Exception):
    """The server does not start here; the word says why."""


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def read(path):
    try:
        with open(path, 'rb') as f:
            return f.read()
    except OSError:
        return b''  # it has ended


class Server:
    patience = 10  # of its clients, in seconds

    def __init__(self, command, words, limits=(), env=None, before=None):
        for word, value in words.items():
            command = command.replace('{%s}' % word, str(value))
        self.command, self.words, self.limits, self.before = command, words, limits, before
        self.env = {**os.environ, **(env or {})}
        self.port = words.get('port')
        self.process = None
        self.started = 0
        self.upper = True
        self.log = tempfile.NamedTemporaryFile(dir=words['dir'], prefix='log.', delete=False)

    def begin(self, ready=True):
        """Start it, and wait until it answers a line."""
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(
                shlex.split(self.command), stdin=subprocess.DEVNULL, stdout=self.log,
                stderr=self.log, start_new_session=True, preexec_fn=self.prepare, env=self.env)
        except OSError as e:
            raise NotThere(f'not installed: {e.filename}') from e
        if ready:
            self.await_answer()
            self.settle()
        return self

    def settle(self):
        """Until the first visitor's traces are gone: what is measured is compared with this."""
        last, same, until = -1, 0, time.monotonic() + 2
        while same < 3 and time.monotonic() < until:
            time.sleep(0.02)
            now = self.fds()
            same, last = (same + 1 if now == last else 0), now

    def prepare(self):
        """In the child: its limits."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for what, most in self.limits:
            resource.setrlimit(what, (most, most))
        if self.before:
            self.before()

    def await_answer(self):
        while True:
            try:
                with dial(self.port, timeout=2) as s:
                    s.sendall(b'aB\n')
                    answer = s.recv(3)
                    if len(answer) == 3:
                        self.upper = answer == b'AB\n'
                        return
            except OSError:
                pass
            if self.process.poll() == 127:
                raise NotThere(self.said().strip().splitlines()[-1] or 'not installed')
            if self.process.poll() is not None:
                raise NotThere(f'ended with {self.process.returncode}: {self.said()[-120:]!r}')
            if time.monotonic() > self.started + patience(PATIENCE):
                raise NotThere(f'no answer in {patience(PATIENCE):g} s')
            time.sleep(0.002)

    def said(self):
        return read(self.log.name).decode(errors='replace')

    def dial(self, **how):
        return dial(self.port, **{'timeout': self.patience, **how})

    def expect(self, data):
        return data.upper() if self.upper else data

    def answers(self):
        """Whether a new client is served, now."""
        try:
            with self.dial(timeout=5) as s:
                return ask(s, b'there?\n') == self.expect(b'there?\n')
        except OSError:
            return False

    def alive(self):
        return self.process.poll() is None

    # --- measured -----------------------------------------------------------

    def pids(self):
        """All processes of its session."""
        own, found = str(self.process.pid).encode(), []
        for path in glob.glob('/proc/[0-9]*/stat'):
            fields = read(path).rpartition(b')')[2].split()
            if len(fields) > 3 and fields[3] == own and fields[0] != b'Z':
                found.append(int(path.split('/')[2]))
        return found

    def cpu(self):
        """Processor seconds: of its threads exactly, of ended children by the tick."""
        total = 0.0
        for pid in self.pids():
            fields = read(f'/proc/{pid}/stat').rpartition(b')')[2].split()
            if not fields:
                continue
            spent = [read(path).split() for path in glob.glob(f'/proc/{pid}/task/*/schedstat')]
            exact = sum(int(s[0]) for s in spent if s) / 1e9
            total += max(exact, (int(fields[11]) + int(fields[12]) - 1) / TICK if not exact else 0)
            total += (int(fields[13]) + int(fields[14])) / TICK
        return total

    def cpu_percent(self, seconds, meanwhile=None):
        """Of one processor, for some seconds, while something is done or nothing."""
        before, begun = self.cpu(), time.monotonic()
        while time.monotonic() < begun + seconds:
            if meanwhile:
                meanwhile()
            time.sleep(0.02)
        return 100 * (self.cpu() - before) / (time.monotonic() - begun)

    def fds(self):
        count = 0
        for pid in self.pids():
            try:
                count += len(os.listdir(f'/proc/{pid}/fd'))
            except OSError:
                pass
        return count

    def memory(self):
        """Bytes in use: what forked children share is counted once (Pss), else VmRSS."""
        total = 0
        for pid in self.pids():
            text = read(f'/proc/{pid}/smaps_rollup') or read(f'/proc/{pid}/status')
            for line in text.splitlines():
                if line.startswith((b'Pss:', b'VmRSS:')):
                    total += int(line.split()[1]) * 1024
                    break
        return total

    def fds_back(self, before, seconds=10):
        """How many descriptors it has more than before, when given time to close them."""
        until = time.monotonic() + patience(seconds)
        while self.fds() > before and time.monotonic() < until:
            time.sleep(0.02)
        return self.fds() - before

    # --- ended --------------------------------------------------------------

    def signal(self, name, pid=None):
        """To the process that was started, or another one."""
        if pid:
            os.kill(pid, getattr(signal, 'SIG' + name))
        else:
            self.process.send_signal(getattr(signal, 'SIG' + name))

    def ended(self, seconds):
        """Its exit status, or None when it did not end in time.  Told at once: Popen.wait() looks
        every 50 ms."""
        fd = os.pidfd_open(self.process.pid) if self.process.returncode is None else None
        if fd is not None:
            select.select([fd], [], [], patience(seconds))
            os.close(fd)
        return self.process.poll()

    def kill(self):
        if not self.process:
            return
        until = time.monotonic() + 5
        while (pids := self.pids()) and time.monotonic() < until:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.001)
        self.process.wait(5)
