"""calls.py - one sys_malloc and one sys_free, instruction by instruction, and the way from an address to its byte.

The steps are GDB's, in the kernel of build/; the function named at each is the one that the compiler has
inlined there. What is above the line runs with interrupts on, what is below it with interrupts off.
"""

from style import GREEN, INK, MONO, ORANGE, PALE, PURPLE, SKY, YELLOW, arrow, box, canvas, save, title

# What an inlined function is about: the steps of the book.
STAGES = {
    "size to descriptor, or pointer to record": (SKY, {"sys_malloc", "sys_free", "take_fast", "give_fast",
                                                       "list_front", "arena_first", "record_guess"}),
    "interrupts off and on": (ORANGE, {"port_enter", "port_leave", "eflags_read", "irq_disable", "irq_enable",
                                      "irq_enabled"}),
    "is the record sound": (PURPLE, {"arena_sum"}),
    "which block": (YELLOW, {"small_give", "block_index", "lowest_bit"}),
    "take it, put it back": (GREEN, {"arena_take", "arena_put", "bit_set", "bit_clear", "decrement_is_zero"}),
}
OTHER = "something else"
WIDTH_OF_STEP, HEIGHT = 2.6, 5


def stage(function):
    for words, (colour, names) in STAGES.items():
        if function in names:
            return words, colour
    return OTHER, PALE


def strip(axes, steps, name, y):
    """A call's instructions in a row; those with interrupts off lie lower."""
    off = [number for number, (_, interrupts) in enumerate(steps) if not interrupts]
    axes.text(0, y - 2.5, f"{name}: {len(steps)} instructions, {len(off)} of them with interrupts off",
              fontweight="bold", va="bottom")
    for number, (function, interrupts) in enumerate(steps):
        place = (number * WIDTH_OF_STEP, y if interrupts else y + HEIGHT)
        box(axes, place, (WIDTH_OF_STEP, HEIGHT), stage(function)[1], line=0.6)
        if number % 5 == 4 or number == 0:
            axes.text(place[0] + WIDTH_OF_STEP / 2, y + 2 * HEIGHT + 1.6, str(number + 1), ha="center", va="center",
                      fontsize=8, color=INK)
    axes.plot([0, len(steps) * WIDTH_OF_STEP], [y + HEIGHT] * 2, color=INK, linewidth=1.4)


def calls_facts(found):
    return {"size": found["size"], "pointer": found["call"]["pointer"],
            "malloc": [[function, interrupts] for function, _, interrupts in found["malloc"]],
            "free": [[function, interrupts] for function, _, interrupts in found["call"]["free"]]}


def calls(stated, folder):
    found = stated["facts"]
    longest = max(len(found["malloc"]), len(found["free"])) * WIDTH_OF_STEP
    figure, axes = canvas(max(longest, 112), 62)
    title(axes, "The two calls, instruction by instruction")
    strip(axes, found["malloc"], f"sys_malloc({found['size']})", 12)
    strip(axes, found["free"], f"sys_free({found['pointer']:#010x})", 33)
    used = {stage(function)[0] for function, _ in found["malloc"] + found["free"]}
    looks = [(words, colour) for words, (colour, _) in STAGES.items()] + [(OTHER, PALE)]
    for place, (words, colour) in enumerate(look for look in looks if look[0] in used):
        x, y = (0, 60, 0, 60, 0, 60)[place], 51 + place // 2 * 4
        box(axes, (x, y), (3, 2.4), colour)
        axes.text(x + 4.5, y + 1.2, words, va="center", fontsize=9.5)
    return save(figure, folder, "calls", stated)


# ---- the page walk ------------------------------------------------------------------------------

FLAGS = ((1, "present"), (2, "write"), (4, "user"), (8, "write-through"), (16, "uncached"), (32, "accessed"),
         (64, "dirty"))


def flags_text(entry):
    return ", ".join(name for bit, name in FLAGS if entry & bit)


def entry_box(axes, x, y, head, index, value, words):
    axes.text(x, y - 1.5, head, fontsize=9.5, fontweight="bold", va="bottom")
    here = min(index, 1)  # the first entry has none above it
    for row in range(3):
        box(axes, (x, y + row * 4.2), (26, 4.2), "white", "" if row == here else "...", color=INK)
    box(axes, (x, y + here * 4.2), (26, 4.2), YELLOW, f"[{index:4}] {value:#010x}", **MONO)
    arrow(axes, (x + 26, y + (here + 0.5) * 4.2), (x + 42, y + 2.1))
    axes.text(x, y + 14.5, words, fontsize=8.5, color=INK, va="center")


def page_walk_facts(found):
    return found["walk"]


def page_walk(stated, folder):
    walk = stated["facts"]
    address, upper, lower = walk["address"], walk["directory_entry"], walk["table_entry"]
    high, middle, low = address >> 22, address >> 12 & 0x3ff, address & 0xfff
    figure, axes = canvas(120, 58)
    title(axes, f"From the address {address:#010x} to its byte")
    parts = ((f"{high:010b}", f"entry {high} of the directory", SKY, 30),
             (f"{middle:010b}", f"entry {middle} of the table", GREEN, 30), (f"{low:012b}", f"byte {low}", ORANGE, 36))
    x, middles = 12, []
    for digits, words, colour, width in parts:
        box(axes, (x, 8), (width, 4.6), colour, digits, **MONO)
        axes.text(x + width / 2, 15, words, ha="center", va="center", fontsize=9.5)
        middles.append(x + width / 2)
        x += width
    entry_box(axes, 6, 31, f"page directory at {walk['cr3']:#x}", high, upper, flags_text(upper))
    entry_box(axes, 48, 31, f"page table at {upper & ~0xfff:#x}", middle, lower, flags_text(lower))
    frame = lower & ~0xfff
    axes.text(90, 29.5, f"frame at {frame:#x}", fontsize=9.5, fontweight="bold", va="bottom")
    box(axes, (90, 31), (26, 12.6), PALE)
    box(axes, (90, 31 + 12.6 * low / 4096), (26, 3.2), ORANGE, f"physical {frame | low:#x}", **MONO)
    for place, target in zip(middles, (19, 61, 103)):
        arrow(axes, (place, 17), (target, 26.5))
    axes.text(6, 50, f"CR3 holds {walk['cr3']:#x}. The upper 20 bits of each entry are the address of the next page, "
              "the lower 12 are flags.", fontsize=9.5)
    axes.text(6, 54, "The processor does this by itself at every access that its TLB does not answer.", fontsize=9.5)
    return save(figure, folder, "page-walk", stated)
