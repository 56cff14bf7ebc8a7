// What a user of the package writes: the import, a socket, a call. The answer
// becomes the page's title, an error its body.

import { TokenSocket } from "tokensocket";

const host = new URLSearchParams(location.search).get("host");
const socket = new TokenSocket({ host });

socket.rpc("echo", { built: true }).then(
  (answer) => (document.title = JSON.stringify(answer)),
  (error) => (document.body.textContent = `${error.code}: ${error.message}`),
);
