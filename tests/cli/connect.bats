#!/usr/bin/env bats
# connect.bats - `stoa connect` in pipes: each option, each exit code, each end.
load lib

# script PYTHON: a server of CPython's sockets in the background, with the folder's files
# for its words.  It has `listener`, on PORT, and its standard output goes to script.out.
# It is ready when it says ready(), or at once.
script() {
    case $1 in *'ready()'*) ;; *) set -- "ready()$1" ;; esac
    rm -f "$T/port"
    mkfifo "$T/port"
    python3 -c "
import os, select, signal, socket, struct, sys
listener = socket.socket()
listener.bind(('127.0.0.1', 0))
listener.listen()
def ready():
    print(listener.getsockname()[1], file=open('port', 'w'))
$1" 3>&- >script.out &
    SCRIPT=$!
    read -r -t "$PATIENCE" PORT <port
    ADDR=127.0.0.1:$PORT
}

connect() { timeout "$PATIENCE" "$STOA" connect "$@" 3>&-; }

# --- both directions --------------------------------------------------------------

@test "the end of input is passed on, and the late answer waited for" {
    script '
conn, _ = listener.accept()
got = b"".join(iter(lambda: conn.recv(4096), b""))  # until the end, as a server may
conn.sendall(got.upper())
'
    is answer "$(printf 'hi\n' | connect "$ADDR")" HI
}

@test "100 MB of random bytes come back the same, both ways at once" {
    serve echo 127.0.0.1:0 --quiet
    head -c 100000000 /dev/urandom >sent
    connect "$ADDR" <sent | cmp - sent
}

@test "every byte value passes unchanged, in both directions" {
    serve echo 127.0.0.1:0
    python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 3)' >sent
    connect "$ADDR" <sent >got
    cmp sent got
}

@test "no input at all is an end, too" {
    serve echo 127.0.0.1:0
    run -0 connect "$ADDR" </dev/null
    is output "$output" ""
    run -0 bash -c "'$STOA' connect '$ADDR' <&-"
}

@test "after the peer's end, input is sent until its own end" {
    script '
conn, _ = listener.accept()
conn.shutdown(socket.SHUT_WR)
n = sum(len(part) for part in iter(lambda: conn.recv(65536), b""))
print(n, flush=True)
'
    (head -c 3000000 /dev/zero; sleep 0.2; head -c 3000000 /dev/zero) 3>&- | connect "$ADDR"
    wait "$SCRIPT"
    is received "$(cat script.out)" 6000000
}

@test "a UNIX peer that has gone ends it, though input stays open" {
    serve exec 'echo bye' "unix:$T/socket"
    mkfifo idle
    exec {IDLE}<>idle
    run -0 connect "$ADDR" <idle
    is output "$output" bye
}

@test "a TCP peer that has gone ends it, when its kernel has forgotten it" {
    unshare -rn true 2>/dev/null || skip "no network of our own without user namespaces"
    mkfifo idle port
    exec {IDLE}<>idle
    # A minute in the world outside, a second here.
    run -0 unshare -rn bash -c "ip link set lo up
        echo 1 >/proc/sys/net/ipv4/tcp_fin_timeout
        '$STOA' serve exec 'echo bye' 127.0.0.1:0 --quiet --ready-fd 7 7>port 3>&- &
        read -r addr <port
        timeout '$PATIENCE' '$STOA' connect \"\$addr\" <idle
        status=\$?
        kill %1
        exit \$status"
    is output "$output" bye
}

@test "what is sent to a peer that has gone, after its end, is told: 6" {
    script '
conn, _ = listener.accept()
conn.close()
'
    status=0
    # Each line may be the one that the peer answers with a reset.
    connect -v "$ADDR" < <(tail --pid="$SCRIPT" -f /dev/null; exec yes line) >out 2>err 3>&- ||
        status=$?
    is status $status 6
    [ "$(wc -l <err)" = 2 ]
}

@test "a line that comes just as the peer goes is told, too, while input stays open: 6" {
    python3 - "$STOA" 3>&- <<'END'
import os, socket, subprocess, sys
with socket.create_server(('127.0.0.1', 0)) as listener:
    address = '127.0.0.1:%d' % listener.getsockname()[1]
    for _ in range(50):
        reads, writes = os.pipe()
        os.write(writes, b'line\n')
        client = subprocess.Popen([sys.argv[1], 'connect', address], stdin=reads,
                                  stderr=subprocess.DEVNULL)
        os.close(reads)
        listener.accept()[0].close()
        status = client.wait(200)
        os.close(writes)
        assert status == 6, status
END
}

