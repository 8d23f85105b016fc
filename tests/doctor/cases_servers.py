"""cases_servers.py - servers that do not let in, or let go: queues, floods, restarts, limits."""
import errno
import os
import random
import resource
import select
import signal
import socket
import struct
import time

from net import have, void
from room import PATIENCE, Skip, case, listen, setting
from rows_net import checksum, syn


def knock(address, times, family=socket.AF_INET):
    """Connections under way, not waited for."""
    kept = []
    for _ in range(times):
        s = socket.socket(family)
        s.setblocking(False)
        s.connect_ex(address)
        kept.append(s)
    return kept


@case("a listener's queue is full")
def listen_queue_full(room):
    pid = room.server(('127.0.0.1', 7001), 2)
    kept = knock(('127.0.0.1', 7001), 12)
    last = socket.socket()
    last.settimeout(0.3)
    try:
        last.connect(('127.0.0.1', 7001))
    except OSError:
        room.saw('connect 127.0.0.1:7001: no answer, while the server is idle', 0)
    f = room.expect('listen-queue-full', rf'\(pid {pid}, .*3 connections in it, the limit is 2 .*'
                    r' [1-9]\d* dropped', severity='failing')
    assert 'listen()' in f['do'], f
    del kept


def honest(room, seconds):
    """How long an honest client waits, at most so many seconds: what a user sees, no more."""
    begun = time.monotonic()
    try:
        socket.create_connection(('127.0.0.1', 7001), timeout=seconds).close()
        room.saw(f'connect 127.0.0.1:7001 takes {time.monotonic() - begun:.2f} s', 0)
    except TimeoutError:
        room.saw(f'connect 127.0.0.1:7001: no answer in {seconds} s', 0)


def flooded(room, cookies):
    """False SYNs, for as long as the case lasts."""
    if have('ip'):
        raise Skip('no iproute2 here')
    void()
    setting('net.ipv4.tcp_syncookies', cookies)
    pid = room.server(('127.0.0.1', 7001), 64)
    r = random.Random(11)
    packets = [syn(7001, r) for _ in range(2000)]
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def some():
        for packet in packets:
            raw.sendto(packet, ('127.0.0.1', 0))
        time.sleep(0.02)
    room.busy(some)
    return pid


@case('a SYN flood, with cookies')
def syn_flood(room):
    pid = flooded(room, 1)
    honest(room, 60)
    room.expect('syn-flood', rf'^127.0.0.1:7001, .*\(pid {pid}, .* [1-9][\d,]* cookies sent')


@case('a SYN flood, without cookies')
def syn_dropped(room):
    pid = flooded(room, 0)
    honest(room, 1.5)
    f = room.expect('syn-dropped', rf'\(pid {pid}, .*cookies are off; [1-9][\d,]* requests dropped',
                    severity='failing')
    assert f['do'] == 'sysctl -w net.ipv4.tcp_syncookies="1"', f
    said = room.said_text
    _, _, err = room.run('--apply', 'syn-dropped')
    assert '--yes agrees' in err, err
    _, _, err = room.run('--apply', 'syn-dropped', '--yes', code=0)
    assert 'undo: sysctl -w net.ipv4.tcp_syncookies="0"' in err, err
    with open('/proc/sys/net/ipv4/tcp_syncookies', encoding='ascii') as f:
        assert f.read() == '1\n'
    room.said_text = said


def reply(packet):
    """The ACK to a SYN and ACK that was captured, from the host it was for."""
    ip = packet[14:]
    if ip[9] != 6 or ip[33] != 0x12:
        return None
    ours, theirs = ip[16:20], ip[12:16]
    their_port, our_port, seq, ack = struct.unpack('!HHII', ip[20:32])
    head = struct.pack('!HHIIBBHHH', our_port, their_port, ack, (seq + 1) & 0xffffffff, 0x50, 0x10,
                       1024, 0, 0)
    total = checksum(ours + theirs + struct.pack('!HH', 6, len(head)) + head)
    head = head[:16] + struct.pack('!H', total) + head[18:]
    return struct.pack('!BBHHHBBH4s4s', 0x45, 0, 40, 0, 0, 64, 6, 0, ours, theirs) + head


