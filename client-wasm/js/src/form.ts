/**
 * An object as a query, the way the original client writes it: `a=1&b[c]=d`, percent-encoded.
 *
 * Fields of objects and elements of arrays become nested keys. Own fields only. Empty strings, `null` and
 * `undefined` are left out.
 */
export function encodeForm(fields: object, prefix?: string): string {
  const out: string[] = [];
  for (const [name, value] of Object.entries(fields) as [string, unknown][]) {
    const key = prefix === undefined ? name : `${prefix}[${name}]`;
    if (value === undefined || value === null || value === "") continue;
    const part =
      typeof value === "object"
        ? encodeForm(value, key)
        : `${encodeURIComponent(key)}=${encodeURIComponent(String(value))}`;
    if (part) out.push(part);
  }
  return out.join("&");
}
