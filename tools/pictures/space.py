"""space.py - the addresses of a program in the middle of its work, from its page tables and its heap's records.

A piece's height says nothing. What is white has no page: an access there ends the program, or makes the stack grow.
"""

from style import BLUE, GREEN, INK, MONO, ORANGE, SKY, YELLOW, box, canvas, save, title

PG_SIZE = 4096
# process/layout.h and kernel/layout.h
IMAGE, WINDOW, WINDOW_END, STACK_LIMIT, STACK_TOP, KERNEL = (0x400000, 0x10000000, 0x70000000, 0x7ffbf000, 0x7ffff000,
                                                             0x80000000)
WRITE = 2
LEFT, WIDE, ROW = 14, 48, 4.4
LOOKS = {"text": SKY, "data": ORANGE, "blocks": BLUE, "area": GREEN, "stack": YELLOW, "kernel": "#c4c4c4",
         None: "white"}


def space_facts(found):
    return found


def owner(facts, page):
    """(kind, words) of a page that is there."""
    address, _, flags = page
    if address >= STACK_LIMIT:
        return "stack", "stack"
    if address < WINDOW:
        return ("data", "data") if flags & WRITE else ("text", "text, constants")
    number = (address - WINDOW) // PG_SIZE
    for frame, large, size, frames in facts["arenas"]:
        if frame <= number < frame + frames:
            return ("area", f"a large area of {frames} frames") if large else ("blocks", f"arena of {size}-byte blocks")
    raise AssertionError(f"a page of the heap without an owner: {address:#x}")


def pieces(facts):
    """[[start, end, kind, words, rights, first frame]] of what is there, rising; pages that belong together are one."""
    found = []
    for page in facts["pages"]:
        address, frame, flags = page
        kind, words = owner(facts, page)
        rights = "read, write" if flags & WRITE else "read, execute"
        last = found[-1] if found else None
        if last and last[1] == address and last[2:5] == [kind, words, rights] and kind != "blocks":
            last[1] += PG_SIZE
            last[5].append(frame)
        else:
            found.append([address, address + PG_SIZE, kind, words, rights, [frame]])
    return found


def frames_text(frames):
    """"user_pool frames 3-5, 9": runs of them."""
    runs = []
    for frame in frames:
        if runs and runs[-1][1] + 1 == frame:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return f"frame{'s' if len(frames) > 1 else ''} " + ", ".join(f"{first}-{last}" if first < last else str(first)
                                                                 for first, last in runs)


def gap_words(start, end):
    """What is to be said of addresses without a page."""
    if start == 0:
        return "nothing: null pointers"
    if WINDOW <= start and end <= WINDOW_END:
        return "heap's window: to come"
    if STACK_LIMIT <= start < STACK_TOP:
        return "stack: comes when it is touched"
    return "nothing"


def with_gaps(facts):
    """The pieces and what lies between them, up to the kernel; cut where an area of the layout ends."""
    edges, found, at = [WINDOW, WINDOW_END, STACK_LIMIT, STACK_TOP, KERNEL], [], 0
    for piece in pieces(facts) + [[KERNEL, 1 << 32, "kernel", "the kernel", "not for ring 3", []]]:
        while at < piece[0]:
            end = min([edge for edge in edges if edge > at] + [piece[0]])
            found.append([at, end, None, gap_words(at, end), "", []])
            at = end
        found.append(piece)
        at = piece[1]
    return found


def space(stated, folder):
    facts = stated["facts"]
    rows = with_gaps(facts)
    figure, axes = canvas(120, 17 + ROW * len(rows))
    title(axes, f"The addresses of {facts['name']}, in the middle of its work")
    for x, words in ((LEFT + WIDE / 2, "what is there"), (LEFT + WIDE + 12, "ring 3 may"),
                     (LEFT + WIDE + 36, "of the user pool")):
        axes.text(x, 9.5, words, ha="center", fontweight="bold")
    y = 11.5
    for start, _, kind, words, rights, frames in rows:
        box(axes, (LEFT, y), (WIDE, ROW), LOOKS[kind], words, hatch=None if kind else "..", fontsize=9)
        axes.text(LEFT - 1, y, f"{start:#010x}", ha="right", va="center", **MONO)
        axes.text(LEFT + WIDE + 12, y + ROW / 2, rights, ha="center", va="center", fontsize=9, color=INK)
        if frames:
            axes.text(LEFT + WIDE + 36, y + ROW / 2, frames_text(frames), ha="center", va="center", fontsize=9,
                      color=INK)
        y += ROW
    axes.text(0, y + 4, f"{facts['count']} frames of at most {facts['limit']}; the heap's records are in the kernel, "
              f"from {facts['records']:#010x} on.", fontsize=9.5)
    return save(figure, folder, "space", stated)
