"""rows_calls.py - each system call fails with each errno that its page names: 17.

By strace, which is attached to a server that has started: every third call of one kind fails, and
the kernel does not see it.  Only what may be believed: no EAGAIN when there is something to do.
A ring's calls are io_uring_enter(2) alone; what fails inside it is tests/inject's.
"""
import os
import select
import shutil
import signal
import subprocess
import time

from client import ask, patience
from row import Skip, row

WAITS = 'epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll,select,pselect6'
ERRORS = (
    ('accept,accept4', 'ECONNABORTED EINTR EMFILE ENFILE ENOBUFS ENOMEM EPERM EPROTO'),
    ('read,recvfrom,recvmsg,readv', 'ECONNRESET EHOSTUNREACH EINTR ENOMEM ETIMEDOUT'),
    ('write,sendto,sendmsg,writev', 'ECONNRESET EINTR ENOBUFS ENOMEM EPIPE'),
    (WAITS, 'EINTR'),
    ('io_uring_enter', 'EAGAIN EBUSY EINTR'),
    ('epoll_ctl', 'ENOMEM ENOSPC'),
    ('setsockopt', 'ENOMEM ENOPROTOOPT'),
    ('getpeername,getsockname', 'ENOBUFS'),
    ('shutdown', 'ENOTCONN'),
    ('close', 'EINTR EIO'),
)


class Failing:
    """While it lasts, every third of these calls fails, in all the server's threads."""

    def __init__(self, server, calls, error, log):
        pids = [word for pid in server.pids() for word in ('-p', str(pid))]
        # A name that this processor does not have is left out: "?".
        names = ','.join('?' + name for name in calls.split(','))
        self.log = log
        self.strace = subprocess.Popen(
            ['strace', '-f', '-o', log, '-e', f'inject={names}:error={error}:when=1+3', *pids],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def __enter__(self):
        fd, seen = self.strace.stderr.fileno(), b''
        while b'attached' not in seen:
            ready = select.select([fd], [], [], patience(10))[0]
            more = os.read(fd, 4096) if ready else b''
            if not more:
                raise Skip(f'strace may not be attached here: {seen.decode().strip()[-80:]}')
            seen += more
        return self

    def __exit__(self, *_):
        self.rest()
        self.strace.send_signal(signal.SIGINT)
        self.strace.communicate()

    def rest(self):
        """Until the server does nothing.  Of a call that strace was about to let fail when it was
        ended the server hears ENOSYS, which is no word of the kernel's."""
        last, until = -1, time.monotonic() + patience(5)
        while (now := os.path.getsize(self.log)) != last and time.monotonic() < until:
            last = now
            time.sleep(0.1)

    def count(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return sum('(INJECTED)' in line for line in f)


def short_visits(server, count):
    """What becomes of them is not asked: they are served by a server whose calls fail."""
    for _ in range(count):
        try:
            with server.dial(timeout=0.3) as s:
                ask(s, b'hello there\n')
        except OSError:
            pass


def survives(at, calls, error):
    """Whether it lives, an old client is answered and a new one; how many calls failed."""
    server = at.start()
    old = server.dial()
    ask(old, b'before\n')
    with Failing(server, calls, error, os.path.join(at.folder, 'strace')) as failing:
        short_visits(server, at.few(10, 30))
    good = server.alive() and server.answers()
    if not calls.startswith('read'):  # a thread may have been in such a call for the old client
        good = good and ask(old, b'after\n') == server.expect(b'after\n')
    old.close()
    at.end()
    return good, failing.count()


@row(17, 'each system call fails with each errno', 'lives, old and new clients answered',
     patience=300)
def calls_fail(at):
    if not shutil.which('strace'):
        raise Skip('no strace here')
    fell, tried = [], 0
    for calls, errors in ERRORS:
        for error in errors.split():
            try:
                good, count = survives(at, calls, error)
            except OSError:
                good, count = False, 1
            tried += count > 0
            if not good:
                fell.append(f'{calls.split(",")[0]} {error}')
    word = f', but not {", ".join(fell)}' if fell else ''
    return not fell and tried > 0, f'{tried - len(fell)} of {tried}{word}'
