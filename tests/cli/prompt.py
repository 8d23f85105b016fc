#!/usr/bin/env python3
"""prompt.py - `stoa connect` at a terminal: what a person sees and what the peer gets.

Each test has the program on a pty, a small terminal that keeps the screen as a person
would see it, and the peer's socket in its own hands.  The danger: a line that is torn by
what arrives while it is typed; a peer's bytes that the terminal obeys; characters beyond
ASCII that are lost; a terminal that is left raw.  $BUILD is the build folder under test.
"""
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata

STOA = os.path.join(os.environ['BUILD'], 'src', 'cli', 'stoa')
PATIENCE = 200  # seconds; nothing here takes one when all is well, but the three of the hint
ROWS, COLUMNS = 24, 40
CSI = re.compile(r'\x1b\[([?>]?)([\d;]*)([@-~])')
ESCAPE = re.compile(r'\x1b(?:\[[?>]?[\d;]*[@-~]|[()][0-9A-B]|[=>78cM])')


def wide(c):
    return 2 if unicodedata.east_asian_width(c) in 'WF' else 1


class Screen:
    """As much of a terminal as libedit uses: ECMA-48's cursor, erase, insert and delete."""

    def __init__(self):
        self.cells = [[' '] * COLUMNS for _ in range(ROWS)]
        self.row = self.column = 0
        self.pending = ''

    def lines(self):
        """The screen's text, the empty rows at its end left out."""
        rows = [''.join(row).rstrip() for row in self.cells]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def feed(self, text):
        text = self.pending + text
        at = 0
        while at < len(text):
            if text[at] == '\x1b':
                m = ESCAPE.match(text, at)
                if not m:
                    break  # the rest comes later
                self.escape(m[0])
                at = m.end()
            else:
                self.character(text[at])
                at += 1
        self.pending = text[at:]

    def newline(self):
        if self.row < ROWS - 1:
            self.row += 1
        else:
            self.cells = self.cells[1:] + [[' '] * COLUMNS]

    def character(self, c):
        if c == '\r':
            self.column = 0
        elif c == '\n':
            self.newline()
        elif c == '\b':
            self.column = max(0, min(self.column, COLUMNS - 1) - 1)
        elif c == '\t':
            self.column = min(COLUMNS - 1, self.column // 8 * 8 + 8)
        elif c >= ' ':
            if self.column + wide(c) > COLUMNS:  # the margin holds until the next character
                self.column = 0
                self.newline()
            self.cells[self.row][self.column:self.column + wide(c)] = [c] + [''] * (wide(c) - 1)
            self.column += wide(c)

    def escape(self, sequence):
        m = CSI.match(sequence)
        if not m or m[1]:
            return
        numbers = [int(n) if n else 0 for n in m[2].split(';')]
        n, line = numbers[0], self.cells[self.row]
        column = min(self.column, COLUMNS - 1)
        step = max(n, 1)
        match m[3]:
            case 'A':
                self.row = max(0, self.row - step)
            case 'B':
                self.row = min(ROWS - 1, self.row + step)
            case 'C':
                self.column = min(COLUMNS - 1, column + step)
            case 'D':
                self.column = max(0, column - step)
            case 'G':
                self.column = step - 1
            case 'H':
                self.row, self.column = step - 1, max(1, (numbers + [1])[1]) - 1
            case 'K':
                assert n == 0, sequence
                line[column:] = [' '] * (COLUMNS - column)
            case 'J':
                assert n == 0 or sequence == '\x1b[2J', sequence
                first = 0 if n == 2 else self.row + 1
                line[column:] = [' '] * (COLUMNS - column)
                self.cells[first:] = [[' '] * COLUMNS for _ in range(ROWS - first)]
            case 'P':
                del line[column:column + step]
                line += [' '] * step
            case '@':
                line[column:column] = [' '] * step
                del line[COLUMNS:]
            case 'm':
                pass
            case _:
                raise AssertionError(f'the program sends {sequence!r}')


class Peer:
    """A server's socket in the test's own hands."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.listener.settimeout(PATIENCE)
        self.address = '127.0.0.1:%d' % self.listener.getsockname()[1]
        self.conn = None

    def accept(self):
        self.conn, _ = self.listener.accept()
        self.conn.settimeout(PATIENCE)

    def gets(self, expected):
        got = b''
        while len(got) < len(expected):
            part = self.conn.recv(len(expected) - len(got))
            assert part, f'the stream ended after {got!r}'
            got += part
        assert got == expected, got

    def gets_end(self):
        assert self.conn.recv(1) == b'', 'no end of the stream'

    def says(self, text):
        self.conn.sendall(text)

    def close(self):
        if self.conn:
            self.conn.close()
        self.listener.close()


class Terminal:
    """stoa connect ARGS at a terminal of its own; with pipes where `how` says so."""

    def __init__(self, *args, env=None, **how):
        self.near, self.far = pty.openpty()
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack('HHHH', ROWS, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(self.far)
        self.home = tempfile.TemporaryDirectory()
        whole = {k: v for k, v in os.environ.items()
                 if k not in ('NO_COLOR', 'XDG_STATE_HOME', 'LC_CTYPE', 'LANG')}
        whole |= {'TERM': 'xterm', 'HOME': self.home.name, 'LC_ALL': 'C.UTF-8'} | (env or {})
        streams = {'stdin': self.far, 'stdout': self.far, 'stderr': self.far} | how
        self.process = subprocess.Popen([STOA, 'connect', *args], env=whole,
                                        preexec_fn=self.own_terminal, **streams)
        self.screen = Screen()
        self.raw = b''
        self.undecoded = b''

    def own_terminal(self):
        os.setsid()
        fcntl.ioctl(self.far, termios.TIOCSCTTY, 0)

    def read(self):
        """What there is now, or comes soon."""
        if not select.select([self.near], [], [], 0.05)[0]:
            return
        part = os.read(self.near, 65536)
        self.raw += part
        part = self.undecoded + part
        for keep in range(4):
            try:
                text = part[:len(part) - keep].decode()
                break
            except UnicodeDecodeError:
                continue
        else:
            raise AssertionError(f'not UTF-8: {part!r}')
        self.undecoded = part[len(part) - keep:]
        self.screen.feed(text)

    def until(self, holds, what):
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f'no {what} in:\n' + '\n'.join(self.screen.lines())
            self.read()

    def shows(self, *lines):
        """These are the screen's last lines, and the cursor is after the last of them."""
        def holds():
            seen = self.screen.lines()
            ends = seen[-len(lines):] == [line.rstrip() for line in lines]
            width = sum(map(wide, lines[-1])) % COLUMNS
            return ends and self.screen.row == len(seen) - 1 and self.screen.column == width
        self.until(holds, repr(lines))

    def types(self, text):
        os.write(self.near, text.encode() if isinstance(text, str) else text)

    def ends(self, status):
        self.until(lambda: self.process.poll() is not None, 'end')
        assert self.process.returncode == status, self.process.returncode
        now = termios.tcgetattr(self.far)
        assert now == self.before, f'the terminal is not as it was: {now} {self.before}'
        while select.select([self.near], [], [], 0)[0]:
            self.read()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.near)
        os.close(self.far)
        self.home.cleanup()


