//! A client's message, taken apart without looking into its payload.
//!
//! In: text. Out: [`Envelope`], whose parts borrow from the text.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::NotJson;
use crate::json::scanner::Scanner;
use crate::json::slice::RawSlice;

/// How deep a message may nest. What stands within its fields, one level down, is what `serde_json` still
/// reads.
pub const MAX_DEPTH: usize = 128;

/// The fields of a message. A field that came twice has its last value, as in JavaScript.
#[derive(Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) rpc: Option<RawSlice<'a>>,
    pub(crate) uuid: Option<RawSlice<'a>>,
    pub(crate) req: Option<RawSlice<'a>>,
    pub(crate) resp: Option<RawSlice<'a>>,
    pub(crate) fid: Option<RawSlice<'a>>,
    pub(crate) token: Option<RawSlice<'a>>,
    pub(crate) client: Option<RawSlice<'a>>,
    pub(crate) timeout_ms: Option<RawSlice<'a>>,
    /// Fields that the wire does not know. The original servers sent them back, so we do.
    pub(crate) others: Vec<(Cow<'a, str>, RawSlice<'a>)>,
    /// How deep the whole message nests.
    depth: usize,
}

/// Why a text is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoEnvelope {
    NotJson,
    NotAnObject,
}

impl From<NotJson> for NoEnvelope {
    fn from(NotJson: NotJson) -> Self {
        Self::NotJson
    }
}

/// The fields that the wire knows, those of most messages first.
macro_rules! fields {
    ($($name:ident),*) => {
        impl<'a> Envelope<'a> {
            /// Where the value of this key belongs.
            fn field_named(&mut self, key: &str) -> Option<&mut Option<RawSlice<'a>>> {
                match key {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }

            /// Goes behind a key that is written as nearly everybody writes it, and says where its value belongs: a compare of
            /// a few bytes for each field, instead of finding where the key ends, whether it has escapes and what it is.
            #[inline]
            fn field_at(&mut self, scanner: &mut Scanner<'a>) -> Option<&mut Option<RawSlice<'a>>> {
                $(if scanner.take_key(concat!("\"", stringify!($name), "\":")) {
                    return Some(&mut self.$name);
                })*
                None
            }
        }
    };
}

fields!(rpc, req, uuid, resp, fid, token, client, timeout_ms);

impl<'a> Envelope<'a> {
    /// Reads a message into one without fields: where it stands, since it is large.
    pub(crate) fn read(&mut self, text: &'a str) -> Result<(), NoEnvelope> {
        let mut scanner = Scanner::new(text);
        if !scanner.take(b'{') {
            return Err(no_object(text));
        }
        if !scanner.take(b'}') {
            loop {
                scanner.skip_space();
                if let Some(field) = self.field_at(&mut scanner) {
                    *field = Some(scanner.value()?);
                } else {
                    let key = scanner.key()?;
                    let value = scanner.value()?;
                    self.set(key, value);
                }
                if !scanner.take(b',') {
                    break;
                }
            }
            if !scanner.take(b'}') {
                return Err(NoEnvelope::NotJson);
            }
        }
        self.depth = scanner.deepest() + 1;
        if scanner.is_at_end() { Ok(()) } else { Err(NoEnvelope::NotJson) }
    }

    #[inline(never)]
    fn set(&mut self, key: Cow<'a, str>, value: RawSlice<'a>) {
        match self.field_named(&key) {
            Some(field) => *field = Some(value),
            None => self.others.push((key, value)),
        }
    }

    /// Whether the message nests deeper than [`MAX_DEPTH`].
    pub(crate) fn is_too_deep(&self) -> bool {
        self.depth > MAX_DEPTH
    }

    /// Forgets the fields that nest too deep to stand in an answer.
    pub(crate) fn without_deep_fields(mut self) -> Self {
        let is_shallow = |value: &RawSlice<'_>| {
            let mut scanner = Scanner::new(value.as_str());
            scanner.value().is_ok() && scanner.deepest() < MAX_DEPTH
        };
        self.rpc = self.rpc.filter(is_shallow);
        self.uuid = self.uuid.filter(is_shallow);
        self.token = self.token.filter(is_shallow);
        self.others.retain(|(_, value)| is_shallow(value));
        self
    }
}

/// Why a text that begins no object is none.
#[cold]
fn no_object(text: &str) -> NoEnvelope {
    match serde_json::from_str::<Map<String, Value>>(text) {
        Err(error) if error.is_data() && serde_json::from_str::<&RawValue>(text).is_ok() => {
            NoEnvelope::NotAnObject
        }
        _ => NoEnvelope::NotJson,
    }
}

