"""rows_net.py - the network itself: 11, 24, 26."""
import os
import random
import signal
import socket
import struct
import subprocess
import time

from client import ask, close_all, dial, noise, part, talk, visits
from net import Peer, have, ip, void
from row import Skip, row
from rows_bytes import several
from weather import DEVICE, WORDS, StormyPeer


def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def syn(port, r):
    """A SYN from a host that is not there."""
    here, there = socket.inet_aton('127.0.0.1'), bytes([10, *r.randbytes(2), r.randrange(1, 255)])
    head = struct.pack('!HHIIBBHHH', r.randrange(1024, 65536), port, r.getrandbits(32), 0, 0x50, 2,
                       1024, 0, 0)
    total = checksum(there + here + struct.pack('!HH', 6, len(head)) + head)
    packet = head[:16] + struct.pack('!H', total) + head[18:]
    return struct.pack('!BBHHHBBH4s4s', 0x45, 0, 40, 0, 0, 64, 6, 0, there, here) + packet


def syn_flood(port, seconds):
    """A process that floods; its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.alarm(int(seconds) + 5)
        r = random.Random(11)
        packets = [syn(port, r) for _ in range(20_000)]
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as s:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                for _ in range(1000):
                    s.sendto(r.choice(packets), ('127.0.0.1', 0))
    finally:
        os._exit(0)


def counter(name, file='netstat'):
    """One of the kernel's counters, in this namespace."""
    with open('/proc/net/' + file, encoding='ascii') as f:
        lines = [line.split() for line in f]
    for heads, values in zip(lines[::2], lines[1::2]):
        if name in heads:
            return int(values[heads.index(name)])
    return 0


@row(11, 'SYN flood', '100 % answered, p99 < 20 ms', alone=True)
def flooded(at):
    if have('ip'):
        raise Skip('no iproute2 here')
    void()
    server = at.start()
    seconds = at.few(2, 6)
    calm = part(visits(server, int(seconds * 40), 0.02)[0], .99)
    before = counter('SyncookiesSent')
    pid, until = syn_flood(server.port, seconds + 2), time.monotonic() + 10
    while counter('SyncookiesSent') == before and time.monotonic() < until:
        time.sleep(0.01)
    took, failed = visits(server, int(seconds * 40), 0.02)
    sent = (counter('SyncookiesSent') - before) / seconds
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    late = part(took, .99)
    good = failed == 0 and late < 20 + min(calm, 20) and sent > 0
    return good, (f'{failed} of {len(took)} lost, p99 {late:.1f} ms ({calm:.1f} before), '
                  f'{sent:,.0f} cookies/s')


LOSS = '''
add table inet t
add chain inet t in { type filter hook input priority 0 ; }
add rule inet t in numgen random mod 100 < 5 drop
'''


@row(24, '5 % loss', '0 wrong', alone=True)
def loss(at):
    """Every twentieth packet is lost, both ways.  No netem: what reorders and doubles is not here
    (row 25)."""
    if have('nft'):
        raise Skip('no nft here')
    server = at.start()
    if subprocess.run(['nft', '-f', '-'], input=LOSS, text=True, capture_output=True,
                      check=False).returncode:
        raise Skip('nft is forbidden here')
    data, begun, wrong, again = noise(at.few(50_000, 400_000), 24), time.monotonic(), 0, 0

    def one(_):
        with server.dial(timeout=60) as s:
            return talk(s, data, server.expect(data), lambda: 1400, silence=40)
    while not again:  # by chance none may be lost
        wrong += several(8, one)
        again = counter('RetransSegs', 'snmp')
    took = time.monotonic() - begun
    return wrong == 0, (f'{wrong} wrong of {8 * len(data):,} in {took:.1f} s, '
                        f'{again} packets sent again')


class InBadWeather(StormyPeer):
    """Eight clients at a time at the other end of the wire, until the time is over and each kind
    of harm was done."""
    port, seconds, page = 0, 0, ''

    def scene(self):
        self.wait()
        until, sums, data = time.monotonic() + self.seconds, [0, 0], noise(300_000, 25)
        with dial(self.port, timeout=60) as s:
            upper = ask(s, b'aB') == b'AB'

        def one(k):
            wrong, r = 0, random.Random(k)
            while time.monotonic() < until or min(self.fate().values()) == 0:
                piece = data[r.randrange(len(data)):][:r.randrange(1, 100_000)]
                with dial(self.port, timeout=60) as s:
                    wrong += talk(s, piece, piece.upper() if upper else piece, lambda: 1400,
                                  silence=40)
                sums[1] += len(piece)
            return wrong
        sums[0] = several(8, one)
        with open(self.page, 'w', encoding='ascii') as f:
            f.write(' '.join(map(str, sums)))
        os.write(self.talk, b'.')


@row(25, 'jitter, reorder, duplicates, damage', '0 wrong', alone=True)
def weather(at):
    """Of the packets 10 % are late by up to 20 ms, 2 % come twice, 1 % are damaged, 1 % lost."""
    if have('ip') or not os.access(DEVICE, os.R_OK | os.W_OK):
        raise Skip(f'no iproute2 or no {DEVICE} here')
    InBadWeather.port, InBadWeather.seconds = 4000, at.few(3, at.seconds)
    InBadWeather.page = os.path.join(at.folder, 'sums')
    peer = InBadWeather()
    try:
        at.start()
        peer.go()
    finally:
        peer.end()
    with open(InBadWeather.page, encoding='ascii') as f:
        wrong, asked = map(int, f.read().split())
    fate = peer.fate()
    words = ', '.join(f'{fate[word]:,} {word}' for word in WORDS)
    good = wrong == 0 and asked > 0 and min(fate.values()) > 0
    return good, f'{wrong} wrong of {asked:,} in {InBadWeather.seconds:g} s; packets: {words}'


class Visitors(Peer):
    """Forty clients at the other end of the wire, in the middle of a long answer."""
    count = 40
    port = 0

    def scene(self):
        self.wait()
        clients = [dial(self.port, tiny=True) for _ in range(self.count)]
        for s in clients:
            s.setblocking(False)
            try:
                while True:
                    s.send(b'there is much to say\n' * 3000)
            except BlockingIOError:
                pass
        os.write(self.talk, b'.')
        self.wait()
        ip('link set far down')
        os.write(self.talk, b'.')
        self.wait()  # they never hear of it
        close_all(clients)


@row(26, 'cable cut', 'all 40 released < 20 s', alone=True)
def cut(at):
    if have('ip'):
        raise Skip('no iproute2 here')
    Visitors.port = 4000
    peer = Visitors()
    try:
        server = at.start()
        fds = server.fds()
        peer.go()
        time.sleep(0.5)
        came = server.fds() - fds
        peer.go()
        begun = time.monotonic()
        while (left := server.fds() - fds) > 0 and time.monotonic() < begun + at.few(22, 25):
            time.sleep(0.1)
        took = time.monotonic() - begun
    finally:
        peer.end()
    if came < Visitors.count:
        return False, f'only {came} of {Visitors.count} came'
    word = f'all released in {took:.1f} s' if left <= 0 else f'{left} fds held after {took:.0f} s'
    return left <= 0 and took < 20, word
