#!/usr/bin/env bats
# serve.bats - `stoa serve`: each handler, each option, each end.
load lib

say() { printf "$1" | timeout "$PATIENCE" "$STOA" connect "$ADDR" 3>&-; }

# --- handlers ------------------------------------------------------------------

@test "upper changes ASCII letters alone, as Python's bytes.upper()" {
    serve upper 127.0.0.1:0
    python3 - "$PORT" <<'END'
import socket, sys
every = bytes(range(256)) * 300 + 'hello 你好, straße ÿ'.encode() + b'`az{@AZ[\xe1\xfa'
with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200) as s:
    s.sendall(every)
    s.shutdown(socket.SHUT_WR)
    got = b''.join(iter(lambda: s.recv(65536), b''))
assert got == every.upper(), (len(got), len(every))
END
}

@test "upper answers messages of every size around its buffers" {
    serve upper 127.0.0.1:0 --quiet
    python3 - "$PORT" <<'END'
import socket, sys
sizes = [1, 15, 16, 17, 1023, 1024, 1025, 2048, 16384, 65535, 65536, 65537, 200000, 7, 1024, 3]
with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200) as s:
    for size in sizes * 3:
        message = (b'abcdefghij\xff' * (size // 11 + 1))[:size]
        s.sendall(message)
        got = b''
        while len(got) < size:
            part = s.recv(65536)
            assert part, (size, len(got))
            got += part
        assert got == message.upper(), size
END
}

@test "echo changes nothing" {
    serve echo 127.0.0.1:0
    is answer "$(say 'Hello 你好\n')" "Hello 你好"
}

@test "discard takes everything and says nothing" {
    serve discard 127.0.0.1:0
    is answer "$(say 'hello\n')" ""
    log_line
    log_line
    has "$LINE" "went after 6 bytes in, 0 out"
}

@test "an unknown handler, a missing one, a missing address are told" {
    refused 2 "there is no handler 'uper'" serve uper :0
    refused 2 "which handler?" serve
    refused 2 "at which address?" serve upper
    refused 2 "'twice' is one word too many" serve upper :0 twice
}

# --- addresses -----------------------------------------------------------------

@test "a second server at the same port is refused with 8, and told why" {
    serve upper 127.0.0.1:0
    refused 8 "$HOST:$PORT" serve upper "$ADDR"
    refused 8 "$HOST:$PORT" serve upper "$ADDR" --workers 1
    is answer "$(say 'still\n')" STILL
}

@test "a port with connections in TIME_WAIT is had at once again" {
    serve upper 127.0.0.1:0
    # The server closes first, so that its side has the TIME_WAIT.
    kill -TERM "$SERVER"
    ended
    serve exec 'echo bye' 127.0.0.1:0 --count 3
    for _ in 1 2 3; do say ''; done
    ended
    again=$PORT
    serve upper "127.0.0.1:$again"
    is port "$PORT" "$again"
}

@test ":0 serves IPv4 and IPv6" {
    [ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
    serve upper :0
    is IPv4 "$(printf 'four\n' | "$STOA" connect "127.0.0.1:$PORT")" FOUR
    is IPv6 "$(printf 'six\n' | "$STOA" connect "[::1]:$PORT")" SIX
}

@test "a UNIX path: mode 600, removed at the end" {
    serve upper "unix:$T/socket"
    is mode "$(stat -c %a socket)" 600
    is answer "$(say 'path\n')" PATH
    kill -TERM "$SERVER"
    ended
    [ ! -e socket ]
}

@test "--mode gives a UNIX path its permissions" {
    serve upper "unix:$T/socket" --mode 666
    is mode "$(stat -c %a socket)" 666
    for mode in 8 999 1777 rw 0 '' -600 0x1; do
        refused 2 "not permissions" serve upper "unix:$T/other" "--mode=$mode"
    done
}

@test "a UNIX path whose server was killed is taken over, a live one's is not" {
    serve upper "unix:$T/socket"
    refused 8 "$T/socket" serve upper "unix:$T/socket"
    kill -KILL "$SERVER"
    wait "$SERVER" || :
    [ -S socket ]
    serve upper "unix:$T/socket"
    is answer "$(say 'alive\n')" ALIVE
}

@test "a path that another has taken meanwhile is not removed at the end" {
    serve upper "unix:$T/socket"
    mv socket moved
    echo precious >socket
    kill -TERM "$SERVER"
    ended
    is file "$(cat socket)" precious
}

@test "an abstract UNIX name" {
    serve upper "unix:@stoa-test-$$-$BATS_TEST_NUMBER"
    is answer "$(say 'abstract\n')" ABSTRACT
}

@test "an open listener, fd:N, is served and its path left alone" {
    python3 - "$STOA" "$T" <<'END'
import os, socket, subprocess, sys
stoa, folder = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(folder + '/inherited')
listener.listen()
with subprocess.Popen([stoa, 'serve', 'upper', f'fd:{listener.fileno()}', '--once', '--quiet'],
                      pass_fds=[listener.fileno()]) as server:
    listener.close()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(folder + '/inherited')
        s.sendall(b'hello')
        assert s.recv(100) == b'HELLO'
    assert server.wait(20) == 0
assert os.path.exists(folder + '/inherited')
END
}

@test "what is no address, no socket, no place of ours is refused" {
    refused 2 "99999" serve upper 127.0.0.1:99999
    refused 2 "127.1" serve upper 127.1:80
    refused 3 "nosuch.invalid" serve upper nosuch.invalid:80
    refused 8 "192.0.2.1" serve upper 192.0.2.1:0
    refused 8 "there is no such folder" serve upper unix:/no/such/folder/socket
    refused 2 "107" serve upper "unix:/$(printf 'x%.0s' {1..120})"
    echo precious >file
    refused 8 "$T/file" serve upper "unix:$T/file"
    is file "$(cat file)" precious
    refused 8 "announce fd:77: the descriptor is not open" serve upper fd:77
}

@test "--next-free takes the next port, and says so even when quiet" {
    serve upper 127.0.0.1:0
    first=$PORT
    serve echo "$ADDR" --next-free
    has "$LINE" "127.0.0.1:$first is in use"
    has "$LINE" "127.0.0.1:$PORT is free and taken instead"
    [ "$PORT" -gt "$first" ]
    is answer "$(say 'Next\n')" Next
    serve echo "127.0.0.1:$first" --next-free --quiet
    log_line
    has "$LINE" "taken instead"
}

@test "--next-free changes nothing when the port is free, and helps no path" {
    port=$(free_port)
    serve upper "127.0.0.1:$port" --next-free
    is port "$PORT" "$port"
    serve upper "unix:$T/socket"
    refused 8 "$T/socket" serve upper "unix:$T/socket" --next-free
}

# --- options -------------------------------------------------------------------

@test "--once serves one client and exits 0" {
    serve upper 127.0.0.1:0 --once
    is answer "$(say 'once\n')" ONCE
    ended
    is status $STATUS 0
    refused 4 "refused" connect "$ADDR"
}

@test "--count N serves N clients and exits 0" {
    serve upper 127.0.0.1:0 --count 3
    for _ in 1 2 3; do is answer "$(say 'x\n')" X; done
    ended
    is status $STATUS 0
}

@test "--timeout sends a silent client off, and says so" {
    serve upper 127.0.0.1:0 --timeout 150ms
    exec {CLIENT}<>"/dev/tcp/$HOST/$PORT"
    log_line
    log_line
    has "$LINE" "timed out"
    is "what the client gets" "$(timeout "$PATIENCE" cat <&"$CLIENT" 3>&-)" ""
}

@test "--timeout does not end a client that talks" {
    # On a busy machine a talk's pauses may be too long for the first of them.
    for time in 0.4 4 40; do
        serve echo 127.0.0.1:0 --timeout ${time}s
        if python3 - "$PORT" $time <<'END'; then return; fi
import socket, sys, time
limit = float(sys.argv[2])
with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200) as s:
    end = time.monotonic() + 2.5 * limit
    while time.monotonic() < end:
        s.sendall(b'x')
        assert s.recv(1) == b'x'
        time.sleep(limit / 8)  # what a talk is: pauses, each shorter than the timeout
END
    done
    false
}

@test "--max-conns lets no more in at once: the next waits in the queue" {
    serve echo 127.0.0.1:0 --max-conns 1 --workers 1
    python3 - "$PORT" <<'END'
import socket, sys
def client():
    return socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200)
first, second = client(), client()
second.sendall(b'2')
first.sendall(b'1')
assert first.recv(1) == b'1'
first.close()
assert second.recv(1) == b'2'
second.close()
END
    for what in came went came went; do
        log_line
        has "$LINE" " $what"
    done
}

