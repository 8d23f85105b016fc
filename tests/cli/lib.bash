# lib.bash - what the tools' tests share: a server that is ready, its log, its end.
#
# Nothing here sleeps: --ready-fd says when a server listens, a fifo gives the lines of its
# log as they come, and every wait has an end (PATIENCE), so that a fault is a failure.
# Servers are on free ports (port 0) or paths of the test's own folder.

bats_require_minimum_version 1.5.0

STOA=${BUILD:?the build folder}/src/cli/stoa
PATIENCE=200

setup() {
    T=$BATS_TEST_TMPDIR
    SERVER=
    cd "$T" || return
}

# Whatever a test has started ends with it.
teardown() {
    jobs -p >"$T/jobs"
    while read -r pid; do
        kill -KILL "$pid" || :
        wait "$pid" || :
    done <"$T/jobs" 2>/dev/null
}

# serve ARG...: a server in the background that listens.  Sets SERVER, ADDR, HOST, PORT;
# its log is read by log_line.
serve() {
    rm -f "$T/ready" "$T/log"
    mkfifo "$T/ready" "$T/log"
    exec {LOG}<>"$T/log"
    env --default-signal=INT "$STOA" serve "$@" --ready-fd 7 \
        7>"$T/ready" 2>"$T/log" 3>&- {LOG}>&- </dev/null &
    SERVER=$!
    ADDR=
    if ! read -r -t "$PATIENCE" ADDR <"$T/ready"; then
        log_line
        echo "serve $*: $LINE"
        return 1
    fi
    PORT=${ADDR##*:} HOST=${ADDR#*://}
    HOST=${HOST%:*}
    case " $* " in *" --quiet "* | *" --json "* | *" --log=none "* | *" --log=json "*) ;; *) log_line ;; esac
}

# The next line of the server's log, in LINE.
log_line() {
    LINE=
    read -r -t "$PATIENCE" LINE <&"$LOG"
}

# The server ends by itself; its exit code in STATUS.
ended() {
    STATUS=0
    # A shell cannot wait for so long and no longer: timeout(1) can.
    timeout "$PATIENCE" tail --pid="$SERVER" -f /dev/null 3>&- || return 1
    wait "$SERVER" || STATUS=$?
}

# A port that was free a moment ago, for peers that cannot choose one themselves.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# is WHAT GOT WANTED: one line that tells both when they differ.
is() {
    [ "$2" = "$3" ] || {
        printf '%s is "%s", not "%s"\n' "$1" "$2" "$3"
        return 1
    }
}

# has TEXT PART: the same for a part.
has() {
    case $1 in *"$2"*) return 0 ;; esac
    printf '"%s" does not have "%s"\n' "$1" "$2"
    return 1
}

# refused CODE PART ARG...: stoa ARG... fails with the code, one line on standard error,
# or two for a wrong command line, and nothing on standard output.
refused() {
    local code=$1 part=$2 status=0
    shift 2
    timeout "$PATIENCE" "$STOA" "$@" </dev/null >"$T/out" 2>"$T/err" 3>&- || status=$?
    is "exit code of $*" "$status" "$code"
    has "$(cat "$T/err")" "$part"
    is "standard output" "$(cat "$T/out")" ""
    [ "$(grep -vc '^Try ' "$T/err")" = 1 ] || {
        echo "not one line:"
        cat "$T/err"
        return 1
    }
}
