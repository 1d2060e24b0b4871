// vite.config.mjs - how the page is put together. Environment, set by tools/mk/web.mk:
//   GRANARY_ASSETS   folder with what src/assets.js asks for
//   GRANARY_OUT      where the page goes
//   GRANARY_ONE      1: everything in one HTML file
import fs from "node:fs";
import path from "node:path";
import zlib from "node:zlib";
import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

const one = process.env.GRANARY_ONE === "1", from = process.env.GRANARY_ASSETS;

// The files beside the page: copied, or packed into it before its script.
const assets = {
    name: "granary-assets",
    transformIndexHtml(html) {
        if (!one) return html.replace("<!-- assets -->", "");
        const packed = fs.readdirSync(from).map((name) =>
            [name, zlib.gzipSync(fs.readFileSync(path.join(from, name)), { level: 9 }).toString("base64")]);
        const text = JSON.stringify(Object.fromEntries(packed));
        return html.replace("<!-- assets -->", () => `<script>globalThis.granaryAssets = ${text};</script>`);
    },
    writeBundle() {
        if (!one) fs.cpSync(from, path.join(process.env.GRANARY_OUT, "assets"), { recursive: true });
    },
};

export default defineConfig({
    base: "./",
    plugins: [assets, ...(one ? [viteSingleFile()] : [])],
    build: { outDir: process.env.GRANARY_OUT, emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 2000,
        assetsDir: "code", modulePreload: false },
    test: { testTimeout: 60000 }, // ms: the fuzzed tests take a second each, and many on a busy machine
    logLevel: "error",
});
