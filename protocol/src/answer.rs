//! An answer in the making: the request's own fields, already written, waiting for a result.
//!
//! In: an [`Envelope`], then a payload or an error. Out: the answer's text as its [`Framing`] has it, in the buffer
//! that held the request's fields.

use crate::envelope::Envelope;
pub(crate) use crate::framing::named;
use crate::framing::{Framed, Framing, Name};
use crate::json::slice::RawSlice;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The answer to one request. Consumed by what it says, so that no request is answered twice. What it says is in the
/// [`Framing`] of its session.
#[derive(Debug)]
#[must_use = "a request that gets no answer leaves its caller waiting"]
pub struct Answer {
    /// `,"rpc":…,"uuid":…`: each field with a comma before it. The first comma becomes the brace.
    fields: Vec<u8>,
    framing: Framing,
    /// The client said hello, and so understands `details` and what else is ours.
    hello: bool,
}

/// How much room is made at once for what comes behind the request's own fields, in bytes.
const ROOM: usize = 128;

impl Answer {
    /// `room` is an empty buffer to write into.
    pub(crate) fn to(envelope: &Envelope<'_>, framing: Framing, hello: bool, room: Vec<u8>) -> Self {
        let Envelope { rpc, token, uuid, others, .. } = envelope;
        let mut answer = Self { fields: room, framing, hello };
        let length = |value: &Option<RawSlice<'_>>| value.map_or(0, |value| value.as_bytes().len());
        answer.fields.reserve(length(rpc) + length(token) + length(uuid) + ROOM);
        // Not a loop: each field's name is known where it is written.
        if let Some(rpc) = rpc {
            answer.field(named!("rpc"), rpc.as_bytes());
        }
        if let Some(token) = token {
            answer.field(named!("token"), token.as_bytes());
        }
        if let Some(uuid) = uuid {
            answer.field(named!("uuid"), uuid.as_bytes());
        }
        for (name, value) in others {
            if !matches!(&**name, "error" | "code" | "details" | "session" | "stream" | "item") {
                answer.push_with(|out| {
                    out.push(b',');
                    write_string(out, name);
                    out.push(b':');
                    out.extend_from_slice(value.as_bytes());
                });
            }
        }
        answer
    }

    /// An answer to a message that is no request.
    pub(crate) fn to_nothing(framing: Framing) -> Self {
        Self { fields: Vec::new(), framing, hello: false }
    }

    /// Puts the request's `req` back, as the original servers did before authentication.
    pub(crate) fn with_request(mut self, req: Option<RawSlice<'_>>) -> Self {
        if let Some(req) = req {
            self.field(named!("req"), req.as_bytes());
        }
        self
    }

    pub(crate) fn with_hello(mut self) -> Self {
        self.hello = true;
        self
    }

    /// The result.
    pub fn resp(mut self, result: &RawJson) -> Framed {
        self.field(named!("resp"), result.as_bytes());
        self.finish()
    }

    /// `"resp":"success"`: done, with nothing to say.
    pub fn success(mut self) -> Framed {
        self.field(named!("resp"), b"\"success\"");
        self.finish()
    }

    /// The error, its code, and its details for clients that understand them.
    pub fn error(mut self, error: &RpcError) -> Framed {
        let text = RawJson::new(error.error()).unwrap_or_default();
        self.field(named!("error"), text.as_bytes());
        self.push_with(|out| {
            out.extend_from_slice(b",\"code\":\"");
            out.extend_from_slice(error.code().as_str().as_bytes());
            out.push(b'"');
        });
        if let (true, Some(details)) = (self.hello, error.details()) {
            self.field(named!("details"), details.as_bytes());
        }
        self.finish()
    }

    /// The result or the error.
    pub fn outcome(self, outcome: &Result<RawJson, RpcError>) -> Framed {
        match outcome {
            Ok(result) => self.resp(result),
            Err(error) => self.error(error),
        }
    }

    /// Whether the client understands more than the original wire.
    pub(crate) fn said_hello(&self) -> bool {
        self.hello
    }

    /// Adds what `write` appends: fields, each with a comma before it.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.framing.push_with(&mut self.fields, write);
    }

    /// Adds a field; its name is [`named!`].
    #[inline]
    pub(crate) fn field(&mut self, name: Name, value: &[u8]) {
        self.framing.push_field(&mut self.fields, name, value);
    }

    pub(crate) fn finish(self) -> Framed {
        Framed::object(self.framing, self.fields)
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(RawJson::new(text).unwrap_or_default().as_bytes());
    }
}
