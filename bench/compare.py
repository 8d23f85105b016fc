#!/usr/bin/env python3
"""compare.py - what a message costs stoa and its peers, as a multiple of the best server by hand.

The figure is the server's processor time for a message (churn: for a connection).
Throughput says little where both processors are full, for over loopback each send
also does the receiver's work.

In each round all servers are started afresh, pinned to one processor, and loaded in turns
from another: some milliseconds this one, some milliseconds that one, for --duration
each.  So the machine may change its speed, or do other things, and the ratios stay right:
raw_epoll against itself (--same) gives 1.00 within a hundredth.

    bench/compare.py                         all servers, all scenarios: ten minutes
    bench/compare.py --quick c64 churn       two scenarios, one short round
    bench/compare.py --only stoa-uring,libuv c9k --rounds 9
    bench/compare.py --markdown docs/performance.md
    bench/compare.py --daily                 stoa against raw_epoll alone, more carefully
    bench/compare.py --lt --same             raw_epoll --lt, and raw_epoll itself, against it
    bench/compare.py --server old='/tmp/old/stoa serve upper {at} --workers 1 --quiet'
    bench/compare.py --json                  each round a line, then the table as an object

A turn is measured by the mean of all turns of the same go, a round by the median of its turns
(scores() below); a server's ratio is to the raw_* that did best in the scenario.  Printed is
the median of the rounds', with the least and the greatest.  Where these are far apart,
the machine was unquiet: take more rounds.

A peer that is not there, or cannot do a scenario, is left out with a word.

Exit code: 0 measured (and within --limit, if given); 1 stoa or a raw_* failed, answered wrongly
or is over --limit; 2 usage; 130 interrupted.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report
import servers
from servers import Server
from turns import Failure, one_round

HERE = Path(__file__).resolve().parent
UNQUIET = 0.10      # part of the processors that others take before it is worth a word
SPARE_FDS = 64      # of a server or generator, beside its connections


@dataclasses.dataclass
class Scenario:
    load: str        # the generator's options
    turn_ms: float   # of one server; long against a round trip under this load
    conns: int       # how many each server has
    what: str        # for the page
    per: str = "message"


SCENARIOS = {
    "c1": Scenario("--conns 1", 20, 1, "1 connection, 64 bytes"),
    "c64": Scenario("--conns 64", 20, 64, "64 connections, 64 bytes"),
    "c1k": Scenario("--conns 1000", 50, 1000, "1,000 connections, 64 bytes"),
    "c9k": Scenario("--conns 9000", 250, 9000, "9,000 connections, 64 bytes"),
    "pipe16": Scenario("--conns 64 --pipeline 16", 20, 64, "64 connections, 16 under way on each"),
    "big16k": Scenario("--conns 64 --size 16384", 20, 64, "64 connections, 16 KiB"),
    "churn": Scenario("--conns 64 --churn", 50, 64, "connect, one message, close", "connection"),
    "idle10k": Scenario("--conns 64 --idle 10000", 20, 10064, "64 that talk, 10,000 that do not"),
    "open50k": Scenario("--conns 64 --rate 50000", 50, 64, "50,000 messages a second, on schedule"),
}
USUAL = ["c1", "c64", "c1k", "c9k", "pipe16", "big16k", "churn", "idle10k"]
DAILY = ["c1", "c64", "c1k", "c9k", "big16k", "pipe16", "churn"]


def measure(args, name, taking_part):
    """All rounds of a scenario.  Reports by server's name, for each round; and who failed, why."""
    scenario, rounds, failed = SCENARIOS[name], [], {}
    nturn = max(1, round(args.duration * 1000 / scenario.turn_ms))
    load = [*scenario.load.split(), "--warmup", str(args.warmup),
            "--duration", str(args.duration), "--slices", str(nturn)]
    for number in range(args.rounds):
        there = [s for s in taking_part if s.name not in failed]
        rounds.append(one_round(args, there, load, nturn, failed))
        if args.json:
            for server, counted in rounds[-1].items():
                print(json.dumps({"scenario": name, "round": number, "server": server, **counted}),
                      flush=True)
    return rounds, failed


def scores(reports):
    """What a message cost each server in a round, as a multiple of what it cost all.

    A turn is measured by the geometric mean of the turns of the same go, so what the machine was
    like then has no part in it; and a server's score is the median of its turns'.  The
    quotient of two servers' scores is, when there are but two, the median of their turns' ratios.
    """
    relative = {server: [] for server in reports}
    for turns in zip(*(r["slices_us"] for r in reports.values())):
        # On a full machine a server may get no processor in a whole turn.
        if min(turns) > 0:
            mean = statistics.geometric_mean(turns)
            for server, us in zip(reports, turns):
                relative[server].append(us / mean)
    if not all(relative.values()):
        raise Failure("a server got no processor at all; --duration could be longer")
    return {server: statistics.median(values) for server, values in relative.items()}


