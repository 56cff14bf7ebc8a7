/**
 * The WebAssembly part as it lies inside a script: compressed with zlib, then base64. Out: its bytes. Needs no
 * `eval`, no data URL and no request, so that a strict Content-Security-Policy does not mind.
 */
export function unpack(packed: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
