#!/usr/bin/env python3
"""compare.py - what a message costs `stoa serve upper`, as a multiple of the hand-written server.

The figure is the server's processor time for a message (churn: for a connection).
Throughput says little where both processors are full, for over loopback each send
also does the receiver's work.

In each round both servers are started afresh, pinned to one processor, and loaded in
turns from another: some milliseconds this one, some milliseconds that one, for --duration
each.  So the machine may change its speed, or do other things, and the ratio stays right:
raw_epoll against itself (--same) gives 1.00 within a hundredth.

    bench/compare.py                         stoa against raw_epoll, all scenarios
    bench/compare.py c64 churn --rounds 15   some scenarios, more carefully
    bench/compare.py --lt --same             ... against raw_epoll --lt, and against itself
    bench/compare.py --server old='/tmp/old/stoa serve upper {at} --workers 1 --quiet'
    bench/compare.py --json                  each round a line, then the table as an object

Two ratios are printed: that of the medians of all turns; and the median of the rounds'
ratios with the least and the greatest, where a round's ratio is the median of its turns'.
Where the two disagree, the machine was unquiet: take more rounds.

Exit code: 0 measured (and within --limit, if given); 1 a server failed, answered wrongly or
is over --limit; 2 usage.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import select
import shlex
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
START_SEC = 10      # a server that does not accept by then has failed
RUN_EXTRA_SEC = 60  # a generator that takes so much longer than it should has failed
PORTS = range(20000, 32000)  # below the ephemeral ports: no client is there by chance
UNQUIET = 0.10      # part of the processors that others take before it is worth a word


@dataclasses.dataclass
class Scenario:
    load: str        # the generator's options
    turn_ms: float   # of one server; long against a round trip under this load


SCENARIOS = {
    "c1": Scenario("--conns 1", 20),
    "c64": Scenario("--conns 64", 20),
    "c1k": Scenario("--conns 1000", 50),
    "c9k": Scenario("--conns 9000", 250),
    "big16k": Scenario("--conns 64 --size 16384", 20),
    "pipe16": Scenario("--conns 64 --pipeline 16", 20),
    "churn": Scenario("--conns 64 --churn", 50),
    "open50k": Scenario("--conns 64 --rate 50000", 50),
}
USUAL = ["c1", "c64", "c1k", "c9k", "big16k", "pipe16", "churn"]


class Failure(Exception):
    """The comparison cannot go on; the text says why."""


@dataclasses.dataclass
class Server:
    name: str
    command: str  # {at} is the address


def start(args, cpu, command, stdin=subprocess.DEVNULL, **pipes):
    """Start a process on one processor, before all others there, which ends with this one."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(cpu), *command],
        stdin=stdin, stderr=subprocess.PIPE, start_new_session=True, **pipes)
    # Where sessions are scheduled as groups, nice(2) has no say between them; this has.
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text(str(args.nice))
        os.setpriority(os.PRIO_PROCESS, process.pid, args.nice)
    return process


@contextlib.contextmanager
def running(args, server):
    """Start a server on a free port, wait until it accepts, and end it afterwards."""
    at = f"127.0.0.1:{free_port()}"
    process = start(args, args.server_cpu, shlex.split(server.command.format(at=at)),
                    stdout=subprocess.DEVNULL)
    try:
        wait_until_it_accepts(server, process, at)
        yield process.pid, at
        if process.poll() is not None:
            raise Failure(f"{server.name} ended in its run: {process.stderr.read().decode()}")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def free_port():
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise Failure("no free port was found")


def wait_until_it_accepts(server, process, at):
    """Connect again until it works; between two tries wait for the process's end, a millisecond."""
    host, port = at.split(":")
    ended = select.poll()
    fd = os.pidfd_open(process.pid)
    ended.register(fd)
    try:
        for _ in range(START_SEC * 1000):
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    probe.sendall(b"a")
                    if probe.recv(1) != b"A":
                        raise Failure(f"{server.name} at {at} does not answer in upper case")
                    return
            if ended.poll(1):
                raise Failure(f"{server.name} did not start: {process.stderr.read().decode()}")
    finally:
        os.close(fd)
    raise Failure(f"{server.name} did not accept within {START_SEC} s")


