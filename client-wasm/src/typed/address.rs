//! Where the server is.
//!
//! In: an address, a token path and a socket prefix, the authentication as a query. Out: the URLs of the
//! token request and of the WebSocket. The engine reads the address.

use wasm_bindgen::{JsCast, JsValue};

use super::error::BuildError;

pub(crate) struct Address {
    pub(crate) token_url: String,
    pub(crate) socket_url: String,
}

impl Address {
    pub(crate) fn new(
        address: &str,
        token_path: &str,
        socket_prefix: &str,
        query: &str,
    ) -> Result<Self, BuildError> {
        let invalid = || BuildError::Address { address: address.to_owned() };
        let here = || page_origin().ok_or_else(invalid);
        let url = if address.is_empty() { here()? } else { address.to_owned() };
        let base = web_sys::Url::new(&url).map_err(|_| invalid())?;
        let secure = match base.protocol().as_str() {
            "http:" | "ws:" => "",
            "https:" | "wss:" => "s",
            _ => return Err(invalid()),
        };
        let (host, path) = (base.host(), base.pathname());
        if host.is_empty() {
            return Err(invalid());
        }
        let path = path.trim_end_matches('/');
        let at = |scheme: &str, under: &str| {
            let slash = if under.starts_with('/') { "" } else { "/" };
            format!("{scheme}{secure}://{host}{path}{slash}{under}")
        };
        let mut token_url = at("http", token_path);
        if !query.is_empty() {
            token_url.push(if token_url.contains('?') { '&' } else { '?' });
            token_url.push_str(query);
        }
        let socket_url = at("ws", &format!("{}/websocket", socket_prefix.trim_end_matches('/')));
        Ok(Self { token_url, socket_url })
    }
}

/// Where the page, or the worker's script, came from.
fn page_origin() -> Option<String> {
    let location = js_sys::Reflect::get(&js_sys::global(), &JsValue::from_str("location")).ok()?;
    let location: web_sys::Location = location.dyn_into().ok()?;
    location.origin().ok().filter(|origin| origin != "null")
}
