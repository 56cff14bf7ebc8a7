//! Packets as texts, from the server to its clients.
//!
//! In: what is to be said, where. Out: the text of an Engine.IO message, appended. Attachments follow as messages of
//! bytes, each of its own and right behind the text.

use super::arguments::Arguments;
use crate::RawJson;
use crate::engineio::Version;
use crate::json::string;

/// Says that the client has joined: `0/newsite,` in protocol 4, `0/newsite,{"sid":"…"}` in 5.
pub fn push_connected(version: Version, namespace: &str, sid: &str, out: &mut Vec<u8>) {
    push_front(b'0', 0, namespace, None, out);
    if version == Version::V4 {
        out.extend_from_slice(b"{\"sid\":");
        push_text(sid, out);
        out.push(b'}');
    }
}

/// Says that the client is no longer in the namespace: `1/newsite,`.
pub fn push_disconnected(namespace: &str, out: &mut Vec<u8>) {
    push_front(b'1', 0, namespace, None, out);
}

/// Refuses a connect: `4/newsite,"text"` in protocol 4, `4/newsite,{"message":"text"}` in 5.
pub fn push_refusal(version: Version, namespace: &str, message: &str, out: &mut Vec<u8>) {
    push_front(b'4', 0, namespace, None, out);
    match version {
        Version::V3 => push_text(message, out),
        Version::V4 => push_object(message, None, out),
    }
}

/// The same with details: `4/newsite,data` in protocol 4, `4/newsite,{"message":"text","data":data}` in 5.
pub fn push_refusal_with(
    version: Version,
    namespace: &str,
    message: &str,
    data: &RawJson,
    out: &mut Vec<u8>,
) {
    push_front(b'4', 0, namespace, None, out);
    match version {
        Version::V3 => out.extend_from_slice(data.as_bytes()),
        Version::V4 => push_object(message, Some(data), out),
    }
}

/// An event: `2/newsite,12["name",1]`, or `51-/newsite,12["name",{…}]` where `attachments` follow it.
///
/// `number` asks for an acknowledgement. Names that [are reserved](super::is_reserved) are the caller's to refuse.
pub fn push_event(
    namespace: &str,
    number: Option<u64>,
    name: &str,
    arguments: Arguments<'_>,
    attachments: usize,
    out: &mut Vec<u8>,
) {
    out.reserve(namespace.len() + name.len() + arguments.as_str().len() + 32);
    push_front(if attachments == 0 { b'2' } else { b'5' }, attachments, namespace, number, out);
    out.push(b'[');
    push_text(name, out);
    if !arguments.is_empty() {
        out.push(b',');
        out.extend_from_slice(arguments.as_str().as_bytes());
    }
    out.push(b']');
}

/// The answer to an event: `3/newsite,12["done"]`.
pub fn push_ack(
    namespace: &str,
    number: u64,
    arguments: Arguments<'_>,
    attachments: usize,
    out: &mut Vec<u8>,
) {
    push_front(if attachments == 0 { b'3' } else { b'6' }, attachments, namespace, Some(number), out);
    out.push(b'[');
    out.extend_from_slice(arguments.as_str().as_bytes());
    out.push(b']');
}

/// Type, attachments, namespace and number. The namespace `/` is not named.
fn push_front(digit: u8, attachments: usize, namespace: &str, number: Option<u64>, out: &mut Vec<u8>) {
    out.push(digit);
    if attachments > 0 {
        out.extend_from_slice(itoa::Buffer::new().format(attachments).as_bytes());
        out.push(b'-');
    }
    if namespace != "/" {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(number) = number {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

fn push_object(message: &str, data: Option<&RawJson>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"message\":");
    push_text(message, out);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data.as_bytes());
    }
    out.push(b'}');
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    string::push_escaped(out, text.as_bytes());
    out.push(b'"');
}