def busy_sec(cpus):
    """Seconds that these processors have been busy since boot."""
    total = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name in [f"cpu{cpu}" for cpu in cpus]:
            user, nice, system, _idle, _iowait, irq, softirq = map(int, ticks[:7])
            total += user + nice + system + irq + softirq
    return total / os.sysconf("SC_CLK_TCK")


def cpu_sec(pid):
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def generate(args, name, targets):
    """Run the generator.  Its reports in the order of targets, and what others took meanwhile."""
    scenario = SCENARIOS[name]
    turns = max(1, round(args.duration * 1000 / scenario.turn_ms))
    command = [str(args.load), *scenario.load.split(), "--warmup", str(args.warmup),
               "--duration", str(args.duration), "--slices", str(turns),
               *(f"{pid}@{at}" for pid, at in targets)]
    cpus, pids = {args.server_cpu, args.load_cpu}, [pid for pid, _ in targets]
    others, begin = busy_sec(cpus) - sum(map(cpu_sec, pids)) - sum(os.times()[:4]), time.monotonic()
    process = start(args, args.load_cpu, command, stdout=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=args.duration * 2 + RUN_EXTRA_SEC)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise Failure(f"{name}: {err.decode().strip()}")
    others = busy_sec(cpus) - sum(map(cpu_sec, pids)) - sum(os.times()[:4]) - others
    reports = [json.loads(line) for line in out.splitlines()]
    for report in reports:
        report["others"] = max(0.0, others / (time.monotonic() - begin) / len(cpus))
    return reports


def measure(args, name, servers):
    """All rounds of a scenario for two servers.  A list of pairs of reports."""
    rounds = []
    for turn in range(args.rounds):
        order = random.sample(range(2), 2)
        with running(args, servers[order[0]]) as one, running(args, servers[order[1]]) as two:
            reports = generate(args, name, [one, two])
        pair = [reports[order.index(0)], reports[order.index(1)]]
        rounds.append(pair)
        if args.json:
            for server, report in zip(servers, pair):
                print(json.dumps({"scenario": name, "round": turn, "server": server.name,
                                  **report}), flush=True)
    return rounds


def summary(name, servers, rounds):
    """A row for each of the two servers: medians, and the ratios to the first."""
    def ratio(pair):
        turns = zip(pair[0]["slices_us"], pair[1]["slices_us"])
        # On a full machine a server may get no processor in a whole turn.
        return statistics.median(b / a for a, b in turns if a > 0 and b > 0)

    rows = []
    for which, server in enumerate(servers):
        reports = [pair[which] for pair in rounds]

        def middle(key, reports=reports):
            values = [r[key] for r in reports if r[key] is not None]
            return statistics.median(values) if values else None

        ratios = sorted(ratio(pair) if which else 1.0 for pair in rounds)
        limits = [r["limit"] for r in reports]
        rows.append({
            "scenario": name, "server": server.name, "rounds": len(rounds),
            "server_us": statistics.median(us for r in reports for us in r["slices_us"]),
            "round_ratio": statistics.median(ratios), "round_min": ratios[0],
            "round_max": ratios[-1], "per_sec": middle("per_sec"), "p50_us": middle("p50_us"),
            "p99_us": middle("p99_us"), "server_busy": middle("server_busy"),
            "load_busy": middle("self_busy"), "limit": max(set(limits), key=limits.count),
            "others": middle("others"),
        })
    for row in rows:
        row["ratio"] = row["server_us"] / rows[0]["server_us"]
    return rows


