"""servers.py - who is compared: the hand-written servers, stoa, and its peers.

A peer is the same server as its library's manual would have it (bench/peers/).  One that
is not there, because its library is not or it did not build, is left out with a word.
"""

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass
class Server:
    name: str
    command: str          # {at} is the address, {port} its port
    raw: bool = False     # a yardstick: ratios are to the best of these
    peer: bool = False    # it may fail, and then has no figure; another's failure ends the run
    what: str = ""        # for a reader who does not know it
    version: tuple = ()   # the command that tells it


def raw_servers(build):
    """The server by hand, in the ways that could be best."""
    return [
        Server("raw_epoll", f"{build}/bench/raw_epoll {{at}}", raw=True,
               what="by hand on epoll(7)"),
        Server("raw_uring", f"{build}/bench/raw_uring {{at}}", raw=True,
               what="by hand on io_uring(7), a receive at a time"),
        Server("raw_multishot", f"{build}/bench/raw_multishot {{at}}", raw=True,
               what="by hand on io_uring(7), receives that go on"),
    ]


def stoa_servers(stoa):
    """`stoa serve` on each of its backends."""
    return [Server(f"stoa-{backend}",
                   f"{stoa} serve upper {{at}} --workers 1 --quiet --backend {backend}",
                   what=f"`stoa serve upper --backend {backend}`")
            for backend in ("epoll", "uring")]


def debian(package):
    return "dpkg-query", "-W", "-f", "${Version}", package


def known_peers(build):
    """All peers, there or not."""
    def built(name, what, version, program=None):
        return Server(name, f"{build}/bench/peers/{program or name} {{port}}", peer=True,
                      what=what, version=version)

    def run(name, command, what, version):
        return Server(name, f"{command} {{port}}", peer=True, what=what, version=version)

    return [
        built("libuv", "C, callbacks: `uv_read_start`, `uv_write`", debian("libuv1-dev")),
        built("libev", "C, callbacks: a watcher, and the calls by hand", debian("libev-dev")),
        built("libevent", "C, callbacks: `bufferevent`", debian("libevent-dev")),
        built("asio", "C++, callbacks: Boost.Asio", debian("libboost-dev")),
        built("st", "C, cooperative threads: State Threads", debian("libst-dev")),
        built("go", "a goroutine for each connection", ("go", "version")),
        built("threads", "C, a thread of the system's for each connection", ("ldd", "--version")),
        run("node", f"node {HERE}/peers/upper.mjs", "JavaScript, events of a stream",
            ("node", "--version")),
        run("asyncio", f"/usr/bin/python3 {HERE}/peers/upper.py", "Python, asyncio's streams",
            ("/usr/bin/python3", "--version")),
    ]


def peers(build):
    """Those that are there, and the names of those that are not."""
    servers = known_peers(build)
    there = [s for s in servers if shutil.which(s.command.split()[0])]
    return there, [s.name for s in servers if s not in there]


def version(server):
    """What it is built with or runs on, in its own words; nothing where nobody knows."""
    try:
        said = subprocess.run(server.version, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""
    return said.partition("\n")[0].strip()


def newest_stoa():
    """The `stoa` that was built last, in any build folder beside bench/."""
    built = [p for p in HERE.parent.glob("build*/src/cli/stoa") if os.access(p, os.X_OK)]
    return max(built, key=lambda p: p.stat().st_mtime, default=None)
