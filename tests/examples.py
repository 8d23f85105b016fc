#!/usr/bin/env python3
"""examples.py FOLDER - runs the programs of examples/, built in FOLDER, as a reader would.

Each program is started with an address of its own, its output read from a terminal
(pty), and talked to with CPython's socket module.  A test waits for what it is
waiting for (a line, bytes, an end), with a limit, and never for a time.  Programs
that must listen on a port that was known before get a listener as `fd:3`: clients
can then connect before the program has started.
"""
import codecs
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import tty

LIMIT_SEC = 300
TESTS = []


def test(body):
    TESTS.append(body)
    return body


def check(condition, said):
    if not condition:
        raise AssertionError(said)


def same(got, wanted):
    check(got == wanted, f'got {got!r}, wanted {wanted!r}')


class Program:
    """A program of examples/, its output and errors on a terminal of its own."""

    def __init__(self, name, *args, pass_fds=()):
        self.seen = ''
        self.ended = False
        self.news = threading.Condition()
        self.terminal, slave = pty.openpty()
        tty.setraw(slave)
        self.process = subprocess.Popen(
            [os.path.join(FOLDER, name), *args], stdin=subprocess.PIPE, stdout=slave, stderr=slave,
            pass_fds=pass_fds)
        os.close(slave)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        os.close(self.terminal)

    def read(self):
        """The reader: takes what is printed at once, for a full terminal stops a program."""
        decoder = codecs.getincrementaldecoder('utf-8')('replace')
        data = b'x'
        while data:
            try:
                data = os.read(self.terminal, 65536)
            except OSError:  # EIO: the last writer has closed the terminal
                data = b''
            with self.news:
                self.seen += decoder.decode(data)
                self.ended = not data
                self.news.notify()

    def expect(self, pattern):
        """Wait until the pattern has been printed; what is before it is done with."""
        with self.news:
            self.news.wait_for(lambda: self.ended or re.search(pattern, self.seen), LIMIT_SEC)
            found = re.search(pattern, self.seen)
            check(found, f'no {pattern!r} in {self.seen!r}, ended: {self.ended}')
            self.seen = self.seen[found.end():]
            return found

    def ends(self, status):
        """Wait for the program's end; gives the rest of what it printed."""
        with self.news:
            check(self.news.wait_for(lambda: self.ended, LIMIT_SEC), f'runs on: {self.seen!r}')
        same(self.process.wait(LIMIT_SEC), status)
        return self.seen

    def where(self):
        """The port of `... on tcp://127.0.0.1:PORT`."""
        return int(self.expect(r' on (?:tcp|udp)://127\.0\.0\.1:(\d+)\n')[1])

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()


def client(port):
    return socket.create_connection(('127.0.0.1', port), LIMIT_SEC)


def listener():
    s = socket.create_server(('127.0.0.1', 0))
    s.settimeout(LIMIT_SEC)
    return s, '127.0.0.1:%d' % s.getsockname()[1]


def exactly(s, n):
    data = b''
    while len(data) < n:
        more = s.recv(n - len(data))
        check(more, f'the stream ended after {data!r}')
        data += more
    return data


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()


def talk(s, text):
    s.sendall(text.encode())
    same(exactly(s, len(text.encode())).decode(), re.sub('[a-z]+', lambda m: m[0].upper(), text))


@test
def example_01_answers_in_upper_case_and_ends_with_its_client():
    with Program('01_server', '127.0.0.1:0') as p, client(p.where()) as s:
        p.expect(r'client tcp://127\.0\.0\.1:%d\n' % s.getsockname()[1])
        talk(s, 'hello')
        p.expect('server====> hello\n')
        talk(s, '你好, world')
        p.expect('server====> 你好, world\n')
        s.close()
        same(p.ends(0), '')


@test
def example_01_says_why_it_cannot_listen():
    taken, at = listener()
    with taken, Program('01_server', at) as p:
        check(at in p.ends(1), 'the address is not named')


@test
def example_02_puts_an_answer_in_pieces_together():
    server, at = listener()
    with server, Program('02_client', at) as p:
        conn, _ = server.accept()
        with conn:
            p.expect('>>: ')
            p.type('hello\n')
            same(exactly(conn, 5), b'hello')
            conn.sendall(b'HE')
            conn.sendall(b'LLO')
            p.expect('client====> HELLO\n>>: ')
            p.process.stdin.close()
            same(conn.recv(1), b'')
            same(p.ends(0), '\n')


