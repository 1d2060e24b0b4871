// assets.js - the files beside the page, or inside it (make web ONE=1: base64 of gzip); each is loaded once.
import { Layout } from "./layout.js";

const inside = globalThis.granaryAssets, loaded = new Map();
const MACHINE = ["v86.wasm", "bios.bin", "vgabios.bin"];
export const BUILDS = { fast: ["map.json", "hd.img"], checked: ["checked.json", "checked.img"] };

async function load(name) {
    if (inside) {
        if (!inside[name]) throw new Error(name);
        const packed = Uint8Array.from(atob(inside[name]), (char) => char.charCodeAt(0));
        const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
        return new Response(stream).arrayBuffer();
    }
    const answer = await fetch(`assets/${name}`).catch(() => null);
    if (!answer?.ok) throw new Error(name);
    return answer.arrayBuffer();
}

// What failed is tried again the next time.
function asset(name) {
    if (!loaded.has(name)) {
        loaded.set(name, load(name).catch((error) => {
            loaded.delete(name);
            throw error;
        }));
    }
    return loaded.get(name);
}

export const json = async (name) => JSON.parse(new TextDecoder().decode(await asset(name)));

// A kernel, what is known of it, and the machine's parts. An Error names the file that is missing.
export async function kernel(build) {
    const [map, image] = BUILDS[build];
    const [layout, hda, wasm, bios, vgabios] = await Promise.all([json(map), ...[image, ...MACHINE].map(asset)]);
    return { layout: new Layout(layout), image: hda, wasm, bios, vgabios };
}
