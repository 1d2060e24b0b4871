// script.js - a little script of heap calls, made at the kernel's prompt:
//
//     a = malloc 24
//     b = realloc a 100
//     free b+8            # a wrong pointer: refused
//     free b
//
// parse() is pure; run() types a line, waits for the prompt, and takes the call's result from the event.

export const LINES_MOST = 200;
const NUMBER = "(0x[0-9a-fA-F]{1,8}|\\d{1,10})";
const PLACE = `(?:([a-z_]\\w*)(?:\\+${NUMBER})?|${NUMBER})`;
const FORMS = [
    ["malloc", new RegExp(`^([a-z_]\\w*) *= *malloc +${NUMBER}$`, "i")],
    ["realloc", new RegExp(`^([a-z_]\\w*) *= *realloc +${PLACE} +${NUMBER}$`, "i")],
    ["free", new RegExp(`^free +${PLACE}$`, "i")],
];

// {calls: [{what, to, name, add, address, size}]} or {fault: [key, line number, text]}.
export function parse(text) {
    const calls = [], known = new Set(), lines = text.split("\n");
    for (const [i, whole] of lines.entries()) {
        const line = whole.replace(/#.*/, "").trim();
        if (!line) continue;
        const form = FORMS.find(([, pattern]) => pattern.test(line));
        if (!form) return { fault: ["scriptLine", i + 1, line.slice(0, 60)] };
        const call = makeCall(form[0], form[1].exec(line));
        if (call.name && !known.has(call.name)) return { fault: ["scriptName", i + 1, call.name] };
        if (call.to) known.add(call.to);
        calls.push(call);
        if (calls.length > LINES_MOST) return { fault: ["scriptLong", i + 1, String(LINES_MOST)] };
    }
    return calls.length ? { calls } : { fault: ["scriptLine", 1, ""] };
}

function makeCall(what, found) {
    if (what === "malloc") return { what, to: found[1], size: Number(found[2]) };
    const at = what === "free" ? 1 : 2;
    const call = { what, name: found[at], add: Number(found[at + 1] ?? 0), address: Number(found[at + 2] ?? 0) };
    return what === "free" ? call : { ...call, to: found[1], size: Number(found[5]) };
}

// ask(line): types a line, resolves to the last event's result once the prompt is back.
export async function run(calls, ask) {
    const values = new Map();
    for (const { what, to, name, add, address, size } of calls) {
        const place = ((name ? values.get(name) : address) + (add ?? 0)) >>> 0;
        const line = what === "malloc" ? `malloc ${size}` : what === "free" ? `free 0x${place.toString(16)}`
            : `realloc 0x${place.toString(16)} ${size}`;
        const result = await ask(line);
        if (to) values.set(to, result);
    }
    return values;
}