@test
def example_02_notices_a_server_that_closes():
    server, at = listener()
    with server, Program('02_client', at) as p:
        conn, _ = server.accept()
        p.type('hello\n')
        same(exactly(conn, 5), b'hello')
        conn.sendall(b'HE')
        conn.close()
        check('the server closed the connection\n' in p.ends(1), p.seen)


@test
def example_02_says_why_it_cannot_connect():
    nobody, at = listener()
    nobody.close()
    with Program('02_client', at) as p:
        check(at in p.ends(1), f'the address is not named: {p.seen!r}')


@test
def example_03_shows_the_hang_and_skips_empty_lines():
    server, at = listener()
    with server, Program('03_empty_message', at) as p:
        conn, _ = server.accept()
        with conn:
            p.expect('sent an empty message, and wait for the answer\n')
            p.expect('no answer: .+\n>>: ')
            p.type('\n')
            p.expect(r'\A>>: ')
            p.type('hello\n')
            same(exactly(conn, 5), b'hello')
            conn.sendall(b'HELLO')
            p.expect('client====> HELLO\n>>: ')
            p.process.stdin.close()
            same(conn.recv(1), b'')
            same(p.ends(0), '\n')


@test
def example_04_tells_the_three_ways_of_leaving_apart():
    with Program('04_client_leaves') as p:
        p.expect('a client says hello and closes\n'
                 '  server got 5 bytes\n'
                 '  the client has closed its end\n')
        p.expect('a client is killed, its connection reset\n'
                 '  the client is gone: .+\n'
                 '  to send to it fails: .+\n')
        p.expect('a client says nothing, and stays\n'
                 '  the client is silent: .+\n')
        same(p.ends(0), '')


@test
def example_05_serves_one_after_the_other_whatever_they_do():
    with Program('05_serve_for_ever', '127.0.0.1:0') as p:
        port = p.where()
        with client(port) as first, client(port) as second:
            p.expect(r'the line is \d+\n')
            p.expect(r"the client's number is tcp://127\.0\.0\.1:%d\n" % first.getsockname()[1])
            second.sendall(b'second')  # waits until the first has left
            talk(first, 'first')
            p.expect('the client says: first\n')
            first.close()
            p.expect('the client has left\n')
            same(exactly(second, 6), b'SECOND')
            reset(second)
            p.expect('the client says: second\n')
            p.expect(r'.+\n(?=the line|$)')
        with client(port) as third:
            talk(third, 'third')


@test
def example_06_serves_many_at_once():
    shared, _ = listener()
    port = shared.getsockname()[1]
    with shared, Program('06_many_clients', f'fd:{shared.fileno()}',
                         pass_fds=[shared.fileno()]) as p:
        clients = [client(port) for _ in range(50)]
        for i, s in reversed(list(enumerate(clients))):
            talk(s, f'this is {i}')
        reset(clients.pop())
        for i, s in enumerate(clients):
            talk(s, f'again {i}')
            s.close()
        for _ in range(50):
            p.expect(r'tcp://127\.0\.0\.1:\d+ left\n')
        p.process.send_signal(signal.SIGINT)
        p.expect('stopped\n')
        p.ends(0)


@test
def example_07_tells_a_live_holder_from_a_dead_one():
    with Program('07_address_in_use') as p:
        at = p.expect(r'a server listens on tcp://(127\.0\.0\.1:\d+)\n')[1]
        p.expect('a second one is started while the first still runs\n')
        sentence = p.expect(r'  stoa_announce\(\): (.+)\n')[1]
        check(at in sentence, sentence)
        p.expect('the first has served a client and ended; a new one is started at once\n')
        if p.expect(r'  bind\(2\) with SO_REUSEADDR 0: (.+)\n')[1] != 'Address already in use':
            check(no_time_wait_is_kept(), 'TIME_WAIT does not hold the port')
        p.expect(r'  bind\(2\) with SO_REUSEADDR 1: good\n')
        p.expect(r'  stoa_announce\(\): good\n')
        same(p.ends(0), '')


