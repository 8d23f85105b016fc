#!/usr/bin/env python3
"""reload.py - SIGUSR2: the next `stoa serve` takes over, and nobody notices.

The program is started by a name in a folder of ours, so that what is started anew can be another
file: one that fails, or one that waits until the test has done something.  Clients who are in the
queue for certain are there because the old server may have no more connections.  No test waits
but for an event.  Its one argument is the folder of the build.  TAP.
"""
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

from backends import backends

# AddressSanitizer's words about stacks that it does not know.
SANITIZER = re.compile(rb'==\d+==WARNING|False positive error|For details see')
PATIENCE = 60
KINDS = [[], ['--processes', '3']]
TOOL = ''


class Server:
    """`stoa serve` that is ready, and those that take over; all ended when it is left."""

    def __init__(self, at, *words, handler=('upper',), env=None, start=(), pass_fds=()):
        self.folder = tempfile.TemporaryDirectory()
        self.program = os.path.join(self.folder.name, 'server')
        self.fifo = os.path.join(self.folder.name, 'fifo')
        os.symlink(TOOL, self.program)
        reads, writes = os.pipe()
        self.process = subprocess.Popen(
            [*start, self.program, 'serve', *handler, at.replace('{folder}', self.folder.name),
             '--json', '--ready-fd', str(writes),
             *(word.replace('{folder}', self.folder.name) for word in words)],
            pass_fds=[writes, *pass_fds], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})}, start_new_session=True)
        os.close(writes)
        self.log = b''
        with open(reads, encoding='ascii') as file:
            self.at = file.read().strip()
        assert self.at, self.process.stderr.read()
        self.event('listening')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stderr.close()
        self.folder.cleanup()

    def event(self, name):
        """The next line of the log that tells of this; "said" is one that is no object."""
        while True:
            while b'\n' not in self.log:
                assert select.select([self.process.stderr], [], [], PATIENCE)[0], f'no {name}'
                more = os.read(self.process.stderr.fileno(), 65536)
                assert more, f'the log ends before {name}'
                self.log += more
            line, self.log = self.log.split(b'\n', 1)
            if SANITIZER.match(line):
                continue
            event = {'event': 'said', 'what': line.decode()}
            if line[:1] == b'{':
                event = json.loads(line)
            if event['event'] == name:
                return event

    def says(self, *parts):
        what = self.event('said')['what']
        assert all(part in what for part in parts), (what, parts)

    def reload(self, pid=None):
        """Tell a process to hand over; the new one's number."""
        os.kill(pid or self.process.pid, signal.SIGUSR2)
        return self.event('handed_over')['pid']

    def dial(self):
        if self.at.startswith('unix:'):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(PATIENCE)
            s.connect(self.at.removeprefix('unix:'))
            return s
        return socket.create_connection(('127.0.0.1', int(self.at.rsplit(':', 1)[1])), PATIENCE)

    def serves(self):
        with self.dial() as s:
            return answers(s)

    def becomes(self, script):
        """What is started anew is another file now."""
        new = self.program + '.new'
        with open(new, 'w', encoding='ascii') as file:
            file.write('#!/bin/sh\n' + script.format(tool=TOOL, fifo=self.fifo))
        os.chmod(new, 0o755)
        os.rename(new, self.program)

    def becomes_slow(self):
        """One that says `waiting`, and goes on when the fifo is written to."""
        os.mkfifo(self.fifo)
        self.becomes('echo waiting >&2\nread -r line <{fifo}\nexec {tool} "$@"\n')

    def becomes_itself(self):
        os.remove(self.program)
        os.symlink(TOOL, self.program)

    def ended(self):
        return self.process.wait(PATIENCE)


def answers(s, question=b'question'):
    s.sendall(question)
    return hears(s, question)


def hears(s, question=b'question'):
    got = b''
    while len(got) < len(question):
        part = s.recv(100)
        if not part:
            return False
        got += part
    return got == question.upper()


def end(pid):
    os.kill(pid, signal.SIGTERM)
    until(lambda: gone(pid), f'{pid} does not end')


def until(what, failure):
    end_at = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end_at, failure
        time.sleep(0.002)


