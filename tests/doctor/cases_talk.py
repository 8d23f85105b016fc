"""cases_talk.py - connections that hang or break, and datagrams that are lost."""
import errno
import os
import select
import signal
import socket
import time

from net import Peer, have, ip
from room import Skip, case, listen


def pair(server):
    client = socket.create_connection(server.getsockname())
    return client, server.accept()[0]


@case('closed with bytes unread')
def closes_unread(room):
    server = listen()
    errors = []

    def visit():
        client, conn = pair(server)
        client.send(b'hello')
        conn.recv(1, socket.MSG_PEEK)
        conn.close()
        try:
            client.recv(1)
        except OSError as e:
            errors.append(e.errno)
        client.close()
    visit()
    assert errors == [errno.ECONNRESET], errors
    room.saw('recv', errors[0])
    room.busy(visit)
    room.expect('closes-unread', r'^a program of this machine: [1-9][\d.,]* closes/s')


@case('connections that are not closed')
def close_wait(room):
    def live(ready):
        server = listen(backlog=100)
        ready()
        kept = [server.accept() for _ in range(20)]
        signal.pause()
        del kept
    pid = room.child(live)
    for _ in range(20):
        socket.create_connection(('127.0.0.1', 8081)).close()
    kept = len(os.listdir(f'/proc/{pid}/fd'))
    room.saw(f'all clients have left, and the server has {kept} descriptors', 0)
    room.expect('close-wait', rf'\(pid {pid}, .*20 sockets in CLOSE_WAIT', severity='warning')
    said = room.said_text
    events = room.findings('--pid', str(pid))
    assert [f['id'] for f in events[:-1]] == ['close-wait'], events
    _, out, _ = room.run('--pid', str(pid))
    assert '20 CLOSE_WAIT, 1 LISTEN' in out, out
    room.said_text = said


def wired():
    """An address that is not loopback's, and is ours."""
    if have('ip'):
        raise Skip('no iproute2 here')
    ip('link add near type veth peer name far')
    ip('addr add 10.8.0.1/24 dev near')
    ip('link set near up')


@case('idle connections without keepalive')
def no_keepalive(room):
    wired()
    server = listen(('10.8.0.1', 7001))
    kept = [pair(server) for _ in range(3)]
    room.saw('nothing: connections that nobody uses stay', 0)
    room.expect('no-keepalive', rf'\(pid {os.getpid()}, .*6 connections silent for over 1.0 s',
                '--idle', '1s', severity='note')
    for client, conn in kept:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    room.expect_none('no-keepalive', '--idle', '1s')


class Vanishing(Peer):
    """Accepts a connection, and is cut off."""

    def scene(self):
        with socket.socket() as s:
            s.bind(('10.8.0.2', 7001))
            s.listen(1)
            os.write(self.talk, b'.')
            conn, _ = s.accept()
            ip('link set far down')
            os.write(self.talk, b'.')
            signal.pause()
            conn.close()


@case('a peer that has vanished')
def peer_gone(room):
    if have('ip'):
        raise Skip('no iproute2 here')
    peer = Vanishing()
    room.children.append(peer.pid)
    peer.wait()
    with socket.create_connection(('10.8.0.2', 7001), timeout=10) as s:
        peer.wait()
        s.send(b'still there?')
        room.saw('send succeeds, and no answer comes', 0)
        room.expect('peer-gone', rf'\(pid {os.getpid()}, .*12 bytes unacknowledged and sent again '
                    r'and again; 10.8.0.2:7001 has been tried [1-9]\d* times')


HEADER, BODY = b'header: 10', b'body, which is longer'


@case('every request takes 40 ms')
def nagle(room):
    def answer(ready):
        server = listen()
        ready()
        conn, _ = server.accept()
        have_ = b''
        while True:
            have_ += conn.recv(100)
            while len(have_) >= len(HEADER + BODY):
                have_ = have_[len(HEADER + BODY):]
                conn.send(b'ok')

    def ask(ready):
        s = socket.create_connection(('127.0.0.1', 8081))
        took = []
        while True:
            begun = time.monotonic()
            s.send(HEADER)
            s.send(BODY)
            s.recv(2)
            took.append(time.monotonic() - begun)
            if len(took) == 9:
                os.write(tell, f'{sorted(took)[4] * 1000:.0f}'.encode())
                ready()
    hear, tell = os.pipe()
    room.child(answer)
    pid = room.child(ask)
    room.saw(f'a request and its answer take {os.read(hear, 20).decode()} ms', 0)
    f = room.expect('nagle', rf'\(pid {pid}, .*with [\d,]+ bytes held back .*acknowledgements/s')
    if 'not known' not in f['evidence']:
        assert 'TCP_NODELAY is off' in f['evidence'], f


@case('a peer that reads slowly')
def slow_reader(room):
    server = listen()
    client, conn = pair(server)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def send(ready):
        client.close()
        ready()
        while True:
            conn.send(bytes(65536))
    pid = room.child(send)
    conn.close()
    server.close()
    room.saw("send blocks, and the server's memory grows", 0)
    room.expect('slow-reader', rf'\(pid {pid}, .*bytes to be taken; .*of the time')
    client.close()


@case('datagrams that are lost')
def udp_loss(room):
    def live(ready):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.bind(('127.0.0.1', 5300))
        ready()
        signal.pause()
    pid = room.child(live)
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send():
        for _ in range(100):
            out.sendto(bytes(1000), ('127.0.0.1', 5300))
        time.sleep(0.01)
    room.busy(send)
    room.saw('datagrams are missing, and no call fails', 0)
    room.expect('udp-loss', rf'^udp 127.0.0.1:5300, .*\(pid {pid}, .*[1-9][\d,]* datagrams were '
                r'dropped .*, [1-9][\d.,]*/s now', severity='warning')


@case('datagrams for a port that nobody has')
def udp_nobody(room):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(('127.0.0.1', 5300))
    s.send(b'first')

    select.select([s], [], [])  # the answer to the first has come
    room.fails('the second send, UDP', lambda: s.send(b'second'))

    def send():
        try:
            s.send(b'again')
        except ConnectionRefusedError:
            pass
        time.sleep(0.001)
    room.busy(send)
    room.expect('udp-nobody', r'[1-9][\d.,]*/s \(Udp NoPorts\)', severity='note')
