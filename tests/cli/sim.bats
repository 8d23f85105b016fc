#!/usr/bin/env bats
# sim.bats - `stoa sim`: seeds that are good, seeds that are run again, and what is refused.
load lib

@test "a sweep of each handler is good, and says so on standard error" {
    for handler in upper echo discard; do
        run --separate-stderr -0 "$STOA" sim --seeds 50 --handler $handler
        is "standard output" "$output" ""
        has "$stderr" "50 seeds are good"
    done
}

@test "the same seed is the same run, event for event" {
    "$STOA" sim -q --seed 4711 --trace >"$BATS_TEST_TMPDIR/one"
    "$STOA" sim -q --seed 4711 --trace >"$BATS_TEST_TMPDIR/two"
    cmp "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/two"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/one")" -gt 100 ]
    "$STOA" sim -q --seed 4712 --trace >"$BATS_TEST_TMPDIR/other"
    run cmp -s "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/other"
    [ "$status" -eq 1 ]
}

@test "without faults, too, and with many clients" {
    run -0 "$STOA" sim --no-faults --seeds 3 --clients 100
    has "$output" "0 faults"
}

@test "quiet says nothing" {
    run -0 "$STOA" sim -q --seeds 5
    is output "$output" ""
}

@test "what is no number, no handler or one word too many exits 2" {
    refused 2 "not a number" sim --seeds 0
    refused 2 "not a number" sim --seed x
    refused 2 "no handler" sim --handler exec
    refused 2 "no handler" sim --handler sing
    refused 2 "" sim upper
}
