#!/bin/sh
# install.sh BUILD - what `meson install` leaves behind is enough for a user's program.
#
# Into an empty root; then README's server is compiled as README says, with the shared
# and with the static library, run, and talked to.  In a network of its own where that is
# allowed, for the README's port may be in use.
set -eu
build=$1
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
root=$tmp/root
server=
trap 'kill $server 2>/dev/null || :; rm -rf "$tmp"' EXIT
n=0 failed=0

# try NAME COMMAND...
try() {
    name=$1
    shift
    n=$((n + 1))
    if "$@" >"$tmp/said" 2>&1; then
        echo "ok $n - $name"
    else
        sed 's/^/# /' "$tmp/said"
        echo "not ok $n - $name"
        failed=1
    fi
}

readme_server() {
    # shellcheck disable=SC2016 # not a command: Markdown
    sed -n '/^```c$/,/^```$/{/^```/d;p}' README.md | awk '{ print } /^}/ && main { exit }
        /^int main/ { main = 1 }' >"$tmp/server.c"
    grep -q '^int main' "$tmp/server.c"
}

# What pkg-config says, with the empty root before each path.
flags() {
    PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$(dirname "$(find "$root" -name stoa.pc)") \
        pkg-config "$@" stoa
}

installed() {
    for file in include/stoa.h include/stoa/serve.h include/stoa/sim.h libstoa.so libstoa.so.0 \
        libstoa.a pkgconfig/stoa.pc bin/stoa; do
        find "$root" -path "*/$file" | grep . || { echo "$file is missing" && return 1; }
    done
}

no_build_path() { ! grep -rlF "$PWD" "$root"; }

compile() { # PROGRAM FLAG...
    out=$1
    shift
    # shellcheck disable=SC2046 # words on purpose
    cc -std=c99 -Wall -Wextra -Werror -o "$out" "$tmp/server.c" "$@" $(flags --cflags --libs)
}

compile_static() {
    # shellcheck disable=SC2046
    cc -std=c99 -static -o "$1" "$tmp/server.c" $(flags --static --cflags --libs)
}

# The answer to the textbook's hello; python is the peer.
talk() { # PROGRAM
    LD_LIBRARY_PATH=$(dirname "$(find "$root" -name libstoa.so)") "$1" &
    server=$!
    python3 - <<'END' || { kill "$server"; return 1; }
import socket, time
for _ in range(500):
    try:
        s = socket.create_connection(('127.0.0.1', 8081), 5)
        break
    except ConnectionRefusedError:
        time.sleep(0.01)
s.sendall(b'hello')
answer = s.recv(100)
assert answer == b'HELLO', answer
END
    kill "$server" 2>/dev/null || :
    wait "$server" 2>/dev/null || :
    server=
}

if [ "${2:-}" != inside ]; then
    echo "TAP version 13"
    echo "1..8"
    # Loopback of our own; as a plain user, in a user namespace.
    for space in "unshare -n" "unshare -rn"; do
        if $space ip link set lo up 2>/dev/null; then
            # shellcheck disable=SC2016 # for the inner sh
            exec $space sh -c 'ip link set lo up && exec "$0" "$@"' "$0" "$build" inside
        fi
    done
fi
mkdir "$root"
try "meson install into an empty root" \
    meson install -C "$build" --no-rebuild --quiet --destdir "$root"
try "everything is there" installed
try "nothing knows where it was built" no_build_path
try "README has a server" readme_server
try "it compiles with the shared library" compile "$tmp/shared"
try "and serves" talk "$tmp/shared"
try "it compiles with the static library" compile_static "$tmp/static"
try "and serves, statically" talk "$tmp/static"
exit $failed
