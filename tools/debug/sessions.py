#!/usr/bin/python3
"""sessions.py - the debuggers' sessions that the documents show, typed into a real debugger again.

  sessions.py DOCUMENT...            plays each session; says where the document shows something else
  sessions.py --write DOCUMENT...    plays each, and writes what it sees into the document

What only it can find: a printed session that stops elsewhere than it says, or whose commands have changed.

A session begins with an indented line `$ make debug ...`, `$ make bochs-debug ...` or `$ make rewind ...`; the
debugger's prompts follow, with a command at each. An indented block that begins with such a prompt continues the
session before it. All the commands go to the debugger through a pipe, and what it prints is cut at its prompts.

For "..." in a document anything may come. --write puts it for the console's text before a stop, except for the lines
that are the stop's reason, and for GDB's first words; an answer that the document leaves out stays out. Long lines are
folded in the document and compared as one.

What is not compared is what differs from build to build, so that an edit of the kernel leaves the sessions as true as
they were: the addresses of code, numbers of lines, a source line's text, a machine instruction, the count of
instructions, where in a function a call is. GDB's sessions run on QEMU's clock, which no two runs share: there no
number is compared, and equal lines in a row count as one.

Status: 0; 1 if a document differs; 2 if a session cannot be played.
"""

import os
import re
import shlex
import subprocess
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import cli  # noqa: E402 (the line above makes it findable)

INDENT, WIDTH = "    ", 116  # of a session in a document
FOLD = " \\"                  # at the end of a line that goes on in the next one
ANYTHING = "..."
SECONDS = 120                # for one session

# Lines of the console that say why the kernel stops.
REASON = re.compile(r"(heap|panic|bug): ")


class SessionError(cli.RunError):
    """What keeps a session from being played, in one line."""


class Debugger:
    """How one debugger's output is read. `start` begins a session; `prompt` a line with a command (group 1); `stop` is
    the first line shown after the console's text; `noise` is left out; of `vague`, (pattern, instead), only what is
    put instead is compared."""

    def __init__(self, start, prompt, stop, noise, vague):
        self.start, self.prompt, self.stop, self.noise = map(re.compile, (start, prompt, stop, noise))
        self.vague = [(re.compile(pattern), instead) for pattern, instead in vague]

    def cut(self, text):
        """What came before the first prompt, and then (prompt's line, lines of the answer) for each command."""
        answers, lines = [], []
        for line in text.splitlines():
            if self.prompt.match(line):
                answers.append((line, []))
            (answers[-1][1] if answers else lines).append(line)
        return lines, [(prompt, lines[1:]) for prompt, lines in answers]

    def answer(self, lines):
        """What a document shows of the lines that came between two prompts."""
        lines = [line.rstrip().expandtabs() for line in lines if line.strip() and not self.noise.match(line)]
        stops = [at for at, line in enumerate(lines) if self.stop.search(line)]
        if not stops:
            return lines
        at = stops[-1]
        cut = self.stop.search(lines[at]).start()  # the console may be in the middle of a line
        before = lines[:at] + [lines[at][:cut].rstrip()]
        return [ANYTHING] + [line for line in before if REASON.match(line)] + [lines[at][cut:]] + lines[at + 1:]

    def comparable(self, lines):
        """Lines as one text, without what differs from build to build."""
        for pattern, instead in self.vague:
            lines = [pattern.sub(instead, line) for line in lines]
        lines = [line for at, line in enumerate(lines) if at == 0 or line != lines[at - 1]]
        return " ".join(" ".join(lines).split())

    def same(self, shown, seen):
        """True if the lines of a document are true of the lines that came."""
        chunks = [[]]
        for line in shown:
            if line.strip() == ANYTHING:
                chunks.append([])
            else:
                chunks[-1].append(line)
        pattern = ".*".join(re.escape(self.comparable(chunk)) for chunk in chunks)
        return re.fullmatch(pattern, self.comparable(seen)) is not None


class Gdb(Debugger):
    """GDB shows no command that comes through a pipe: its output is cut at its prompts."""

    def cut(self, text):
        before, *answers = text.split("(gdb) ")
        return before.splitlines(), [(None, answer.splitlines()) for answer in answers]


CODE = r"(?<![0-9a-f])(?:0x)?(?:0{8})?(?:80[1-3]|0{2,6}[1-3])[0-9a-f]{5}(?![0-9a-f])"  # in the kernel's image

BOCHS = Debugger(r"\$ make bochs-debug\b", r"<bochs:\d+> (.*)$", r"\(0\) (?:Breakpoint|Magic breakpoint)", r"$^", [
    (r"\bt=\d+", "t=N"),
    (CODE, "ADDRESS"),
    (r"\( *(\w+)\+0\): .* ; [0-9a-f]+$", r"FUNCTION \1"),
    (r"\( *[\w.:]+\+[0-9a-f]+\): .* ; [0-9a-f]+$", "INSTRUCTION"),
    (r"\(\w+\.[ch]:\d+\+[0-9a-f]+\)$", "(PLACE)"),  # a caller in bt
    (r"\b([\w.]+)\+ *[0-9a-f]+\b", r"\1+N"),
    (r"^CR4=.*", "CR4")])  # with the names of what this version of Bochs knows

