// The records of the checked build: what is said of a block that lives, waits, or was written over; and any bytes.
import { describe, expect, it } from "vitest";
import { BASE, checkedLayout, COUNT, Sample } from "./sample.js";

const PLACE = checkedLayout.names.find(([, name]) => name === "kmain")[0] + 18, THREADS = [{ tid: 3, name: "b" }];
const LIVES = { p: BASE + 96, size: 24, allocated: PLACE, allocator: 0 };
const FREED = { ...LIVES, freed: PLACE + 1, freer: 3 };

// An arena of 64-byte blocks in frame 0, whose block 1 has a record, and a large area in frame 2.
function sample(record = LIVES) {
    const made = new Sample(checkedLayout);
    made.arena(0, 2, 3, [2]);
    made.large(2, 3);
    made.record(BASE + 64, record);
    return made;
}
const BLOCK = "of the 64-byte arena 0x88000000, kernel_pool frame 0";
const BY = ", 24 bytes from 0x88000060 for thread boot at kmain+0x12";

describe("the history of a block", () => {
    it("is in the sentence", () => {
        const { heap, regions } = sample();
        expect(heap.who(BASE + 64, THREADS)).toBe(`block 1 ${BLOCK}, live${BY}`);
        expect(heap.who(BASE + 96, THREADS)).toBe(`byte 32 of block 1 ${BLOCK}, live${BY}`);
        expect(heap.who(BASE, THREADS)).toBe(`block 0 ${BLOCK}, live`); // nothing is known of it
        expect(heap.who(BASE + 192, THREADS)).toBe(`block 3 ${BLOCK}, never handed out`);
        expect(regions.missed).toBe(0);
    });
    it("says who has freed it, by a name as long as there is one", () => {
        const { heap } = sample(FREED);
        const text = `block 1 ${BLOCK}, in quarantine${BY}, freed by thread`;
        expect(heap.who(BASE + 64, THREADS)).toBe(`${text} b at kmain+0x13`);
        expect(heap.who(BASE + 64, [])).toBe(`${text} 3 at kmain+0x13`);
    });
    it("is that of the ring, for a block that waits there, whatever became of its own", () => {
        const waits = sample({ ...LIVES, size: 25 }), at = checkedLayout.symbols.checked_quarantine;
        const freed = at + 2 * checkedLayout.size("checked_freed");
        waits.field(freed, "checked_freed", "p", FREED.p);
        waits.record(freed + checkedLayout.offset("checked_freed", "record"), { ...FREED, block: BASE + 64 });
        expect(waits.heap.who(BASE + 64, THREADS)).toBe(
            `block 1 ${BLOCK}, in quarantine${BY}, freed by thread b at kmain+0x13`);
    });
    it("is left out if any word of it was written over", () => {
        for (const name of Object.keys(checkedLayout.structs.checked_record.fields)) {
            const bad = sample(), at = BASE + 64 + checkedLayout.offset("checked_record", name);
            bad.set(at, (bad.regions.u32(at) ^ 0x100) >>> 0);
            expect(bad.heap.who(BASE + 64, THREADS), name).toBe(`block 1 ${BLOCK}, live`);
        }
        const moved = sample({ ...LIVES, block: BASE + 128 }); // a copy of another block's record
        expect(moved.heap.who(BASE + 64, THREADS)).toBe(`block 1 ${BLOCK}, live`);
    });
    it("is left out if the pointer or the size does not fit the block", () => {
        for (const wrong of [{ p: BASE + 91 }, { p: BASE + 128 }, { size: 32 }, { size: 0xffffffff }]) {
            expect(sample({ ...LIVES, ...wrong }).heap.who(BASE + 64, THREADS)).toBe(`block 1 ${BLOCK}, live`);
        }
        expect(sample({ ...LIVES, size: 31 }).heap.who(BASE + 64, THREADS)).toContain(", 31 bytes from ");
    });
    it("ends a page earlier with guard, and says what is not mapped", () => {
        const guarded = sample(), at = BASE + 0x2000, end = at + 2 * 4096, { guard } = checkedLayout.symbols;
        const said = (size) => {
            guarded.record(at, { ...LIVES, p: end - 16, size });
            return guarded.heap.who(end + 7, THREADS);
        };
        const area = "byte 8199 of the large area 0x88002000 of 3 frames, kernel_pool frame 4, live";
        expect(said(17)).toContain(", 17 bytes from ");
        guarded.set(guard - guard % 4, 1 << guard % 4 * 8);
        guarded.map(4, false);
        expect(said(17)).toBe(`${area}, not mapped`);
        expect(said(16)).toBe(`${area}, 16 bytes from 0x88003ff0 for thread boot at kmain+0x12, not mapped`);
        guarded.map(9, false);
        expect(guarded.heap.who(BASE + 0x9000)).toBe(
            "kernel_pool frame 9, no memory: a hole of the memory map, not mapped");
    });
    it("has its records where blocks were handed out, and nowhere else", () => {
        const found = [];
        sample().heap.checked.each((address) => found.push(address - BASE));
        expect(found).toEqual([0, 64, 128, 0x2000]);
    });
});

describe("any bytes", () => {
    it("as memory give no exception, and no history out of rubbish", () => {
        let state = 11;
        const any = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
        for (let round = 0; round < 40; round++) {
            const { heap, regions } = sample();
            const blocks = regions.list.find(({ part }) => part);
            regions.words.fill(0, blocks.word);
            for (let i = 0; i < blocks.bytes / 4; i++) regions.words[blocks.word + i] = any();
            expect(heap.who(BASE + 64, THREADS)).toBe(`block 1 ${BLOCK}, live`);
            for (let i = 0; i < blocks.word; i++) regions.words[i] = any();
            heap.checked.each(() => {});
            for (let frame = 0; frame < COUNT; frame++) heap.who(BASE + frame * 4096 + 64, THREADS);
        }
    });
});
