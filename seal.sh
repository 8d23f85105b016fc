#!/bin/sh
# seal.sh IN.a OUT.a AR OBJCOPY CC... - one relocatable object with its hidden names made local.
#
# So the short names inside (wheel_add, fiber_park) cannot meet a user's own:
# `nm -g libstoa.a` shows stoa_* only, and tests/symbols.sh keeps it so.
set -eu
in=$1 out=$2 ar=$3 objcopy=$4
shift 4
object=${out%.a}.o
"$@" -r -nostdlib -Wl,--whole-archive "$in" -o "$object"
"$objcopy" --localize-hidden "$object"
rm -f "$out"
"$ar" rcsD "$out" "$object"
rm -f "$object"
