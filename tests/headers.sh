#!/bin/sh
# headers.sh INCLUDE - each public header alone is good C99, C17 and C++11, for strict compilers.
set -eu
include=$1
cd "$(dirname "$0")"
n=0 failed=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

compile() { # NAME COMPILER FLAG... FILE
    what=$1
    shift
    n=$((n + 1))
    if ! command -v "$1" >/dev/null; then
        echo "ok $n - $what # SKIP no $1"
    elif "$@" -I"$include" -pedantic-errors -Wall -Wextra -Wshadow -Werror \
        -c -o "$tmp/o" 2>"$tmp/said"; then
        echo "ok $n - $what"
    else
        sed 's/^/# /' "$tmp/said"
        echo "not ok $n - $what"
        failed=1
    fi
}

echo "TAP version 13"
echo "1..17"
for header in stoa.h stoa/serve.h stoa/sim.h; do
    printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$tmp/alone.c"
    cp "$tmp/alone.c" "$tmp/alone.cc"
    # Without _GNU_SOURCE: what stoa.h needs it must ask for itself.
    compile "$header alone, C99" cc -std=c99 -D_POSIX_C_SOURCE=200809L "$tmp/alone.c"
    compile "$header alone, C17" cc -std=c17 -D_POSIX_C_SOURCE=200809L "$tmp/alone.c"
    compile "$header alone, C++11" c++ -std=c++11 "$tmp/alone.cc"
    compile "$header alone, C++20" c++ -std=c++20 "$tmp/alone.cc"
    compile "$header alone, clang" clang -std=c99 -Weverything -Wno-padded \
        -Wno-reserved-identifier -D_POSIX_C_SOURCE=200809L "$tmp/alone.c"
done
compile "a program in C99 uses them" cc -std=c99 -D_POSIX_C_SOURCE=200809L headers.c
compile "a program in C++11 uses them" c++ -std=c++11 -x c++ headers.c
exit $failed
