// The records of the second line: whole, cut, damaged, and any bytes.
import { describe, expect, it } from "vitest";
import { EventReader } from "../src/events.js";
import { eventLine } from "../src/words.js";
import { layout } from "./sample.js";

const HEAD = record("event_head", { bytes: layout.constants.EVENT_BYTES, heap_base: 0x88000000, heap_bytes: 4096 });
"HEVENTS1".split("").forEach((char, i) => { HEAD[i] = char.charCodeAt(0); });

function record(struct, values) {
    const bytes = new Uint8Array(layout.constants.EVENT_BYTES), view = new DataView(bytes.buffer);
    for (const [name, value] of Object.entries(values)) {
        const [at, , bits] = layout.structs[struct].fields[name];
        view[`setUint${bits}`](at, value, true);
    }
    return bytes;
}

const event = (number, more = {}) => record("event", { mark: layout.constants.EVENT_MARK, kind: 0, number, tid: 1,
    size: 24, pointer: 0, result: 0x88000020, caller: 0x80100000, ...more });

function read(...parts) {
    const reader = new EventReader(layout), found = [];
    for (const part of parts) for (const byte of part) {
        const done = reader.feed(byte);
        if (done && !done.head) found.push(done);
    }
    return { reader, found };
}

describe("events", () => {
    it("are read field by field", () => {
        const refused = event(2, { kind: 0x81, size: 0, pointer: 0x88000020, result: 0 });
        const { reader, found } = read(HEAD, event(1), refused);
        expect(reader.head).toEqual({ head: true, heapBase: 0x88000000, heapBytes: 4096 });
        expect(found[0]).toMatchObject({ kind: 0, refused: false, tid: 1, size: 24, result: 0x88000020, number: 1 });
        expect(found[1]).toMatchObject({ kind: 1, refused: true, pointer: 0x88000020 });
        expect([reader.lost, reader.missing]).toEqual([0, 0]);
    });
    it("are missed by number, which wraps", () => {
        expect(read(HEAD, event(1), event(4)).reader.missing).toBe(2);
        expect(read(event(65535), event(0)).reader.missing).toBe(0);
    });
    it("are found again after rubbish", () => {
        const { reader, found } = read(HEAD, event(1), [1, 2, 3], event(2));
        expect(found.map((each) => each.number)).toEqual([1, 2]);
        expect(reader.lost).toBe(3);
    });
    it("of another size are no head", () => {
        const other = HEAD.slice();
        other[8] = 32;
        expect(read(other).reader.head).toBe(null);
    });
    it("read as a line", () => {
        const t = (key, ...values) => `${key} ${values.join(" ")}`.trim();
        expect(eventLine(read(event(1)).found[0], layout, t)).toMatch(/^malloc\(24\) = 0x88000020, threadIs 1, /);
        expect(eventLine({ kind: null }, layout, t)).toBe("noCall");
    });
    it("may be any bytes: no exception, no event of a kind there is not", () => {
        let state = 3;
        const noise = Array.from({ length: 200000 }, (_, i) => {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            return i % 3 ? state >>> 24 : [layout.constants.EVENT_MARK, 72, 0][state % 3];
        });
        for (const each of read(noise).found) expect(each.kind).toBeLessThan(layout.eventKinds.length);
    });
});
