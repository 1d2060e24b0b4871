// trace.js - is a file a trace (docs/traces.md)? What is wrong with one, as a key of texts.js and values for it.
//
// As T1 of tools/traceformat.py. What is wrong with single operations the kernel says itself when it replays them.
const MAGIC = "MTRACE1\0", HEADER = 32, OPERATION = 8, SECTOR = 512;
const XZ = [0xfd, 0x37, 0x7a, 0x58, 0x5a];
export const OPERATIONS_MOST = 20000; // the kernel replays a trace three times: some 60,000 events

// {fault: [key, ...values]} or {operations, disk}: the trace as whole sectors.
export function readTrace(buffer) {
    const bytes = new Uint8Array(buffer), view = new DataView(buffer);
    if (XZ.every((byte, i) => bytes[i] === byte)) return { fault: ["traceXz"] };
    const magic = [...MAGIC].every((char, i) => i >= bytes.length || bytes[i] === char.charCodeAt(0));
    if (!bytes.length || !magic) return { fault: ["traceNone"] };
    if (bytes.length < HEADER) return { fault: ["traceCut", HEADER, bytes.length] };
    const operations = view.getUint32(8, true), size = HEADER + OPERATION * operations;
    if (view.getUint32(24, true) || view.getUint32(28, true)) return { fault: ["traceVersion"] };
    if (bytes.length < size) return { fault: ["traceCut", size, bytes.length] };
    if (bytes.subarray(size).some((byte) => byte)) return { fault: ["traceMore", bytes.length - size] };
    if (operations > OPERATIONS_MOST) return { fault: ["traceLong", operations, OPERATIONS_MOST] };
    const disk = new Uint8Array(Math.max(1, Math.ceil(bytes.length / SECTOR)) * SECTOR);
    disk.set(bytes);
    return { operations, disk: disk.buffer };
}

// A name that the kernel's command line takes.
export const traceName = (file) => file.replace(/\.mtrace$/, "").replace(/[^A-Za-z0-9_.+-]/g, "_").slice(0, 64) ||
    "trace";
