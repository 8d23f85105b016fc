"""cases_whole.py - a healthy machine, one that tells less, and questions that have no answer.

These have no row in the table: nothing is wrong."""
import errno
import json
import os
import platform
import signal
import socket
import subprocess
import tempfile
import threading

from cases_ports import time_wait
from refuse import NUMBERS, refuse_netlink
from room import CASES, Skip, case, listen


@case('')
def healthy(room):
    """A server that talks with clients."""
    hear, tell = os.pipe()
    server = subprocess.Popen([room.stoa, 'serve', '--quiet', '--ready-fd', str(tell), 'upper',
                               '127.0.0.1:7001'], pass_fds=[tell], stderr=subprocess.PIPE)
    room.children.append(server.pid)
    os.close(tell)
    assert os.read(hear, 1), server.stderr.read()
    clients = [socket.create_connection(('127.0.0.1', 7001)) for _ in range(50)]
    over = threading.Event()

    def talk():
        while not over.is_set():
            for c in clients:
                c.send(b'hello\n')
                assert c.recv(100) == b'HELLO\n'
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        events = room.findings('--seconds', '1s')
        assert len(events) == 1 and events[0]['worst'] == 'healthy', events
        _, out, _ = room.run(code=0)
        assert out.startswith('nothing found: '), out
    finally:
        over.set()
        thread.join()


@case('')
def no_sock_diag(room):
    if platform.machine() not in NUMBERS:
        raise Skip('no number for the system call')
    pid = room.server()
    room.expect('port-held', rf'\(pid {pid}, .*it listens', ':8081', preexec_fn=refuse_netlink)
    _, out, _ = room.run(':8081', code=10, preexec_fn=refuse_netlink)
    assert 'sock_diag is refused: drops and queue limits are hidden' in out, out
    events = room.findings(preexec_fn=refuse_netlink)
    assert events[-1]['source'] == '/proc/net' and len(events) == 1, events


def nobody():
    os.setgid(65534)
    os.setuid(65534)


@case('')
def not_root(room):
    if os.geteuid() != 0:
        raise Skip('only root can become another')
    room.server()
    f = room.expect('port-held', 'a program of uid 0: it listens', ':8081', preexec_fn=nobody)
    assert 'sudo stoa doctor' in f['unseen'], f
    _, _, err = room.run('--pid', str(room.children[-1]), code=1, preexec_fn=nobody)
    assert f'sudo stoa doctor --pid {room.children[-1]}' in err, err
    _, out, _ = room.run(code=0, preexec_fn=nobody)
    assert 'not root: other users' in out, out


@case('')
def bad_questions(room):
    for args, code, word in (
            (['--explain', 'EWHAT'], 2, 'neither an error'),
            (['--explain', '134'], 2, 'neither an error'),
            (['--explain', 'a\033[2J'], 2, '--explain a\\x1b[2J: neither'),
            (['--apply', 'no-such'], 2, 'no such finding'),
            (['--apply', 'close-wait'], 2, 'no setting cures it'),
            (['--apply', 'syn-dropped', '--yes'], 1, 'not found now'),
            (['--free', '0'], 2, 'no port'),
            (['--free', '8081', '--yes'], 1, 'nothing to forget'),
            (['--pid', '4194305'], 1, 'no such process'),
            (['--pid', 'x'], 2, '--pid'),
            (['--pid', '1', ':80'], 2, 'leave the place away'),
            (['--yes'], 2, '--free or --apply'),
            (['--watch', '--explain', 'EPIPE'], 2, '--watch looks'),
            ([':70000'], 2, '70000'),
            ([':0'], 2, 'a port is needed'),
            (['127.1:80'], 2, '127.1'),
            ([':80', ':81'], 2, 'one place at a time'),
            (['--seconds', 'x'], 2, '--seconds')):
        _, out, err = room.run(*args, code=code)
        assert word in err and not out, (args, out, err)
    for number, name in errno.errorcode.items():
        for word in {name, str(number)}:
            _, out, _ = room.run('--explain', word, code=0)
            assert f' ({number}, "' in out, out
    for second, name in (('EWOULDBLOCK', 'EAGAIN'), ('ENOTSUP', 'EOPNOTSUPP')):
        _, out, _ = room.run('--explain', second, code=0)
        assert out.startswith(name), out
    _, out, _ = room.run('--explain', 'EACCES', code=0)
    assert 'CAP_NET_BIND_SERVICE' in out, out
    _, out, _ = room.run('--explain', 'econnrefused', code=0)
    assert 'listens-elsewhere' in out, out
    _, out, _ = room.run('--explain', 'list', code=0)
    for line in out.splitlines():
        name = line.split()[0]
        _, told, _ = room.run('--explain', name, code=0)
        assert told.startswith(name + ': ') and 'do ' in told, told


