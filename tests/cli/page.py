#!/usr/bin/env python3
"""page.py - the page of `stoa bench --html`, looked at in a browser.

It must be one file that asks for nothing else and forbids scripts, and show its figures, its
four plots with what can be seen on the screen, and the environment; and what came from
outside, an address, must not become markup.

    page.py BUILD

TAP; skipped where there is no Chromium.
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

PATIENCE_SEC = 600
NAMES = ('chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome')
FLAGS = ('--headless', '--no-sandbox', '--disable-gpu', '--force-color-profile=srgb',
         '--window-size=900,1600')
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Failure(Exception):
    """A test is not good; the text says why."""


def serve(stoa, handler, at):
    reads, writes = os.pipe()
    server = subprocess.Popen([stoa, 'serve', handler, at, '--quiet', '--ready-fd', str(writes)],
                              pass_fds=[writes])
    os.close(writes)
    with open(reads, encoding='ascii') as file:
        return server, file.read().strip()


def page_of(stoa, folder, handler, at, *words):
    """The page of a run, as text; the file stays for the browser."""
    server, at = serve(stoa, handler, at)
    path = f'{folder}/page.html'
    try:
        subprocess.run([stoa, 'bench', at, '--duration', '1500ms', '--quiet', '--html', path,
                        *words], capture_output=True, timeout=PATIENCE_SEC, check=False)
    finally:
        server.kill()
        server.wait()
    with open(path, encoding='utf-8') as file:
        return file.read()


def browse(browser, folder, *flags):
    done = subprocess.run([browser, *FLAGS, f'--user-data-dir={folder}/profile', *flags,
                           f'file://{folder}/page.html'],
                          capture_output=True, timeout=PATIENCE_SEC, check=False)
    if done.returncode:
        raise Failure(f'{browser} exits with {done.returncode}: {done.stderr.decode()[-500:]}')
    return done.stdout.decode()


def pixels(path):
    """The rows of a PNG of 8 bits a channel, by their filters undone."""
    with open(path, 'rb') as file:
        data = file.read()
    width, _, depth, kind = struct.unpack('>IIBB', data[16:26])
    size = {2: 3, 6: 4}[kind]
    packed, at = b'', 8
    while at < len(data):
        length, = struct.unpack('>I', data[at:at + 4])
        packed += data[at + 8:at + 8 + length] if data[at + 4:at + 8] == b'IDAT' else b''
        at += length + 12
    raw, before = zlib.decompress(packed), bytearray(width * size)
    assert depth == 8
    for start in range(0, len(raw), width * size + 1):
        row = bytearray(raw[start + 1:start + 1 + width * size])
        unfilter(raw[start], row, before, size)
        yield [tuple(row[i:i + 3]) for i in range(0, len(row), size)]
        before = row


def unfilter(how, row, before, size):
    for i, value in enumerate(row):
        left = row[i - size] if i >= size else 0
        up, corner = before[i], before[i - size] if i >= size else 0
        nearest = min((abs(up - corner), 0, left), (abs(left - corner), 1, up),
                      (abs(left + up - 2 * corner), 2, corner))[2]
        row[i] = value + (0, left, up, (left + up) // 2, nearest)[how] & 255


def alone(page, _):
    if re.search(r'<script|<link|<img|@import|url\(|(?:src|href)=', page):
        raise Failure('it asks for something else')
    if POLICY not in page:
        raise Failure('it does not forbid scripts')


def figures(_, seen):
    for part in ('answers in ', '<td>p99</td>', 'id="environment"', 'samples beyond',
                 'The generator'):
        if part not in seen:
            raise Failure(f'the browser does not have "{part}"')


def plots(_, seen):
    if seen.count('<svg') != 4:
        raise Failure(f'{seen.count("<svg")} plots')
    if 'NaN' in seen or 'inf' in re.sub(r'[a-z]*info[a-z]*', '', seen):
        raise Failure('a plot has a place that is no number')
    for path in re.findall(r'class="line line\d" d="([^"]*)"', seen):
        for x, y in re.findall(r'[ML]([\d.-]+) ([\d.-]+)', path):
            if not (0 <= float(x) <= 720 and 0 <= float(y) <= 260):
                raise Failure(f'a line leaves its frame at {x} {y}')
    fields = re.findall(r'<rect [^>]*x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" '
                        r'height="([\d.]+)" fill-opacity="([\d.]+)"', seen)
    if len(fields) < 3 or max(float(f[4]) for f in fields) != 1:
        raise Failure(f'{len(fields)} fields of all responses, and none is the darkest')
    for x, y, width, height, _ in (map(float, f) for f in fields):
        if not (0 <= x and x + width <= 720 and 0 <= y and y + height <= 260):
            raise Failure(f'a field leaves its frame at {x} {y}')


def drawn(picture):
    colours = {}
    for row in pixels(picture):
        for colour in row:
            colours[colour] = colours.get(colour, 0) + 1
    for name, colour in (('blue', (0x0b, 0x6b, 0xcb)), ('orange', (0xc2, 0x41, 0x0c))):
        if colours.get(colour, 0) < 100:
            raise Failure(f'there are {colours.get(colour, 0)} {name} dots of lines on the screen')


def main(build):
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if not browser:
        print('TAP version 13\n1..0 # SKIP no Chromium')
        return 77
    tests = []
    with tempfile.TemporaryDirectory() as folder:
        stoa = build + '/src/cli/stoa'
        page = page_of(stoa, folder, 'upper', '127.0.0.1:0', '--rate', '2k')
        seen = browse(browser, folder, '--dump-dom')
        browse(browser, folder, f'--screenshot={folder}/page.png')
        tests += [('it is one file, alone', lambda: alone(page, seen)),
                  ('the figures are there', lambda: figures(page, seen)),
                  ('the plots are there, inside their frames', lambda: plots(page, seen)),
                  ('and can be seen', lambda: drawn(f'{folder}/page.png'))]
        odd = page_of(stoa, folder, 'upper', f'unix:{folder}/<b>&"odd"', '--idle', '2')
        tests.append(('an address does not become markup', lambda: odd_address(odd)))
        print(f'TAP version 13\n1..{len(tests)}')
        failed = 0
        for number, (name, test) in enumerate(tests, 1):
            try:
                test()
                print(f'ok {number} - {name}')
            except Failure as why:
                failed += 1
                print(f'# {why}\nnot ok {number} - {name}')
    return 1 if failed else 0


def odd_address(page):
    if '<b>' in page or '&lt;b&gt;&amp;&quot;odd&quot;' not in page:
        raise Failure('it does')


sys.exit(main(*sys.argv[1:]))
