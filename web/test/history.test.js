// Any position, forwards and backwards: the same words as when they were new; and in time.
import { describe, expect, it } from "vitest";
import { History, OTHER, Owners } from "../src/history.js";

function grown(entries, words = 1000) {
    const history = new History(new Uint32Array(words)), now = new Uint32Array(words), pictures = [];
    history.begin((to) => to.set(now));
    let state = 7;
    for (let n = 0; n < entries; n++) {
        for (let change = 0; change < 8; change++) {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            now[state % words] = state;
        }
        history.compare(0, now);
        history.commit(n % 5 ? { kind: n % 2, refused: n % 7 === 0, tid: n % 3, size: n, pointer: n % 2 ? n - 1 : 0,
            result: n % 2 ? 0 : n + 1, caller: n } : null);
        if (n % 97 === 0) pictures.push([n + 1, now.slice()]);
    }
    return { history, pictures };
}

describe("history", () => {
    const { history, pictures } = grown(3000);
    it("gives each picture again, in any order", () => {
        for (const [position, words] of [...pictures, ...pictures.toReversed(), ...pictures]) {
            history.seek(position);
            expect(history.words).toEqual(words);
        }
    });
    it("stays within its bounds", () => {
        expect(history.seek(-5)).toBe(0);
        expect(history.seek(1e9)).toBe(3000);
        expect(history.seek(NaN)).toBe(0);
        expect(history.entry(-1)).toBe(null);
        expect(history.entry(3000)).toBe(null);
    });
    it("keeps what a call was", () => {
        expect(history.entry(7)).toEqual({ kind: 1, refused: true, tid: 1, size: 7, pointer: 6, result: 0, caller: 7 });
        expect(history.entry(5).kind).toBe(null);
        expect(history.columns.kind.array[5]).toBe(OTHER);
    });
    it("reaches any of 10^5 events in 100 ms", () => {
        const long = grown(100000).history;
        for (const position of [100000, 0, 99999, 50000, 1]) {
            const start = process.cpuUsage().user; // not the clock: other work on the machine takes time, too
            long.seek(position);
            expect((process.cpuUsage().user - start) / 1000).toBeLessThan(100);
        }
        expect(long.bytes / 100000).toBeLessThan(130);
    });
    it("finds the threads of a moment", () => {
        const few = grown(0).history;
        few.threads.set(few.length, ["a"]);
        few.commit(null);
        few.commit(null);
        few.threads.set(few.length, ["b"]);
        expect(few.threads.set(few.length, ["b"])).toBe(false);
        expect([0, 1, 2, 9].map((n) => few.threads.at(n))).toEqual([["a"], ["a"], ["b"], ["b"]]);
    });
});

describe("owners", () => {
    it("knows who asked for what lives, backwards too", () => {
        const history = new History(new Uint32Array(1));
        const call = (kind, size, pointer, result, refused = false) =>
            history.commit({ kind, refused, tid: 3, size, pointer, result, caller: 0 });
        call(0, 24, 0, 100);
        call(2, 50, 100, 200);
        call(2, 9999, 200, 0);       // no memory: stays
        call(1, 0, 200, 0, true);    // refused: stays
        call(1, 0, 200, 0);
        const owners = new Owners(history, ["malloc", "free", "realloc"]);
        const sizes = (n) => [...owners.at(n)].map(([at, { size }]) => [at, size]);
        expect([1, 2, 3, 4, 5, 1].map(sizes)).toEqual([
            [[100, 24]], [[200, 50]], [[200, 50]], [[200, 50]], [], [[100, 24]]]);
    });
});