class Talk:
    """A peer, and a terminal connected to it."""

    def __init__(self, *args, **how):
        self.args, self.how = args, how

    def __enter__(self):
        self.peer = Peer()
        self.terminal = Terminal(*self.args, self.peer.address, **self.how)
        self.peer.accept()
        return self.peer, self.terminal

    def __exit__(self, *_):
        self.terminal.close()
        self.peer.close()


def the_textbooks_talk():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('hello\r')
        peer.gets(b'hello\n')
        peer.says(b'HELLO\n')
        terminal.shows('>>: hello', 'client====> HELLO', '>>: ')
        terminal.types('again\r')
        peer.gets(b'again\n')
        peer.says(b'AGAIN\nand more\n')
        terminal.shows('>>: again', 'client====> AGAIN', 'client====> and more', '>>: ')


def what_arrives_does_not_disturb_the_line_being_typed():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('half a li')
        terminal.shows('>>: half a li')
        peer.says(b'news\n')
        terminal.shows('client====> news', '>>: half a li')
        peer.says(b'1\n2\n\n3\n')
        terminal.shows('client====> news', 'client====> 1', 'client====> 2', 'client====> ',
                       'client====> 3', '>>: half a li')
        terminal.types('ne\r')
        peer.gets(b'half a line\n')


def a_line_longer_than_the_screen_is_wide_is_not_disturbed_either():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        text = 'abcdefghij' * 9
        terminal.types(text)
        rows = [('>>: ' + text)[i:i + COLUMNS] for i in range(0, 94, COLUMNS)]
        terminal.shows(*rows)
        peer.says(b'news\n')
        terminal.shows('client====> news', *rows)
        # The cursor in the first of the rows: ctrl-A, then on.
        terminal.types('\x01')
        terminal.until(lambda: terminal.screen.column == 4, 'cursor at the line\'s beginning')
        peer.says(b'more\n')
        terminal.until(lambda: terminal.screen.lines()[-5:] ==
                       ['client====> news', 'client====> more', *rows], 'line, whole')
        terminal.types('0\r')
        peer.gets(b'0' + text.encode() + b'\n')


