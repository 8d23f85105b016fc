#!/usr/bin/env python3
"""processes.py - `stoa serve --processes`: who crashes is replaced, and nobody else notices.

A process that is stopped (SIGSTOP) accepts nobody, so clients that come then are in its queue for
certain when it is killed.  What a process has had is told by the log.  No test waits but for an
event.  Its one argument is the folder of the build.  TAP.
"""
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from backends import backends

# A sanitizer would make an exit of a crash.
CRASHES = {name: os.environ.get(name, '') + ':handle_segv=0'
           for name in ('ASAN_OPTIONS', 'TSAN_OPTIONS', 'UBSAN_OPTIONS')}
PATIENCE = 60
QUICK_MS = 1000


class Server:
    """`stoa serve upper` that is ready; ended when it is left."""

    def __init__(self, build, at, *words):
        reads, writes = os.pipe()
        self.process = subprocess.Popen(
            ['env', '--default-signal=INT', build + '/src/cli/stoa', 'serve', 'upper', at, '--json',
             '--ready-fd', str(writes), *words], pass_fds=[writes], stderr=subprocess.PIPE,
            env={**os.environ, **CRASHES})
        self.pid = self.process.pid
        os.close(writes)
        with open(reads, encoding='ascii') as file:
            lines = file.read().splitlines()  # to its end: no process keeps it open
        assert len(lines) == 1, lines
        self.at = lines[0]
        self.log = b''
        self.seen = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        left = self.children()
        self.process.kill()
        self.process.wait()
        for pid in left:
            until(lambda pid=pid: gone(pid), 'a process has outlived its supervisor')
        self.process.stderr.close()

    def children(self):
        try:
            with open(f'/proc/{self.pid}/task/{self.pid}/children', encoding='ascii') as file:
                pids = {int(pid) for pid in file.read().split()}
        except (FileNotFoundError, ProcessLookupError):
            pids = set()
        self.seen |= pids
        return sorted(pid for pid in pids if not gone(pid))

    def event(self, name):
        """The next line of the log that tells of this."""
        while True:
            while b'\n' not in self.log:
                assert select.select([self.process.stderr], [], [], PATIENCE)[0], f'no {name}'
                more = os.read(self.process.stderr.fileno(), 65536)
                assert more, f'the log ends before {name}'
                self.log += more
            line, self.log = self.log.split(b'\n', 1)
            event = json.loads(line)
            if event['event'] == name:
                return event

    def connect(self):
        if self.at.startswith('unix:'):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(PATIENCE)
            s.connect(self.at.removeprefix('unix:'))
            return s
        return socket.create_connection(('127.0.0.1', int(self.at.rsplit(':', 1)[1])), PATIENCE)

    def refuses(self):
        try:
            self.connect().close()
        except (ConnectionRefusedError, ConnectionResetError, FileNotFoundError):
            return True
        return False

    def ended(self):
        return self.process.wait(PATIENCE)


def until(what, failure):
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, failure
        time.sleep(0.002)


