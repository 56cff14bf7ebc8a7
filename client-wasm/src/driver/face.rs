//! What a driver is driven for: the two seams that make it serve both faces.

use std::time::Duration;

use tokensocket_protocol::client::{CallError, Event};
use tokensocket_protocol::codec::Codec;
use wasm_bindgen::JsValue;

use crate::listener::Listener;

/// A codec whose texts come from a WebSocket's events and go to its `send`.
pub(crate) trait Framing: Codec {
    /// The function that a WebSocket's events of messages go to, made of who hears what is in them: all of
    /// it, and publications, if the codec knows them before it reads everything.
    fn reader(received: &Listener, published: &Listener) -> JsValue;

    /// The text of what the reader hands on; `None` when it has none that could be read.
    fn receive(message: JsValue) -> Option<Self::Text>;

    /// The channel and the offset of a publication that the reader hands on as such; `None` without an offset.
    fn place(message: &JsValue) -> Option<(String, u64)>;

    /// The publication that the reader hands on as such.
    fn publication(message: JsValue) -> Event<Self::Payload>;

    /// The text as a string of JavaScript.
    fn transmit(text: Self::Text) -> JsValue;
}

/// Who is told. No session or driver is borrowed meanwhile: each method may make requests at once, and
/// none may throw.
pub(crate) trait Face<C: Codec>: 'static {
    /// What a request is known by.
    type Waiter: 'static;

    /// A request is done. Comes exactly once for each.
    fn settle(&self, waiter: Self::Waiter, outcome: Result<C::Payload, CallError<C::Payload>>);

    /// Something happened.
    fn tell(&self, event: Event<C::Payload>);

    /// The server calls an action, and gives up after `timeout`.
    fn invoke(&self, fid: String, path: String, args: C::Payload, timeout: Option<Duration>);

    /// The server no longer wants that answer.
    fn cancelled(&self, fid: String);

    /// All is closed, and nothing else comes.
    fn ended(&self);
}
