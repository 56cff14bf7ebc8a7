// The budget: what a page must download for the ESM entry, and what it downloads
// in addition where there is no WebSocket to be had.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ourSizes } from "../bench/sizes.mjs";
import { installedPackage } from "../harness/package.mjs";

/** Bytes, gzip -9. */
const BUDGET = 45_000;
const FALLBACK_BUDGET = 6_000;

test("the ESM and its .wasm are within the size budget", async (t) => {
  const { dist } = await installedPackage();
  const sizes = await ourSizes(dist);
  for (const [name, bytes] of Object.entries(sizes)) {
    t.diagnostic(`${name}: ${(bytes / 1000).toFixed(1)} KB`);
  }
  assert.ok(sizes["tokensocket, ESM"] <= BUDGET, `${sizes["tokensocket, ESM"]} of ${BUDGET} bytes`);
  const fallback = sizes["tokensocket, without a WebSocket"];
  assert.ok(fallback <= FALLBACK_BUDGET, `${fallback} of ${FALLBACK_BUDGET} bytes`);
});
