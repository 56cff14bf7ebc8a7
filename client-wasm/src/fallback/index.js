// All that is needed where there is no WebSocket to be had. transport.js loads it then, and not before. `ways` is
// what it describes there.
import { Ladder } from "./ladder.js";
import { Memory } from "./memory.js";
import { HttpSocket } from "./socket.js";

export const ladder = ({ transports }, url) => new Ladder(transports, new Memory(url));

// A transport by its name; `webSocket(ways, url)` opens the one that is not from here.
export const open = (name, ways, url, webSocket) =>
  name === "websocket" ? webSocket(ways, url) : new HttpSocket(url, name, ways);
