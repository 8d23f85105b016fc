"""owning.py - situations: what a socket has, its time, its options, its files."""
import socket
import struct

from situation import LOOPBACK, closes, differs, error, pair, situation


@situation
def timeouts_are_kept(n):
    s = n.socket()
    results = []
    for seconds in (None, 0, 0.0, 1, 2.5, 1e-3, 86400):
        n.settimeout(s, seconds)
        results.append(n.gettimeout(s))
    n.setblocking(s, True)
    results.append(n.gettimeout(s))
    n.setblocking(s, False)
    results.append(n.gettimeout(s))
    n.close(s)
    return results


@situation
def no_number_is_no_timeout(n):
    s = n.socket()
    result = error(n.settimeout, s, float('nan'))
    n.close(s)
    return result


@situation
def the_default_timeout_is_for_all_that_are_made(n):
    n.setdefaulttimeout(3.5)
    try:
        s = n.socket()
        a, b = n.socketpair()
        fd = socket.socket().detach()
        f = n.fromfd(fd)
        result = [n.gettimeout(x) for x in (s, a, b, f)]
    finally:
        n.setdefaulttimeout(None)
    closes(n, s, a, b, f)
    return result


@situation
def options_are_set_and_read(n):
    a, b = pair(n)
    n.setsockopt(a, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    n.setsockopt(a, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 5))
    result = (n.getsockopt(a, socket.SOL_SOCKET, socket.SO_KEEPALIVE),
              n.getsockopt(a, socket.SOL_SOCKET, socket.SO_LINGER, 8),
              n.getsockopt(a, socket.SOL_SOCKET, socket.SO_LINGER, 4),
              n.getsockopt(a, socket.SOL_SOCKET, socket.SO_DOMAIN),
              n.getsockopt(a, socket.SOL_SOCKET, socket.SO_ERROR))
    n.setsockopt(a, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 0, 0))
    closes(n, a, b)
    return result


@situation
@differs('"TCP sends at once (TCP_NODELAY)"', 1)
def nagle(n):
    s = n.socket()
    result = n.getsockopt(s, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    n.close(s)
    return result


@situation
@differs('"TCP sockets get SO_REUSEADDR first"', 1)
def reuse_of_an_address(n):
    s = n.socket()
    n.bind(s, LOOPBACK)
    result = n.getsockopt(s, socket.SOL_SOCKET, socket.SO_REUSEADDR)
    n.close(s)
    return result


@situation
def options_that_are_none(n):
    s = n.socket()
    result = (error(n.getsockopt, s, socket.SOL_SOCKET, 9999),
              error(n.setsockopt, s, socket.SOL_SOCKET, 9999, 1),
              error(n.setsockopt, s, socket.SOL_SOCKET, socket.SO_KEEPALIVE, b'x'))
    n.close(s)
    return result


@situation
@differs('"SO_RCVTIMEO and SO_SNDTIMEO are refused (EINVAL)"', 'EINVAL')
def the_kernels_own_timeouts(n):
    s = n.socket()
    result = error(n.setsockopt, s, socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 1, 0))
    n.close(s)
    return result


@situation
def lines_of_a_file(n):
    a, b = pair(n)
    f = n.makefile(a, 'r')
    n.sendall(b, b'one\ntwo\nthree')
    n.shutdown(b, socket.SHUT_WR)
    result = [n.readline(f) for _ in range(5)]
    n.close_file(f)
    closes(n, a, b)
    return result


@situation
def a_file_that_is_written(n):
    a, b = pair(n)
    f = n.makefile(a, 'w')
    n.write(f, b'hello')
    n.close_file(f)
    result = n.recv(b, 100)
    closes(n, a, b)
    return result


@situation
def a_file_that_is_read_and_written_in_turns(n):
    a, b = pair(n)
    f = n.makefile(a, 'rw')
    n.sendall(b, b'one\ntwo\n')
    results = [n.readline(f)]
    n.write(f, b'1')
    results += [n.readline(f), n.recv(b, 10)]
    n.close_file(f)
    closes(n, a, b)
    return results


@situation
def the_connection_lives_as_long_as_its_file(n):
    a, b = pair(n)
    f = n.makefile(a, 'w')
    n.close(a)
    n.write(f, b'still')
    first = n.recv(b, 100)
    n.close_file(f)
    result = first, n.recv(b, 100)
    n.close(b)
    return result


@situation
def a_file_after_a_timeout(n):
    a, b = pair(n)
    n.settimeout(a, 0.02)
    f = n.makefile(a, 'r')
    first = error(n.readline, f)
    n.sendall(b, b'late\n')
    second = error(n.readline, f)
    n.close_file(f)
    closes(n, a, b)
    return first, second


@situation
def a_mode_that_is_none(n):
    a, b = pair(n)
    result = error(n.makefile, a, 'q')
    closes(n, a, b)
    return result
