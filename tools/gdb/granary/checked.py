"""checked.py - the checked build's records (kernel/checked/checked.c): who asked for a block, what lies around it.

None of it exists in the fast build: Checked.of() is None there.
"""

from collections import namedtuple

from granary import model, target
from granary.memory import MASK, Unreadable, View

CANARY = 0xca  # kernel/checked/checked.h
POISON = 0xdf
BLOCK_ALIGN = 16  # kernel/heap.h
FIELDS = ("p", "size", "allocated", "freed", "allocator", "freer", "sum")
Record = namedtuple("Record", ("at",) + FIELDS)


def record_sum(record):
    total = 0x811c9dc5
    for field in (record.at, record.p, record.size, record.allocated, record.freed, record.allocator, record.freer):
        total = (total ^ field) * 0x01000193 & MASK
    return total


def checked_margin():
    """CHECKED_MARGIN: bytes that each request takes beside its own."""
    return -(-target.layout("checked_record").size // BLOCK_ALIGN) * BLOCK_ALIGN + 1


def first_other(data, value):
    """Where the first byte is that is not `value`, or None."""
    rest = data.lstrip(bytes([value]))
    return len(data) - len(rest) if rest else None


class Checked:
    def __init__(self, memory, quarantine):
        self.memory = memory
        self.layout = target.layout("checked_record")
        guard = target.address_of("guard", "kernel/checked/checked.c")
        self.guard = bool(guard and memory.read(guard, 1)[0])
        self.freed = {}
        freed = target.layout("checked_freed")
        for i in range(target.length_of("checked_quarantine")):
            view = View(memory, freed, quarantine + i * freed.size)
            if view["p"]:
                self.freed[view["p"]] = self.record_at(view.address + freed["record"])

    @classmethod
    def of(cls, memory):
        quarantine = target.address_of("checked_quarantine")
        return cls(memory, quarantine) if quarantine else None

    def record_at(self, address):
        view = View(self.memory, self.layout, address)
        return Record(address, *(view[field] for field in FIELDS))

    def room(self, block):
        """Where the caller's bytes and both canaries lie: (start, end)."""
        return block.start + self.layout.size, block.start + block.bytes - (model.PG_SIZE if self.guard else 0)

    def record(self, block):
        """A block's record if it is sound, else None."""
        start, end = self.room(block)
        try:
            record = self.record_at(block.start)
        except Unreadable:
            return None
        sound = record.sum == record_sum(record) and start <= record.p < end and \
            record.size < end - record.p + self.guard
        return record if sound else None

    def quarantined(self, block):
        for p, record in self.freed.items():
            if block.start <= p < block.start + block.bytes:
                return record
        return None

    def facts(self, block):
        """What is known of a block, while it lives or waits and behind that; or None."""
        return self.quarantined(block) or self.record(block)

    def margin_damage(self, block):
        """The first byte outside the caller's that was written to, or None."""
        start, end = self.room(block)
        record = self.record(block)
        if record is None:
            return block.start
        for at, until in ((start, record.p), (record.p + record.size, end)):
            other = first_other(self.memory.read(at, until - at), CANARY)
            if other is not None:
                return at + other
        return None

    def freed_damage(self, block):
        if block.arena.large:
            return None  # unmapped
        damage = self.margin_damage(block)
        if damage is not None:
            return damage
        record = self.record(block)
        other = first_other(self.memory.read(record.p, record.size), POISON)
        return None if other is None else record.p + other

    def check(self, heap, who):
        """C1 and C2, in checked_check()'s words; who(address) is heap_who()'s sentence."""
        for block in heap.live_blocks():
            if self.quarantined(block):
                at, which, what = self.freed_damage(block), "C2", "a freed block was written to"
            else:
                record = self.record(block)
                if record is not None and record.freed:
                    continue  # on its way in or out
                at, which, what = self.margin_damage(block), "C1", "written before or after a block"
            if at is not None:
                yield f"heap check: {which} broken: {what}, 0x{at:08x}: {who(at)}"
        for p in self.freed:
            if heap.block_at(p) is None:
                yield f"heap check: C2 broken: in quarantine, but no block, 0x{p:08x}: {who(p)}"
