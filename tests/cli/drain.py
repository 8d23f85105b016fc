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

CLIENTS = 4
VARIANTS = [['--workers', '1'], ['--workers', '4'], ['--max-conns', '2'], ['--processes', '3'],
            ['--processes', '2', '--workers', '2', '--max-conns', '3']]
DRAIN = 600  # seconds, of which it needs one


def client(port, result):
    """Ask until nobody listens; the number of answers and of losses goes to result."""
    answered = lost = 0
    while True:
        s = socket.socket()
        try:
            s.connect(('127.0.0.1', port))
        except (ConnectionRefusedError, ConnectionResetError):
            break
        try:
            s.sendall(b'question')
            good = s.recv(8) == b'QUESTION'
        except OSError:
            good = False
        answered += good
        lost += not good
        s.close()
    os.write(result, b'%d %d\n' % (answered, lost))


def round_of(build, words):
    """(answered, lost, seconds until the end, exit code)"""
    reads, writes = os.pipe()
    server = subprocess.Popen(
        [build + '/src/cli/stoa', 'serve', 'upper', '127.0.0.1:0', '--quiet', '--drain-timeout',
         f'{DRAIN}s', '--ready-fd', str(writes), *words], pass_fds=[writes])
    os.close(writes)
    with open(reads, encoding='ascii') as file:
        port = int(file.read().rsplit(':', 1)[1])
    reads, writes = os.pipe()
    children = []
    for _ in range(CLIENTS):
        children.append(os.fork())
        if children[-1] == 0:
            client(port, writes)
            os._exit(0)
    os.close(writes)
    time.sleep(0.1)  # of load
    since = time.monotonic()
    server.terminate()
    code = server.wait()
    took = time.monotonic() - since
    with open(reads, encoding='ascii') as file:
        counts = [list(map(int, line.split())) for line in file]
    for child in children:
        os.waitpid(child, 0)
    return sum(c[0] for c in counts), sum(c[1] for c in counts), took, code


def main(build, rounds='3'):
    cases = [(backend, words) for backend in ('epoll', 'uring') for words in VARIANTS]
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
