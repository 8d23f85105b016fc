#!/usr/bin/env bats
# peers.bats - programs that others wrote agree: nc, ncat, socat, curl, CPython's sockets.
#
# Each talks to `stoa serve`, and is talked to by `stoa connect`.  A peer that is not
# installed is skipped, and says so.
load lib

needs() { command -v "$1" >/dev/null || skip "$1 is not installed"; }

text=$'hello\n你好, world\n'
answer=$'HELLO\n你好, WORLD'

# --- they talk to stoa serve ----------------------------------------------------------

@test "nc talks to stoa serve, by TCP, UDP and UNIX" {
    needs nc.openbsd
    serve upper 127.0.0.1:0
    is TCP "$(printf '%s' "$text" | timeout "$PATIENCE" nc.openbsd -N "$HOST" "$PORT")" "$answer"
    serve upper "unix:$T/socket"
    is UNIX "$(printf '%s' "$text" | timeout "$PATIENCE" nc.openbsd -N -U socket)" "$answer"
    serve upper udp://127.0.0.1:0
    coproc nc { exec nc.openbsd -u "$HOST" "$PORT" 3>&-; }
    echo datagram >&"${nc[1]}"
    read -r -t "$PATIENCE" LINE <&"${nc[0]}"
    is UDP "$LINE" DATAGRAM
}

@test "ncat talks to stoa serve, by TCP and UNIX" {
    needs ncat
    serve upper 127.0.0.1:0
    is TCP "$(printf '%s' "$text" | timeout "$PATIENCE" ncat "$HOST" "$PORT")" "$answer"
    serve upper "unix:$T/socket"
    is UNIX "$(printf '%s' "$text" | timeout "$PATIENCE" ncat -U socket)" "$answer"
}

@test "socat talks to stoa serve, by TCP, UNIX, abstract name and IPv6" {
    needs socat
    # -t: socat's own timer, which would lose a late answer.
    socat() { printf '%s' "$text" | timeout "$PATIENCE" socat -t "$PATIENCE" - "$1"; }
    serve upper 127.0.0.1:0
    is TCP "$(socat "TCP:$HOST:$PORT")" "$answer"
    serve upper "unix:$T/socket"
    is UNIX "$(socat UNIX-CONNECT:socket)" "$answer"
    serve upper "unix:@stoa-peers-$$"
    is abstract "$(socat "ABSTRACT-CONNECT:stoa-peers-$$")" "$answer"
    [ -e /proc/net/if_inet6 ] || skip "no IPv6 here"
    serve upper '[::1]:0'
    is IPv6 "$(socat "TCP6:$HOST:$PORT")" "$answer"
}

@test "curl talks to stoa serve, by telnet:// and by HTTP to a program" {
    needs curl
    serve upper 127.0.0.1:0 --count 2
    # curl's telnet goes on until the server ends it.
    coproc curl { exec curl -sN "telnet://$HOST:$PORT" 3>&-; }
    echo hello >&"${curl[1]}"
    read -r -t "$PATIENCE" LINE <&"${curl[0]}"
    is telnet "$LINE" HELLO
    serve exec 'read -r line; printf "HTTP/1.0 200 OK\r\n\r\n%s" "$line"' 127.0.0.1:0
    is HTTP "$(curl -s --max-time $PATIENCE "http://$HOST:$PORT/path")" $'GET /path HTTP/1.1\r'
    serve exec 'read -r line; printf "HTTP/1.0 200 OK\r\n\r\n%s" "$line"' "unix:$T/http"
    is "HTTP by UNIX" "$(curl -s --unix-socket http http://x/)" $'GET / HTTP/1.1\r'
}

@test "CPython's socket module talks to stoa serve: the textbook's own client" {
    serve upper 127.0.0.1:0
    python3 - "$PORT" <<'END'
from socket import *
import sys
phone = socket(AF_INET, SOCK_STREAM)
phone.connect(('127.0.0.1', int(sys.argv[1])))
for msg in 'hello', '你好, world', 'x' * 1000:
    phone.send(msg.encode('utf-8'))
    data = phone.recv(1024)
    assert data == msg.encode().upper(), data
phone.close()
END
}