def gone(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii') as file:
            return file.read().rsplit(')', 1)[1].split()[0] in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return True


# --- nobody notices -----------------------------------------------------------------------

def queue(backend, at, kind):
    """The old one may have no more; the new one must serve who waits."""
    most = '3' if kind else '1'
    with Server(at, '--max-conns', most, '--backend', backend, *kind) as server:
        with server.dial() as guest:
            assert answers(guest)
            waiting = [server.dial() for _ in range(40)]
            for s in waiting:
                s.sendall(b'waits')
            pid = server.reload()
            left = waiting
            while left:  # the new one may have no more at a time, too
                ready = select.select(left, [], [], PATIENCE)[0]
                assert ready, f'{len(left)} wait for ever'
                for s in ready:
                    assert hears(s, b'waits')
                    s.close()
                left = [s for s in left if s not in ready]
            assert answers(guest)
        assert server.ended() == 0
        assert server.serves()
        end(pid)


def generations(backend, kind):
    """The connections of each live on; the log and --ready-fd are as one expects."""
    with Server('127.0.0.1:0', '--backend', backend, *kind) as server:
        guests, pid = [], server.process.pid
        for _ in range(4):
            guests.append(server.dial())
            assert answers(guests[-1])
            pid = server.reload(pid)
            assert all(answers(s) for s in guests)
        for s in guests:
            s.close()
        assert server.ended() == 0
        assert server.serves()
        end(pid)


def stop_after(backend, kind):
    """Who has handed over ends by SIGTERM with its time limit, and the new one is not touched."""
    with Server('127.0.0.1:0', '--backend', backend, '--drain-timeout', '50ms', *kind) as server:
        with server.dial() as guest:
            assert answers(guest)
            pid = server.reload()
            os.kill(server.process.pid, signal.SIGUSR2)
            server.says(f'SIGUSR2: process {pid} has taken over already')
            assert answers(guest)
            server.process.send_signal(signal.SIGTERM)
            assert server.ended() == 0
            assert guest.recv(1) == b''
        assert server.serves()
        end(pid)


def own_again():
    """One that has taken over drains like any other: the listeners are its own."""
    with Server('127.0.0.1:0', '--max-conns', '1') as server:
        pid = server.reload()
        assert server.ended() == 0
        guest = server.dial()
        assert answers(guest)
        waiting = [server.dial() for _ in range(10)]
        for s in waiting:
            s.sendall(b'waits')
        os.kill(pid, signal.SIGTERM)
        server.event('stopping')
        guest.close()
        for s in waiting:
            assert hears(s, b'waits')
            s.close()
        until(lambda: gone(pid), 'it does not end')


def path(kind):
    """The path is the new one's, which removes it."""
    with Server('unix:{folder}/socket', *kind) as server:
        name = server.at.removeprefix('unix:')
        pid = server.reload()
        assert server.ended() == 0
        assert os.path.exists(name)
        assert server.serves()
        end(pid)
        assert not os.path.exists(name)


def next_free():
    """What was taken instead of the address is handed over, and not looked for again."""
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        with Server(f'127.0.0.1:{other.getsockname()[1]}', '--next-free') as server:
            other.close()
            pid = server.reload()
            assert server.ended() == 0
            assert server.serves()
            end(pid)


def other_file():
    """The file that has the name now is started, with the same words."""
    with Server('127.0.0.1:0') as server:
        server.becomes('echo "the new one: $*" >&2\nexec {tool} "$@"\n')
        os.kill(server.process.pid, signal.SIGUSR2)
        server.says('the new one: serve upper 127.0.0.1:0 --json --ready-fd')
        pid = server.event('handed_over')['pid']
        assert server.serves()
        end(pid)


def commands():
    """exec's commands have nothing of what the server was told."""
    with Server('127.0.0.1:0', handler=('exec', 'env; ls /proc/self/fd')) as server:
        pid = server.reload()
        with server.dial() as s, s.makefile() as file:
            said = file.read().splitlines()
        assert not [w for w in said if w.startswith(('LISTEN_', 'STOA_HANDOVER'))], said
        assert len([w for w in said if w.isdigit()]) == 4, said  # ls has one for the folder
        end(pid)


# --- it fails -----------------------------------------------------------------------------

def fails(kind):
    """A new program that does not serve: one line, and the old one serves on."""
    with Server('127.0.0.1:0', *kind) as server:
        guest = server.dial()
        assert answers(guest)
        for script, parts in (('exit 3\n', ['it ended with status 3 before it served']),
                              ('kill -9 $$\n', ['it was ended by signal 9 before it served']),
                              ('exec {tool} serve nonsense\n', ['no handler'])):
            server.becomes(script)
            os.kill(server.process.pid, signal.SIGUSR2)
            server.says(*parts)
            if 'no handler' in parts:
                server.says('Try ')
                server.says('it ended with status 2 before it served')
            assert answers(guest) and server.serves()
        os.remove(server.program)
        os.kill(server.process.pid, signal.SIGUSR2)
        server.says('stoa serve: hand_over ', 'No such file or directory; this process serves on')
        assert answers(guest) and server.serves()
        os.symlink(TOOL, server.program)
        pid = server.reload()
        assert answers(guest) and server.serves()
        end(pid)


def twice(kind):
    """A second SIGUSR2, while one is under way, is told and does nothing."""
    with Server('127.0.0.1:0', *kind) as server:
        server.becomes_slow()
        os.kill(server.process.pid, signal.SIGUSR2)
        server.says('waiting')
        os.kill(server.process.pid, signal.SIGUSR2)
        server.says('SIGUSR2: a new process has been started already, and is waited for')
        assert server.serves()
        with open(server.fifo, 'w', encoding='ascii') as file:
            file.write('go on\n')
        pid = server.event('handed_over')['pid']
        assert server.ended() == 0
        assert server.serves()
        end(pid)


def stopped(kind):
    """SIGTERM, while one is under way, ends both."""
    with Server('127.0.0.1:0', *kind) as server:
        server.becomes_slow()
        os.kill(server.process.pid, signal.SIGUSR2)
        server.says('waiting')
        assert server.serves()
        server.process.send_signal(signal.SIGTERM)
        server.says('this process is to stop')
        assert server.ended() == 0
        rest = server.log + server.process.stderr.read()  # to its end: nobody has it open
        assert b'handed_over' not in rest, rest


def datagrams():
    with Server('udp://127.0.0.1:0') as server:
        os.kill(server.process.pid, signal.SIGUSR2)
        server.says('this process has no listener; this process serves on')
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0


# --- a service manager --------------------------------------------------------------------

class Manager:
    """What a service manager does: sockets at 3 and on, and a socket to be told on."""

    def __init__(self, *sockets):
        self.folder = tempfile.TemporaryDirectory()
        self.told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.told.settimeout(PATIENCE)
        name = os.path.join(self.folder.name, 'notify')
        self.told.bind(name)
        moves = ' '.join(f'{3 + i}<&{s.fileno()}' for i, s in enumerate(sockets))
        self.how = {
            'env': {'NOTIFY_SOCKET': name},
            'pass_fds': [s.fileno() for s in sockets],
            'start': ['bash', '-c', f'exec {moves}; export LISTEN_PID=$$; export '
                      f'LISTEN_FDS={len(sockets)}; exec "$@"', '-'] if sockets else [],
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.told.close()
        self.folder.cleanup()

    def hears(self, want):
        got = self.told.recv(4096).decode()
        assert got.startswith(want), (got, want)


def listener(at=('127.0.0.1', 0), family=socket.AF_INET, high=50):
    """Listening, at a high descriptor: 3 and on are to be free."""
    with socket.socket(family) as s:
        s.bind(at)
        s.listen()
        return socket.socket(fileno=fcntl.fcntl(s.fileno(), fcntl.F_DUPFD_CLOEXEC, high))


def managed(kind):
    """READY=1, RELOADING=1, MAINPID=, STOPPING=1, in their order."""
    with Manager() as manager, Server('127.0.0.1:0', *kind, **manager.how) as server:
        manager.hears('READY=1')
        pid = server.reload()
        manager.hears('RELOADING=1\nMONOTONIC_USEC=')
        manager.hears(f'MAINPID={pid}\nREADY=1')
        server.becomes('exit 3\n')
        os.kill(pid, signal.SIGUSR2)
        server.says('it ended with status 3')
        manager.hears('RELOADING=1')
        manager.hears('READY=1')
        os.kill(pid, signal.SIGTERM)
        manager.hears('STOPPING=1')


def activated(kind, fd):
    """A socket unit: the socket is the manager's, before, meanwhile and after."""
    with listener() as s, Manager(s) as manager:
        early = socket.create_connection(s.getsockname(), PATIENCE)
        early.sendall(b'early')
        at = 'fd:3' if fd else '127.0.0.1:%d' % s.getsockname()[1]
        with Server(at, *kind, **manager.how) as server:
            assert hears(early, b'early')
            pid = server.process.pid
            for _ in range(2):
                pid = server.reload(pid)
                assert server.serves()
            early.close()
            assert server.ended() == 0
            end(pid)
            late = server.dial()  # it is in the manager's queue
            late.sendall(b'late')
            with Server(at, *kind, **manager.how):
                assert hears(late, b'late')
            late.close()


def activated_path(kind):
    """A path that the manager has made is not ours to remove."""
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, 'socket')
        with listener(name, socket.AF_UNIX) as s, Manager(s) as manager, \
                Server('unix:' + name, *kind, **manager.how) as server:
            pid = server.reload()
            assert server.ended() == 0
            assert server.serves()
            end(pid)
            assert os.path.exists(name)


def begun_late():
    """Processes of which some do not serve yet: they have one processor, and are stopped at once.
    When they go on they are to let go, and do.  Of 16 one is late in a quarter of the rounds."""
    start = ('taskset', '-c', str(min(os.sched_getaffinity(0))))
    for _ in range(6):
        with Server('unix:{folder}/socket', '--processes', '16', start=start) as server:
            pid = server.process.pid
            with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
                children = list(map(int, file.read().split()))
            for child in children:
                os.kill(child, signal.SIGSTOP)
            pid = server.reload()
            for child in children:
                os.kill(child, signal.SIGCONT)
            assert server.ended() == 0
            end(pid)


def control(kind):
    """Its paths are handed over, too: they are there all the time, and removed in the end."""
    with Server('127.0.0.1:0', '--control', '{folder}/control', *kind) as server:
        paths = [os.path.join(server.folder.name, 'control' + number)
                 for number in (['.1', '.2', '.3'] if kind else [''])]

        def shown():
            tops = [subprocess.run([TOOL, 'top', name, '--json'], capture_output=True, check=False,
                                   timeout=PATIENCE).stdout for name in paths]
            return all(b'"event":"server"' in top for top in tops)

        until(shown, 'stoa top sees nothing')
        pid = server.reload()
        assert server.ended() == 0
        until(shown, 'stoa top does not see the new one')
        assert server.serves()
        end(pid)
        assert not any(os.path.exists(name) for name in paths)


def bad_notify_socket():
    with Server('127.0.0.1:0', env={'NOTIFY_SOCKET': '/no/such/socket'}) as server:
        assert server.serves()
        server.process.send_signal(signal.SIGTERM)
        server.says('NOTIFY_SOCKET /no/such/socket: No such file or directory')
        assert server.ended() == 0


def main(build):
    global TOOL
    TOOL = os.path.abspath(build + '/src/cli/stoa')
    there = backends(TOOL)
    named = [(kind, 'processes, ' if kind else '') for kind in KINDS]
    tests = [(f'{backend}, {words}{at[:4]}: nobody in a queue is lost', queue, backend, at, kind)
             for backend in there for kind, words in named
             for at in ('127.0.0.1:0', 'unix:{folder}/socket')]
    tests += [(f'{backend}, {words}old connections live on across four', generations, backend, kind)
              for backend in there for kind, words in named]
    tests += [(f'{backend}, {words}SIGTERM ends what is left', stop_after, backend, kind)
              for backend in there for kind, words in named]
    for kind, words in named:
        tests += [
            (f'{words}a path is the new one\'s', path, kind),
            (f'{words}stoa top sees the new one', control, kind),
            (f'{words}a program that fails changes nothing', fails, kind),
            (f'{words}a second SIGUSR2 meanwhile is told', twice, kind),
            (f'{words}SIGTERM meanwhile ends both', stopped, kind),
            (f'{words}the manager is told', managed, kind),
            (f'{words}a manager\'s socket, by its address', activated, kind, False),
            (f'{words}a manager\'s socket, by its number', activated, kind, True),
            (f'{words}a manager\'s path stays', activated_path, kind),
        ]
    tests += [
        ('one that has taken over drains its queue', own_again),
        ('processes that do not serve yet let go', begun_late),
        ('--next-free is not asked again', next_free),
        ('the file is looked up anew', other_file),
        ('commands of exec have nothing of it', commands),
        ('UDP has nothing to hand over', datagrams),
        ('a manager that cannot be told', bad_notify_socket),
    ]
    failed = 0
    print(f'TAP version 13\n1..{len(tests)}')
    for i, (name, test, *args) in enumerate(tests, 1):
        since = time.monotonic()
        try:
            test(*args)
            print(f'# {time.monotonic() - since:.2f} s')
            print(f'ok {i} - {name}', flush=True)
        except Exception:  # whatever it is, the others are to be run
            failed += 1
            print('# ' + traceback.format_exc().rstrip().replace('\n', '\n# '))
            print(f'not ok {i} - {name}', flush=True)
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
