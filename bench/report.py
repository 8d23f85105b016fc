"""report.py - the measured tables as a part of a page in Markdown, and as a picture.

The page keeps its prose: only what stands between the two marks is written anew.  The picture
is SVG, text by text, and goes beside the page under its name.
"""

import datetime
import math
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import servers

BEGIN = "<!-- From here to the other mark ./x bench --markdown writes. -->"
END = "<!-- So far. -->"


def write(page, table, taking_part, missing, scenarios, args):
    """Write the tables into the page, which is made where there is none, and the picture."""
    picture = page.with_suffix(".svg")
    text = page.read_text() if page.exists() else f"# What a message costs\n\n{BEGIN}\n{END}\n"
    part = "\n".join(made(table, taking_part, missing, scenarios, args, picture.name))
    replace(picture, plot(table, taking_part, scenarios))
    replace(page, with_part(text, part))


def replace(path, text):
    """The whole new file, or the old one."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


def with_part(text, part):
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise OSError(f"the page has not the two marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{part}\n{END}{after}"


# --- Markdown ----------------------------------------------------------------

def made(table, taking_part, missing, scenarios, args, picture):
    """The lines between the marks."""
    yield from ["", "## On this machine", "", *machine(table, args), ""]
    yield from ["## As a multiple of the best server by hand", ""]
    yield from overview(table, taking_part, scenarios)
    yield from ["", f"![The same as a picture]({picture})", ""]
    for name, scenario in scenarios.items():
        yield from [f"## {name}: {scenario.what}", ""]
        yield from one_scenario(table, taking_part, name, scenario)
        yield ""
    yield from ["## Who they are", "", *who(taking_part, missing), ""]


def machine(table, args):
    """What was measured when, on what, and how quiet that was."""
    others = max(r["others"] for r in table if "failed" not in r)
    command = " ".join(["./x bench", *map(shlex.quote, own_arguments())])
    rounds = "1 round" if args.rounds == 1 else f"{args.rounds} rounds"
    yield f"- {datetime.date.today()}, `{command}`: {rounds}, {args.duration:g} s of each server"
    yield f"- {cpu_model()}, {os.cpu_count()} processors; {memory_gib():.0f} GiB of memory"
    yield f"- {distribution()}, Linux {platform.release()}, {first_line('cc', '--version')}"
    yield f"- other processes took up to {others:.0%} of the two processors that were used"


def own_arguments():
    """The command line, without what ./x adds to it."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        if word in ("--build", "--stoa"):
            next(words, None)
        else:
            kept.append(word)
    return kept


def cpu_model():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    virtual = any(line.startswith("flags") and " hypervisor" in line for line in lines)
    model = models[0] if models else platform.machine()
    return f"{model}, a virtual machine" if virtual else model


def memory_gib():
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def distribution():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "an unknown distribution"


def first_line(*command):
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0].strip()


def by_place(table):
    return {(r["scenario"], r["server"]): r for r in table}


def firsts(table, taking_part):
    """The best of each scenario that is not written by hand."""
    raws = {s.name for s in taking_part if s.raw}
    best = {}
    for r in table:
        if r["server"] in raws or "failed" in r:
            continue
        if r["ratio"] < best.get(r["scenario"], r)["ratio"] or r["scenario"] not in best:
            best[r["scenario"]] = r
    return {(name, r["server"]) for name, r in best.items()}


def overview(table, taking_part, scenarios):
    """A server a line, a scenario a column."""
    rows, first = by_place(table), firsts(table, taking_part)
    reasons = []
    yield f"| server | {' | '.join(scenarios)} | bytes for an idle connection |"
    yield "| --- |" + " ---: |" * (len(scenarios) + 1)
    for server in taking_part:
        cells = []
        for name in scenarios:
            r = rows[name, server.name]
            if "failed" in r:
                reasons.append(f"{server.name}, {name}: {r['failed']}.")
                cells.append("cannot")
            else:
                bold = "**" if (name, server.name) in first else ""
                cells.append(f"{bold}{r['ratio']:.2f}{bold}")
        yield f"| {server.name} | {' | '.join(cells)} | {idle(table, server)} |"
    yield ""
    yield "Bold: the first that is not written by hand. " + " ".join(reasons)


def idle(table, server):
    for r in table:
        if r["server"] == server.name and r.get("idle_bytes") is not None:
            return f"{r['idle_bytes']:,.0f}"
    return "-"


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def one_scenario(table, taking_part, name, scenario):
    """All that was measured in it."""
    rows = by_place(table)
    yield (f"| server | us a {scenario.per} | ratio | by round | {scenario.per}s a second | "
           "p50 us | p99 us | p99.9 us |")
    yield "| --- |" + " ---: |" * 7
    for server in taking_part:
        r = rows[name, server.name]
        if "failed" in r:
            yield f"| {server.name} | cannot: {r['failed']} | | | | | | |"
            continue
        yield (f"| {server.name} | {r['server_us']:.3g} | {r['ratio']:.3f} | "
               f"{r['ratio_min']:.3f} to {r['ratio_max']:.3f} | {r['per_sec']:,.0f} | "
               f"{number(r['p50_us'])} | {number(r['p99_us'])} | {number(r['p999_us'])} |")


