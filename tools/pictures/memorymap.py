"""memorymap.py - the map of memory of a real boot: what lies where in physical memory, and where each piece is seen.

Both columns come from the run: the plan's figures for the left one, a walk through every page table for the right one.
A piece's height says nothing: 4 KiB and 15 MiB stand side by side.
"""

from style import BLUE, GREEN, INK, MONO, ORANGE, PURPLE, SKY, YELLOW, band, box, canvas, save, title

PG_SIZE = 4096
LOW_END = 0x10000  # kernel/memory_plan.h: below it lies what the loader leaves
VGA, VGA_END = 0xb8000, 0xc0000
HEAP_BASE, STACK_BASE = 0x88000000, 0xf8000000  # kernel/layout.h
WRITE, UNCACHED = 2, 16
LEFT, RIGHT, WIDE, ROW = 17, 74, 33, 4.4  # where the columns begin, a box's size
ADDRESS = 12  # what an address takes beside a box

KINDS = {  # kind: colour, what a piece of it is called
    "boot": (YELLOW, "what the loader leaves"), "vga": (PURPLE, "screen"), "text": (SKY, "kernel: code, constants"),
    "data": (ORANGE, "kernel: data"), "tables": (GREEN, "page tables"), "records": ("#8fd3b6", "frame, arena records"),
    "kernel": (BLUE, "kernel pool"), "user": ("#c4c4c4", "user pool"), "none": ("white", "devices, ROMs"),
}


def size_text(size):
    unit, name = (1 << 20, "MiB") if size >= 1 << 20 else (1 << 10, "KiB")
    return f"{size / unit:.4g} {name}"


def physical(plan):
    """[(start, end, kind)] of physical memory, rising, without gaps."""
    image, tables_end = plan["image"], plan["tables"] + plan["table_count"] * PG_SIZE
    cut = plan["pool"][1]["start"]
    low_end = max(end for _, end in plan["usable"] if end < VGA)
    return [(0, LOW_END, "boot"), (LOW_END, low_end, "kernel"), (low_end, VGA, "none"), (VGA, VGA_END, "vga"),
            (VGA_END, image["kernel_start"], "none"),
            (image["kernel_start"], image["kernel_rodata_end"], "text"),
            (image["kernel_rodata_end"], plan["tables"], "data"), (plan["tables"], tables_end, "tables"),
            (tables_end, plan["early_end"], "records"), (plan["early_end"], cut, "kernel"),
            (cut, max(end for _, end in plan["usable"]), "user")]


def virtual(mapped, pieces):
    """[(start, end, kind, flags, physical)] of what is mapped below the stacks, rising. What only a guard page parts
    is one piece: the picture has no room for a page."""
    found = []
    for start, at, count, flags in mapped:
        for first, end, kind in pieces:
            low, high = max(first, at), min(end, at + count * PG_SIZE)
            if start >= STACK_BASE or low >= high:
                continue
            piece = (start + low - at, start + high - at, kind, flags, low)
            if found and found[-1][2] == kind and piece[0] - found[-1][1] == PG_SIZE:
                piece = (found[-1][0], piece[1], kind, flags, found[-1][4])
                found.pop()
            found.append(piece)
    return found


def cell(axes, x, y, kind, words, address, note=""):
    box(axes, (x, y), (WIDE, ROW), KINDS[kind][0], words, hatch="///" if kind == "none" else None, fontsize=9)
    axes.text(x - 1, y, f"{address:#010x}", ha="right", va="center", **MONO)
    axes.text(x + WIDE + 1, y + ROW / 2, note, va="center", fontsize=8.5, color=INK)
    return y + ROW


def physical_column(axes, pieces, y):
    """Draws it; returns {start: y}."""
    places = {}
    for start, end, kind in pieces:
        places[start] = y
        y = cell(axes, LEFT, y, kind, f"{KINDS[kind][1]}, {size_text(end - start)}", start)
    axes.text(LEFT - 1, y, f"{pieces[-1][1]:#010x}", ha="right", va="center", **MONO)
    return places


def rights(flags):
    return ("read, write" if flags & WRITE else "read") + (", uncached" if flags & UNCACHED else "")


def lead(axes, places, physical_at, y, kind, part=1.0):
    """From the piece of physical memory that holds an address to where it is seen."""
    start = places[max(place for place in places if place <= physical_at)]
    left, right, height = LEFT + WIDE, RIGHT - ADDRESS, ROW * part
    band(axes, [(left, start), (right, y), (right, y + height), (left, start + height)], KINDS[kind][0])


def virtual_column(axes, found, stacks, places, y):
    """What is mapped, with boxes of nothing between, and where it comes from."""
    end_before = 0
    for start, end, kind, flags, physical_at in found:
        if start > end_before:
            y = cell(axes, RIGHT, y, "none", "nothing", end_before)
        word = "heap window" if start >= HEAP_BASE else KINDS[kind][1]
        lead(axes, places, physical_at, y, kind)
        y = cell(axes, RIGHT, y, kind, f"{word}, {size_text(end - start)}", start, rights(flags))
        end_before = end
    y = cell(axes, RIGHT, y, "none", "nothing", end_before)
    pages = sum(count for _, _, count, _ in stacks)
    lead(axes, places, stacks[0][1], y, "kernel", part=0.3)
    return cell(axes, RIGHT, y, "kernel", f"{len(stacks)} stacks, {size_text(pages * PG_SIZE)}", STACK_BASE,
                rights(stacks[0][3]))


def memory_map_facts(found):
    return {"plan": found["plan"], "mapped": found["pages"]["mapped"]}


def memory_map(stated, folder):
    found = stated["facts"]
    pieces = physical(found["plan"])
    seen = virtual(found["mapped"], pieces)
    stacks = [piece for piece in found["mapped"] if piece[0] >= STACK_BASE]
    gaps = sum(after[0] > before[1] for before, after in zip(seen, seen[1:])) + 1
    figure, axes = canvas(120, 13 + ROW * (len(seen) + gaps + 2))
    title(axes, "A machine of 32 MiB: what lies where, and at which address it is seen")
    axes.text(LEFT + WIDE / 2, 9.5, "physical memory", ha="center", fontweight="bold")
    axes.text(RIGHT + WIDE / 2, 9.5, "virtual addresses", ha="center", fontweight="bold")
    places = physical_column(axes, pieces, 11.5)
    virtual_column(axes, seen, stacks, places, 11.5)
    return save(figure, folder, "memory-map", stated)
