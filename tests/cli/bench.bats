#!/usr/bin/env bats
# bench.bats - `stoa bench`: each kind of load, each report, each refusal.
#
# Runs are a quarter of a second: what is looked at is whether all answers came and were right, not
# how fast.  frozen.py has a server that stalls, hlog.mjs another reader of the logs.
load lib

bench() { timeout "$PATIENCE" "$STOA" bench "$@" 3>&-; }

# measured ARG...: a run of a quarter of a second that must be good; its JSON in report.json.
measured() {
    bench --timeout 60s "$@" --duration 250ms --quiet --json=report.json >report.txt || {
        echo "exit code $? of $*"
        cat report.txt
        return 1
    }
}

# in_background ARG...: a run of an hour, whose lines while it runs bench_line gives, in LINE, and
# which `interrupted` ends.
in_background() {
    rm -f told
    mkfifo told
    env --default-signal=INT "$STOA" bench "$@" --duration 1h >out 2>told 3>&- &
    BENCH=$!
    exec {TOLD}<told
}

bench_line() { read -r -t "$PATIENCE" LINE <&"$TOLD"; }

interrupted() {
    STATUS=0
    kill -INT $BENCH
    wait $BENCH || STATUS=$?
    is "exit code" $STATUS 130
}

# value EXPRESSION: of report.json, as Python sees it under the name r.
value() { python3 -c "import json; r = json.load(open('report.json')); print($1)"; }

# holds EXPRESSION: it is true.
holds() {
    [ "$(value "$1")" = True ] || {
        echo "not so: $1"
        cat report.json
        return 1
    }
}

# wrong_server PYTHON: a server that does something else with its connection `c`, again and again.
wrong_server() {
    mkfifo port
    python3 -c "
import socket, struct
l = socket.create_server(('127.0.0.1', 0))
print(l.getsockname()[1], flush=True)
while True:
    c, _ = l.accept()
    $1" >port 2>/dev/null 3>&- &
    read -r -t "$PATIENCE" PORT <port
    ADDR=127.0.0.1:$PORT
}

# A server that answers its first client, once, and nobody else.
answers_once() {
    wrong_server '
    clients = globals().setdefault("clients", [])
    clients.append(c)
    if len(clients) == 1:
        c.sendall(c.recv(64).upper())'
}

# --- kinds of load ------------------------------------------------------------------

@test "a closed loop: all answers come, and are compared" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --conns 8
    holds 'r["answers"] > 0 and r["errors"] == 0 and r["lost"] == 0'
    holds 'r["response_ns"]["count"] >= r["answers"] == r["service_ns"]["count"]'
    holds 'r["bytes_in"] == r["answers"] * 64 == r["bytes_out"]'
    holds 'r["connections"] == 8 and r["config"]["loop"] == "closed"'
}

@test "an open loop: as many messages as the schedule has" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --conns 8 --rate 2k
    holds 'r["answers"] == 500 == r["response_ns"]["count"] and r["errors"] == 0'
    measured "$ADDR" --conns 8 --rate 2k --workers 3 --pipeline 4
    holds 'r["answers"] == 500 and r["config"]["workers"] == 3'
    measured "$ADDR" --conns 8 --ramp 1k:3k
    holds '495 <= r["answers"] <= 501'
    measured "$ADDR" --conns 8 --rate 0.1
    holds 'r["answers"] == 1 and r["seconds"] < 60'
    holds '" --rate 0.1 " in r["config"]["options"]'
    measured "$ADDR" --conns 8 --rate 14.5
    holds 'r["answers"] == 4'
}

@test "messages of any size, many under way, by several workers" {
    serve echo 127.0.0.1:0 --quiet
    for size in 1 1000 100000; do
        measured "$ADDR" --expect echo --size $size --pipeline 7 --conns 5 --workers 2
        holds "r['errors'] == 0 and r['answers'] > 0 and r['bytes_in'] == r['answers'] * $size"
    done
    measured "$ADDR" --expect echo --stream --conns 3
    holds 'r["errors"] == 0 and r["bytes_in"] > 0'
}

@test "churn, whoever ends first" {
    serve upper 127.0.0.1:0 --quiet
    for who in client reset; do
        measured "$ADDR" --churn --close $who --conns 4
        holds 'r["errors"] == 0 and r["connections"] == r["answers"] > 0'
    done
    measured "$ADDR" --churn --rate 200 --conns 4
    holds 'r["errors"] == 0 and r["answers"] == 50'
    printf 'hi\n' >hi
    serve exec 'head -1' 127.0.0.1:0 --quiet
    measured "$ADDR" --churn --close server --send hi --expect hi --conns 2
    holds 'r["errors"] == 0 and r["answers"] > 1'
}

