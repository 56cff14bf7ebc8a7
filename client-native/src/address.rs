//! Where the server is.
//!
//! In: `https://host:port`, a token path and a socket prefix. Out: the URL of the token request, and what
//! it takes to open the WebSocket.

use url::{Host, Url};

use crate::error::BuildError;

#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// The token request, without the authentication.
    pub(crate) token_url: Url,
    /// The host to connect to, without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
    /// The WebSocket's URL.
    pub(crate) socket_url: Url,
}

impl Address {
    pub(crate) fn new(address: &str, token_path: &str, socket_prefix: &str) -> Result<Self, BuildError> {
        let invalid = || BuildError::Address { address: address.to_owned() };
        let base = Url::parse(address).map_err(|_| invalid())?;
        let secure = match base.scheme() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(invalid()),
        };
        let host = match base.host().ok_or_else(invalid)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let port = base.port_or_known_default().ok_or_else(invalid)?;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let at = |scheme: &str, path: &str| {
            let base_path = base.path().trim_end_matches('/');
            let scheme = if secure { format!("{scheme}s") } else { scheme.to_owned() };
            let slash = if path.starts_with('/') { "" } else { "/" };
            Url::parse(&format!("{scheme}://{authority}{base_path}{slash}{path}")).map_err(|_| invalid())
        };
        let socket_path = format!("{}/websocket", socket_prefix.trim_end_matches('/'));
        let (token_url, socket_url) = (at("http", token_path)?, at("ws", &socket_path)?);
        Ok(Self { token_url, host, port, secure, socket_url })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(address: &str) -> Option<(String, String)> {
        let address = Address::new(address, "/socket/token", "/sockets").ok()?;
        Some((address.token_url.to_string(), address.socket_url.to_string()))
    }

    #[test]
    fn every_scheme_gives_both_urls() {
        for (address, token, socket) in [
            ("http://h:1337", "http://h:1337/socket/token", "ws://h:1337/sockets/websocket"),
            ("ws://h:1337/", "http://h:1337/socket/token", "ws://h:1337/sockets/websocket"),
            ("https://h", "https://h/socket/token", "wss://h/sockets/websocket"),
            ("wss://h:8443", "https://h:8443/socket/token", "wss://h:8443/sockets/websocket"),
            ("http://[::1]:8", "http://[::1]:8/socket/token", "ws://[::1]:8/sockets/websocket"),
            ("http://h/app/", "http://h/app/socket/token", "ws://h/app/sockets/websocket"),
        ] {
            assert_eq!(urls(address), Some((token.to_owned(), socket.to_owned())), "{address}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for address in ["", "host", "host:80", "ftp://h", "http://"] {
            assert!(urls(address).is_none(), "{address}");
        }
    }
}
