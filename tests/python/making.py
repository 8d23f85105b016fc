"""making.py - situations: how sockets come into being, get addresses, and connect."""
import errno
import os
import socket
import tempfile

from situation import (LOOPBACK, closes, differs, error, full_listener, listener, nobody,
                       situation)


@situation
def a_new_socket_waits_for_ever(n):
    s = n.socket()
    result = n.gettimeout(s), os.get_inheritable(n.fileno(s))
    n.close(s)
    return result


@situation
def SOCK_NONBLOCK_is_a_timeout_of_0(n):
    s = n.socket(kind=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    result = n.gettimeout(s), n.getsockopt(s, socket.SOL_SOCKET, socket.SO_TYPE)
    n.close(s)
    return result


@situation
def a_family_that_is_none(n):
    return n.socket(9999)


@situation
def a_type_that_is_none(n):
    return error(n.socket, socket.AF_INET, 77)


@situation
def a_protocol_that_does_not_fit(n):
    return n.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP)


@situation
def fromfd_of_a_negative_number(n):
    error_name = error(n.fromfd, -1)
    return error_name in ('EBADF', 'EINVAL')  # ValueError there, EBADF here


@situation
def fromfd_of_a_file(n):
    fd = os.open('/dev/null', os.O_RDONLY)
    try:
        return error(n.fromfd, fd)
    finally:
        os.close(fd)


@situation
def fromfd_of_nothing(n):
    return n.fromfd(19999)


@situation
def a_pair_talks(n):
    a, b = n.socketpair()
    n.sendall(a, b'hello')
    result = n.recv(b, 100), n.gettimeout(a), os.get_inheritable(n.fileno(b))
    closes(n, a, b)
    return result


@situation
def a_dup_has_the_timeout(n):
    a, b = n.socketpair()
    n.settimeout(a, 2.5)
    d = n.dup(a)
    n.close(a)
    n.sendall(d, b'x')
    result = n.gettimeout(d), n.recv(b, 1), os.get_inheritable(n.fileno(d))
    closes(n, d, b)
    return result


@situation
def a_detached_descriptor_is_open(n):
    a, b = n.socketpair()
    fd = n.detach(a)
    os.write(fd, b'x')
    os.close(fd)
    result = n.recv(b, 10), n.recv(b, 10)
    n.close(b)
    return result


@situation
def a_detached_socket_is_dead(n):
    a, b = n.socketpair()
    os.close(n.detach(a))
    result = error(n.send, a, b'x')
    n.close(b)
    return result


@situation
@differs('"EBADF: not a handle, or closed already"', 'EBADF')
def closing_twice(n):
    s = n.socket()
    n.close(s)
    return error(n.close, s)


@situation
def a_closed_socket_is_dead(n):
    s = n.socket()
    n.close(s)
    return [error(f, s, *args) for f, *args in (
        (n.recv, 1), (n.send, b'x'), (n.listen, 1), (n.accept,), (n.getsockname,),
        (n.shutdown, socket.SHUT_WR), (n.bind, LOOPBACK))]


# ---------------------------------------------------------------- bind, listen, accept


@situation
def bind_tells_the_port(n):
    s = n.socket()
    n.bind(s, LOOPBACK)
    host, port = n.getsockname(s)
    n.close(s)
    return host, port > 0


@situation
def bind_twice(n):
    s = n.socket()
    n.bind(s, LOOPBACK)
    result = error(n.bind, s, LOOPBACK)
    n.close(s)
    return result


@situation
def bind_to_a_port_in_use(n):
    s, t = listener(n), n.socket()
    result = error(n.bind, t, n.getsockname(s))
    closes(n, s, t)
    return result


@situation
def bind_to_an_address_that_is_not_ours(n):
    s = n.socket()
    result = error(n.bind, s, ('192.0.2.1', 0))
    n.close(s)
    return result


@situation
def bind_to_a_port_out_of_range(n):
    s = n.socket()
    result = error(n.bind, s, ('127.0.0.1', 65536)), error(n.bind, s, ('127.0.0.1', -1))
    n.close(s)
    return result