@test "--workers N starts N workers" {
    tasks() { ls "/proc/$SERVER/task" | wc -l; }
    answered() { for _ in 1 2 3 4 5 6 7 8; do say 'x' >/dev/null; done; }
    serve upper 127.0.0.1:0 --workers 1
    answered
    one=$(tasks)
    serve upper 127.0.0.1:0 --workers 4
    answered
    [ $(($(tasks) - one)) -ge 3 ]
}

@test "--backlog is the listener's queue" {
    serve upper 127.0.0.1:0 --workers 1 --backlog 7
    is Send-Q "$(ss -Hltn "sport = :$PORT" | awk '{print $3}')" 7
}

@test "--backend takes one that is there, and refuses others" {
    serve upper 127.0.0.1:0 --backend epoll
    is answer "$(say 'epoll\n')" EPOLL
    run -2 timeout "$PATIENCE" "$STOA" serve upper 127.0.0.1:0 --backend carrier-pigeon
    has "$output" "backend"
}

@test "--backend uring serves, or says why it cannot" {
    if serve upper 127.0.0.1:0 --backend uring; then
        is answer "$(say 'uring\n')" URING
    else
        has "$LINE" "io_uring is not available here ("
    fi
}

@test "--quiet logs nothing" {
    serve upper 127.0.0.1:0 --quiet --once
    say 'x\n'
    ended
    run read -r -t 0 <&"$LOG"
    [ "$status" != 0 ]
}