@test
def example_08_resolves_or_says_which_part_is_wrong():
    with Program('08_names_and_ports') as p:
        p.expect('127.0.0.1:8081\n    127.0.0.1:8081\n')
        p.expect(r'localhost:8081\n(    (127\.0\.0\.1|\[::1\]):8081\n)+')
        p.expect(r':8081\n(    (127\.0\.0\.1|\[::1\]):8081\n)+')
        p.expect(r'\[::1\]:8081\n    \[::1\]:8081\n')
        p.expect('udp://127.0.0.1:53\n    udp://127.0.0.1:53\n')
        p.expect('unix:/run/x\n    unix:/run/x\n')
        p.expect('unix:@no-file\n    unix:@no-file\n')
        for wrong in '127.1:8081', '127.0.0.1:99999', '127.0.0.1', '127.0.0.1:8o81':
            sentence = p.expect(re.escape(wrong) + r'\n    (\D.+)\n')[1]
            check(wrong in sentence, f'{wrong} is not named in {sentence!r}')
        same(p.ends(0), '')


@test
def example_09_answers_datagrams_empty_and_cut_ones_too():
    with Program('09_udp', 'udp://127.0.0.1:0') as p:
        port = p.where()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(LIMIT_SEC)
            s.bind(('127.0.0.1', 0))
            me = r'udp://127\.0\.0\.1:%d' % s.getsockname()[1]
            for sent, got, said in ((b'hello', b'HELLO', '5 bytes'), (b'', b'', '0 bytes'),
                                    (b'x' * 2000, b'X' * 1024, '2000 bytes, cut to 1024'),
                                    (b'still there', b'STILL THERE', '11 bytes')):
                s.sendto(sent, ('127.0.0.1', port))
                same(s.recvfrom(4096), (got, ('127.0.0.1', port)))
                p.expect(f'{me} sent {said}\n')


@test
def example_10_takes_a_dead_servers_path_over_but_not_a_live_ones():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'socket')

        def talk_to_it(program):
            program.expect(f'listening on unix:{re.escape(path)}\n')
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(LIMIT_SEC)
                s.connect(path)
                talk(s, 'hello')
            program.expect('the client says: hello\n')

        with Program('10_unix', f'unix:{path}') as p:
            talk_to_it(p)
            same(os.stat(path).st_mode & 0o777, 0o660)
            with Program('10_unix', f'unix:{path}') as second:
                check(path in second.ends(1), 'the path is not named')
            p.process.kill()
            p.process.wait()
            check(os.path.exists(path), 'the dead server has left no file')
        with Program('10_unix', f'unix:{path}') as p:
            talk_to_it(p)


@test
def example_11_shows_each_kind_of_wait():
    with Program('11_timeouts') as p:
        p.expect('timeout 0: EAGAIN\n  .+\n')
        p.expect('timeout 0.2: ETIME\n  .+\n')
        p.expect('with a timeout for each call: 10 of 10 bytes\n')
        p.expect('with 0.1 s for them all: not all bytes\n  .+\n')
        p.expect(r'  stoa_leave\(\) says so, too: ETIME\n')
        p.expect('connect_ex gives ECONNREFUSED: Connection refused\n')
        same(p.ends(0), '')


@test
def example_12_gives_lines_however_they_travel():
    with Program('12_makefile', '127.0.0.1:0') as p, client(p.where()) as s:
        s.sendall(b'one\ntwo\nth')
        same(exactly(s, 14), b'1: one\n2: two\n')
        s.sendall(b'ree\n')
        same(exactly(s, 9), b'3: three\n')
        s.shutdown(socket.SHUT_WR)
        p.expect('the client has left\n')
        same(s.recv(1), b'')
        same(p.ends(0), '')


def no_time_wait_is_kept():
    """The kernel keeps so many of them, for all programs; another test may have filled it."""
    with open('/proc/net/sockstat', encoding='ascii') as file:
        now = int(re.search(r' tw (\d+)', file.read())[1])
    with open('/proc/sys/net/ipv4/tcp_max_tw_buckets', encoding='ascii') as file:
        return now >= int(file.read()) * 0.9


class Guest:
    """Somebody in the chat room, who reads lines."""

    def __init__(self, port, name):
        self.socket = client(port)
        self.lines = self.socket.makefile('rb')
        self.name = name
        same(self.lines.read(11), b'your name: ')
        self.socket.sendall(name.encode() + b'\n')

    def hears(self, line):
        same(self.lines.readline(), line.encode() + b'\n')

    def says(self, line):
        self.socket.sendall(line.encode() + b'\n')

    def leave(self):
        self.lines.close()
        self.socket.close()


