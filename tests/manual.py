#!/usr/bin/env python3
"""manual.py --library LIBSTOA.SO [--tool STOA] [--sanitize KIND] -- CC... - is the manual true?

  - mandoc finds nothing to complain of in man/.
  - Every function of the headers has its page, and every page its install links.
  - The pages' prototypes, structs and errors are the headers'.
  - Every complete program of the manual and of README.md is compiled, with all warnings
    as errors, and linked; where the page says what it prints, it is run, and prints that.
  - Every option that `stoa` prints with --help stands in the command's page, and the
    reverse.

A program of a page is a literal block with an #include in it.  The literal block that
follows "It prints" is what it prints on standard output.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAN = os.path.join(ROOT, 'man')
WARNINGS = ['-std=c99', '-D_POSIX_C_SOURCE=200809L', '-pedantic', '-Wall', '-Wextra', '-Wshadow',
            '-Wconversion', '-Werror']


class Skip(Exception):
    pass


def check(condition, said):
    if not condition:
        raise AssertionError(said)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def pages():
    return sorted(name for name in os.listdir(MAN) if re.search(r'\.[137]$', name))


def commented_headers():
    return (read('include', 'stoa.h') + read('include', 'stoa', 'serve.h') +
            read('include', 'stoa', 'sim.h'))


def headers():
    return re.sub(r'/\*.*?\*/', '', commented_headers(), flags=re.S)


def prototypes():
    """Name -> prototype of each public function, in one line."""
    found = re.findall(r'STOA_API\s+([^;{}]*?\b(stoa_\w+)\([^;]*\));', headers())
    return {name: ' '.join(text.split()) for text, name in found}


def names_of(page):
    """What the NAME section names."""
    section = re.search(r'^\.Sh NAME\n(.*?)^\.Sh ', read('man', page), re.S | re.M)
    return re.findall(r'^\.Nm ([\w-]+)', section[1], re.M)


def plain(text):
    """A literal block as it is shown: mdoc's escapes for ASCII taken back."""
    text = re.sub(r'^\\&', '', text, flags=re.M)
    for escape, shown in ((r'\-', '-'), (r'\(aq', "'"), (r'\(ga', '`'), (r'\(ha', '^'),
                          (r'\(ti', '~')):
        text = text.replace(escape, shown)
    check(not re.search(r'\\(?!e)', text), f'an escape that this test does not know in: {text}')
    return text.replace(r'\e', '\\')


def programs_of(page):
    """(program, what it prints or None) of a manual page."""
    blocks = re.split(r'^\.Bd -literal[^\n]*\n(.*?)^\.Ed\n', read('man', page), flags=re.S | re.M)
    found = []
    for before, body in zip(blocks[0::2], blocks[1::2]):
        if '#include' in body:
            found.append([plain(body), None])
        elif found and 'It prints' in before:
            found[-1][1] = plain(body)
    return found


def programs_of_readme():
    blocks = re.findall(r'^```c\n(.*?)^```', read('README.md'), re.S | re.M)
    return [[body, None] for body in blocks]


class Builder:
    """Compiles as a user would, against the headers and the library of this build."""

    def __init__(self, folder, options):
        self.folder, self.options = folder, options

    def build(self, program):
        source = os.path.join(self.folder, 'program.c')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(program)
        library = os.path.abspath(self.options.library)
        flags = [*WARNINGS, '-I', os.path.join(ROOT, 'include')]
        if self.options.sanitize != 'none':
            flags.append('-fsanitize=' + self.options.sanitize)
        result = subprocess.run(
            [*self.options.cc, *flags, '-o', source[:-2], source, library,
             '-Wl,-rpath,' + os.path.dirname(library)],
            capture_output=True, text=True)
        check(result.returncode == 0, f'does not compile:\n{program}\n{result.stderr}')
        return source[:-2]


# -- the tests ----------------------------------------------------------------


def test_mandoc_has_nothing_to_say(page):
    if not shutil.which('mandoc'):
        raise Skip('mandoc is not installed')
    result = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', os.path.join(MAN, page)],
                            capture_output=True, text=True)
    check(result.returncode == 0 and not result.stdout, result.stdout + result.stderr)


