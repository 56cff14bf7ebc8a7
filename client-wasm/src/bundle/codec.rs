//! JSON by the engine.
//!
//! In: messages' events, messages to write. Out: messages whose payloads stay with the engine, strings of
//! the engine's. It must not know what a host is.

use tokensocket_protocol::client::Event;
use tokensocket_protocol::codec::{Codec, NotJson};
use tokensocket_protocol::message::{
    Acknowledge, ClientMessage, Delivery, Failure, Joined, ServerMessage, SessionInfo, Settings,
};
use tokensocket_protocol::{Epoch, ErrorCode, Position, ResyncReason};
use wasm_bindgen::prelude::*;

use crate::driver::Framing;
use crate::listener::Listener;

#[wasm_bindgen(module = "/src/bundle/codec.js")]
extern "C" {
    fn reader(received: &JsValue, published: &JsValue) -> JsValue;
    fn kind(message: &JsValue) -> u32;
    fn text(message: &JsValue, outer: &str, field: &str) -> Option<String>;
    fn number(message: &JsValue, outer: &str, field: &str) -> f64;
    fn flag(message: &JsValue, field: &str) -> Option<bool>;
    fn item(message: &JsValue, list: &str, index: u32) -> JsValue;
    fn offset(message: &JsValue) -> f64;
    fn feature(message: &JsValue, index: u32) -> Option<String>;
    #[wasm_bindgen(js_name = hasSession)]
    fn has_session(message: &JsValue) -> bool;
    #[wasm_bindgen(js_name = errorText)]
    fn error_text(message: &JsValue) -> String;
    fn stringify(value: &JsValue) -> Stringified;
    fn auth(
        token: &str,
        uuid: &str,
        name: &str,
        version: &str,
        features: &str,
        device: Option<&str>,
    ) -> JsValue;
    fn request(rpc: &str, req: &JsValue, uuid: &str, timeout: Option<f64>) -> JsValue;
    fn named(rpc: &str, field: &str, name: &str, data: &JsValue, uuid: &str, key: Option<&str>) -> JsValue;
    fn subscribe(channel: &str, epoch: Option<&str>, offset: f64, presence: bool, uuid: &str) -> JsValue;
    fn acknowledge(what: &str, id: f64, uuid: &str) -> JsValue;
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

    /// The engine's value.
    pub(crate) fn value(&self) -> &JsValue {
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

    fn place(message: &JsValue) -> Option<(String, u64)> {
        let offset = counted(offset(message))?;
        Some((text(message, "", "channel").unwrap_or_default(), offset))
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

/// The host's side takes out of a payload also what stands beside it: a channel's or an event's name, and whether
/// a member came. It need not be copied to and fro.
fn decode(message: JsValue) -> Result<ServerMessage<Payload>, NotJson> {
    let inner = |field| text(&message, "data", field).unwrap_or_default();
    let count = |field| counted(number(&message, "data", field));
    let uuid = || text(&message, "", "uuid").unwrap_or_default();
    Ok(match kind(&message) {
        1 => return Err(NotJson),
        2 => ServerMessage::Answer {
            uuid: uuid(),
            session: session(&message),
            outcome: Ok(Payload::Within(message)),
        },
        3 => ServerMessage::Answer { uuid: uuid(), session: None, outcome: Err(failure(message)) },
        4 => {
            let (channel, offset) = JsCodec::place(&message).unzip();
            ServerMessage::Publication {
                channel: channel.unwrap_or_default(),
                message: Payload::Within(message),
                offset,
            }
        }
        5 => ServerMessage::Subscribed {
            channel: inner("channel"),
            uuid: text(&message, "data", "uuid"),
            joined: joined(&message),
        },
        6 => ServerMessage::Unsubscribed { channel: inner("channel") },
        7 => ServerMessage::Call {
            fid: inner("fid"),
            path: inner("command"),
            timeout_ms: count("timeout_ms"),
            args: Payload::Within(message),
        },
        8 => ServerMessage::Cancel { fid: inner("fid") },
        9 => ServerMessage::ReconnectHint { after_ms: count("after_ms").unwrap_or_default() },
        10 => ServerMessage::Error(failure(message)),
        11 => {
            ServerMessage::Member { channel: String::new(), member: Payload::Within(message), joined: true }
        }
        12 => ServerMessage::Settings(Settings {
            device_ttl: count("device_ttl").unwrap_or_default(),
            device: inner("device"),
            epoch: inner("epoch"),
            resumed: flag(&message, "resumed").unwrap_or_default(),
        }),
        13 => {
            let mut items = Vec::new();
            each(&message, "items", |entry| items.push(delivery(entry)));
            ServerMessage::Batch { id: count("id").unwrap_or_default(), items }
        }
        14 => ServerMessage::Deliver(delivery(item(&message, "", 0))),
        15 => ServerMessage::Resync {
            id: count("id").unwrap_or_default(),
            event: text(&message, "data", "event"),
            // What to do is the same, whatever reasons a later version has.
            reason: ResyncReason::parse(&inner("reason")).unwrap_or(ResyncReason::Lost),
        },
        _ => ServerMessage::Unknown,
    })
}

/// Reads what is in a list of the message.
fn each(message: &JsValue, list: &str, mut read: impl FnMut(JsValue)) {
    for index in 0.. {
        let item = item(message, list, index);
        if item.is_undefined() {
            break;
        }
        read(item);
    }
}

fn delivery(entry: JsValue) -> Delivery<Payload> {
    Delivery { id: whole(number(&entry, "", "id")), event: String::new(), args: Payload::Within(entry) }
}

fn joined(message: &JsValue) -> Joined<Payload> {
    let recovered = flag(message, "recovered");
    let mut publications = Vec::new();
    if recovered == Some(true) {
        each(message, "publications", |past| {
            publications.push((whole(offset(&past)), Payload::Within(past)));
        });
    }
    Joined {
        position: text(message, "data", "epoch")
            .and_then(|epoch| position(&epoch, number(message, "data", "offset"))),
        recovered,
        publications,
        pattern: flag(message, "pattern").unwrap_or_default(),
    }
}

/// A place in a channel's history, if it is one.
pub(crate) fn position(epoch: &str, offset: f64) -> Option<Position> {
    Position::new(Epoch::new(epoch).ok()?, counted(offset)?).ok()
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
    let field = |field| whole(number(message, "session", field));
    Some(SessionInfo {
        id: text(message, "session", "id").unwrap_or_default(),
        ping_ms: field("ping_ms"),
        max_message_bytes: field("max_message_bytes"),
        features: (0..).map_while(|index| feature(message, index)).collect(),
    })
}

/// A number of codec.js, unless it is none.
fn counted(number: f64) -> Option<u64> {
    (number >= 0.0).then(|| whole(number))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "codec.js lets whole numbers that are not negative through, and the cast saturates"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// The other way.
#[allow(
    clippy::cast_precision_loss,
    reason = "what is larger than JavaScript's whole numbers never came here"
)]
pub(crate) fn number_of(count: u64) -> f64 {
    count as f64
}

fn encode(message: &ClientMessage<Payload>) -> JsValue {
    let nothing = &JsValue::UNDEFINED;
    match message {
        ClientMessage::Auth { token, uuid, hello: None } => auth(token, uuid, "", "", "", None),
        ClientMessage::Auth { token, uuid, hello: Some(hello) } => {
            let mut features = String::new();
            for feature in &hello.features {
                features.push_str(feature);
                features.push_str(SEPARATOR);
            }
            auth(token, uuid, &hello.name, &hello.version, &features, hello.device.as_deref())
        }
        ClientMessage::Call { path, request: data, uuid, timeout_ms } => {
            request(path, data.value(), uuid, timeout_ms.map(number_of))
        }
        ClientMessage::Subscribe { channel, recover, presence, uuid } => {
            let (epoch, offset) = recover.as_ref().map(|place| (place.epoch.as_str(), place.offset)).unzip();
            subscribe(channel, epoch, number_of(offset.unwrap_or_default()), *presence, uuid)
        }
        ClientMessage::Unsubscribe { channel, uuid } => {
            named("_unsubscribe", "channel", channel, nothing, uuid, None)
        }
        ClientMessage::Publish { channel, data, key, uuid } => {
            named("_publish", "channel", channel, data.value(), uuid, key.as_deref())
        }
        ClientMessage::Broadcast { data, uuid } => named("_broadcast", "", "", data.value(), uuid, None),
        ClientMessage::Acknowledge { what, uuid } => {
            let (what, id) = match what {
                Acknowledge::One(id) => ("id", id),
                Acknowledge::Batch(id) => ("batch", id),
                Acknowledge::Resync(id) => ("resync", id),
            };
            acknowledge(what, number_of(*id), uuid)
        }
        ClientMessage::Ping { uuid } => named("_ping", "", "", nothing, uuid, None),
        ClientMessage::Cancel { target, uuid } => named("_cancel", "uuid", target, nothing, uuid, None),
        ClientMessage::Answer { fid, outcome: Ok(data) } => answer(fid, data.value()),
        ClientMessage::Answer { fid, outcome: Err(failure) } => {
            let details = failure.details.as_ref().map_or(nothing, Payload::value);
            refuse(fid, failure.error.value(), failure.code.map(ErrorCode::as_str), details)
        }
        // What a channel kept and who is on it is asked for by calls.
        _ => JsValue::UNDEFINED,
    }
}