@test "UDP and UNIX sockets" {
    serve upper udp://127.0.0.1:0 --quiet
    measured "$ADDR" --conns 4 --timeout 60s
    holds 'r["answers"] > 0 and r["errors"] == 0'
    measured "$ADDR" --conns 4 --rate 1k --timeout 60s
    holds 'r["answers"] == 250'
    serve upper "unix:$T/socket" --quiet
    measured "unix:$T/socket" --conns 4
    holds 'r["answers"] > 0 and r["errors"] == 0'
    measured "unix:$T/socket" --churn --conns 4
    holds 'r["answers"] > 0 and r["errors"] == 0'
}

@test "a discard server answers nothing, and its bytes are counted" {
    serve discard 127.0.0.1:0 --quiet
    measured "$ADDR" --expect none --conns 2
    holds 'r["errors"] == 0 and r["bytes_out"] == r["answers"] * 64 and r["bytes_in"] == 0'
}

@test "silent and slow clients beside the load, and alone" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --conns 4 --idle 50 --slow 5 --pause 5ms
    holds 'r["errors"] == 0 and r["connections"] == 59 and r["cut"] == 0'
    measured "$ADDR" --conns 0 --idle 20
    holds 'r["errors"] == 0 and r["connections"] == 20 and r["answers"] == 0'
    serve upper 127.0.0.1:0 --quiet --idle 500ms
    in_background "$ADDR" --conns 0 --idle 3
    left=3
    for _ in $(seq "$PATIENCE"); do
        bench_line
        errors=${LINE% error*}
        left=$((left - ${errors##* }))
        [ $left -gt 0 ] || break
    done
    interrupted
    has "$(cat out)" "3 of the silent and slow clients were sent off"
}

@test "a message and its answer from files; an answer that is not compared" {
    printf 'Mixed Case\n' >ask
    printf 'MIXED CASE\n' >answer
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --send ask --expect answer --conns 3 --pipeline 2
    holds 'r["errors"] == 0 and r["config"]["size"] == 11'
    measured "$ADDR" --send ask --conns 2
    measured "$ADDR" --send ask --no-verify --answer-size 11 --pipeline 2 --conns 1
    holds 'r["errors"] == 0'
}

@test "loopback connections come from many addresses, or from the one that is asked for" {
    serve upper 127.0.0.1:0 --json
    bench "$ADDR" --conns 5 --duration 100ms --quiet >report.txt
    until [[ $LINE == *'"peer":"tcp://127.64.'* ]]; do log_line; done
    bench "$ADDR" --conns 5 --duration 100ms --quiet --from 127.0.0.9 >report.txt
    came=0 # the question before the run, and five
    while [ $came -lt 6 ]; do
        log_line
        [[ $LINE != *'"event":"came"'*'"peer":"tcp://127.0.0.9:'* ]] || came=$((came + 1))
    done
}

# --- reports ------------------------------------------------------------------------

@test "a percentile is told only where ten samples lie beyond it" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --rate 800
    holds 'r["response_ns"]["count"] == 200'
    holds 'r["response_ns"]["p90"] > 0 and r["response_ns"]["p99"] is None'
    has "$(cat report.txt)" "fewer than 10 of the 200 samples"
}

@test "JSON echoes what was asked for, and where it was measured" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --conns 3 --size 100 --pipeline 2
    holds '"--conns 3 --pipeline 2 --duration 0.25s --size 100 --ex" in r["config"]["options"]'
    holds 'r["environment"]["kernel"].startswith("Linux") and "RetransSegs" in r["counters"]'
    holds 'sum(i["answers"] for i in r["intervals"]) == r["answers"]'
    bench "$ADDR" --conns 1 --duration 100ms --quiet --json | python3 -m json.tool >pretty
}

@test "while it runs it tells in a pipe, and on standard error alone" {
    serve upper 127.0.0.1:0 --quiet
    bench "$ADDR" --conns 1 --duration 200ms >out 2>err
    grep -Eq '^stoa bench: +[0-9.]+ s  [0-9,]+/s  p50 ' err
    run ! grep -q 'stoa bench: ' out
    bench "$ADDR" --conns 1 --duration 100ms --quiet 2>err >out
    is "standard error" "$(cat err)" ""
}

@test "on a terminal it draws a bar, and takes it away" {
    serve upper 127.0.0.1:0 --quiet
    STOA=$STOA python3 -c '
import os, pty, sys
pty.spawn([os.environ["STOA"], "bench", sys.argv[1], "--conns", "1", "--duration", "1s"])' \
        "$ADDR" >screen
    grep -q '\[#' screen
    grep -q 'errors' screen
    has "$(tr '\r' '\n' <screen)" "answers in"
}

@test "on a terminal sentences are broken at its width, and the wait for answers is told" {
    answers_once
    STOA=$STOA python3 -c '
import fcntl, os, struct, subprocess, sys, termios
near, far = os.openpty()
fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 60, 0, 0))
p = subprocess.Popen([os.environ["STOA"], "bench", sys.argv[1], "--conns", "1", "--size", "32",
                      "--rate", "40", "--duration", "300ms", "--timeout", "2s"],
                     stdin=far, stdout=far, stderr=far)
