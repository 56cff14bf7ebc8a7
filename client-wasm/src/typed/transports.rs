//! By what means the server is reached.
//!
//! In: the user's transports. Out: what `transport.js` wants to be told, and the name it gives back as a
//! value.

use std::time::Duration;

use wasm_bindgen::prelude::*;

/// A way to the server: a WebSocket, or HTTP requests in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// A request whose answer does not end, and one for each message that goes.
    XhrStreaming,
    /// The same by the browser's `EventSource`.
    EventSource,
    /// A request that waits for a message, and the next one after it; and one for each message that goes.
    XhrPolling,
}

impl Transport {
    const ALL: [Self; 4] = [Self::WebSocket, Self::XhrStreaming, Self::EventSource, Self::XhrPolling];

    /// What SockJS calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::XhrStreaming => "xhr-streaming",
            Self::EventSource => "eventsource",
            Self::XhrPolling => "xhr-polling",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }
}

/// What `transport.js` wants to be told. No transports at all stand for the default.
pub(crate) fn ways(transports: &[Transport], connect_timeout: Duration, credentials: &JsValue) -> JsValue {
    let names: Vec<&str> = transports.iter().map(|transport| transport.name()).collect();
    write_ways(&names.join(" "), connect_timeout.as_secs_f64() * 1000.0, credentials)
}

#[wasm_bindgen(module = "/src/typed/ways.js")]
extern "C" {
    #[wasm_bindgen(js_name = ways)]
    fn write_ways(names: &str, connect_timeout: f64, credentials: &JsValue) -> JsValue;
}

/// The files that `ways.js` imports. Nothing of them is for Rust: wasm-bindgen puts a file beside the page's other
/// ones when something in it is named.
#[allow(dead_code, reason = "naming is all that it takes")]
mod files {
    use wasm_bindgen::prelude::*;

    #[wasm_bindgen(module = "/src/fallback/index.js")]
    extern "C" {
        fn ladder();
    }
    #[wasm_bindgen(module = "/src/fallback/ladder.js")]
    extern "C" {
        type Ladder;
    }
    #[wasm_bindgen(module = "/src/fallback/memory.js")]
    extern "C" {
        type Memory;
    }
    #[wasm_bindgen(module = "/src/fallback/receiving.js")]
    extern "C" {
        type Receivers;
    }
    #[wasm_bindgen(module = "/src/fallback/sending.js")]
    extern "C" {
        type Sender;
    }
    #[wasm_bindgen(module = "/src/fallback/socket.js")]
    extern "C" {
        type HttpSocket;
    }
}
