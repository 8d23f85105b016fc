"""cases_ports.py - ports and addresses that cannot be had, or are not where one looks."""
import errno
import os
import socket
import tempfile

from room import Skip, case, listen, setting


def bind(address, family=socket.AF_INET, reuse=True):
    s = socket.socket(family)
    if reuse:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(address)
    return s


@case('a port that another program has')
def port_held(room):
    pid = room.server()
    room.fails('bind 127.0.0.1:8081', lambda: bind(('127.0.0.1', 8081)))
    f = room.expect('port-held', rf'^127.0.0.1:8081, .*\(pid {pid}, user .*8082 is free', ':8081')
    assert f['pid'] == pid and str(pid) in f['do'], f
    _, out, _ = room.run('8081', code=10)
    assert f'(pid {pid}' in out and 'since' in out, out


def time_wait(room):
    """A server without SO_REUSEADDR that closes first, and ends."""
    server = listen(('127.0.0.1', 8081), reuse=False)
    client = socket.create_connection(('127.0.0.1', 8081))
    conn, _ = server.accept()
    conn.close()
    client.recv(1)
    client.close()
    server.close()
    room.expect('port-time-wait', '1 in TIME_WAIT', ':8081')


@case('a port nobody has, in TIME_WAIT')
def port_time_wait(room):
    time_wait(room)
    room.fails('bind 127.0.0.1:8081, with SO_REUSEADDR', lambda: bind(('127.0.0.1', 8081)))
    room.expect('port-time-wait', r'1 in TIME_WAIT, the last of them for \d+ s more; 8082 is free',
                ':8081')
    said = room.said_text
    code, _, err = room.run('--free', '8081')
    assert code == 1 and '--yes' in err, err
    code, _, err = room.run('--free', '8081', '--yes')
    if 'CONFIG_INET_DIAG_DESTROY' not in err:
        assert code == 0 and '1 connection in TIME_WAIT forgotten' in err, err
        bind(('127.0.0.1', 8081)).close()
        _, _, err = room.run('--free', '8081', '--yes', code=1)
        assert 'nothing to forget' in err, err
    room.said_text = said


@case('a port that only old connections have')
def port_left_over(room):
    server = listen(reuse=False)
    socket.create_connection(('127.0.0.1', 8081))
    conn, _ = server.accept()
    server.close()
    room.fails('bind 127.0.0.1:8081', lambda: bind(('127.0.0.1', 8081)))
    room.expect('port-left-over', rf'\(pid {os.getpid()}, .*1 of its connections live', ':8081')
    conn.close()


@case('more TIME_WAIT than there is room for')
def time_wait_many(room):
    setting('net.ipv4.tcp_max_tw_buckets', 20)
    server = listen(backlog=100)

    def visit():
        client = socket.create_connection(('127.0.0.1', 8081))
        server.accept()[0].close()
        client.recv(1)
        client.close()
    room.busy(visit)
    room.saw('`ss -s` shows "timewait 20"', 0)
    room.expect('time-wait-many', r'in TIME_WAIT \(net.ipv4.tcp_max_tw_buckets is 20\), [\d.,]+/s',
                severity='warning')


@case('no local port left for a destination')
def ports_exhausted(room):
    setting('net.ipv4.ip_local_port_range', '40000 40049')
    room.server(('127.0.0.1', 7000), 100)
    mine = []

    def connect_all():
        while True:
            mine.append(socket.create_connection(('127.0.0.1', 7000)))
    assert room.fails('connect 127.0.0.1:7000', connect_all) == errno.EADDRNOTAVAIL
    f = room.expect('ports-exhausted', r'to 127.0.0.1:7000, .*\(pid \d+, .*50 of 50 local ports',
                    severity='failing')
    assert 'ip_local_port_range' in f['do'], f
    _, _, err = room.run('--apply', 'ports-exhausted', '--yes', code=0)
    assert 'undo: sysctl -w net.ipv4.ip_local_port_range="40000 40049"' in err, err
    socket.create_connection(('127.0.0.1', 7000)).close()


@case("another machine's address")
def no_such_address(room):
    assert room.fails('bind 10.1.2.3:8081', lambda: bind(('10.1.2.3', 8081))) == errno.EADDRNOTAVAIL
    room.expect('no-such-address', r'10.1.2.3:8081: this machine has 127.0.0.1 alone',
                '10.1.2.3:8081')


@case('the other family is served')
def other_family(room):
    pid = room.server()
    s = socket.socket(socket.AF_INET6)
    assert room.fails('connect [::1]:8081', lambda: s.connect(('::1', 8081))) == errno.ECONNREFUSED
    room.expect('listens-elsewhere', rf'nothing listens at \[::1\]:8081, but .*\(pid {pid}, .* '
                'listens at 127.0.0.1:8081', '[::1]:8081')
    said = room.said_text
    room.expect('port-held', rf'^127.0.0.1:8081, .*\(pid {pid},', '[::1]:8081')
    room.said_text = said


@case('nobody listens')
def nobody_listens(room):
    s = socket.socket()
    room.fails('connect 127.0.0.1:8081', lambda: s.connect(('127.0.0.1', 8081)))
    s.close()
    room.expect('nobody-listens', 'no socket has port 8081, nor a connection in TIME_WAIT', ':8081')


@case('a UNIX socket whose server is gone')
def path_stale(room):
    with tempfile.TemporaryDirectory() as folder:
        path = folder + '/server.sock'
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen(5)
        room.expect('path-held', rf'\(pid {os.getpid()},', 'unix:' + path)
        s.close()
        c = socket.socket(socket.AF_UNIX)
        room.fails('connect unix:/tmp/server.sock', lambda: c.connect(path))
        f = room.expect('path-stale', 'no process of this network has it bound', 'unix:' + path)
        assert f['do'] == 'rm ' + path, f
        said = room.said_text
        os.unlink(path)
        room.expect('path-missing', 'no file of that name', 'unix:' + path)
        room.said_text = said.replace(path, '/tmp/server.sock')


@case('a connection with itself')
def self_connected(room):
    setting('net.ipv4.ip_local_port_range', '40000 40001')
    for _ in range(100):
        s = socket.socket()
        try:
            s.connect(('127.0.0.1', 40000))
            break
        except OSError:
            s.close()
    room.saw('a client connects although its server is down', 0)
    room.expect('self-connected', rf'^127.0.0.1:40000, .*\(pid {os.getpid()},.* both its ends')
    said = room.said_text
    s.close()
    with listen(('127.0.0.1', 40001)):
        room.expect('port-in-range', 'chooses from 40000 to 40001', ':40001')
        _, _, err = room.run(':40001', '--apply', 'port-in-range', '--yes', code=0)
        assert 'ip_local_reserved_ports is "40001" now' in err, err
        assert 'port-in-range' not in {f.get('id') for f in room.findings(':40001')}
    room.said_text = said


@case('one listener for both families')
def dual_stack(room):
    try:
        keep = listen(('::', 7300), family=socket.AF_INET6)
    except OSError as e:
        raise Skip('no IPv6 here') from e
    room.fails('bind 0.0.0.0:7300, after [::]:7300', lambda: bind(('0.0.0.0', 7300), reuse=False))
    room.expect('dual-stack', r'IPV6_V6ONLY off: it covers 0.0.0.0:7300', ':7300')
    said = room.said_text
    keep.close()
    with socket.socket(socket.AF_INET6) as s:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(('::', 7300))
        s.listen(5)
        room.expect('one-family', 'only IPv6 is served', ':7300')
    room.said_text = said
