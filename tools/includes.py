#!/usr/bin/python3
"""includes.py - which folder may include which, as docs/design.md promises, and no circles.

A rule belongs to a folder, never to a file; a folder without a rule is an error. The two doors: kernel/main.c,
which starts everything, and kernel/fault.c, which says what an exception means, may include anything.

A circle is looked for between units: a .c and its .h are one, since a user of the header needs the code. The
compiler accepts every circle but one of headers, and a reader has no place to begin; nothing else finds them.

Says one line for each include that goes the wrong way and for each circle, then a count; the exit status is 1 if
there is any. Reads text, compiles nothing.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = ("lib", "kernel", "device", "thread", "processor", "process", "tests/kernel")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

CORE = ("lib", "kernel")
EVERYTHING = CORE + ("kernel/inspect", "kernel/checked", "kernel/prompt", "kernel/measure", "kernel/museum",
                     "kernel/classic", "thread", "device", "processor", "process")
# Which folders a folder's files may include beside their own. kernel/ is the folder alone, not what is below it.
ALLOWED = {
    "lib": (),
    "kernel": ("lib",),
    "kernel/inspect": CORE,
    "kernel/checked": CORE + ("kernel/inspect",),
    "kernel/classic": CORE,
    "kernel/measure": CORE + ("kernel/inspect", "kernel/classic", "thread"),
    "kernel/prompt": EVERYTHING,
    "kernel/museum": EVERYTHING,
    "thread": CORE,
    "device": CORE + ("thread",),
    "processor": CORE + ("thread", "device"),
    "process": CORE + ("kernel/inspect", "thread", "device"),
    "tests/kernel": EVERYTHING,
}
DOORS = ("kernel/main.c", "kernel/fault.c")


def sources(root):
    for top in TOP:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def includes(root, path):
    """The project's files that one includes: those with a folder in their names."""
    with open(os.path.join(root, path), encoding="utf-8") as text:
        return [name for name in INCLUDE.findall(text.read()) if "/" in name]


def wrong_way(path, target):
    """Why the include must not be, or None."""
    if path in DOORS and not target.startswith("tests/"):
        return None
    folder = os.path.dirname(path)
    if folder not in ALLOWED:
        return f"no rule for {folder}/ in tools/includes.py"
    if os.path.dirname(target) in ALLOWED[folder] + (folder,):
        return None
    return "not a direction of docs/design.md"


def unit(path):
    return os.path.splitext(path)[0]


def unit_graph(graph):
    units = {}
    for path, targets in graph.items():
        units.setdefault(unit(path), set()).update(unit(target) for target in targets)
    return {name: sorted(targets - {name}) for name, targets in sorted(units.items())}


def circles(units):
    """The sets of units that all reach each other (Tarjan's strongly connected components), sorted."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in units.get(node, ()):
            if target not in index:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            ring = stack[stack.index(node):]
            del stack[stack.index(node):]
            if len(ring) > 1:
                found.append(sorted(ring))

    for node in units:
        if node not in index:
            visit(node)
    return sorted(found)


def check(root):
    """(lines about what is wrong, files, includes)"""
    graph = {path: includes(root, path) for path in sorted(sources(root))}
    wrong = [f"{path} includes {target}: {why}" for path, targets in graph.items() for target in targets
             for why in [wrong_way(path, target)] if why]
    wrong += ["a circle: " + ", ".join(ring) for ring in circles(unit_graph(graph))]
    return wrong, len(graph), sum(map(len, graph.values()))


def main(_):
    wrong, files, count = check(ROOT)
    for line in wrong:
        print(line)
    print(f"includes: {files} files, {count} includes, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "includes"))