@test "a peer that hangs up in the middle is told: 6" {
    script '
conn, _ = listener.accept()
conn.recv(10)
conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
conn.close()
'
    run -6 connect "$ADDR" < <(exec cat /dev/zero 3>&-)
    is "number of lines" "${#lines[@]}" 1
    has "$output" "stoa connect: "
    has "$output" "$ADDR"
}

@test "--crlf sends each newline as \\r\\n, once" {
    script '
conn, _ = listener.accept()
print(b"".join(iter(lambda: conn.recv(4096), b"")), flush=True)
'
    printf 'a\nb\r\nc\r\r\n\nno end' | connect --crlf "$ADDR"
    wait "$SCRIPT"
    is received "$(cat script.out)" "b'a\\r\\nb\\r\\nc\\r\\r\\n\\r\\nno end'"
}

@test "by UNIX path, abstract name, IPv6, and as host and port" {
    serve upper "unix:$T/socket"
    is unix: "$(printf 'x' | connect "unix:$T/socket")" X
    is -U "$(printf 'x' | connect -U "$T/socket")" X
    is "-U relative" "$(printf 'x' | connect -U socket)" X
    serve upper 127.0.0.1:0
    is "host port" "$(printf 'x' | connect 127.0.0.1 "$PORT")" X
    is localhost "$(printf 'x' | connect localhost "$PORT")" X
    is :port "$(printf 'x' | connect ":$PORT")" X
    [ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
    serve upper '[::1]:0'
    is "::1 port" "$(printf 'x' | connect ::1 "$PORT")" X
    is "[::1]:port" "$(printf 'x' | connect "[::1]:$PORT")" X
}

# --- exit codes -------------------------------------------------------------------

@test "exit 2: a command line that makes no sense" {
    refused 2 "which address?" connect
    refused 2 "one word too many" connect a b c
    refused 2 "unrecognized option" connect --frobnicate
    refused 2 "-k needs -l" connect -k 127.0.0.1:1
    refused 1 "dial fd:99: the descriptor is not open" connect fd:99
    refused 2 "-z and -l" connect -z -l 1
    refused 2 "-z -u" connect -z -u 127.0.0.1 1
    refused 2 "-u and -U" connect -u -U x
    refused 2 "-s and -l" connect -l -s 127.0.0.1 1
    refused 2 "--wait and -l" connect -l --wait 1s 1
    refused 2 "--hex and --json" connect --hex --json :1
    refused 2 "--raw and --crlf" connect --raw --crlf :1
    refused 2 "-U takes one path" connect -U a b
    refused 2 "-4 and -6" connect -4 -6 :1
    refused 2 "holds its port itself" connect tcp://127.0.0.1 80
    refused 2 "not an address for -u" connect -u tcp://127.0.0.1:80
    refused 2 "not an address for -U" connect -U tcp://127.0.0.1:80
    refused 2 "--timeout 0" connect --timeout 0 :1
    refused 2 "500ms, 5s, 2m or 1h" connect -w soon :1
    refused 2 "500ms, 5s, 2m or 1h" connect --wait=-1 :1
}

@test "exit 2: a text that is no address, and which part of it" {
    refused 2 '"99999"' connect 127.0.0.1:99999
    refused 2 '"99999"' connect 127.0.0.1 99999
    refused 2 'no port' connect 127.0.0.1
    refused 2 '127.1' connect 127.1:80
    refused 2 '107' connect "unix:/$(printf 'x%.0s' {1..120})"
    refused 2 'longer than any address' connect "$(printf 'x%.0s' {1..2000})" 80
}

@test "exit 3: a name nobody knows" {
    refused 3 "nosuch.invalid" connect nosuch.invalid:80
    refused 3 "no IPv6 address" connect -6 127.0.0.1:1
    refused 3 "no IPv4 address" connect -4 '[::1]:1'
}

@test "exit 4: nobody listens" {
    refused 4 "127.0.0.1:1" connect 127.0.0.1:1
    refused 4 "/no/such/socket" connect unix:/no/such/socket
    touch file
    refused 4 "$T/file" connect "unix:$T/file"
}

@test "exit 5: the connection does not come in time" {
    # A listener whose queue is full leaves further clients without an answer.
    script '
listener.listen(0)
full = [socket.socket() for _ in range(3)]
for s in full:
    s.setblocking(False)
    s.connect_ex(listener.getsockname())
select.select([listener], [], [])  # the queue has its one
ready()
signal.pause()
'
    refused 5 "$ADDR" connect --timeout 200ms "$ADDR"
    refused 5 "$ADDR" connect -w 200ms "$ADDR"
}

@test "exit 5: the peer is silent for longer than --timeout" {
    serve discard 127.0.0.1:0
    mkfifo idle
    exec {IDLE}<>idle
    run -5 connect --timeout 200ms "$ADDR" <idle
    has "$output" "stoa connect: "
}

@test "--timeout counts silence on both ways: while one moves, the other may be still" {
    serve discard 127.0.0.1:0
    # A slow sender: its pauses are what is tested.  On a busy machine they may be too long.
    for time in 0.4 2 10; do
        pause=$(awk "BEGIN { print $time / 4 }") status=0
        for _ in 1 2 3 4 5 6 7 8; do echo x; sleep "$pause"; done 3>&- |
            connect --timeout "${time}s" "$ADDR" || status=$?
        [ "$status" != 0 ] || break
    done
    is status "$status" 0
}

@test "exit 6: a reset before the first byte" {
    script '
conn, _ = listener.accept()
conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
conn.close()
'
    refused 6 "$ADDR" connect "$ADDR"
}

@test "exit 7: no way there" {
    unshare -rn true 2>/dev/null || skip "no network of our own without user namespaces"
    run -7 unshare -rn "$STOA" connect 192.0.2.1:80 </dev/null
    has "$output" "192.0.2.1:80"
    refused 7 "dial" connect -s 192.0.2.1 127.0.0.1:1
}

@test "exit 8: an address to listen at that is taken, or none of ours" {
    serve upper 127.0.0.1:0
    refused 8 "$PORT" connect -l 127.0.0.1 "$PORT"
    refused 8 "192.0.2.1" connect -l 192.0.2.1 0
}

@test "exit 130: SIGINT, and 143: SIGTERM" {
    serve echo 127.0.0.1:0
    mkfifo idle
    exec {IDLE}<>idle
    for end in INT:130 TERM:143; do
        env --default-signal=INT "$STOA" connect "$ADDR" <idle 3>&- &
        client=$!
        log_line
        kill "-${end%:*}" "$client"
        status=0
        wait "$client" || status=$?
        is "status after $end" "$status" "${end#*:}"
        log_line
    done
}

# --- standard output ----------------------------------------------------------------

@test "a full disk behind standard output is a sentence and exit 1" {
    serve upper 127.0.0.1:0
    status=0
    printf 'hi\n' | connect "$ADDR" 2>err >/dev/full || status=$?
    is status $status 1
    is error "$(cat err)" "stoa connect: write standard output: No space left on device"
}

@test "a full disk behind --json is the same sentence, for the first event and the last" {
    serve upper 127.0.0.1:0
    status=0
    connect "$ADDR" --json </dev/null 2>err >/dev/full || status=$?
    is status $status 1
    is error "$(cat err)" "stoa connect: write standard output: No space left on device"
}

@test "a full disk is told at the byte where it happens, and the peer gets a reset" {
    script '
conn, _ = listener.accept()
try:
    while True:
        conn.sendall(bytes(65536))
except OSError as error:
    print(type(error).__name__, flush=True)
'
    run -1 bash -c "'$STOA' connect '$ADDR' </dev/null >/dev/full"
    wait "$SCRIPT"
    [[ $(cat script.out) =~ ConnectionResetError|BrokenPipeError ]]
}

@test "nobody reads standard output any more: a quiet end, exit 0" {
    serve exec yes 127.0.0.1:0 --quiet
    connect "$ADDR" </dev/null 2>err | head -1 >first
    is status "${PIPESTATUS[0]}" 0
    is first "$(cat first)" y
    is error "$(cat err)" ""
}

@test "a folder as standard input is a sentence and exit 1" {
    serve upper 127.0.0.1:0
    run -1 connect "$ADDR" </
    has "$output" "read standard input: Is a directory"
}

# --- options ------------------------------------------------------------------------

@test "--wait tries until somebody listens" {
    printf 'early\n' | connect --wait 1h "unix:$T/late" >out 3>&- &
    client=$!
    serve upper "unix:$T/late"
    wait "$client"
    is answer "$(cat out)" EARLY
}

@test "--wait ends with the last failure, when it is over, and at once for a wrong address" {
    refused 4 "127.0.0.1:1" connect --wait 300ms 127.0.0.1:1
    refused 2 "99999" connect --wait 1h 127.0.0.1:99999
}

@test "--hex shows both directions, with the time" {
    serve upper 127.0.0.1:0
    printf 'hello, world!! 0123\n\377' | connect --hex "$ADDR" >out
    time='^[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{3}'
    bytes='68 65 6c 6c 6f 2c 20 77  6f 72 6c 64 21 21 20 30'
    grep -qE "$time > 00000000  $bytes \|hello, world!! 0\|$" out
    grep -qE "$time > 00000010  31 32 33 0a ff {35}\|123..\|$" out
    bytes='48 45 4c 4c 4f 2c 20 57  4f 52 4c 44 21 21 20 30'
    grep -qE "$time < 00000000  $bytes \|HELLO, WORLD!! 0\|$" out
    grep -qE "$time < 00000010  31 32 33 0a ff {35}\|123..\|$" out
    is lines "$(wc -l <out)" 4
}

@test "--json tells both directions, an object a line, and loses no byte" {
    serve echo 127.0.0.1:0 --quiet
    python3 - "$STOA" "$ADDR" <<'END'
import base64, json, subprocess, sys
def talk(data):
    done = subprocess.run([sys.argv[1], 'connect', '--json', sys.argv[2]], input=data,
                          stdout=subprocess.PIPE, check=True, timeout=200)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    for way in 'send', 'recv':
        parts = [e for e in events if e['event'] == way]
        got = [e['data'].encode() if 'data' in e else base64.b64decode(e['base64']) for e in parts]
        assert [len(part) for part in got] == [e['bytes'] for e in parts]
        assert b''.join(got) == data, (way, got, data)
    assert {(e['conn'], e['peer']) for e in events} == {(1, sys.argv[2])}
    assert all(e['ts'].endswith('Z') for e in events)
    assert events[0]['event'] == 'open' and events[-1]['event'] == 'close'
    assert events[-1]['reason'] == 'end of stream' and events[-1]['bytes'] == 2 * len(data)
    return events

events = talk('quote " back \\ tab \t nul \0 esc \33 csi \x9b 你好 👋\r\n'.encode())
assert all('data' in e for e in events if e['event'] in ('send', 'recv'))
assert '\33' not in json.dumps(events) and '\x9b' not in json.dumps(events)
talk(b'\xff\xfe' + '你'.encode()[:2])
talk(bytes(range(256)) * 200)
# Characters that packets cut stay whole: text is text, however long.
events = talk(('x' + '你好' * 50000).encode())
assert all('data' in e for e in events if e['event'] in ('send', 'recv'))
END
}

@test "--json of a failure tells the reason, and standard error the sentence" {
    script '
conn, _ = listener.accept()
conn.recv(1)
conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
conn.close()
'
    run --separate-stderr -6 connect --json "$ADDR" <<<x
    has "${lines[-1]}" '"event":"close"'
    has "${lines[-1]}" "reset"
    is "lines of standard error" "${#stderr_lines[@]}" 1
}

@test "-v says when connected, on standard error" {
    serve upper 127.0.0.1:0
    run --separate-stderr -0 connect -v "$ADDR" <<<x
    is output "$output" X
    is error "$stderr" "stoa connect: connected to $ADDR"
}

@test "-z connects, sends nothing, and says by its exit code" {
    serve echo 127.0.0.1:0
    run -0 connect -z "$HOST" "$PORT"
    is output "$output" ""
    log_line
    log_line
    has "$LINE" "0 bytes in, 0 out"
    run -0 connect -zv "$ADDR"
    is output "$output" "stoa connect: $ADDR is open"
    refused 4 refused connect -z 127.0.0.1 1
}

@test "-z takes a range of ports: 0 when one is open" {
    serve echo 127.0.0.1:0
    run -0 connect -zv 127.0.0.1 "$PORT-$PORT"
    has "$output" "127.0.0.1:$PORT is open"
    run -4 connect -z 127.0.0.1 1-3
    is output "$output" ""
    refused 2 '"30-20"' connect -z 127.0.0.1 30-20
    refused 2 '"1-70000"' connect -z 127.0.0.1 1-70000
    refused 2 '"20-30"' connect 127.0.0.1 20-30
}

@test "-s is the address to come from" {
    serve upper 127.0.0.1:0
    is answer "$(printf x | connect -s 127.0.0.9 "$ADDR")" X
    log_line
    has "$LINE" "127.0.0.9:"
    for _ in {1..20}; do # somebody else may be quicker
        port=$(free_port)
        answer=$(printf x | connect -s "127.0.0.9:$port" "$ADDR") || continue
        break
    done
    is answer "$answer" X
    log_line
    log_line
    is who "$LINE" "127.0.0.9:$port came"
}

@test "-4 and -6 choose among a name's addresses" {
    serve upper 127.0.0.1:0
    is IPv4 "$(printf x | connect -4 localhost "$PORT")" X
    getent ahostsv6 localhost | grep -q ::1 || skip "localhost is not ::1 here"
    serve upper '[::1]:0'
    is IPv6 "$(printf x | connect -6 localhost "$PORT")" X
}

@test "-N changes nothing" {
    serve upper 127.0.0.1:0
    is answer "$(printf x | connect -N "$ADDR")" X
}

# --- -l ---------------------------------------------------------------------------

# listening ARG...: stoa connect -l -v in the background; sets CLIENT and PORT.
listening() {
    rm -f "$T/said"
    mkfifo "$T/said"
    "$STOA" connect -l -v "$@" <&0 2>"$T/said" >out 3>&- &
    CLIENT=$!
    exec {ERR}<"$T/said"
    read -r -t "$PATIENCE" LINE <&"$ERR"
    has "$LINE" "listening at"
    PORT=${LINE##*:}
}

# out_line: the next line that the client in the background has written, in LINE.
out_line() {
    if [ ! -p got ]; then
        mkfifo got
        tail -n +1 -f out 3>&- >got &
        exec {GOT}<got
    fi
    LINE=
    read -r -t "$PATIENCE" LINE <&"$GOT"
}

@test "-l receives one client and ends; a second one is refused" {
    listening 127.0.0.1 0 </dev/null
    exec {client}<>"/dev/tcp/127.0.0.1/$PORT"
    read -r -t "$PATIENCE" LINE <&"$ERR"
    has "$LINE" "connected to tcp://127.0.0.1:"
    refused 4 refused connect "127.0.0.1:$PORT"
    echo 'to the listener' >&"$client"
    exec {client}>&-
    wait "$CLIENT"
    is received "$(cat out)" "to the listener"
}

@test "-l with a port alone, a UNIX path, and -4" {
    listening 0 < <(printf 'from the listener')
    is received "$("$STOA" connect "127.0.0.1:$PORT" </dev/null)" "from the listener"
    wait "$CLIENT"
    listening -U "$T/socket" < <(printf 'by path')
    is received "$("$STOA" connect -U "$T/socket" </dev/null)" "by path"
    wait "$CLIENT"
    listening -4 0 < <(printf 'IPv4')
    is received "$("$STOA" connect -4 localhost "$PORT" </dev/null)" "IPv4"
    wait "$CLIENT"
}

@test "-l -k goes on with the next client" {
    listening -k 127.0.0.1 0 </dev/null
    for word in one two three; do
        "$STOA" connect "127.0.0.1:$PORT" <<<"$word"
        read -r -t "$PATIENCE" LINE <&"$ERR"
        out_line
        is received "$LINE" "$word"
    done
}

# --- UDP --------------------------------------------------------------------------

# What is answered within 100 ms, or on a busy machine within more.
answered_in_time() {
    for time in 100ms 1s 10s 1m; do
        answer=$(printf 'datagram' | connect "$@" $time)
        [ -z "$answer" ] || break
    done
    echo "$answer"
}

@test "-u sends a datagram, and ends a while after the answer" {
    serve upper udp://127.0.0.1:0
    for _ in {1..50}; do # the second that it waits is short on a busy machine
        answer=$(printf 'datagram' | connect -u "$HOST" "$PORT")
        [ -z "$answer" ] || break
    done
    is -u "$answer" DATAGRAM
    is "-u addr" "$(answered_in_time -u "$HOST:$PORT" -w)" DATAGRAM
    is udp:// "$(answered_in_time "$ADDR" --timeout)" DATAGRAM
}

@test "-u to where nobody listens is refused: 4" {
    run -4 connect -u -w 1h 127.0.0.1 1 <<<x
    has "$output" "127.0.0.1:1"
}

@test "-l -u answers the first sender" {
    mkfifo idle
    exec {IDLE}<>idle
    listening -u 127.0.0.1 0 <idle
    coproc sender { exec "$STOA" connect -u 127.0.0.1 "$PORT" 3>&-; }
    echo question >&"${sender[1]}"
    read -r -t "$PATIENCE" LINE <&"$ERR"
    has "$LINE" "connected to udp://127.0.0.1:"
    echo answer >&"$IDLE"
    read -r -t "$PATIENCE" LINE <&"${sender[0]}"
    is answer "$LINE" answer
    out_line
    is question "$LINE" question
}

@test "-l -u -k takes datagrams from everybody" {
    listening -u -k 127.0.0.1 0 </dev/null
    for word in one two three; do
        "$STOA" connect -u 127.0.0.1 "$PORT" -w 500ms <<<"$word"
        out_line
        is datagram "$LINE" "$word"
    done
}
