#!/usr/bin/env python3
"""idle.py - what a silent connection costs in memory, in stoa and in the hand-written server.

Each connection sends one message and gets its answer, so the server has accepted it and waits
for the next; then all are silent.  Printed for each connection, beyond what the server
had before the first:

    user      resident memory and page tables (VmRSS + VmPTE of /proc/PID/status): the
              server's own, and the only figure that a design can change
    private   of it, anonymous pages (RssAnon): stacks, heap
    kernel    growth of all kernel memory in /proc/meminfo (slab, page tables, kernel
              stacks), both ends of the connection and epoll's part; what the rest of the
              machine does in that moment is in it, too

    bench/idle.py                          raw_epoll and stoa, 10,000 connections each
    bench/idle.py --conns 1000 --json
    bench/idle.py --server old='/tmp/old/stoa serve upper {at} --workers 1 --quiet'
    bench/idle.py --limit 4.6              exit 1 if a server takes more KiB of user memory

Exit code: 0 measured (and within --limit, if given); 1 a server failed or is over --limit; 2 usage.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from compare import rivals, tools
from servers import raw_servers
from turns import Failure, running, start, status

READY_SEC = 120  # a server that has not answered all connections by then has failed


def kernel():
    """All memory of the kernel that connections can make grow, in KiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields[name].split()[0]) for name in ("Slab", "PageTables", "KernelStack"))


def measure(args, server):
    with running(args, server) as (process, at):
        pid = process.pid
        before, kernel_before = status(pid), kernel()
        load = start(args, args.load_cpu, [str(args.load), "--hold", "--idle", str(args.conns), at],
                     stdout=subprocess.PIPE, stdin=subprocess.PIPE)
        try:
            line = load.stdout.readline()
            if not line:
                raise Failure(f"{server.name}: {load.stderr.read().decode().strip()}")
            after, kernel_after = status(pid), kernel()
            load.communicate(timeout=READY_SEC)
        finally:
            load.kill()
            load.wait()
    kib = {name: (after[name] - before[name]) / args.conns for name in after}
    return {"server": server.name, "conns": json.loads(line)["idle"],
            "user_kib": kib["VmRSS"] + kib["VmPTE"], "private_kib": kib["RssAnon"],
            "page_tables_kib": kib["VmPTE"],
            "kernel_kib": (kernel_after - kernel_before) / args.conns}


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conns", type=int, default=10000)
    parser.add_argument("--build", type=Path,
                        help="a build folder, taken as it is; the newest, brought up to date")
    parser.add_argument("--stoa", type=Path, help="the stoa program; the one built last")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND",
                        help="measure this instead of stoa; {at} stands for the address")
    parser.add_argument("--limit", type=float, metavar="KIB", help="of user memory, for each")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(server_cpu=0, load_cpu=1, nice=0, lt=False, same=False, daily=False)
    args = parser.parse_args()
    if not 1 <= args.conns <= 19000:
        parser.error("--conns: 1 to 19,000, as many as a process has descriptors for")
    if any("=" not in text or "{at}" not in text for text in args.server):
        parser.error("--server wants NAME=COMMAND, with {at} in it")
    return args


def main():
    args = parse()
    rows = []
    try:
        raw, *_ = raw_servers(tools(args))
        for server in [raw, *rivals(args, raw)]:
            rows.append(measure(args, server))
    except (Failure, subprocess.SubprocessError) as failure:
        print(f"idle.py: {failure}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(rows))
    else:
        print(f"{args.conns:,} idle connections, KiB for each\n"
              f"{'':10} {'user':>7} {'private':>8} {'tables':>7} {'kernel, both ends':>18}")
        for row in rows:
            print(f"{row['server']:10} {row['user_kib']:7.2f} {row['private_kib']:8.2f} "
                  f"{row['page_tables_kib']:7.2f} {row['kernel_kib']:18.2f}")
    over = [row for row in rows if args.limit and row["user_kib"] > args.limit]
    for row in over:
        print(f"idle.py: {row['server']} takes {row['user_kib']:.2f} KiB, over {args.limit}",
              file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