def characters_of_two_columns_are_not_disturbed_either():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('你好' * 8 + '世')
        terminal.shows('>>: ' + '你好' * 8 + '世')
        peer.says('早\n'.encode())
        terminal.shows('client====> 早', '>>: ' + '你好' * 8 + '世')
        terminal.types('\x7f\x7f!\r')
        peer.gets(('你好' * 7 + '你!\n').encode())


def at_the_screens_last_row_it_scrolls():
    with Talk() as (peer, terminal):
        peer.says(b''.join(b'line %d\n' % n for n in range(40)))
        terminal.shows('client====> line 38', 'client====> line 39', '>>: ')
        terminal.types('typed')
        terminal.shows('>>: typed')
        peer.says(b'last\n')
        terminal.shows('client====> line 39', 'client====> last', '>>: typed')


def chinese_is_typed_under_the_locale_C():
    for locale in 'C', 'POSIX', '':
        with Talk(env={'LC_ALL': locale}) as (peer, terminal):
            terminal.shows('>>: ')
            terminal.types('你好, world\r')
            peer.gets('你好, world\n'.encode())
            peer.says('你好, WORLD\n'.encode())
            terminal.shows('>>: 你好, world', 'client====> 你好, WORLD', '>>: ')


def what_is_typed_between_two_lines_is_neither_shown_twice_nor_lost():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        for _ in range(100):  # right after the line was sent, no other is open yet
            terminal.types('x\r')
            peer.gets(b'x\n')
        terminal.types('\x04')
        peer.gets_end()
        terminal.until(lambda: 'once more' in ' '.join(terminal.screen.lines()), 'hint')
        assert terminal.raw.count(b'x') == 100, terminal.raw.count(b'x')


def an_empty_line_is_sent_as_a_newline():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('\r')
        peer.gets(b'\n')


def crlf_ends_lines_with_both():
    with Talk('--crlf') as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('GET /\r\r')
        peer.gets(b'GET /\r\n\r\n')


def raw_sends_what_is_typed_and_refuses_nothing():
    with Talk('--raw') as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('\r')
        terminal.until(lambda: 'no bytes' in ' '.join(terminal.screen.lines()), 'note')
        terminal.types('no newline\r')
        peer.gets(b'no newline')
        terminal.types('\x04')
        peer.gets_end()


def ctrl_D_sends_the_end_and_the_answer_still_comes():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('question\r\x04')
        peer.gets(b'question\n')
        peer.gets_end()
        peer.says(b'answer\n')
        terminal.until(lambda: 'client====> answer' in terminal.screen.lines(), 'answer')
        peer.conn.close()
        terminal.ends(0)


def ctrl_D_twice_leaves_though_the_peer_stays():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('\x04')
        peer.gets_end()
        terminal.until(lambda: 'once more' in ' '.join(terminal.screen.lines()), 'hint')
        terminal.types('too late\r')
        terminal.until(lambda: 'not sent' in ' '.join(terminal.screen.lines()), 'note')
        terminal.types('\x04')
        terminal.ends(0)


def ctrl_D_in_a_line_deletes_and_ends_nothing():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('xab\x01\x04\r')  # ctrl-A: to the beginning
        peer.gets(b'ab\n')


def the_peers_end_ends_it():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('half')
        terminal.shows('>>: half')
        peer.says(b'bye\n')
        peer.conn.close()
        terminal.ends(0)
        shown = terminal.screen.lines()
        assert 'client====> bye' in shown, shown
        assert 'has ended the' in ' '.join(shown), shown


def a_reset_is_one_line_and_exit_6():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        peer.conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        peer.conn.close()
        terminal.ends(6)
        assert 'stoa connect: ' in '\n'.join(terminal.screen.lines())


def ctrl_C_ends_with_130_and_the_terminal_as_it_was():
    with Talk() as (_, terminal):
        terminal.shows('>>: ')
        terminal.types('half a line\x03')
        terminal.ends(130)


def sigterm_leaves_the_terminal_as_it_was():
    with Talk() as (_, terminal):
        terminal.shows('>>: ')
        terminal.process.terminate()
        terminal.ends(143)


