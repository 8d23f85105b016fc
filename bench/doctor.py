#!/usr/bin/env python3
"""doctor.py BUILD [--sockets N] - what the doctor's look costs on a machine with many sockets.

    python3 bench/doctor.py build                   100,000 sockets for the doctor, and 20,000 for
                                                    an error's sentence

The sockets are connections on loopback, in a network and process namespace of their own; a
process has at most 20,000 descriptors, so there are several.  Printed are wall time (the best and
the median of the runs, for the machine may be busy), processor time and peak memory.
"""
import argparse
import ctypes
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'tests', 'faults'))
from net import lo_up  # noqa: E402

EACH = 19_800  # sockets of a process


def connect(port, sockets):
    """Half as many connections to ourselves."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('127.0.0.1', port))
    listener.listen(1000)
    kept = []
    for i in range(sockets // 2):
        s = socket.socket()
        s.bind((f'127.1.{i // 250}.{1 + i % 250}', 0))
        s.connect(('127.0.0.1', port))
        kept += [s, listener.accept()[0]]
    return listener, kept


def hold(sockets):
    """Processes that hold so many; their pids."""
    pids = []
    for k in range((sockets + EACH - 1) // EACH):
        hear, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
            kept = connect(7000 + k, min(EACH, sockets - k * EACH))
            os.write(tell, b'.')
            signal.pause()
            del kept
        os.close(tell)
        pids.append(pid)
        if os.read(hear, 1) != b'.':
            sys.exit('a process has failed')
        os.close(hear)
    return pids


def end(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def look(command):
    """Wall seconds, processor seconds, KiB."""
    begun = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.PIPE)
    out = p.stdout.read().decode()
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss, out


def doctor(build, runs):
    looks = [look([build + '/src/cli/stoa', 'doctor']) for _ in range(runs)]
    print(looks[0][3].splitlines()[-1])
    wall = [k[0] for k in looks]
    print(f'stoa doctor: best {min(wall):.2f} s, median {statistics.median(wall):.2f} s (0.4 of '
          f'them between the two samples), {min(k[1] for k in looks):.2f} s of a processor, '
          f'{max(k[2] for k in looks) / 1024:.1f} MiB')
    wall = [look([build + '/src/cli/stoa', 'doctor', ':7000'])[0] for _ in range(runs)]
    print(f'stoa doctor :7000: best {min(wall) * 1000:.0f} ms, median '
          f'{statistics.median(wall) * 1000:.0f} ms')


def sentence(build, runs):
    lib = ctypes.CDLL(build + '/libstoa.so.0')
    lib.stoa_errmsg.restype = ctypes.c_char_p
    took, cpu = [], []
    for _ in range(runs):
        if lib.stoa_announce(b'127.0.0.1:7000', None) != -1:
            sys.exit('the port was to be taken')
        begun, used = time.monotonic(), time.thread_time()
        said = lib.stoa_errmsg().decode()
        took.append((time.monotonic() - begun) * 1000)
        cpu.append((time.thread_time() - used) * 1000)
    print(said)
    print(f'stoa_errmsg(): best {min(took):.1f} ms, median {statistics.median(took):.1f} ms; '
          f'{min(cpu):.1f} ms of a processor')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build')
    parser.add_argument('--sockets', type=int, default=100_000)
    parser.add_argument('--runs', type=int, default=7)
    parser.add_argument('--inside', action='store_true', help=argparse.SUPPRESS)
    o = parser.parse_args()
    if not o.inside:
        return subprocess.run(['unshare', '--net', '--pid', '--fork', '--mount-proc',
                               '--kill-child', sys.executable, *sys.argv, '--inside'],
                              check=False).returncode
    lo_up()
    pids = hold(o.sockets)
    doctor(os.path.abspath(o.build), o.runs)
    end(pids)
    pids = hold(20_000)
    sentence(os.path.abspath(o.build), o.runs)
    end(pids)
    return 0


if __name__ == '__main__':
    sys.exit(main())
