// words.js - an event in one line: malloc(24) = 0x88000020, thread 1, demo_run+0x12.
import { hex } from "./layout.js";

export function eventLine(entry, layout, t) {
    if (entry.kind === null) return t("noCall");
    const what = layout.eventKinds[entry.kind], { size, pointer } = entry;
    const given = { free: hex(pointer), realloc: `${hex(pointer)}, ${size}`, aligned_alloc: `${pointer}, ${size}` };
    const gave = what === "free" ? "" : ` = ${hex(entry.result)}`;
    return `${what}(${given[what] ?? size})${gave}${entry.refused ? ` ${t("refused")}` : ""}, ` +
        `${t("threadIs", entry.tid)}, ${layout.place(entry.caller)}`;
}
