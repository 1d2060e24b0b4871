#!/usr/bin/python3
"""session.py - the sessions that docs/bochs.md shows, played again.

  session.py                 plays each; says where the document shows something else
  session.py --write         plays each, and writes what it sees into the document

A session is an indented block whose first line is a `$ make bochs-debug ...`, with the user's commands behind the
debugger's prompts. All of them go to Bochs through a pipe; what it prints is cut at its prompts. Bochs counts time in
instructions, so a session is the same each time, and a build of the same sources by the same compiler gives the same.

What is left out, for "...": the kernel's console before a stop, but for the lines that are the stop's reason.

What is not compared is what moves when another part of the kernel grows: addresses of the kernel's code and data, the
bytes of instructions that hold one, the instructions' count since power-on (t=), and how far into a function outside
the heap a call is. Everything else is: instructions, lines, names, what is asked for, what the memory holds.

Status: 0; 1 if the document differs; 2 if a session cannot be played.
"""

import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import cli  # noqa: E402 (the line above makes it findable)

DOCUMENT = os.path.join(ROOT, "docs", "bochs.md")
INDENT = "    "
START = "$ make bochs-debug"

PROMPT = re.compile(r"^<bochs:\d+> (.*)$")
STOP = re.compile(r"\(0\) (?:Breakpoint|Magic breakpoint)")
REASON = re.compile(r"(heap|panic|bug): ")  # lines of the console that say why the kernel stops

# An address of the kernel's image or of what lies behind it: linear (80100000 ...), or physical.
ADDRESS = re.compile(r"(?<![0-9a-f])(?:0x)?(?:0{8})?(?:80[1-3]|0{2,6}[1-3])[0-9a-f]{5}(?![0-9a-f])|-214[0-9]{7}")


class SessionError(cli.RunError):
    """What keeps a session from being played, in one line."""


def comparable(line):
    """A line without what moves with the rest of the kernel."""
    line = re.sub(r"\bt=\d+", "t=N", line)
    line = re.sub(r"\((\w+)\+[0-9a-f]+\)$", r"(\1+N)", line)  # bt's
    text, sep, code = line.partition(" ; ")
    place, colon, instruction = text.partition("): ")
    moved = ADDRESS.sub("ADDRESS", instruction)
    if moved != instruction:
        code = "N"
    return (ADDRESS.sub("ADDRESS", place) + colon + moved).rstrip() + sep + code


def parse(document):
    """The document as a list of strings, lines as they are, and of lists: the sessions' lines, without the indent."""
    parts, session = [], None
    for line in document.splitlines():
        if line.startswith(INDENT + START):
            session = []
            parts.append(session)
        elif not line.startswith(INDENT):
            session = None
        if session is None:
            parts.append(line)
        else:
            session.append(line[len(INDENT):])
    return parts


def answer(lines):
    """What stands in the document for the lines that came between two prompts."""
    stops = [at for at, line in enumerate(lines) if STOP.search(line)]
    if not stops:
        return lines
    at = stops[-1]
    cut = STOP.search(lines[at]).start()  # the console may be in the middle of a line
    reasons = [line for line in lines[:at] + [lines[at][:cut].rstrip()] if REASON.match(line)]
    stop = lines[at][cut:]
    return ["..."] + reasons + [stop] + lines[at + 1:]


def play(session, make_arguments=()):
    """A session's lines as Bochs gives them now."""
    command = shlex.split(session[0][len("$ "):])
    commands = [match[1] for match in map(PROMPT.match, session) if match]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run([command[0], "--no-print-directory", "-s", *command[1:], *make_arguments], cwd=ROOT,
                          input="".join(f"{text}\n" for text in commands), capture_output=True, text=True,
                          errors="replace", env=dict(environment, TERM="dumb"), timeout=120, check=False,
                          preexec_fn=cli.tied)
    if done.returncode != 0:
        raise SessionError((done.stderr.strip().splitlines() or ["no reason given"])[0])
    seen, lines = [session[0]], []
    for line in done.stdout.replace("\r", "").splitlines():
        if PROMPT.match(line):
            seen += answer(lines) + [line]
            lines = []
        elif line.strip():
            lines.append(line.rstrip())
    # The last command is `q`, the document's or start.py's; what Bochs repeats behind it nobody wants to read.
    count = sum(1 for line in seen if PROMPT.match(line))
    return seen if count == len(commands) else seen[:-1]


def differences(shown, seen):
    """Pairs of lines that differ, as text."""
    for at in range(max(len(shown), len(seen))):
        a, b = (lines[at] if at < len(lines) else "(nothing)" for lines in (shown, seen))
        if comparable(a) != comparable(b):
            yield f"document: {a}\nBochs:    {b}"


def main(argv):
    parser = cli.Parser(prog="session.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--write", action="store_true", help="write what Bochs shows into the document")
    parser.add_argument("--document", default=DOCUMENT)
    parser.add_argument("--make", default="", metavar="ARGUMENTS", help="more for make, as BUILD=folder")
    opt = parser.parse_args(argv)
    with open(opt.document, encoding="utf-8") as file:
        parts = parse(file.read())
    played = [play(part, shlex.split(opt.make)) if isinstance(part, list) else part for part in parts]
    if opt.write:
        with open(opt.document, "w", encoding="utf-8") as file:
            for part in played:
                file.write("".join(INDENT + line + "\n" for line in part) if isinstance(part, list) else part + "\n")
        return 0
    bad = [text for a, b in zip(parts, played) if isinstance(a, list) for text in differences(a, b)]
    for text in bad:
        print(text)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "session.py"))