GDB_PROMPT = r"\(gdb\) (.*)$"
GDB_NOISE = r"Continuing\.|Detaching |Ending remote|\[Inferior |Reading symbols |Remote debugging using "
GDB_VAGUE = [
    (r"^ *\d+(?: [ .+#!0-9]*)?$", "CELLS"),  # a row of `heap map`
    (r"^\d+ {4,}.*", "SOURCE"),
    (r" \([^()]*(?:\([^()]*\))?[^()]*\) at ", " () at "),  # a frame's arguments
    (r"\b[0-9a-f]{2}(?: [0-9a-f]{2})* -> [0-9a-f ]+", "CHANGE"),
    (r"0x[0-9a-f]+ in ", ""),
    (r"\b(?:0x[0-9a-f]+|\d[\d.]*)\b", "N")]

DEBUGGERS = (BOCHS, Gdb(r"\$ make debug\b", GDB_PROMPT, r"^Temporary breakpoint 1, ", GDB_NOISE, GDB_VAGUE),
             Gdb(r"\$ make rewind\b", GDB_PROMPT, r"^rewind: recorded ", GDB_NOISE, GDB_VAGUE))


# ---- documents ------------------------------------------------------------------------------------------------------

class Session:
    """`steps`: pairs of the line with the start or a command, and the lines that follow it."""

    def __init__(self, debugger, line):
        self.debugger, self.steps = debugger, [(line, [])]

    def commands(self):
        return [self.debugger.prompt.match(line)[1] for line, _ in self.steps[1:]]


def debugger_of(line):
    return next((debugger for debugger in DEBUGGERS if debugger.start.match(line)), None)


def parse(document):
    """(parts, sessions): a part is a line of the document, or (session, number of a step): that step's lines."""
    parts, sessions, inside, held = [], [], False, ""
    for line in document.splitlines():
        text = line[len(INDENT):] if line.startswith(INDENT) else None
        inside = inside and text is not None
        if text is not None and debugger_of(text):
            sessions.append(Session(debugger_of(text), text))
            inside = True
        elif text is not None and sessions and sessions[-1].debugger.prompt.match(text):
            sessions[-1].steps.append((text, []))
            inside = True
        elif inside:
            held += text.strip() if held else text
            if text.endswith(FOLD):
                held = held[:-len(FOLD)] + " "
            else:
                sessions[-1].steps[-1][1].append(held)
                held = ""
            continue
        parts.append((sessions[-1], len(sessions[-1].steps) - 1) if inside else line)
    return parts, sessions


def folded(line):
    """A line as a document shows it."""
    pieces = textwrap.wrap(line, WIDTH - len(FOLD), break_long_words=False, break_on_hyphens=False,
                           subsequent_indent="  ") if len(line) > WIDTH else [line]
    return "".join(f"{INDENT}{piece}{FOLD}\n" for piece in pieces[:-1]) + INDENT + pieces[-1] + "\n"


def written(parts, played):
    """The document with what was played."""
    for part in parts:
        if isinstance(part, str):
            yield part + "\n"
        else:
            session, number = part
            line, lines = played[session][number]
            left_out = session.steps[number][1] == [ANYTHING]
            yield folded(line) + "".join(map(folded, [ANYTHING] if left_out else lines))


# ---- playing --------------------------------------------------------------------------------------------------------

def play(session, make_arguments):
    """The session's steps as the debugger gives them now."""
    debugger, start = session.debugger, session.steps[0][0]
    command = shlex.split(start[len("$ "):])
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run([command[0], "--no-print-directory", "-s", *command[1:], *make_arguments], cwd=ROOT,
                          input="".join(f"{text}\n" for text in session.commands()), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", env=dict(environment, TERM="dumb"),
                          timeout=SECONDS, check=False, preexec_fn=cli.tied)
    first, answers = debugger.cut(done.stdout.replace("\r", ""))
    if done.returncode != 0 or len(answers) < len(session.commands()):
        said = [line for line in done.stdout.splitlines() if line.strip() and not line.startswith("make: ")] or [""]
        raise SessionError(f"{start}: ended with status {done.returncode}, and said last: {said[-1]}")
    steps = [(start, debugger.answer(first))]
    for (line, _), (prompt, lines) in zip(session.steps[1:], answers):
        steps.append((prompt or line, debugger.answer(lines)))
    if debugger.prompt.match(steps[-1][0])[1] in ("q", "quit"):
        steps[-1] = (steps[-1][0], [])  # the debugger's last words
    return steps


def differences(session, played):
    for (line, shown), (_, seen) in zip(session.steps, played):
        if not session.debugger.same(shown, seen):
            yield "\n".join([line, "  the document:", *(f"    {text}" for text in shown),
                             "  the debugger:", *(f"    {text}" for text in seen)])


def check(path, opt):
    """Plays a document's sessions. Returns how many answers differ."""
    with open(path, encoding="utf-8") as file:
        parts, sessions = parse(file.read())
    if not sessions:
        raise SessionError(f"{path}: no session in it")
    played = {session: play(session, shlex.split(opt.make)) for session in sessions}
    if opt.write:
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(written(parts, played))
        return 0
    found = [text for session in sessions for text in differences(session, played[session])]
    for text in found:
        print(f"{path}: {text}")
    return len(found)


def main(argv):
    parser = cli.Parser(prog="sessions.py", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("documents", nargs="+", metavar="DOCUMENT")
    parser.add_argument("--write", action="store_true", help="write what is seen into the documents")
    parser.add_argument("--make", default="", metavar="ARGUMENTS", help="more for make, as BUILD=folder")
    opt = parser.parse_args(argv)
    return 1 if sum(check(path, opt) for path in opt.documents) else 0


if __name__ == "__main__":
    sys.exit(cli.main(main, "sessions.py"))
