"""table.py - the results as they come: a table, or JSON."""
import json
import sys


class Table:
    """One server: a line for each row.  Several: a line for each row, a column for each server."""

    def __init__(self, places, as_json):
        self.names = [name for name, _ in places]
        self.json = as_json
        self.cells = []
        if as_json:
            return
        heads = ['figure', 'goal', 'verdict'] if len(self.names) == 1 else self.names
        self.line(['row', 'fault', *heads])
        self.line(['---'] * (2 + len(heads)))

    def line(self, cells):
        print('| ' + ' | '.join(str(c).replace('|', '/').replace('\n', ' ') for c in cells) + ' |',
              flush=True)

    def add(self, result):
        if self.json:
            return
        if len(self.names) == 1:
            self.line([result[k] for k in ('row', 'fault', 'figure', 'goal', 'verdict')])
            return
        self.cells.append(f'{result["verdict"]}: {result["figure"]}')
        if len(self.cells) == len(self.names):
            self.line([result['row'], f'{result["fault"]}: {result["goal"]}', *self.cells])
            self.cells = []

    def end(self, results):
        if self.json:
            json.dump(results, sys.stdout, indent=1)
            print()
            return
        print()
        for name in self.names:
            own = [r['verdict'] for r in results if r['server'] == name]
            print(f'{name}: {own.count("pass")} passed, {own.count("FAIL")} failed, '
                  f'{own.count("skip")} skipped')
