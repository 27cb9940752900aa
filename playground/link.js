// A link that holds a circuit: its text, compressed, behind the `#`.

const MARK = "#circuit=";

export async function linkOf(text) {
  const packed = await passed(new TextEncoder().encode(text), new CompressionStream("deflate-raw"));
  const letters = btoa(String.fromCharCode(...packed)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `${location.href.split("#")[0]}${MARK}${letters}`;
}

// The text of a link; null if it holds none that can be read.
export async function textOf(hash) {
  if (!hash.startsWith(MARK)) return null;
  try {
    const letters = hash.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/");
    const packed = Uint8Array.from(atob(letters), (c) => c.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(await passed(packed, new DecompressionStream("deflate-raw")));
  } catch {
    return null;
  }
}

async function passed(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}
