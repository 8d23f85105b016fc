#!/usr/bin/env python3
"""tidy.py [FOLDER] - the rules of the house that a program can see.

Prints `file:line: rule: what is wrong` for each breach; exit 1 when there is one.
  tidy.py --self-test       plants a breach of every rule and expects it to be found
  tidy.py --message FILE    looks at a commit's message (a commit-msg hook)

The rules are in docs/house.md and docs/style.md; here is what holds them.
"""
import os
import re
import sys
import tempfile

# Which floors a floor may look into, or single headers of them; its own is understood.
# The facade knows fiber.h for fiber_self(), since the note of the last error and the scope
# live in the fiber, and dial starts fibers.  But only backends park: see PARKS.
FLOORS = {
    'base': [],
    'fiber': ['base'],
    'diag': ['base'],
    'backend': ['base', 'fiber'],
    'sim': ['base', 'fiber', 'backend'],
    'net': ['base', 'diag', 'backend', 'fiber/fiber.h'],
    'serve': ['base', 'fiber', 'backend', 'sim', 'net'],
    'cli': ['base', 'diag'],
}
PUBLIC = ['net', 'serve', 'cli']  # the floors that know stoa.h
PARKS = re.compile(r'\b(fiber_(?:park|ready|yield|run)|sched_\w+)\s*\(')
SYSTEM = re.compile(r'#\s*include\s*<(sys/\w+|unistd|fcntl|pthread|poll)\.h>')

COLUMNS = 100
FILE_LINES = 600
FUNCTION_LINES = 70
EXPORTS = 15
LEFTOVERS = ['TO' 'DO', 'FIX' 'ME', 'X' 'XX']

PROTOTYPE = re.compile(r'^(?!static|typedef|extern|#|\s)[\w\s*]*?\b(\w+)\('
                       r'[^;]*?\)[^;()]*(?:\(\(.*\)\))?;', re.M)

CODE = ('.c', '.h', '.S')
TEXT = CODE + ('.py', '.sh', '.bats', '.build', '.txt', '.map', '.md', '.yml')
SKIPPED = re.compile(r'^(build|\.)|^__pycache__$')

RULES = {}


def rule(name, *suffixes):
    """A function that yields (line, sentence) for a file with one of these endings."""
    def keep(check):
        RULES[name] = (check, suffixes)
        return check
    return keep


class File:
    def __init__(self, root, path):
        self.root, self.path = root, path
        with open(os.path.join(root, path), encoding='utf-8', errors='replace') as f:
            self.text = f.read()
        self.lines = self.text.splitlines()
        parts = path.split('/')
        self.floor = parts[1] if parts[0] == 'src' and len(parts) > 2 else None
        self.code = bare(self.text) if path.endswith(CODE) else ''
        self.code_lines = self.code.splitlines()


def bare(text):
    """C without comments' and literals' insides; every line stays where it was."""
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(m):
        if m[0].startswith('//'):
            return '//'
        if m[0].startswith('/*'):
            return re.sub(r'[^\n]', ' ', m[0])
        return m[0][0] + m[0][-1]
    # An include's name is a literal that the floors' rule needs.
    return '\n'.join(a if a.lstrip().startswith('#include') else b for a, b in
                     zip(text.split('\n'), token.sub(blank, text).split('\n')))


@rule('floor', *CODE)
def floors(f):
    for number, line in enumerate(f.code_lines, 1):
        m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if not m:
            continue
        quoted, name = m[1] == '"', m[2]
        if f.path.startswith('examples/') and quoted:
            yield number, 'an example includes what is installed, in <>'
        if not f.floor:
            continue
        if quoted:
            into = name.split('/')[0] if '/' in name else '?'
            if into != f.floor and not {into, name} & set(FLOORS.get(f.floor, [])):
                yield number, f'{f.floor}/ may not look into {name}'
        elif name in ('stoa.h', 'stoa/serve.h') and f.floor not in PUBLIC:
            yield number, f'{f.floor}/ is below the facade and may not know {name}'


@rule('parks', *CODE)
def only_backends_park(f):
    if f.floor != 'net':
        return
    for number, line in enumerate(f.code_lines, 1):
        if m := PARKS.search(line):
            yield number, f'only backends park: net/ may not call {m[1]}()'


@rule('base', *CODE)
def base_is_pure(f):
    if f.floor != 'base':
        return
    for number, line in enumerate(f.code_lines, 1):
        if SYSTEM.search(line):
            yield number, 'base/ makes no system call'
        elif re.search(r'\berrno\b', line) and '#' not in line:
            yield number, 'base/ knows no errno'
        elif re.search(r'\b(__thread|_Thread_local)\b', line):
            yield number, 'base/ has no thread state'


