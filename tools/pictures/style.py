"""style.py - what all pictures share: colours, letters, and how a file is written so that it is the same each time.

Each picture is a white card, so that it reads the same on a light page and on a dark one; the colours are those of
M. Okabe and K. Ito (2008), told apart by people who do not see red and green, and nothing is said by colour alone.
"""

import os
import sys

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

BLACK, GREY, PALE = "#222222", "#737373", "#e6e6e6"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, RED, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

# svg.fonttype path: the letters are drawn, so a reader needs no font of ours.
SETTINGS = {"svg.hashsalt": "granary", "svg.fonttype": "path", "font.size": 10.5, "font.family": "DejaVu Sans",
            "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "text.color": BLACK,
            "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"}
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


def save(figure, folder, name):
    """Writes NAME.svg, and returns its path. No date, no random name: the same figures give the same bytes."""
    path = os.path.join(folder, f"{name}.svg")
    figure.savefig(path, bbox_inches="tight", pad_inches=0.2, metadata={"Date": None})
    pyplot.close(figure)
    return path


def box(axes, place, size, colour, words="", hatch=None, **how):
    """A rectangle with words in its middle, white on dark colours."""
    axes.add_patch(patches.Rectangle(place, *size, facecolor=colour, edgecolor=how.pop("edge", BLACK),
                                     linewidth=how.pop("line", 0.9), hatch=hatch))
    if words:
        how.setdefault("color", "white" if colour in (BLUE, GREEN, RED, GREY) else BLACK)
        back = {"facecolor": "white", "edgecolor": "none", "pad": 1} if hatch else None
        axes.text(place[0] + size[0] / 2, place[1] + size[1] / 2, words, ha="center", va="center", bbox=back, **how)


def band(axes, corners, colour):
    axes.add_patch(patches.Polygon(corners, facecolor=colour, alpha=0.3, linewidth=0))


def arrow(axes, start, end, **how):
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": BLACK, "linewidth": 1.2, **how})
