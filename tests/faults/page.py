"""page.py - results go into a page's table, cell by cell; what was not run stays as it was.

Two kinds of table are known by their first column: `row`, with verdict and figure, and `fault`,
with yes or no.  The other columns are servers, by name.
"""
import os

FIGURES, WORDS = 'row', 'fault'
VERDICT = {'pass': ('pass', 'yes'), 'FAIL': ('**fails**', '**no**'), 'skip': ('skip', '-')}


class NoTable(Exception):
    """The page has no such table, or not such a row or column; the word says which."""


def cells(line):
    return [c.strip() for c in line.strip().strip('|').split('|')]


def line_of(row):
    return ('| ' + ' | '.join(row) + ' |\n').replace('|  |', '| |')


class Page:
    """The first table of a page that has one of the two kinds of head."""

    def __init__(self, path):
        self.path = path
        with open(path, encoding='utf-8') as f:
            self.lines = f.readlines()
        heads = [k for k, line in enumerate(self.lines)
                 if line.startswith('| ') and cells(line)[0].split(',')[0] in (FIGURES, WORDS)]
        if not heads:
            raise NoTable(f'{path} has no table of faults')
        self.head = heads[0]
        self.names = cells(self.lines[self.head])
        self.figures = self.names[0] == FIGURES
        self.end = next((k for k in range(self.head, len(self.lines))
                         if not self.lines[k].startswith('|')), len(self.lines))

    def row_of(self, number, fault, goal):
        wanted = number if self.figures else f'{fault}: {goal}'
        for k in range(self.head + 2, self.end):
            if cells(self.lines[k])[0] == wanted:
                return k
        raise NoTable(f'{self.path} has no row "{wanted}"')

    def column_of(self, server):
        if server not in self.names:
            raise NoTable(f'{self.path} has no column "{server}"')
        return self.names.index(server)

    def put(self, result):
        k = self.row_of(result['row'], result['fault'], result['goal'])
        row = cells(self.lines[k])
        figure, word = VERDICT[result['verdict']]
        said = result['figure'].replace('|', '/').replace('\n', ' ')
        row[self.column_of(result['server'])] = f'{figure}: {said}' if self.figures else word
        if self.figures:
            row[1] = f'{result["fault"]}: {result["goal"]}'
        self.lines[k] = line_of(row)

    def count(self):
        """The last line of the table with figures: how many of each verdict."""
        last = self.end - 1
        if not self.figures or cells(self.lines[last])[0]:
            return
        rows = [cells(line) for line in self.lines[self.head + 2:last]]
        sums = []
        for column in range(2, len(self.names)):
            verdicts = [row[column].partition(':')[0] for row in rows]
            sums.append(', '.join(str(verdicts.count(v)) for v, _ in VERDICT.values()))
        self.lines[last] = line_of(['', 'passed, failed, skipped', *sums])

    def write(self):
        with open(self.path + '.new', 'w', encoding='utf-8') as f:
            f.writelines(self.lines)
        os.rename(self.path + '.new', self.path)


def look(paths, servers, rows):
    """That all will have its place is known before the first row is run, which may take an hour."""
    for path in paths:
        page = Page(path)
        for server in servers:
            page.column_of(server)
        for row in rows:
            page.row_of(row.number, row.name, row.goal)


def put(paths, results):
    for path in paths:
        page = Page(path)
        for result in results:
            page.put(result)
        page.count()
        page.write()
