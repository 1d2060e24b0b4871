// assets.js - the files beside the page, or inside it (make web ONE=1: base64 of gzip).
const inside = globalThis.granaryAssets;

export async function asset(name) {
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