os.close(far)
said = b""
try:
    while got := os.read(near, 65536):
        said += got
except OSError:
    pass
p.wait()
sys.stdout.buffer.write(said)' "$ADDR" >screen
    grep -q '] for answers: [0-2] of 2 s' screen
    grep -q 'messages have no answer' screen
    sed '1,/the generator:/d' screen | tr -d '\r' >notes
    grep -q '^The rate was not reached' notes
    run ! grep -q '.\{61\}' notes
}

@test "a full disk keeps the old report, and is told" {
    [ -c /dev/full ] || skip "no /dev/full"
    serve upper 127.0.0.1:0 --quiet
    run -1 bench "$ADDR" --conns 1 --duration 100ms --quiet --html /dev/full
    has "$output" "/dev/full: No space left on device"
    run -1 bash -c "'$STOA' bench '$ADDR' --conns 1 --duration 100ms --quiet >/dev/full"
    has "$output" "standard output: No space left on device"
    mkdir small
    unshare -rm true 2>/dev/null || skip "no mounts of our own"
    unshare -rm bash -c "
        mount -t tmpfs -o size=16k none small && echo old >small/report.html &&
        head -c 8k /dev/zero >small/fill
        '$STOA' bench '$ADDR' --conns 1 --duration 100ms --quiet --html small/report.html \
            2>err >/dev/null
        echo \$? >code; cat small/report.html >kept; ls small >left"
    is "the old report" "$(cat kept)" old
    is "exit code" "$(cat code)" 1
    is "files" "$(tr '\n' ' ' <left)" "fill report.html "
    has "$(cat err)" "No space left on device"
}

@test "a report that cannot be written is refused before the run, not after it" {
    at=127.0.0.1:1 # nobody is asked
    mkdir folder
    refused 1 "nowhere/r.html: No such file or directory" bench $at --html nowhere/r.html
    refused 1 "nowhere/r.json: No such file" bench $at --json=nowhere/r.json
    refused 1 "nowhere/r.hlog: No such file" bench $at --hlog nowhere/r.hlog
    refused 1 "nowhere/r.hlog: No such file" bench --merge none.hlog --hlog nowhere/r.hlog
    refused 1 "folder: Is a directory" bench $at --html folder
    refused 1 '\x1b[2Jr/r.html: No such file' bench $at --html $'\e[2Jr/r.html'
    run -1 bash -c "'$STOA' bench $at >&-"
    is "closed standard output" "$output" "stoa bench: standard output: Bad file descriptor"
    run -4 bench $at --html new.html
    is "files" "$(echo ./*.html*)" './*.html*'
    echo kept >old.html
    chmod 444 old.html
    [ -w old.html ] || refused 1 "old.html: Permission denied" bench $at --html old.html
    is "the old report" "$(cat old.html)" kept
}

@test "a report that is replaced keeps its mode, and a link leads to it as before" {
    serve upper 127.0.0.1:0 --quiet
    mkdir shelf
    echo old >shelf/old.html
    chmod 640 shelf/old.html
    ln -s "$PWD/shelf/old.html" absolute.html
    ln -s old.html shelf/relative.html
    ln -s new.html shelf/dangling.html
    for at in old relative dangling; do
        bench "$ADDR" --conns 1 --duration 50ms --quiet --html shelf/$at.html >out
    done
    bench "$ADDR" --conns 1 --duration 50ms --quiet --hlog absolute.html >out
    is "files" "$(cd shelf && echo *)" "dangling.html new.html old.html relative.html"
    is "links" "$(find . -type l | sort | tr '\n' ' ')" \
        "./absolute.html ./shelf/dangling.html ./shelf/relative.html "
    is "mode" "$(stat -c %a shelf/old.html)" 640
    grep -q 'Histogram log' shelf/old.html
    grep -q '</html>' shelf/new.html
    ln -s loop.html loop.html
    refused 1 "loop.html: Too many levels of symbolic links" bench "$ADDR" --html loop.html
    bench "$ADDR" --conns 1 --duration 50ms --quiet --json=/dev/stdout >report.json
    holds 'r["answers"] > 0'
}