def test_every_function_has_a_page():
    documented = {name for page in pages() if page.endswith('.3') for name in names_of(page)}
    public = set(prototypes())
    check(len(public) > 50, f'only {sorted(public)} were found in the headers')
    check(public == documented,
          f'without a page: {sorted(public - documented)}; '
          f'in no header: {sorted(documented - public)}')


def test_every_name_is_installed():
    build = read('man', 'meson.build')
    for page in pages():
        entry = re.search(rf"'{re.escape(page)}': \[(.*?)\]", build, re.S)
        check(entry, f'man/meson.build does not install {page}')
        links = {f'{name}.3' for name in re.findall(r"'(\w+)'", entry[1])} | {page}
        section = page[-2:]
        missing = {name + section for name in names_of(page)} - links
        check(not missing, f'{page}: no link for {sorted(missing)}')
        surplus = links - {name + section for name in names_of(page)} - {page}
        check(not surplus, f'{page}: links for what it does not name: {sorted(surplus)}')


def test_every_reference_has_a_page():
    known = set(pages())
    build = read('man', 'meson.build')
    known |= {f'{name}.3' for name in re.findall(r"'(stoa_\w+)'", build)}
    for page in pages():
        for name, section in re.findall(r'Xr (stoa[\w-]*) (\d)', read('man', page)):
            check(f'{name}.{section}' in known, f'{page} points to {name}({section})')


def synopsis(page):
    """Name -> prototype, from a page's SYNOPSIS."""
    text = re.search(r'^\.Sh SYNOPSIS\n(.*?)^\.Sh ', read('man', page), re.S | re.M)[1]
    text = re.sub(r'^\.Fo (\w+)\n((?:\.Fa .*\n)+)\.Fc', lambda m: f'.Fn {m[1]} ' + ' '.join(
        re.findall(r'^\.Fa (".*")', m[2], re.M)), text, flags=re.M)
    found = {}
    for kind, name, args in re.findall(r'^\.Ft "?(.*?)"?\n\.Fn (\w+)(.*)', text, re.M):
        args = re.findall(r'"(.*?)"', args) or [args.strip()]
        found[name] = f'{kind} {name}({", ".join(args)})'.replace('* stoa', '*stoa')
    return found


def test_prototypes_are_the_headers(page):
    public = prototypes()
    shown = synopsis(page)
    check(set(shown) == set(names_of(page)), f'SYNOPSIS has {sorted(shown)}')
    for name, text in shown.items():
        check(text == public[name], f'page: {text}\nheader: {public[name]}')


def test_errors_are_there(page):
    """Each code that a function's comment in the header names is named by its page, too."""
    text = read('man', page)
    for comment, name in re.findall(
            r'/\*((?:(?!\*/).)*)\*/\s*STOA_API[^;]*?\b(stoa_\w+)\(', commented_headers(), re.S):
        if name in names_of(page):
            told = set(re.findall(r'\bE[A-Z]{3,}\b', comment))
            missing = sorted(told - set(re.findall(r'\bE\w+', text)))
            check(not missing, f'{page} says nothing of {missing}; the header does, for {name}()')


def test_struct_is_the_headers(page, name):
    def fields(text):
        body = plain(re.search(rf'struct {name} {{(.*?)}};', text, re.S)[1])
        return [' '.join(field.split()) for field in re.sub(r'/\*.*?\*/', '', body).split(';')]

    shown, true = fields(read('man', page)), fields(headers())
    check(shown == true, f'the page has {shown}, the header {true}')


def test_page_has_a_program(page):
    check(programs_of(page), 'no complete program in it')


def test_program_works(builder, program, output):
    path = builder.build(program)
    if output is None:
        return
    result = subprocess.run([path], capture_output=True, text=True, timeout=60,
                            stdin=subprocess.DEVNULL)
    check(result.returncode == 0, f'ended with {result.returncode}: {result.stderr}')
    check(result.stdout == output, f'printed:\n{result.stdout}\nthe page says:\n{output}')


