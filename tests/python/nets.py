"""nets.py - the same calls twice: by CPython's socket module, and by libstoa through ctypes.

Both classes have the same methods and raise OSError alike, so that a situation of
compare.py is written once.  What is normalised here, and nothing else:

  - CPython's own deadline has no errno ("timed out"); it becomes ETIME.
  - A number out of range is ValueError or OverflowError in Python, EINVAL in C.
  - A name that is not known is gaierror in Python, ENOENT in C.
  - Two more of CPython's errors have a sentence only (SENTENCES).
  - Addresses are Python's tuples and strings on both sides.
"""
import ctypes
import errno
import os
import socket
import struct

INET, STREAM = socket.AF_INET, socket.SOCK_STREAM

SENTENCES = {
    'AF_UNIX path too long': errno.ENAMETOOLONG,
    'cannot read from timed out object': errno.EIO,
}


def fail(number):
    raise OSError(number, os.strerror(number))


class Python:
    """CPython's socket module."""

    name = 'python'

    def __init__(self):
        self.files = {}

    @staticmethod
    def run(call, *args):
        try:
            return call(*args)
        except socket.gaierror:
            fail(errno.ENOENT)
        except TimeoutError as e:
            fail(e.errno or errno.ETIME)
        except (ValueError, OverflowError):
            fail(errno.EINVAL)
        except OSError as e:
            fail(e.errno or SENTENCES[str(e)])

    def socket(self, family=INET, kind=STREAM, proto=0):
        return self.run(socket.socket, family, kind, proto)

    def fromfd(self, fd):
        return self.run(lambda: socket.socket(fileno=fd))

    def socketpair(self, kind=STREAM):
        return self.run(socket.socketpair, socket.AF_UNIX, kind)

    def bind(self, s, address):
        self.run(s.bind, address)

    def listen(self, s, backlog):
        self.run(s.listen, backlog)

    def accept(self, s):
        return self.run(s.accept)

    def connect(self, s, address):
        self.run(s.connect, address)

    def connect_ex(self, s, address):
        return self.run(s.connect_ex, address)

    def recv(self, s, size, flags=0):
        return self.run(s.recv, size, flags)

    def recvfrom(self, s, size, flags=0):
        return self.run(s.recvfrom, size, flags)

    def recv_length(self, s, size, flags):
        """What recv(2) returns, which may be more than the buffer with MSG_TRUNC."""
        return self.run(s.recv_into, bytearray(size), size, flags)

    def send(self, s, data, flags=0):
        return self.run(s.send, data, flags)

    def sendall(self, s, data, flags=0):
        self.run(s.sendall, data, flags)

    def sendto(self, s, data, address, flags=0):
        return self.run(s.sendto, data, flags, address)

    def send_fds(self, s, data, fds):
        return self.run(socket.send_fds, s, [data], fds)

    def recv_fds(self, s, size, room):
        data, fds, _, _ = self.run(socket.recv_fds, s, size, room)
        return data, fds

    def sendfile(self, s, path, offset, count):
        with open(path, 'rb') as f:
            return self.run(s.sendfile, f, offset, count or None)

    def shutdown(self, s, how):
        self.run(s.shutdown, how)

    def close(self, s):
        self.run(s.close)

    def abort(self, s):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.close()

    def detach(self, s):
        return self.run(s.detach)

    def dup(self, s):
        return self.run(s.dup)

    def fileno(self, s):
        return s.fileno()

    def getsockname(self, s):
        return self.run(s.getsockname)

    def getpeername(self, s):
        return self.run(s.getpeername)

    def settimeout(self, s, seconds):
        self.run(s.settimeout, seconds)

    def gettimeout(self, s):
        return self.run(s.gettimeout)

    def setblocking(self, s, blocking):
        self.run(s.setblocking, blocking)

    def setdefaulttimeout(self, seconds):
        self.run(socket.setdefaulttimeout, seconds)

    def getsockopt(self, s, level, option, size=0):
        return self.run(s.getsockopt, level, option, *([size] if size else []))

    def setsockopt(self, s, level, option, value):
        self.run(s.setsockopt, level, option, value)

    def makefile(self, s, mode):
        return self.run(s.makefile, mode + 'b')

    def readline(self, f):
        return self.run(f.readline)

    def write(self, f, data):
        self.run(f.write, data)
        self.run(f.flush)

    def close_file(self, f):
        f.close()


