globalThis.entry = { SockJS, TokenSocket };
