"""tourfile.py - reads a guided tour, docs/tours/NAME.md: a text for people that a debugger can follow.

    # Title
    text ...
    scene: NAME                          the scene of kernel/museum/tour_scenes.c that is run
    processors: 2                        the machine has so many; one, if there is no such line. Such a tour is for GDB:
                                         Bochs's debugger misses a breakpoint where a processor's turn begins, and the
                                         page's machine has one processor

    ## 1. `sys_malloc`: what comes in   a stop: the entry of a function, or `return`: where the function of the stop
                                         before returns to
    text ...
    - `arg1 == 24`: words               a claim, which must hold at the stop (claims.py)
    - `free = desc(32).free`: words     a value to remember for later claims
"""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "docs", "tours")

STOP = re.compile(r"^## \d+\. `(\w+)`")
CLAIM = re.compile(r"^- `([^`]+)`")
LET = re.compile(r"^([a-z_]\w*) = (.+)$")
SCENE = re.compile(r"^scene: (\S+)$")
PROCESSORS = re.compile(r"^processors: (\d+)$")


class TourError(Exception):
    """Something that a user can mend; its text is the whole message."""


class Stop:
    """A place, the lines to show there, and what must hold: [(name or None, expression)]."""

    def __init__(self, place):
        self.place, self.lines, self.claims = place, [], []


class Tour:
    def __init__(self, name, title, scene, intro, stops, processors):
        self.name, self.title, self.scene, self.intro, self.stops = name, title, scene, intro, stops
        self.processors = processors

    def debuggers(self):
        return ("gdb", "bochs") if self.processors == 1 else ("gdb",)


def names():
    return sorted(name[:-3] for name in os.listdir(FOLDER) if name.endswith(".md") and name != "README.md")


def parse(name, text):
    title, scene, intro, stops, processors = name, None, [], [], 1
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# "):
            title = line[2:]
        elif SCENE.match(line):
            scene = SCENE.match(line)[1]
        elif PROCESSORS.match(line) and not stops:
            processors = int(PROCESSORS.match(line)[1])
        elif line.startswith("## "):
            match = STOP.match(line)
            if not match:
                raise TourError(f"{name}:{number}: not `## N. \\`PLACE\\` ...`: {line}")
            stops.append(Stop(match[1]))
            stops[-1].lines.append(line[3:])
        else:
            (stops[-1].lines if stops else intro).append(line)
            claim = CLAIM.match(line)
            if claim and stops:
                let = LET.match(claim[1])
                stops[-1].claims.append((let[1], let[2]) if let else (None, claim[1]))
    if scene is None or not stops:
        raise TourError(f"{name}: a tour has a line `scene: NAME` and at least one stop")
    if stops[0].place == "return":
        raise TourError(f"{name}: the first stop cannot be a return")
    return Tour(name, title, scene, intro, stops, processors)


def read(name):
    if name not in names():
        raise TourError(f"there is no tour '{name}': it is one of {', '.join(names())}")
    with open(os.path.join(FOLDER, name + ".md"), encoding="utf-8") as text:
        return parse(name, text.read())
