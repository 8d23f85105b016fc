#!/usr/bin/env python3
"""x.py - `./x run` as its users meet it: from a pipe, at a terminal, interrupted.

The danger: a server that stays behind, an answer that is lost, a port in use that ends
it all.  What it started is found by a mark in the environment, which every process
inherits.  $BUILD is the build folder under test; the ports are free ones.
"""
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import time
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
X = os.path.join(ROOT, 'x')
PATIENCE = 200  # seconds; nothing here takes one when all is well


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Run:
    """./x ARGS, and all that it starts."""

    def __init__(self, *args, **how):
        self.mark = f'STOA_X_TEST={uuid.uuid4()}'
        name, value = self.mark.split('=')
        self.process = subprocess.Popen([X, *args], env={**os.environ, name: value}, **how)

    def family(self):
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/environ', 'rb') as f:
                    if self.mark.encode() in f.read().split(b'\0'):
                        found.append(int(pid))
            except OSError:
                pass  # it has ended, or is another user's
        return found

    def alive(self, command):
        for pid in self.family():
            try:
                with open(f'/proc/{pid}/cmdline', 'rb') as f:
                    if command.encode() in f.read().split(b'\0'):
                        return True
            except OSError:
                pass
        return False

    def nothing_left(self):
        until(lambda: not self.family(), 'all processes end')


def until(holds, what):
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f'waited {PATIENCE} s for: {what}'
        time.sleep(0.005)


def piped(text, *args):
    run = Run('run', *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = run.process.communicate(text.encode(), timeout=PATIENCE)
    run.nothing_left()
    return run.process.returncode, out.decode(), err.decode()


def lines_from_a_pipe_are_answered():
    status, out, err = piped('hello\n你好, world\n', f'127.0.0.1:{free_port()}')
    assert out == 'HELLO\n你好, WORLD\n', (out, err)
    assert status == 0, (status, err)


def a_megabyte_comes_back_whole():
    text = 'the quick brown fox\n' * 50000
    status, out, err = piped(text, f'127.0.0.1:{free_port()}')
    assert status == 0 and out == text.upper(), (status, len(out), err)


def no_line_at_all_is_no_error():
    status, out, err = piped('', f'127.0.0.1:{free_port()}')
    assert (status, out) == (0, ''), (status, out, err)


def a_port_in_use_is_told_and_the_next_taken():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, out, err = piped('hello\n', f'127.0.0.1:{port}')
    assert (status, out) == (0, 'HELLO\n'), (status, out, err)
    assert f'127.0.0.1:{port} is in use' in err, err


def an_address_of_nobody_is_a_sentence():
    status, out, err = piped('hello\n', '192.0.2.1:80')
    assert status == 1 and out == '', (status, out)
    assert '192.0.2.1:80' in err, err


def at_a_terminal_there_is_a_prompt():
    near, far = pty.openpty()
    run = Run('run', f'127.0.0.1:{free_port()}', stdin=far, stdout=far, stderr=far,
              start_new_session=True)
    os.close(far)
    seen = b''

    def expect(text):
        nonlocal seen
        end = time.monotonic() + PATIENCE
        while text not in seen:
            ready, _, _ = select.select([near], [], [], max(0, end - time.monotonic()))
            assert ready, f'no {text!r} in {seen!r}'
            seen += os.read(near, 4096)
        seen = seen.split(text, 1)[1]

    expect(b'>>: ')
    os.write(near, b'hello\n')
    expect(b'HELLO')
    expect(b'>>: ')
    os.write(near, b'\x04')
    assert run.process.wait(PATIENCE) == 0
    os.close(near)
    run.nothing_left()


def interrupted(how):
    # A pipe that stays open: the client waits for more, as at an idle keyboard.
    run = Run('run', f'127.0.0.1:{free_port()}', stdin=subprocess.PIPE, stdout=subprocess.PIPE,
              stderr=subprocess.DEVNULL, start_new_session=True)
    run.process.stdin.write(b'hello\n')
    run.process.stdin.flush()
    assert run.process.stdout.readline() == b'HELLO\n'
    assert run.alive('serve') and run.alive('connect')
    how(run.process.pid)
    status = run.process.wait(PATIENCE)
    run.process.stdin.close()
    run.process.stdout.close()
    run.nothing_left()
    return status


def ctrl_c_leaves_nothing_running():
    assert interrupted(lambda pid: os.killpg(pid, signal.SIGINT)) == 130


def a_kill_leaves_nothing_running():
    assert interrupted(lambda pid: os.kill(pid, signal.SIGTERM)) == 143


def what_it_does_not_know_gets_the_usage():
    for args, status in ([], 0), (['help'], 0), (['serve'], 2):
        done = subprocess.run([X, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        assert done.returncode == status and './x run' in done.stdout, done
        assert done.stdout.count('\n') < 24, 'the usage is longer than a screen'


TESTS = [
    lines_from_a_pipe_are_answered,
    a_megabyte_comes_back_whole,
    no_line_at_all_is_no_error,
    a_port_in_use_is_told_and_the_next_taken,
    an_address_of_nobody_is_a_sentence,
    at_a_terminal_there_is_a_prompt,
    ctrl_c_leaves_nothing_running,
    a_kill_leaves_nothing_running,
    what_it_does_not_know_gets_the_usage,
]


def main():
    failed = 0
    print(f'1..{len(TESTS)}')
    for number, test in enumerate(TESTS, 1):
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
    sys.exit(main())
