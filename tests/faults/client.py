"""client.py - clients of a line server: polite ones, many at once, and what they measure."""
import os
import random
import select
import socket
import struct
import time

IP_BIND_ADDRESS_NO_PORT = 24
TINY = 2048  # of a socket's buffers, where rows want short reads and writes


def patience(seconds):
    """So long is waited for what should come sooner; `run --patience` makes it longer."""
    return seconds * float(os.environ.get('STOA_PATIENCE', 1))


def address(k):
    """One of 65,000 addresses of this machine: a limit for each address is not what is tested."""
    return f'127.1.{k >> 8 & 255}.{k & 255}'


def make(source=None, tiny=False, v6=False):
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tiny:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TINY)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TINY)
    if source is not None:
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((source if isinstance(source, str) else address(source), 0))
    return s


def dial(port, timeout=10, source=None, tiny=False, host='127.0.0.1'):
    s = make(source, tiny)
    s.settimeout(patience(timeout))
    try:
        s.connect((host, port))
    except OSError:
        s.close()
        raise
    return s


def ask(s, line):
    """Send a line; its answer, or what of it came before the end."""
    s.sendall(line)
    return receive(s, len(line))


def receive(s, size):
    got = b''
    while len(got) < size:
        more = s.recv(min(size - len(got), 1 << 20))
        if not more:
            break
        got += more
    return got


def reset(s):
    """Leave with RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()


def talk(s, data, expect, split=lambda: 65536, half_close=False, read_after=0, silence=20):
    """Send all in pieces while reading; how many bytes are wrong or missing, and the end too."""
    s.setblocking(False)
    sent, got, wrong, over = 0, 0, 0, False
    begun = moved = time.monotonic()
    while not over and (got < len(expect) or half_close):
        reads = [s] if time.monotonic() >= begun + read_after else []
        readable, writable, _ = select.select(reads, [s] if sent < len(data) else [], [], 0.2)
        if readable:
            more = s.recv(1 << 18)
            over = not more
            wrong += differ(more, expect[got:got + len(more)])
            got += len(more)
        if writable:
            try:
                sent += s.send(data[sent:sent + split()])
            except BlockingIOError:
                pass
            if sent == len(data) and half_close:
                s.shutdown(socket.SHUT_WR)
        if readable or writable or not reads:
            moved = time.monotonic()
        elif time.monotonic() > moved + patience(silence):
            break
    s.setblocking(True)
    return wrong + len(expect) - min(got, len(expect)) + (half_close and not over)


def differ(a, b):
    """How many bytes differ."""
    if a == b:
        return 0
    return abs(len(a) - len(b)) + sum(x != y for x, y in zip(a, b))


def noise(size, seed):
    """Bytes of every kind, letters often."""
    r = random.Random(seed)
    return r.randbytes(size // 2) + bytes(r.choices(b'abcxyzABC \n\xc3\xa4', k=size - size // 2))


def crowd(port, count, line=None, source=None, seconds=20, gap=0):
    """Connect many without waiting for one another; send a line each.  Their sockets and, for
    each that was answered in full, the seconds from the first connect to its answer."""
    poll, all_, waits, begun = select.epoll(), {}, {}, time.monotonic()
    for k in range(count):
        s = make(k // 500 if source is None else source)
        s.setblocking(False)
        try:
            s.connect(('127.0.0.1', port))
        except BlockingIOError:
            pass
        except OSError:
            s.close()
            continue
        all_[s.fileno()] = s
        poll.register(s, select.EPOLLOUT)
        if gap:
            time.sleep(gap)
    left = set(all_)
    while left and time.monotonic() < begun + patience(seconds):
        for fd, event in poll.poll(0.1, 4096):
            good = step(poll, all_[fd], event, line)
            if good is not None:
                left.discard(fd)
            if good:
                waits[fd] = time.monotonic() - begun
    poll.close()
    return list(all_.values()), list(waits.values())


def step(poll, s, event, line):
    """One event of a client in a crowd: whether it was answered; None, when that is not over."""
    try:
        if event & select.EPOLLOUT and not event & (select.EPOLLERR | select.EPOLLHUP) and line:
            s.send(line)
            poll.modify(s, select.EPOLLIN)
            return None
        poll.unregister(s)
        if not line:
            return not event & select.EPOLLERR
        return bool(s.recv(len(line)))  # a long line may come in pieces
    except OSError:  # reset, refused
        return False


def close_all(sockets):
    for s in sockets:
        s.close()


def part(values, share):
    """The value below which so large a share of them is; milliseconds in, milliseconds out."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else float('inf')


def time_of(function, *args):
    """What it returns, and its milliseconds."""
    begun = time.monotonic()
    value = function(*args)
    return value, (time.monotonic() - begun) * 1000


def visits(server, count, pause=0.0, source=None):
    """New clients, one after the other: milliseconds from connect to answer; how many failed."""
    took, failed = [], 0
    for _ in range(count):
        begun = time.monotonic()
        try:
            with server.dial(source=source, timeout=5) as s:
                good = ask(s, b'hello there\n') == server.expect(b'hello there\n')
        except OSError:
            good = False
        failed += not good
        took.append((time.monotonic() - begun) * 1000)
        time.sleep(pause)
    return took, failed