@case('more honest clients at once than the backlog')
def syn_burst(room):
    """Clients behind the wire `void`, which answer late: their first packets come all at once."""
    if have('ip'):
        raise Skip('no iproute2 here')
    void()
    setting('net.ipv4.tcp_syncookies', 1)

    def accept_all(ready):
        server = listen(('127.0.0.1', 7001), 16)
        ready()
        while True:
            server.accept()[0].close()
    pid = room.child(accept_all)
    r = random.Random(7)
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    wire.bind(('hole', 0))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def burst():
        for _ in range(200):
            raw.sendto(syn(7001, r), ('127.0.0.1', 0))
        while select.select([wire], [], [], 0.01)[0]:
            answer = reply(wire.recv(2000))
            if answer:
                raw.sendto(answer, ('127.0.0.1', 0))
    room.busy(burst)
    room.saw('nothing: the clients are served', 0)
    room.expect('syn-burst', rf'\(pid {pid}, .*cookies sent \(.*\), [1-9][\d,]* of them came back')


def shared():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(('127.0.0.1', 7001))
    s.listen(100)
    return s


@case('clients lost at a restart (SO_REUSEPORT)')
def restart_loss(room):
    """The new server is there already; the old one ends with clients in its queue."""
    setting('net.ipv4.tcp_migrate_req', 0)

    def old(ready):
        keep = shared()
        ready()
        signal.pause()
        keep.close()
    pid = room.child(old)
    new = shared()
    clients = [socket.create_connection(('127.0.0.1', 7001)) for _ in range(40)]
    f = room.expect('restart-loss', rf'^127.0.0.1:7001, .*it shares the port with \S+ \(pid \d+\), '
                    r'.*: \d+ and \d+ wait in them')
    assert f['do'] == 'sysctl -w net.ipv4.tcp_migrate_req="1"', f
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    room.children.remove(pid)
    lost = 0
    select.select(clients, [], [], PATIENCE)  # until a reset has come
    for c in clients:
        c.setblocking(False)
        try:
            c.recv(1)
        except BlockingIOError:
            continue
        except OSError as e:
            assert e.errno == errno.ECONNRESET
            lost += 1
    assert lost, 'none was reset'
    room.saw(f'recv, of {lost} of 40 clients', errno.ECONNRESET)
    new.close()


@case('no descriptor left')
def descriptors(room):
    def spin(ready):
        server = listen(('127.0.0.1', 7001), 100)
        server.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
        kept = []
        told = False
        while True:
            try:
                kept.append(server.accept())
            except OSError as e:
                if e.errno == errno.EMFILE and not told:
                    ready()
                    told = True
    clients = []

    def visit(ready):
        until = time.monotonic() + 60
        while len(clients) < 80 and time.monotonic() < until:
            try:
                clients.append(socket.create_connection(('127.0.0.1', 7001)))
            except OSError:
                time.sleep(0.01)
        ready()
        signal.pause()
    visitor = os.fork()
    if visitor == 0:
        visit(lambda: None)
    room.children.append(visitor)
    pid = room.child(spin)
    room.saw('accept', errno.EMFILE)
    room.expect('descriptors', rf'\(pid {pid}, .*64 of 64 descriptors are open \(hard limit 128\); '
                r'it uses [1-9]\d* %', severity='failing')
    assert f'--pid {pid} --nofile=128' in room.expect('descriptors', '64 of 64')['do']


@case("a UNIX listener's queue is full")
def unix_queue_full(room):
    name = f'\0stoa-doctor-{os.getpid()}'
    server = listen(name, 1, False, socket.AF_UNIX)
    kept = []

    def connect_all():
        for _ in range(10):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            s.connect(name)
            kept.append(s)
    assert room.fails('connect unix:@server, non-blocking', connect_all) == errno.EAGAIN
    room.expect('unix-queue-full', rf'^unix:@stoa-doctor-{os.getpid()}, .*\(pid {os.getpid()}, .*2 '
                'connections in it, the limit is 1', severity='failing')
    room.said_text = room.said_text.replace(f'stoa-doctor-{os.getpid()}', 'server')
    server.close()
