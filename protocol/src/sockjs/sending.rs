//! What comes up from a sender over HTTP: the messages of a request's body.
//!
//! In: a body and its type. Out: messages, or what the client is told is wrong. Which session they are for,
//! and how long a body may be, is the server's.

use serde::de::IgnoredAny;

use crate::json::string;

/// How much room [`string::unescape`] wants between what it writes and what it reads, in bytes.
const ROOM: usize = string::WORD;

/// The messages of a body that is JSON: an array of texts, perhaps an empty one.
///
/// For `xhr_send` (SockJS protocol 0.3.3, `XhrPolling.test_invalid_json`, `XhrPolling.test_sending_empty_frame`),
/// and for `jsonp_send` where its body [is text](is_text).
pub fn messages(body: &[u8]) -> Result<Vec<String>, BadBody> {
    if body.is_empty() {
        return Err(BadBody::NoPayload);
    }
    if let Some(messages) = compact(body) {
        return Ok(messages);
    }
    // All of it is looked at before any of it, so that broken text is told from a wrong type.
    let text = std::str::from_utf8(body).map_err(|_| BadBody::BrokenJson)?;
    serde_json::from_str(text).map_err(|error| match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) if error.is_data() => BadBody::NoPayload,
        _ => BadBody::BrokenJson,
    })
}

/// The messages of an array as clients write it, without a space between its texts; `None` for all else, be it
/// right or wrong.
fn compact(body: &[u8]) -> Option<Vec<String>> {
    // Each text is written over what was read before it.
    let mut bytes = Vec::with_capacity(ROOM + body.len());
    bytes.resize(ROOM, 0);
    bytes.extend_from_slice(body);
    let mut messages = Vec::new();
    let mut at = ROOM;
    let mut before = b'[';
    while *bytes.get(at)? == before && *bytes.get(at + 1)? == b'"' {
        let to = at + 2 - ROOM;
        let (end, behind) = string::unescape(&mut bytes, at + 2, to).ok()?;
        messages.push(std::str::from_utf8(&bytes[to..end]).ok()?.to_owned());
        if bytes[behind..] == *b"]" {
            return Some(messages);
        }
        (at, before) = (behind, b',');
    }
    None
}

/// The messages of a body that is a form, in its field `d`: for `jsonp_send` where its body [is a
/// form](is_form) (`JsonPolling.test_transport`, `JsonPolling.test_invalid_json`).
pub fn form(body: &[u8]) -> Result<Vec<String>, BadBody> {
    let payload = body.split(|byte| *byte == b'&').find_map(|field| {
        let (name, value) = match field.iter().position(|byte| *byte == b'=') {
            Some(at) => (&field[..at], &field[at + 1..]),
            None => (field, &[][..]),
        };
        (decode(name) == b"d").then(|| decode(value))
    });
    messages(&payload.unwrap_or_default())
}

/// Whether a body of this type is JSON for [`messages`]: in `xhr_send` (`XhrPolling.test_content_types`).
/// `None` stands for a request that does not say.
///
/// Browsers of all ages say different things here, and none of them means it. A form is not among them.
pub fn is_text(content_type: Option<&str>) -> bool {
    matches!(
        essence(content_type),
        "" | "text/plain" | "T" | "application/json" | "application/xml" | "text/xml"
    )
}

/// Whether a body of this type is one for [`form`]: in `jsonp_send` (`JsonPolling.test_content_types`).
pub fn is_form(content_type: Option<&str>) -> bool {
    essence(content_type) == "application/x-www-form-urlencoded"
}

/// A type without its parameters.
fn essence(content_type: Option<&str>) -> &str {
    content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim_ascii()
}

/// Decodes a name or a value of a form. Bytes stay bytes: what is broken text is found out later.
fn decode(part: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(part.len());
    for (at, piece) in part.split(|byte| *byte == b'+').enumerate() {
        if at > 0 {
            decoded.push(b' ');
        }
        decoded.extend(percent_encoding::percent_decode(piece));
    }
    decoded
}

