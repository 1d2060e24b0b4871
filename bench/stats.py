"""stats.py - the arithmetic of `make bench`: medians of paired ratios, geometric means, key=value lines.

Why ratios within a round: a shared machine is faster in one minute than in the next. Two allocators that were
measured one right after the other saw the same minute, so their ratio is steadier than either time; the
median over the rounds then drops the rounds in which something else ran. A mean over traces is geometric: only
that mean of ratios does not depend on which allocator they are taken against.
"""

import math
import shlex
import statistics


def median(values):
    return statistics.median(values)


def geomean(values):
    """Geometric mean of positive numbers; None of no numbers at all."""
    values = list(values)
    if not values:
        return None
    return math.exp(sum(math.log(value) for value in values) / len(values))


def paired_ratio(times, base):
    """Median over the rounds of times[round] / base[round]. Both were measured in the same rounds."""
    if len(times) != len(base):
        raise ValueError("ratios need the same rounds on both sides")
    return median([a / b for a, b in zip(times, base)])


def mean_ratio(table, name, base):
    """Geometric mean over a {trace: {allocator: [value a round]}} table of the paired ratios, or None."""
    return geomean(paired_ratio(row[name], row[base]) for row in table.values() if name in row and base in row)


def round_range(table, name, base):
    """Lowest and highest of the rounds' own geometric means: how far a single round may mislead. None: no rounds."""
    rows = [row for row in table.values() if name in row and base in row]
    rounds = min((len(row[name]) for row in rows), default=0)
    means = [geomean(row[name][i] / row[base][i] for row in rows) for i in range(rounds)]
    return (min(means), max(means)) if means else None


def number(text):
    """A value of a key=value line: an int or a float where it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def pairs(line):
    """{key: value} of a line of key=value words; other words are skipped. Quotes hold spaces together."""
    found = {}
    for word in shlex.split(line):
        key, equals, value = word.partition("=")
        if equals:
            found[key] = number(value)
    return found
