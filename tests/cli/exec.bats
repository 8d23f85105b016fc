#!/usr/bin/env bats
# exec.bats - `stoa serve exec CMD`: a program for each connection.
#
# The danger: a reply lost because the client half-closed, or because the program left input
# unread; a descriptor of the server's in the child; a child that outlives its reason.
load lib

say() { printf "$1" | timeout "$PATIENCE" "$STOA" connect "$ADDR" 3>&-; }

@test "the program's input and output are the connection" {
    serve exec 'tr a-z A-Z' 127.0.0.1:0
    is answer "$(say 'through tr\n')" "THROUGH TR"
    serve exec cat "unix:$T/socket"
    is answer "$(say 'by unix\n')" "by unix"
}

@test "40 of 40 clients that half-close at once get the whole reply" {
    serve exec 'sort -r; head -c 300000 /dev/zero; echo end' 127.0.0.1:0 --quiet
    python3 - "$PORT" <<'END'
import socket, sys, threading
to, good = ('127.0.0.1', int(sys.argv[1])), []
def client(n):
    with socket.create_connection(to, 30) as s:
        s.sendall(b'a\nb %d\n' % n)
        s.shutdown(socket.SHUT_WR)
        got = b''.join(iter(lambda: s.recv(65536), b''))
        good.append(got == b'b %d\na\n' % n + bytes(300000) + b'end\n')
threads = [threading.Thread(target=client, args=(n,)) for n in range(40)]
for t in threads: t.start()
for t in threads: t.join()
assert good == [True] * 40, good
END
}

@test "a reply is whole though the program leaves input unread" {
    serve exec 'head -c 1 >/dev/null; head -c 1000000 /dev/zero' 127.0.0.1:0
    python3 - "$PORT" <<'END'
import socket, sys
for _ in range(10):
    with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200) as s:
        s.sendall(b'x' * 50000)
        got = sum(len(part) for part in iter(lambda: s.recv(65536), b''))
        assert got == 1000000, got
END
}

@test "the environment names the peer, as CGI and ucspi do" {
    serve exec 'env | grep -E "^(REMOTE|LOCAL|TCP|PROTO)"' 127.0.0.1:0
    # What an outer server has set is not handed on.
    TCPREMOTEIP=10.9.8.7 python3 - "$PORT" <<'END'
import socket, sys
port = int(sys.argv[1])
with socket.create_connection(('127.0.0.1', port), 200) as s:
    mine = s.getsockname()[1]
    lines = b''.join(iter(lambda: s.recv(65536), b'')).decode().splitlines()
assert dict(line.split('=') for line in lines) == {
    'PROTO': 'TCP',
    'REMOTE_ADDR': '127.0.0.1', 'REMOTE_PORT': str(mine),
    'LOCAL_ADDR': '127.0.0.1', 'LOCAL_PORT': str(port),
    'TCPREMOTEIP': '127.0.0.1', 'TCPREMOTEPORT': str(mine),
    'TCPLOCALIP': '127.0.0.1', 'TCPLOCALPORT': str(port)}, lines
END
}

@test "the environment of a UNIX client, and what is not handed on" {
    export TCPREMOTEIP=10.9.8.7 REMOTE_PORT=1
    serve exec 'env | grep -E "^(REMOTE|LOCAL|TCP|PROTO)" | sort' "unix:$T/socket"
    run -0 "$STOA" connect "$ADDR" </dev/null
    is PROTO "${lines[1]}" "PROTO=UNIX"
    is LOCAL_ADDR "${lines[0]}" "LOCAL_ADDR=unix:$T/socket"
    is "number of lines" "${#lines[@]}" 3
}

@test "IPv4 that comes by a dual-stack listener is told as IPv4" {
    [ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
    serve exec 'echo $REMOTE_ADDR' :0
    is IPv4 "$("$STOA" connect "127.0.0.1:$PORT" </dev/null)" 127.0.0.1
    is IPv6 "$("$STOA" connect "[::1]:$PORT" </dev/null)" ::1
}

@test "the child has three descriptors, and every signal at its default" {
    # Many connections are open, so that there is something to leak.
    serve exec 'ls /proc/self/fd; grep -E "^Sig(Blk|Ign)" /proc/self/status' 127.0.0.1:0
    python3 - "$PORT" <<'END'
import socket, sys
for _ in range(20):
    with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200) as s:
        words = b''.join(iter(lambda: s.recv(65536), b'')).split()
    # 3 is ls's own, of /proc/self/fd.
    assert words[:4] == [b'0', b'1', b'2', b'3'] and len(words) == 8, words
    # Of the 31 signals; glibc's posix_spawn has the two of its own ignored.
    assert int(words[5], 16) == 0 and int(words[7], 16) & 0x7fffffff == 0, words
END
}

