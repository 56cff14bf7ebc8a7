export function ask(url, headers, credentials, fetch, answered) {
  const controller = new AbortController();
  const { signal } = controller;
  const answer = (token, error, refused) => signal.aborted || answered({ token, error, refused });
  const failed = (error) => answer(undefined, String(error?.message || error), false);
  (async () => {
    const get = fetch ?? globalThis.fetch;
    const response = await get(url, { headers, credentials, cache: "no-store", signal });
    const { status, ok } = response;
    const body = await response.json().catch(() => undefined);
    const error = body?.error;
    const token = body?.token;
    if (ok && error == null && typeof token === "string") return () => answer(token, "", false);
    const said = typeof error === "string" ? error : typeof error?.message === "string" ? error.message : "";
    if (status === 403) return () => answer(undefined, said || "Forbidden", true);
    return () => answer(undefined, said ? `${status}: ${said}` : `${status} without a token`, false);
  })().then((tell) => tell(), failed);
  return controller;
}
