// A tour's claims: Python's meaning, the machine's values, and any text and any memory at all.
import { describe, expect, it } from "vitest";
import { parse, World } from "../src/claims.js";
import { BASE, layout, Sample } from "./sample.js";

// A processor whose memory is the sample's.
function processor(sample, registers = {}) {
    return {
        get: (name) => registers[name] ?? 0,
        entry: (address) => (address >= BASE ? 3 : 0),
        byte(address) {
            const at = sample.regions.place(address);
            if (at < 0) throw new RangeError("outside the memory");
            return sample.regions.bytes[at];
        },
    };
}

function world(registers) {
    const sample = new Sample();
    sample.arena(0, 1, 3, [1]);
    sample.large(2, 3);
    return new World(processor(sample, registers), layout);
}

const one = (where, expression) => where.check([[null, expression]])[0];

describe("a claim", () => {
    it.each([
        ["1 + 2 * 3 == 7", true], ["(1 + 2) * 3 == 9", true], ["7 // 2 == 3 and 7 % 4 == 3", true],
        ["6 & 2 == 2", true],              // as Python: & before ==
        ["5 & 4 | 2 == 6", true], ["1 << 4 | 1 == 17", true], ["256 >> 4 == 16", true], ["10 - 4 - 3 == 3", true],
        ["0xfffff000 & 0x88001234 == 0x88001000", true], ["0 - 1 < 0", true], ["-1 % 16 == 15", true],
        ["not 1 == 2", true], ["not (1 == 1 or 2 == 3)", false], ["1 == 2 or not 3 == 4", true],
        ["\"a\" == \"a\"", true], ["\"a\" == \"b\"", false], ["1", false], // a number is not True
        ["2 != 2", false], ["2 >= 3", false], ["1 < 2 < 3", true], ["1 < 3 < 2", false], ["3 > 2 == 2", true],
        ["0x1fff & ~4095 == 0x1000", true],
    ])("%s", (expression, holds) => {
        expect(one(world(), expression).holds).toBe(holds);
    });
    it("looks into records", () => {
        const where = world({ eax: BASE + 32 });
        for (const claim of ["arena(eax).cnt == 126", "bit(eax)", "not live(eax)", "live(eax + 32)",
            "arena(eax).desc == at(desc(32))", "arena(eax).map[0] == 2", "arena(eax) == arena(eax + 4)",
            "desc(32).blocks_per_arena == 128", "arena(HEAP_BASE + 3 * PAGE).large == 0", "mapped(eax)",
            "arena(HEAP_BASE + 2 * PAGE).large == 1 and arena(HEAP_BASE + 2 * PAGE).cnt == 3"]) {
            expect(one(where, claim)).toEqual({ claim, value: "True", holds: true });
        }
        expect(one(where, "arena(eax).cnt == 125")).toMatchObject({ value: "False", holds: false });
    });
    it("remembers", () => {
        const [let_, after] = world({ eax: 24 }).check([["p", "eax"], [null, "p == 24 and eax == p"]]);
        expect(let_).toEqual({ claim: "p = eax", value: "24", holds: true });
        expect(after.holds).toBe(true);
    });
    it("that cannot be looked up does not hold, and says why", () => {
        for (const [claim, why] of [["nobody == 1", "nobody"], ["desc(17).arenas == 0", "17"],
            ["heap.nothing == 1", "nothing"], ["word(0) == 0", "outside"], ["1 +", "missing"], ["(1 == 1", "missing"],
            ["eax.cnt == 1", "cnt"], ["constructor == 1", "constructor"], ["1 == 1 ==", "missing"],
            ["heap + 1 == 2", "numbers"], ["1 ; 2", "not understood"], ["arena(\"x\").cnt == 1", "memory"]]) {
            const { holds, value } = one(world(), claim);
            expect([claim, holds]).toEqual([claim, false]);
            expect(value).toContain(why);
        }
    });
    it("of the tours is understood, each of them", () => {
        const claims = Object.values(layout.tours).flatMap((tour) => tour.stops.flatMap((stop) => stop.claims));
        expect(claims.length).toBeGreaterThan(100);
        for (const [, expression] of claims) expect(() => parse(expression)).not.toThrow();
    });
    it("may be any text, over any memory: no exception, and no true one out of rubbish", () => {
        const words = ["1", "0x10", "and", "or", "not", "(", ")", "heap", "desc", "arena", ".", "cnt", "map", "[", "]",
            "==", "<", "&", "|", "+", "//", "%", "\"s\"", "eax", "live", "bit", ",", "word", "-", "?", "thread"];
        const sample = new Sample(), where = new World(processor(sample, { eax: BASE }), layout);
        let state = 9;
        const choose = (below) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
        for (let round = 0; round < 20000; round++) {
            if (round % 500 === 0) for (let i = 0; i < 200; i++) {
                sample.regions.words[choose(sample.regions.words.length)] = state;
            }
            const text = Array.from({ length: 1 + choose(8) }, () => words[choose(words.length)]).join(" ");
            const { holds, value } = one(where, text);
            expect(typeof value).toBe("string");
            if (holds) expect(value).toBe("True");
        }
        expect(one(where, `${"(".repeat(9999)}1`).holds).toBe(false);
    });
});
