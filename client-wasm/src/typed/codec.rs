//! Texts between the engine and raw JSON.

use bytes::Bytes;
use tokensocket_protocol::codec::NativeCodec;
use wasm_bindgen::prelude::*;

use crate::driver::Framing;

#[wasm_bindgen]
extern "C" {
    /// The event of a message.
    type MessageEvent;

    #[wasm_bindgen(method, getter)]
    fn data(this: &MessageEvent) -> JsValue;
}

impl Framing for NativeCodec {
    fn receive(event: JsValue) -> Option<Bytes> {
        event.unchecked_into::<MessageEvent>().data().as_string().map(Bytes::from)
    }

    fn transmit(text: Bytes) -> JsValue {
        // The codec writes UTF-8 only.
        JsValue::from_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}
