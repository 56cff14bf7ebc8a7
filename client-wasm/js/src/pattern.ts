/**
 * Whether a pattern covers a channel. A name's segments are what its dots divide; `*` stands for any one segment,
 * and `>`, as the last one, for one or more.
 */
export function covers(pattern: string, channel: string): boolean {
  const wanted = pattern.split(".");
  const segments = channel.split(".");
  const open = wanted.at(-1) === ">" && wanted.pop();
  if (open ? segments.length <= wanted.length : segments.length !== wanted.length) return false;
  return wanted.every((want, at) => want === "*" || want === segments[at]);
}
