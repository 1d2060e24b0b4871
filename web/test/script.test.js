// What a script may say, and what it types at the prompt.
import { expect, it } from "vitest";
import { LINES_MOST, parse, run } from "../src/script.js";

it("is typed line by line, with the pointers that came back", async () => {
    const typed = [];
    const { calls } = parse("a = malloc 24 # one\n\nb = realloc a 0x64\nfree b+8\nfree b\nfree 0x88000000\n");
    await run(calls, async (line) => {
        typed.push(line);
        return 0x88000000 + typed.length * 32;
    });
    expect(typed).toEqual(["malloc 24", "realloc 0x88000020 100", "free 0x88000048", "free 0x88000040",
        "free 0x88000000"]);
});

it("is refused with the number of the line", () => {
    expect(parse("").fault).toEqual(["scriptLine", 1, ""]);
    expect(parse("a = malloc 1\nfree a b").fault).toEqual(["scriptLine", 2, "free a b"]);
    expect(parse("halt").fault).toEqual(["scriptLine", 1, "halt"]);
    expect(parse("free a").fault).toEqual(["scriptName", 1, "a"]);
    expect(parse("a = malloc 1\n".repeat(LINES_MOST + 1)).fault).toEqual(["scriptLong", LINES_MOST + 1, "200"]);
});

it("may be any text: no exception", () => {
    let state = 9;
    for (let round = 0; round < 3000; round++) {
        let text = "";
        for (let i = 0; i < 12; i++) {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            text += ["a", " = ", "malloc ", "free ", "realloc ", "24", "+", "\n", "0x", "#", "é", " "][state % 12];
        }
        const read = parse(text);
        expect(Boolean(read.fault)).toBe(!read.calls);
    }
});
