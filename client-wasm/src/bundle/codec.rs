//! JSON by the engine.
//!
//! In: messages' events, messages to write. Out: messages whose payloads stay with the engine, strings of
//! the engine's. It must not know what a host is.

use tokensocket_protocol::ErrorCode;
use tokensocket_protocol::client::Event;
use tokensocket_protocol::codec::{Codec, NotJson};
use tokensocket_protocol::message::{ClientMessage, Failure, ServerMessage, SessionInfo};
use wasm_bindgen::prelude::*;

use crate::driver::Framing;
use crate::listener::Listener;

#[wasm_bindgen(module = "/src/bundle/codec.js")]
extern "C" {
    fn reader(received: &JsValue, published: &JsValue) -> JsValue;
    fn kind(message: &JsValue) -> u32;
    fn text(message: &JsValue, outer: &str, field: &str) -> Option<String>;
    fn number(message: &JsValue, outer: &str, field: &str) -> Option<f64>;
    fn feature(message: &JsValue, index: u32) -> Option<String>;
    #[wasm_bindgen(js_name = hasSession)]
    fn has_session(message: &JsValue) -> bool;
    #[wasm_bindgen(js_name = errorText)]
    fn error_text(message: &JsValue) -> String;
    fn stringify(value: &JsValue) -> Stringified;
    fn auth(token: &str, uuid: &str, name: &str, version: &str, features: &str) -> JsValue;
    fn request(rpc: &str, req: &JsValue, uuid: &str, timeout: Option<f64>) -> JsValue;
    fn named(rpc: &str, key: &str, name: &str, data: &JsValue, uuid: &str) -> JsValue;
    fn answer(fid: &str, data: &JsValue) -> JsValue;
    fn refuse(fid: &str, error: &JsValue, code: Option<&str>, details: &JsValue) -> JsValue;
    fn bytes(text: &JsValue) -> u32;
}

#[wasm_bindgen]
extern "C" {
    type Stringified;

    #[wasm_bindgen(method, getter)]
    fn json(this: &Stringified) -> JsValue;
    #[wasm_bindgen(method, getter)]
    fn why(this: &Stringified) -> Option<String>;
}

/// Names of features have no spaces.
const SEPARATOR: &str = " ";

/// Reads and writes with the engine's `JSON`.
pub(crate) struct JsCodec;

/// A payload, which never leaves the engine. One that came never goes again.
#[derive(Clone)]
pub(crate) enum Payload {
    /// One that came: still inside the whole message, out of which the host's side takes it.
    Within(JsValue),
    /// One that goes: its JSON, a string; or null, which stands for itself.
    Json(JsValue),
}

impl Payload {
    pub(crate) const NULL: Self = Self::Json(JsValue::NULL);

    /// Makes it JSON. Fails on what has none, such as a cycle or a `BigInt`, with the engine's reason.
    pub(crate) fn new(value: &JsValue) -> Result<Self, String> {
        let made = stringify(value);
        match made.why() {
            Some(why) => Err(why),
            None => Ok(Self::Json(made.json())),
        }
    }

    fn value(&self) -> &JsValue {
        let (Self::Within(value) | Self::Json(value)) = self;
        value
    }
}

/// What comes: a message, parsed. What goes: a string.
pub(crate) struct Text(JsValue);

impl Framing for JsCodec {
    fn reader(received: &Listener, published: &Listener) -> JsValue {
        reader(received.as_ref(), published.as_ref())
    }

    fn receive(message: JsValue) -> Option<Text> {
        Some(Text(message))
    }

    fn publication(message: JsValue) -> Event<Payload> {
        Event::Message { channel: String::new(), message: Payload::Within(message) }
    }

    fn transmit(text: Text) -> JsValue {
        text.0
    }
}

impl Codec for JsCodec {
    type Payload = Payload;
    type Text = Text;

    fn null(&self) -> Payload {
        Payload::NULL
    }

    fn string(&self, text: &str) -> Payload {
        Payload::new(&JsValue::from_str(text)).unwrap_or(Payload::NULL)
    }

    fn payload_bytes(&self, payload: &Payload) -> usize {
        bytes(payload.value()) as usize
    }

    fn text_bytes(&self, text: &Text) -> usize {
        bytes(&text.0) as usize
    }

    fn encode(&self, message: &ClientMessage<Payload>) -> Text {
        Text(encode(message))
    }

