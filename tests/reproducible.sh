#!/bin/sh
# reproducible.sh - the same source gives the same bytes, in whatever folder it is built.
set -eu
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for folder in "$tmp/one" "$tmp/another/deeper"; do
    mkdir -p "$folder"
    cp -R include src man seal.sh meson.build meson_options.txt "$folder"
    meson setup "$folder/build" "$folder" \
        -Dtests=false -Dbench=false -Dexamples=false >"$tmp/log" 2>&1 || {
        cat "$tmp/log"
        exit 1
    }
    ninja -C "$folder/build" >"$tmp/log" 2>&1 || {
        cat "$tmp/log"
        exit 1
    }
done
for file in libstoa.a libstoa.so.0 src/cli/stoa; do
    cmp "$tmp/one/build/$file" "$tmp/another/deeper/build/$file"
    echo "$file is the same"
done