@test "a report of a group stays the group's" {
    other=(setpriv --reuid 65534 --regid 65534 --groups 4321)
    "${other[@]}" test -x "$STOA" 2>/dev/null || skip "cannot be another user"
    serve upper 127.0.0.1:0 --quiet
    mkdir shelf
    bench "$ADDR" --conns 1 --duration 50ms --quiet --hlog shelf/one.hlog >out
    echo old >shelf/report.json
    chmod 664 shelf/*
    chown 65534:65534 shelf
    chown 0:4321 shelf/report.json
    (cd shelf && "${other[@]}" "$STOA" bench --merge one.hlog --json=report.json >../out)
    is "owner, group, mode" "$(stat -c %u:%g:%a shelf/report.json)" 65534:4321:664
}

@test "a link that open(2) would not follow is not followed, nor a stranger's to nothing" {
    mkdir shelf shared
    chmod 1777 shared
    ln -s "$PWD/shelf/new.html" shared/planted.html
    ln -s shared/planted.html ours.html
    if chown -h 65534 shared/planted.html 2>/dev/null; then # for root only
        for at in shared/planted.html ours.html; do
            refused 1 "$at: Permission denied" bench 127.0.0.1:1 --html $at
        done
    fi
    serve upper 127.0.0.1:0 --quiet
    unshare -rm true 2>/dev/null || skip "no mounts of our own"
    run unshare -rm bash -c "
        mount -t tmpfs -o nosymfollow none shared && echo old >shelf/old.html || exit 77
        ln -s '$PWD/shelf/old.html' shared/old.html
        ! : >shared/old.html || exit 77
        '$STOA' bench '$ADDR' --conns 1 --duration 50ms --quiet --html shared/old.html"
    [ "$status" != 77 ] || skip "no mounts without links"
    is "exit code" "$status" 1
    has "$output" "shared/old.html: Too many levels of symbolic links"
    is "files" "$(ls shelf)" old.html
    is "the old report" "$(cat shelf/old.html)" old
}

@test "a folder in memory is a folder, and a descriptor's name is the descriptor" {
    serve upper 127.0.0.1:0 --quiet
    local run=(bench "$ADDR" --conns 1 --duration 50ms --quiet) code=0 shelf
    if [ -d /dev/shm ] && [ -w /dev/shm ]; then
        shelf=$(mktemp -d /dev/shm/stoa.XXXXXX)
        "${run[@]}" --html "$shelf/new.html" >out && seq 100000 >"$shelf/old.json" &&
            "${run[@]}" --json="$shelf/old.json" >out &&
            mv "$shelf/new.html" "$shelf/old.json" . || code=$?
        rm -r "$shelf"
        is "exit code" $code 0
        grep -q '</html>' new.html
        python3 -m json.tool old.json >pretty
    fi
    echo before >joined
    "${run[@]}" --json=/dev/fd/5 5>>joined >out
    is "first line" "$(head -1 joined)" before
    sed 1d joined >report.json
    holds 'r["answers"] > 0'
    "${run[@]}" --json=/proc/self/fd/1 >report.json
    holds 'r["answers"] > 0'
    seq 100000 >long
    exec 6<>long
    "${run[@]}" --json=/proc/$BASHPID/fd/6 >out
    python3 -m json.tool <&6 >pretty
    exec 6>&-
    refused 1 "/dev/fd/99: Bad file descriptor" bench "$ADDR" --html /dev/fd/99
    refused 2 "one report" bench "$ADDR" --html /dev/fd/1 --hlog -
}

@test "a generator that was stopped goes on telling, second by second, and says so" {
    serve upper 127.0.0.1:0 --quiet
    in_background "$ADDR" --conns 2 --rate 50
    bench_line
    kill -STOP $BENCH
    sleep 5.5 # the event: more intervals are over than the ring has room for
    kill -CONT $BENCH
    for _ in 1 2 3 4 5 6 7; do
        bench_line
    done
    interrupted
    has "$(cat out)" "The generator did not run for"
    run ! grep -q "server stalled: for [5-9]" out
}

@test "an interrupt ends the run with its report" {
    serve upper 127.0.0.1:0 --quiet
    in_background "$ADDR" --conns 1
    bench_line
    interrupted
    has "$(cat out)" "Interrupted after"
    has "$(cat out)" "; 0 errors"
}

@test "--start-at tells how long is waited, and an interrupt ends the wait" {
    serve upper 127.0.0.1:0 --quiet
    in_background "$ADDR" --start-at $(($(date +%s) + 3000))
    bench_line
    has "$LINE" "stoa bench: begins in "
    interrupted
    has "$(cat out)" "Interrupted before it began: 0 of 64 connections had been made."
    in_background "$ADDR" --churn --start-at $(($(date +%s) + 3000)) --html report.html
    bench_line
    interrupted
    grep -qx "Interrupted before it began." out
    run ! grep -i 'generator' out report.html
    STOA=$STOA timeout "$PATIENCE" python3 -c '
import fcntl, os, re, signal, struct, subprocess, sys, termios, time
near, far = os.openpty()
fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 40, 0, 0))
p = subprocess.Popen(["env", "--default-signal=INT", os.environ["STOA"], "bench", sys.argv[1],
                      "--start-at", str(int(time.time()) + 3000)],
                     stdin=far, stdout=far, stderr=far)
os.close(far)
said = b""
while len(set(re.findall(rb"begins in (\d+) s", said))) < 2:
    said += os.read(near, 65536)
p.send_signal(signal.SIGINT)
try:
    while got := os.read(near, 65536):
        said += got
except OSError:
    pass
sys.stdout.buffer.write(said)
sys.exit(p.wait() != 130)' "$ADDR" >screen
    tr -d '\r' <screen | tail -2 >end
    is "note" "$(cat end)" "Interrupted before it began: 0 of 64
connections had been made."
    bench "$ADDR" --conns 1 --duration 50ms --quiet --start-at $(($(date +%s) - 50)) >out
    has "$(cat out)" "s after --start-at."
    refused 2 "within a day from now" bench "$ADDR" --start-at 5
    refused 2 "within a day from now" bench "$ADDR" --start-at "$(date +%s%3N)"
}

@test "an interrupt while connections are made ends that, with a report" {
    for load in "--conns 0 --idle 500" "--conns 500" "--conns 0 --slow 500"; do
        rm -f port
        wrong_server '
    c.sendall(c.recv(64).upper())
    import time
    time.sleep(3600)' # the others are not accepted
        in_background "$ADDR" $load --timeout 1h --size 32
        bench_line
        has "$LINE" " of 500 connections"
        interrupted
        has "$(cat out)" "Interrupted before it began: "
        run ! grep -i 'generator' out
    done
}

@test "an interrupt ends a search, which tells how far it came" {
    serve upper 127.0.0.1:0 --quiet
    rm -f told
    mkfifo told
    env --default-signal=INT "$STOA" bench "$ADDR" --conns 2 --find-max 'p50<1h' \
        --duration 300ms >told 2>err 3>&- &
    BENCH=$!
    exec {TOLD}<told
    until [[ $LINE == *": kept"* ]]; do bench_line; done
    interrupted
    has "$(cat <&"$TOLD")" "Interrupted: kept up to "
}

# --- logs ---------------------------------------------------------------------------

@test "two logs merged are the report of both; compared with itself a log is no worse" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --rate 2k --hlog one.hlog
    cp report.json one.json
    measured "$ADDR" --rate 2k --hlog two.hlog
    bench --merge one.hlog two.hlog --hlog both.hlog --json=report.json >out
    holds 'r["answers"] == 1000'
    bench --merge both.hlog --json=again.json >out
    python3 -c '
import json
a, b = (json.load(open(n)) for n in ("report.json", "again.json"))
assert all(a[k] == b[k] for k in ("answers", "response_ns", "service_ns")), (a, b)'
    bench --merge one.hlog one.hlog --json=report.json >out
    holds 'r["answers"] == 1000 == r["response_ns"]["count"]'
    intervals=$(value 'len(r["intervals"])')
    bench --merge one.hlog --json=report.json >out
    holds "len(r['intervals']) == $intervals"
    holds 'r["response_ns"]["p90"] == json.load(open("one.json"))["response_ns"]["p90"]'
    run -0 bench --compare one.hlog one.hlog --fail-if 'p90+10%'
    has "$output" "not worse"
    run -0 bench --compare one.hlog one.hlog --fail-if 'rate-5%'
}

# As from machines: each network namespace has its own loopback, address and link to the server.
@test "three machines begin at one instant, and their logs are one" {
    unshare -rn true 2>/dev/null || skip "no network of our own without user namespaces"
    cat >machines <<'END'
set -e
ip link set lo up
mkfifo ready stay
exec 8<>stay
"$STOA" serve upper 0.0.0.0:0 --quiet --ready-fd 7 7>ready 8<&- &
pids=$!
trap 'kill $pids' EXIT
read -r addr <ready
at=$(($(date +%s) + 2))
echo "$at" >instant
for i in 1 2 3; do
    unshare -n bash -c 'echo up; read -r _ <&8' >ready &
    there=$!
    pids="$pids $there"
    read -r _ <ready
    ip link add "here$i" type veth peer name there netns "$there"
    ip addr add "10.0.$i.1/24" dev "here$i"
    ip link set "here$i" up
    nsenter -t "$there" -n sh -c "ip addr add 10.0.$i.2/24 dev there; ip link set there up"
    nsenter -t "$there" -n "$STOA" bench "10.0.$i.1:${addr##*:}" --rate 1k --duration 500ms -q \
        --timeout 60s --start-at "$at" --hlog - >"$i.hlog" &
    benches="$benches $!"
done
for bench in $benches; do wait "$bench" || exit 1; done
END
    STOA=$STOA benches='' run -0 unshare -rn bash machines 3>&-
    bench --merge 1.hlog 2.hlog 3.hlog --json=report.json >out
    holds 'r["answers"] == 1500 == r["response_ns"]["count"]'
    holds "r['began'] >= $(cat instant) and len(r['intervals']) >= 1"
}

@test "what was not answered is no answer, in no report and no log" {
    local once='
    clients = globals().setdefault("clients", [])
    clients.append(c)
    if len(clients) == 1:
        c.sendall(c.recv(64).upper())'
    for load in "" "--rate 100"; do
        rm -f port
        wrong_server "$once"
        run -1 bench "$ADDR" --conns 4 --size 32 --duration 200ms --timeout 700ms --quiet $load \
            --json=report.json --hlog log.hlog
        holds 'r["answers"] == 0 and r["expired"] > 0'
        holds 'sum(i["answers"] for i in r["intervals"]) == 0'
        holds 'r["service_ns"]["max"] >= 1e8 and r["response_ns"]["max"] >= 1e8'
        bench --merge log.hlog --json=report.json
        holds 'r["answers"] == 0 and sum(i["answers"] for i in r["intervals"]) == 0'
        holds 'r["service_ns"]["count"] > 0'
    done
}

@test "a server that got slower fails --fail-if" {
    wrong_server '
    import threading, time
    def talk(c, pause):
        while d := c.recv(64):
            time.sleep(pause)
            c.sendall(d.upper())
    clients = globals().setdefault("clients", [])
    clients.append(c)
    threading.Thread(target=talk, args=(c, 0.0005 if len(clients) <= 17 else 0.2)).start()'
    bench "$ADDR" --conns 16 --size 32 --duration 300ms --quiet --hlog fast.hlog >out
    bench "$ADDR" --conns 16 --size 32 --duration 300ms --quiet --hlog slow.hlog >out
    run -1 bench --compare fast.hlog slow.hlog --fail-if 'p50+100%'
    has "$output" ": worse"
    run -1 bench --compare fast.hlog slow.hlog --fail-if 'rate-50%'
    run -0 bench --compare slow.hlog fast.hlog --fail-if 'p50+10%'
}

@test "a log that is cut, of another version, or none is refused with its line" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --rate 2k --hlog good.hlog
    head -c -20 good.hlog >cut.hlog
    refused 1 "cut.hlog:" bench --merge cut.hlog
    head -n -1 good.hlog >cut.hlog
    refused 1 "intervals are missing" bench --merge cut.hlog
    sed 's/version 1.3/version 2.0/' good.hlog >other.hlog
    refused 1 "another version" bench --merge other.hlog
    sed -E 's/^([0-9.]+,[0-9.]+,[0-9.]+,HISTF[A-Za-z0-9+/]{40}).*/\1/' good.hlog >cut.hlog
    refused 1 "a histogram cannot be read: it is cut" bench --merge cut.hlog
    refused 1 "no log of HdrHistogram" bench --merge report.json
    : >empty.hlog
    refused 1 "empty" bench --merge empty.hlog
    refused 1 "No such file" bench --compare good.hlog nowhere.hlog
}