def ctrl_Z_stops_it_and_it_goes_on_with_the_line():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('half')
        terminal.shows('>>: half')
        terminal.process.send_signal(signal.SIGTSTP)
        _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert termios.tcgetattr(terminal.far) == terminal.before
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until(lambda: termios.tcgetattr(terminal.far) != terminal.before, 'raw mode')
        terminal.types(' a line\r')
        peer.gets(b'half a line\n')


def another_window_size_is_followed():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('some text')
        terminal.shows('>>: some text')
        fcntl.ioctl(terminal.far, termios.TIOCSWINSZ, struct.pack('HHHH', ROWS, 30, 0, 0))
        os.kill(terminal.process.pid, signal.SIGWINCH)
        peer.says(b'resized\n')
        terminal.shows('client====> resized', '>>: some text')
        terminal.types(' more\r')
        peer.gets(b'some text more\n')


NASTY = {
    b'\x1b[2J\x1b]0;title\x07': r'\x1b[2J\x1b]0;title\x07',  # clear, set the title
    b'\x9b2J': r'\x9b2J',                                    # CSI as one byte
    '\x9b2J'.encode(): r'\xc2\x9b2J',                        # and as a character
    '\u202egpj.exe'.encode(): r'\xe2\x80\xaegpj.exe',        # right to left
    '\u2066x\u2069'.encode(): r'\xe2\x81\xa6x\xe2\x81\xa9',
    b'\x08\x08\x7f\x00': r'\x08\x08\x7f\x00',
    b'over\rwritten': r'over\x0dwritten',
    b'\xff\xfe\xc0\xaf': r'\xff\xfe\xc0\xaf',
    '你好 👋 é'.encode(): '你好 👋 é',
    b'dos\r': 'dos',
}


def what_a_peer_sends_is_shown_and_not_obeyed():
    with Talk(env={'NO_COLOR': '1', 'TERM': 'dumb'}) as (peer, terminal):
        for bytes_, shown in NASTY.items():
            peer.says(bytes_ + b'\n')
            terminal.until(lambda: ('client====> ' + shown).encode() in terminal.raw, repr(shown))
        obeyed = set(terminal.raw) & (set(range(32)) - set(b'\r\n'))
        assert not obeyed, obeyed


def cut_anywhere_it_is_shown_the_same():
    with Talk(env={'NO_COLOR': '1', 'TERM': 'dumb'}) as (peer, terminal):
        peer.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for bytes_, shown in NASTY.items():
            for i in range(len(bytes_)):
                peer.says(bytes_[i:i + 1])
            peer.says(b'\n')
            terminal.until(lambda: ('client====> ' + shown).encode() in terminal.raw, repr(shown))


def from_a_pipe_to_a_terminal_nothing_is_obeyed_either():
    read, write = os.pipe()
    with Talk(stdin=read) as (peer, terminal):
        os.close(read)
        for bytes_ in NASTY:
            peer.says(bytes_ + b'\n')
        peer.says(b'unfinished \xe4\xbd')
        os.close(write)
        peer.gets_end()
        peer.conn.close()
        terminal.ends(0)
        lines = terminal.raw.decode().split('\r\n')
        assert lines == [*NASTY.values(), r'unfinished \xe4\xbd'], lines


def colours_only_for_who_wants_them():
    for env, coloured in ({}, True), ({'NO_COLOR': '1'}, False), ({'NO_COLOR': ''}, True), \
            ({'TERM': 'dumb'}, False):
        with Talk(env=env) as (peer, terminal):
            peer.says(b'answer\n')
            terminal.until(lambda: b'answer' in terminal.raw, 'answer')
            found = re.search(rb'\x1b\[[0-9;]*m', terminal.raw)
            assert bool(found) == coloured, (env, terminal.raw)


def a_question_without_a_newline_is_shown():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        peer.says(b'login: ')
        terminal.shows('client====> login: ', '>>: ')
        terminal.types('amy\r')
        peer.gets(b'amy\n')


def three_silent_seconds_after_the_first_line_are_told_once():
    with Talk() as (peer, terminal):
        terminal.shows('>>: ')
        begin = time.monotonic()
        terminal.types('hello?\r')
        terminal.until(lambda: 'nothing for 3 s' in ''.join(terminal.screen.lines()), 'hint')
        assert time.monotonic() - begin > 2.9
        peer.says(b'here\n')
        terminal.shows('client====> here', '>>: ')


def timeout_at_the_prompt_is_exit_5():
    with Talk('--timeout', '200ms') as (_, terminal):
        terminal.ends(5)
        assert '--timeout' in ' '.join(terminal.screen.lines())


