"""claims.py - what a tour says of the machine, looked up in the machine.

A claim is an expression of Python over a few names, evaluated at a stop:

    arg1 arg2 arg3     the call's arguments, at a function's first instruction
    eax                what a call returned, after it
    ebx ecx edx esp    the other registers that a system call comes with
    heap, pool("kernel"), desc(SIZE), arena(P)
                       structures of kernel/memory.h: the heap, a pool (or "user"), the descriptor of a block size, the
                       record of the arena that P lies in; their fields by a dot; at(RECORD) its address
    bit(P), live(P)    the block at P was handed out and is free again; is handed out
    classic_desc(SIZE), classic_arena(P)
                       of the seed's own heap: a descriptor, and the header of the frame that P lies in
    word(P)            the 32 bits at P
    report, reported   the heap's last report and its pointer; reports: how many there were
    thread             the running thread
    mapped(P)          True if the page of P is mapped; entry(P): its page table entry
    program            the running program (struct process); its heap is where arena(P), bit(P) and live(P) look for a P
                       below the kernel's half
    mine, others       what the threads of the scene `switch-inside` got
    processor          number of the processor that has stopped; owner(P): whose own the arena of P is, None: everyone's
    total(RECORD)      what an arena's record adds up to; seal: what it must be for the processor's own arenas
    lock_holder        number of the processor that has the heap's lock, or None; wanted(N): an address in the arena
                       that N is to give up, or 0
                       (the last three lines: in the debuggers, not in the page, whose machine has one processor)
    and every value that the tour has remembered

The machine is anything with read(address, bytes) and register(name).
"""

PAGE = 4096
KERNEL_BASE = 0x80000000
HEAP_BASE = 0x88000000


