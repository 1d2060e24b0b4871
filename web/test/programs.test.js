// The heaps of programs: a list that is sound, and any words as memory.
import { describe, expect, it } from "vitest";
import { programHeaps } from "../src/programs.js";
import { layout } from "./sample.js";

const HEAD = layout.symbols.processes + layout.offset("list", "head"), NEXT = layout.offset("list_elem", "next");
const memory = (word) => ({ word, text: () => "name" });

describe("the heaps of programs", () => {
    it("are those of the list's programs that have one", () => {
        const words = new Map(), elem = layout.offset("process", "elem");
        const places = [0x88001000, 0x88002000];
        for (const [i, at] of places.entries()) {
            words.set((i ? places[i - 1] + elem : HEAD) + NEXT, at + elem);
            words.set(at + layout.offset("process", "pid"), i + 1);
        }
        words.set(places[1] + elem + NEXT, HEAD);
        words.set(places[1] + layout.offset("process", "heap"), 0x88003000);
        words.set(0x88003000 + layout.offset("user_heap", "heap") + layout.offset("heap", "small_frames"), 5);
        const found = programHeaps(layout, memory((at) => words.get(at) ?? 0));
        expect(found).toEqual([{ pid: 2, name: "name", frames: 5, live: 0, descs: [] }]);
    });
    it("end, whatever the words are", () => {
        let state = 5;
        const any = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
        for (let round = 0; round < 200; round++) {
            expect(programHeaps(layout, memory(any)).length).toBeLessThanOrEqual(64);
        }
        expect(programHeaps(layout, memory(() => 0))).toEqual([]);
        const at = 0x88001000 + layout.offset("process", "elem"); // a list that leads back into itself
        const heap = 0x88001000 + layout.offset("process", "heap");
        const circle = new Map([[HEAD + NEXT, at], [at + NEXT, at], [heap, 0x88003000]]);
        expect(programHeaps(layout, memory((place) => circle.get(place) ?? 0)).length).toBe(64);
    });
});
