//! One connection: a WebSocket, or what stands in for it.
//!
//! In: a URL, the ways to reach it, texts to send. Out: that it is open, each message's event, that it is
//! closed, with what it was closed for; or that it leads nowhere and there is another way. It must not know
//! what the texts mean. `transport.js` opens WebSockets; all that is only needed without one is in
//! `src/fallback`, in JavaScript, so that a page may load it when it needs it.

use tokensocket_protocol::Close;
use tokensocket_protocol::client::ConnectionError;
use wasm_bindgen::prelude::*;

use crate::listener::Listener;

#[wasm_bindgen(module = "/src/transport.js")]
extern "C" {
    fn open(ways: &JsValue, url: &str, opened: &JsValue, received: &JsValue, closed: &JsValue) -> JsValue;
    fn send(transport: &JsValue, text: &JsValue);
    fn close(transport: &JsValue, code: u16, reason: &str, closed: &JsValue);
}

#[wasm_bindgen]
extern "C" {
    /// How a connection was closed, with every field of the type it should have.
    type Closing;

    #[wasm_bindgen(method, getter)]
    fn code(this: &Closing) -> u16;
    #[wasm_bindgen(method, getter)]
    fn reason(this: &Closing) -> String;
}

#[cfg(feature = "typed")]
#[wasm_bindgen]
extern "C" {
    /// What transport.js knows, and has learned.
    type Ways;

    #[wasm_bindgen(method, getter)]
    fn transport(this: &Ways) -> Option<String>;
}

/// The name of the transport by which something was heard last.
#[cfg(feature = "typed")]
pub(crate) fn name(ways: &JsValue) -> Option<String> {
    ways.unchecked_ref::<Ways>().transport()
}

/// No close frame came: the connection was cut, or never stood (RFC 6455, section 7.1.5).
const CUT: u16 = 1006;
/// Nothing was heard, and there is another way.
const DETOUR: u16 = 0;

/// Who hears what a connection says.
pub(crate) struct Listeners {
    /// Called once it is open.
    pub(crate) opened: Listener,
    /// A function of JavaScript, called with the event of each message.
    pub(crate) received: JsValue,
    /// Called once with what [`Transport::closed`] understands.
    pub(crate) closed: Listener,
}

/// A connection that opens, is open, or closes.
pub(crate) struct Transport {
    transport: JsValue,
}

/// What became of one.
pub(crate) enum Closed {
    /// It is gone.
    Lost(ConnectionError),
    /// Nothing was heard by it, and the next one will go another way.
    Detour,
}

impl Transport {
    /// Opens one by the next of the ways, an object that transport.js describes.
    pub(crate) fn open(ways: &JsValue, url: &str, listeners: &Listeners) -> Self {
        let Listeners { opened, received, closed } = listeners;
        Self { transport: open(ways, url, opened.as_ref(), received, closed.as_ref()) }
    }

    pub(crate) fn send(&self, text: &JsValue) {
        send(&self.transport, text);
    }

    /// Closes it after what was sent. Only `closed` is still called.
    pub(crate) fn close(&self, why: &Close, closed: &Listener) {
        close(&self.transport, why.code, &why.reason, closed.as_ref());
    }

    pub(crate) fn closed(closing: JsValue) -> Closed {
        let closing: Closing = closing.unchecked_into();
        Closed::Lost(match closing.code() {
            DETOUR => return Closed::Detour,
            CUT => ConnectionError::Transport(closing.reason()),
            code => ConnectionError::Closed(Close { code, reason: closing.reason().into() }),
        })
    }
}

impl Drop for Transport {
    /// Closes it, and nobody hears of it.
    fn drop(&mut self) {
        close(&self.transport, Close::GOING_AWAY.code, "", &JsValue::UNDEFINED);
    }
}
