// A map that lacks something is refused by name; texts are there in both languages.
import { describe, expect, it } from "vitest";
import { Layout } from "../src/layout.js";
import { TEXTS, texts } from "../src/texts.js";
import { withCommandLine } from "../src/machine.js";
import { layout } from "./sample.js";

describe("the map", () => {
    it("is refused if it lacks something", () => {
        const { structs, symbols, constants } = layout;
        const whole = { structs, symbols, constants, entries: {}, names: [], text_end: 0 };
        const without = (part, name) => ({ ...whole, [part]: { ...whole[part], [name]: undefined } });
        expect(() => new Layout(without("structs", "arena"))).toThrow("the map has no struct arena");
        expect(() => new Layout(without("symbols", "k_heap"))).toThrow("the map has no address of k_heap");
        expect(() => new Layout(without("constants", "PG_SIZE"))).toThrow("the map has no constant PG_SIZE");
        expect(() => new Layout({ ...whole, names: undefined })).toThrow("the map has no names");
        for (const wrong of [null, 7, {}, []]) expect(() => new Layout(wrong)).toThrow("the map has no structures");
    });
    it("names a place", () => {
        const [at] = layout.names.find(([, name]) => name === "sys_malloc");
        expect(layout.place(at + 18)).toBe("sys_malloc+0x12");
        expect(layout.place(layout.textEnd - 1)).toMatch(/^\w+(\.\w+)*\+0x/);
        expect([16, layout.textEnd].map((address) => layout.place(address))).toEqual(
            ["0x00000010", `0x${layout.textEnd.toString(16)}`]);
    });
});

describe("the command line", () => {
    it("is refused by what is no image, and if it is too long", () => {
        expect(() => withCommandLine(new ArrayBuffer(10), layout, "")).toThrow("not an image");
        expect(() => withCommandLine(new ArrayBuffer(4096), layout, "")).toThrow("not an image");
    });
});

describe("texts", () => {
    it("are there in both languages, with the same places to fill in", () => {
        for (const [key, pair] of Object.entries(TEXTS)) {
            expect(pair.length, key).toBe(2);
            const places = pair.map((text) => [...new Set(text.match(/\{\d\}/g) ?? [])].sort().join());
            expect(places[0], key).toBe(places[1]);
            if (key !== "arenas") expect(pair[0], key).not.toBe(pair[1]);
        }
        expect(texts("zh")("timeOf", 3, 7)).toBe("第 3 / 7 个事件");
        expect(texts("en")("threadIs", 2)).toBe("thread 2");
    });
});