class Room:
    """The chat server, with a listener that is there before the program is."""

    def __enter__(self):
        self.listener, _ = listener()
        fd = self.listener.fileno()
        self.program = Program('13_chat', f'fd:{fd}', pass_fds=[fd])
        self.program.__enter__()
        return self

    def __exit__(self, *what):
        self.program.__exit__(*what)
        self.listener.close()

    def enter(self, name):
        guest = Guest(self.listener.getsockname()[1], name)
        self.program.expect(f'{name} has come\n')
        return guest


@test
def example_13_lets_each_hear_all_others():
    with Room() as room:
        amy, bob = room.enter('amy'), room.enter('bob')
        amy.hears('bob has come')
        cleo = room.enter('cleo')
        for guest in amy, bob:
            guest.hears('cleo has come')
        amy.says('hello')
        for guest in bob, cleo:
            guest.hears('amy: hello')
        cleo.says('你好\x1b[2J')
        for guest in amy, bob:
            guest.hears('cleo: 你好?[2J')
        bob.leave()
        for guest in amy, cleo:
            guest.hears('bob has left')
        reset(cleo.socket)
        cleo.lines.close()
        amy.hears('cleo has left')
        amy.leave()
        room.program.expect('amy has left\n')
        room.program.process.send_signal(signal.SIGINT)
        room.program.ends(0)


@test
def example_13_puts_out_who_does_not_read_and_nobody_else_waits():
    with Room() as room:
        deaf = room.enter('deaf')
        amy, bob = room.enter('amy'), room.enter('bob')
        deaf.hears('amy has come')
        deaf.hears('bob has come')
        amy.hears('bob has come')
        line = 'x' * 1000
        # In step, so that nobody but the deaf one can fall behind.
        for _ in range(300):
            amy.says('\n'.join([line] * 100))
            heard = [bob.lines.readline() for _ in range(100)]
            if b'deaf has left\n' in heard:
                break
            same(set(heard), {f'amy: {line}\n'.encode()})
        else:
            raise AssertionError('30 MB were sent, and the deaf one is still there')
        amy.hears('deaf has left')
        bob.says('quiet now')
        amy.hears('bob: quiet now')


@test
def example_13_serves_many_who_speak_at_once():
    with Room() as room:
        guests = [room.enter(f'guest{i:02}') for i in range(20)]
        for guest in guests:
            guest.says('all at once')
        heard = []

        def listen(guest):
            mine = [guest.lines.readline() for _ in range(19 - int(guest.name[5:]) + 19)]
            heard.append((guest.name, [l.decode() for l in mine if b': ' in l]))

        threads = [threading.Thread(target=listen, args=[guest]) for guest in guests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_SEC)
        everybody = {f'{guest.name}: all at once\n' for guest in guests}
        for name, lines in heard:
            same(sorted(lines), sorted(everybody - {f'{name}: all at once\n'}))
        same(len(heard), 20)
        # All heard all in the same order.
        order = next(lines for name, lines in heard if name == 'guest00')
        for name, lines in heard:
            others = [l for l in lines if not l.startswith('guest00')]
            same([l for l in order if not l.startswith(name)], others)


@test
def example_14_finds_its_bug_by_seed_and_runs_it_again():
    done = subprocess.run([os.path.join(FOLDER, '14_simulated')], capture_output=True, text=True,
                          timeout=LIMIT_SEC, check=True)
    plain, found, again, mended = done.stdout.splitlines()
    same(plain, 'without faults: 100 seeds are good')
    seed = re.fullmatch(r'with faults: seed (\d+): somebody read .+', found)[1]
    same(again, f'seed {seed} again, and again: the same run, event for event')
    same(mended, 'mended: 100 seeds are good')


def main():
    wanted = sys.argv[2:]
    chosen = [t for t in TESTS if not wanted or any(w in t.__name__ for w in wanted)]
    print('TAP version 13')
    print(f'1..{len(chosen)}')
    failed = 0
    for number, body in enumerate(chosen, 1):
        name = body.__name__.replace('_', ' ')
        try:
            body()
            print(f'ok {number} - {name}', flush=True)
        except Exception:
            failed += 1
            print(f'not ok {number} - {name}')
            for line in traceback.format_exc(limit=-3).splitlines():
                print('# ' + line[:500], flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    FOLDER = sys.argv[1]
    sys.exit(main())
