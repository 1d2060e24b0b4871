// firmware.mjs - the firmware that v86 boots with: Debian's (package seabios).
//
//   node firmware.mjs DIR   copies both files there, under the names that the page asks for
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const BIOS = "/usr/share/seabios/bios.bin";
export const VGA_BIOS = "/usr/share/seabios/vgabios-stdvga.bin";

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    fs.copyFileSync(BIOS, path.join(process.argv[2], "bios.bin"));
    fs.copyFileSync(VGA_BIOS, path.join(process.argv[2], "vgabios.bin"));
}