@test "the log tells who came and went, with bytes, time and reason" {
    serve upper 127.0.0.1:0
    say 'hello world\n'
    log_line
    [[ $LINE =~ ^127\.0\.0\.1:[0-9]+\ came$ ]]
    who=${LINE% came}
    log_line
    [[ $LINE =~ ^"$who went after 12 bytes in, 12 out, 0."[0-9]" s: end of stream"$ ]]
}

@test "the log tells a reset from an end" {
    serve upper 127.0.0.1:0
    python3 - "$PORT" <<'END'
import socket, struct, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
s.sendall(b'x')
assert s.recv(1) == b'X'
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.close()
END
    log_line
    log_line
    has "$LINE" "1 bytes in, 1 out"
    has "$LINE" ": reset by peer"
}

@test "--json logs an object a line, with ts, event, conn, peer and bytes" {
    serve upper 127.0.0.1:0 --json
    say 'hello\n'
    for _ in 1 2 3; do log_line; echo "$LINE"; done >log.json
    kill -TERM "$SERVER"
    log_line
    echo "$LINE" >>log.json
    python3 - "$ADDR" <<'END'
import datetime, json, sys
lines = [json.loads(line) for line in open('log.json')]
assert [x['event'] for x in lines] == ['listening', 'came', 'went', 'stopping'], lines
for line in lines:
    datetime.datetime.strptime(line['ts'], '%Y-%m-%dT%H:%M:%S.%fZ')
listening, came, went, stopping = lines
assert listening['addr'] == sys.argv[1] and listening['handler'] == 'upper'
assert came['conn'] == went['conn'] == 1
assert came['peer'] == went['peer'] and came['peer'].startswith('tcp://127.0.0.1:')
assert (went['bytes'], went['bytes_in'], went['bytes_out']) == (12, 6, 6)
assert went['reason'] == 'end of stream' and went['ms'] >= 0
END
}

# A client of a UNIX socket whose own name is hostile, and one that says what is hostile.
hostile() {
    python3 - "$T/socket" <<'END'
import os, socket, sys
name = b'\0\x1b[2J" event=went x\r\n{"event":"came"}\x9b\xff\xc2\x9b'
with socket.socket(socket.AF_UNIX) as s:
    s.bind(name + b'%d' % os.getpid())
    s.connect(sys.argv[1])
    s.sendall(name + b'\n')
    s.shutdown(socket.SHUT_WR)
    while s.recv(1000):
        pass
END
}

