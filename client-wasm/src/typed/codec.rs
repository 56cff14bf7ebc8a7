//! Texts between the engine and raw JSON.

use bytes::Bytes;
use tokensocket_protocol::RawJson;
use tokensocket_protocol::client::Event;
use tokensocket_protocol::codec::NativeCodec;
use wasm_bindgen::prelude::*;

use crate::driver::Framing;
use crate::listener::Listener;

#[wasm_bindgen]
extern "C" {
    /// The event of a message.
    type MessageEvent;

    #[wasm_bindgen(method, getter)]
    fn data(this: &MessageEvent) -> JsValue;
}

impl Framing for NativeCodec {
    fn reader(received: &Listener, _: &Listener) -> JsValue {
        received.as_ref().clone()
    }

    fn receive(event: JsValue) -> Option<Bytes> {
        event.unchecked_into::<MessageEvent>().data().as_string().map(Bytes::from)
    }

    /// The reader knows no publications.
    fn place(_: &JsValue) -> Option<(String, u64)> {
        None
    }

    /// The reader knows none.
    fn publication(_: JsValue) -> Event<RawJson> {
        Event::Ignored
    }

    fn transmit(text: Bytes) -> JsValue {
        // The codec writes UTF-8 only.
        JsValue::from_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}
