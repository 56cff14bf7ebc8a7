//! An answer in the making: the request's own fields, already written, waiting for a result.
//!
//! In: an [`Envelope`], then a payload or an error. Out: the answer's text, in the buffer that held the
//! request's fields.

use serde_json::value::RawValue;

use crate::envelope::Envelope;
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// The answer to one request. Consumed by what it says, so that no request is answered twice.
#[derive(Debug)]
#[must_use = "a request that gets no answer leaves its caller waiting"]
pub struct Answer {
    /// `{"rpc":…,"uuid":…` without the closing brace; `{` alone when the request had no such fields.
    head: Vec<u8>,
    /// The client understands `details`.
    details: bool,
}

impl Answer {
    /// `room` is an empty buffer to write into.
    pub(crate) fn to(envelope: &Envelope<'_>, details: bool, room: Vec<u8>) -> Self {
        let mut answer = Self { head: room, details };
        answer.head.reserve(128);
        answer.head.push(b'{');
        for (name, value) in [("rpc", envelope.rpc), ("token", envelope.token), ("uuid", envelope.uuid)] {
            if let Some(value) = value {
                answer.field(name, value.get().as_bytes());
            }
        }
        for (name, value) in &envelope.others {
            if !matches!(&**name, "error" | "code" | "details" | "session" | "stream" | "item") {
                answer.comma();
                write_string(&mut answer.head, name);
                answer.head.push(b':');
                answer.head.extend_from_slice(value.get().as_bytes());
            }
        }
        answer
    }

    /// An answer to a message that is no request.
    pub(crate) fn to_nothing() -> Self {
        Self { head: vec![b'{'], details: false }
    }

    /// Puts the request's `req` back, as the original servers did before authentication.
    pub(crate) fn with_request(mut self, req: Option<&RawValue>) -> Self {
        if let Some(req) = req {
            self.field("req", req.get().as_bytes());
        }
        self
    }

    pub(crate) fn with_details(mut self) -> Self {
        self.details = true;
        self
    }

    /// The result.
    pub fn resp(mut self, result: &RawJson) -> Vec<u8> {
        self.field("resp", result.as_bytes());
        self.finish()
    }

    /// `"resp":"success"`: done, with nothing to say.
    pub fn success(mut self) -> Vec<u8> {
        self.field("resp", b"\"success\"");
        self.finish()
    }

    /// The error, its code, and its details for clients that understand them.
    pub fn error(mut self, error: &RpcError) -> Vec<u8> {
        let text = RawJson::new(error.error()).unwrap_or_default();
        self.field("error", text.as_bytes());
        let code = error.code().as_str();
        self.head.reserve(code.len() + 16);
        self.comma();
        self.head.extend_from_slice(b"\"code\":\"");
        self.head.extend_from_slice(code.as_bytes());
        self.head.push(b'"');
        if let (true, Some(details)) = (self.details, error.details()) {
            self.field("details", details.as_bytes());
        }
        self.finish()
    }

    /// The result or the error.
    pub fn outcome(self, outcome: &Result<RawJson, RpcError>) -> Vec<u8> {
        match outcome {
            Ok(result) => self.resp(result),
            Err(error) => self.error(error),
        }
    }

    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        self.head.reserve(name.len() + value.len() + 5);
        self.comma();
        self.head.push(b'"');
        self.head.extend_from_slice(name.as_bytes());
        self.head.extend_from_slice(b"\":");
        self.head.extend_from_slice(value);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.head.push(b'}');
        self.head
    }

    fn comma(&mut self) {
        if self.head.len() > 1 {
            self.head.push(b',');
        }
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
