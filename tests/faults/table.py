"""table.py - the results as they come: a table, JSON, or TAP."""
import json
import sys


class Table:
    """One server: a line for each row.  Several: a line for each row, a column for each server."""

    def __init__(self, places, count, form):
        self.names = [name for name, _ in places]
        self.form, self.cells, self.number = form, [], 0
        if form == 'tap':
            print(f'TAP version 13\n1..{count}')
        if form != 'table':
            return
        heads = ['figure', 'goal', 'verdict'] if len(self.names) == 1 else self.names
        self.line(['row', 'fault', *heads])
        self.line(['---'] * (2 + len(heads)))

    def line(self, cells):
        print('| ' + ' | '.join(str(c).replace('|', '/').replace('\n', ' ') for c in cells) + ' |',
              flush=True)

    def add(self, result):
        self.number += 1
        if self.form == 'tap':
            print('not ok' if result['verdict'] == 'FAIL' else 'ok', self.number, '-',
                  f'row {result["row"]}, {result["fault"]}: {result["figure"].replace("#", "")}',
                  '# SKIP' if result['verdict'] == 'skip' else '', flush=True)
        if self.form != 'table':
            return
        if len(self.names) == 1:
            self.line([result[k] for k in ('row', 'fault', 'figure', 'goal', 'verdict')])
            return
        self.cells.append(f'{result["verdict"]}: {result["figure"]}')
        if len(self.cells) == len(self.names):
            self.line([result['row'], f'{result["fault"]}: {result["goal"]}', *self.cells])
            self.cells = []

    def end(self, results):
        if self.form == 'json':
            json.dump(results, sys.stdout, indent=1)
            print()
        if self.form != 'table':
            return
        print()
        for name in self.names:
            own = [r['verdict'] for r in results if r['server'] == name]
            print(f'{name}: {own.count("pass")} passed, {own.count("FAIL")} failed, '
                  f'{own.count("skip")} skipped')
