"""net.py - a network of our own: links, addresses, a peer on the other side of a wire.

Everything here is in a network namespace that ends with the row.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import traceback

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def lo_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        name = struct.pack('16sH14x', b'lo', 0)
        flags = struct.unpack('16xH14x', fcntl.ioctl(s, SIOCGIFFLAGS, name))[0]
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack('16sH14x', b'lo', flags | IFF_UP))


def have(*programs):
    """The first of these programs that is missing, or nothing."""
    return next((p for p in programs if not shutil.which(p)), '')


def ip(text):
    subprocess.run(['ip', *text.split()], check=True, capture_output=True)


def setting(name, value):
    with open('/proc/sys/net/ipv4/conf/' + name, 'w', encoding='ascii') as f:
        f.write(value)


def void():
    """10.0.0.0/8 is there, and nobody answers in it."""
    ip('link add void type veth peer name hole')
    ip('addr add 10.9.0.1/8 dev void')
    ip('link set hole up')
    ip('link set void up arp off')
    for name in ('all', 'void'):
        setting(name + '/route_localnet', '1')


class Peer:
    """A process at the other end of a wire, in a namespace of its own, that runs a function when
    told to.  127.0.0.1 is this end's: the server's address stays what its command says."""

    def __init__(self):
        self.hear, tell = os.pipe()
        listen, self.talk = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self.live(listen, tell)
        self.wait()
        self.near()
        ip('addr add 10.8.0.1/24 dev wire')
        ip('link set wire up')
        for name in ('all', 'wire'):
            setting(name + '/route_localnet', '1')
        self.functions = []
        self.go()

    def far(self):
        """In the peer's namespace, first: its end of the wire, where near() does not make it."""

    def near(self):
        """The wire, from this end."""
        ip(f'link add wire type veth peer name far netns {self.pid}')

    def live(self, listen, tell):
        """The child: it never returns."""
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
                os._exit(1)
            self.far()
            os.write(tell, b'.')
            os.read(listen, 1)
            ip('addr add 10.8.0.2/24 dev far')
            ip('link set far up')
            for name in ('all', 'far'):
                setting(name + '/route_localnet', '1')
            ip('route add 127.0.0.1 via 10.8.0.1 dev far')
            self.hear, self.talk = listen, tell
            os.write(tell, b'.')
            self.scene()
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)

    def scene(self):
        """What the peer does; a row's subclass says it."""

    def go(self):
        os.write(self.talk, b'.')
        self.wait()

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def wait(self):
        if os.read(self.hear, 1) != b'.':
            raise OSError('the peer has ended')