@case('')
def watching(room):
    """Two rounds, of which the second has the first for its rates; then Ctrl-C."""
    p = subprocess.Popen([room.stoa, 'doctor', '--json', '--watch', '--seconds', '0.1'],
                         stdout=subprocess.PIPE, text=True)
    ends = [json.loads(p.stdout.readline()) for _ in range(3)]
    p.send_signal(signal.SIGINT)
    assert p.wait() == 130
    assert [e['event'] for e in ends] == ['end'] * 3 and ends[2]['apart_ms'] >= 100, ends
    # A port is free again when its socket is gone.
    room.server()
    beside = listen(('127.0.0.1', 8082))
    p = subprocess.Popen([room.stoa, 'doctor', '--json', '--watch', '--seconds', '0.05', ':8081'],
                         stdout=subprocess.PIPE, text=True)
    while '8083 is free' not in p.stdout.readline():
        pass
    beside.close()
    while '8082 is free' not in p.stdout.readline():
        pass
    p.stdout.close()
    assert p.wait() in (10, 11, 12)
    p = subprocess.Popen([room.stoa, 'doctor', '--watch', '--seconds', '0.05'],
                         stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline().startswith('nothing found')
    p.stdout.close()
    assert p.wait() == 0


@case('')
def asks_first(room):
    """On a terminal the answer decides."""
    import pty
    time_wait(room)
    for answer, code, word in ((b'n\n', 1, 'nothing was changed'), (b'y\n', 0, 'forgotten')):
        near, far = pty.openpty()
        os.write(near, answer)
        p = subprocess.run([room.stoa, 'doctor', '--free', '8081'], stdin=far, capture_output=True,
                           text=True, check=False)
        os.close(near)
        os.close(far)
        assert 'forget 1 connection in TIME_WAIT of port 8081? [y/N]' in p.stderr, p.stderr
        if 'CONFIG_INET_DIAG_DESTROY' in p.stderr or 'root' in p.stderr:
            continue
        assert p.returncode == code and word in p.stderr, (answer, p)


@case('')
def forgets_no_other(room):
    """While the doctor asks, the client comes again, from the same port: that one lives."""
    import pty
    server = listen(('127.0.0.1', 8081))
    client = socket.create_connection(('127.0.0.1', 8081))
    here = client.getsockname()
    conn, _ = server.accept()
    conn.close()
    client.recv(1)
    client.close()
    near, far = pty.openpty()
    p = subprocess.Popen([room.stoa, 'doctor', '--free', '8081'], stdin=far,
                         stderr=subprocess.PIPE)
    asked = b''
    while b'?' not in asked:
        asked += os.read(p.stderr.fileno(), 100)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(here)
    client.connect(('127.0.0.1', 8081))
    conn, _ = server.accept()
    os.write(near, b'y\n')
    _, err = p.communicate()
    os.close(near)
    os.close(far)
    client.send(b'alive')
    assert conn.recv(5) == b'alive', err
    forgotten = b' 0 connections in TIME_WAIT forgotten' in err
    assert forgotten or b'CONFIG_INET_DIAG_DESTROY' in err, err


@case('')
def a_port_of_udp(room):
    """Nothing is wrong with it, and who has it is told all the same."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('127.0.0.1', 5300))
    room.expect('port-held', rf'pid {os.getpid()}, .*receives datagrams', 'udp://:5300')
    if os.geteuid() == 0:
        f = room.expect('port-held', 'a program of uid 0', 'udp://:5300', preexec_fn=nobody)
        assert '`sudo stoa doctor udp://:5300`' in f['unseen'], f


@case('')
def a_link_to_a_path(room):
    """As /dev/log is one; and a strange name, in the line to type."""
    with tempfile.TemporaryDirectory() as folder:
        path, link = f'{folder}/a b\'s', f'{folder}/link'
        server = listen(path, 5, False, socket.AF_UNIX)
        os.symlink(path, link)
        room.expect('path-held', rf'pid {os.getpid()},', f'unix:{link}')
        server.close()
        f = room.expect('path-stale', 'no process of this network', f'unix:{path}')
        subprocess.run(['bash', '-c', f['do']], check=True)
        assert os.listdir(folder) == ['link'], f


@case('')
def the_page_has_every_problem(_room):
    page = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../docs/doctor.md')
    with open(page, encoding='utf-8') as f:
        text = f.read()
    for title, _ in CASES.values():
        assert not title or f'| {title} |' in text, f'{title}: not in the table; run.py --table'
