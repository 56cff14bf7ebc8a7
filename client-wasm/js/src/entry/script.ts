/** The plain script: sets `window.TokenSocket`, with the errors' class as `TokenSocket.TokenSocketError`. */
import { TokenSocket, TokenSocketError } from "./inline.js";

Object.assign(globalThis, { TokenSocket: Object.assign(TokenSocket, { TokenSocketError }) });
