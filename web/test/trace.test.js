// Which files are traces; any bytes.
import { expect, it } from "vitest";
import { OPERATIONS_MOST, readTrace, traceName } from "../src/trace.js";

function trace(operations, more = 0) {
    const bytes = new Uint8Array(32 + 8 * operations + more), view = new DataView(bytes.buffer);
    bytes.set([..."MTRACE1\0"].map((char) => char.charCodeAt(0)));
    view.setUint32(8, operations, true);
    return bytes;
}

it("a good one becomes whole sectors", () => {
    const read = readTrace(trace(100).buffer);
    expect([read.operations, read.disk.byteLength, read.fault]).toEqual([100, 1024, undefined]);
    expect(readTrace(trace(0, 400).buffer).operations).toBe(0); // padded
});

it("what is wrong has a name", () => {
    const fault = (bytes) => readTrace(bytes.slice().buffer).fault;
    expect(fault(new Uint8Array(0))).toEqual(["traceNone"]);
    expect(fault(new Uint8Array([1, 2, 3]))).toEqual(["traceNone"]);
    expect(fault(new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]))).toEqual(["traceXz"]);
    expect(fault(trace(3).subarray(0, 20))).toEqual(["traceCut", 32, 20]);
    expect(fault(trace(3).subarray(0, 40))).toEqual(["traceCut", 56, 40]);
    const more = trace(1, 9), version = trace(1);
    more[45] = 1;
    version[24] = 1;
    expect(fault(more)).toEqual(["traceMore", 9]);
    expect(fault(version)).toEqual(["traceVersion"]);
    expect(fault(trace(OPERATIONS_MOST + 1))[0]).toBe("traceLong");
});

it("any bytes give no exception", () => {
    let state = 5;
    for (let round = 0; round < 3000; round++) {
        const bytes = trace(round % 40);
        for (let change = 0; change < round % 7; change++) {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            bytes[state % bytes.length] = state >>> 24;
        }
        const read = readTrace(bytes.slice(0, state % (bytes.length + 1)).buffer);
        expect(read.fault === undefined).toBe(read.disk !== undefined);
    }
});

it("a name has no blank in it", () => {
    expect(traceName("my trace (1).mtrace")).toBe("my_trace__1_");
    expect(traceName("")).toBe("trace");
});
