// browser.mjs - a browser that a test or web/screenshot.py drives: a line of JSON in, a line of JSON out.
//
//   node browser.mjs MODULES [CHROMIUM]
//
// In: {goto: url}, {eval: expression}, {screenshot: file, selector?}, {emulate: {width, height, scheme, motion}},
// {click: selector}, {press: key}, {init: script}. Out: {ok: value} or {error: text}. MODULES is where npm put
// playwright-core. `eval` waits for a promise; its value must be JSON.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";

const [modules, program = "/usr/bin/chromium"] = process.argv.slice(2);
const { chromium } = createRequire(path.join(path.resolve(modules), "x.js"))("playwright-core");
const profile = fs.mkdtempSync(path.join(os.tmpdir(), "granary-browser-"));
const context = await chromium.launchPersistentContext(profile, {
    executablePath: program, headless: true, viewport: { width: 1280, height: 900 },
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"],
});
const page = context.pages()[0] ?? await context.newPage();
const errors = [];
page.on("pageerror", (error) => errors.push(String(error.stack ?? error)));

const commands = {
    goto: async ({ goto }) => {
        await page.goto("about:blank");
        await page.goto(goto);
    },
    eval: ({ eval: text }) => page.evaluate(text),
    screenshot: async ({ screenshot, selector }) => {
        await (selector ? page.locator(selector) : page).screenshot({ path: screenshot });
    },
    emulate: async ({ emulate: { width, height, scheme, motion } }) => {
        if (width) await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme: scheme ?? "light", reducedMotion: motion ?? "no-preference" });
    },
    click: ({ click }) => page.click(click),
    press: ({ press }) => page.keyboard.press(press),
    init: ({ init }) => page.addInitScript(init),
    errors: () => errors.splice(0),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
        const command = JSON.parse(line);
        const name = Object.keys(commands).find((each) => each in command);
        answer = { ok: await commands[name](command) ?? null };
    } catch (error) {
        answer = { error: String(error.message ?? error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
}
await context.close();
fs.rmSync(profile, { recursive: true, force: true });