/// The text of a JSON string; `None` for any other value, and for a string that is not Unicode (a lone
/// surrogate).
pub(crate) fn string(raw: RawSlice<'_>) -> Option<Cow<'_, str>> {
    let text = raw.as_str();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { raw.parse().ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// What JavaScript takes for false: the original servers asked no more of a token or an `rpc`.
pub(crate) fn is_falsy(raw: Option<RawSlice<'_>>) -> bool {
    raw.is_none_or(|raw| matches!(raw.as_str(), "null" | "false" | "0" | "\"\""))
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use proptest::prelude::*;
    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

    use super::*;
    use crate::json::tests::{mangled, near_json};

    fn decode(text: &str) -> Result<Envelope<'_>, NoEnvelope> {
        let mut envelope = Envelope::default();
        envelope.read(text).map(|()| envelope)
    }

    #[test]
    fn tells_text_that_is_no_json_from_json_that_is_no_object() {
        for text in ["", "nonsense", "{", "[1,2", "{\"a\":}", "1 2", "{\"rpc\":1}x"] {
            assert_eq!(decode(text).err(), Some(NoEnvelope::NotJson), "{text}");
        }
        for text in ["null", "5", "[1,{}]", "\"x\"", "true"] {
            assert_eq!(decode(text).err(), Some(NoEnvelope::NotAnObject), "{text}");
        }
    }

    #[test]
    fn takes_the_last_of_two_equal_fields() {
        let rpc = decode(r#"{"rpc":"a","rpc":"b"}"#).ok().and_then(|envelope| envelope.rpc);
        assert_eq!(rpc.map(RawSlice::as_str), Some("\"b\""));
    }

    #[test]
    fn finds_a_field_however_its_key_is_written() {
        for name in ["rpc", "req", "uuid", "resp", "fid", "token", "client", "timeout_ms"] {
            let first = name.as_bytes()[0];
            for text in [
                format!(r#"{{"{name}":7}}"#),
                format!("{{ \n\"{name}\" : 7 }}"),
                format!(r#"{{"\u00{first:x}{}":7}}"#, &name[1..]),
                format!(r#"{{"{name}":1,"\u00{first:x}{}":7}}"#, &name[1..]),
                format!(r#"{{"\u00{first:x}{}":1,"{name}":7}}"#, &name[1..]),
            ] {
                let mut envelope = decode(&text).unwrap_or_default();
                let field = envelope.field_named(name).and_then(Option::take);
                assert_eq!(field.map(RawSlice::as_str), Some("7"), "{text}");
                assert!(envelope.others.is_empty(), "{text}");
            }
            let nearly = format!(r#"{{"{name}x":1,"{}":2,"x{name}":3}}"#, &name[1..]);
            assert_eq!(decode(&nearly).map(|envelope| envelope.others.len()), Ok(3), "{nearly}");
        }
    }

    #[test]
    fn decodes_any_depth_without_recursion() {
        let is_too_deep = |text: &str| decode(text).map(|envelope| envelope.is_too_deep());
        let nested =
            |depth: usize| format!(r#"{{"rpc":"a","req":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(is_too_deep(&nested(500_000)), Ok(true));
        assert_eq!(is_too_deep(&nested(MAX_DEPTH)), Ok(true));
        assert_eq!(is_too_deep(&nested(MAX_DEPTH - 1)), Ok(false));
        assert_eq!(is_too_deep(&format!(r#"{{"rpc":"a","req":"\"{}"}}"#, "[".repeat(500))), Ok(false));
    }

    #[test]
    fn forgets_only_the_fields_that_are_too_deep() {
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let text = format!(r#"{{"rpc":"a","uuid":{deep},"x":{deep},"y":{}}}"#, &deep[1..deep.len() - 1]);
        let envelope = decode(&text).map(Envelope::without_deep_fields).unwrap_or_default();
        assert_eq!(envelope.rpc.map(RawSlice::as_str), Some("\"a\""));
        assert_eq!(envelope.uuid, None);
        let names: Vec<_> = envelope.others.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["y"]);
    }

    #[test]
    fn reads_escaped_strings() {
        let read = |text: &str| {
            let raw: Result<RawSlice<'_>, _> = serde_json::from_str(text);
            raw.ok().and_then(|raw| string(raw).map(Cow::into_owned))
        };
        assert_eq!(read(r#""a\u002eb""#).as_deref(), Some("a.b"));
        assert_eq!(read(r#""\ud800""#), None);
        assert_eq!(read("1"), None);
    }

    /// The fields of an object as `serde_json` reads them.
    struct Fields<'a>(Vec<(String, &'a RawValue)>);

    impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Object;

            impl<'de> Visitor<'de> for Object {
                type Value = Fields<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                    let mut fields = Vec::new();
                    while let Some(field) = map.next_entry()? {
                        fields.push(field);
                    }
                    Ok(Fields(fields))
                }
            }

            deserializer.deserialize_map(Object)
        }
    }

    fn same_as_serde_json(text: &str) {
        let expected = serde_json::from_str::<Fields<'_>>(text).map_err(|error| {
            let is_json = error.is_data() && serde_json::from_str::<&RawValue>(text).is_ok();
            if is_json { NoEnvelope::NotAnObject } else { NoEnvelope::NotJson }
        });
        match (decode(text), expected) {
            (Ok(envelope), Ok(Fields(fields))) => {
                let mut expected = Envelope::default();
                for (name, value) in fields {
                    expected.set(name.into(), value.into());
                }
                expected.depth = envelope.depth;
                assert_eq!(format!("{envelope:?}"), format!("{expected:?}"), "{text:?}");
            }
            (decoded, expected) => assert_eq!(decoded.err(), expected.map(drop).err(), "{text:?}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn decodes_any_text_as_serde_json_does(text in any::<String>(), near in near_json(), mangled in mangled()) {
            for text in [text, near.clone(), format!("{{{near}}}"), format!("{{\"{near}\":1}}"), mangled] {
                same_as_serde_json(&text);
            }
        }
    }
}
