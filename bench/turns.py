"""turns.py - servers that run at once, each with a generator, and loaded in turns.

All servers share one processor and all generators another, and only one pair at a time has work:
whose turn it is, is told by a byte to its generator (bench/load/main.c, --turns).
"""

import contextlib
import json
import os
import random
import select
import shlex
import socket
import subprocess
import time
from pathlib import Path

START_SEC = 60      # a server that does not accept by then has failed
READY_SEC = 60      # one that has not taken all connections by then has failed
TURN_SEC = 60       # so has one whose turn takes so much longer than it should
PORTS = range(20000, 32000)  # below the ephemeral ports: no client is there by chance


class Failure(Exception):
    """The comparison cannot go on; the text says why."""


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


def stop(process):
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


@contextlib.contextmanager
def running(args, server):
    """Start a server on a free port, wait until it accepts, and end it afterwards."""
    port = free_port()
    at = f"127.0.0.1:{port}"
    process = start(args, args.server_cpu, shlex.split(server.command.format(at=at, port=port)),
                    stdout=subprocess.DEVNULL)
    try:
        wait_until_it_accepts(server, process, port)
        yield process, at
    finally:
        stop(process)


def free_port():
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise Failure("no free port was found")


def wait_until_it_accepts(server, process, port):
    """Connect again until it works; between two tries wait for the process's end, a millisecond."""
    for _ in range(START_SEC * 1000):
        with socket.socket() as probe:
            probe.settimeout(START_SEC)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                probe.sendall(b"a")
                if probe.recv(1) != b"A":
                    raise Failure("it does not answer in upper case")
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.001)
            raise Failure(f"it did not start: {last_words(process)}")
    raise Failure(f"it did not accept within {START_SEC} s")


def last_words(process):
    return process.stderr.read().decode(errors="replace").strip() or "it said nothing"


def status(pid):
    """The memory of a process, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "RssAnon", "VmPTE")}


def user_bytes(pid):
    """What a process has of memory and of page tables."""
    memory = status(pid)
    return (memory["VmRSS"] + memory["VmPTE"]) * 1024


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


class Pair:
    """A server that runs, and its generator."""

    def __init__(self, args, server, load, stack):
        self.server = server
        self.close = stack.close
        self.process, at = stack.enter_context(running(args, server))
        before = user_bytes(self.process.pid)
        self.load = start(args, args.load_cpu,
                          [str(args.load), *load, "--turns", f"{self.process.pid}@{at}"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(stop, self.load)
        self.expect(b"ready\n", READY_SEC)
        self.grown_bytes = user_bytes(self.process.pid) - before

    def expect(self, word, sec):
        """Wait for a word of the generator's, which writes a line at a time."""
        if not select.select([self.load.stdout], [], [], sec)[0]:
            raise Failure(f"it had not answered after {sec} s")
        if os.read(self.load.stdout.fileno(), len(word)) != word:
            raise self.failure()

    def failure(self):
        """Why the generator has ended: its own words, or better, the server's."""
        if self.process.poll() is not None:
            return Failure(last_words(self.process))
        return Failure(last_words(self.load))

    def say_turn(self):
        with contextlib.suppress(BrokenPipeError):
            os.write(self.load.stdin.fileno(), b".")

    def turn(self):
        self.say_turn()
        self.expect(b"over\n", TURN_SEC)

    def report(self):
        """What the generator has counted, when all turns are over; it closes its connections."""
        self.say_turn()
        report = json.loads(self.load.stdout.read())
        report["grown_bytes"] = self.grown_bytes
        return report

    def spent_sec(self):
        return cpu_sec(self.process.pid) + cpu_sec(self.load.pid)


def open_pairs(args, servers, load, failed, stack):
    """Start all, in chance's order; a peer that fails is left out, and failed says why."""
    pairs = []
    for server in random.sample(servers, len(servers)):
        own = contextlib.ExitStack()
        try:
            pairs.append(Pair(args, server, load, own))
        except Failure as failure:
            own.close()
            leave_out(server, failure, failed)
        else:
            stack.push(own)
    return pairs


def leave_out(server, failure, failed):
    if not server.peer:
        raise Failure(f"{server.name}: {failure}")
    failed[server.name] = str(failure)


def take_turns(pairs, nturn, failed):
    """Each has nturn turns, and in each round of turns the order is another."""
    for _ in range(nturn):
        for pair in random.sample(pairs, len(pairs)):
            if pair.server.name in failed:
                continue
            try:
                pair.turn()
            except Failure as failure:
                pair.close()
                leave_out(pair.server, failure, failed)


def one_round(args, servers, load, nturn, failed):
    """Fresh servers, all loaded in turns.  Reports by name; those of `failed` have none."""
    cpus = {args.server_cpu, args.load_cpu}
    with contextlib.ExitStack() as stack:
        pairs = open_pairs(args, servers, load, failed, stack)
        take_turns(pairs, 1, failed)  # warm-up
        pairs = [pair for pair in pairs if pair.server.name not in failed]
        others = busy_sec(cpus) - sum(pair.spent_sec() for pair in pairs) - sum(os.times()[:2])
        begin = time.monotonic()
        take_turns(pairs, nturn, failed)
        pairs = [pair for pair in pairs if pair.server.name not in failed]
        wall = time.monotonic() - begin
        others = (busy_sec(cpus) - sum(pair.spent_sec() for pair in pairs) - sum(os.times()[:2])
                  - others)
        reports = {pair.server.name: pair.report() for pair in pairs}
    for report in reports.values():
        report["others"] = max(0.0, others / wall / len(cpus))
    return reports