def state(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as file:
            return file.read().rsplit(')', 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return 'Z'


def gone(pid):
    return state(pid) in 'ZX'


def answers(s, question=b'question'):
    """True: answered.  False: ended or reset."""
    try:
        s.sendall(question)
        got = b''
        while len(got) < len(question):
            part = s.recv(100)
            if not part:
                return False
            got += part
    except ConnectionError:
        return False
    assert got == question.upper(), got
    return True


def freeze(pid):
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == 'T', 'SIGSTOP does nothing')


def crash(pid, sig):
    os.kill(pid, sig)
    if sig != signal.SIGKILL:
        os.kill(pid, signal.SIGCONT)  # what is pending comes first


def replaced(build, at, backend, sig):
    with Server(build, at, '--processes', '4', '--backend', backend) as server:
        before = server.children()
        assert len(before) == 4, before
        old = [server.connect() for _ in range(40)]
        assert all(answers(s) for s in old)
        victim = before[1]
        freeze(victim)
        new = [server.connect() for _ in range(40)]
        for s in new:
            s.sendall(b'queued')
        crash(victim, sig)
        for s in new:
            got = s.recv(100)
            assert got == b'QUEUED', got
        lost = server.event('lost')
        ended = sum(not answers(s) for s in old)
        assert (lost['pid'], lost['process']) == (victim, 2), lost
        assert lost['reason'] == 'killed by ' + sig.name, lost
        assert lost['connections'] == ended, (lost, ended)
        if at.startswith('127'):
            assert 0 < ended < 40, ended
        until(lambda: len(server.children()) == 4, 'no successor')
        after = server.children()
        assert set(before) - set(after) == {victim}, (before, after)
        server.process.send_signal(signal.SIGTERM)
        for s in old + new:
            s.close()
        assert server.ended() == 0


def crash_in_stop(build, backend):
    """A process that crashes while it is to empty its queue has a successor that does."""
    with Server(build, '127.0.0.1:0', '--processes', '2', '--backend', backend) as server:
        victim = server.children()[0]
        freeze(victim)
        queued = [server.connect() for _ in range(40)]
        server.process.send_signal(signal.SIGTERM)
        server.event('stopping')
        crash(victim, signal.SIGKILL)
        for s in queued:
            assert answers(s), 'who was in the queue is lost'
            s.close()
        assert server.event('lost')['pid'] == victim
        assert server.ended() == 0


def pauses(build):
    """Who ends soon after its beginning again and again is not replaced at once."""
    with Server(build, '127.0.0.1:0', '--processes', '2') as server:
        kept, victim = server.children()
        quick = 0
        for _ in range(4):
            os.kill(victim, signal.SIGABRT)
            lost = server.event('lost')
            quick = quick + 1 if lost['ms'] < QUICK_MS else 0
            assert lost['reason'] == 'killed by SIGABRT' and lost['pid'] == victim, lost
            assert lost['pause_ms'] == (50 << quick if quick else 0), (quick, lost)
            until(lambda: len(server.children()) == 2, 'no successor')
            victim = next(pid for pid in server.children() if pid != kept)
        clients = [server.connect() for _ in range(20)]
        assert all(answers(s) for s in clients)
        for s in clients:
            s.close()


def second_signal(build, sig, code):
    with Server(build, '127.0.0.1:0', '--processes', '3', '--drain-timeout', '1h') as server:
        children = server.children()
        s = server.connect()
        assert answers(s)
        server.process.send_signal(sig)
        assert server.event('stopping')['connections'] == 1
        until(server.refuses, 'new clients come in after a stop')
        assert not any(gone(pid) for pid in server.children()) and answers(s)
        server.process.send_signal(sig)
        assert server.ended() == code, server.process.returncode
        for pid in children:
            until(lambda pid=pid: gone(pid), 'a process is left')
        assert not answers(s)


def no_orphans(build, at, backend):
    with Server(build, at, '--processes', '3', '--drain-timeout', '50ms',
                '--backend', backend) as server:
        children = server.children()
        s = server.connect()
        assert answers(s)
        server.process.kill()
        assert server.ended() == -signal.SIGKILL
        for pid in children:
            until(lambda pid=pid: gone(pid), 'a process has outlived its supervisor')
        assert server.refuses()
        assert not answers(s)


def queue_of_an_orphan(build, backend):
    """Who is in the queue when the supervisor dies is served, for no other will do it."""
    with Server(build, '127.0.0.1:0', '--processes', '1', '--max-conns', '1',
                '--backend', backend) as server:
        guest = server.connect()
        assert answers(guest)
        queued = [server.connect() for _ in range(10)]
        for s in queued:
            s.sendall(b'queued')
        server.process.kill()
        assert server.ended() == -signal.SIGKILL
        guest.close()
        while queued:
            ready = select.select(queued, [], [], PATIENCE)[0]
            assert ready, f'{len(queued)} wait for ever'
            for s in ready:
                assert s.recv(100) == b'QUEUED'
                s.close()
                queued.remove(s)


def signals_to_all(build):
    """A terminal's ctrl-C, or a service manager's SIGTERM, reaches the processes, too."""
    with Server(build, '127.0.0.1:0', '--processes', '2') as server:
        s = server.connect()
        assert answers(s)
        for pid in server.children():
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        assert answers(s)
        for pid in [server.pid, *server.children()]:
            os.kill(pid, signal.SIGINT)
        assert server.event('stopping')
        assert answers(s)
        s.close()
        assert server.ended() == 128 + signal.SIGINT


def max_conns(build):
    """The number is that of all processes together."""
    clients, most = 40, 3
    with Server(build, '127.0.0.1:0', '--processes', '2', '--max-conns', str(most)) as server:
        waiting = [server.connect() for _ in range(clients)]
        for s in waiting:
            s.sendall(b'question')
        while waiting:
            for s in select.select(waiting, [], [], PATIENCE)[0]:
                assert s.recv(100) == b'QUESTION'
                s.close()
                waiting.remove(s)
        server.process.send_signal(signal.SIGTERM)
        ids, there = set(), 0
        for line in server.process.stderr.read().splitlines():
            event = json.loads(line)
            there += {'came': 1, 'went': -1}.get(event['event'], 0)
            assert there <= most, there
            if event['event'] == 'came':
                ids.add(event['conn'])
        assert ids == set(range(1, clients + 1)), ids
        assert server.ended() == 0


def taken(build):
    with Server(build, '127.0.0.1:0', '--processes', '2') as server:
        other = subprocess.run([build + '/src/cli/stoa', 'serve', 'upper', server.at, '--processes',
                                '2'], stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        assert other.returncode == 8, other
        assert server.at.removeprefix('tcp://').encode() in other.stderr, other


def datagrams(build):
    with Server(build, 'udp://127.0.0.1:0', '--processes', '3') as server:
        where = ('127.0.0.1', int(server.at.rsplit(':', 1)[1]))

        def ask(s):
            s.settimeout(PATIENCE)
            s.sendto(b'question', where)
            assert s.recv(100) == b'QUESTION'

        sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(20)]
        for s in sockets:
            ask(s)
        victim = server.children()[0]
        freeze(victim)
        for s in sockets:
            s.sendto(b'queued', where)
        crash(victim, signal.SIGKILL)
        for s in sockets:
            assert s.recv(100) == b'QUEUED'
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0


def given(build):
    """fd:N is one listener for all."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        process = subprocess.Popen(
            [build + '/src/cli/stoa', 'serve', 'upper', f'fd:{listener.fileno()}', '--quiet',
             '--processes', '2'], pass_fds=[listener.fileno()])
        clients = [socket.create_connection(listener.getsockname(), PATIENCE) for _ in range(20)]
        assert all(answers(s) for s in clients)
        process.terminate()
        for s in clients:
            s.close()
        assert process.wait(PATIENCE) == 0


def main(build):
    there = backends(build + '/src/cli/stoa')
    with tempfile.TemporaryDirectory() as folder:
        path = f'unix:{folder}/socket'
        tests = [(f'{backend}, {at[:4]}: who waits in the queue of a process killed by {sig.name} '
                  'is served, the others notice nothing', replaced, at, backend, sig)
                 for backend in there
                 for at, sig in [('127.0.0.1:0', signal.SIGKILL), ('127.0.0.1:0', signal.SIGSEGV),
                                 (path, signal.SIGKILL)]]
        tests += [(f'{backend}, {at[:4]}: without the supervisor nobody serves', no_orphans, at,
                   backend) for backend in there for at in ('127.0.0.1:0', path)]
        tests += [(f'{backend}: who is in the queue when the supervisor dies is served',
                   queue_of_an_orphan, backend) for backend in there]
        tests += [(f'{backend}: a crash during a stop loses nobody in the queue', crash_in_stop,
                   backend) for backend in there]
        tests += [(f'a second {sig.name} ends all at once', second_signal, sig, 128 + sig)
                  for sig in (signal.SIGTERM, signal.SIGINT)]
        tests += [
            ('who crashes at once, again and again, is replaced after growing pauses', pauses),
            ('signals to all processes are the supervisor\'s', signals_to_all),
            ('--max-conns is that of all processes together', max_conns),
            ('a port that is in use is refused', taken),
            ('UDP: a process\'s datagrams are its successor\'s', datagrams),
            ('a listener that was given is shared', given),
        ]
        failed = 0
        print(f'TAP version 13\n1..{len(tests)}')
        for i, (name, test, *args) in enumerate(tests, 1):
            since = time.monotonic()
            try:
                test(build, *args)
                print(f'# {time.monotonic() - since:.2f} s')
                print(f'ok {i} - {name}', flush=True)
            except Exception:  # whatever it is, the others are to be run
                failed += 1
                print('# ' + traceback.format_exc().rstrip().replace('\n', '\n# '))
                print(f'not ok {i} - {name}', flush=True)
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
