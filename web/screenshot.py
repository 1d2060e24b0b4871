#!/usr/bin/python3
"""screenshot.py - pictures of the page: make web-screenshot, make web-shots.

    screenshot.py [--build build] --out docs/img/web.png      the whole page, for the README
    screenshot.py [--build build] --views FOLDER              each view, light and dark, in both languages

The demonstration at work, blocks of 512 bytes coloured by thread; beside it a double free, and the last stop of a tour.
"""

import itertools
import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools")]

import browser  # noqa: E402 (the lines above make it findable)
import cli  # noqa: E402

EVENT = 9000  # of some 12,000: all four threads are at work
DEMO = f"events=com2#event={EVENT}&size=512&by=thread"
VIEWS = ("console", "pools", "arenas", "descs", "events", "own", "reading", "threads", "programs")
SIZES = {"telephone": (360, 740), "wide": (3840, 2160)}


def settled(page):
    page.eval("new Promise((resolve) => setTimeout(resolve, 500))")  # drawn


def whole(page, address, out):
    page.do(emulate={"width": 1280, "height": 1130})
    page.boot(address, DEMO)
    page.until(f"granary.history.position === {EVENT}")
    settled(page)
    page.do(screenshot=os.path.abspath(out))


def shoot(page, folder, name, selector=None):
    """The same place in each combination of language and scheme. A part of the page is shown without the foot that
    may lie over it."""
    foot = "document.querySelector('footer').style.visibility = '{}'"
    for language, scheme in itertools.product(("en", "zh"), ("light", "dark")):
        page.do(emulate={"scheme": scheme})
        page.eval(f"granary.language === '{language}' || document.getElementById('language').click()")
        page.eval(foot.format("hidden" if selector else ""))
        settled(page)
        path = os.path.join(os.path.abspath(folder), f"{name}-{language}-{scheme}.png")
        page.do(screenshot=path, **({"selector": selector} if selector else {}))
        print(path)


def views(page, address, folder):
    os.makedirs(folder, exist_ok=True)
    page.do(emulate={"width": 1280, "height": 1130})
    page.boot(address, DEMO)
    page.until(f"granary.history.position === {EVENT}")
    for name in VIEWS:
        shoot(page, folder, name, f"section[aria-labelledby={name}-head]")
    for name, (width, height) in SIZES.items():
        page.do(emulate={"width": width, "height": height})
        shoot(page, folder, name)
    page.do(emulate={"width": 1280, "height": 1130})
    page.boot(address)
    page.eval("document.getElementById('when').value = 'refused', granary.type('bugs 1\\r')")
    page.until("!granary.follow")
    shoot(page, folder, "refused")
    page.eval("granary.guide.walk('double-free', 6)")
    page.until("granary.guide.shown === 6 && granary.guide.tour.waits")
    shoot(page, folder, "tour", "section[aria-labelledby=reading-head]")


def main(argv):
    parser = cli.Parser(prog="screenshot.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--out", metavar="FILE")
    parser.add_argument("--views", metavar="FOLDER")
    opt = parser.parse_args(argv)
    if bool(opt.out) == bool(opt.views):
        parser.error("either --out or --views")
    with browser.opened(opt.build) as (page, address):
        if opt.out:
            whole(page, address, opt.out)
        else:
            views(page, address, opt.views)
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "screenshot"))
