#!/usr/bin/python3
"""serve.py - serves a folder on 127.0.0.1 and prints the address: make web-serve.

    serve.py FOLDER [--port N]     without --port the first free one from 8000 on
"""

import functools
import http.server
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools"))

import cli  # noqa: E402 (the line above makes it findable)

PORTS = range(8000, 8100)


class Handler(http.server.SimpleHTTPRequestHandler):
    """No type is left to the system's table, and nothing to a browser's cache: a map and an image of two builds would
    not fit each other."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm",
                      ".js": "text/javascript", ".html": "text/html; charset=utf-8"}

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Says nothing: the address is what one wants to read."""


def listen(folder, port):
    handler = functools.partial(Handler, directory=folder)
    for number in [port] if port is not None else PORTS:
        try:
            return http.server.ThreadingHTTPServer(("127.0.0.1", number), handler)
        except OSError as error:
            reason = error.strerror
    raise cli.RunError(f"no port to listen on: {reason}")


def main(argv):
    parser = cli.Parser(prog="serve.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, metavar="N")
    opt = parser.parse_args(argv)
    if not os.path.exists(os.path.join(opt.folder, "index.html")):
        raise cli.RunError(f"{opt.folder} has no index.html: run `make web` first")
    with listen(opt.folder, opt.port) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/  (Ctrl-C ends)", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(cli.main(main, "serve"))
