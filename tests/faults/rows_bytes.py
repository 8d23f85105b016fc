"""rows_bytes.py - bytes in, bytes out: 1, 5, 6, 8, 19, 22."""
import concurrent.futures
import random
import socket
import time

from client import close_all, noise, receive, talk
from row import row

KIB, MIB = 1 << 10, 1 << 20


def several(count, function):
    """Run it for 0, 1, ... at once; the sum of what they return."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return sum(pool.map(function, range(count)))


@row(1, 'any bytes, any split', '0 wrong of 10^9 bytes')
def any_bytes(at):
    server = at.start()
    data, size, wrong = noise(8 * MIB, 1), 0, 0
    expect, until = server.expect(data), time.monotonic() + at.few(3, 12)
    r = random.Random(1)
    while size < at.few(16 * MIB, 10 ** 9) and time.monotonic() < until:
        with server.dial() as s:
            wrong += talk(s, data, expect, lambda: r.choice((1, 7, 1023, 1024, 65536, MIB)))
        size += len(data)
    return wrong == 0, f'{wrong} wrong of {size:,}'


@row(5, 'half-close', '0 missing, then the end')
def half_close(at):
    """A client that has said all it has to say, and listens late."""
    server = at.start()
    data = noise(at.few(512 * KIB, 8 * MIB), 5)

    def one(k):
        with server.dial() as s:
            return talk(s, data, server.expect(data), half_close=True, read_after=(0, 1.2)[k % 2])

    def short(_):
        with server.dial(timeout=5) as s:
            s.sendall(b'last words')
            s.shutdown(socket.SHUT_WR)
            time.sleep(0.2)
            return 10 - len(receive(s, 11))
    missing, count = several(4, one), 4
    missing += sum(short(k) for k in range(3))
    return missing == 0, f'{missing:,} missing of {count * len(data):,}'


@row(6, 'leave in mid-answer', '0 deaths, 0 leaks')
def leave(at):
    server = at.start()
    fds, data = server.fds(), noise(256 * KIB, 6)
    for _ in range(at.few(30, 500)):
        with server.dial() as s:
            s.setblocking(False)
            try:
                s.send(data)
                s.recv(1)
            except BlockingIOError:
                pass
    lost = server.fds_back(fds)
    good = server.alive() and server.answers()
    return good and lost <= 0, f'{"lives" if good else "dead"}, {max(lost, 0)} fds leaked'


def push(s, data):
    """Send without ever reading, until nothing goes any more; how much went."""
    s.setblocking(False)
    sent, still = 0, 0
    while still < 20:
        try:
            at = sent % len(data)
            sent += s.send(data[at:at + 65536])
            still = 0
        except BlockingIOError:
            still += 1
            time.sleep(0.02)
    s.setblocking(True)
    return sent


@row(8, 'never reads', '<= 64 KiB user memory each, 0 wrong after')
def never_reads(at):
    """Clients that send and send; at last they read it all.  In full they are silent for longer
    than it takes to notice a cut cable (row 26): they are alive."""
    server = at.start()
    data, count = noise(MIB, 8), at.few(8, 32)
    expect, memory = server.expect(data), server.memory()
    clients = [server.dial(timeout=20, tiny=True) for _ in range(count)]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        sent = list(pool.map(lambda s: push(s, data), clients))
    each = (server.memory() - memory) / count
    served = server.answers()
    time.sleep(at.few(0, 22))

    def rest(k):
        try:
            return differ_all(clients[k], expect, sent[k])
        except OSError:
            return sent[k]
    wrong = several(count, rest)
    close_all(clients)
    good = each <= 64 * KIB and wrong == 0 and served
    return good, f'{each / KIB:.0f} KiB each, {wrong:,} wrong of {sum(sent):,}'


def differ_all(s, expect, size):
    """Read so many bytes of an answer that goes round; how many are wrong or missing."""
    s.settimeout(10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
    at = 0
    while at < size:
        more = s.recv(min(size - at, len(expect) - at % len(expect)))
        begin = at % len(expect)
        if not more or more != expect[begin:begin + len(more)]:
            return size - at
        at += len(more)
    return 0


@row(19, 'short reads and writes', '0 wrong')
def short(at):
    """Tiny buffers; a byte at a time."""
    server = at.start()
    data = noise(at.few(40, 400) * KIB, 19)

    def one(k):
        part = data[:5000] if k % 2 else data
        with server.dial(tiny=True) as s:
            return talk(s, part, server.expect(part), (lambda: 20000, lambda: 1)[k % 2])
    wrong = several(4, one)
    return wrong == 0, f'{wrong} wrong of {2 * len(data) + 10000:,}'


@row(22, 'hostile bytes', '0 crashes, nothing raw in the log')
def hostile(at):
    server = at.start()
    r, fds = random.Random(22), server.fds()
    for k in range(at.few(100, 3000)):
        with server.dial() as s:
            s.sendall(r.choice((b'\x1b]0;x\x07\x1b[2J', b'\0' * 99, b'%n%s' * 9, b'\xff' * 300,
                                b'GET / HTTP/1.1\r\n\r\n', b'\x16\x03\x01\x02\0', b'\r' * 5000,
                                r.randbytes(r.randrange(1, 9000)))))
            if k % 3 == 0:
                s.shutdown(socket.SHUT_WR)
            s.setblocking(False)
            try:
                s.recv(100)
            except OSError:
                pass
    raw = sum(c < 32 and c != 10 and c != 9 for c in server.said().encode())
    good = server.alive() and server.answers() and server.fds_back(fds) <= 0
    return good and not raw, f'{"lives" if good else "dead"}, {raw} raw bytes in the log'
