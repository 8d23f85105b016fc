#!/bin/sh
# symbols.sh LIBSTOA.A LIBSTOA.SO - who links to stoa meets names of stoa_* and no others.
#
# The danger: a helper called list_add or text_init in the library, and another in
# the user's program.  nm(1) shows what a linker can see.
set -eu
archive=$1 shared=$2
n=0

echo "TAP version 13"
echo "1..4"

check() { # NAME, lines that should not be
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "$2" | sed 's/^/# /'
        echo "not ok $n - $1"
        failed=1
    fi
}
failed=0

in_archive=$(nm -g --defined-only -f posix "$archive" | awk 'NF > 1 { print $1 }' | sort -u)
in_shared=$(nm -D --defined-only -f posix "$shared" | awk '$2 != "A" { print $1 }' |
    sed 's/@.*//' | sort -u)

check "the archive shows stoa_* only" "$(echo "$in_archive" | grep -v '^stoa_' || :)"
check "the shared library shows stoa_* only" "$(echo "$in_shared" | grep -v '^stoa_' || :)"

# What stoa.h promises is there, in both; nothing is there that it does not name.
promised=$(sed -n 's/^STOA_API.*[ *]\(stoa_[a-z0-9_]*\)(.*/\1/p' \
    "$(dirname "$0")"/../include/stoa.h "$(dirname "$0")"/../include/stoa/*.h | sort -u)
differ() {
    printf '%s\n' "$1" >"$tmp/a"
    printf '%s\n' "$2" >"$tmp/b"
    diff "$tmp/a" "$tmp/b" | grep '^[<>]' || :
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
check "the archive has what the headers promise, all of it" "$(differ "$promised" "$in_archive")"
check "so has the shared library" "$(differ "$promised" "$in_shared")"
exit $failed
