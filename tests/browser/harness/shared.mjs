// What all tests of one suite share, such as a server: started before the first
// of them, ended after the last.

import { after, before } from "node:test";

/** Call it in a `describe`; what it returns gives the shared thing, within tests. */
export function shared(start) {
  const ends = [];
  let thing;
  before(async () => {
    thing = await start({ after: (end) => ends.push(end) });
  });
  after(async () => {
    for (const end of ends.reverse()) {
      await end();
    }
  });
  return () => thing;
}