@test "a log of others: another comment first, ends of lines of Windows; and no byte 0" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --rate 2k --hlog good.hlog
    echo '#[Logged with jHiccup version 2.0.10]' >other.hlog
    sed '/stoa bench/d; /Intervals/d' good.hlog >>other.hlog
    sed 's/$/\r/' other.hlog >windows.hlog
    bench --merge windows.hlog --json=report.json >out
    holds 'r["answers"] == 500'
    { cat other.hlog && printf 'lost\0\n' && cat good.hlog; } >zero.hlog
    refused 1 "zero.hlog:$(($(wc -l <other.hlog) + 1)): a byte is 0" bench --merge zero.hlog
    head -c 3000 /dev/urandom >chance.hlog
    refused 1 "chance.hlog:1: this is no log" bench --merge chance.hlog
    { cat other.hlog && printf '\201\377 garbage\n'; } >garbage.hlog
    refused 1 "garbage.hlog:$(($(wc -l <other.hlog) + 1)): " bench --compare good.hlog garbage.hlog
    sed '/^"Start/a #[Errors: -5]' good.hlog >negative.hlog
    bench --merge negative.hlog --json=report.json >out
    holds 'r["errors"] == 0'
}

@test "a log whose name is no name for a terminal" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --rate 2k --hlog $'\e[2J.hlog'
    run -0 bench --compare $'\e[2J.hlog' $'\e[2J.hlog'
    has "$output" 'A \x1b[2J.hlog, B \x1b[2J.hlog'
    refused 1 'stoa bench: \x07.hlog: No such file' bench --merge $'\a.hlog'
    echo nothing >$'\a.hlog'
    refused 1 'stoa bench: \x07.hlog:1: this is no log' bench --merge $'\a.hlog'
}

