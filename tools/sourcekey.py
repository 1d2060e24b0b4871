"""sourcekey.py - a piece of C source by its code: how a harness names a place without a line's number.

Comments, blanks and line breaks do not count, so what names a place survives an edit of a comment, another layout and
code that is added around it. It does not survive an edit of the code itself: there what is said of it has to be looked
at again, and the harness says which entry it is.
"""

import re

COMMENT = r"//[^\n]*|/\*.*?\*/"
TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|\w+|[^\w\s]', re.S)
BETWEEN = rf"(?:\s|{COMMENT})*"


def tokens(text):
    """The code's words and signs. A comment that begins or ends outside the text is not seen as one."""
    text = re.sub(rf'("(?:\\.|[^"\\\n])*")|{COMMENT}', lambda match: match[1] or " ", text, flags=re.S)
    return TOKEN.findall(text)


def key(text):
    """The same for every text that is the same code."""
    return " ".join(tokens(text))


def spans(source, piece):
    """(start, end) of each place in a source whose code is that of the piece."""
    words = [rf"\b{re.escape(word)}\b" if re.fullmatch(r"\w+", word) else re.escape(word) for word in tokens(piece)]
    return [match.span() for match in re.finditer(BETWEEN.join(words), source, re.S)] if words else []
