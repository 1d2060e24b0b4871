"""style.py - what all pictures share: colours, letters, and how a file is written so that it is the same each time.

The ground is transparent, and what is drawn on it is a grey that reads as well on white as on black (4.5 to 1 on
both); words in a coloured box are black or white. The colours are those of M. Okabe and K. Ito (2008), told apart by
people who do not see red and green, and nothing is said by colour alone.

A picture carries what it states, as JSON: `pictures.py --check` holds that against a new run.
"""

import json
import os
import struct
import sys
import zlib
from xml.etree import ElementTree

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import cli  # noqa: E402 (the line above makes it findable)


class Problem(Exception):
    """Something that keeps a picture from being made; the text is meant for the user."""


try:
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import patches, pyplot
except ImportError:
    raise ImportError(str(cli.missing("python3-matplotlib"))) from None

INK = "#767676"  # on the ground
BLACK, PALE = "#222222", "#e6e6e6"  # in boxes
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, RED, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

# svg.fonttype path: the letters are drawn, so a reader needs no font of ours.
SETTINGS = {"svg.hashsalt": "granary", "svg.fonttype": "path", "font.size": 10.5, "font.family": "DejaVu Sans",
            "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "text.color": INK,
            "axes.edgecolor": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "xtick.color": INK,
            "ytick.color": INK, "grid.color": INK, "grid.alpha": 0.3, "legend.labelcolor": INK,
            "legend.facecolor": "none", "legend.edgecolor": INK,
            "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"}
WIDTH = 9.0  # inches
MONO = {"family": "DejaVu Sans Mono", "fontsize": 9}


def canvas(width, height, figure_width=WIDTH):
    """A figure without axes, in units of its own; y grows downwards."""
    figure, axes = pyplot.subplots(figsize=(figure_width, figure_width * height / width))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    return figure, axes


def title(axes, words, x=0.0, y=0.0):
    axes.text(x, y, words, fontsize=13, fontweight="bold", va="top")


def save(figure, folder, name, stated):
    """Writes NAME.svg, which carries what it states, and returns its path. No date, no random name: the same figures
    give the same bytes."""
    path = os.path.join(folder, f"{name}.svg")
    figure.savefig(path, bbox_inches="tight", pad_inches=0.2,
                   metadata={"Date": None, "Description": json.dumps(stated, sort_keys=True)})
    pyplot.close(figure)
    return path


def read_stated(folder, name):
    """What a picture states, from its file."""
    for path, read in ((f"{name}.svg", svg_description), (f"{name}.png", png_description)):
        path = os.path.join(folder, path)
        if os.path.exists(path):
            text = read(path)
            if text is None:
                raise Problem(f"{path} does not say what it states: make pictures makes it anew")
            return json.loads(text)
    raise Problem(f"no {name}.svg or {name}.png in {folder}: make pictures makes it")


def svg_description(path):
    return ElementTree.parse(path).findtext(".//{http://purl.org/dc/elements/1.1/}description")


PNG_HEAD = 8  # bytes before the first chunk
PNG_TEXT = b"Description\0"


def png_chunks(data):
    """(kind, bytes) of each chunk: length, kind, bytes, sum (W3C, Portable Network Graphics, 5.3)."""
    at = PNG_HEAD
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8:at + 8 + length]
        at += 12 + length


def png_description(path):
    with open(path, "rb") as file:
        for kind, text in png_chunks(file.read()):
            if kind == b"tEXt" and text.startswith(PNG_TEXT):
                return text[len(PNG_TEXT):].decode("ascii")
    return None


def png_describe(data, text):
    """A PNG with text in it, before its last chunk."""
    chunk = b"tEXt" + PNG_TEXT + text.encode("ascii")
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:-12] + chunk + data[-12:]


def first_difference(before, now, place=""):
    """Where two facts differ first, in words: `calls.12: 371, now 367`."""
    if isinstance(before, dict) and isinstance(now, dict) and before.keys() == now.keys():
        pairs = [(key, before[key], now[key]) for key in before]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(before, now))]
    else:
        return f"{place.lstrip('.') or 'all'}: {str(before)[:40]}, now {str(now)[:40]}"
    return next(first_difference(old, new, f"{place}.{key}") for key, old, new in pairs if old != new)


def box(axes, place, size, colour, words="", hatch=None, **how):
    """A rectangle with words in its middle, white on dark colours."""
    axes.add_patch(patches.Rectangle(place, *size, facecolor=colour, edgecolor=how.pop("edge", INK),
                                     linewidth=how.pop("line", 0.9), hatch=hatch))
    if words:
        how.setdefault("color", "white" if colour in (BLUE, GREEN, RED) else BLACK)
        back = {"facecolor": "white", "edgecolor": "none", "pad": 1} if hatch else None
        axes.text(place[0] + size[0] / 2, place[1] + size[1] / 2, words, ha="center", va="center", bbox=back, **how)


def band(axes, corners, colour):
    axes.add_patch(patches.Polygon(corners, facecolor=colour, alpha=0.3, linewidth=0))


def arrow(axes, start, end, **how):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 1.2, **how})
