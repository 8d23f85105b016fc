"""talking.py - situations: streams, datagrams, descriptors that are passed."""
import errno
import os
import socket
import tempfile
import threading

from situation import LOOPBACK, closes, differs, error, nobody, pair, situation


@situation
def bytes_come_as_they_went(n):
    a, b = pair(n)
    n.sendall(a, b'hello, ')
    n.sendall(a, b'world')
    result = b''
    while len(result) < 12:
        result += n.recv(b, 5)
    closes(n, a, b)
    return result


@situation
def the_end_of_a_stream(n):
    a, b = pair(n)
    n.sendall(a, b'x')
    n.shutdown(a, socket.SHUT_WR)
    result = n.recv(b, 10), n.recv(b, 10), n.recv(b, 10)
    closes(n, a, b)
    return result


@situation
def half_close_then_reply(n):
    a, b = pair(n)
    n.shutdown(a, socket.SHUT_WR)
    end = n.recv(b, 1)
    n.sendall(b, b'answer')
    result = end, n.recv(a, 100), error(n.send, a, b'x')
    closes(n, a, b)
    return result


@situation
def recv_out_of_time(n):
    a, b = pair(n)
    n.settimeout(a, 0.02)
    result = error(n.recv, a, 1)
    closes(n, a, b)
    return result


@situation
def recv_without_waiting(n):
    a, b = pair(n)
    n.setblocking(a, False)
    result = error(n.recv, a, 1)
    closes(n, a, b)
    return result


@situation
@differs('"EAGAIN non-blocking socket, or MSG_DONTWAIT, and nothing to read"', 'EAGAIN')
def MSG_DONTWAIT_with_a_timeout(n):
    a, b = pair(n)
    n.settimeout(a, 0.05)
    result = error(n.recv, a, 1, socket.MSG_DONTWAIT)
    closes(n, a, b)
    return result


@situation
def MSG_PEEK(n):
    a, b = pair(n)
    n.sendall(a, b'abc')
    result = n.recv(b, 2, socket.MSG_PEEK), n.recv(b, 10)
    closes(n, a, b)
    return result


@situation
def MSG_WAITALL(n):
    a, b = pair(n)
    t = threading.Timer(0.02, n.sendall, (a, b'def'))
    n.sendall(a, b'abc')
    t.start()
    result = n.recv(b, 6, socket.MSG_WAITALL)
    t.join()
    closes(n, a, b)
    return result


@situation
def recv_of_0_bytes(n):
    a, b = pair(n)
    result = n.recv(a, 0)
    closes(n, a, b)
    return result


@situation
def recv_of_less_than_nothing(n):
    a, b = pair(n)
    try:
        return n.recv(a, -1)
    finally:
        closes(n, a, b)


@situation
def a_reset(n):
    a, b = pair(n)
    n.abort(b)
    result = error(n.recv, a, 1), n.recv(a, 1), error(n.send, a, b'x')
    n.close(a)
    return result


@situation
def sending_where_nobody_reads_any_more(n):
    a, b = n.socketpair()
    n.close(b)
    result = error(n.send, a, b'x'), error(n.sendall, a, b'x')
    n.close(a)
    return result


@situation
def send_may_be_short(n):
    a, b = pair(n)
    n.setblocking(a, False)
    sent = n.send(a, bytes(64 << 20))
    result = 0 < sent < 64 << 20
    try:
        while True:
            n.send(a, bytes(1 << 16))
    except OSError as e:
        result = result, errno.errorcode[e.errno]
    n.abort(a)
    n.close(b)
    return result


@situation
def sendall_without_waiting(n):
    a, b = pair(n)
    n.setblocking(a, False)
    result = error(n.sendall, a, bytes(64 << 20))
    n.abort(a)
    n.close(b)
    return result


@situation
def sendall_out_of_time(n):
    a, b = pair(n)
    n.settimeout(a, 0.05)
    result = error(n.sendall, a, bytes(64 << 20))
    n.abort(a)
    n.close(b)
    return result


@situation
def sendall_of_much(n):
    a, b = pair(n)
    t = threading.Thread(target=lambda: (n.sendall(a, bytes(5 << 20)),
                                         n.shutdown(a, socket.SHUT_WR)))
    t.start()
    got = 0
    while part := n.recv(b, 1 << 16):
        got += len(part)
    t.join()
    closes(n, a, b)
    return got


