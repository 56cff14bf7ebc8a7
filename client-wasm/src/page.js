export function listen(wake) {
  const controller = new AbortController();
  const { document } = globalThis;
  const on = (target, event, wakes) =>
    target?.addEventListener?.(event, (happened) => wakes(happened) && wake(), { signal: controller.signal });
  on(globalThis, "online", () => true);
  on(globalThis, "pageshow", (shown) => shown.persisted);
  on(document, "visibilitychange", () => document.visibilityState === "visible");
  return controller;
}