class Address(ctypes.Structure):
    _fields_ = [('sa', ctypes.c_char * 128), ('len', ctypes.c_uint32), ('type', ctypes.c_int)]


class Stoa:
    """libstoa, by its C interface."""

    name = 'stoa'

    def __init__(self, path):
        self.c = ctypes.CDLL(path, use_errno=True)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.c.stoa_errmsg.restype = ctypes.c_char_p
        self.c.stoa_gettimeout.restype = ctypes.c_double
        self.c.stoa_makefile.restype = ctypes.c_void_p
        self.c.stoa_makefile.argtypes = [ctypes.c_int, ctypes.c_char_p]
        for name in ('recv', 'send', 'recvfrom', 'sendto', 'sendfile', 'send_fds', 'recv_fds'):
            getattr(self.c, 'stoa_' + name).restype = ctypes.c_ssize_t
        self.libc.fgets.restype = ctypes.c_void_p
        self.libc.fgets.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self.libc.fwrite.restype = ctypes.c_size_t
        self.libc.fwrite.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t,
                                     ctypes.c_void_p]
        self.libc.fflush.argtypes = self.libc.fclose.argtypes = [ctypes.c_void_p]

    def run(self, name, *args):
        ctypes.set_errno(0)
        r = getattr(self.c, 'stoa_' + name)(*args)
        if r is None or (isinstance(r, int) and r == -1):
            number = ctypes.get_errno()
            if not self.c.stoa_errmsg():
                raise AssertionError(f'stoa_{name} failed with {number} and no sentence')
            fail(number)
        return r

    @staticmethod
    def text(address):
        if isinstance(address, tuple):
            host, port = address[:2]
            return (f'[{host}]:{port}' if ':' in host else f'{host}:{port}').encode()
        if isinstance(address, bytes):
            return b'unix:@' + address[1:]
        return b'unix:' + address.encode()

    @staticmethod
    def tuple(a):
        raw = ctypes.string_at(ctypes.addressof(a), a.len)
        if a.len < 2:
            return None
        family = struct.unpack('H', raw[:2])[0]
        if family == socket.AF_INET:
            return socket.inet_ntop(family, raw[4:8]), struct.unpack('!H', raw[2:4])[0]
        if family == socket.AF_INET6:
            return (socket.inet_ntop(family, raw[8:24]), struct.unpack('!H', raw[2:4])[0],
                    struct.unpack('!I', raw[4:8])[0], struct.unpack('I', raw[24:28])[0])
        path = raw[2:]
        return path if path[:1] == b'\0' else path.split(b'\0')[0].decode()

    @staticmethod
    def raw(address):
        a = Address()
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ':' in address[0] else socket.AF_INET
            packed = socket.inet_pton(family, address[0])
            if family == socket.AF_INET:
                raw = struct.pack('H', family) + struct.pack('!H', address[1]) + packed + bytes(8)
            else:
                raw = (struct.pack('H', family) + struct.pack('!H', address[1]) + bytes(4) +
                       packed + bytes(4))
        else:
            path = address if isinstance(address, bytes) else address.encode() + b'\0'
            raw = struct.pack('H', socket.AF_UNIX) + path
        ctypes.memmove(ctypes.addressof(a), raw, len(raw))
        a.len = len(raw)
        return a

    def socket(self, family=INET, kind=STREAM, proto=0):
        return self.run('socket', int(family), int(kind), proto)

    def fromfd(self, fd):
        return self.run('fromfd', fd)

    def socketpair(self, kind=STREAM):
        pair = (ctypes.c_int * 2)()
        self.run('socketpair', int(socket.AF_UNIX), int(kind), 0, pair)
        return pair[0], pair[1]

    def bind(self, s, address):
        self.run('bind', s, self.text(address))

    def listen(self, s, backlog):
        self.run('listen', s, backlog)

    def accept(self, s):
        peer = Address()
        conn = self.run('accept', s, ctypes.byref(peer))
        return conn, self.tuple(peer)

    def connect(self, s, address):
        self.run('connect', s, self.text(address))

    def connect_ex(self, s, address):
        return self.c.stoa_connect_ex(s, self.text(address))

    def recv(self, s, size, flags=0):
        buf = ctypes.create_string_buffer(max(size, 1))
        n = self.run('recv', s, buf, ctypes.c_size_t(size), int(flags))
        return buf.raw[:n]

    def recv_length(self, s, size, flags):
        buf = ctypes.create_string_buffer(size)
        return self.run('recv', s, buf, ctypes.c_size_t(size), int(flags))

    def recvfrom(self, s, size, flags=0):
        buf = ctypes.create_string_buffer(max(size, 1))
        peer = Address()
        n = self.run('recvfrom', s, buf, ctypes.c_size_t(size), int(flags), ctypes.byref(peer))
        return buf.raw[:n], self.tuple(peer)

    def send(self, s, data, flags=0):
        return self.run('send', s, data, ctypes.c_size_t(len(data)), int(flags))

    def sendall(self, s, data, flags=0):
        self.run('sendall', s, data, ctypes.c_size_t(len(data)), int(flags))

    def sendto(self, s, data, address, flags=0):
        a = self.raw(address)
        return self.run('sendto', s, data, ctypes.c_size_t(len(data)), int(flags), ctypes.byref(a))

    def send_fds(self, s, data, fds):
        array = (ctypes.c_int * len(fds))(*fds)
        return self.run('send_fds', s, data, ctypes.c_size_t(len(data)), array,
                        ctypes.c_size_t(len(fds)))

    def recv_fds(self, s, size, room):
        buf = ctypes.create_string_buffer(size)
        array = (ctypes.c_int * room)()
        n = ctypes.c_size_t(room)
        got = self.run('recv_fds', s, buf, ctypes.c_size_t(size), array, ctypes.byref(n))
        return buf.raw[:got], list(array[:n.value])

    def sendfile(self, s, path, offset, count):
        fd = os.open(path, os.O_RDONLY)
        try:
            off = ctypes.c_int64(offset)
            return self.run('sendfile', s, fd, ctypes.byref(off), ctypes.c_size_t(count))
        finally:
            os.close(fd)

    def shutdown(self, s, how):
        self.run('shutdown', s, how)

    def close(self, s):
        self.run('close', s)

    def abort(self, s):
        self.run('abort', s)

    def detach(self, s):
        return self.run('detach', s)

    def dup(self, s):
        return self.run('dup', s)

    def fileno(self, s):
        return self.run('fileno', s)

    def getsockname(self, s):
        a = Address()
        self.run('getsockname', s, ctypes.byref(a))
        return self.tuple(a)

    def getpeername(self, s):
        a = Address()
        self.run('getpeername', s, ctypes.byref(a))
        return self.tuple(a)

    def settimeout(self, s, seconds):
        self.run('settimeout', s, ctypes.c_double(-1 if seconds is None else seconds))

    def gettimeout(self, s):
        t = self.c.stoa_gettimeout(s)
        return None if t < 0 else t

    def setblocking(self, s, blocking):
        self.run('setblocking', s, ctypes.c_bool(blocking))

    def setdefaulttimeout(self, seconds):
        self.run('setdefaulttimeout', ctypes.c_double(-1 if seconds is None else seconds))

    def getsockopt(self, s, level, option, size=0):
        buf = ctypes.create_string_buffer(size or 4)
        n = ctypes.c_uint32(size or 4)
        self.run('getsockopt', s, int(level), int(option), buf, ctypes.byref(n))
        return buf.raw[:n.value] if size else struct.unpack('i', buf.raw[:4])[0]

    def setsockopt(self, s, level, option, value):
        raw = value if isinstance(value, bytes) else struct.pack('i', value)
        self.run('setsockopt', s, int(level), int(option), raw, ctypes.c_uint32(len(raw)))

    def makefile(self, s, mode):
        f = self.run('makefile', s, mode.encode())
        return f if f else fail(ctypes.get_errno())

    def readline(self, f):
        buf = ctypes.create_string_buffer(4096)
        ctypes.set_errno(0)
        if not self.libc.fgets(buf, 4096, f):
            if ctypes.get_errno():
                fail(ctypes.get_errno())
            return b''
        return buf.value

    def write(self, f, data):
        ctypes.set_errno(0)
        if self.libc.fwrite(data, 1, len(data), f) != len(data) or self.libc.fflush(f) != 0:
            fail(ctypes.get_errno())

    def close_file(self, f):
        self.libc.fclose(f)