@test "a log whose times are none is refused, and harms nobody" {
    serve upper 127.0.0.1:0 --quiet
    measured "$ADDR" --rate 2k --hlog good.hlog
    for times in '0.000,-1e-300' 'nan,1.000' '0.000,inf' '0.000,1e-320' 'zero,one' '0.000,'; do
        sed -E "s/^[0-9.]+,[0-9.]+,/$times,/" good.hlog >bad.hlog
        refused 1 "is no number" bench --compare good.hlog bad.hlog
        refused 1 "is no number" bench --merge bad.hlog good.hlog --html bad.html
    done
}

@test "--find-max tells the highest rate, or that there is none" {
    wrong_server '
    import threading, time
    def talk(c):
        while d := c.recv(64):
            time.sleep(0.001)
            c.sendall(d.upper())
    threading.Thread(target=talk, args=(c,)).start()'
    run -0 bench "$ADDR" --conns 1 --size 32 --find-max 'p50<100ms' --duration 100ms
    has "$output" "p50<100ms is kept up to "
    run bench "$ADDR" --conns 1 --size 32 --find-max 'p99.9<50ms' --duration 100ms
    has "$output" ", but of few samples"
    run -1 bench "$ADDR" --conns 1 --size 32 --find-max 'p50<1us' --duration 100ms
    has "$output" "is not kept at any rate"
}

