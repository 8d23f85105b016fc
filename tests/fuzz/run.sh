#!/bin/sh
# run.sh CLANG SECONDS TARGET.c SOURCE... - fuzz one target with libFuzzer, ASan and UBSan.
#
# The target's corpus, corpus/TARGET/, is tried first and left as it is; what is found on
# the way is thrown away, but an input that breaks something is printed in base64.  By
# hand: more seconds, and KEEP=folder to keep new inputs in.
set -eu
clang=$1 seconds=$2 target=$3
shift 2
name=$(basename "$target" .c)
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

echo "TAP version 13"
build() {
    "$clang" -std=gnu17 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=all "$@"
}
if ! echo 'int LLVMFuzzerTestOneInput(const char *, unsigned long);
    int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p && n ? 0 : 0; }' |
    build -x c - -o "$tmp/probe" 2>"$tmp/log"; then
    echo "1..0 # SKIP clang has no libFuzzer"
    exit 77
fi
echo "1..1"
build -I"$root/src" -I"$root/include" "$@" -o "$tmp/$name"
mkdir "$tmp/new"
if "$tmp/$name" -max_total_time="$seconds" -timeout=5 -max_len=600 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="$tmp/" \
    "${KEEP:-$tmp/new}" "$here/corpus/$name" >"$tmp/log" 2>&1; then
    echo "ok 1 - $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$tmp/log") inputs"
else
    tail -n 60 "$tmp/log" | sed 's/^/# /'
    echo "not ok 1 - $name"
    exit 1
fi
