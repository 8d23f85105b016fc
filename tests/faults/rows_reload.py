"""rows_reload.py - a new program takes over, without a gap: 14.

A server that speaks sd_notify(3) says when it has done so, and which process is to be told the
next time.  Of others, a process that was not there before is the sign, and the first one is told.
"""
import os
import socket
import threading
import time

from client import ask, patience
from row import Skip, row

VISITORS = 4


class Manager:
    """NOTIFY_SOCKET, and what was said there."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 'notify')
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.bind(self.path)
        self.main, self.speaks = None, False

    def hear(self, seconds):
        """True: it is ready.  False: nothing more was said."""
        self.told.settimeout(seconds)
        while True:
            try:
                words = self.told.recv(4096).decode().split('\n')
            except OSError:
                return False
            for word in words:
                if word.startswith('MAINPID='):
                    self.main = int(word.partition('=')[2])
            if 'READY=1' in words:
                self.speaks = True
                return True

    def reload(self, server, signal):
        """True: a new program or configuration serves."""
        before = set(server.pids())
        server.signal(signal, self.main)
        if self.speaks:
            return self.hear(patience(60))
        until = time.monotonic() + patience(30)
        while set(server.pids()) <= before and time.monotonic() < until:
            time.sleep(0.005)
        return not set(server.pids()) <= before


def reap(servers):
    """Those whose parent has ended are ours, where we are the first process."""
    started = {s.process.pid for s in servers if s.process.poll() is None}
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if not ended or ended.si_pid in started:
            return
        os.waitpid(ended.si_pid, 0)


class Visitor(threading.Thread):
    """New connections, one after the other; every one is to be had and answered."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number, self.over = server, number, threading.Event()
        self.count, self.failed, self.why = 0, 0, ''

    def visit(self):
        with self.server.dial(source=self.number * 1000 + self.count % 1000) as s:
            if ask(s, b'a request\n') != self.server.expect(b'a request\n'):
                raise OSError('an end instead of an answer')

    def run(self):
        while not self.over.is_set():
            self.count += 1
            try:
                self.visit()
            except OSError as e:
                self.failed += 1
                self.why = self.why or f' (first: {e})'


def lives(server, s):
    try:
        return ask(s, b'still here\n') == server.expect(b'still here\n')
    except OSError:
        return False


@row(14, 'reload', '0 failed under load, old connections live on', patience=1800)
def reloaded(at):
    if not at.reload_signal:
        raise Skip('no --reload signal')
    manager = Manager(at.folder)
    server = at.start(words={'reload': 'reload'}, env={'NOTIFY_SOCKET': manager.path})
    manager.hear(0.2)
    old = [server.dial() for _ in range(8)]
    alive = [lives(server, s) for s in old]
    visitors = [Visitor(server, k) for k in range(VISITORS)]
    for v in visitors:
        v.start()
    done, begun, most = 0, time.monotonic(), at.few(20, 1000)
    while done < most and manager.reload(server, at.reload_signal):
        done += 1
        alive = [a and lives(server, s) for a, s in zip(alive, old)]
        reap(at.servers)
    took = time.monotonic() - begun
    for v in visitors:
        v.over.set()
        v.join()
    count, failed = sum(v.count for v in visitors), sum(v.failed for v in visitors)
    why = next((v.why for v in visitors if v.why), '')
    good = done == most and not failed and all(alive)
    each = took / max(done, 1)
    return good, (f'{failed} of {count:,} failed{why} in {done:,} reloads, {each:.2f} s each; '
                  f'{sum(alive)} of {len(old)} old connections live')