    fn decode(&self, message: &Text) -> Result<ServerMessage<Payload>, NotJson> {
        decode(message.0.clone())
    }
}

fn decode(message: JsValue) -> Result<ServerMessage<Payload>, NotJson> {
    let inner = |field| text(&message, "data", field).unwrap_or_default();
    let millis = |field| number(&message, "data", field).map(whole);
    let uuid = || text(&message, "", "uuid").unwrap_or_default();
    Ok(match kind(&message) {
        1 => return Err(NotJson),
        2 => ServerMessage::Answer {
            uuid: uuid(),
            session: session(&message),
            outcome: Ok(Payload::Within(message)),
        },
        3 => ServerMessage::Answer { uuid: uuid(), session: None, outcome: Err(failure(message)) },
        // The host's side takes the channel's name out as well, so that it need not be copied to and fro.
        4 => ServerMessage::Publication { channel: String::new(), message: Payload::Within(message) },
        5 => ServerMessage::Subscribed { channel: inner("channel"), uuid: text(&message, "data", "uuid") },
        6 => ServerMessage::Unsubscribed { channel: inner("channel") },
        7 => ServerMessage::Call {
            fid: inner("fid"),
            path: inner("command"),
            timeout_ms: millis("timeout_ms"),
            args: Payload::Within(message),
        },
        8 => ServerMessage::Cancel { fid: inner("fid") },
        9 => ServerMessage::ReconnectHint { after_ms: millis("after_ms").unwrap_or_default() },
        10 => ServerMessage::Error(failure(message)),
        _ => ServerMessage::Unknown,
    })
}

fn failure(message: JsValue) -> Failure<Payload> {
    let code = text(&message, "", "code").and_then(|code| ErrorCode::parse(&code));
    let text = error_text(&message);
    Failure { error: Payload::Within(message), message: text, code, details: None }
}

fn session(message: &JsValue) -> Option<SessionInfo> {
    if !has_session(message) {
        return None;
    }
    let field = |field| number(message, "session", field).map(whole).unwrap_or_default();
    Some(SessionInfo {
        id: text(message, "session", "id").unwrap_or_default(),
        ping_ms: field("ping_ms"),
        max_message_bytes: field("max_message_bytes"),
        features: (0..).map_while(|index| feature(message, index)).collect(),
    })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "codec.js lets whole numbers that are not negative through, and the cast saturates"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

fn encode(message: &ClientMessage<Payload>) -> JsValue {
    let nothing = &JsValue::UNDEFINED;
    match message {
        ClientMessage::Auth { token, uuid, hello: None } => auth(token, uuid, "", "", ""),
        ClientMessage::Auth { token, uuid, hello: Some(hello) } => {
            let mut features = String::new();
            for feature in &hello.features {
                features.push_str(feature);
                features.push_str(SEPARATOR);
            }
            auth(token, uuid, &hello.name, &hello.version, &features)
        }
        ClientMessage::Call { path, request: data, uuid, timeout_ms } => {
            #[allow(clippy::cast_precision_loss, reason = "milliseconds of many lives fit")]
            let timeout = timeout_ms.map(|timeout| timeout as f64);
            request(path, data.value(), uuid, timeout)
        }
        ClientMessage::Subscribe { channel, uuid } => named("_subscribe", "channel", channel, nothing, uuid),
        ClientMessage::Unsubscribe { channel, uuid } => {
            named("_unsubscribe", "channel", channel, nothing, uuid)
        }
        ClientMessage::Publish { channel, data, uuid } => {
            named("_publish", "channel", channel, data.value(), uuid)
        }
        ClientMessage::Broadcast { data, uuid } => named("_broadcast", "", "", data.value(), uuid),
        ClientMessage::Ping { uuid } => named("_ping", "", "", nothing, uuid),
        ClientMessage::Cancel { target, uuid } => named("_cancel", "uuid", target, nothing, uuid),
        ClientMessage::Answer { fid, outcome: Ok(data) } => answer(fid, data.value()),
        ClientMessage::Answer { fid, outcome: Err(failure) } => {
            let details = failure.details.as_ref().map_or(nothing, Payload::value);
            refuse(fid, failure.error.value(), failure.code.map(ErrorCode::as_str), details)
        }
        _ => JsValue::UNDEFINED,
    }
}
