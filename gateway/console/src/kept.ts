// What the browser keeps for this page. A browser that keeps nothing is no reason to fail.

/** Reads what is kept under a name; with a value, keeps that. */
export function kept(storage: Storage, name: string, value?: string): string | null {
  try {
    if (value !== undefined) storage.setItem(`tokensocket-console.${name}`, value);
    return storage.getItem(`tokensocket-console.${name}`);
  } catch {
    return value ?? null;
  }
}
