#!/bin/sh
# fresh.sh [COMMAND] - the commands as a new user types them, on a Debian 12 with git and sh only.
#
# Makes a root with debootstrap from the mirror that this machine's own apt uses,
# clones this checkout (what is committed) into a copy of it for each command, runs
# the command there in a process space of its own, and tells the time that each took.
# Without a COMMAND: lines through ./x run, which may take two minutes; and ./x test.
# Needs root, and a quarter of an hour.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || {
    echo "fresh: only root may chroot" >&2
    exit 1
}
tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/fresh.XXXXXX")
trap 'rm -rf --one-file-system "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# shellcheck disable=SC2016 # apt's own variables
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "bookworm" { print $2; exit }')
[ -n "$mirror" ] || {
    echo "fresh: this machine's apt knows no bookworm" >&2
    exit 1
}
eval "$(apt-config shell http_proxy Acquire::http::Proxy)"
export http_proxy="${http_proxy:-}"

echo "fresh: debootstrap"
debootstrap --variant=minbase --include=git,ca-certificates bookworm "$tmp/debian" "$mirror" \
    >"$tmp/log" 2>&1 || {
    cat "$tmp/log"
    exit 1
}
cp /etc/resolv.conf /etc/hosts "$tmp/debian/etc/"
[ -z "$http_proxy" ] || echo "Acquire::http::Proxy \"$http_proxy\";" \
    >"$tmp/debian/etc/apt/apt.conf.d/90proxy"

# fresh COMMAND: in a root that has seen nothing yet.
fresh() {
    root=$tmp/root
    cp -a "$tmp/debian" "$root"
    git clone -q --no-hardlinks "$PWD" "$root/root/stoa"
    echo "fresh: $1"
    start=$(date +%s)
    status=0
    # shellcheck disable=SC2016 # for the inner sh
    unshare --mount --pid --fork --kill-child env -i HOME=/root TERM=dumb \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c '
            mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" &&
                exec chroot "$1" sh -c "cd /root/stoa && $2"' fresh "$root" "$1" || status=$?
    echo "fresh: exit status $status after $(($(date +%s) - start)) s: $1"
    rm -rf --one-file-system "$root"
    return $status
}

failed=0
if [ $# -gt 0 ]; then
    fresh "$*" || failed=1
else
    # shellcheck disable=SC2016
    fresh 'printf "hello\n你好, world\n" | ./x run' || failed=1
    fresh './x test' || failed=1
fi
exit $failed
