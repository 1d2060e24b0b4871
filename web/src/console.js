// console.js - what the page takes from the kernel's own lines: a report of the heap, a replay's figures of a table.
//
// Pure: text in, words out. What the kernel says is shown as it says it.
const ANSI = /\x1b\[[0-9;]*[A-Za-z]/g;
const TABLE = /^\s*table: classes=(\S+) frames_peak=(\d+) footprint=([\d.]+)/;

const lines = (text) => text.replace(ANSI, "").split(/\r?\n|\r/);

// The newest report of the heap; "" if there is none in the text.
export const lastReport = (text) => lines(text).findLast((line) => line.startsWith("heap: ")) ?? "";

// What a line says of a table of block sizes that a replay tried: {table, frames, footprint}, or null.
export function tableOf(text) {
    const match = lines(text).map((line) => TABLE.exec(line)).findLast((each) => each);
    return match ? { table: match[1], frames: Number(match[2]), footprint: match[3] } : null;
}
