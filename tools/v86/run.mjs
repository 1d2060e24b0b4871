// run.mjs - boots a disk image in v86 (an i686 in WebAssembly), without a browser.
//
//   node run.mjs --image hd.img --modules DIR [--disk2 FILE] [--mem MiB] [--timeout SECONDS]
//
// The serial line goes to standard output. v86 has no exit port, so the transcript alone judges:
//   0 the kernel's last line says it halted as passed, 1 as failed or in a panic, 2 a wrong option or a missing file,
//   3 the time is up.
// --modules is where npm put v86; the BIOS images are Debian's (package seabios).
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { BIOS, VGA_BIOS } from "./firmware.mjs";

const LAST_LINE = /^granary: halt (passed|failed|panic)/;

function die(message, status = 2) {
    process.stderr.write(`v86: ${message}\n`);
    process.exit(status);
}

function options() {
    const known = {
        image: { type: "string" },
        modules: { type: "string" },
        disk2: { type: "string" },
        mem: { type: "string", default: "64" },
        timeout: { type: "string", default: "120" },
    };
    try {
        return parseArgs({ options: known }).values;
    } catch (error) {
        return die(error.message);
    }
}

function number(name, text, least, most) {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most)
        die(`--${name} takes a number from ${least} to ${most}, not '${text}'`);
    return value;
}

// v86 wants an ArrayBuffer of the file alone; Node's buffers may share one.
function load(file) {
    try {
        const bytes = fs.readFileSync(file);
        return { buffer: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) };
    } catch (error) {
        return die(`${file}: ${error.code === "ENOENT" ? "no such file" : error.message}`);
    }
}

// Calls `done` with the kernel's own verdict once its last line is there; shows everything meanwhile.
function follow(emulator, done) {
    let line = "";
    emulator.add_listener("serial0-output-byte", (byte) => {
        const char = String.fromCharCode(byte);
        process.stdout.write(char);
        if (char !== "\n") {
            line += char;
            return;
        }
        const end = LAST_LINE.exec(line.trim());
        line = "";
        if (end) done(end[1] === "passed" ? 0 : 1);
    });
}

const given = options();
if (!given.image || !given.modules) die("--image and --modules must be given");
const mem = number("mem", given.mem, 4, 2048);
const timeout = number("timeout", given.timeout, 1, 3600);
const build = path.join(given.modules, "v86", "build");
if (!fs.existsSync(path.join(build, "libv86.mjs"))) die(`no v86 in ${given.modules}: make v86 puts it there`);

const { V86 } = await import(pathToFileURL(path.resolve(build, "libv86.mjs")).href);
const emulator = new V86({
    wasm_path: path.join(build, "v86.wasm"),
    bios: load(BIOS),
    vga_bios: load(VGA_BIOS),
    memory_size: mem * 1024 * 1024,
    hda: load(given.image),
    hdb: given.disk2 ? load(given.disk2) : undefined,
    autostart: true,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
});
follow(emulator, (status) => process.exit(status));
setTimeout(() => die(`no last line within ${timeout} s`, 3), timeout * 1000);