@rule('columns', *(e for e in TEXT if e != '.md'))
def columns(f):
    for number, line in enumerate(f.lines, 1):
        if len(line) > COLUMNS:
            yield number, f'{len(line)} columns, {COLUMNS} at most'


@rule('white', *TEXT)
def white_space(f):
    for number, line in enumerate(f.lines, 1):
        if '\t' in line:
            yield number, 'a tab'
        if line != line.rstrip():
            yield number, 'space at the end of a line'
    if f.text and not f.text.endswith('\n'):
        yield len(f.lines), 'no newline at the end'


@rule('file', *CODE)
def file_length(f):
    # A public header is a manual too, and lists what there is in one place.
    if len(f.lines) > FILE_LINES and not f.path.startswith('include/'):
        yield 1, f'{len(f.lines)} lines, {FILE_LINES} at most'


@rule('function', '.c', '.h')
def function_length(f):
    start = None
    for number, line in enumerate(f.code_lines, 1):
        if line.rstrip() == '{':
            start = number
        elif line.startswith('}') and start:
            if number - start - 1 > FUNCTION_LINES:
                yield start, f'a function of {number - start - 1} lines, {FUNCTION_LINES} at most'
            start = None


@rule('comment', '.c', '.h')
def comments(f):
    for number, line in enumerate(f.code_lines, 1):
        if '//' in line:
            yield number, 'comments are /* */'


@rule('leftover', *CODE)
def leftovers(f):
    for number, line in enumerate(f.lines, 1):
        for word in LEFTOVERS:
            if re.search(rf'\b{word}\b', line):
                yield number, f'{word} is not a comment: do it, or file it'


@rule('opening', *CODE)
def opening_comment(f):
    name = os.path.basename(f.path)
    if not re.match(rf'/\* (\S+/)?{re.escape(name)} - \S', f.text):
        yield 1, f'open with /* {name} - what it is and promises'


@rule('exports', '.h')
def exports(f):
    if not f.floor:
        return
    outside = re.sub(r'\{[^{}]*\}', lambda m: '\n' * m[0].count('\n'),
                     re.sub(r'\{[^{}]*\}', lambda m: '\n' * m[0].count('\n'), f.code))
    names = PROTOTYPE.findall(outside)
    if len(names) > EXPORTS:
        yield 1, f'{len(names)} functions, {EXPORTS} at most: it is two modules'


@rule('language', '.c', '.h')
def language(f):
    for number, line in enumerate(f.code_lines, 1):
        if re.search(r'\balloca\s*\(', line):
            yield number, 'no alloca'
        if re.match(r'\s*typedef\s+(struct|union)\b', line):
            yield number, 'a struct keeps its name: no typedef'
        if f.floor and re.search(r'\b(sprintf|strcpy|strcat|gets)\s*\(', line):
            yield number, 'write by a bounded call'


@rule('dead', '.c', '.S')
def dead_files(f):
    """A source that no meson.build names is not built, and rots."""
    folder, name = os.path.split(f.path)
    bases = {name, name.rsplit('.', 1)[0]}
    while True:
        try:
            with open(os.path.join(f.root, folder, 'meson.build'), encoding='utf-8') as build:
                words = set(re.findall(r'[\w.-]+', build.read()))
        except OSError:
            words = set()
        if bases & words:
            return
        if not folder:
            break
        folder = os.path.dirname(folder)
    yield 1, 'no meson.build names this file'


@rule('map', *CODE)
def on_the_map(f):
    """docs/house.md leads to every file, or it leads astray."""
    if not f.floor:
        return
    try:
        with open(os.path.join(f.root, 'docs/house.md'), encoding='utf-8') as page:
            section = page.read().partition(f'src/{f.floor}/')[2]
    except OSError:
        section = ''
    if f'`{os.path.basename(f.path)}`' not in section:
        yield 1, 'docs/house.md does not name this file'


