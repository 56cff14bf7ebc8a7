let asked = 0;

export function ask(url, answered) {
  const controller = new AbortController();
  const { document } = globalThis;
  const name = `tokensocket_${Date.now().toString(36)}_${asked++}`;
  const script = document?.createElement("script");
  const clean = () => {
    delete globalThis[name];
    if (script) {
      script.onload = script.onerror = null;
      script.remove();
    }
  };
  const answer = (token, error, refused) => {
    if (controller.signal.aborted) return;
    clean();
    answered({ token, error, refused });
  };
  const failed = (error) => answer(undefined, error, false);
  controller.signal.addEventListener("abort", clean);
  if (!script) {
    queueMicrotask(() => failed("there is no document here, which JSONP needs: use the token request cors"));
    return controller;
  }
  globalThis[name] = (body) => {
    const error = body?.error;
    const token = body?.token;
    if (error == null && typeof token === "string") answer(token, "", false);
    else if (error == null) failed("an answer without a token");
    else answer(undefined, String(error.message ?? error), error === "Forbidden");
  };
  script.onload = () => failed("a script without an answer");
  script.onerror = () => failed("the script could not be loaded");
  script.src = `${url}${url.includes("?") ? "&" : "?"}callback=${name}`;
  (document.head ?? document.documentElement).append(script);
  return controller;
}
