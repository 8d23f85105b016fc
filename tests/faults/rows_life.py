"""rows_life.py - the server's life and time: 12, 13, 15, 20, 21, 38."""
import glob
import os
import random
import re
import subprocess
import threading
import time

from chaos import chaos
from client import ask, close_all, crowd, noise, receive, talk, visits
from row import Skip, row


@row(12, 'kill -9, restart at once', '< 100 ms to first answer, never EADDRINUSE')
def killed(at):
    took, failed = [], 0
    for _ in range(at.few(3, 10)):
        server = at.start()
        clients, _ = crowd(server.port, 20, b'hello\n')
        visits(server, 20)
        for s in clients:  # a client's end is not the server's
            s.send(b'x')
        begun = time.monotonic()
        server.kill()
        again = at.begin(at.command, server.words, ready=False)
        try:
            again.await_answer()
            took.append((time.monotonic() - begun) * 1000)
        except Exception:
            failed += 1
        close_all(clients)
        at.end()
    return not failed and max(took) < 100, f'{max(took, default=0):.0f} ms, {failed} failed'


def sent_then_stopped(at, count):
    """A burst of requests, then the signal; lost requests, exit status, seconds."""
    server = at.start()
    old = [server.dial() for _ in range(count // 4)]
    for s in old:
        ask(s, b'warm\n')
    new = []
    for k in range(count - len(old)):
        s = server.dial(source=k // 200)
        new.append(s)
        s.send(b'a request\n')
    for s in old:
        s.send(b'a request\n')
    begun = time.monotonic()
    server.signal(at.stop_signal)
    lost = 0
    for s in old + new:
        try:
            lost += receive(s, 10) != server.expect(b'a request\n')
        except OSError:
            lost += 1
        s.close()
    status = server.ended(12)
    return lost, status, time.monotonic() - begun


def stubborn(at):
    """A client that stays: seconds from the second signal to the end."""
    server = at.start()
    with server.dial() as s:
        ask(s, b'I stay\n')
        server.signal(at.stop_signal)
        if server.ended(0.5) is not None:
            return 0
        begun = time.monotonic()
        server.signal('TERM')
        server.ended(12)
    return time.monotonic() - begun


@row(13, 'SIGTERM', '0 accepted requests lost, exit 0 in < 10 s, second signal at once')
def stopped(at):
    lost, asked, statuses, longest = 0, 0, set(), 0
    count = 4000 if at.requests else at.few(100, 400)
    while asked < (at.requests or at.few(200, 6000)):
        one, status, seconds = sent_then_stopped(at, count)
        lost, asked, longest = lost + one, asked + count, max(longest, seconds)
        statuses.add('does not end' if status is None else str(status))
        at.end()
    second = stubborn(at)
    good = lost == 0 and statuses == {'0'} and longest < 10 and second < 1
    return good, (f'{lost:,} lost of {asked:,}, exit {"/".join(sorted(statuses))} in '
                  f'{longest:.1f} s, second {second:.2f} s')


class Pausing(threading.Thread):
    """SIGSTOP and SIGCONT, many times a second."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.over, self.count = server, threading.Event(), 0

    def run(self):
        while not self.over.wait(0.01):
            self.server.signal('STOP')
            time.sleep(0.002)
            self.server.signal('CONT')
            self.count += 1


@row(15, 'STOP and CONT, EINTR', '0 wrong')
def paused(at):
    server, data, wrong = at.start(), noise(1 << 20, 15), 0
    pausing = Pausing(server)
    pausing.start()
    until = time.monotonic() + at.few(1.5, 6)
    while time.monotonic() < until:
        with server.dial() as s:
            wrong += talk(s, data, server.expect(data), lambda: random.randrange(1, 60000))
    pausing.over.set()
    pausing.join()
    return wrong == 0 and server.alive(), f'{wrong} wrong in {pausing.count} pauses'


@row(20, 'port taken', 'refused in < 50 ms, exit != 0, names port, pid, program')
def taken(at):
    first = at.start()
    second = at.begin(at.command, first.words, ready=False)
    status = second.ended(3)
    took = (time.monotonic() - second.started) * 1000
    if status is None:
        return False, 'a second copy runs on the same port'
    calm, said, pid = bare_start(), second.said(), first.process.pid
    with open(f'/proc/{pid}/comm', encoding='ascii') as f:
        program = f.read().strip()
    names = [word for word, pattern in (
        ('port', rf'\b{first.port}\b'), ('pid', rf'(?i)\b(pid|process)\W{{0,2}}{pid}\b'),
        ('program', rf'(by|is|has) \W?{re.escape(program)}\b')) if re.search(pattern, said)]
    good = status != 0 and took < 50 + calm and len(names) == 3
    return good, (f'exit {status} in {took:.0f} ms ({calm:.0f} of true), '
                  f'names {", ".join(names) or "nothing"}')


def bare_start():
    """What it takes this busy machine to start a program that does nothing: milliseconds."""
    begun = time.monotonic()
    subprocess.run(['true'], check=True, preexec_fn=time.monotonic)
    return (time.monotonic() - begun) * 1000


def faketime():
    for name in ('libfaketimeMT.so.1', 'libfaketime.so.1'):
        for path in glob.glob(f'/usr/lib/*/faketime/{name}'):
            return path
    raise Skip('no libfaketime here')


@row(21, 'wall clock jumps', '0 broken')
def clock(at):
    """By a preloaded library: this machine's own clock is others', too.  Its MONOTONIC_FIX is for
    older C libraries: with this one pthread_cond_timedwait(3) by CLOCK_MONOTONIC ends at once."""
    name = os.path.join(at.folder, 'clock')

    def jump(text):
        with open(name + '.new', 'w', encoding='ascii') as f:
            f.write(text)
        os.rename(name + '.new', name)
    jump('+0')
    server = at.start(env={
        'LD_PRELOAD': faketime(), 'FAKETIME_TIMESTAMP_FILE': name, 'FAKETIME_NO_CACHE': '1',
        'FAKETIME_DONT_FAKE_MONOTONIC': '1', 'FAKETIME_FORCE_MONOTONIC_FIX': '0'})
    old, worst, failed, count = server.dial(), 0, 0, 0
    for text in ('+1y', '-1y', '+0', '+1h', '-10y', '+20y', '+0') * at.few(1, 3):
        jump(text)
        for _ in range(20):
            begun = time.monotonic()
            failed += ask(old, b'what time is it\n') != server.expect(b'what time is it\n')
            failed += visits(server, 1)[1]
            worst = max(worst, (time.monotonic() - begun) * 1000)
            count += 2
    percent = server.cpu_percent(1)
    old.close()
    good = failed == 0 and worst < 250 and percent < 5
    return good, f'{failed} of {count} failed, longest {worst:.0f} ms, then {percent:.1f} % CPU'


@row(38, 'chaos soak', '0 wrong, 0 lost, fds +0, memory < +1 MiB')
def soak(at):
    server = at.start()
    chaos(server, 2)
    server.fds_back(0, 0.5)
    memory, fds = server.memory(), server.fds()
    count, wrong = chaos(server, min(at.seconds, 4) if at.quick else at.seconds)
    left = server.fds_back(fds)
    grown = (server.memory() - memory) / (1 << 20)
    good = wrong == 0 and left <= 0 and grown < 1
    return good, f'{wrong} wrong of {count:,} visits, fds {left:+}, memory {grown:+.1f} MiB'
