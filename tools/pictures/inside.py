"""inside.py - the heap from the inside, drawn from memory: a record and its blocks, a free, the pool's frames.

Everything is of one run of the demonstration (look.py's scene_demo): an arena of 128-byte blocks in its second half,
just before a sys_free and just after it; and the kernel pool while all four threads hold their blocks. Another run,
with two processors: an arena that changes hands (look.py's scene_two).
"""

from style import BLUE, INK, MONO, ORANGE, PALE, RED, SKY, YELLOW, arrow, box, canvas, save, title

COLUMNS = 8  # blocks in a row
LIVE, HOME, NEVER = "live", "came back", "never handed out"
LOOKS = {LIVE: (BLUE, None), HOME: (YELLOW, None), NEVER: ("white", "..")}


def states(record):
    """The state of each block, as sys_malloc and sys_free see it."""
    return [NEVER if block >= record["carved"] else
            HOME if record["map"][block // 32] >> block % 32 & 1 else LIVE
            for block in range(record["blocks_per_arena"])]


def blocks_grid(axes, record, x, y, width, height, mark=None):
    """The arena's frame, block by block; `mark` gets a frame of its own."""
    for block, state in enumerate(states(record)):
        colour, hatch = LOOKS[state]
        place = (x + block % COLUMNS * width, y + block // COLUMNS * height)
        box(axes, place, (width, height), colour, str(block), hatch=hatch, fontsize=9)
        if block == mark:
            box(axes, (place[0] + 0.35, place[1] + 0.35), (width - 0.7, height - 0.7), "none", edge=RED, line=2.4)


def legend(axes, x, y, looks, step):
    for words, (colour, hatch) in looks.items():
        box(axes, (x, y), (3, 2), colour, hatch=hatch)
        axes.text(x + 4, y + 1, words, va="center", fontsize=9.5)
        x += step(words)


def bits(word, count):
    """Lowest bit last, as people write numbers; only those of blocks that exist."""
    text = f"{word & (1 << count) - 1:0{count}b}"
    return " ".join(text[i:i + 8] for i in range(0, len(text), 8))


def fields(record):
    """(name, value, what it means) of a small arena's record."""
    return [("desc", f"{record['desc']:#010x}", f"its descriptor: {record['block_size']} bytes a block"),
            ("cnt", str(record["cnt"]), "blocks that are free"),
            ("large", str(record["large"]), "0: cut into blocks"),
            ("carved", str(record["carved"]), "blocks handed out at least once"),
            ("seal", f"{record['seal']:#010x}", "what makes the sum right"),
            ("base", f"{record['base']:#010x}", "address of block 0"),
            ("map_words", f"{record['map_words']:#x}", "words of map that may have a bit"),
            ("map[0]", f"{record['map'][0]:#010x}", "a bit for each block that came back")]


def arena_facts(found):
    return found["call"]["before"]


def arena(stated, folder):
    record = stated["facts"]
    figure, axes = canvas(120, 62)
    title(axes, "An arena from the inside: the record, and the frame that it is about")
    axes.text(0, 8, f"struct arena, record {record['frame']} of the kernel pool, at {record['address']:#010x}",
              fontsize=9.5, color=INK)
    for row, (name, value, meaning) in enumerate(fields(record)):
        y = 10 + row * 4.2
        box(axes, (0, y), (10, 4.2), PALE, name, **MONO)
        box(axes, (10, y), (17, 4.2), "white", value, **MONO)
        axes.text(28, y + 2.1, meaning, va="center", fontsize=9)
    base_y = 10 + 5 * 4.2 + 2.1
    x, y, width, height = 67, 12, 6.5, 6
    axes.plot([56, 62], [base_y, base_y], color=INK, linewidth=1.2)
    axes.plot([62, 62], [base_y, y + 3], color=INK, linewidth=1.2)
    arrow(axes, (62, y + 3), (x, y + 3))
    rows = -(-record["blocks_per_arena"] // COLUMNS)
    axes.text(x, 8, f"page {record['base']:#010x}: {record['blocks_per_arena']} blocks and nothing else", fontsize=9.5,
              color=INK)
    blocks_grid(axes, record, x, y, width, height)
    live = states(record).count(LIVE)
    axes.text(x, y + rows * height + 4, f"{live} live + {record['cnt']} free = {record['blocks_per_arena']}",
              fontsize=9.5, va="center")
    axes.text(0, 49, "map[0], block 31 on the left, block 0 on the right:", fontsize=9.5)
    axes.text(0, 52.5, bits(record["map"][0], record["blocks_per_arena"]), **MONO)
    legend(axes, 0, 57, LOOKS, lambda words: 9 + 1.35 * len(words))
    return save(figure, folder, "arena", stated)


def total(record):
    """arena_sum() of a small arena's record."""
    return (record["desc"] + record["base"] + record["cnt"] + record["carved"] + record["seal"]) & 0xffffffff


def free_facts(found):
    return {name: found["call"][name] for name in ("before", "after", "pointer")}


def free(stated, folder):
    before, after, pointer = (stated["facts"][name] for name in ("before", "after", "pointer"))
    block = (pointer - before["base"]) // before["block_size"]
    figure, axes = canvas(120, 66)
    title(axes, f"sys_free({pointer:#010x}): what changes, and that is all")
    rows = [(name, old, new) for (name, old, _), (_, new, _) in zip(fields(before), fields(after))]
    rows.append(("sum", f"{total(before):#010x}", f"{total(after):#010x}"))
    for head, x in (("before", 18.5), ("after", 35.5)):
        axes.text(x, 9, head, ha="center", fontweight="bold")
    for row, (name, old, new) in enumerate(rows):
        y = 11 + row * 4.2 + (1.5 if name == "sum" else 0)
        changed = old != new
        box(axes, (0, y), (10, 4.2), PALE, name, **MONO)
        box(axes, (10, y), (17, 4.2), "white", old, **MONO)
        box(axes, (27, y), (17, 4.2), YELLOW if changed else "white", new, fontweight="bold" if changed else "normal",
            **MONO)
    axes.text(0, 11 + len(rows) * 4.2 + 5, f"The sum is {total(after):#x} each time: cnt goes up, seal goes down.",
              fontsize=9.5)
    for words, record, y in (("before", before, 11), ("after", after, 36)):
        axes.text(53, y + 2, words, fontweight="bold")
        blocks_grid(axes, record, 65, y, 6.5, 5, mark=block)
    legend(axes, 0, 62, LOOKS, lambda words: 9 + 1.35 * len(words))
    axes.text(65, 63, f"framed: block {block}, whose address it is", va="center", fontsize=9.5, color=RED)
    return save(figure, folder, "free", stated)


# ---- an arena changes hands ---------------------------------------------------------------------

MOMENTS = [("before", "sys_free(p) on processor 1"), ("the arena has moved", "processor 0 gave it up"),
           ("after", "processor 1 has the lock")]


def hands_facts(found):
    return found


def owner_words(record):
    return "everyone's" if record["owner"] is None else f"processor {record['owner']}'s"


def hands(stated, folder):
    facts = stated["facts"]
    records = facts["records"]
    figure, axes = canvas(120, 62)
    title(axes, f"A block of processor 0's, {facts['pointer']:#010x}, is freed on processor 1")
    columns = [[("whose", owner_words(record), "")] + fields(record) + [("sum", f"{total(record):#010x}", "")]
               for record in records]
    for column, (head, words) in enumerate(MOMENTS):
        x = 12 + column * 36
        axes.text(x + 10, 7, head, ha="center", fontweight="bold")
        axes.text(x + 10, 10, words, ha="center", fontsize=9.5)
        for row, (name, value, _) in enumerate(columns[column]):
            y = 12 + row * 4.2
            new = column > 0 and columns[column - 1][row][1] != value
            if column == 0:
                box(axes, (0, y), (12, 4.2), PALE, name, **MONO)
            box(axes, (x, y), (20, 4.2), YELLOW if new else "white", value, fontweight="bold" if new else "normal",
                **MONO)
        if column > 0:
            arrow(axes, (x - 14, 33), (x - 2, 33))
    axes.text(12 + 28, 30, "an interrupt", ha="center", fontsize=9.5)
    axes.text(12 + 64, 30, "the free", ha="center", fontsize=9.5)
    axes.text(0, 58, f"Processor 1's own arenas add up to {facts['seal']:#010x}. So its fast path finds another sum, "
              "and leaves the record alone.", fontsize=9.5)
    return save(figure, folder, "hands", stated)


# ---- the pool's frames --------------------------------------------------------------------------

SHOWN = 48  # frames of the pool's beginning
FRAMES_ROW = 16
FRAME_LOOKS = {"blocks": (SKY, None), "large area": (BLUE, None), "held outside the heap: stacks": (ORANGE, None),
               "free": ("white", None)}


def frames_facts(found):
    return {"pool": found["pools"][0], "arenas": [{name: arena.get(name) for name in ("frame", "large", "block_size")}
                                                  for arena in found["arenas"]]}


def frame_kinds(facts):
    """(kind, words) of each frame from the pool's first."""
    about = {arena["frame"]: arena for arena in facts["arenas"]}
    kinds = {}
    for first, length, free_run, _ in facts["pool"]["runs"]:
        for frame in range(first, first + length):
            here = about.get(first)
            if free_run:
                kinds[frame] = ("free", "")
            elif here is None:
                kinds[frame] = ("held outside the heap: stacks", "")
            elif here["large"]:
                kinds[frame] = ("large area", f"{frame - first + 1}/{length}")
            else:
                kinds[frame] = ("blocks", str(here["block_size"]))
    return kinds


def frames(stated, folder):
    pool, kinds = stated["facts"]["pool"], frame_kinds(stated["facts"])
    figure, axes = canvas(120, 48)
    title(axes, f"The first {SHOWN} of {pool['usable']:,} frames of the kernel pool, while four threads hold blocks")
    width, height = 7, 7
    for frame in range(SHOWN):
        kind, words = kinds[frame]
        place = (7 + frame % FRAMES_ROW * width, 8 + frame // FRAMES_ROW * height)
        box(axes, place, (width, height), FRAME_LOOKS[kind][0], words, fontsize=9)
    for row in range(SHOWN // FRAMES_ROW):
        axes.text(5, 8 + (row + 0.5) * height, str(row * FRAMES_ROW), ha="right", va="center", **MONO)
    legend(axes, 7, 32, FRAME_LOOKS, lambda words: 10 + 1.3 * len(words))
    axes.text(7, 38, "A number is the size of the blocks; 2/4 is the second frame of a large area of four.",
              fontsize=9.5)
    words = "; ".join(f"{length:,} frames from {first} in bin {number}"
                      for first, length, is_free, number in pool["runs"] if is_free)
    axes.text(7, 42, f"Free runs: {words}.", fontsize=9.5)
    axes.text(7, 46, f"What lies between them is no frame of the pool. {pool['free']:,} frames are free.", fontsize=9.5)
    return save(figure, folder, "frames", stated)
