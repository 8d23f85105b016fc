"""rows_limit.py - too little of something: 9, 18, 27, 32, 34."""
import contextlib
import glob
import os
import platform
import re
import resource
import select
import shlex
import shutil
import subprocess
import time

from client import ask, close_all, crowd, time_of
from net import have
from refuse import NUMBERS, refuse_io_uring
from row import Skip, row

MIB = 1 << 20


def answered(clients):
    """Those of them whose answer is there, and those whom the server has closed."""
    poll = select.poll()
    for s in clients:
        poll.register(s, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(0)}
    good, gone = [], []
    for s in clients:
        if s.fileno() in ready:
            try:
                (good if s.recv(100) else gone).append(s)
            except OSError:
                gone.append(s)
    return good, gone


@row(9, 'descriptor limit', '< 1 % CPU, old served, back < 50 ms, 1 log line/s')
def descriptors(at):
    """More clients than descriptors: the old ones talk on (50 answers a second may cost 0.5 %),
    then some of them leave."""
    server = at.start(limits=[(resource.RLIMIT_NOFILE, 256)])
    clients = []
    for _ in range(5):
        clients += crowd(server.port, 80, seconds=2)[0]
    for s in clients:
        with contextlib.suppress(OSError):  # who has not been let in yet waits, like others
            s.send(b'me\n')
        s.settimeout(5)
    time.sleep(1)
    good, shed = answered(clients)
    if not good:
        return False, f'{len(shed)} closed, nobody served'
    waiting = [s for s in clients if s not in set(good) | set(shed)]
    old, worst, wrong = good[0], 0, 0

    def meanwhile():
        nonlocal worst, wrong
        try:
            answer, took = time_of(ask, old, b'still there?\n')
            worst, wrong = max(worst, took), wrong + (answer != server.expect(b'still there?\n'))
        except OSError:
            wrong += 1
    lines = server.said().count('\n')
    percent = server.cpu_percent(3, meanwhile)
    lines = server.said().count('\n') - lines
    back = room(server, good, waiting)
    close_all(clients)
    told = 1 <= lines <= 6 or len(good) == len(clients)  # who is not at the limit has no news
    fine = percent < 1.5 and not wrong and back < 50 and told and server.alive()
    return fine, (f'{percent:.1f} % CPU, old {worst:.0f} ms, back {back:.0f} ms, {lines / 3:.0f} '
                  f'lines/s, {len(good)} served, {len(waiting)} wait, {len(shed)} closed')


def room(server, good, waiting):
    """Let fifty go: the milliseconds until one who waited (or else a new client) is answered."""
    begun = time.monotonic()
    close_all(good[1:51])
    if waiting:
        poll = select.poll()
        for s in waiting:
            poll.register(s, select.POLLIN)
        if not poll.poll(5000) or not answered(waiting)[0]:
            return float('inf')
    elif not server.answers():
        return float('inf')
    return (time.monotonic() - begun) * 1000


@row(18, 'malloc fails', 'no crash, no leak, for every k')
def no_memory(_at):
    raise Skip("the library's own: tests/alloc")


def memory_group():
    """An empty cgroup of our own with a limit of 64 MiB: its folder."""
    with open('/proc/self/cgroup', encoding='ascii') as f:
        lines = [line.rstrip('\n').split(':', 2) for line in f]
    for _, kinds, path in lines:
        if kinds not in ('', 'memory'):
            continue
        base = '/sys/fs/cgroup' + ('/memory' if kinds else '') + path.rstrip('/')
        name = 'memory.limit_in_bytes' if kinds else 'memory.max'
        folder = f'{base}/survive-{os.getpid()}-{time.time_ns()}'
        try:
            os.mkdir(folder)
        except OSError:
            continue
        try:
            with open(f'{folder}/{name}', 'w', encoding='ascii') as f:
                f.write(str(64 * MIB))
            return folder
        except OSError:
            os.rmdir(folder)
    raise Skip('no memory cgroup may be made here')


@row(27, 'memory limit 64 MiB', '2,000 clients, not killed, answered throughout')
def little_memory(at):
    folder = memory_group()

    def enter():
        with open(f'{folder}/cgroup.procs', 'w', encoding='ascii') as f:
            f.write('0')
    try:
        server = at.start(before=enter)
        with server.dial() as old:
            clients, took = crowd(server.port, 2000, b'x' * 2000 + b'\n', seconds=10)
            good = ask(old, b'old\n') == server.expect(b'old\n')
        alive = server.alive() and server.answers()
        close_all(clients)
        at.end()
    finally:
        os.rmdir(folder)
    word = 'lives' if alive else 'killed'
    return alive and good and len(took) == 2000, f'{word}, {len(took):,} of 2,000 answered'


@row(32, 'io_uring refused', '0 fatal: it falls back')
def no_ring(at):
    if platform.machine() not in NUMBERS:
        raise Skip('no number for the system call')
    if 'uring' in at.command:
        raise Skip('it is asked for by name')
    server = at.start(before=refuse_io_uring, env={'STOA_BACKEND': ''})
    good = server.answers()
    return good, 'serves' if good else 'does not serve'


@row(34, 'ELF hardening', '8/8')
def hardening(at):
    path = shutil.which(shlex.split(at.command)[0]) or ''
    if have('readelf') or not path:
        raise Skip('no readelf here')
    with open(path, 'rb') as f:
        if f.read(4) != b'\x7fELF':
            raise Skip('a script')
    text = subprocess.run(['readelf', '-W', '-h', '-l', '-d', '-n', '--dyn-syms', path],
                          capture_output=True, text=True, check=True).stdout
    found = {
        'PIE': 'DYN (' in text, 'RELRO': 'GNU_RELRO' in text and 'NOW' in text,
        'NX': re.search(r'GNU_STACK.* RW ', text), 'canary': '__stack_chk_fail' in text,
        'FORTIFY': re.search(r'__\w+_chk@', text), 'no RPATH': not re.search(r'R(UN)?PATH\)', text),
        'no W+X': not re.search(r'LOAD .* RWE ', text), 'IBT': 'IBT' in text}
    missing = [name for name, good in found.items() if not good]
    good = not missing or missing == ['IBT'] and not system_has_ibt()
    return good, f'{8 - len(missing)}/8' + (f': not {", ".join(missing)}' if missing else '')


def system_has_ibt():
    """The mark needs every object of a program; not every system's crt1.o has it."""
    objects = glob.glob('/usr/lib/*/Scrt1.o') + glob.glob('/usr/lib*/Scrt1.o')
    return all('IBT' in subprocess.run(['readelf', '-n', path], capture_output=True, text=True,
                                       check=False).stdout for path in objects)
