#!/usr/bin/env bats
# top.bats - `stoa top`: what is alive in a server, also when nobody in it has time to tell.
load lib

top() { timeout "$PATIENCE" "$STOA" top "$T/control" "$@" 3>&-; }

@test "listeners, and connections with peer, age, bytes, and what they wait for" {
    serve echo 127.0.0.1:0 --control "$T/control"
    exec {conn}<>"/dev/tcp/$HOST/$PORT"
    echo word >&"$conn"
    read -r -t "$PATIENCE" answer <&"$conn"
    until top | grep -q "waits: recv"; do :; done
    top >screen
    has "$(sed -n 1p screen)" "pid $SERVER: 1 connections of "
    grep -q "^ *1  $HOST:$PORT  *0  *[0-9]*  *0$" screen
    grep -q "  $HOST:[0-9]*  *[0-9.]* s  *5  *5  waits: recv$" screen
    exec {conn}>&-
}

@test "--json is an object for each thing" {
    serve echo 127.0.0.1:0 --control "$T/control" --workers 1
    exec {conn}<>"/dev/tcp/$HOST/$PORT"
    echo word >&"$conn"
    read -r -t "$PATIENCE" answer <&"$conn"
    until top --json | grep -q '"for":"recv"'; do :; done
    top --json >objects
    python3 - "$SERVER" "$ADDR" <<'END'
import json, sys
server, listener, connection = [json.loads(line) for line in open('objects')]
assert server['event'] == 'server' and server['pid'] == int(sys.argv[1]), server
assert (server['connections'], server['workers'], server['stopping']) == (1, 1, 'no'), server
assert listener['event'] == 'listener' and listener['addr'] == sys.argv[2], listener
assert listener['queue'] == listener['drops'] == 0 and listener['limit'] > 0, listener
assert (connection['in'], connection['out'], connection['does']) == (5, 5, 'waits'), connection
assert connection['peer'].startswith('tcp://127.0.0.1:') and connection['age_ms'] >= 0
END
    exec {conn}>&-
}

@test "it answers while a handler holds the only worker, and says which" {
    serve echo 127.0.0.1:0 --workers 1 --json --control "$T/control"
    python3 - "$PORT" "$STOA" "$T/control" "$LOG" <<'END'
import fcntl, json, socket, subprocess, sys, time
port, stoa, control, log = sys.argv[1:]
fcntl.fcntl(int(log), 1031, 4096)  # F_SETPIPE_SZ: the log is full soon, and holds who writes it
def holders():
    top = subprocess.run([stoa, 'top', control, '--json'], capture_output=True, check=True)
    lines = [json.loads(line) for line in top.stdout.splitlines()]
    return [line for line in lines if line.get('does') == 'holds']
clients = []
while not (held := holders()):
    clients.append(socket.create_connection(('127.0.0.1', int(port)), 10))
assert len(held) == 1 and held[0]['held_ms'] >= 50, held
assert any(held[0]['peer'] == 'tcp://127.0.0.1:%d' % c.getsockname()[1] for c in clients), held
screen = subprocess.run([stoa, 'top', control], capture_output=True, check=True, text=True).stdout
assert 'HOLDS its worker for ' in screen.splitlines()[4], screen
END
    cat log >/dev/null 3>&- &
}

@test "the path is its user's alone, and is removed at the end" {
    serve echo 127.0.0.1:0 --control "$T/control"
    is mode "$(stat -c %a control)" 600
    if [ "$(id -u)" = 0 ]; then
        chmod 711 "$T" "${T%/*}" "${T%/*/*}" "${T%/*/*/*}" || :
        chmod 666 control
        python3 - "$T/control" <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.setuid(65534)
try:
    s.connect(sys.argv[1])
    assert s.recv(100) == b'', 'another user was told'
except PermissionError:
    pass  # a folder above is closed to him
END
    fi
    kill -TERM "$SERVER"
    ended
    [ ! -e control ]
}

@test "what clients are called is harmless on the screen" {
    serve echo "unix:$T/socket" --control "$T/control"
    python3 - "$T/socket" "$STOA" "$T/control" <<'END'
import json, re, socket, subprocess, sys, time
path, stoa, control = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.bind(b'\0\x1b[2J" does=holds x\r\n\x9b\xff')
s.connect(path)
s.sendall(b'x')
assert s.recv(1) == b'x'
out = [subprocess.run([stoa, 'top', control, *how], capture_output=True, check=True).stdout
       for how in ([], ['--json'])]
for text in out:
    assert not re.search(r'[\x00-\x09\x0b-\x1f\x7f-\x9f]', text.decode()), text
connection = [json.loads(line) for line in out[1].splitlines()][-1]
assert connection['event'] == 'connection' and connection['does'] in ('waits', 'ready', 'runs')
END
}

@test "each of several processes tells of itself, at a path of its own" {
    serve echo 127.0.0.1:0 --processes 2 --control "$T/control"
    shows() { timeout "$PATIENCE" "$STOA" top "$T/control.$1" 2>/dev/null 3>&- | grep -q '^pid '; }
    for i in 1 2; do
        until shows $i; do :; done
    done
}

@test "on a terminal it is shown again and again" {
    serve echo 127.0.0.1:0 --control "$T/control"
    python3 - "$STOA" "$T/control" <<'END'
import os, pty, signal, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], 'top', sys.argv[2], '--interval', '20ms'])
seen = b''
while seen.count(b'\x1b[H\x1b[2Jpid ') < 3:
    seen += os.read(fd, 4096)
os.kill(pid, signal.SIGINT)
assert os.waitpid(pid, 0)[1] == signal.SIGINT
END
}

@test "what is no server, no time, no path is told" {
    refused 4 "there is no such path" top "$T/nothing"
    refused 2 "which server?" top
    refused 2 "one word too many" top a b
    refused 2 "not a time" top a --interval soon
    refused 2 "--interval 0" top a --interval 0
    refused 8 "--control: announce unix:/no/such/folder" serve echo :0 --control /no/such/folder/c
    refused 2 "--control has no meaning for UDP" serve echo udp://127.0.0.1:0 --control "$T/c"
}