def options_of_help(tool, command):
    """What `stoa COMMAND --help` prints as options."""
    result = subprocess.run([tool, command, '--help'], capture_output=True, text=True, timeout=60,
                            stdin=subprocess.DEVNULL)
    check(result.returncode == 0, f'ended with {result.returncode}: {result.stderr}')
    found = set()
    for line in result.stdout.splitlines():
        head = re.match(r'\s+(-.*?)(?:\s{2,}|$)', line)
        if head:
            found |= set(re.findall(r'(?<![\w-])(--?[\w?][\w-]*)', head[1]))
    check(found, f'no option was found in:\n{result.stdout}')
    return found


def options_of_page(page):
    """What the page has as items of lists: `.It Fl N , Fl \\-wait Ns = Ns Ar TIME`."""
    found = set()
    for item in re.findall(r'^\.It (Fl .*)', read('man', page), re.M):
        found |= {'-' + plain(name.replace(r'\&', '')) for name in re.findall(r'\bFl (\S+)', item)}
    return found


def test_commands_are_those_of_help(tool):
    result = subprocess.run([tool, 'help'], capture_output=True, text=True, timeout=60)
    printed = set(re.findall(r'^  stoa (\w+)  ', result.stdout, re.M)) | {'help'}
    told = set(re.findall(r'^\.It Cm (\w+)', read('man', 'stoa.1'), re.M))
    check(told == printed, f'stoa.1 has {sorted(told)}, help has {sorted(printed)}')
    for command in printed - {'help'}:
        check(f'stoa-{command}.1' in pages(), f'stoa-{command}.1 is missing')


def test_options_are_those_of_help(tool, page):
    told, printed = options_of_page(page), options_of_help(tool, page[len('stoa-'):-len('.1')])
    check(told == printed,
          f'not in the page: {sorted(printed - told)}; not in --help: {sorted(told - printed)}')


def all_tests(builder, options):
    """(name, function, arguments) of each."""
    section3 = [page for page in pages() if page.endswith('.3')]
    yield 'every function has a page', test_every_function_has_a_page, ()
    yield 'every name of a page is installed', test_every_name_is_installed, ()
    yield 'every reference has a page', test_every_reference_has_a_page, ()
    yield 'struct stoa_addr is the header\'s', test_struct_is_the_headers, (
        'stoa_addr.3', 'stoa_addr')
    yield 'struct stoa_options is the header\'s', test_struct_is_the_headers, (
        'stoa_serve.3', 'stoa_options')
    for page in pages():
        yield f'mandoc has nothing to say of {page}', test_mandoc_has_nothing_to_say, (page,)
    for page in section3:
        yield f'the prototypes of {page} are the headers\'', test_prototypes_are_the_headers, (
            page,)
    for page in section3:
        yield f'{page} names the errors that the headers name', test_errors_are_there, (page,)
    for page in [*section3, 'stoa.7']:
        yield f'{page} has a complete program', test_page_has_a_program, (page,)
        for number, (program, output) in enumerate(programs_of(page), 1):
            yield f'program {number} of {page} works', test_program_works, (
                builder, program, output)
    for number, (program, output) in enumerate(programs_of_readme(), 1):
        yield f'program {number} of README.md compiles', test_program_works, (
            builder, program, output)
    if options.tool:
        yield 'the commands of stoa.1 are those of stoa help', test_commands_are_those_of_help, (
            options.tool,)
        for page in (page for page in pages() if re.match(r'stoa-.*\.1$', page)):
            yield f'the options of {page} are those of --help', test_options_are_those_of_help, (
                options.tool, page)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--library', required=True)
    parser.add_argument('--tool')
    parser.add_argument('--sanitize', default='none')
    parser.add_argument('cc', nargs='+')
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(all_tests(Builder(folder, options), options))
        print(f'TAP version 13\n1..{len(chosen)}')
        for number, (name, body, arguments) in enumerate(chosen, 1):
            try:
                body(*arguments)
                print(f'ok {number} - {name}', flush=True)
            except Skip as reason:
                print(f'ok {number} - {name} # SKIP {reason}', flush=True)
            except Exception as error:
                failed += 1
                print(f'not ok {number} - {name}')
                said = str(error) if type(error) is AssertionError else traceback.format_exc()
                for line in said.splitlines():
                    print('# ' + line, flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