# --- what goes wrong ----------------------------------------------------------------

@test "no server there: which address, and why" {
    port=$(free_port)
    refused 4 "127.0.0.1:$port: connection refused" bench "127.0.0.1:$port"
    refused 4 "" bench "unix:$T/nobody"
    refused 3 "nosuch.invalid" bench nosuch.invalid:80
    refused 4 "refused" bench "udp://127.0.0.1:$port"
}

@test "a server that answers wrongly: the first wrong byte, expected and got" {
    serve echo 127.0.0.1:0 --quiet
    refused 1 "byte 17 of its answer is 0x65, and 0x45 is expected" bench "$ADDR"
    printf 'abc' >ask
    refused 1 "byte 0 of its answer is 0x61, and 0x41 is expected" bench "$ADDR" --send ask
}

@test "a server that goes wrong later is found, counted and told" {
    wrong_server '
    n = 0
    while d := c.recv(64):
        n += 1
        c.sendall(d.upper() if n < 5 else b"?" * len(d))'
    run -1 bench "$ADDR" --conns 1 --size 32 --duration 300ms --quiet --json=report.json
    has "$output" "The server answered wrongly"
    has "$output" "byte 0 of answer 4 on connection 0 is 0x3f"
    holds 'r["faults"][0]["phase"] == "verify" and r["faults"][0]["what"] == "wrong bytes"'
}

@test "a server that resets or ends connections: each failure by phase and cause" {
    wrong_server '
    d = c.recv(64)
    c.sendall(d.upper())
    c.recv(64)
    c.close()'
    run -1 bench "$ADDR" --conns 1 --size 32 --duration 300ms --quiet --json=report.json
    holds '[f["what"] for f in r["faults"] if f["phase"] == "answer"] == ["end of stream"]'
    holds 'r["lost"] > 0 and r["answers"] > 0'
    has "$output" "messages have no answer"
    rm port
    wrong_server '
    clients = globals().setdefault("clients", [])
    clients.append(c)
    c.sendall(c.recv(64).upper())
    c.recv(64)
    if len(clients) % 2:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()'
    in_background "$ADDR" --conns 1 --size 32 --json=report.json
    for _ in $(seq "$PATIENCE"); do
        bench_line
        [[ $LINE == *" "[01]" errors" ]] || break
    done
    interrupted
    holds '{f["what"][:10] for f in r["faults"]} >= {"ECONNRESET", "end of str"}'
    holds 'sum(f["count"] for f in r["faults"]) == r["errors"]'
}

@test "a server that does not answer is said to be silent, not waited for" {
    serve discard 127.0.0.1:0 --quiet
    refused 5 "has not answered 64 bytes within 1 s" bench "$ADDR" --timeout 1s
    serve echo 127.0.0.1:0 --quiet
    refused 5 "answered 64 of 99 bytes within 1 s" \
        bench "$ADDR" --no-verify --answer-size 99 --timeout 1s
}

@test "messages without an answer stand in the percentiles with the time they were waited for" {
    answers_once
    run -1 bench "$ADDR" --conns 1 --size 32 --rate 40 --duration 500ms --timeout 1s --quiet \
        --json=report.json
    holds 'r["answers"] == 0 and r["expired"] == 20 and r["response_ns"]["max"] >= 1e9'
    has "$output" "messages have no answer"
    has "$output" "The rate was not reached"
}

@test "waiting for what never comes is no part of the time that a rate is of" {
    wrong_server '
    import threading
    def talk(c, mute):
        while d := c.recv(64):
            if not mute:
                c.sendall(d.upper())
    clients = globals().setdefault("clients", [])
    clients.append(c)
    threading.Thread(target=talk, args=(c, len(clients) == 3), daemon=True).start()'
    run -1 bench "$ADDR" --conns 2 --size 32 --duration 300ms --timeout 2s --quiet \
        --json=report.json --hlog log.hlog
    holds 'r["answers"] > 0 and r["expired"] == 1 and r["seconds"] < 2'
    bench --merge log.hlog --json=report.json
    holds 'r["seconds"] < 2'
}

