globalThis.entry = { TokenSocket, TokenSocketError: TokenSocket.TokenSocketError };
