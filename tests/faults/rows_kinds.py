"""rows_kinds.py - other kinds: datagrams, UNIX paths, clients: 28, 29, 30, 31."""
import os
import re
import shlex
import socket
import stat
import subprocess
import time

from client import ask, patience
from net import have, ip, void
from row import Skip, row


def datagram_server(at):
    if not at.udp:
        raise Skip('no --udp command')
    server = at.begin(at.udp, at.words(), ready=False)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(('127.0.0.1', server.port))
    s.settimeout(0.05)
    for _ in range(200):
        try:
            s.send(b'aB')
            server.upper = s.recv(9) == b'AB'
            break
        except OSError:
            time.sleep(0.02)
    s.settimeout(patience(2))
    s.send(b'THE LAST')
    while s.recv(9) != b'THE LAST':  # answers that came late
        pass
    return server, s


@row(28, 'UDP, 0 to 65,507 bytes', '0 wrong, boundaries kept')
def datagrams(at):
    server, s = datagram_server(at)
    data, wrong, count = os.urandom(65507), 0, 0
    for size in (*range(0, 65508, at.few(997, 13)), 65507):
        piece = data[:size]
        s.send(piece)
        try:
            wrong += s.recv(65536) != server.expect(piece)
        except OSError:
            wrong += 1
        count += 1
    for _ in range(20):  # answers that come back as ICMP errors are nobody else's
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.sendto(b'and gone', ('127.0.0.1', server.port))
    s.send(b'still there?')
    wrong += s.recv(99) != server.expect(b'still there?')
    return wrong == 0 and server.alive(), f'{wrong} wrong of {count:,}'


def unix_ask(path):
    """Whether a server answers there."""
    until = time.monotonic() + patience(3)
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(patience(2))
            try:
                s.connect(path)
                return ask(s, b'AB\n') == b'AB\n'
            except OSError:
                time.sleep(0.01)
    return False


@row(29, 'UNIX path', '0 of 7 wrong')
def unix_path(at):
    if not at.unix:
        raise Skip('no --unix command')

    def begin(path):
        return at.begin(at.unix, {'dir': at.folder, 'path': path}, ready=False)

    def refused(path):
        status = begin(path).ended(3)
        return status not in (None, 0)
    path, plain = os.path.join(at.folder, 's'), os.path.join(at.folder, 'plain')
    wrong, longest = [], os.path.join(at.folder, 'x' * 107)[:107]
    with open(plain, 'w', encoding='ascii') as f:
        f.write('precious')
    first = begin(path)
    checks = {
        'serves': lambda: unix_ask(path),
        'mode 0600': lambda: stat.S_IMODE(os.stat(path).st_mode) == 0o600,
        'live': lambda: refused(path) and unix_ask(path),
        'plain file': lambda: refused(plain) and os.path.getsize(plain) == 8,
        '107 bytes': lambda: bool(begin(longest)) and unix_ask(longest),
        '108 bytes': lambda: refused(longest + 'x'),
        'stale': lambda: first.kill() or (bool(begin(path)) and unix_ask(path)),
    }
    for name, check in checks.items():
        if not check():
            wrong.append(name)
    return not wrong, ': '.join(filter(None, [f'{len(wrong)} of {len(checks)} wrong',
                                              ', '.join(wrong)]))


def over(path, text, folder):
    """Another file of these contents at this path, in our mount namespace alone."""
    name = os.path.join(folder, os.path.basename(path))
    with open(name, 'w', encoding='ascii') as f:
        f.write(text)
    if subprocess.run(['mount', '--bind', name, path], capture_output=True, check=False).returncode:
        raise Skip('no mount namespace here')


def connect(at, address):
    """The client's exit status, what it said, its seconds."""
    begun = time.monotonic()
    done = subprocess.run(shlex.split(at.client.replace('{address}', address)), input='hello\n',
                          capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - begun


def only_clients(at):
    if not at.client:
        raise Skip('no --client command')
    if have('ip', 'mount'):
        raise Skip('no iproute2 here')


@row(30, 'dead name server', '<= asked + 0.1 s, names host and server', alone=True)
def names(at):
    only_clients(at)
    void()
    over('/etc/resolv.conf', 'nameserver 10.1.1.1\n', at.folder)
    over('/etc/nsswitch.conf', 'hosts: files dns\n', at.folder)
    status, said, took = connect(at, 'host.example:80')
    asked = float((re.search(r'timeout[= ]([\d.]+)', at.client) or [0, 'nan'])[1])
    named = [w for w in ('host.example', '10.1.1.1') if w in said]
    good = status != 0 and took <= asked + 0.1 and len(named) == 2
    return good, f'{took:.2f} s of {asked:g} asked, names {" and ".join(named) or "nothing"}'


@row(31, 'one family is dead', '< 300 ms later than the best', alone=True)
def families(at):
    only_clients(at)
    void()
    server = at.start()
    ip('addr add fd00::1/64 dev void nodad')
    over('/etc/hosts', '127.0.0.1 four.test both.test\nfd00::99 both.test\n', at.folder)
    over('/etc/nsswitch.conf', 'hosts: files\n', at.folder)
    results = [connect(at, f'{host}:{server.port}') for host in ('four.test', 'both.test')]
    later = results[1][2] - results[0][2]
    good = all(server.expect(b'hello').decode() in said for _, said, _ in results)
    word = 'served' if good else 'not served'
    return good and later < 0.3, f'{word}, {later * 1000:.0f} ms later'
