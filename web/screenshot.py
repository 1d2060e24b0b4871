#!/usr/bin/python3
"""screenshot.py - the picture of the page in the README: make web-screenshot.

    screenshot.py --build build --out docs/img/web.png

The demonstration at work, blocks of 512 bytes coloured by thread.
"""

import os
import sys

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)),
                os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools")]

import browser  # noqa: E402 (the lines above make it findable)
import cli  # noqa: E402

EVENT = 9000  # of some 12,000: all four threads are at work


def main(argv):
    parser = cli.Parser(prog="screenshot.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", default="build")
    parser.add_argument("--out", required=True, metavar="FILE")
    opt = parser.parse_args(argv)
    if not os.path.exists(browser.CHROMIUM):
        raise cli.missing("chromium")
    with browser.served(os.path.join(opt.build, "web")) as address:
        page = browser.Browser(opt.build)
        try:
            page.do(emulate={"width": 1280, "height": 1130})
            page.boot(address, f"events=com2#event={EVENT}&size=512&by=thread")
            page.until(f"granary.history.position === {EVENT}")
            page.eval("new Promise((resolve) => setTimeout(resolve, 500))")  # drawn
            page.do(screenshot=os.path.abspath(opt.out))
        except browser.BrowserError as error:
            raise cli.RunError(str(error)) from None
        finally:
            page.close()
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "screenshot"))