@test "a visit that cannot connect in time stands in the percentiles" {
    mkfifo port
    python3 -c '
import socket, time
l = socket.create_server(("127.0.0.1", 0), backlog=0)
print(l.getsockname()[1], flush=True)
c, _ = l.accept()
c.sendall(c.recv(64).upper())
c.recv(1)
full = [socket.socket() for _ in range(4)]
for s in full:
    s.setblocking(False)
    s.connect_ex(l.getsockname())
time.sleep(3600)' >port 2>/dev/null 3>&- &
    read -r -t "$PATIENCE" PORT <port
    run -1 bench "127.0.0.1:$PORT" --churn --conns 1 --rate 20 --duration 300ms --timeout 700ms \
        --quiet --json=report.json
    holds 'r["answers"] == 0 and r["expired"] == 6 and r["response_ns"]["count"] == 6'
}

@test "a visit's answer that is longer than expected is wrong" {
    serve upper 127.0.0.1:0 --quiet
    run -1 bench "$ADDR" --churn --conns 1 --no-verify --answer-size 10 --duration 200ms --quiet \
        --json=report.json
    holds 'r["answers"] == 0'
    has "$output" "more bytes came than were asked for"
}

@test "an answer that is late ends its connection, and another is made" {
    answers_once
    in_background "$ADDR" --conns 1 --size 32 --timeout 700ms
    for _ in $(seq "$PATIENCE"); do
        bench_line
        [[ $LINE == *" 0 errors" ]] || break
    done
    interrupted
    has "$(cat out)" "answer   ETIME (not within --timeout)"
    run ! grep -q "^ *1 connections" out
}

@test "a rate that nothing can reach is said to be that" {
    serve upper 127.0.0.1:0 --quiet
    run bench "$ADDR" --conns 2 --rate 50M --duration 200ms --timeout 2s --quiet
    has "$output" "The rate was not reached: 50,000,000 a second were asked for"
}

@test "combinations that make no sense, and values that are none, exit 2" {
    at=127.0.0.1:1
    refused 2 "which address" bench
    refused 2 "--json r.json: the file is said with =, --json=r.json" bench $at --json r.json
    refused 2 "--json r.json: the file" bench --merge a --json r.json
    refused 2 "--json takes its file with =: --json=FILE" bench $at --json report
    refused 2 "--html: the name of a file is empty" bench $at --html=
    refused 2 "--json: the name of a file is empty" bench $at --json=
    refused 2 "--html and --hlog have one file" bench $at --html r --hlog r
    refused 2 "one address" bench $at $at
    refused 2 "no --rate" bench $at --stream --rate 5
    refused 2 "one message a connection" bench $at --churn --pipeline 2
    refused 2 "--close needs --churn" bench $at --close server
    refused 2 "client, server or reset" bench $at --churn --close me
    refused 2 "exclude each other" bench $at --no-verify --expect echo
    refused 2 "needs --no-verify" bench $at --answer-size 5
    refused 2 "--conns 0 needs" bench $at --conns 0
    refused 2 "two rates" bench $at --ramp 5
    refused 2 "'p99<5ms'" bench $at --find-max 5ms
    refused 2 "--fail-if needs --compare" bench $at --fail-if p99+10%
    refused 2 "'p99+10%'" bench --compare a b --fail-if 'p99-10%'
    refused 2 "two logs" bench --compare a
    refused 2 "not a number" bench $at --rate fast
    refused 2 "not a number" bench $at --conns -1
    refused 2 "not a whole number" bench $at --conns 1.5
    refused 2 "not a time" bench $at --duration long
    refused 2 "2 connections only" bench $at --conns 2 --workers 3
    refused 2 "exclude each other" bench $at --stream --churn
    refused 2 "exclude each other" bench $at --ramp 1:5 --rate 10
    refused 2 "--pause needs --slow" bench $at --pause 3s
    refused 2 "one report" bench $at --hlog - --html -
    refused 2 "one report" bench $at --json --json=-  --html=-
    refused 2 "load nothing" bench --merge a --rate 5
    refused 2 "load nothing" bench --compare a b --churn
    refused 2 "load nothing" bench --merge a --find-max 'p99<5ms'
    refused 2 "no --pipeline" bench "udp://$at" --pipeline 2
    refused 2 "65536 bytes at most" bench $at --churn --size 65537
    refused 1 "No such file" bench $at --send nowhere
    : >empty
    refused 1 "is empty" bench $at --send empty
    refused 1 "ulimit" bench $at --conns 1M
}
