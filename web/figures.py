#!/usr/bin/python3
"""figures.py - what the page costs: make web-figures.

    figures.py [--build build] [--ops 20000]       --ops: of the trace that makes the long history

Everything is measured in Chromium, on the page as it was built; other work on the machine slows the times down.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools")]

import browser  # noqa: E402 (the lines above make it findable)
import cli  # noqa: E402

OPERATIONS, SEEKS = 20000, 200  # as many operations as the page takes
PROMPT = "granary.console().endsWith('granary> ')"
# The demonstration on a machine of its own, without events, or with them and without pictures: seconds to the prompt.
PLAIN = """new Promise((resolve) => {
    const machine = new granary.machine.constructor(granary.layout, { text() {}, begun() {}, picture() {},
        trouble() {} }), start = performance.now();
    machine.begin = () => {};
    machine.start(granary.assets, "%s");
    const look = setInterval(() => {
        if (!machine.text.endsWith("granary> ")) return;
        clearInterval(look);
        machine.stop();
        resolve((performance.now() - start) / 1000);
    }, 20);
})"""
DEMO = """new Promise((resolve) => {
    const start = performance.now();
    granary.boot("demo=yes events=com2");
    const look = setInterval(() => {
        if (!granary.console().endsWith("granary> ")) return;
        clearInterval(look);
        resolve((performance.now() - start) / 1000);
    }, 20);
})"""
# Milliseconds of going to places all over the history: the words alone, and with the drawing.
SCRUB = """(() => {
    const { history } = granary, times = [[], []];
    for (let n = 0; n < %d; n++) {
        const to = n %% 2 ? n * 7919 %% history.length : history.length - n * 104729 %% history.length;
        for (const [i, seek] of [() => history.seek(to), () => granary.seek(history.length - to)].entries()) {
            const start = performance.now();
            seek();
            times[i].push(performance.now() - start);
        }
    }
    return times.map((list) => [list.reduce((sum, time) => sum + time) / list.length, Math.max(...list)]);
})()"""


def tree_bytes(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)


def long_run(page, folder, operations):
    """A run of many events: a made trace, dropped on the page."""
    path = os.path.join(folder, "long.mtrace")
    tool = os.path.join(browser.ROOT, "tools", "trace", "trace.py")
    subprocess.run([sys.executable, tool, "generate", "replace", "-o", path, "--ops", str(operations)], check=True,
                   capture_output=True)
    with open(path, "rb") as file:
        data = list(file.read())
    start = time.monotonic()
    page.eval(f"granary.openTrace(new File([Uint8Array.from({data})], 'long.mtrace'))")
    page.until(f"granary.console().includes('replay: name=long ') && {PROMPT}")
    return time.monotonic() - start


def measure(page, address, opt, folder):
    page.do(goto=address)
    page.eval("granary.ready.then(() => true)")
    first, loaded = page.eval("[performance.now(), performance.getEntriesByType('resource').filter((entry) => "
                              "entry.name.includes('/assets/')).map((entry) => entry.responseEnd)]")
    size = page.eval("performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.decodedBodySize, "
                     "performance.getEntriesByType('navigation')[0].decodedBodySize)")
    page.until(PROMPT)
    whole = tree_bytes(os.path.join(opt.build, "web"))
    yield f"size: {whole:,} bytes in the folder, {size:,} loaded for the first picture"
    yield f"first picture: {(first - max(loaded)) / 1000:.2f} s once loaded, {first / 1000:.2f} s after the address"
    plain, lines, whole = (page.eval(text) for text in (PLAIN % "demo=yes", PLAIN % "demo=yes events=com2", DEMO))
    events, kept = page.eval("[granary.history.length, granary.history.bytes]")
    yield (f"demonstration, boot to prompt: {plain:.2f} s without events, {lines:.2f} s with them, {whole:.2f} s with "
           f"the pictures: {whole / plain:.1f} times as long, {events / (whole - plain):,.0f} events a second more")
    seconds = long_run(page, folder, opt.ops)
    events, kept = page.eval("[granary.history.length, granary.history.bytes]")
    yield (f"a trace: {events:,} events in {seconds:.1f} s: {events / seconds:,.0f} a second, "
           f"{kept / events:.0f} bytes kept an event")
    (mean, worst), (drawn, drawn_worst) = page.eval(SCRUB % SEEKS)
    yield (f"scrub over {events:,} events: {mean:.1f} ms ({worst:.1f} at worst); with the drawing {drawn:.1f} ms "
           f"({drawn_worst:.1f} at worst)")


def main(argv):
    parser = cli.Parser(prog="figures.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build", help=argparse.SUPPRESS)
    parser.add_argument("--ops", type=int, default=OPERATIONS, metavar="N", help="operations of the trace")
    opt = parser.parse_args(argv)
    if not 1 <= opt.ops <= OPERATIONS:
        parser.error(f"--ops takes a number from 1 to {OPERATIONS}")
    with browser.opened(opt.build) as (page, address), tempfile.TemporaryDirectory() as folder:
        for line in measure(page, address, opt, folder):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "figures"))