@test "--log says how: text, logfmt, json, none; --json and --quiet are short for two" {
    serve upper 127.0.0.1:0 --log=logfmt -q --log=text
    say 'hello world\n'
    log_line
    [[ $LINE =~ \ came$ ]]
    serve upper 127.0.0.1:0 --json --log=none --once
    say 'x\n'
    ended
    run read -r -t 0 <&"$LOG"
    [ "$status" != 0 ]
    refused 2 "--log xml: text, logfmt, json or none" serve upper :0 --log xml
}

@test "--log logfmt has fields, of which each peer fills his own alone" {
    serve upper 127.0.0.1:0 --log=logfmt
    has "$LINE" " event=listening handler=upper addr=tcp://127.0.0.1:$PORT"
    say 'hello\n'
    log_line
    [[ $LINE =~ ^ts=[0-9T:.-]+Z\ event=came\ conn=1\ peer=tcp://127\.0\.0\.1:[0-9]+$ ]]
    log_line
    has "$LINE" " event=went conn=1 peer=tcp://127.0.0.1:"
    has "$LINE" " bytes=12 bytes_in=6 bytes_out=6 ms="
    has "$LINE" ' reason="end of stream"'
}

@test "--brief is one line a connection, at its end, in every form" {
    for form in text logfmt json; do
        serve upper 127.0.0.1:0 "--log=$form" --brief
        [ $form != json ] || log_line
        say 'hello\n'
        say 'hello\n'
        for _ in 1 2; do
            log_line
            has "$LINE" went
            has "$LINE" "end of stream"
        done
    done
}

@test "what strangers are called and say is harmless in every form of the log" {
    for form in text logfmt json; do
        serve exec 'cat >&2' "unix:$T/socket" "--log=$form" --brief
        [ $form != json ] || log_line
        hostile
        kill -TERM "$SERVER"
        ended
        while read -r -t 0.5 LINE <&"$LOG"; do echo "$LINE"; done >"log.$form"
        python3 - "log.$form" "$form" <<'END'
import json, re, sys
raw, form = open(sys.argv[1], 'rb').read(), sys.argv[2]
lines = raw.decode().splitlines()
assert not re.search('[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f]', raw.decode()), raw
if form == 'json':
    events = [json.loads(line)['event'] for line in lines]
elif form == 'logfmt':
    field = r'\w+=([^ "=]+|"[^"]*")'
    assert all(re.fullmatch(f'{field}( {field})*', line) for line in lines), lines
    events = [re.search(' event=([a-z]+)', line)[1] for line in lines]
else:
    events = ['words' if 'a program says' in line else 'went' if 'went after' in line else
              'stopping' for line in lines]
assert sorted(events) == ['stopping', 'went', 'words', 'words'], lines
END
    done
}

@test "an idle connection costs a page of stack and little more, with a log or without" {
    [ "${STACKS:-plain}" = plain ] || skip "sanitizers and ucontext(3) keep more on a stack"
    for log in --quiet ''; do
        serve upper 127.0.0.1:0 --workers 1 $log
        exec {LOG}<&-
        cat log >/dev/null 3>&- &
        python3 - "$PORT" "$SERVER" <<'END'
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
port, pid = sys.argv[1:]
def client():
    s = socket.create_connection(('127.0.0.1', int(port)), 200)
    s.sendall(b'x' * 64)
    assert s.recv(100) == b'X' * 64
    return s
def kib():
    with open(f'/proc/{pid}/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('RssAnon'))
clients = [client() for _ in range(10)]
before = kib()
clients += [client() for _ in range(900)]
each = (kib() - before) * 1024 / 900
assert each < 4.6 * 1024, f'{each:.0f} bytes for a connection'
END
    done
}

@test "--ready-fd gives the address had, when it can be connected to" {
    serve upper 127.0.0.1:0
    [[ $ADDR =~ ^tcp://127\.0\.0\.1:[1-9][0-9]*$ ]]
    refused 2 "--ready-fd 99: this descriptor is not open" serve upper :0 --ready-fd 99
    refused 2 "not open for writing" serve upper :0 --ready-fd 0
    refused 2 "--ready-fd x: not a number" serve upper :0 --ready-fd x
}

@test "numbers and times that are none are refused, with what is one" {
    for option in --count --max-conns --workers --backlog; do
        for value in 0 -1 x '' 1x 99999999999999999999999; do
            refused 2 "not a number from 1" serve upper :0 "$option=$value"
        done
    done
    for value in x '' -1 5x .5 1e3 inf 5ss 0x5 99999999999; do
        refused 2 "500ms, 5s, 2m or 1h" serve upper :0 "--timeout=$value"
        refused 2 "500ms, 5s, 2m or 1h" serve upper :0 "--drain-timeout=$value"
    done
    refused 2 "--timeout 0" serve upper :0 --timeout 0
    refused 2 "unrecognized option" serve upper :0 --no-such-option
    refused 2 "there is no backend \"steam\"" serve upper :0 --backend=steam
}

# --- the end -------------------------------------------------------------------

@test "SIGTERM ends it with 0, SIGINT with 130" {
    serve upper 127.0.0.1:0
    kill -TERM "$SERVER"
    ended
    is status $STATUS 0
    serve upper 127.0.0.1:0
    kill -INT "$SERVER"
    ended
    is status $STATUS 130
}

@test "a server started with SIGINT ignored goes on ignoring it" {
    serve upper 127.0.0.1:0 --once
    kill -TERM "$SERVER"
    ended
    mkfifo fifo
    env --ignore-signal=INT "$STOA" serve upper 127.0.0.1:0 --quiet --ready-fd 7 7>fifo 3>&- &
    SERVER=$!
    read -r ADDR <fifo
    kill -INT "$SERVER"
    is answer "$(say 'still here\n')" "STILL HERE"
}

# Who comes while the listener is being closed may be reset; then all are refused.
refuses_soon() {
    local status=0
    SECONDS=0
    until [ "$status" = 4 ] || [ $SECONDS -gt "$PATIENCE" ]; do
        status=0
        "$STOA" connect -z "$ADDR" 2>/dev/null 3>&- || status=$?
    done
    is "exit code of connect" "$status" 4
}

@test "after SIGTERM a client that is there can finish, a new one is refused" {
    serve echo 127.0.0.1:0
    coproc client { exec "$STOA" connect "$ADDR" 3>&-; }
    echo before >&"${client[1]}"
    read -r -t "$PATIENCE" answer <&"${client[0]}"
    log_line
    kill -TERM "$SERVER"
    log_line
    has "$LINE" "stopping; still connected: 1, with 10.0 s to end"
    echo after >&"${client[1]}"
    read -r -t "$PATIENCE" answer <&"${client[0]}"
    is answer "$answer" after
    refuses_soon
    exec {client[1]}>&-
    ended
    is status $STATUS 0
    log_line
    has "$LINE" "end of stream"
}

@test "--drain-timeout cuts off who does not end" {
    for time in 100ms 0; do
        serve echo 127.0.0.1:0 --drain-timeout $time
        exec {CLIENT}<>"/dev/tcp/$HOST/$PORT"
        log_line
        kill -TERM "$SERVER"
        log_line
        log_line
        has "$LINE" "cut off"
        ended
        is status $STATUS 0
    done
}

@test "a second signal ends it at once" {
    serve echo 127.0.0.1:0 --drain-timeout 1h
    coproc client { exec "$STOA" connect "$ADDR" 3>&-; }
    log_line
    kill -TERM "$SERVER"
    log_line
    kill -TERM "$SERVER"
    ended
    is status $STATUS 143
}

# --- UDP -----------------------------------------------------------------------

@test "udp: upper and echo answer each datagram to its sender, empty ones too" {
    serve upper udp://127.0.0.1:0
    python3 - "$PORT" <<'END'
import socket, sys
to = ('127.0.0.1', int(sys.argv[1]))
clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
for message in (b'client', b'', b'x' * 60000):
    # No more at once than fits into a socket's buffer: UDP drops the rest.
    for n, s in enumerate(clients):
        s.settimeout(200)
        s.sendto(message + b'%d' % n if message else message, to)
    for n, s in enumerate(clients):
        want = message.upper() + b'%d' % n if message else b''
        assert s.recvfrom(65536) == (want, to)
END
    log_line
    has "$LINE" "sends datagrams"
}

@test "udp: a sender that is gone does not end the server" {
    serve echo udp://127.0.0.1:0
    python3 - "$PORT" <<'END'
import socket, sys
to = ('127.0.0.1', int(sys.argv[1]))
for _ in range(50):
    gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    gone.sendto(b'bye', to)
    gone.close()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(200)
s.sendto(b'here', to)
assert s.recv(100) == b'here'
END
    kill -TERM "$SERVER"
    ended
    is status $STATUS 0
}

@test "udp: --count counts datagrams; exec and --timeout are refused" {
    serve echo udp://127.0.0.1:0 --count 2 --quiet
    printf one | "$STOA" connect "$ADDR"
    printf two | "$STOA" connect "$ADDR"
    ended
    is status $STATUS 0
    refused 2 "exec needs a stream" serve exec cat udp://127.0.0.1:0
    refused 2 "--timeout has no meaning for UDP" serve echo udp://127.0.0.1:0 --timeout 1s
}

# --- limits --------------------------------------------------------------------

@test "--first-byte and --idle send silent clients off, and the log says why" {
    serve echo 127.0.0.1:0 --first-byte 500ms
    exec {conn}<>"/dev/tcp/$HOST/$PORT"
    log_line
    has "$LINE" came
    log_line
    has "$LINE" "went after 0 bytes in, 0 out"
    has "$LINE" ": silent from the start"
    exec {conn}>&-
    serve echo 127.0.0.1:0 --idle 2s
    exec {conn}<>"/dev/tcp/$HOST/$PORT"
    echo word >&"$conn"
    log_line
    log_line
    has "$LINE" "went after 5 bytes in, 5 out"
    has "$LINE" ": idle"
    exec {conn}>&-
}

@test "--max-per-address refuses who comes beyond, and the log says whom" {
    serve echo 127.0.0.1:0 --max-per-address 1
    exec {conn}<>"/dev/tcp/$HOST/$PORT"
    echo word >&"$conn"
    read -r -t "$PATIENCE" answer <&"$conn"
    is answer "$answer" word
    log_line
    timeout "$PATIENCE" "$STOA" connect "$ADDR" </dev/null 3>&- || :
    log_line
    has "$LINE" "stoa serve: refused, as its address has its number already, which is 1: 127.0.0.1:"
    exec {conn}>&-
}

@test "a storm of refusals is a line a second, and a number" {
    serve echo 127.0.0.1:0 --max-per-address 1 --workers 1
    exec {conn}<>"/dev/tcp/$HOST/$PORT"
    echo word >&"$conn"
    read -r -t "$PATIENCE" answer <&"$conn"
    log_line
    python3 - "$PORT" <<'END'
import socket, sys, time
since, n = time.monotonic(), 0
while time.monotonic() < since + 1.2 or n < 200:
    try:
        with socket.create_connection(('127.0.0.1', int(sys.argv[1])), 200) as s:
            s.recv(1)
    except ConnectionResetError:
        n += 1
    time.sleep(0.001)
END
    log_line
    has "$LINE" "stoa serve: refused, as its address has its number already"
    log_line
    has "$LINE" "; and before it "
    has "$LINE" " more like it"
    exec {conn}>&-
    log_line
    has "$LINE" "went after 5 bytes in"
}

@test "more connections than descriptors are refused at the start" {
    refused 2 "--max-conns 4000000000: each needs 1 of the " serve echo :0 --max-conns 4000000000
    refused 2 "--max-conns 4000000000: each needs 4 of the " \
        serve exec cat :0 --max-conns 4000000000
    refused 2 "--workers 0: not a number from 1 to 1024" serve echo :0 --workers 0
}

@test "limits that are none are refused" {
    refused 2 "not a number" serve echo :0 --max-per-address 0
    refused 2 "not a time" serve echo :0 --idle soon
    refused 2 "not a time" serve echo :0 --first-byte -1
    refused 2 "not a number" serve echo :0 --min-rate 1.5
    refused 2 "a limit of clients has no meaning for UDP" serve echo udp://127.0.0.1:0 --idle 1s
}

@test "a handler that holds its worker is told: here by a log that nobody reads" {
    serve echo 127.0.0.1:0 --workers 1 --json
    python3 - "$PORT" "$SERVER" "$LOG" <<'END'
import fcntl, glob, os, platform, socket, sys, time
port, pid, log = sys.argv[1:]
fcntl.fcntl(int(log), 1031, 4096)  # F_SETPIPE_SZ
write = {'x86_64': '1', 'aarch64': '64'}[platform.machine()]
def writers():
    return sum(open(path).read().startswith(write + ' 0x2 ')
               for path in glob.glob(f'/proc/{pid}/task/*/syscall'))
clients = []
while writers() < 1:
    clients.append(socket.create_connection(('127.0.0.1', int(port)), 10))
    time.sleep(0.001)
while writers() < 2:  # who would tell of it is held up there, too
    time.sleep(0.001)
END
    LINE=
    until [[ $LINE = *'worker 1 is held by'* ]]; do log_line; done
    has "$LINE" "in the system call write at "
    has "$LINE" "addr2line"
    has "$LINE" '"event":"told"'
    refused 2 "not a time" serve echo :0 --max-hold never
    refused 2 "has no meaning for UDP" serve echo udp://127.0.0.1:0 --max-hold 1s
}

# full WHY ARG...: more clients than descriptors.  The old ones are served, the others wait and
# are not lost, and the log says WHY, once a second.  That nobody spins meanwhile is counted in
# tests/facade/traps_accept.c; here it is printed, and so is how soon the next one is served.
full() {
    local why=$1 tool=$STOA said reader
    shift
    printf '#!/bin/sh\nulimit -n 200\nexec "%s" "$@"\n' "$tool" >"$T/few"
    chmod +x "$T/few"
    STOA=$T/few
    SECONDS=0
    serve upper 127.0.0.1:0 "$@"
    STOA=$tool
    sed -u '/^that is all$/q' <&"$LOG" >lines 3>&- &
    reader=$!
    python3 - "$PORT" "$SERVER" "$why" <<'END'
import os, select, socket, sys, time
port, pid, why = int(sys.argv[1]), sys.argv[2], sys.argv[3]

def ticks():
    return sum(map(int, open(f'/proc/{pid}/stat').read().rsplit(')')[1].split()[11:13]))

clients = []
for _ in range(250):
    clients.append(socket.create_connection(('127.0.0.1', port), 200))
    clients[-1].send(b'a')
ready = set()
while (new := set(select.select([c for c in clients if c not in ready], [], [], 1)[0])) or \
        len(ready) <= 100:
    ready |= new
served = [c for c in clients if c in ready]
waiting = [c for c in clients if c not in ready]
assert len(waiting) > 40, len(served)
before, since = ticks(), time.monotonic()
while open('lines').read().count(why) < 2:
    time.sleep(0.02)
busy = (ticks() - before) / os.sysconf('SC_CLK_TCK') / (time.monotonic() - since)
for c in served:
    assert c.recv(1) == b'A'
    c.send(b'b')
for c in served:
    assert c.recv(1) == b'B'
late, most = [], len(served)
while waiting:
    served.pop().close()
    since = time.monotonic()
    # Workers with a queue each may let in one each beyond the number.
    news = select.select(waiting, [], [], 0.5 if most - len(served) < os.cpu_count() else 200)[0]
    if news:
        late.append(time.monotonic() - since)
    for c in news:
        assert c.recv(1) == b'A'
        waiting.remove(c)
        served.append(c)
    most = max(most, len(served))
    assert most - len(served) <= os.cpu_count(), 'there is room, and nobody is served'
late.sort()
print(f'# {busy:.1%} of a processor, next one served after {late[len(late) // 2] * 1e3:.1f} ms, '
      f'{late[-1] * 1e3:.1f} at most')
END
    kill -TERM "$SERVER"
    ended
    echo "that is all" >&"$LOG"
    wait "$reader"
    said=$(grep -cF "$why" lines)
    echo "said $said times"
    [ "$said" -ge 2 ] && [ "$said" -le $((SECONDS + 2)) ]
}

@test "when descriptors are out clients wait, and the log tells the cure" {
    local why="200 of 200 descriptors are in use; LimitNOFILE="
    full "$why" --max-conns 199 --backend epoll
    if serve upper 127.0.0.1:0 --backend uring; then
        kill -TERM "$SERVER"
        ended
        full "$why" --max-conns 199 --backend uring
    else
        has "$LINE" "io_uring is not available here ("
    fi
}

@test "when connections are as many as descriptors allow, clients wait" {
    full "136 connections are what 200 descriptors allow; LimitNOFILE="
}
