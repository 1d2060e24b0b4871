// words.js - an event in one line: malloc(24) = 0x88000020, thread 1, demo_run+0x12.
import { hex } from "./layout.js";

export function eventLine(entry, layout, t) {
    if (entry.kind === null) return t("noCall");
    const given = [`${entry.size}`, hex(entry.pointer), `${hex(entry.pointer)}, ${entry.size}`, `${entry.size}`,
        `${entry.pointer}, ${entry.size}`][entry.kind];
    const gave = entry.kind === 1 ? "" : ` = ${hex(entry.result)}`;
    return `${layout.eventKinds[entry.kind]}(${given})${gave}${entry.refused ? ` ${t("refused")}` : ""}, ` +
        `${t("threadIs", entry.tid)}, ${layout.place(entry.caller)}`;
}
