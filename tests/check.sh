#!/bin/sh
# check.sh [STEP...] - what a commit must pass beside ./x test; called by ./x check.
#
# Steps: format shell manual clang lint fuzz asan tsan portable aarch64 valgrind refused
# reproducible; all of them when none is named.  The single ones go to build-check/*.tap, the test
# suite's other builds have their own logs, and count.py adds all up.
set -eu
cd "$(dirname "$0")/.."
steps=${*:-format shell manual clang lint fuzz asan tsan portable aarch64 valgrind refused \
    reproducible}
taps=build-check
logs=
mkdir -p $taps
rm -f $taps/*.tap

# try NAME COMMAND...: one test, its words shown when it fails.
try() {
    name=$1
    shift
    echo "check: $name"
    {
        echo "TAP version 13"
        echo "1..1"
        if "$@" >$taps/said 2>&1 </dev/null; then
            echo "ok 1 - $name"
        else
            echo "not ok 1 - $name"
        fi
    } >$taps/"$name".tap
    case $logs in *"/$name.tap"*) ;; *) logs="$logs $taps/$name.tap" ;; esac
    grep -q '^not ok' $taps/"$name".tap || return 0
    echo "check: $name failed:"
    tail -n 200 $taps/said
    return 1
}

# A build folder with these options, warnings as errors.
configure() {
    folder=$1
    shift
    [ -e "$folder/build.ninja" ] || meson setup "$folder" -Dwerror=true "$@"
}

build() {
    configure "$@"
    ninja --quiet -C "$1"
}

configure_clang() { CC=clang configure build-clang -Db_lundef=false -Dbuildtype=debug; }

# The suites that show the library's and the tool's own behaviour, in another build.
suites() {
    folder=$1
    shift
    echo "check: the tests in $folder"
    rm -f "$folder"/meson-logs/testlog*.json
    # ThreadSanitizer wants addresses where it expects them.
    straight=
    ! setarch "$(uname -m)" -R true 2>/dev/null || straight="setarch $(uname -m) -R"
    $straight meson test -C "$folder" --no-rebuild --print-errorlogs "$@" \
        </dev/null || :
}

how=
rebuild_and_test() {
    folder=$1
    shift
    try "$folder" build "$folder" "$@" || return 0
    # shellcheck disable=SC2086 # words on purpose
    suites "$folder" --no-suite house --no-suite fuzz $how
    logs="$logs $folder/meson-logs/testlog.json"
}

c_files() { find src include tests bench examples -name '*.[ch]'; }
sh_files() { find . -path './build*' -prune -o -name '*.sh' -print; }

step_format() {
    # shellcheck disable=SC2046 # words on purpose, here and below
    try format clang-format --dry-run -Werror $(c_files) || :
}

step_clang() {
    try clang-setup configure_clang || return 0
    try clang ninja --quiet -k0 -C build-clang || :
}

step_lint() {
    try clang-setup configure_clang || return 0
    try lint run-clang-tidy -quiet -p build-clang "$PWD/(src|bench|examples)/.*[.]c\$" || :
}

step_fuzz() {
    try clang-setup configure_clang || return 0
    suites build-clang --suite fuzz
    logs="$logs build-clang/meson-logs/testlog.json"
}

step_shell() {
    # shellcheck disable=SC2046
    try shell shellcheck x .ci/run $(sh_files) || :
}

step_manual() {
    ls man/*.[1-9] >/dev/null 2>&1 || return 0
    try manual mandoc -T lint -W warning man/*.[1-9] || :
}

step_asan() {
    rebuild_and_test build-asan -Db_sanitize=address,undefined -Dbuildtype=debug -Doptimization=1
}

# Many times slower; the failing allocations are one thread's, and ASan watches them.
step_tsan() {
    how="-t 5 --no-suite alloc"
    rebuild_and_test build-tsan -Db_sanitize=thread -Dbuildtype=debug -Doptimization=1
    how=
}

# Fibers by ucontext(3), as on machines whose assembly we do not write; ASSERT on.
step_portable() {
    rebuild_and_test build-portable -Dswitch=portable -Dbuildtype=debug
}

# The other machine, emulated: with its assembly, and once more without for what switches.
# The tools need its libedit, so they are not built.
step_aarch64() {
    cross="--cross-file tests/aarch64.ini -Dtools=false"
    how="-t 5 --suite unit --suite facade --suite sim"
    # shellcheck disable=SC2086 # words on purpose
    rebuild_and_test build-aarch64 $cross
    how="-t 5 --suite unit --suite facade"
    # shellcheck disable=SC2086
    rebuild_and_test build-aarch64-portable $cross -Dswitch=portable -Dbuildtype=debug
    how=
}

# What ./x test has built, once more by one of the setups of tests/meson.build.
once_more() {
    setup=$1
    shift
    ./x build
    echo "check: the tests under the setup $setup"
    rm -f "build/meson-logs/testlog-$setup.json"
    meson test -C build --no-rebuild --print-errorlogs --setup "$setup" "$@" </dev/null || :
    logs="$logs build/meson-logs/testlog-$setup.json"
}

step_valgrind() { once_more valgrind --suite unit --suite facade; }

# Where the kernel refuses io_uring the same programs do the same.
step_refused() { once_more refused --suite unit --suite contract --suite facade --suite cli; }

step_reproducible() { try reproducible tests/reproducible.sh || :; }

for step in $steps; do
    "step_$step"
done
# shellcheck disable=SC2086 # words on purpose
exec python3 tests/count.py $logs
