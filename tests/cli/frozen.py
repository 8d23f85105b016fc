#!/usr/bin/env python3
"""frozen.py - a server that stands still for one second of four: does `stoa bench` notice?

The server is stopped and continued by signals, a second apart.  Every form of the report must
have a p99 of 900 ms or more, and the sentence; in an open loop and in a closed one.  (A
generator that only times what it sends finds a p99 below a millisecond here.)

    frozen.py BUILD

The second of standing still is the experiment, and the only time that is waited for.  TAP.
"""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

LOADS = {
    'open': ['--rate', '2000'],
    'closed': ['--conns', '64'],
    'churn': ['--churn', '--rate', '1500'],
}
SENTENCE = 'The server stalled: for '
LEAST_NS = 900e6


def serve(stoa):
    reads, writes = os.pipe()
    server = subprocess.Popen([stoa, 'serve', 'upper', '127.0.0.1:0', '--quiet', '--ready-fd',
                               str(writes)], pass_fds=[writes])
    os.close(writes)
    with open(reads, encoding='ascii') as file:
        return server, file.read().strip()


def frozen_run(stoa, load):
    """Run with a frozen second.  The reports by their form."""
    with tempfile.TemporaryDirectory() as folder:
        server, at = serve(stoa)
        try:
            return reports_of(stoa, load, server, at, folder)
        finally:
            server.kill()
            server.wait()


def reports_of(stoa, load, server, at, folder):
    paths = {form: f'{folder}/report.{form}' for form in ('json', 'html', 'hlog')}
    bench = subprocess.Popen(
        [stoa, 'bench', at, '--duration', '4s', '--timeout', '60s', *load,
         f'--json={paths["json"]}', '--html', paths['html'], '--hlog', paths['hlog']],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    bench.stderr.readline()  # its first second is over
    server.send_signal(signal.SIGSTOP)
    time.sleep(1.05)  # so long the server stands still
    server.send_signal(signal.SIGCONT)
    text, said = bench.communicate()
    if bench.returncode:
        return {'text': f'exit code {bench.returncode}: {said}'}
    reports = {'text': text}
    for form, path in paths.items():
        with open(path, encoding='utf-8') as file:
            reports[form] = file.read()
    reports['hlog'] = subprocess.run([stoa, 'bench', '--merge', '--json', paths['hlog']],
                                     capture_output=True, text=True).stdout
    return reports


def milliseconds(text):
    number, unit = re.match(r'([\d.]+) (us|ms|s)', text).groups()
    return float(number) * {'us': 1e-3, 'ms': 1, 's': 1e3}[unit]


def p99_ns(form, report):
    if form in ('json', 'hlog'):
        return json.loads(report)['response_ns']['p99']
    pattern = r'^ +p99 +(\S+ \S+)' if form == 'text' else r'<td>p99</td><td>([^<]+)</td>'
    return milliseconds(re.search(pattern, report, re.M)[1]) * 1e6


def wrong(form, report):
    """What is wrong with a report, or nothing."""
    try:
        p99 = p99_ns(form, report)
    except (TypeError, ValueError, KeyError):
        p99 = None
    if p99 is None:
        return f'no p99: {report}'
    if p99 < LEAST_NS:
        return f'p99 is {p99 / 1e6:.1f} ms'
    if form != 'hlog' and SENTENCE not in report:
        return 'the sentence is not there'
    return None


def main(build):
    forms = ('text', 'json', 'html', 'hlog')
    print(f'TAP version 13\n1..{len(LOADS) * len(forms)}')
    number = failed = 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = {name: pool.submit(frozen_run, build + '/src/cli/stoa', load)
                for name, load in LOADS.items()}
    for name, run in runs.items():
        reports = run.result()
        for form in forms:
            number += 1
            what = wrong(form, reports.get(form, reports['text']))
            failed += bool(what)
            if what:
                print(f'# {what}')
            print(f"{'not ok' if what else 'ok'} {number} - {name} loop, {form}: "
                  'p99 is 900 ms or more, and the sentence', flush=True)
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
