#!/usr/bin/env python3
"""cable.py - a cable is cut: does `stoa serve` notice?

A network namespace of our own, a second one, and a veth pair between them.  `stoa serve exec 'cat
/dev/zero'` has data for every client at all times; half of them read it, slowly, and half do not
read at all.  Then the far end is taken down: nobody hears, and nobody tells.  All must be given
up, which the server's log says; Linux by itself would take a quarter of an hour.  The seconds are
printed: 20 are meant, and `./x survive` (row 26) holds the server to them.

Its one argument is the folder of the build.  TAP; skipped where namespaces are forbidden, and
where the kernel has no TCP_RTO_MAX_MS (Linux 6.15).
"""
import json
import os
import socket
import subprocess
import sys
import time

from backends import backends

NEAR, FAR = '10.213.0.1', '10.213.0.2'
CLIENTS = 40
TCP_RTO_MAX_MS = 44

CLIENT = '''
import socket, sys, threading, time

def read(sockets):
    while True:
        for s in sockets:
            s.recv(4096)
        time.sleep(0.01)

silent, readers = [], []
for address in sys.argv[2:]:
    host, port = address.rsplit(':', 1)
    for i in range(int(sys.argv[1])):
        s = socket.create_connection((host, int(port)))
        assert s.recv(5)
        (readers if i % 2 else silent).append(s)
threading.Thread(target=read, args=[readers], daemon=True).start()
print('there', flush=True)
sys.stdin.read()
'''


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def serve(build, backend):
    """(process, address)"""
    reads, writes = os.pipe()
    server = subprocess.Popen(
        [build + '/src/cli/stoa', 'serve', 'exec', 'exec cat /dev/zero 2>&-', NEAR + ':0', '--json',
         '--backend', backend, '--ready-fd', str(writes)],
        pass_fds=[writes], stderr=subprocess.PIPE, text=True)
    os.close(writes)
    with open(reads, encoding='ascii') as file:
        return server, file.read().strip().removeprefix('tcp://')


def other_namespace():
    other = subprocess.Popen(['unshare', '--net', 'cat'], stdin=subprocess.PIPE)
    own = os.readlink('/proc/self/ns/net')
    while os.readlink(f'/proc/{other.pid}/ns/net') == own:
        time.sleep(0.01)
    far = ['nsenter', '--target', str(other.pid), '--net']
    run('ip', 'link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far')
    run('ip', 'link', 'set', 'far', 'netns', str(other.pid))
    run('ip', 'addr', 'add', NEAR + '/24', 'dev', 'near')
    run('ip', 'link', 'set', 'near', 'up')
    run(*far, 'ip', 'addr', 'add', FAR + '/24', 'dev', 'far')
    run(*far, 'ip', 'link', 'set', 'far', 'up')
    return other, far


def last_left(server, since):
    """How many clients were given up, the seconds until the last of them was, the reasons, and
    lines that are none of the log's: a sanitizer's."""
    reasons, gone, strange = set(), 0, 0
    for line in server.stderr:
        if not line.startswith('{'):
            print('#', line, end='')
            strange += 1
            continue
        event = json.loads(line)
        if event['event'] == 'went':
            gone += 1
            reasons.add(event['reason'])
        if gone == CLIENTS:
            break
    return gone, time.monotonic() - since, reasons, strange


def cut(far, client, servers):
    """How many of the servers did not notice."""
    assert client.stdout.readline() == 'there\n'
    run(*far, 'ip', 'link', 'set', 'far', 'down')
    since = time.monotonic()
    failed = 0
    print(f'TAP version 13\n1..{len(servers)}')
    for i, (backend, (server, _)) in enumerate(servers.items(), 1):
        gone, took, reasons, strange = last_left(server, since)
        bad = gone < CLIENTS or strange > 0
        failed += bad
        print(f'# {gone} of {CLIENTS} given up {took:.1f} s after the cut: {sorted(reasons)}')
        print(f"{'not ok' if bad else 'ok'} {i} - a cut cable is noticed by {backend}", flush=True)
    return failed


def inside(build, names):
    """In a namespace of our own."""
    run('ip', 'link', 'set', 'lo', 'up')  # backends() listens there
    other, far = other_namespace()
    servers = {backend: serve(build, backend) for backend in names}
    client = subprocess.Popen(
        [*far, sys.executable, '-c', CLIENT, str(CLIENTS), *(at for _, at in servers.values())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        return 1 if cut(far, client, servers) else 0
    finally:  # a server that stays would have our output, and whoever reads it would wait
        for process in (*(server for server, _ in servers.values()), client, other):
            process.kill()
            process.wait()


def what_is_missing():
    with socket.socket() as s:
        try:
            s.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, 1200)
        except OSError:
            return 'the kernel has no TCP_RTO_MAX_MS'
    try:
        run('unshare', '--map-root-user', '--net', 'ip', 'link', 'add', 'near', 'type',
            'veth', 'peer', 'name', 'far')
    except (OSError, subprocess.CalledProcessError):
        return 'no network namespaces here'
    return None


def main(build, *inside_with):
    if inside_with:
        return inside(build, inside_with)
    missing = what_is_missing()
    if missing:
        print(f'TAP version 13\n1..1\nok 1 - a cut cable is noticed # SKIP {missing}')
        return 77
    return subprocess.run(['unshare', '--map-root-user', '--net', sys.executable, __file__, build,
                           *backends(build + '/src/cli/stoa')]).returncode


sys.exit(main(*sys.argv[1:]))