def show(rows):
    def number(value):
        return "-" if value is None else f"{value:.1f}"

    print(f"\n{rows[0]['scenario']:9} {'us/msg':>8} {'ratio':>6} {'by round (min..max)':>22} "
          f"{'msgs/s':>10} {'p50 us':>8} {'p99 us':>8} {'server':>7} {'load':>5}  limit")
    for row in rows:
        by_round = f"{row['round_ratio']:.3f} ({row['round_min']:.3f}..{row['round_max']:.3f})"
        print(f"{row['server']:9} {row['server_us']:8.3f} {row['ratio']:6.3f} {by_round:>22} "
              f"{row['per_sec']:10,.0f} {number(row['p50_us']):>8} {number(row['p99_us']):>8} "
              f"{row['server_busy']:7.0%} {row['load_busy']:5.0%}  {row['limit']}", flush=True)
    generator = [row["server"] for row in rows if row["limit"] == "generator"]
    if generator:
        print(f"  The generator was the limit with {' and '.join(generator)}: msgs/s is its own, "
              "us/msg is the server's.")
    if rows[0]["others"] > UNQUIET:
        print(f"  Other processes took {rows[0]['others']:.0%} of the two processors.")


def newest_stoa():
    """The `stoa` that was built last, in any build folder beside bench/."""
    built = [p for p in HERE.parent.glob("build*/src/cli/stoa") if os.access(p, os.X_OK)]
    return max(built, key=lambda p: p.stat().st_mtime, default=None)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO",
                        help=f"of {', '.join(SCENARIOS)}; all but open50k")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=2.0, help="of each server, seconds (2)")
    parser.add_argument("--warmup", type=float, default=0.2, help="seconds before (0.2)")
    parser.add_argument("--build", type=Path,
                        help="a build folder, taken as it is; the newest, brought up to date")
    parser.add_argument("--stoa", type=Path, help="the stoa program; the one built last")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND",
                        help="compare this instead of stoa; {at} stands for the address")
    parser.add_argument("--lt", action="store_true", help="compare raw_epoll --lt")
    parser.add_argument("--same", action="store_true", help="compare raw_epoll with itself")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--nice", type=int, default=-10, help="of servers and generator (-10)")
    parser.add_argument("--limit", type=float, help="exit 1 if a ratio by round is above")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    for name in args.scenario:
        if name not in SCENARIOS:
            parser.error(f"{name}: not one of {', '.join(SCENARIOS)}")
    if any("=" not in text or "{at}" not in text for text in args.server):
        parser.error("--server wants NAME=COMMAND, with {at} in it")
    if args.rounds < 1 or args.duration <= 0:
        parser.error("--rounds and --duration must be above zero")
    args.scenario = args.scenario or USUAL
    return args


def tools(args):
    """Find the generator and the yardstick, or build them.  Returns the yardstick."""
    build = args.build
    if build is None:
        folders = [p.parent for p in HERE.parent.glob("build*/build.ninja")]
        if not folders:
            raise Failure("nothing is built: meson setup build, first")
        build = max(folders, key=lambda p: (p / "build.ninja").stat().st_mtime)
        subprocess.run(["ninja", "-C", str(build), "bench/raw_epoll", "bench/load"], check=True,
                       stdout=subprocess.DEVNULL)
    args.load = build / "bench/load"
    return build / "bench/raw_epoll"


def rivals(args, raw):
    """Those that are compared with the yardstick."""
    servers = [Server(*text.split("=", 1)) for text in args.server]
    if args.lt:
        servers.append(Server("raw --lt", f"{raw} --lt {{at}}"))
    if args.same:
        servers.append(Server("same", f"{raw} {{at}}"))
    if not servers or args.stoa:
        stoa = args.stoa or newest_stoa()
        if stoa is None:
            raise Failure("no stoa program was found: build it, or give --stoa")
        servers.append(Server("stoa", f"{stoa} serve upper {{at}} --workers 1 --quiet"))
    return servers


def main():
    args = parse()
    table = []
    try:
        raw = tools(args)
        first = Server("raw_epoll", f"{raw} {{at}}")
        for name in args.scenario:
            for rival in rivals(args, raw):
                rows = summary(name, [first, rival], measure(args, name, [first, rival]))
                table += rows
                if not args.json:
                    show(rows)
    except (Failure, subprocess.SubprocessError) as failure:
        print(f"compare.py: {failure}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"summary": table}))
    over = [row for row in table if args.limit and row["round_ratio"] > args.limit]
    for row in over:
        print(f"compare.py: {row['scenario']}: {row['server']} is at {row['round_ratio']:.3f}, "
              f"over {args.limit}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
