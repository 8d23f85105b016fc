#!/usr/bin/env python3
"""million.py - a million connections to `stoa serve upper --processes N`, on one machine.

In a network namespace of its own as many processes as are needed hold the connections, each with
as many as it may have descriptors; so do as many generators (crowd.c).  Then one of a hundred
connections talks, a message a second, every answer checked; then all are idle; then questions are
sent and the server is stopped at once: each must be answered, and each connection ended in order.

    ./x million                     1,000,000 connections: 14 GiB of memory, some two minutes
    ./x million 15000               fewer; as good a test, and no measurement
    ./x million --markdown          the table for docs/million.md

    established   all connections, from the first connect(2) until the server has accepted the last
    p99           of the answers, from when each question was due
    idle CPU      of all processes of the server together, in --idle seconds
    user memory   proportional set size (Pss) of all processes of the server
    with kernel   and its share of the kernel's: half of what slab has grown by, for the
                  other half is the clients', and its page tables
    drained       from SIGTERM until the server has ended

Exit code: 0 every goal reached; 1 some not (with --counts: something was lost, wrong, or failed;
times and memory are only told); 2 usage; 77 with --counts: namespaces cannot be had here.
"""

import argparse
import json
import math
import os
import platform
import resource
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

PORT = 8081
MILLION = 1_000_000
SPARE_DESCRIPTORS = 64  # as src/serve/run.c
FEWEST_PROCESSES = 4
KIB_EACH = 14.5         # of memory, both ends: what a connection takes here while it is made
PATIENCE_SEC = 600      # a stage that takes longer has failed
DRAIN_SEC = 1           # an idle client has so long to leave by itself
PRECEDENCE = -20
NET = {"net.core.somaxconn": 65535, "net.ipv4.tcp_max_tw_buckets": 4 * MILLION}


class Failure(Exception):
    """The run cannot go on; its text is for the user."""


def parse():
    parser = argparse.ArgumentParser(
        prog="./x million", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("conns", nargs="?", type=int, default=MILLION)
    parser.add_argument("--conns", dest="conns_too", type=int, metavar="N", help="the same")
    parser.add_argument("--talk", type=float, default=10, metavar="SEC", help="some talk so long")
    parser.add_argument("--idle", type=float, default=10, metavar="SEC", help="all are idle")
    parser.add_argument("--backend", choices=["epoll", "uring"], default="epoll")
    parser.add_argument("--counts", action="store_true", help="fail by counts alone, not by time")
    parser.add_argument("--markdown", action="store_true", help="the table in Markdown")
    parser.add_argument("--stoa", required=True, type=Path, help="the stoa program")
    parser.add_argument("--crowd", required=True, type=Path, help="the generator")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.conns = args.conns_too or args.conns
    if not 1000 <= args.conns <= 5 * MILLION:
        parser.error("connections: 1,000 to 5,000,000")
    if args.talk < 1 or args.idle < 1:
        parser.error("--talk and --idle: a second at least")
    args.processes = processes(args.conns)
    if args.processes > 250:
        parser.error(f"{args.conns:,} connections need {args.processes} processes of "
                     f"{descriptors():,} descriptors; 250 are the most here")
    return args


# --- the machine -----------------------------------------------------------------

def descriptors():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def processes(conns):
    """So many that chance, by which the kernel deals connections out, fills none of them: 4.5
    standard deviations below its limit."""
    room = descriptors() - SPARE_DESCRIPTORS
    return max(FEWEST_PROCESSES, math.ceil(conns / (room - 4.5 * math.sqrt(room))))


def fields(path):
    """The numbers of a file of lines as `Name:  12 kB`."""
    lines = (line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
    return {name: int(rest.split()[0]) for name, rest in lines if rest.split()[:1]
            and rest.split()[0].isdigit()}


def sysctl(name, value=None):
    path = Path("/proc/sys", *name.split("."))
    if value is not None:
        path.write_text(str(value))
    return int(path.read_text().split()[0])


def room_for(args):
    """Is there what it takes?  Global limits are looked at, never changed."""
    need = args.conns * KIB_EACH / 2**20
    free = fields("/proc/meminfo")["MemAvailable"] / 2**20
    files, used = sysctl("fs.file-max"), sysctl("fs.file-nr")
    if free < need:
        raise Failure(f"{args.conns:,} connections take about {need:.1f} GiB of memory, and "
                      f"{free:.1f} GiB are available")
    if files - used < 2.05 * args.conns:
        raise Failure(f"{args.conns:,} connections take two open files each, and fs.file-max is "
                      f"{files:,}; sysctl -w fs.file-max={3 * args.conns} would do")


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")),
                 platform.machine())
    memory = fields("/proc/meminfo")["MemTotal"] / 2**20
    return (f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
            f"{descriptors():,} descriptors a process")


# --- the two sides ---------------------------------------------------------------

def wait_readable(file, what):
    if not select.select([file], [], [], PATIENCE_SEC)[0]:
        raise Failure(f"{what}: nothing for {PATIENCE_SEC} s")


class Server:
    """`stoa serve upper`, ready, with its processes."""

    def __init__(self, args):
        reads, writes = os.pipe()
        # By counts no time may matter: then the clients leave, and are waited for.
        drain = "1h" if args.counts else f"{DRAIN_SEC}s"
        # Where 90 % of the connections are there that may be, silent ones would be sent off.
        words = ["serve", "upper", f"127.0.0.1:{PORT}", "--processes", str(args.processes),
                 "--quiet", "--backend", args.backend, "--idle", "0", "--first-byte", "0",
                 "--min-rate", "0", "--drain-timeout", drain]
        self.command = shlex.join(["stoa", *words])
        self.process = subprocess.Popen([args.stoa, *words, "--ready-fd", str(writes)],
                                        pass_fds=[writes])
        os.close(writes)
        with open(reads, encoding="ascii") as ready:
            if not ready.read():
                raise Failure(f"the server did not start: {self.command}")
        self.first = self.children()

    def children(self):
        pid = self.process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())

    def pids(self):
        return [self.process.pid, *self.children()]

    def accepted(self, there):
        """All sockets of the namespace, less the clients', the listeners, and who waits in their
        queues."""
        sockets = next(line.split() for line in
                       Path("/proc/self/net/sockstat").read_text().splitlines()
                       if line.startswith("TCP:"))
        queues = subprocess.run(["ss", "-H", "-l", "-t", "-n"], stdout=subprocess.PIPE, check=True,
                                text=True).stdout.splitlines()
        return int(sockets[2]) - there - len(queues) - sum(int(line.split()[1]) for line in queues)

    def cpu_ns(self):
        return sum(int(task.read_text().split()[0]) for pid in self.pids()
                   for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))

    def user_kib(self):
        return sum(fields(f"/proc/{pid}/smaps_rollup")["Pss"] for pid in self.pids())

    def tables_kib(self):
        return sum(fields(f"/proc/{pid}/status")["VmPTE"] for pid in self.pids())