def walk(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(d for d in folders if not SKIPPED.match(d))
        for name in sorted(names):
            if name.endswith(TEXT) and not os.path.islink(os.path.join(folder, name)):
                yield os.path.relpath(os.path.join(folder, name), root)


def tidy(root):
    """All breaches: (path, line, rule, sentence)."""
    found = []
    for path in walk(root):
        f = File(root, path)
        for name, (check, suffixes) in RULES.items():
            if path.endswith(suffixes):
                found += [(path, number, name, what) for number, what in check(f)]
    return found


def message(text):
    """What is wrong with a commit's message; a list of sentences."""
    lines = [line for line in text.splitlines() if not line.startswith('#')]
    wrong = []
    if not lines or not re.match(r'[a-z0-9][\w./, -]*: \S', lines[0]):
        wrong.append('the first line is `area: what changes`')
    if lines and len(lines[0]) > 64:
        wrong.append(f'the first line has {len(lines[0])} columns, 64 at most')
    if len(lines) > 1 and lines[1]:
        wrong.append('the second line is empty')
    for line in lines[2:]:
        # What cannot be wrapped stays: a command, a path.
        if len(line) > 72 and ' ' in line.strip() and not line.startswith((' ', 'Measured:')):
            wrong.append(f'{len(line)} columns, 72 at most: {line}')
    return wrong


# A breach of each rule, and a neighbour that is none: rule -> (path, text, its tidy twin).
OPEN = '/* a.c - it is. */\n'
PLANTS = {
    'floor': ('src/base/a.c', OPEN + '#include "net/sock.h"\n', OPEN + '#include "base/b.h"\n'),
    'parks': ('src/net/a.c', OPEN + 'void f(void)\n{\n    fiber_park();\n}\n',
              OPEN + '/* fiber_park() */\nvoid f(void)\n{\n    fiber_self();\n}\n'),
    'base': ('src/base/a.c', OPEN + '#include <unistd.h>\n', OPEN + '#include <string.h>\n'),
    'columns': ('src/base/a.c', OPEN + 'int ' + 'a' * 96 + ';\n', OPEN + 'int ' + 'a' * 95 + ';\n'),
    'white': ('src/base/a.c', OPEN + 'int a; \n', OPEN + 'int a;\n'),
    'file': ('src/base/a.c', OPEN + '\n' * 600, OPEN + '\n' * 599),
    'function': ('src/base/a.c', OPEN + 'void f(void)\n{\n' + '    g();\n' * 71 + '}\n',
                 OPEN + 'void f(void)\n{\n' + '    g();\n' * 70 + '}\n'),
    'comment': ('src/base/a.c', OPEN + 'int a; // b\n', OPEN + 'char *a = "//"; /* // */\n'),
    'leftover': ('src/base/a.c', OPEN + '/* TO' 'DO: all */\n', OPEN + '/* TO' 'DOS */\n'),
    'opening': ('src/base/a.c', '/* b.c - another. */\n', OPEN),
    'exports': ('src/base/a.h', '/* a.h - it. */\n' + ''.join(
        f'int f{i}(int a,\n       int b) __attribute__((cold));\n' for i in range(16)),
                '/* a.h - it. */\n' + ''.join(f'struct s *f{i}(void);\n' for i in range(15)) +
                'static inline int g(void)\n{\n    return h();\n}\nextern int (*i)(void);\n'),
    'language': ('src/base/a.c', OPEN + 'typedef struct a b;\n', OPEN + 'typedef int b;\n'),
    'dead': ('src/base/b.c', '/* b.c - not built. */\n', None),
    'map': ('src/base/c.c', '/* c.c - not there. */\n', None),
}
MESSAGES = {  # message -> is it good?
    'base: a list\n\nBecause.\n': True,
    'net, serve: a word\n': True,
    'A list\n': False,
    'base: ' + 'a' * 60 + '\n': False,
    'base: a list\nBecause.\n': False,
    'base: a list\n\n' + 'word ' * 20 + '\n': False,
}


def self_test():
    """TAP: one test for each rule."""
    wrong = 0
    tests = [*RULES, 'message']
    print(f'TAP version 13\n1..{len(tests)}')
    for number, name in enumerate(tests, 1):
        if name == 'message':
            good = all((not message(text)) == fine for text, fine in MESSAGES.items())
        else:
            path, breach, twin = PLANTS[name]
            good = name in planted(path, breach) and (twin is None or not planted(path, twin))
        wrong += not good
        print(f'{"ok" if good else "not ok"} {number} - the rule "{name}" finds its breach alone')
    return 1 if wrong else 0


def planted(path, text):
    """The rules that a tree of this one file breaks."""
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(os.path.join(root, os.path.dirname(path)))
        with open(os.path.join(root, 'meson.build'), 'w', encoding='utf-8') as f:
            f.write("sources = files('a.c')\n")
        os.mkdir(os.path.join(root, 'docs'))
        with open(os.path.join(root, 'docs/house.md'), 'w', encoding='utf-8') as f:
            f.write(f'{os.path.dirname(path)}/: `a.c` `a.h` `b.c`\n')
        with open(os.path.join(root, path), 'w', encoding='utf-8') as f:
            f.write(text)
        return {name for _, _, name, _ in tidy(root)}


def main(args):
    if args[:1] == ['--self-test']:
        return self_test()
    if args[:1] == ['--message']:
        with open(args[1], encoding='utf-8') as f:
            wrong = message(f.read())
        for sentence in wrong:
            print(f'commit message: {sentence}')
        return 1 if wrong else 0
    root = args[0] if args else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
    found = tidy(root)
    for path, number, name, what in found:
        print(f'{path}:{number}: {name}: {what}')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