class Record:
    """A structure in the machine's memory; a field is read when it is asked for."""

    def __init__(self, world, kind, address):
        self._world, self._kind, self._address = world, kind, address

    def __getattr__(self, name):
        fields = self._world.layout["structs"][self._kind]["fields"]
        if name not in fields:
            raise AttributeError(f"struct {self._kind} has no field {name}")
        offset, bit, width, count, kind = fields[name]
        at = self._address + offset
        if kind == "struct":
            return at
        if kind == "text":
            return self._world.machine.read(at, count).split(b"\0")[0].decode("ascii", "replace")
        values = [self._world.number(at + i * (width // 8), bit, width) for i in range(count)]
        return values[0] if count == 1 else values

    def __eq__(self, other):
        return isinstance(other, Record) and self._address == other._address

    def __hash__(self):
        return hash(self._address)


class Names(dict):
    """What a claim may name. The arguments are read when they are asked for: where a stack is empty there are none."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def __missing__(self, name):
        if name not in ("arg1", "arg2", "arg3"):
            raise KeyError(name)
        return self.world.number(self.world.machine.register("esp") + 4 * int(name[3]))


class World:
    """The names that claims use, over one machine and one kernel's layout."""

    def __init__(self, machine, layout):
        self.machine, self.layout, self.remembered = machine, layout, {}

    def number(self, address, bit=0, width=32):
        raw = int.from_bytes(self.machine.read(address, (bit + width + 7) // 8), "little")
        return raw >> bit & (1 << width) - 1

    def symbol(self, kind, name, index=0):
        return Record(self, kind, self.layout["symbols"][name] + index * self.layout["structs"][kind]["size"])

    def heap(self):
        return self.symbol("heap", "k_heap")

    def pool(self, name):
        at = self.layout["symbols"]["mem_pool"] + 4 * ("kernel", "user").index(name)
        return Record(self, "pool", self.number(at))

    def desc(self, size):
        heap = self.heap()
        for i in range(heap.desc_count):
            found = Record(self, "memory_block_desc",
                           heap.block_descs + i * self.layout["structs"]["memory_block_desc"]["size"])
            if found.block_size == size:
                return found
        raise ValueError(f"no descriptor has blocks of {size} bytes")

    def program(self):
        return Record(self, "process", self.number(self.layout["symbols"]["process_running"]))

    def arena(self, p):
        size = self.layout["structs"]["arena"]["size"]
        heap = self.heap() if p >= KERNEL_BASE else Record(self, "heap", self.program().heap)
        at = heap.arena + (p - heap.base) // PAGE * size
        return Record(self, "arena", at - Record(self, "arena", at).back)

    def classic_desc(self, size):
        return self.symbol("classic_block_desc", "classic_descs", size.bit_length() - 5)  # 16 is the first

    def block(self, p):
        """(the arena's record, the block's number in it)"""
        arena = self.arena(p)
        size = self.number(arena.desc)  # its first field
        return arena, (p - arena.base) // size

    def bit(self, p):
        arena, number = self.block(p)
        return bool(arena.map[number // 32] >> number % 32 & 1)

    def live(self, p):
        arena, number = self.block(p)
        return number < arena.carved and not self.bit(p)

    def entry(self, p):
        """The kernel's own tables are in low memory; a program's are frames of the kernel pool."""
        low, frames = KERNEL_BASE, HEAP_BASE - self.pool("kernel").phys
        directory = self.machine.register("cr3") & ~0xfff
        kernels = directory == self.number(self.layout["symbols"]["directory_pa"])
        table = self.number((low if kernels else frames) + directory + (p >> 22) * 4)
        if not table & 1:
            return 0
        return self.number((low if p >= KERNEL_BASE else frames) + (table & ~0xfff) + (p >> 12 & 0x3ff) * 4)

    def owner(self, p):
        desc, table = self.arena(p).desc, PAGE
        for number in range(self.number(self.layout["symbols"]["processors_online"])):
            if 0 <= desc - self.number(self.layout["symbols"]["descs"] + 4 * number) < table:
                return number
        return None

    @staticmethod
    def total(arena):
        return arena.desc + arena.base + arena.head + arena.carving + arena.seal & 0xffffffff

    def lock_holder(self):
        holder = self.symbol("spinlock", "heap_lock").holder
        return holder - 1 if holder else None

    def names(self):
        found = Names(self)
        found |= {"heap": self.heap(), "desc": self.desc, "arena": self.arena, "bit": self.bit,
                 "live": self.live, "word": self.number, "classic_desc": self.classic_desc,
                 "classic_arena": lambda p: Record(self, "classic_arena", p // PAGE * PAGE),
                 "at": lambda record: record._address,
                 "eax": self.machine.register("eax"), "thread": self.thread(),
                 "pool": self.pool,
                 "report": self.layout["faults"][self.symbol("heap_report", "heap_last_report").fault],
                 "reported": self.symbol("heap_report", "heap_last_report").pointer,
                 "reports": self.number(self.layout["symbols"]["heap_report_count"]),
                 "entry": self.entry, "mapped": lambda p: bool(self.entry(p) & 1),
                 "mine": self.number(self.layout["symbols"]["scene_mine"]),
                 "others": self.number(self.layout["symbols"]["scene_others"]),
                 "processor": self.number(self.layout["symbols"]["processor_number"]), "owner": self.owner,
                 "total": self.total, "seal": self.number(self.layout["symbols"]["local_seal"]),
                 "lock_holder": self.lock_holder(),
                 "wanted": lambda n: self.number(self.layout["symbols"]["wanted"] + 4 * n),
                 "program": self.program(), "PAGE": PAGE, "HEAP_BASE": HEAP_BASE}
        found |= {name: self.machine.register(name) for name in ("ebx", "ecx", "edx", "esp")}
        found |= self.remembered
        return found

    def thread(self):
        return Record(self, "thread", self.number(self.layout["symbols"]["current"]))

    def evaluate(self, expression):
        return eval(expression, {"__builtins__": {}}, self.names())  # pylint: disable=eval-used

    def check(self, stop):
        """Evaluates the stop's claims in their order: [(expression, value or the error, holds)]."""
        results = []
        for name, expression in stop.claims:
            try:
                value = self.evaluate(expression)
            except (ValueError, AttributeError, NameError, TypeError, IndexError, SyntaxError) as error:
                results.append((expression, str(error), False))
                continue
            if name:
                self.remembered[name] = value
            results.append((f"{name} = {expression}" if name else expression, value, bool(name) or value is True))
        return results


def show(value):
    return f"{value:#x}" if isinstance(value, int) and not isinstance(value, bool) and value > 9999 else str(value)


def report(stop, results, out):
    """Shows a stop: its text, each claim marked with what was found there. Returns how many do not hold."""
    marks = {expression: (value, holds) for expression, value, holds in results}
    print("", file=out)
    for line in "\n".join(stop.lines).rstrip().split("\n"):
        found = line[3:].split("`")[0] if line.startswith("- `") else None
        if found in marks:
            value, holds = marks[found]
            line = f"  {'ok ' if holds else 'NO '} {found}{line[3 + len(found) + 1:]}" + \
                   (f"   [{show(value)}]" if not isinstance(value, bool) or not holds else "")
        print(line, file=out)
    return sum(not holds for _, _, holds in results)