@test "SIGPIPE ends a program whose client has gone" {
    # The first write after the reset fails, the second raises the signal.
    serve exec 'while :; do echo y 2>/dev/null; done' 127.0.0.1:0
    python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 200)
assert s.recv(2) == b"y\n"
s.close()' "$PORT"
    log_line
    log_line
    has "$LINE" "killed by SIGPIPE"
}

@test "the log tells how the program ended, and what passed" {
    serve exec 'head -c 5; exit 3' 127.0.0.1:0
    say 'hello'
    log_line
    log_line
    has "$LINE" "went after 5 bytes in, 5 out"
    has "$LINE" ": exit 3"
}

@test "what passed over a UNIX socket nobody counts, and the log does not say 0" {
    serve exec 'echo 12345' "unix:$T/socket"
    is answer "$("$STOA" connect -U "$T/socket" </dev/null)" 12345
    log_line
    log_line
    [[ $LINE =~ ^"unix: went after 0."[0-9]" s: exit 0"$ ]]
}

@test "a command that is not there is told by sh, and the client sent off" {
    serve exec '/no/such/program' 127.0.0.1:0
    is answer "$(say 'x')" ""
    log_line
    while [[ $LINE != *" went "* ]]; do log_line; done
    has "$LINE" ": exit 127"
}

@test "--timeout is the time a program may run" {
    for time in 200ms 2s 20s; do # a busy machine's shell may need more to begin
        serve exec 'echo begun; sleep 1h' 127.0.0.1:0 --timeout $time
        answer=$(say '')
        log_line
        log_line
        has "$LINE" "killed by SIGTERM, timed out"
        [ -z "$answer" ] || break
    done
    is answer "$answer" begun
}

@test "a program that ignores SIGTERM is killed, with its children" {
    for time in 100ms 1s 10s; do # a busy machine's shell may need more to set the trap
        serve exec 'trap "" TERM; echo $$; (sleep 1h; :); sleep 1h; :' 127.0.0.1:0 --timeout $time
        pid=$(say '')
        log_line
        log_line
        [ -z "$pid" ] || break
    done
    has "$LINE" "killed by SIGKILL, timed out"
    left=$(ps -e -o pgid=,stat= | awk -v group="$pid" '$1 == group && $2 !~ /Z/')
    is "what is left of its group" "$left" ""
}

@test "a program that a real-time signal ends is told of by its number" {
    serve exec 'kill -40 $$' 127.0.0.1:0
    say ''
    log_line; log_line
    has "$LINE" "killed by signal 40"
}

@test "a program that runs does not keep the worker from others" {
    serve exec 'read line; echo "$line"; cat' 127.0.0.1:0 --workers 1
    coproc first { exec "$STOA" connect "$ADDR" 3>&-; }
    echo one >&"${first[1]}"
    read -r -t "$PATIENCE" answer <&"${first[0]}"
    is first "$answer" one
    for n in 2 3 4 5; do is "client $n" "$(say "$n\n")" "$n"; done
    exec {first[1]}>&-
}

@test "100 programs run at once on one worker" {
    serve exec 'read line; echo "$line"' 127.0.0.1:0 --workers 1 --quiet
    python3 - "$PORT" <<'END'
import socket, sys
clients = [socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200) for _ in range(100)]
for n, s in reversed(list(enumerate(clients))):
    s.sendall(b'%d\n' % n)
    assert s.makefile('rb').read() == b'%d\n' % n
END
}

@test "SIGTERM lets programs finish, and ends them after --drain-timeout" {
    serve exec 'echo begun; cat' 127.0.0.1:0
    coproc client { exec "$STOA" connect "$ADDR" 3>&-; }
    read -r -t "$PATIENCE" answer <&"${client[0]}"
    kill -TERM "$SERVER"
    echo last >&"${client[1]}"
    read -r -t "$PATIENCE" answer <&"${client[0]}"
    is answer "$answer" last
    exec {client[1]}>&-
    ended
    is status $STATUS 0
    serve exec 'echo begun; sleep 1h' 127.0.0.1:0 --drain-timeout 100ms
    coproc client { exec "$STOA" connect "$ADDR" 3>&-; }
    read -r -t "$PATIENCE" answer <&"${client[0]}"
    kill -TERM "$SERVER"
    ended
    is status $STATUS 0
    log_line; log_line; log_line
    has "$LINE" "killed by SIGTERM, cut off"
}

@test "children are reaped: no zombie is left" {
    serve exec true 127.0.0.1:0 --quiet
    for _ in 1 2 3 4 5; do say ''; done
    is zombies "$(ps --ppid "$SERVER" -o stat= | grep -c Z)" 0
}

@test "exec without a command, or with its words apart, is told" {
    refused 2 "at which address?" serve exec
    refused 2 "at which address?" serve exec cat
    refused 2 "put exec's command into quotation marks" serve exec ls /tmp :0
}