/// Why a body has no messages. The texts are the protocol's (`XhrPolling.test_invalid_json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// It is empty, or something else than an array of texts.
    #[error("Payload expected.")]
    NoPayload,
    /// It is no JSON, or no text at all.
    #[error("Broken JSON encoding.")]
    BrokenJson,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::tests::{mangled, near_json};

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn reads_arrays_of_texts_and_nothing_else() {
        for (body, expected) in [
            (&br#"["a"]"#[..], Ok(texts(&["a"]))),
            (br#" ["a", "\u00e9\n"] "#, Ok(texts(&["a", "\u{e9}\n"]))),
            (b"[]", Ok(texts(&[]))),
            (b"", Err(BadBody::NoPayload)),
            (b"null", Err(BadBody::NoPayload)),
            (b"{}", Err(BadBody::NoPayload)),
            (b"\"a\"", Err(BadBody::NoPayload)),
            (b"1", Err(BadBody::NoPayload)),
            (b"[1]", Err(BadBody::NoPayload)),
            (b"[1,", Err(BadBody::BrokenJson)),
            (b"[\"x", Err(BadBody::BrokenJson)),
            (b"[\"a\"]x", Err(BadBody::BrokenJson)),
            (b"[\"\xff\"]", Err(BadBody::BrokenJson)),
            (b"[1,\"\xff\"]", Err(BadBody::BrokenJson)),
            (br#"["\ud800"]"#, Err(BadBody::BrokenJson)),
            (b"   ", Err(BadBody::BrokenJson)),
        ] {
            assert_eq!(messages(body), expected, "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(messages(&vec![b'['; 1 << 20]), Err(BadBody::BrokenJson));
    }

    #[test]
    fn reads_the_field_of_a_form() {
        for (body, expected) in [
            (&b"d=%5B%22x%22%5D"[..], Ok(texts(&["x"]))),
            (b"a=1&d=%5b%22%c3%a9+%2b%22%5d&d=no", Ok(texts(&["\u{e9} +"]))),
            (b"%64=[\"x=y\"]", Ok(texts(&["x=y"]))),
            (b"d=%5B%5D", Ok(texts(&[]))),
            (b"d=%5B%22x", Err(BadBody::BrokenJson)),
            (b"d=%5B%22%ff%22%5D", Err(BadBody::BrokenJson)),
            (b"d=%", Err(BadBody::BrokenJson)),
            (b"", Err(BadBody::NoPayload)),
            (b"d", Err(BadBody::NoPayload)),
            (b"d=", Err(BadBody::NoPayload)),
            (b"p=p", Err(BadBody::NoPayload)),
        ] {
            assert_eq!(form(body), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn knows_the_types_that_clients_name() {
        for (name, text, form) in [
            (None, true, false),
            (Some(""), true, false),
            (Some("text/plain"), true, false),
            (Some("text/plain;charset=UTF-8"), true, false),
            (Some("T"), true, false),
            (Some("application/json"), true, false),
            (Some("application/json; charset=utf-8"), true, false),
            (Some("application/xml"), true, false),
            (Some("text/xml; charset=utf-8"), true, false),
            (Some("text/xml"), true, false),
            (Some("application/x-www-form-urlencoded"), false, true),
            (Some("application/x-www-form-urlencoded; charset=UTF-8"), false, true),
            (Some("application/octet-stream"), false, false),
            (Some("multipart/form-data"), false, false),
        ] {
            assert_eq!((is_text(name), is_form(name)), (text, form), "{name:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn reads_what_clients_write(sent in prop::collection::vec(any::<String>(), 0..5)) {
            let body = serde_json::to_string(&sent).unwrap_or_default();
            prop_assert_eq!(messages(body.as_bytes()), Ok(sent.clone()));
            let encoded: String = form_urlencoded::byte_serialize(body.as_bytes()).collect();
            prop_assert_eq!(form(format!("d={encoded}").as_bytes()), Ok(sent));
        }

        #[test]
        fn takes_any_bytes(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = messages(&body);
            let _ = form(&body);
        }

        #[test]
        fn takes_what_serde_json_takes(bytes in prop::collection::vec(any::<u8>(), 0..40), near in near_json(), text in mangled()) {
            let quoted = serde_json::to_string(&[&near, &text]).unwrap_or_default();
            for body in [
                bytes.clone(),
                [b"[\"", &bytes[..], b"\",\"a\"]"].concat(),
                [b"[\"a\",\"", &bytes[..], b"\"]"].concat(),
                format!("[\"a\",\"{near}\"]").into_bytes(),
                format!("[\"{text}\",\"{near}\"]").into_bytes(),
                format!("[{near},{text}]").into_bytes(),
                quoted.into_bytes(),
            ] {
                let expected = std::str::from_utf8(&body).ok().and_then(|text| serde_json::from_str(text).ok());
                prop_assert_eq!(messages(&body).ok(), expected, "{}", String::from_utf8_lossy(&body));
            }
        }
    }
}
