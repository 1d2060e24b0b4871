// checked.js - what the checked build knows of a block: who asked for how many bytes, and who freed it.
//
// It stands in that build's own records, which are read like the heap's: the first bytes of each block, and a copy in
// the ring for a block that waits in quarantine. The events are not enough: they lack what was allocated before the
// first of them, and they cannot tell that a record was written over, of which the kernel then says nothing. The rules
// are those of kernel/checked/checked.c, the words those of add_history() in kernel/inspect/who.c.
//
// Pure, as heap.js is. A block is {start, bytes}.
import { pointer } from "./layout.js";

export class CheckedRecords {
    constructor(heap) {
        this.heap = heap;
        this.o = heap.o.checked_record;
        this.bytes = this.o.sum + 4; // of a record: as CHECKED_RECORD_BYTES
    }

    read(at) {
        const word = (name) => this.heap.u32(at + this.o[name]);
        return { p: word("p"), size: word("size"), allocated: word("allocated"), freed: word("freed"),
            allocator: word("allocator"), freer: word("freer"), sum: word("sum") };
    }

    // The freed blocks that wait: [{p, record}], of each its pointer and where its record is.
    quarantine() {
        const { heap } = this, bytes = heap.layout.size("checked_freed"), o = heap.o.checked_freed, waiting = [];
        for (let i = 0; i < heap.c.CHECKED_QUARANTINE; i++) {
            const at = heap.layout.symbols.checked_quarantine + i * bytes, p = heap.u32(at + o.p);
            if (p !== 0) waiting.push({ p, record: at + o.record });
        }
        return waiting;
    }

    // A block's record, or null if nothing is known of it. As checked_facts().
    of(block, waiting = this.quarantine()) {
        const freed = waiting.find(({ p }) => p >= block.start && p - block.start < block.bytes);
        if (freed) return this.read(freed.record);
        const record = this.read(block.start);
        return this.sound(block, record) ? record : null;
    }

    // As record_sound().
    sound({ start, bytes }, { p, size, allocated, freed, allocator, freer, sum }) {
        const guard = this.guard ? 1 : 0, end = start + bytes - guard * this.heap.c.PG_SIZE;
        return sum === this.sum([start, p, size, allocated, freed, allocator, freer]) &&
            p >= start + this.bytes && p < end && size < end - p + guard;
    }

    sum(fields) {
        const { CHECKED_SUM_START, CHECKED_SUM_PRIME } = this.heap.c;
        return fields.reduce((sum, field) => Math.imul(sum ^ field, CHECKED_SUM_PRIME) >>> 0, CHECKED_SUM_START);
    }

    // Has each block frames of its own, the last of them not mapped?
    get guard() {
        const at = this.heap.layout.symbols.guard, byte = at % 4;
        return (this.heap.u32(at - byte) >>> byte * 8 & 0xff) !== 0;
    }

    // Calls visit(address) for each place where a record may be: in all blocks that were ever handed out.
    each(visit) {
        const { heap } = this, records = heap.heapField("arena"), { frames } = heap.pool(0), o = heap.o.arena;
        for (let frame = 0; frame < frames; frame++) {
            const at = records + frame * heap.arenaBytes;
            if (heap.u32(at + o.desc) === 0 && heap.u32(at + o.head) === 0) continue; // most are blank
            const arena = heap.arena(frame), first = heap.blockIn(arena, arena.base);
            if (!first) continue;
            const count = arena.large ? 1 : Math.min(arena.carved, heap.blocksMost);
            for (let block = 0; block < count; block++) visit(arena.base + block * first.bytes);
        }
    }

    // ", 24 bytes from 0x88000020 for thread main at demo_run+0x12, freed by thread b at worker+0x33". threads: those
    // of that moment, [{tid, name}]; one that is no more has only its number left.
    text({ p, size, allocator, allocated, freer, freed }, threads) {
        const by = (number, place) => `thread ${number === 0 ? "boot"
            : threads.find(({ tid }) => tid === number)?.name ?? number} at ${this.heap.layout.place(place)}`;
        return `, ${size} bytes from ${pointer(p)} for ${by(allocator, allocated)}` +
            (freed ? `, freed by ${by(freer, freed)}` : "");
    }
}
