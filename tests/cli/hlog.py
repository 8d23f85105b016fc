#!/usr/bin/env python3
"""hlog.py - another reader of our logs: does it find what we say?

hdr-histogram-js (npm) reads a log of `stoa bench --hlog`, of one run and of two, and its counts,
percentiles and maxima must be ours, to the nanosecond; two logs that `--merge` has put together
must be what it finds in both.  And the other way: a log that it writes is read by us.

    hlog.py BUILD

The package is installed into BUILD, once.  TAP; all skipped where npm cannot get it.
"""
import json
import os
import subprocess
import sys
import tempfile

PACKAGE = 'hdr-histogram-js@3.0.1'
PATIENCE_SEC = 600

READER = r'''
const hdr = require('hdr-histogram-js'), fs = require('fs');
const totals = {};
for (const path of process.argv.slice(1)) {
    const reader = new hdr.HistogramLogReader(fs.readFileSync(path, 'utf8'), 64);
    for (let h; (h = reader.nextIntervalHistogram()) !== null;) {
        const tag = h.tag === 'service' ? 'service' : 'response';
        totals[tag] = totals[tag] || hdr.build({bitBucketSize: 64, highestTrackableValue: 3.6e12,
                                                lowestDiscernibleValue: 1,
                                                numberOfSignificantValueDigits: 3});
        totals[tag].add(h);
    }
}
const out = {};
for (const tag in totals) {
    out[tag] = {count: totals[tag].totalCount};
    for (const p of [50, 75, 90, 99, 99.9])
        out[tag]['p' + p] = totals[tag].getValueAtPercentile(p);
}
console.log(JSON.stringify(out));
'''

WRITER = r'''
const hdr = require('hdr-histogram-js');
let text = '';
const writer = new hdr.HistogramLogWriter(part => { text += part; });
writer.outputLogFormatVersion();
writer.outputStartTime(1700000000000);
writer.outputLegend();
for (let second = 0; second < 3; second++) {
    const h = hdr.build({lowestDiscernibleValue: 1, highestTrackableValue: 3.6e12,
                         numberOfSignificantValueDigits: 3, bitBucketSize: 64});
    for (let i = 1; i <= 1000; i++) h.recordValue(i * 1000 * (second + 1));
    h.startTimeStampMsec = 1700000000000 + second * 1000;
    h.endTimeStampMsec = 1700000001000 + second * 1000;
    writer.outputIntervalHistogram(h);
}
process.stdout.write(text);
'''


class Failure(Exception):
    """A test is not good; the text says why."""


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SEC,
                          check=False, **more)
    if done.returncode:
        raise Failure(f'{command[0]} exits with {done.returncode}: {done.stderr[-2000:]}')
    return done.stdout


def install(folder):
    """Why it cannot be had, or nothing."""
    if os.path.exists(f'{folder}/node_modules/hdr-histogram-js/package.json'):
        return None
    try:
        run(['npm', 'install', '--no-audit', '--no-fund', '--prefix', folder, PACKAGE])
    except (OSError, Failure, subprocess.TimeoutExpired) as why:
        return f'npm cannot get {PACKAGE}: {str(why).splitlines()[-1]}'
    return None


def log_of_run(stoa, at, path):
    run([stoa, 'bench', at, '--rate', '10k', '--duration', '1200ms', '--timeout', '60s', '--quiet',
         '--hlog', path])


def node(folder, script, *paths):
    return run(['node', '-e', script, *paths],
               env={**os.environ, 'NODE_PATH': f'{folder}/node_modules'})


def ours(stoa, *paths):
    report = json.loads(run([stoa, 'bench', '--merge', '--json', *paths]))
    return {'response': report['response_ns'], 'service': report['service_ns']}


def equal(theirs, mine):
    for tag, values in theirs.items():
        for key, value in values.items():
            # What too few samples support, we do not tell.
            if mine[tag][key] is not None and mine[tag][key] != value:
                raise Failure(f'{tag} {key}: they have {value}, and we have {mine[tag][key]}')


def one_log(stoa, npm, logs):
    theirs = json.loads(node(npm, READER, logs[0]))
    if theirs['response']['count'] != 12000:
        raise Failure(f'12000 answers were measured, and they find {theirs["response"]["count"]}')
    equal(theirs, ours(stoa, logs[0]))


def two_logs(stoa, npm, logs):
    equal(json.loads(node(npm, READER, *logs)), ours(stoa, *logs))


def merged_log(stoa, npm, logs):
    both = logs[0] + '.both'
    run([stoa, 'bench', '--merge', *logs, '--hlog', both])
    equal(json.loads(node(npm, READER, both)), json.loads(node(npm, READER, *logs)))


def their_log(stoa, npm, logs):
    path = logs[0] + '.theirs'
    with open(path, 'w', encoding='ascii') as file:
        file.write(node(npm, WRITER))
    theirs = json.loads(node(npm, READER, path))
    if theirs['response']['count'] != 3000:
        raise Failure(f'their own reader finds {theirs}')
    equal(theirs, ours(stoa, path))


TESTS = {
    'another reader finds the same percentiles in a log': one_log,
    'and in two logs together': two_logs,
    'a merged log is, for it, both': merged_log,
    'a log that another has written is read': their_log,
}


def main(build):
    stoa, npm = build + '/src/cli/stoa', build + '/tests/npm'
    why_not = install(npm)
    if why_not:
        print(f'TAP version 13\n1..0 # SKIP {why_not}')
        return 77
    print(f'TAP version 13\n1..{len(TESTS)}')
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        reads, writes = os.pipe()
        server = subprocess.Popen([stoa, 'serve', 'upper', '127.0.0.1:0', '--quiet', '--ready-fd',
                                   str(writes)], pass_fds=[writes])
        os.close(writes)
        with open(reads, encoding='ascii') as file:
            at = file.read().strip()
        logs = [f'{folder}/{name}.hlog' for name in ('one', 'two')]
        try:
            for path in logs:
                log_of_run(stoa, at, path)
            for number, (name, test) in enumerate(TESTS.items(), 1):
                try:
                    test(stoa, npm, logs)
                    print(f'ok {number} - {name}')
                except Failure as why:
                    failed += 1
                    print(f'# {why}\nnot ok {number} - {name}')
        finally:
            server.kill()
            server.wait()
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