def the_history_is_kept_for_each_peer_by_itself():
    with tempfile.TemporaryDirectory() as state:
        env = {'XDG_STATE_HOME': state}
        peer = Peer()
        for keys in 'first\r', '\x1b[A\r':  # the second time by cursor up
            terminal = Terminal(peer.address, env=env)
            peer.accept()
            terminal.shows('>>: ')
            terminal.types(keys)
            peer.gets(b'first\n')
            terminal.types('\x04')
            peer.gets_end()
            peer.conn.close()
            terminal.ends(0)
            terminal.close()
        files = [os.path.join(folder, name) for folder, _, names in os.walk(state)
                 for name in names]
        assert len(files) == 1 and peer.address.split(':')[1] in files[0], files
        assert os.stat(files[0]).st_mode & 0o777 == 0o600
        assert os.stat(os.path.dirname(files[0])).st_mode & 0o777 == 0o700
        with Talk(env=env) as (other, terminal):
            terminal.shows('>>: ')
            terminal.types('\x1b[A\r')
            other.gets(b'\n')
        peer.close()


def without_a_home_there_is_no_history_and_no_error():
    for env in {'HOME': ''}, {'HOME': '/proc/no/such'}, {'XDG_STATE_HOME': '/dev/null'}:
        with Talk(env=env) as (peer, terminal):
            terminal.shows('>>: ')
            terminal.types('hello\r')
            peer.gets(b'hello\n')


def hex_at_the_prompt():
    with Talk('--hex') as (peer, terminal):
        terminal.shows('>>: ')
        terminal.types('hi\r')
        peer.gets(b'hi\n')
        peer.says(b'HI\n')
        terminal.until(lambda: b'< 00000000  48 49 0a' in terminal.raw, 'dump of what came')
        assert b'> 00000000  68 69 0a' in terminal.raw


def into_a_file_there_is_no_prompt():
    with tempfile.TemporaryFile() as out, Talk(stdout=out) as (peer, terminal):
        terminal.types('hello\n\x04')
        peer.gets(b'hello\n')
        peer.gets_end()
        peer.says(b'\x1b[2Jraw\n')
        peer.conn.close()
        terminal.ends(0)
        out.seek(0)
        assert out.read() == b'\x1b[2Jraw\n'
        assert b'>>:' not in terminal.raw


def the_peers_end_ends_it_and_no_keyboard_is_waited_for():
    with tempfile.TemporaryFile() as out, Talk(stdout=out) as (peer, terminal):
        peer.says(b'the time\n')
        peer.conn.close()
        terminal.ends(0)
        out.seek(0)
        assert out.read() == b'the time\n'


def a_transfer_over_a_second_shows_its_progress():
    with tempfile.TemporaryFile() as out, Talk(stdin=subprocess.DEVNULL, stdout=out) as (peer, t):
        peer.says(b'x' * 1234567)
        t.until(lambda: b'1.2 MB in, 0 B out' in t.raw, 'progress')
        peer.conn.close()
        t.ends(0)
        assert t.screen.lines() == [], 'the progress is taken away at the end'
        assert out.seek(0, 2) == 1234567


def a_short_one_shows_none():
    with tempfile.TemporaryFile() as out, Talk(stdin=subprocess.DEVNULL, stdout=out) as (peer, t):
        peer.says(b'x' * 1234567)
        peer.conn.close()
        t.ends(0)
        assert t.raw == b'', t.raw


def udp_at_the_prompt():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(('127.0.0.1', 0))
        peer.settimeout(PATIENCE)
        terminal = Terminal('-u', '127.0.0.1', str(peer.getsockname()[1]))
        terminal.shows('>>: ')
        terminal.types('datagram\r')
        data, sender = peer.recvfrom(100)
        assert data == b'datagram\n'
        peer.sendto(b'DATAGRAM\n', sender)
        terminal.shows('>>: datagram', 'client====> DATAGRAM', '>>: ')
        terminal.types('\x04')
        terminal.ends(0)
        terminal.close()


TESTS = [f for name, f in list(globals().items())
         if callable(f) and getattr(f, '__module__', '') == '__main__'
         and isinstance(f, type(the_textbooks_talk)) and f.__code__.co_argcount == 0]


def main(names):
    tests = [t for t in TESTS if t.__name__ != 'main' and (not names or t.__name__ in names)]
    failed = 0
    print(f'TAP version 13\n1..{len(tests)}')
    for number, test in enumerate(tests, 1):
        try:
            test()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            for line in f'{type(error).__name__}: {error}'.splitlines():
                print(f'# {line}')
            print('not ', end='')
        print(f'ok {number} - {test.__name__}', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
