"""browser.py - the page in a real browser, driven from Python: for its tests and for its picture.

web/browser.mjs holds the browser; a line of JSON goes to it, a line comes back.
"""

import contextlib
import json
import os
import subprocess
import time

import cli  # tools/, which every user of this file has on its path

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"
CHROMIUM = "/usr/bin/chromium"
PATIENCE = 120  # seconds; far more than anything here takes


class BrowserError(Exception):
    """What the browser or the page says went wrong."""


class Browser:
    def __init__(self, build="build"):
        modules = os.path.join(ROOT, build, "npm", "node_modules")
        self.process = subprocess.Popen(["node", os.path.join(ROOT, "web", "browser.mjs"), modules, CHROMIUM],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BrowserError("the browser did not start, or has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise BrowserError(answer["error"])
        return answer["ok"]

    def eval(self, text):
        return self.do(eval=text)

    def until(self, text):
        """Waits until an expression is true in the page."""
        end = time.monotonic() + PATIENCE
        while not self.eval(text):
            if time.monotonic() > end:
                raise BrowserError(f"not within {PATIENCE} s: {text}")
            time.sleep(0.1)

    def boot(self, address, args=None):
        """The page, up to the kernel's prompt."""
        self.do(goto=address + (f"?args={args}" if args else ""))
        self.eval("granary.ready.then(() => true)")
        self.until("granary.console().endsWith('granary> ')")

    def close(self):
        """Ends it; returns the exceptions that the page did not catch."""
        errors = self.do(errors=1)
        self.process.stdin.close()
        self.process.wait(30)
        return errors


@contextlib.contextmanager
def opened(build):
    """(page, address) of a build's page, for a tool: what goes wrong is a sentence."""
    if not os.path.exists(CHROMIUM):
        raise cli.missing("chromium")
    with served(os.path.join(build, "web")) as address:
        page = Browser(build)
        try:
            yield page, address
        except BrowserError as error:
            raise cli.RunError(str(error)) from None
        finally:
            page.close()


@contextlib.contextmanager
def served(folder):
    """The address at which web/serve.py serves a folder."""
    with subprocess.Popen([PYTHON, os.path.join(ROOT, "web", "serve.py"), folder], stdout=subprocess.PIPE,
                          text=True) as server:
        try:
            yield server.stdout.readline().split()[0]
        finally:
            server.terminate()
