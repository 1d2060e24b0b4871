// What the records say, in the kernel's words; and any bytes at all.
import { describe, expect, it } from "vitest";
import { KINDS } from "../src/heap.js";
import { ARENAS, BASE, COUNT, layout, Sample } from "./sample.js";

describe("a sound heap", () => {
    const sample = new Sample(), { heap } = sample;
    sample.arena(0, 1, 3, [1]);
    sample.arena(1, 1, 128, []);
    sample.large(2, 3);
    sample.run(0x80500000, 5, COUNT - 5, layout.constants.FRAME_FREE);

    it("says what an address belongs to", () => {
        expect(heap.who(BASE)).toBe("block 0 of the 32-byte arena 0x88000000, kernel_pool frame 0, live");
        expect(heap.who(BASE + 37)).toBe(
            "byte 5 of block 1 of the 32-byte arena 0x88000000, kernel_pool frame 0, free");
        expect(heap.who(BASE + 96)).toBe(
            "block 3 of the 32-byte arena 0x88000000, kernel_pool frame 0, never handed out");
        expect(heap.who(BASE + 0x3010)).toBe(
            "byte 4112 of the large area 0x88002000 of 3 frames, kernel_pool frame 3, live");
        expect(heap.who(BASE + 0x5000)).toBe("kernel_pool frame 5, not handed out");
        expect(heap.who(BASE - 1)).toBe("no frame of kernel_pool");
        expect(heap.who(BASE + COUNT * 4096)).toBe("no frame of kernel_pool");
        expect(heap.whoUser(3)).toBe("user_pool frame 3, not handed out");
        expect(sample.regions.missed).toBe(0);
    });
    it("knows where a block begins, in an arena's further frames too", () => {
        const wide = new Sample(), bytes = layout.size("arena");
        wide.sizes([16, 3072]);
        wide.field(wide.heap.descAddress(1), "memory_block_desc", "blocks_per_arena", 4); // three frames
        wide.arena(4, 1, 2, []);
        const back = layout.offset("arena", "carving");
        for (let n = 1; n < 3; n++) wide.set(ARENAS + (4 + n) * bytes + back, (n * bytes << 16) >>> 0);
        expect([0x4000, 0x4bff, 0x4c00, 0x5020, 0x57ff].map((at) => wide.heap.blockStart(BASE + at) - BASE)).toEqual(
            [0x4000, 0x4000, 0x4c00, 0x4c00, 0x4c00]);
        expect([BASE - 8, BASE + 0x9005].map((at) => wide.heap.blockStart(at))).toEqual([BASE - 8, BASE + 0x9005]);
        expect(heap.blockStart(BASE + 0x3010)).toBe(BASE + 0x2000);
    });
    it("counts a descriptor's blocks", () => {
        expect(heap.descs()[1]).toMatchObject(
            { size: 32, perArena: 128, arenas: 2, free: 126, live: 130, whole: true });
        expect(heap.descsText()[2]).toBe("        32           128       2          126          130");
    });
    it("draws a frame as what it is", () => {
        const kinds = heap.cells(0, 0, COUNT, COUNT).map((cell) => KINDS[cell.kind]);
        expect(kinds.slice(0, 6)).toEqual(["small", "small", "large", "large", "large", "free"]);
        expect(heap.cells(0, 0, COUNT, COUNT)[0].eighths).toBe(1);
    });
    it("calls an overwritten record that", () => {
        const word = ARENAS + layout.offset("arena", "seal"), before = sample.regions.u32(word);
        sample.set(word, before ^ 1);
        expect(heap.who(BASE)).toBe("an arena whose record was overwritten, kernel_pool frame 0");
        expect(KINDS[heap.cells(0, 0, 1, 1)[0].kind]).toBe("corrupt");
        sample.set(word, before);
    });
});

// ---- any bytes -------------------------------------------------------------------------------------

function random(seed) {
    let state = seed;
    return (below) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state % below;
    };
}

// Everything the page asks of a heap.
function ask(heap) {
    heap.state();
    heap.descsText();
    heap.mapText();
    for (const row of heap.descs()) heap.arenas(row.size);
    for (let frame = 0; frame < COUNT; frame++) {
        expect(heap.who(BASE + frame * 4096 + frame)).toMatch(/kernel_pool/);
        heap.whoUser(frame);
    }
}

describe("any bytes as memory", () => {
    it("gives no exception, and ends", () => {
        const choose = random(16);
        for (let round = 0; round < 150; round++) {
            const { heap, regions } = new Sample();
            for (let i = 0; i < regions.words.length; i++) regions.words[i] = choose(0x100000000);
            heap.state();
            heap.descsText();
            for (let frame = 0; frame < COUNT; frame++) heap.who(BASE + frame * 4096);
        }
    });
    it("draws no arena that is not sound as one", () => {
        const choose = random(4);
        for (let round = 0; round < 400; round++) {
            const sample = new Sample(), { heap, regions } = sample;
            sample.arena(0, 1, 3, [1]);
            sample.large(2, 3);
            const at = layout.offset("arena", "desc"), sealed = layout.size("arena");
            const word = ARENAS + at + (choose(5) * 4); // desc, head, carving, seal, base: what the seal covers
            const place = regions.place(word) / 4;
            regions.words[place] ^= 1 << choose(32);
            expect(KINDS[heap.cells(0, 0, 1, 1)[0].kind]).toBe("corrupt");
            expect(heap.who(BASE)).toMatch(/overwritten/);
            expect(heap.arenas().map((arena) => arena.frame)).toEqual([2]);
            expect(sealed).toBeGreaterThan(at);
            ask(heap);
        }
    });
    it("ends on a list that is a circle or leads astray", () => {
        const sample = new Sample(), { heap } = sample;
        sample.arena(0, 1, 3, [1]);
        const next = ARENAS + layout.offset("arena", "elem") + layout.offset("list_elem", "next");
        for (const wild of [ARENAS, 0, 0xffffffff, ARENAS + 4]) {
            sample.set(next, wild);
            expect(heap.descs()[1].whole).toBe(false);
        }
    });
});
