// Time limits that say what was awaited. They only end what hangs: a busy machine may take long for anything.

const LIMIT = 20_000;

/** `promise`, or an error that says what was awaited too long. */
export async function waiting(what, promise, limit = LIMIT) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limit} ms for ${what}`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks again and again until `condition` gives something true, and gives that. */
export async function until(what, condition, limit = LIMIT) {
  const end = performance.now() + limit;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (performance.now() > end) throw new Error(`waited ${limit} ms until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