def who(taking_part, missing):
    yield "| server | what it is | version |"
    yield "| --- | --- | --- |"
    for server in taking_part:
        yield f"| {server.name} | {server.what} | {servers.version(server)} |"
    if missing:
        yield ""
        yield f"Not there when this was made: {', '.join(missing)}."


# --- the picture -------------------------------------------------------------

COLUMNS = 4               # of panels
LABEL, PANEL, LINE = 106, 226, 19   # pixels: servers' names, a panel's width, a line's height
HEAD, FOOT, TOP = 34, 30, 56        # above and below a panel's lines; above all panels
LEAST, MOST = 0.9, 16.0   # of the axis, which is logarithmic; what is beyond stands at its end
TICKS = [1, 2, 4, 8, 16]
INK, FAINT, BAND = "#222222", "#c8c8c8", "#f4f4f4"
COLOURS = {"raw": "#7a7a7a", "stoa": "#c2410c", "peer": "#2563a8"}


def across(ratio):
    """Where a ratio stands in a panel, from its left edge."""
    part = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return 6 + part * (PANEL - 56)


def text(x, y, words, size=12, colour=INK, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
            f'text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>')


def line(x1, y1, x2, y2, colour, width=1.0):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def kind(server):
    return "raw" if server.raw else "peer" if server.peer else "stoa"


def plot(table, taking_part, scenarios):
    """A panel for each scenario, a line in it for each server."""
    height = HEAD + LINE * len(taking_part) + FOOT
    nrow = math.ceil(len(scenarios) / COLUMNS)
    ncolumn = min(COLUMNS, len(scenarios))
    width, whole = LABEL + PANEL * ncolumn + 8, TOP + height * nrow
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{whole}" '
        f'viewBox="0 0 {width} {whole}" font-family="sans-serif" role="img">',
        "<title>Processor time for a message, as a multiple of the best server by hand</title>",
        f'<rect width="{width}" height="{whole}" fill="white"/>',
        text(10, 22, "Processor time of the server for a message, as a multiple of the best server "
             "written by hand", 15, weight="bold"),
        text(10, 42, "grey: by hand; orange: stoa serve; blue: others. Logarithmic; shorter is "
             "better.", 12, "#555555"),
    ]
    rows = by_place(table)
    for place, (name, scenario) in enumerate(scenarios.items()):
        y = TOP + height * (place // COLUMNS)
        x = LABEL + PANEL * (place % COLUMNS)
        if x == LABEL:
            parts += names(taking_part, y, width)
        parts += panel(rows, taking_part, name, scenario, x, y)
    return "\n".join([*parts, "</svg>"]) + "\n"


def names(taking_part, y, width):
    """The servers' names at the left of a row of panels, and bands to follow with the eye."""
    for i, server in enumerate(taking_part):
        at = y + HEAD + LINE * i
        if i % 2 == 0:
            yield f'<rect x="4" y="{at}" width="{width - 8}" height="{LINE}" fill="{BAND}"/>'
        yield text(LABEL - 6, at + 14, server.name, colour=COLOURS[kind(server)], anchor="end",
                   weight="bold" if kind(server) == "stoa" else "normal")


def panel(rows, taking_part, name, scenario, x, y):
    bottom = y + HEAD + LINE * len(taking_part)
    yield text(x + 6, y + 13, name, 13, weight="bold")
    yield text(x + 6, y + 27, scenario.what, 11, "#555555")
    for tick in TICKS:
        yield line(x + across(tick), y + HEAD, x + across(tick), bottom, FAINT)
        yield text(x + across(tick), bottom + 14, f"{tick}", 10, "#555555", "middle")
    for i, server in enumerate(taking_part):
        yield from bar(rows[name, server.name], COLOURS[kind(server)], x, y + HEAD + LINE * i + 9.5)


def bar(row, colour, x, middle):
    """A server's figure: a line from 1 to it, a dot, and the number."""
    if "failed" in row:
        yield text(x + across(1) + 4, middle + 4, "cannot", 11, "#888888")
        return
    end = x + across(row["ratio"])
    yield line(x + across(1), middle, end, middle, colour, 5)
    yield f'<circle cx="{end:.1f}" cy="{middle:.1f}" r="4" fill="{colour}"/>'
    yield text(max(end, x + across(1)) + 7, middle + 4, f"{row['ratio']:.2f}", 11)
