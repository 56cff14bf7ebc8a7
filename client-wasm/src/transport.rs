//! One WebSocket.
//!
//! In: a URL, texts to send. Out: that it is open, each message's event, that it is closed, with what it
//! was closed for. It must not know what the texts mean.

use tokensocket_protocol::Close;
use tokensocket_protocol::client::ConnectionError;
use wasm_bindgen::prelude::*;

use crate::listener::Listener;

#[wasm_bindgen(module = "/src/transport.js")]
extern "C" {
    fn open(
        constructor: &JsValue,
        url: &str,
        opened: &JsValue,
        received: &JsValue,
        closed: &JsValue,
    ) -> JsValue;
    fn send(socket: &JsValue, text: &JsValue);
    fn close(socket: &JsValue, code: u16, reason: &str, closed: &JsValue);
}

#[wasm_bindgen]
extern "C" {
    /// How a WebSocket was closed, with every field of the type it should have.
    type Closed;

    #[wasm_bindgen(method, getter)]
    fn code(this: &Closed) -> u16;
    #[wasm_bindgen(method, getter)]
    fn reason(this: &Closed) -> String;
}

/// No close frame came: the connection was cut, or never stood (RFC 6455, section 7.1.5).
const CUT: u16 = 1006;

/// Who hears what a WebSocket says.
pub(crate) struct Listeners {
    /// Called once it is open.
    pub(crate) opened: Listener,
    /// Called with the event of each message.
    pub(crate) received: Listener,
    /// Called once with what [`Transport::why_closed`] understands.
    pub(crate) closed: Listener,
}

/// A WebSocket that opens, is open, or closes.
pub(crate) struct Transport {
    socket: JsValue,
}

impl Transport {
    /// Opens one with a constructor like that of the page's `WebSocket`, which is taken if there is none.
    pub(crate) fn open(constructor: &JsValue, url: &str, listeners: &Listeners) -> Self {
        let Listeners { opened, received, closed } = listeners;
        Self { socket: open(constructor, url, opened.as_ref(), received.as_ref(), closed.as_ref()) }
    }

    pub(crate) fn send(&self, text: &JsValue) {
        send(&self.socket, text);
    }

    /// Closes it after what was sent. Only `closed` is still called.
    pub(crate) fn close(&self, why: &Close, closed: &Listener) {
        close(&self.socket, why.code, &why.reason, closed.as_ref());
    }

    pub(crate) fn why_closed(closed: JsValue) -> ConnectionError {
        let closed: Closed = closed.unchecked_into();
        match closed.code() {
            CUT => ConnectionError::Transport(closed.reason()),
            code => ConnectionError::Closed(Close { code, reason: closed.reason().into() }),
        }
    }
}

impl Drop for Transport {
    /// Closes it, and nobody hears of it.
    fn drop(&mut self) {
        close(&self.socket, Close::GOING_AWAY.code, "", &JsValue::UNDEFINED);
    }
}
