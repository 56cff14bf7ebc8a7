//! A client's message, taken apart without looking into its payload.
//!
//! In: text. Out: [`Envelope`], whose parts borrow from the text. Skipping a payload is iterative, so no
//! input, however deep, uses the stack.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep a message may nest. What stands within its fields, one level down, is what `serde_json` still
/// reads.
pub const MAX_DEPTH: usize = 128;

/// The fields of a message. A field that came twice has its last value, as in JavaScript.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) rpc: Option<&'a RawValue>,
    pub(crate) uuid: Option<&'a RawValue>,
    pub(crate) req: Option<&'a RawValue>,
    pub(crate) resp: Option<&'a RawValue>,
    pub(crate) fid: Option<&'a RawValue>,
    pub(crate) token: Option<&'a RawValue>,
    pub(crate) client: Option<&'a RawValue>,
    pub(crate) timeout_ms: Option<&'a RawValue>,
    /// Fields that the wire does not know. The original servers sent them back, so we do.
    pub(crate) others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Why a text is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoEnvelope {
    NotJson,
    NotAnObject,
}

impl<'a> Envelope<'a> {
    pub(crate) fn decode(text: &'a str) -> Result<Self, NoEnvelope> {
        serde_json::from_str(text).map_err(|error| {
            let is_json = error.is_data() && serde_json::from_str::<&RawValue>(text).is_ok();
            if is_json { NoEnvelope::NotAnObject } else { NoEnvelope::NotJson }
        })
    }

    /// Forgets the fields that nest too deep to stand in an answer.
    pub(crate) fn without_deep_fields(mut self) -> Self {
        let is_shallow = |value: &&RawValue| !nests_deeper_than(value.get(), MAX_DEPTH - 1);
        self.rpc = self.rpc.filter(is_shallow);
        self.uuid = self.uuid.filter(is_shallow);
        self.token = self.token.filter(is_shallow);
        self.others.retain(|(_, value)| is_shallow(value));
        self
    }
}

/// The text of a JSON string; `None` for any other value, and for a string that is not Unicode (a lone
/// surrogate).
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// What JavaScript takes for false: the original servers asked no more of a token or an `rpc`.
pub(crate) fn is_falsy(raw: Option<&RawValue>) -> bool {
    raw.is_none_or(|raw| matches!(raw.get(), "null" | "false" | "0" | "\"\""))
}

/// Whether brackets nest deeper than [`MAX_DEPTH`]. `text` is well-formed JSON.
pub(crate) fn is_too_deep(text: &str) -> bool {
    nests_deeper_than(text, MAX_DEPTH)
}

fn nests_deeper_than(text: &str, limit: usize) -> bool {
    if text.len() <= 2 * limit {
        return false;
    }
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(Key(key)) = map.next_key()? {
                    let value: &'de RawValue = map.next_value()?;
                    let field = match &*key {
                        "rpc" => &mut envelope.rpc,
                        "uuid" => &mut envelope.uuid,
                        "req" => &mut envelope.req,
                        "resp" => &mut envelope.resp,
                        "fid" => &mut envelope.fid,
                        "token" => &mut envelope.token,
                        "client" => &mut envelope.client,
                        "timeout_ms" => &mut envelope.timeout_ms,
                        _ => {
                            envelope.others.push((key, value));
                            continue;
                        }
                    };
                    *field = Some(value);
                }
                Ok(envelope)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// An object's key, borrowed unless it has escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_text_that_is_no_json_from_json_that_is_no_object() {
        for text in ["", "nonsense", "{", "[1,2", "{\"a\":}", "1 2", "{\"rpc\":1}x"] {
            assert_eq!(Envelope::decode(text).err(), Some(NoEnvelope::NotJson), "{text}");
        }
        for text in ["null", "5", "[1,{}]", "\"x\"", "true"] {
            assert_eq!(Envelope::decode(text).err(), Some(NoEnvelope::NotAnObject), "{text}");
        }
    }

    #[test]
    fn takes_the_last_of_two_equal_fields() {
        let rpc = Envelope::decode(r#"{"rpc":"a","rpc":"b"}"#).ok().and_then(|envelope| envelope.rpc);
        assert_eq!(rpc.map(RawValue::get), Some("\"b\""));
    }

    #[test]
    fn decodes_any_depth_without_recursion() {
        let deep = format!(r#"{{"rpc":"a","req":{}{}}}"#, "[".repeat(500_000), "]".repeat(500_000));
        assert!(Envelope::decode(&deep).is_ok());
        assert!(is_too_deep(&deep));
        let inside_text = format!(r#"{{"rpc":"a","req":"\"{}"}}"#, "[".repeat(500));
        assert!(!is_too_deep(&inside_text));
        let exactly = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(!is_too_deep(&format!("{exactly}   ")));
        let one_more = format!("[{exactly}]");
        assert!(is_too_deep(&one_more));
    }

    #[test]
    fn reads_escaped_strings() {
        let read = |text: &str| {
            let raw: Result<&RawValue, _> = serde_json::from_str(text);
            raw.ok().and_then(string).map(Cow::into_owned)
        };
        assert_eq!(read(r#""a\u002eb""#).as_deref(), Some("a.b"));
        assert_eq!(read(r#""\ud800""#), None);
        assert_eq!(read("1"), None);
    }
}
