#!/bin/sh
# hardening.sh LIBSTOA.SO STOA - what the compiler was asked for is in the files.
#
# The danger: a flag that is lost, or refused without a word.  readelf(1) tells.
set -eu
shared=$1 tool=$2
n=0 failed=0
echo "TAP version 13"
echo "1..11"

check() { # NAME COMMAND...
    what=$1
    shift
    n=$((n + 1))
    if "$@" >/dev/null; then
        echo "ok $n - $what"
    else
        echo "not ok $n - $what"
        failed=1
    fi
}
lacks() { ! "$@"; }
# No pipe into grep -q: readelf would be told by SIGPIPE, and say so.
header() { readelf -W -hld "$1" | grep -E "$2"; }
calls() { readelf -W --dyn-syms "$1" | grep -E "$2"; }
runs_code() { readelf -W -l "$1" | grep -E 'GNU_STACK.*RWE'; }

for file in "$shared" "$tool"; do
    name=$(basename "$file")
    check "$name is position independent" header "$file" 'Type:.*DYN'
    check "$name has read-only relocations" header "$file" 'GNU_RELRO'
    check "$name binds them at the start" header "$file" 'FLAGS.*NOW'
    check "$name has no stack that runs code" lacks runs_code "$file"
    check "$name has stack canaries" calls "$file" '__stack_chk_fail'
done
check "$(basename "$tool") calls libc's checking functions" calls "$tool" '__[a-z]*printf_chk'
exit $failed
