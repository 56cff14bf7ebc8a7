//! Placeholders: where in a packet's JSON its attachments belong.
//!
//! In: well-formed JSON. Out: which attachments it names. An object is a placeholder by the rule of the npm parser:
//! its `_placeholder` is `true`, whatever else it has, and of two fields of one name the last counts.

use std::borrow::Cow;

use super::BadPacket;
use super::arguments::Arguments;
use crate::json::slice::RawSlice;

/// The placeholder of an attachment.
pub(super) fn text(number: usize) -> String {
    format!(r#"{{"_placeholder":true,"num":{number}}}"#)
}

/// The attachment that a value is the placeholder of.
pub(super) fn number(value: RawSlice<'_>) -> Option<usize> {
    if !value.as_str().starts_with('{') {
        return None;
    }
    let mut own = None;
    // The outermost object is the last that ends.
    walk(value.as_str(), |number| own = number)?;
    own
}

/// Checks that each placeholder in `arguments`, however deep, names one of so many attachments: a client that gets
/// another ends its connection, and what one client sends may be forwarded to all.
pub(super) fn check(arguments: Arguments<'_>, attachments: usize) -> Result<(), BadPacket> {
    let mut end = 0;
    walk(arguments.as_str(), |number| end = end.max(number.map_or(0, |number| number.saturating_add(1))))
        .filter(|()| end <= attachments)
        .ok_or(BadPacket::Placeholder)
}

/// What is known of a bracket that is open.
#[derive(Default)]
struct Open {
    /// The name of the field that is being read.
    field: Field,
    is_placeholder: bool,
    number: Option<usize>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Field {
    /// A field that a placeholder does not have; or a value of an array.
    #[default]
    Other,
    Placeholder,
    Number,
}

/// Goes through well-formed values, and tells of each object that ends whether it is a placeholder, of what. `None`
/// when one is a placeholder of nothing.
fn walk(text: &str, mut ended: impl FnMut(Option<usize>)) -> Option<()> {
    let bytes = text.as_bytes();
    let mut outer: Vec<Open> = Vec::new();
    let mut open = Open::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'{' | b'[' => {
                open.value(None);
                outer.push(std::mem::take(&mut open));
            }
            b'}' | b']' => {
                let number = if open.is_placeholder { Some(open.number?) } else { None };
                if byte == b'}' {
                    ended(number);
                }
                open = outer.pop()?;
            }
            b'"' => {
                at = string_end(bytes, at)?;
                if is_name(&bytes[at..]) {
                    open.field = field(text.get(start..at)?);
                } else {
                    open.value(None);
                }
            }
            b',' | b':' | b' ' | b'\n' | b'\t' | b'\r' => {}
            _ => {
                let rest = &bytes[at..];
                at += rest.iter().position(|byte| !is_scalar(*byte)).unwrap_or(rest.len());
                open.value(text.get(start..at));
            }
        }
    }
    Some(())
}

impl Open {
    /// Takes note of a value: its text, where that is a number or a word.
    fn value(&mut self, scalar: Option<&str>) {
        match std::mem::take(&mut self.field) {
            Field::Placeholder => self.is_placeholder = scalar == Some("true"),
            Field::Number => self.number = scalar.and_then(index),
            Field::Other => {}
        }
    }
}

/// A number that JavaScript takes for an index, as clients write one.
fn index(scalar: &str) -> Option<usize> {
    scalar.bytes().all(|digit| digit.is_ascii_digit()).then_some(())?;
    scalar.parse().ok()
}

fn is_scalar(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'E')
}

/// Behind the closing quote of a string whose inside begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Whether a colon comes next.
fn is_name(rest: &[u8]) -> bool {
    rest.iter().find(|byte| !matches!(byte, b' ' | b'\n' | b'\t' | b'\r')) == Some(&b':')
}

fn field(name: &str) -> Field {
    match serde_json::from_str::<Cow<'_, str>>(name).as_deref() {
        Ok("_placeholder") => Field::Placeholder,
        Ok("num") => Field::Number,
        _ => Field::Other,
    }
}
