//! One packet: its type, its namespace, and what is said there.
//!
//! In: a text. Out: a [`Packet`] that borrows from it.

use std::borrow::Cow;

use serde::Deserialize;

use super::arguments::Arguments;
use super::{BadPacket, MAX_ATTACHMENTS, is_reserved};
use crate::engineio::Version;
use crate::envelope::MAX_DEPTH;
use crate::json::scanner::Scanner;
use crate::json::slice::RawSlice;

/// The largest number of an acknowledgement: what JavaScript still counts exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// A packet that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The namespace, beginning with a slash.
    pub namespace: &'a str,
    /// The query behind the namespace's name, not decoded; protocol 4 has one in a connect.
    pub query: Option<&'a str>,
    /// What is said.
    pub body: Body<'a>,
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// The client wants to join the namespace.
    Connect {
        /// What it says of itself: an object, in protocol 5.
        auth: Option<RawSlice<'a>>,
    },
    /// It leaves the namespace.
    Disconnect,
    /// An event.
    Event {
        /// The number under which it wants an acknowledgement, if it wants one.
        number: Option<u64>,
        /// The event's name.
        name: Cow<'a, str>,
        /// Its arguments.
        arguments: Arguments<'a>,
        /// How many attachments follow, or have come: see [`Decoder`](super::Decoder).
        attachments: usize,
    },
    /// The answer to an event.
    Ack {
        /// The number of that event.
        number: u64,
        /// What is answered.
        arguments: Arguments<'a>,
        /// How many attachments follow, or have come.
        attachments: usize,
    },
    /// An error. No client sends it; a server says so to refuse a connect.
    Error {
        /// What is wrong.
        data: Option<RawSlice<'a>>,
    },
}

impl<'a> Packet<'a> {
    /// Reads a text.
    pub fn parse(version: Version, text: &'a str) -> Result<Self, BadPacket> {
        let (&first, _) = text.as_bytes().split_first().ok_or(BadPacket::Type)?;
        if !matches!(first, b'0'..=b'6') {
            return Err(BadPacket::Type);
        }
        let rest = &text[1..];
        let (attachments, rest) =
            if matches!(first, b'5' | b'6') { attachments(version, rest)? } else { (0, rest) };
        let (namespace, rest) = namespace(rest);
        let (namespace, query) = match namespace.split_once('?') {
            Some((namespace, query)) if version == Version::V3 => (namespace, Some(query)),
            _ => (namespace, None),
        };
        let (number, rest) = number(rest)?;
        let body = match first {
            b'0' => Body::Connect { auth: connect(version, rest)? },
            b'1' if rest.is_empty() => Body::Disconnect,
            b'2' | b'5' => {
                let (name, arguments) = event(rest)?;
                if is_reserved(version, &name) {
                    return Err(BadPacket::Payload);
                }
                Body::Event { number, name, arguments, attachments }
            }
            b'3' | b'6' => {
                let number = number.ok_or(BadPacket::Number)?;
                Body::Ack {
                    number,
                    arguments: Arguments::of_array(value(rest)?).ok_or(BadPacket::Payload)?,
                    attachments,
                }
            }
            b'4' => Body::Error { data: if rest.is_empty() { None } else { Some(value(rest)?) } },
            _ => return Err(BadPacket::Payload),
        };
        Ok(Self { namespace, query, body })
    }

    /// How many attachments belong to it.
    pub fn attachments(&self) -> usize {
        match self.body {
            Body::Event { attachments, .. } | Body::Ack { attachments, .. } => attachments,
            _ => 0,
        }
    }

    /// The arguments of an event or an acknowledgement.
    pub(super) fn arguments(&self) -> Arguments<'a> {
        match self.body {
            Body::Event { arguments, .. } | Body::Ack { arguments, .. } => arguments,
            _ => Arguments::default(),
        }
    }
}

/// `12-`. Clients of 1.x have said `0-` of what has no bytes after all.
fn attachments(version: Version, text: &str) -> Result<(usize, &str), BadPacket> {
    let (digits, rest) = text.split_once('-').ok_or(BadPacket::Attachments)?;
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(BadPacket::Attachments);
    }
    match digits.parse() {
        Ok(0) if version == Version::V4 => Err(BadPacket::Attachments),
        Ok(count) if count <= MAX_ATTACHMENTS => Ok((count, rest)),
        _ => Err(BadPacket::TooManyAttachments),
    }
}

/// `/name,`, without its comma, which may be missing where nothing follows.
fn namespace(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return ("/", text);
    }
    text.split_once(',').unwrap_or((text, ""))
}

fn number(text: &str) -> Result<(Option<u64>, &str), BadPacket> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    match digits.parse() {
        Ok(number) if number <= MAX_NUMBER => Ok((Some(number), rest)),
        _ => Err(BadPacket::Number),
    }
}

/// The one value that a text is.
fn value(text: &str) -> Result<RawSlice<'_>, BadPacket> {
    let mut scanner = Scanner::new(text);
    let value = scanner.value().map_err(|_| BadPacket::Payload)?;
    if !scanner.is_at_end() {
        return Err(BadPacket::Payload);
    }
    if scanner.deepest() > MAX_DEPTH { Err(BadPacket::TooDeep) } else { Ok(value) }
}

fn connect(version: Version, text: &str) -> Result<Option<RawSlice<'_>>, BadPacket> {
    if text.is_empty() {
        return Ok(None);
    }
    let auth = value(text)?;
    // In protocol 4 nothing is said beside the query, and what is said is not looked at.
    match version {
        Version::V3 => Ok(None),
        Version::V4 if auth.as_str().starts_with('{') => Ok(Some(auth)),
        Version::V4 => Err(BadPacket::Payload),
    }
}

/// `["name",…]`. A number is a name too, in its own digits.
fn event(text: &str) -> Result<(Cow<'_, str>, Arguments<'_>), BadPacket> {
    let array = Arguments::of_array(value(text)?).ok_or(BadPacket::Payload)?;
    let (name, arguments) = array.split_first().ok_or(BadPacket::Payload)?;
    let name = match name.as_bytes() {
        [b'-' | b'0'..=b'9', ..] => Cow::Borrowed(name.as_str()),
        // An escaped surrogate that stands alone is text in JavaScript, and none here.
        [b'"', ..] => name.parse::<Text<'_>>().map_err(|_| BadPacket::Payload)?.0,
        _ => return Err(BadPacket::Payload),
    };
    Ok((name, arguments))
}

/// A text that is copied only where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
