"""situation.py - what situations are made of; each is a function of a net (nets.py)."""
import errno
import select
import socket

LOOPBACK = ('127.0.0.1', 0)


def situation(f):
    f.is_situation = True
    return f


def differs(promise, value):
    """In stoa it is this value, by that sentence of stoa.h."""
    def mark(f):
        f.promise, f.value = promise, value
        return f
    return mark


def error(call, *args):
    """The name of the error that a call gives; None when it is good."""
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return None


def listener(n, address=LOOPBACK, family=socket.AF_INET):
    s = n.socket(family)
    n.bind(s, address)
    n.listen(s, 16)
    return s


def pair(n):
    s = listener(n)
    near = n.socket()
    n.connect(near, n.getsockname(s))
    far, _ = n.accept(s)
    n.close(s)
    return near, far


def closes(n, *sockets):
    for s in sockets:
        n.close(s)


def nobody(_n, kind=socket.SOCK_STREAM, kept={}):
    """An address at which nobody is: a descriptor keeps it, and neither listens nor receives."""
    if kind not in kept:
        with socket.socket(type=kind) as s:
            s.bind(LOOPBACK)
            kept[kind] = s.getsockname()
            if kind == socket.SOCK_DGRAM:
                s.connect(kept[kind])  # it hears itself alone
            s.detach()
    return kept[kind]


def full_listener(n):
    """A listener whose queue is full: what is sent to it is not answered."""
    s = n.socket()
    n.bind(s, LOOPBACK)
    n.listen(s, 0)
    c = n.socket()
    n.connect(c, n.getsockname(s))
    select.select([n.fileno(s)], [], [])  # one fills a queue of backlog 0
    return s, [c]
