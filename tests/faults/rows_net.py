"""rows_net.py - the network itself: 11, 24, 26."""
import os
import random
import signal
import socket
import struct
import subprocess
import time

from client import close_all, dial, noise, part, talk, visits
from net import Peer, have, ip, void
from row import Skip, row
from rows_bytes import several


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


@row(25, 'jitter, reorder, duplicates', '0 wrong in 1 h')
def reorder(_at):
    raise Skip('netem is needed; tests/sim has it')


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
        os.kill(peer.pid, signal.SIGKILL)
        os.waitpid(peer.pid, 0)
    if came < Visitors.count:
        return False, f'only {came} of {Visitors.count} came'
    word = f'all released in {took:.1f} s' if left <= 0 else f'{left} fds held after {took:.0f} s'
    return left <= 0 and took < 20, word
