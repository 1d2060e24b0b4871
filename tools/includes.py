#!/usr/bin/python3
"""includes.py - holds the kernel's #include lines against the directions that docs/design.md promises.

Says one line for each include that goes the wrong way and for each cycle of includes, and a count at the
end; the exit status is 1 if there is any. Reads text, compiles nothing.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cli  # noqa: E402 (the line above makes it findable)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("lib", "kernel", "device", "thread", "tests/kernel")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

# Which folders a folder's files may include, headers and sources alike. Files named here instead of a
# folder are the exceptions, and why.
ALLOWED = {
    "lib": ("lib",),
    "device": ("device", "lib", "thread/sync.h", "kernel/interrupt.h", "kernel/layout.h", "kernel/panic.h",
               "kernel/bootinfo.h"),
    "thread": ("thread", "lib", "kernel"),
    "kernel": ("kernel", "lib"),
    "tests/kernel": FOLDERS,
}
SEES_ALL = {"kernel/main.c", "kernel/prompt/shell.c", "kernel/prompt/commands.c", "kernel/museum/demo.c",
            "kernel/museum/misbehave.c"}
EXTRA = {
    # They name the running thread in a report.
    "kernel/port.c": ("thread/thread.h",),
    "kernel/panic.c": ("thread/thread.h",),
    "kernel/checked/checked_port.c": ("thread/thread.h",),
    "kernel/interrupt.c": ("thread/thread.h",),
    # They make threads: what they prove is that threads do not disturb each other.
    "kernel/measure/soak.c": ("thread/thread.h",),
    "kernel/measure/step.c": ("thread/thread.h",),
    "kernel/museum/bugs_kernel.c": ("thread/thread.h", "thread/sync.h"),
    "kernel/museum/tour_scenes.c": ("thread/thread.h", "thread/sync.h"),
    # Who called.
    "kernel/measure/heaplog.c": ("thread/thread.h",),
}
# The heap and what is pure: exactly these.
ONLY = {
    "kernel/memory.c": ("kernel/memory.h", "kernel/port.h", "lib"),
    "kernel/memory.h": ("lib",),
    "kernel/inspect/heapcheck.c": ("kernel/inspect/heapcheck.h", "kernel/checked/checked.h", "kernel/memory.h",
                                   "kernel/port.h", "lib"),
    "kernel/memmap.c": ("kernel/memmap.h", "lib"),
    "kernel/memmap.h": ("kernel/bootinfo.h", "lib"),
    "kernel/size_tables.c": ("kernel/size_tables.h", "lib"),
    "kernel/size_tables.h": ("kernel/memory.h", "lib"),
    "kernel/measure/trace_format.c": ("kernel/measure/trace_format.h", "lib"),
    "kernel/measure/trace_format.h": ("lib",),
    "kernel/memory_plan.c": ("kernel/memory_plan.h", "kernel/layout.h", "lib"),
}


def sources():
    for folder in FOLDERS:
        for inside, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(inside, name), ROOT)


def includes(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as text:
        return [name for name in INCLUDE.findall(text.read()) if "/" in name]


def matches(target, patterns):
    return any(target == pattern or target.startswith(pattern + "/") for pattern in patterns)


def wrong_ways(path, targets):
    if path in SEES_ALL:
        return []
    if path in ONLY:
        return [target for target in targets if not matches(target, ONLY[path])]
    allowed = ALLOWED["tests/kernel" if path.startswith("tests/") else path.split("/")[0]] + EXTRA.get(path, ())
    return [target for target in targets if not matches(target, allowed)]


def find_cycle(graph):
    """A list of headers that include each other in a ring, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        for target in graph.get(node, ()):
            ring = visit(target)
            if ring:
                return ring
        path.pop()
        done.add(node)
        return None

    for node in graph:
        ring = visit(node)
        if ring:
            return ring
    return None


def main(_):
    graph = {path: includes(path) for path in sources()}
    wrong = 0
    for path, targets in graph.items():
        for target in wrong_ways(path, targets):
            print(f"{path} includes {target}: not a direction of docs/design.md")
            wrong += 1
    ring = find_cycle(graph)
    if ring:
        print("a cycle of includes: " + " -> ".join(ring))
        wrong += 1
    print(f"includes: {len(graph)} files, {sum(map(len, graph.values()))} includes, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "includes"))