# --- stoa connect talks to them ---------------------------------------------------------

# talk ADDR...: what stoa connect gets for the text, from a peer that is just starting.
talk() { printf '%s' "$text" | timeout "$PATIENCE" "$STOA" connect --wait 10s "$@" 3>&-; }

@test "stoa connect talks to nc -l" {
    needs nc.openbsd
    port=$(free_port)
    nc.openbsd -lN 127.0.0.1 "$port" <<<"nc's words" >got 3>&- &
    is TCP "$(talk 127.0.0.1 "$port")" "nc's words"
    wait $!
    is "what nc got" "$(cat got)" "${text%$'\n'}"
    nc.openbsd -lNU "$T/nc" <<<"nc's words" >got 3>&- &
    is UNIX "$(talk "unix:$T/nc")" "nc's words"
    wait $!
    is "what nc got" "$(cat got)" "${text%$'\n'}"
}

@test "stoa connect talks to ncat -l" {
    needs ncat
    port=$(free_port)
    ncat -l 127.0.0.1 "$port" <<<"ncat's words" >got 3>&- &
    is TCP "$(talk 127.0.0.1 "$port")" "ncat's words"
    wait $!
    is "what ncat got" "$(cat got)" "${text%$'\n'}"
}

@test "stoa connect talks to socat, whose answer comes after the end" {
    needs socat
    port=$(free_port)
    socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr" 'SYSTEM:sort -r' 3>&- &
    is TCP "$(talk 127.0.0.1 "$port")" $'你好, world\nhello'
    wait $!
    socat ABSTRACT-LISTEN:stoa-peers-$$ 'SYSTEM:tac' 3>&- &
    is abstract "$(talk "unix:@stoa-peers-$$")" $'你好, world\nhello'
    wait $!
    socat "UNIX-LISTEN:$T/socat" 'SYSTEM:tac' 3>&- &
    is UNIX "$(talk "unix:$T/socat")" $'你好, world\nhello'
    wait $!
}

@test "stoa connect talks to the textbook's own server on CPython" {
    mkfifo port
    python3 -c '
from socket import *
phone = socket(AF_INET, SOCK_STREAM)
phone.bind(("127.0.0.1", 0))
phone.listen(5)
print(phone.getsockname()[1], file=open("port", "w"))
conn, addr = phone.accept()
while True:
    data = conn.recv(1024)
    if not data: break
    conn.send(data.upper())
conn.close()
phone.close()
' 3>&- &
    read -r -t "$PATIENCE" PORT <port
    is TCP "$(talk "127.0.0.1:$PORT")" "$answer"
    wait $!
}

@test "an HTTP request to CPython's server by stoa connect --crlf" {
    mkfifo port
    echo 'the page' >page
    python3 -c '
import http.server
with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
    print(server.server_port, file=open("port", "w"))
    server.handle_request()
' 2>/dev/null 3>&- &
    read -r -t "$PATIENCE" PORT <port
    run -0 timeout "$PATIENCE" "$STOA" connect --crlf "127.0.0.1:$PORT" <<<$'GET /page HTTP/1.0\n'
    has "${lines[0]}" "200 OK"
    is "the last line" "${lines[-1]}" "the page"
}

@test "peers on both sides of one pipe: nc to stoa connect -l" {
    needs nc.openbsd
    mkfifo err
    "$STOA" connect -l -v 127.0.0.1 0 2>err >got 3>&- <<<"stoa's words" &
    client=$!
    exec {ERR}<err
    read -r -t "$PATIENCE" LINE <&"$ERR"
    is "what nc got" "$(printf '%s' "$text" | nc.openbsd -N 127.0.0.1 "${LINE##*:}")" "stoa's words"
    wait "$client"
    is "what stoa got" "$(cat got)" "${text%$'\n'}"
}
