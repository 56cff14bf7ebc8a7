//! JSON by `serde_json`, payloads as raw text that shares the frame it came in.
//!
//! In: a frame's bytes, or a message to write. Out: a [`ServerMessage`], or a text. Only the envelope is
//! read: each field is found as raw text, and a payload stays that. Skipping a nested value is iterative
//! in `serde_json`, so the depth of what a peer sends costs no stack.

mod internal;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Codec, NotJson};
use crate::error::ErrorCode;
use crate::message::{Acknowledge, ClientMessage, Failure, Hello, ServerMessage, SessionInfo};
use crate::position::Position;
use crate::raw_json::RawJson;

/// Reads and writes with `serde_json`; payloads are [`RawJson`], texts are bytes of UTF-8.
#[derive(Debug, Clone, Copy, Default)]
pub struct NativeCodec;

impl Codec for NativeCodec {
    type Payload = RawJson;
    type Text = Bytes;

    fn null(&self) -> RawJson {
        RawJson::null()
    }

    fn string(&self, text: &str) -> RawJson {
        RawJson::new(text).unwrap_or_default()
    }

    fn payload_bytes(&self, payload: &RawJson) -> usize {
        payload.as_bytes().len()
    }

    fn text_bytes(&self, text: &Bytes) -> usize {
        text.len()
    }

    fn encode(&self, message: &ClientMessage<RawJson>) -> Bytes {
        let mut object = Object::new();
        match message {
            ClientMessage::Auth { token, uuid, hello } => {
                object.text("rpc", "auth").text("token", token).text("uuid", uuid);
                if let Some(hello) = hello {
                    object.raw("client", &encode_hello(hello));
                }
            }
            ClientMessage::Call { path, request, uuid, timeout_ms } => {
                object.text("rpc", path).raw("req", request.as_bytes()).text("uuid", uuid);
                if let Some(timeout_ms) = timeout_ms {
                    object.raw("timeout_ms", timeout_ms.to_string().as_bytes());
                }
            }
            ClientMessage::Subscribe { channel, recover, presence, uuid } => {
                let mut request = Object::new();
                request.text("channel", channel).position("recover", recover.as_ref());
                if *presence {
                    request.raw("presence", b"true");
                }
                object.request("_subscribe", &mut request, uuid);
            }
            ClientMessage::Unsubscribe { channel, uuid } => {
                object.request("_unsubscribe", Object::new().text("channel", channel), uuid);
            }
            ClientMessage::Publish { channel, data, key, uuid } => {
                let mut request = Object::new();
                request.text("channel", channel).raw("data", data.as_bytes());
                if let Some(key) = key {
                    request.text("key", key);
                }
                object.request("_publish", &mut request, uuid);
            }
            ClientMessage::Broadcast { data, uuid } => {
                object.request("_broadcast", Object::new().raw("data", data.as_bytes()), uuid);
            }
            ClientMessage::History { channel, query, uuid } => {
                let mut request = Object::new();
                request.text("channel", channel).position("since", query.since.as_ref());
                request.number("limit", query.limit);
                if query.reverse {
                    request.raw("reverse", b"true");
                }
                object.request("_history", &mut request, uuid);
            }
            ClientMessage::Presence { channel, query, uuid } => {
                let mut request = Object::new();
                request.text("channel", channel).number("limit", query.limit);
                if let Some(after) = &query.after {
                    request.text("after", after);
                }
                object.request("_presence", &mut request, uuid);
            }
            ClientMessage::Acknowledge { what, uuid } => {
                let (key, number) = match *what {
                    Acknowledge::One(id) => ("id", id),
                    Acknowledge::Batch(last) => ("batch", last),
                    Acknowledge::Resync(number) => ("resync", number),
                };
                object.request("_ack", Object::new().number(key, Some(number)), uuid);
            }
            ClientMessage::Ping { uuid } => {
                object.request("_ping", &mut Object::new(), uuid);
            }
            ClientMessage::Cancel { target, uuid } => {
                object.request("_cancel", Object::new().text("uuid", target), uuid);
            }
            ClientMessage::Answer { fid, outcome } => {
                object.text("rpc", "_rpc").text("fid", fid);
                object.raw("resp", &encode_outcome(outcome));
            }
        }
        Bytes::from(object.finish())
    }