@situation
@differs('"A number must be a whole one: 127.1 and 0177.0.0.1 are refused"', ['EINVAL'] * 3)
def numbers_that_are_read_in_two_ways(n):
    results = []
    for host in ('127.1', '0177.0.0.1', '2130706433'):
        s = n.socket()
        results.append(error(n.bind, s, (host, 0)))
        n.close(s)
    return results


@situation
def bind_to_a_name_that_is_not_known(n):
    s = n.socket()
    result = error(n.bind, s, ('no-such-host.invalid', 0))
    n.close(s)
    return result in ('ENOENT', 'EREMOTEIO')


@situation
def bind_to_localhost(n):
    s = n.socket()
    n.bind(s, ('localhost', 0))
    host, _ = n.getsockname(s)
    n.close(s)
    return host


@situation
def unix_autobind(n):
    s = n.socket(socket.AF_UNIX)
    n.bind(s, '')
    name = n.getsockname(s)
    n.close(s)
    return name[:1], len(name)


@situation
def unix_abstract_name(n):
    s = n.socket(socket.AF_UNIX)
    n.bind(s, b'\0stoa-compare-%d' % os.getpid())
    name = n.getsockname(s)
    n.close(s)
    return name


@situation
def unix_path_that_is_too_long(n):
    s = n.socket(socket.AF_UNIX)
    result = error(n.bind, s, '/' + 'x' * 200)
    n.close(s)
    return result


@situation
def unix_path_in_no_folder(n):
    s = n.socket(socket.AF_UNIX)
    result = error(n.bind, s, '/no/such/folder/x')
    n.close(s)
    return result


@situation
@differs('"A UNIX path whose server died is taken over, a live one\'s is not"',
         (None, 'EADDRINUSE'))
def unix_path_of_a_dead_and_of_a_living_server(n):
    with tempfile.TemporaryDirectory() as folder:
        path = folder + '/x'
        s = n.socket(socket.AF_UNIX)
        n.bind(s, path)
        n.close(s)
        t, u = n.socket(socket.AF_UNIX), n.socket(socket.AF_UNIX)
        dead = error(n.bind, t, path)
        living = error(n.bind, u, path)
        closes(n, t, u)
    return dead, living


@situation
def unbound_names(n):
    s, u = n.socket(), n.socket(socket.AF_UNIX)
    result = n.getsockname(s), n.getsockname(u)
    closes(n, s, u)
    return result


@situation
def listening_without_bind_is_good_for_tcp(n):
    s = n.socket()
    n.listen(s, 1)
    host, port = n.getsockname(s)
    n.close(s)
    return host, port > 0


@situation
def what_cannot_listen(n):
    u, d = n.socket(socket.AF_UNIX), n.socket(kind=socket.SOCK_DGRAM)
    result = error(n.listen, u, 1), error(n.listen, d, 1)
    closes(n, u, d)
    return result


@situation
def accept_tells_who_came(n):
    s = listener(n)
    c = n.socket()
    n.connect(c, n.getsockname(s))
    d, peer = n.accept(s)
    result = (peer == n.getsockname(c), n.getpeername(d) == peer, n.gettimeout(d),
              os.get_inheritable(n.fileno(d)))
    closes(n, s, c, d)
    return result


@situation
def accept_when_nobody_is_there(n):
    s = listener(n)
    n.settimeout(s, 0.02)
    late = error(n.accept, s)
    n.setblocking(s, False)
    at_once = error(n.accept, s)
    n.close(s)
    return late, at_once


@situation
def accept_of_what_does_not_listen(n):
    s, d = n.socket(), n.socket(kind=socket.SOCK_DGRAM)
    n.bind(s, LOOPBACK)
    result = error(n.accept, s), error(n.accept, d)
    closes(n, s, d)
    return result


@situation
def an_accepted_socket_has_the_default_timeout_not_the_listeners(n):
    s = listener(n)
    n.settimeout(s, 5)
    c = n.socket()
    n.connect(c, n.getsockname(s))
    d, _ = n.accept(s)
    first = n.gettimeout(d)
    n.setdefaulttimeout(1.5)
    try:
        e = n.socket()
        n.connect(e, n.getsockname(s))
        f, _ = n.accept(s)
        second = n.gettimeout(e), n.gettimeout(f)
    finally:
        n.setdefaulttimeout(None)
    closes(n, s, c, d, e, f)
    return first, second