@situation
def sendall_of_nothing(n):
    a, b = pair(n)
    n.sendall(a, b'')
    n.setblocking(b, False)
    result = n.send(a, b''), error(n.recv, b, 1)
    closes(n, a, b)
    return result


@situation
def shutdown_how(n):
    a, b = pair(n)
    result = error(n.shutdown, a, 7), error(n.shutdown, a, -1), error(n.shutdown, a, 2)
    closes(n, a, b)
    return result


@situation
def sendfile_of_a_part(n):
    with tempfile.NamedTemporaryFile() as f:
        f.write(bytes(range(256)) * 10)
        f.flush()
        a, b = pair(n)
        result = (n.sendfile(a, f.name, 100, 50), n.sendfile(a, f.name, 2500, 1000),
                  n.recv(b, 110, socket.MSG_WAITALL)[-2:])
        closes(n, a, b)
    return result


# ---------------------------------------------------------------- datagrams


def bound(n, family=socket.AF_INET):
    s = n.socket(family, socket.SOCK_DGRAM)
    n.bind(s, {socket.AF_INET: LOOPBACK, socket.AF_INET6: ('::1', 0), socket.AF_UNIX: ''}[family])
    return s


@situation
def datagrams_and_their_senders(n):
    results = []
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        a, b = bound(n, family), bound(n, family)
        sent = n.sendto(a, b'hello', n.getsockname(b))
        data, sender = n.recvfrom(b, 100)
        results.append((sent, data, sender == n.getsockname(a)))
        closes(n, a, b)
    return results


@situation
def an_unnamed_sender(n):
    a, b = n.socket(socket.AF_UNIX, socket.SOCK_DGRAM), bound(n, socket.AF_UNIX)
    n.sendto(a, b'x', n.getsockname(b))
    result = n.recvfrom(b, 10)
    closes(n, a, b)
    return result


@situation
def an_empty_datagram(n):
    a, b = bound(n), bound(n)
    n.sendto(a, b'', n.getsockname(b))
    n.sendto(a, b'x', n.getsockname(b))
    result = n.recvfrom(b, 10)[0], n.recvfrom(b, 10)[0]
    closes(n, a, b)
    return result


@situation
def a_cut_datagram(n):
    a, b = bound(n), bound(n)
    for _ in range(3):
        n.sendto(a, b'0123456789', n.getsockname(b))
    result = n.recvfrom(b, 4)[0], n.recv_length(b, 4, socket.MSG_TRUNC), n.recv(b, 100)
    closes(n, a, b)
    return result


@situation
def recvfrom_of_0_bytes_takes_one(n):
    a, b = bound(n), bound(n)
    n.sendto(a, b'1', n.getsockname(b))
    n.sendto(a, b'2', n.getsockname(b))
    result = n.recvfrom(b, 0)[0], n.recvfrom(b, 10)[0]
    closes(n, a, b)
    return result


@situation
def a_datagram_that_is_too_long(n):
    a, b = bound(n), bound(n)
    result = error(n.sendto, a, bytes(70000), n.getsockname(b))
    closes(n, a, b)
    return result


@situation
def a_refused_datagram_is_told_once(n):
    a = bound(n)
    n.connect(a, nobody(n, socket.SOCK_DGRAM))
    n.send(a, b'x')
    first = error(n.recv, a, 1)
    n.settimeout(a, 0.02)
    second = error(n.recv, a, 1)
    n.close(a)
    return first, second


@situation
def a_datagram_to_no_one(n):
    a = n.socket(kind=socket.SOCK_DGRAM)
    result = error(n.send, a, b'x')
    n.close(a)
    return result


@situation
def passing_descriptors(n):
    a, b = n.socketpair()
    r, w = os.pipe()
    sent = n.send_fds(a, b'two', [r, w])
    data, fds = n.recv_fds(b, 100, 4)
    os.write(fds[1], b'x')
    result = sent, data, len(fds), os.read(r, 1)
    for fd in (r, w, *fds):
        os.close(fd)
    closes(n, a, b)
    return result


@situation
def passing_what_is_not_open(n):
    a, b = n.socketpair()
    result = error(n.send_fds, a, b'x', [19999])
    closes(n, a, b)
    return result
