//! Messages of event clients: JSON objects with an `event`, in both directions.
//!
//! In: a client's text. Out: what it names, or nothing, since whatever is no such message is ignored; and the texts
//! that go back. Nothing of the payload is looked into.

use std::borrow::Cow;

use crate::answer::write_string;
use crate::envelope::{MAX_DEPTH, string};
use crate::json::scanner::Scanner;
use crate::json::slice::RawSlice;
use crate::raw_json::RawJson;

/// What stands between the two halves of an event that asks for data.
const GET: &str = ":get:";
const SET: &str = ":set:";

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event's name.
    pub name: Cow<'a, str>,
    /// The whole message, an object.
    pub message: RawSlice<'a>,
}

impl<'a> Event<'a> {
    /// Reads a message; `None` for a text that is no JSON object, has no text as its `event`, or nests
    /// [`MAX_DEPTH`] deep, which nobody could read. Of two fields `event` the last counts, as in JavaScript.
    ///
    /// ```
    /// use tokensocket_protocol::event::Event;
    ///
    /// let event = Event::parse(r#"{"event":"data:get:user","id":7}"#).expect("a message");
    /// assert_eq!(event.name, "data:get:user");
    /// assert_eq!(event.answer().as_deref(), Some("data:set:user"));
    /// assert_eq!(Event::parse("null"), None);
    /// ```
    pub fn parse(text: &'a str) -> Option<Self> {
        // What JSON takes for whitespace, and nothing else.
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        let mut scanner = Scanner::new(text);
        let mut name = None;
        if !scanner.take(b'{') || scanner.take(b'}') {
            return None;
        }
        loop {
            let key = scanner.key().ok()?;
            let value = scanner.value().ok()?;
            if key == "event" {
                name = Some(value);
            }
            if !scanner.take(b',') {
                break;
            }
        }
        let is_whole = scanner.take(b'}') && scanner.is_at_end() && scanner.deepest() + 1 < MAX_DEPTH;
        let name = name.filter(|_| is_whole).and_then(string)?;
        Some(Self { name, message: RawSlice::well_formed(text) })
    }

    /// The event that answers this one, if it asks for data: `data:set:x` for `data:get:x`, and so for every event
    /// with `:get:` in it.
    pub fn answer(&self) -> Option<String> {
        answer(&self.name)
    }
}

/// The event that answers `event`, if that asks for data.
pub fn answer(event: &str) -> Option<String> {
    let (before, after) = event.split_once(GET)?;
    Some([before, SET, after].concat())
}

/// What an event asks for: all behind its first `:get:`.
pub fn asked(event: &str) -> Option<&str> {
    event.split_once(GET).map(|(_, name)| name)
}

/// Encodes `{"event":E,"data":D}`.
pub fn with_data(event: &str, data: &RawJson) -> Vec<u8> {
    with(event, b",\"data\":", data)
}

/// Encodes `{"event":E,"args":[…]}`: an event with several arguments.
pub fn with_args(event: &str, args: &RawJson) -> Vec<u8> {
    with(event, b",\"args\":", args)
}

fn with(event: &str, field: &[u8], value: &RawJson) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.len() + value.as_bytes().len() + 24);
    out.extend_from_slice(b"{\"event\":");
    write_string(&mut out, event);
    out.extend_from_slice(field);
    out.extend_from_slice(value.as_bytes());
    out.push(b'}');
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::json::tests::{mangled, near_json};

    #[test]
    fn reads_the_event_wherever_it_stands() {
        for text in [
            r#"{"event":"a:b"}"#,
            " \n{ \"x\" : [{}] , \"event\" : \"a:b\" }\t",
            r#"{"event":1,"event":"a:b"}"#,
            r#"{"\u0065vent":"a\u003ab"}"#,
        ] {
            let event = Event::parse(text).unwrap();
            assert_eq!(event.name, "a:b", "{text}");
            assert_eq!(event.message.as_str(), text.trim());
        }
    }

    #[test]
    fn ignores_what_is_no_message() {
        for text in [
            "",
            "null",
            "5",
            "\"event\" : \"some:event\"",
            "[]",
            r#"[{"event":"a"}]"#,
            "{}",
            r#"{"data":1}"#,
            r#"{"event":null}"#,
            r#"{"event":{"event":"a"}}"#,
            r#"{"event":"a","event":5}"#,
            r#"{"event":"a"}x"#,
            r#"{"event":"a""#,
            r#"{"event":"a",}"#,
            "\u{a0}{\"event\":\"a\"}",
        ] {
            assert_eq!(Event::parse(text), None, "{text}");
        }
    }

    #[test]
    fn takes_as_deep_a_message_as_anybody_reads() {
        let nested = |depth| format!(r#"{{"event":"a","b":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let deepest = nested(MAX_DEPTH - 2);
        assert!(Event::parse(&deepest).is_some());
        assert!(serde_json::from_str::<Value>(&deepest).is_ok());
        assert_eq!(Event::parse(&nested(MAX_DEPTH - 1)), None);
        assert_eq!(Event::parse(&nested(500_000)), None);
    }

    #[test]
    fn answers_only_what_asks() {
        assert_eq!(answer("data:get:x").as_deref(), Some("data:set:x"));
        assert_eq!(answer(":get:").as_deref(), Some(":set:"));
        assert_eq!(answer("a:get:b:get:c").as_deref(), Some("a:set:b:get:c"));
        assert_eq!(asked("a:get:b:get:c"), Some("b:get:c"));
        for event in ["", "get", "data:get", "get:x", "data:set:x"] {
            assert_eq!((answer(event), asked(event)), (None, None), "{event}");
        }
    }

    #[test]
    fn writes_what_its_clients_read() {
        let data = RawJson::new(&["x"]).unwrap();
        assert_eq!(with_data("a\"b", &data), br#"{"event":"a\"b","data":["x"]}"#);
        assert_eq!(with_args("é", &data), "{\"event\":\"é\",\"args\":[\"x\"]}".as_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn reads_any_text_as_serde_json_does(text in any::<String>(), near in near_json(), mangled in mangled()) {
            let wrapped = [format!("{{\"event\":{near}}}"), format!("{{\"event\":\"a\",{near}}}")];
            for text in [text, near, mangled].iter().chain(&wrapped) {
                let expected = serde_json::from_str::<Value>(text).ok();
                let expected = expected.as_ref().and_then(|message| message.get("event")).and_then(Value::as_str);
                let event = Event::parse(text);
                // A lone surrogate or a huge number elsewhere in the message is only read when somebody asks.
                if let Some(expected) = expected {
                    prop_assert_eq!(event.as_ref().map(|event| &*event.name), Some(expected));
                }
                if let Some(event) = event {
                    prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(event.message.as_str()).is_ok());
                }
            }
        }
    }
}