    fn decode(&self, text: &Bytes) -> Result<ServerMessage<RawJson>, NotJson> {
        let Some(envelope) = read_object::<Envelope<'_>>(text) else {
            let json: Result<&RawValue, _> = serde_json::from_slice(text);
            return json.map(|_| ServerMessage::Unknown).map_err(|_| NotJson);
        };
        let payload = |raw: &RawValue| RawJson::slice_of(text, raw);
        let message = if envelope.internal.is_some_and(|internal| internal.get() == "true") {
            internal::decode(envelope.command, envelope.data, payload)
        } else {
            envelope.into_answer_or_publication(payload)
        };
        Ok(message.unwrap_or(ServerMessage::Unknown))
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    internal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    command: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    rpc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uuid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    resp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
    #[serde(borrow, default)]
    session: Option<&'a RawValue>,
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    offset: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ping_ms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    max_message_bytes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    features: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

impl Envelope<'_> {
    fn into_answer_or_publication(
        self,
        payload: impl Fn(&RawValue) -> RawJson,
    ) -> Option<ServerMessage<RawJson>> {
        let failure = self.error.map(|error| Failure {
            error: payload(error),
            message: error_message(error),
            code: read::<String>(self.code).and_then(|code| ErrorCode::parse(&code)),
            details: self.details.map(&payload),
        });
        if self.rpc.is_some() && self.uuid.is_some() {
            let outcome = match failure {
                Some(failure) => Err(failure),
                None => Ok(self.resp.map_or_else(RawJson::null, payload)),
            };
            let session = self.session.and_then(read_session);
            return Some(ServerMessage::Answer { uuid: read(self.uuid)?, outcome, session });
        }
        if self.channel.is_some() {
            let message = self.message.map_or_else(RawJson::null, payload);
            let offset = read(self.offset);
            return Some(ServerMessage::Publication { channel: read(self.channel)?, message, offset });
        }
        failure.map(ServerMessage::Error)
    }
}

/// Reads a struct from an object. A struct of serde's could also be read from an array, which the wire
/// does not mean.
fn read_object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(text).ok()
}

fn read<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

fn read_session(raw: &RawValue) -> Option<SessionInfo> {
    let session: Session<'_> = read_object(raw.get().as_bytes())?;
    Some(SessionInfo {
        id: read(session.id).unwrap_or_default(),
        ping_ms: read(session.ping_ms).unwrap_or_default(),
        max_message_bytes: read(session.max_message_bytes).unwrap_or_default(),
        features: read(session.features).unwrap_or_default(),
    })
}

fn error_message(error: &RawValue) -> String {
    read::<String>(Some(error))
        .or_else(|| read(read_object::<ErrorObject<'_>>(error.get().as_bytes())?.message))
        .unwrap_or_default()
}

fn encode_hello(hello: &Hello) -> Vec<u8> {
    let features = serde_json::to_vec(&hello.features).unwrap_or_else(|_| b"[]".to_vec());
    let mut object = Object::new();
    object.text("name", &hello.name).text("version", &hello.version).raw("features", &features);
    if let Some(device) = &hello.device {
        object.text("device", device);
    }
    object.finish()
}

fn encode_outcome(outcome: &Result<RawJson, Failure<RawJson>>) -> Vec<u8> {
    let mut object = Object::new();
    match outcome {
        Ok(data) => object.raw("data", data.as_bytes()),
        Err(failure) => object.failure(failure),
    };
    object.finish()
}

/// A JSON object being written. Its keys are ours and need no escapes.
struct Object(Vec<u8>);

impl Object {
    fn new() -> Self {
        Self(Vec::with_capacity(128))
    }

    fn raw(&mut self, key: &str, json: &[u8]) -> &mut Self {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(json);
        self
    }

    fn number(&mut self, key: &str, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.raw(key, itoa::Buffer::new().format(number).as_bytes()),
            None => self,
        }
    }

    fn position(&mut self, key: &str, position: Option<&Position>) -> &mut Self {
        let Some(Position { epoch, offset }) = position else { return self };
        let position = Object::new().text("epoch", epoch.as_str()).number("offset", Some(*offset)).take();
        self.raw(key, &position)
    }

    fn text(&mut self, key: &str, text: &str) -> &mut Self {
        self.raw(key, b"");
        let start = self.0.len();
        if serde_json::to_writer(&mut self.0, text).is_err() {
            self.0.truncate(start);
            self.0.extend_from_slice(b"null");
        }
        self
    }

    fn request(&mut self, rpc: &str, request: &mut Object, uuid: &str) -> &mut Self {
        let request = request.take();
        self.text("rpc", rpc).raw("req", &request).text("uuid", uuid)
    }

    fn failure(&mut self, failure: &Failure<RawJson>) -> &mut Self {
        self.raw("error", failure.error.as_bytes());
        if let Some(code) = failure.code {
            self.text("code", code.as_str());
        }
        if let Some(details) = &failure.details {
            self.raw("details", details.as_bytes());
        }
        self
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::replace(self, Self(Vec::new())).finish()
    }

    fn finish(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push(b'{');
        }
        self.0.push(b'}');
        self.0
    }
}

#[cfg(test)]
mod tests;