def summary(name, taking_part, rounds, failed):
    """A row for each server: medians, and the ratios to the best of the yardsticks."""
    there = [s for s in taking_part if s.name not in failed]
    rounds = [{s.name: r[s.name] for s in there} for r in rounds]
    scored = [scores(r) for r in rounds]
    best = min((s.name for s in there if s.raw),
               key=lambda raw: statistics.median(r[raw] for r in scored))
    return [row(name, s.name, best, [r[s.name] for r in rounds],
                [r[s.name] / r[best] for r in scored]) if s in there else
            {"scenario": name, "server": s.name, "failed": failed[s.name]}
            for s in taking_part]


def row(name, server, best, reports, ratios):
    def middle(key):
        values = [r[key] for r in reports if r.get(key) is not None]
        return statistics.median(values) if values else None

    limits = [r["limit"] for r in reports]
    return {
        "scenario": name, "server": server, "yardstick": best, "rounds": len(reports),
        "server_us": statistics.median(us for r in reports for us in r["slices_us"]),
        "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
        "per_sec": middle("per_sec"), "p50_us": middle("p50_us"), "p99_us": middle("p99_us"),
        "p999_us": middle("p999_us"), "server_busy": middle("server_busy"),
        "load_busy": middle("self_busy"), "limit": max(set(limits), key=limits.count),
        "others": middle("others"), "idle_bytes": idle_bytes(name, reports),
    }


def idle_bytes(name, reports):
    """Of the server's own memory, for a connection, where nearly all are idle."""
    if "--idle" not in SCENARIOS[name].load:
        return None
    return statistics.median(r["grown_bytes"] for r in reports) / SCENARIOS[name].conns


def show(rows):
    """A scenario's table, the cheapest first."""
    def number(value):
        return "-" if value is None else f"{value:,.1f}"

    there = sorted((r for r in rows if "failed" not in r), key=lambda r: r["ratio"])
    print(f"\n{rows[0]['scenario']:13} {'us/msg':>8} {'ratio':>7} {'by round':>14} {'msgs/s':>10} "
          f"{'p50 us':>9} {'p99 us':>9} {'p99.9 us':>9} {'B/conn':>7} {'server':>6} {'load':>5}  "
          "limit")
    for r in there:
        by_round = f"{r['ratio_min']:.3f}..{r['ratio_max']:.3f}"
        idle = "" if r["idle_bytes"] is None else f"{r['idle_bytes']:,.0f}"
        print(f"{r['server']:13} {r['server_us']:8.3f} {r['ratio']:7.3f} {by_round:>14} "
              f"{r['per_sec']:10,.0f} {number(r['p50_us']):>9} {number(r['p99_us']):>9} "
              f"{number(r['p999_us']):>9} {idle:>7} {r['server_busy']:6.0%} {r['load_busy']:5.0%}  "
              f"{r['limit']}")
    for r in rows:
        if "failed" in r:
            print(f"{r['server']:13} {r['failed']}")
    if there[0]["others"] > UNQUIET:
        print(f"  Other processes took {there[0]['others']:.0%} of the two processors.")
    sys.stdout.flush()


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO",
                        help=f"of {', '.join(SCENARIOS)}; all but open50k")
    parser.add_argument("--only", metavar="NAME,...", help="these servers, and the raw ones")
    parser.add_argument("--daily", action="store_true",
                        help="stoa against raw_epoll alone, 5 rounds of 2 s")
    parser.add_argument("--quick", action="store_true", help="1 round of 0.4 s")
    parser.add_argument("--rounds", type=int, help="3")
    parser.add_argument("--duration", type=float, help="of each server in a round, seconds (0.8)")
    parser.add_argument("--warmup", type=float, default=0.2, help="seconds before (0.2)")
    parser.add_argument("--build", type=Path,
                        help="a build folder, taken as it is; the newest, brought up to date")
    parser.add_argument("--stoa", type=Path, help="the stoa program; the one built last")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND",
                        help="compare this with raw_epoll; {at} is the address, {port} its port")
    parser.add_argument("--lt", action="store_true", help="compare raw_epoll --lt with it")
    parser.add_argument("--same", action="store_true", help="compare raw_epoll with itself")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--nice", type=int, default=-10, help="of servers and generators (-10)")
    parser.add_argument("--limit", type=float, help="exit 1 if stoa's ratio is above")
    parser.add_argument("--markdown", type=Path, metavar="FILE",
                        help="write the tables into this page, and a plot beside it")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    for name in args.scenario:
        if name not in SCENARIOS:
            parser.error(f"{name}: not one of {', '.join(SCENARIOS)}")
    if any("=" not in text or "{at}" not in text and "{port}" not in text
           for text in args.server):
        parser.error("--server wants NAME=COMMAND, with {at} or {port} in it")
    settle(args)
    if args.rounds < 1 or args.duration <= 0:
        parser.error("--rounds and --duration must be above zero")
    return args


