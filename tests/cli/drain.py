#!/usr/bin/env python3
"""drain.py - SIGTERM under load: is who was connected answered?

Processes connect to `stoa serve upper`, send and wait for the answer, again and again, while it
is stopped.  Whose connect(2) has succeeded must be answered: a reset or an end without an
answer is a request lost.  The server must exit with 0: what its --drain-timeout cuts off, is lost.

    drain.py BUILD [ROUNDS]

Each backend ROUNDS times, with one worker and with four, with processes, and with fewer connections
at a time than clients.  TAP.
"""
import os
import socket
import subprocess
import sys
import time

from backends import backends

CLIENTS = 4
VARIANTS = [['--workers', '1'], ['--workers', '4'], ['--max-conns', '2'], ['--processes', '3'],
            ['--processes', '2', '--workers', '2', '--max-conns', '3']]
DRAIN = 600  # seconds, of which it needs one


def client(port, begun, result):
    """Ask until nobody listens.  A byte goes to begun when there is the first answer; to result
    the number of answers and of losses, and what the first loss was."""
    answered, lost, first = 0, 0, ''
    while True:
        s = socket.socket()
        try:
            s.connect(('127.0.0.1', port))
        except (ConnectionRefusedError, ConnectionResetError):
            break
        try:
            s.sendall(b'question')
            got = s.recv(8)
        except OSError as e:
            got = e
        if got == b'QUESTION':
            answered += 1
            if answered == 1:
                os.write(begun, b'.')
        else:
            lost += 1
            first = first or f'{time.monotonic()} {got!r}'
        s.close()
    os.write(result, f'{answered} {lost} {first}\n'.encode())


def held_port():
    """A socket on a free port, which a server takes by SO_REUSEADDR, and who asks for a free one
    does not get.  A client whose SYN was dropped comes again after a second: the server has ended
    then, and a stranger on its port, another test's server, would be taken for it."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('127.0.0.1', 0))
    return s


def round_of(build, words):
    """(answered, lost, seconds until the end, exit code)"""
    with held_port() as held:
        return round_at(build, words, held.getsockname()[1])


def round_at(build, words, port):
    reads, writes = os.pipe()
    server = subprocess.Popen(
        [build + '/src/cli/stoa', 'serve', 'upper', f'127.0.0.1:{port}', '--quiet',
         '--drain-timeout', f'{DRAIN}s', '--ready-fd', str(writes), *words], pass_fds=[writes])
    os.close(writes)
    with open(reads, encoding='ascii') as file:
        assert file.read(), 'the server does not begin'
    (reads, writes), (begins, begun) = os.pipe(), os.pipe()
    children = []
    for _ in range(CLIENTS):
        children.append(os.fork())
        if children[-1] == 0:
            client(port, begun, writes)
            os._exit(0)
    os.close(writes)
    os.close(begun)
    for _ in range(CLIENTS):
        os.read(begins, 1)
    time.sleep(0.1)  # of load
    since = time.monotonic()
    server.terminate()
    code = server.wait()
    took = time.monotonic() - since
    with open(reads, encoding='ascii') as file:
        counts = [line.split(maxsplit=3) for line in file]
    for child in children:
        os.waitpid(child, 0)
    os.close(begins)
    for c in counts:
        if len(c) > 2:
            print(f'# lost {float(c[2]) - since:+.3f} s from the signal, '
                  f'the first of {c[1]}: {c[3]}', end='')
    return sum(int(c[0]) for c in counts), sum(int(c[1]) for c in counts), took, code


def main(build, rounds='3'):
    cases = [(backend, words) for backend in backends(build + '/src/cli/stoa')
             for words in VARIANTS]
    print(f'TAP version 13\n1..{len(cases)}')
    failed = 0
    for i, (backend, words) in enumerate(cases, 1):
        results = [round_of(build, ['--backend', backend, *words]) for _ in range(int(rounds))]
        answered, lost = sum(r[0] for r in results), sum(r[1] for r in results)
        slowest, codes = max(r[2] for r in results), {r[3] for r in results}
        bad = lost or codes != {0} or not answered
        failed += bool(bad)
        print(f'# {answered} answered, {lost} lost, over after {slowest:.2f} s, exit codes {codes}')
        print(f"{'not ok' if bad else 'ok'} {i} - nothing is lost by {backend} {' '.join(words)}",
              flush=True)
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
