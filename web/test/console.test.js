// What is taken from the kernel's lines.
import { describe, expect, it } from "vitest";
import { lastReport, tableOf } from "../src/console.js";

describe("the console", () => {
    it("has the newest report", () => {
        const text = "granary> bugs 1\r\nheap: first: 0x1: a\r\nx\r\n\x1b[31mheap: double free: 0x2: b\x1b[0m\r\nend";
        expect(lastReport(text)).toBe("heap: double free: 0x2: b");
        expect(lastReport("the heap: is\r\nmentioned")).toBe("");
    });
    it("has a replay's tables, after what was overwritten", () => {
        const line = "replaying: 70 %\r                \rtable: classes=seed frames_peak=1718 footprint=1.36";
        expect(tableOf(line)).toEqual({ table: "seed", frames: 1718, footprint: "1.36" });
        expect(tableOf("table: classes=seed frames_peak=many footprint=1.36")).toBe(null);
        expect(tableOf("")).toBe(null);
    });
});