class Crowd:
    """The generators, which do together what they are told."""

    def __init__(self, args):
        n = args.processes
        self.parts = [args.conns * (i + 1) // n - args.conns * i // n for i in range(n)]
        self.crowds = [
            subprocess.Popen([args.crowd, f"127.0.0.1:{PORT}", f"127.1.{i // 250}.{i % 250 + 1}",
                              str(part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for i, part in enumerate(self.parts)]

    def tell(self, word):
        for crowd in self.crowds:
            crowd.stdin.write(word.encode() + b"\n")
            crowd.stdin.flush()

    def hear(self, what):
        answers = []
        for crowd in self.crowds:
            wait_readable(crowd.stdout, what)
            line = crowd.stdout.readline()
            if not line:
                raise Failure(f"{what}: a generator has ended")
            answers.append(json.loads(line))
        return answers

    def end(self):
        for crowd in self.crowds:
            crowd.stdin.close()
        return [crowd.wait(PATIENCE_SEC) for crowd in self.crowds]


# --- the run ---------------------------------------------------------------------

class Table:
    def __init__(self):
        self.rows = []
        self.lost = []    # what went wrong, by counts
        self.missed = []  # goals of time and memory

    def row(self, stage, figure, goal, good=True, counts=False):
        self.rows.append((stage, figure, goal, "yes" if good else "NO"))
        if not good:
            (self.lost if counts else self.missed).append(stage)

    def count(self, stage, n, wanted, why):
        if n != wanted and why:
            print(f"million: {stage}: {why}", file=sys.stderr)
        self.row(stage, f"{n:,}", f"{wanted:,}", n == wanted, counts=True)

    def text(self, markdown):
        rows = [("stage", "figure", "goal", "reached"), *self.rows]
        if markdown:
            rows.insert(1, ("---",) * 4)
            return "\n".join("| " + " | ".join(row) + " |" for row in rows)
        wide = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(f"{a:{wide[0]}}  {b:>{wide[1]}}  {c:>{wide[2]}}  {d}"
                         for a, b, c, d in rows)


def first_why(answers):
    return next((a["why"] for a in answers if a.get("why")), "")


def establish(args, table, server, crowd):
    since = time.monotonic()
    crowd.tell("connect")
    answers = crowd.hear("connect")
    there = sum(a["connected"] for a in answers)
    while (accepted := server.accepted(there)) < there:
        if time.monotonic() - since > PATIENCE_SEC:
            break
        time.sleep(0.01)
    took = time.monotonic() - since
    table.count("connected", there, args.conns, first_why(answers))
    table.count("accepted", accepted, args.conns, "")
    table.row("established in", f"{took:.1f} s", "60 s", took <= 60)


def talk(args, table, crowd):
    crowd.tell(f"talk {args.talk}")
    answers = crowd.hear("talk")
    times = sorted(us for a in answers for us in a["us"][:-1])
    asked = sum(a["asked"] for a in answers)
    table.count("answered rightly", len(times), asked, first_why(answers))
    talkers = sum(-(-part // 100) for part in crowd.parts)
    late = talkers * round(args.talk) - asked
    table.row("talking at once", f"{talkers:,}", "1 %")
    table.row("messages a second", f"{asked / args.talk:,.0f}", "-")
    if late:
        print(f"million: {late:,} questions were not sent, as the one before was not answered yet",
              file=sys.stderr)
    for name, part, goal in ("p50", 0.5, None), ("p99", 0.99, 20):
        ms = times[min(len(times) - 1, int(len(times) * part))] / 1000 if times else math.inf
        table.row(name, f"{ms:.2f} ms", f"{goal} ms" if goal else "-", not goal or ms < goal)


def be_idle(args, table, server):
    time.sleep(1)  # what the talk has left to do
    before, since = server.cpu_ns(), time.monotonic()
    time.sleep(args.idle)
    part = (server.cpu_ns() - before) / 1e9 / (time.monotonic() - since)
    table.row("idle CPU", f"{100 * part:.3f} %", "0.5 %", part < 0.005)


def memory(args, table, server, slab_before):
    user = server.user_kib() / args.conns
    slab = (fields("/proc/meminfo")["Slab"] - slab_before) / 2 / args.conns
    tables = server.tables_kib() / args.conns
    table.row("user memory each", f"{user:.2f} KiB", "4.6 KiB", user <= 4.6)
    table.row("with kernel each", f"{user + slab + tables:.2f} KiB", "9.5 KiB",
              user + slab + tables <= 9.5)
    table.row("  sockets (slab / 2)", f"{slab:.2f} KiB", "-")
    table.row("  page tables", f"{tables:.2f} KiB", "-")


def drain(args, table, server, crowd):
    table.count("processes that crashed", len(server.first - server.children()), 0, "")
    crowd.tell("ask")
    asked = sum(a["asked"] for a in crowd.hear("ask"))
    since = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    if args.counts:
        crowd.tell("leave")
    code = server.process.wait(PATIENCE_SEC)
    took = time.monotonic() - since
    if not args.counts:
        crowd.tell("end")  # what has come to the clients is there still
    answers = crowd.hear("end")
    table.count("answered in the stop", sum(a["answered"] for a in answers), asked,
                first_why(answers))
    table.count("ended in order", sum(a["ended"] for a in answers), args.conns, first_why(answers))
    table.row("drained in", f"{took:.1f} s", "15 s", took < 15)
    table.count("exit code", code, 0, "")
    table.count("generators that failed", sum(code != 0 for code in crowd.end()), 0, "")


def loopback_up():
    """SIOCSIFFLAGS of netdevice(7): a new namespace's loopback device is down."""
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1))


def take_precedence():
    """As root: what else runs here is no part of the figures.  sched(7), "Autogroup"."""
    if os.geteuid() != 0:
        return
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRECEDENCE)
        Path("/proc/self/autogroup").write_text(str(PRECEDENCE))
    except OSError:
        pass  # not everywhere, and not everybody


def inside(args):
    if not args.counts:
        take_precedence()
    loopback_up()
    for name, value in NET.items():
        sysctl(name, value)
    table, slab = Table(), fields("/proc/meminfo")["Slab"]
    started = []
    try:
        server = Server(args)
        started.append(server.process)
        crowd = Crowd(args)
        started += crowd.crowds
        establish(args, table, server, crowd)
        talk(args, table, crowd)
        be_idle(args, table, server)
        memory(args, table, server, slab)
        drain(args, table, server, crowd)
    finally:
        for process in started:
            process.kill()
            process.wait()
    print(table.text(args.markdown), flush=True)
    if args.markdown:
        print(f"\n`./x million{'' if args.conns == MILLION else f' {args.conns}'}`: {machine()};\n"
              f"`{server.command}`")
    bad = table.lost + ([] if args.counts else table.missed)
    if bad:
        print(f"million: not reached: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


def main():
    args = parse()
    if args.inside:
        return inside(args)
    room_for(args)
    own = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*own, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("network namespaces cannot be had here")
        return 77 if args.counts else 1
    # Both ends of all connections are in one table, which a namespace shares with the machine; its
    # parent can order one of its own for it, as large as for a server's (Linux 6.1).
    inner = (f"echo {4 * args.conns} 2>&- >/proc/sys/net/ipv4/tcp_child_ehash_entries\n"
             'exec unshare --net "$0" "$@"')
    run = subprocess.Popen([*own, "sh", "-c", inner, sys.executable, *sys.argv, "--inside"],
                           start_new_session=True)
    try:
        return run.wait()
    except KeyboardInterrupt:
        run.send_signal(signal.SIGINT)  # it has a session of its own, and an end to bring about
        return run.wait()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failure, OSError) as failure:
        print(f"million: {failure}", file=sys.stderr)
        sys.exit(1)