@situation
def an_unnamed_unix_client(n):
    s = n.socket(socket.AF_UNIX)
    n.bind(s, '')
    n.listen(s, 1)
    c = n.socket(socket.AF_UNIX)
    n.connect(c, n.getsockname(s))
    d, peer = n.accept(s)
    closes(n, s, c, d)
    return peer


# ---------------------------------------------------------------- connect


@situation
def connect_to_nobody(n):
    s = n.socket()
    address = nobody(n)
    result = error(n.connect, s, address)
    n.close(s)
    return result


@situation
def connect_ex_to_nobody(n):
    s = n.socket()
    result = errno.errorcode[n.connect_ex(s, nobody(n))]
    n.close(s)
    return result


@situation
def connect_ex_that_is_good(n):
    s, c = listener(n), n.socket()
    result = n.connect_ex(c, n.getsockname(s)), errno.errorcode[n.connect_ex(c, n.getsockname(s))]
    closes(n, s, c)
    return result


@situation
def connect_again_after_a_refusal(n):
    s = n.socket()
    address = nobody(n)
    result = error(n.connect, s, address), error(n.connect, s, address)
    n.close(s)
    return result


@situation
def connect_out_of_time(n):
    s, inside = full_listener(n)
    c = n.socket()
    n.settimeout(c, 0.03)
    result = error(n.connect, c, n.getsockname(s))
    closes(n, s, c, *inside)
    return result


@situation
@differs('"Our own time is ETIME here too, where Python has EAGAIN"', 'ETIME')
def connect_ex_out_of_time(n):
    s, inside = full_listener(n)
    c = n.socket()
    n.settimeout(c, 0.03)
    result = errno.errorcode[n.connect_ex(c, n.getsockname(s))]
    closes(n, s, c, *inside)
    return result


@situation
def connect_without_waiting(n):
    s, inside = full_listener(n)
    c = n.socket()
    n.setblocking(c, False)
    result = error(n.connect, c, n.getsockname(s)), error(n.connect, c, n.getsockname(s))
    closes(n, s, c, *inside)
    return result


@situation
def connect_to_no_unix_path(n):
    s = n.socket(socket.AF_UNIX)
    result = error(n.connect, s, '/no/such/path')
    n.close(s)
    return result


@situation
@differs('"A full queue of a UNIX listener is waited for, too"', 'ETIME')
def connect_to_a_full_unix_queue_with_a_timeout(n):
    s = n.socket(socket.AF_UNIX)
    n.bind(s, '')
    n.listen(s, 0)
    inside, result = [], None
    for _ in range(4):
        c = n.socket(socket.AF_UNIX)
        n.settimeout(c, 0.03)
        inside.append(c)
        result = error(n.connect, c, n.getsockname(s))
        if result:
            break
    closes(n, s, *inside)
    return result


@situation
def connect_to_a_full_unix_queue_without_waiting(n):
    s = n.socket(socket.AF_UNIX)
    n.bind(s, '')
    n.listen(s, 0)
    inside, result = [], None
    for _ in range(4):
        c = n.socket(socket.AF_UNIX)
        n.setblocking(c, False)
        inside.append(c)
        result = error(n.connect, c, n.getsockname(s))
        if result:
            break
    closes(n, s, *inside)
    return result


@situation
@differs('"EADDRNOTAVAIL the socket met itself"', 'EADDRNOTAVAIL')
def connect_to_oneself(n):
    s = n.socket()
    n.bind(s, LOOPBACK)
    result = error(n.connect, s, n.getsockname(s))
    n.close(s)
    return result


@situation
def not_connected(n):
    s, d = n.socket(), n.socket(kind=socket.SOCK_DGRAM)
    result = [error(f, x, *args) for x in (s, d) for f, *args in (
        (n.getpeername,), (n.shutdown, socket.SHUT_WR))]
    result += [error(n.recv, s, 1), error(n.send, d, b'x')]
    closes(n, s, d)
    return result


@situation
def sending_on_a_stream_that_is_not_connected(n):
    s = n.socket()
    result = error(n.send, s, b'x')
    n.close(s)
    return result