def settle(args):
    """What was not said follows from how it is compared."""
    args.pair = args.daily or args.lt or args.same or bool(args.server)
    rounds, sec = (1, 0.4) if args.quick else (5, 2.0) if args.pair else (3, 0.8)
    args.rounds = rounds if args.rounds is None else args.rounds
    args.duration = sec if args.duration is None else args.duration
    args.scenario = args.scenario or (DAILY if args.pair else USUAL)


def tools(args):
    """Find the generator and all servers, or build them.  Returns the build folder."""
    build = args.build
    if build is None:
        folders = [p.parent for p in HERE.parent.glob("build*/build.ninja")]
        if not folders:
            raise Failure("nothing is built: meson setup build, first")
        build = max(folders, key=lambda p: (p / "build.ninja").stat().st_mtime)
        subprocess.run(["ninja", "-C", str(build), *NEEDED], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", "-k", "0", "-C", str(build), "peers"], check=False,
                       stdout=subprocess.DEVNULL)
    args.load = build / "bench/load"
    return build


NEEDED = ["bench/load", "bench/raw_epoll", "bench/raw_uring", "bench/raw_multishot"]


def stoa_program(args):
    stoa = args.stoa or servers.newest_stoa()
    if stoa is None:
        raise Failure("no stoa program was found: build it, or give --stoa")
    return stoa


def rivals(args, raw):
    """Those that are compared with raw, the server on epoll, alone."""
    found = [Server(*text.split("=", 1)) for text in args.server]
    if args.lt:
        found.append(Server("raw --lt", f"{raw.command} --lt"))
    if args.same:
        found.append(Server("same", raw.command))
    if args.daily or not found:
        found.append(Server("stoa", f"{stoa_program(args)} serve upper {{at}} --workers 1 --quiet"))
    return found


def chosen(args, build):
    """Who takes part; names of peers that are not there."""
    raws = servers.raw_servers(build)
    if args.pair:
        return [raws[0], *rivals(args, raws[0])], []
    peers, missing = servers.peers(build)
    found = [*raws, *servers.stoa_servers(stoa_program(args)), *peers]
    if args.only:
        names = args.only.split(",")
        known = [s.name for s in found]
        for name in names:
            if name not in known:
                raise Failure(f"--only {name}: not one of {', '.join(known)}")
        return [s for s in found if s.raw or s.name in names], []
    return found, missing


def possible(names):
    """Raise the limit of descriptors, which servers inherit; leave out what is beyond it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for name in names:
        need = SCENARIOS[name].conns + SPARE_FDS
        if most != resource.RLIM_INFINITY and need > most:
            say(f"{name} is left out: it needs {need:,} descriptors, and ulimit -n allows "
                f"{most:,}")
        else:
            yield name


def say(text):
    print(f"compare.py: {text}", file=sys.stderr, flush=True)


def say_plan(args, names, taking_part):
    rounds = f"{args.rounds} round{'s' * (args.rounds > 1)} of {args.duration:g} s"
    say(f"{', '.join(names)}: {len(taking_part)} servers, {rounds} for each")


def say_end(args, table, began):
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    say(f"{len(table)} rows in {minutes} min {seconds} s"
        + ("; one short round is rough: without --quick there are more, and longer"
           if args.quick else ""))


def run(args):
    """Measure all; returns the rows."""
    build, began = tools(args), time.monotonic()
    taking_part, missing = chosen(args, build)
    for name in missing:
        say(f"{name} is left out: it is not there, or did not build")
    names = list(possible(args.scenario))
    say_plan(args, names, taking_part)
    table, measured = [], []
    for name in names:
        if sys.stderr.isatty():
            say(f"{name}: {SCENARIOS[name].what} ...")
        rows = summary(name, taking_part, *measure(args, name, taking_part))
        table += rows
        measured.append(name)
        if not args.json:
            show(rows)
    if args.markdown:
        report.write(args.markdown, table, taking_part, missing,
                     {name: SCENARIOS[name] for name in measured}, args)
    say_end(args, table, began)
    return table


def main():
    args = parse()
    try:
        table = run(args)
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        say(failure)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    if args.json:
        print(json.dumps({"summary": table}))
    over = [r for r in table if args.limit and r["server"].startswith("stoa")
            and r["ratio"] > args.limit]
    for r in over:
        say(f"{r['scenario']}: {r['server']} is at {r['ratio']:.3f}, over {args.limit}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
