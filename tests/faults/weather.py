"""weather.py - a wire through which packets come late, overtake each other, come twice, come
damaged, or not at all.

The kernel's netem does that, and many machines have none.  Here the two ends of the wire are TUN
devices, and a process of ours carries each packet from one to the other.  TUN hands over packets
with their checksums made, so that who receives a damaged one can know it.
"""
import fcntl
import heapq
import mmap
import os
import random
import select
import signal
import socket
import struct
import time
import traceback

from net import Peer

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DEVICE = '/dev/net/tun'
LOST, TWICE, DAMAGED, LATE = 0.01, 0.02, 0.01, 0.10  # of all packets
LATE_MAX = 0.02  # seconds: what is not late overtakes it
WORDS = ('carried', 'lost', 'twice', 'damaged', 'late')


def tun(name):
    fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


class Carrier:
    """From one device to the other, in both directions."""

    def __init__(self, one, other, counts):
        self.to, self.counts, self.random = {one: other, other: one}, counts, random.Random(25)
        self.waiting, self.number = [], 0  # (when, number, device, packet)

    def count(self, word):
        at = 8 * WORDS.index(word)
        value, = struct.unpack_from('q', self.counts, at)
        struct.pack_into('q', self.counts, at, value + 1)

    def run(self):
        poll = select.epoll()
        for device in self.to:
            poll.register(device, select.EPOLLIN)
        while True:
            wait = max(self.waiting[0][0] - time.monotonic(), 0) if self.waiting else -1
            for device, _ in poll.poll(wait):
                self.take(os.read(device, 65536), self.to[device])
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                self.put(*heapq.heappop(self.waiting)[2:])

    def take(self, packet, device):
        chance = self.random.random
        if chance() < LOST:
            self.count('lost')
            return
        if chance() < TWICE:
            self.count('twice')
            self.queue(packet, device)
        self.queue(packet, device)

    def queue(self, packet, device):
        when = time.monotonic()
        if self.random.random() < DAMAGED:
            self.count('damaged')
            at = self.random.randrange(len(packet))
            bit = bytes([packet[at] ^ 1 << self.random.randrange(8)])
            packet = packet[:at] + bit + packet[at + 1:]
        if self.random.random() < LATE:
            self.count('late')
            when += self.random.random() * LATE_MAX
        self.number += 1
        heapq.heappush(self.waiting, (when, self.number, device, packet))

    def put(self, device, packet):
        self.count('carried')
        try:
            os.write(device, packet)
        except OSError:  # what is no longer a packet of IP
            pass


class StormyPeer(Peer):
    """A peer at the end of such a wire.  What became of the packets is in `fate()`."""

    def __init__(self):
        self.pair = socket.socketpair()
        self.counts = mmap.mmap(-1, 8 * len(WORDS))
        self.carrier = 0
        super().__init__()

    def far(self):
        fd = tun('far')
        socket.send_fds(self.pair[1], [b'.'], [fd])
        os.close(fd)

    def near(self):
        _, (far,), _, _ = socket.recv_fds(self.pair[0], 1, 1)
        wire = tun('wire')
        self.carrier = os.fork()
        if self.carrier == 0:
            try:
                Carrier(wire, far, self.counts).run()
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(1)
        os.close(far)
        os.close(wire)

    def fate(self):
        return dict(zip(WORDS, struct.unpack(f'{len(WORDS)}q', self.counts[:])))

    def end(self):
        if self.carrier:
            os.kill(self.carrier, signal.SIGKILL)
            os.waitpid(self.carrier, 0)
        super().end()
