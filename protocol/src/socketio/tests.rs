//! What npm's `socket.io-parser` 2.3, 3.4 and 4.2 write and read, and any other text.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::RawJson;
use crate::RawSlice;
use crate::engineio::Version::{V3, V4};
use crate::json::tests::{mangled, near_json};

/// What a connection's messages come to, as one value for each packet.
fn read(version: Version, messages: &[Message<'_>]) -> Result<Vec<Value>, BadPacket> {
    let mut decoder = Decoder::new(version, 1000);
    let mut packets = Vec::new();
    for message in messages {
        match *message {
            Message::Text(text) => {
                if let Some(packet) = decoder.text(text)? {
                    packets.push(shown(&packet, &[]));
                }
            }
            Message::Bytes(bytes) => {
                if let Some(whole) = decoder.binary(Bytes::copy_from_slice(bytes))? {
                    packets.push(shown(&whole.packet()?, &whole.attachments));
                }
            }
        }
    }
    Ok(packets)
}

#[derive(Clone, Copy)]
enum Message<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
}
use Message::{Bytes as B, Text as T};

fn shown(packet: &Packet<'_>, attachments: &[Bytes]) -> Value {
    let list = |arguments: Arguments<'_>| -> Vec<Value> {
        let list = arguments.to_list(attachments.to_vec());
        let each = list.iter().map(|argument| match argument {
            Argument::Json(json) => json.parse().unwrap_or_else(|_| json!(json.as_str())),
            Argument::Binary(bytes) => json!({ "bytes": &bytes[..] }),
        });
        each.collect()
    };
    let mut shown = match &packet.body {
        Body::Connect { auth } => json!({ "connect": auth.map(RawSlice::as_str) }),
        Body::Disconnect => json!({ "disconnect": true }),
        Body::Event { number, name, arguments, .. } => {
            json!({ "event": name, "arguments": list(*arguments), "number": number })
        }
        Body::Ack { number, arguments, .. } => json!({ "ack": number, "arguments": list(*arguments) }),
        Body::Error { data } => json!({ "error": data.map(RawSlice::as_str) }),
    };
    shown["namespace"] = json!(packet.namespace);
    if let Some(query) = packet.query {
        shown["query"] = json!(query);
    }
    shown
}

fn both(messages: &[Message<'_>], expected: &Value) {
    for version in [V3, V4] {
        assert_eq!(read(version, messages), Ok(vec![expected.clone()]));
    }
}

#[test]
fn reads_connects_of_both_protocols() {
    both(&[T("0")], &json!({ "connect": null, "namespace": "/" }));
    both(&[T("0/newsite,")], &json!({ "connect": null, "namespace": "/newsite" }));
    both(&[T("0/newsite")], &json!({ "connect": null, "namespace": "/newsite" }));
    for text in ["0/newsite?token=x&deviceId=y,", "0/newsite?token=x&deviceId=y"] {
        let expected = json!({ "connect": null, "namespace": "/newsite", "query": "token=x&deviceId=y" });
        assert_eq!(read(V3, &[T(text)]), Ok(vec![expected]));
        let expected = json!({ "connect": null, "namespace": "/newsite?token=x&deviceId=y" });
        assert_eq!(read(V4, &[T(text)]), Ok(vec![expected]));
    }
    let expected = json!({ "connect": "{\"token\": \"x\"}", "namespace": "/newsite" });
    assert_eq!(read(V4, &[T("0/newsite,{\"token\": \"x\"}")]), Ok(vec![expected]));
    let expected = json!({ "connect": null, "namespace": "/newsite" });
    assert_eq!(read(V3, &[T("0/newsite,{\"token\": \"x\"}")]), Ok(vec![expected]));
    for text in ["0/a,[]", "0/a,\"x\"", "0/a,null"] {
        assert_eq!(read(V4, &[T(text)]), Err(BadPacket::Payload));
    }
    both(&[T("1/newsite,")], &json!({ "disconnect": true, "namespace": "/newsite" }));
    both(&[T("1")], &json!({ "disconnect": true, "namespace": "/" }));
}

#[test]
fn reads_events_and_acknowledgements() {
    both(&[T(r#"2["a"]"#)], &json!({ "event": "a", "arguments": [], "number": null, "namespace": "/" }));
    both(
        &[T(r#"2/n,12["a", 1 ,{"b":[]}]"#)],
        &json!({ "event": "a", "arguments": [1, { "b": [] }], "number": 12, "namespace": "/n" }),
    );
    both(&[T("212[1,2]")], &json!({ "event": "1", "arguments": [2], "number": 12, "namespace": "/" }));
    both(
        &[T("2[\"\\u00e9\\\"\",\"\"] ")],
        &json!({ "event": "é\"", "arguments": [""], "number": null, "namespace": "/" }),
    );
    both(&[T("3/n,1[]")], &json!({ "ack": 1, "arguments": [], "namespace": "/n" }));
    both(&[T(r#"3/n,1["a"]"#)], &json!({ "ack": 1, "arguments": ["a"], "namespace": "/n" }));
    both(&[T(r#"4"no""#)], &json!({ "error": "\"no\"", "namespace": "/" }));
    // A placeholder in a packet without attachments is the application's own object.
    both(
        &[T(r#"2["a",{"_placeholder":true,"num":9}]"#)],
        &json!({ "event": "a", "arguments": [{ "_placeholder": true, "num": 9 }], "number": null, "namespace": "/" }),
    );
    let connect = json!({ "event": "connect", "arguments": [], "number": null, "namespace": "/" });
    assert_eq!(read(V3, &[T(r#"2["connect"]"#)]), Ok(vec![connect]));
    assert_eq!(read(V4, &[T(r#"2["connect"]"#)]), Err(BadPacket::Payload));
}

#[test]
fn puts_attachments_into_their_packet() {
    both(
        &[T(r#"51-/n,7["a",{"_placeholder":true,"num":0}]"#), B(&[9])],
        &json!({ "event": "a", "arguments": [{ "bytes": [9] }], "number": 7, "namespace": "/n" }),
    );
    both(
        &[T(r#"52-["a",{"num":1,"_placeholder":true},{"_placeholder":true,"num":0}]"#), B(&[1]), B(&[2])],
        &json!({ "event": "a", "arguments": [{ "bytes": [2] }, { "bytes": [1] }], "number": null, "namespace": "/" }),
    );
    both(
        &[T(r#"61-/n,3[{"_placeholder":true,"num":0}]"#), B(&[1])],
        &json!({ "ack": 3, "arguments": [{ "bytes": [1] }], "namespace": "/n" }),
    );
    // Deeper ones stay where they are.
    both(
        &[T(r#"51-["a",{"b":[{"_placeholder":true,"num":0}]},{"_placeholder":1,"num":5}]"#), B(&[1])],
        &json!({
            "event": "a",
            "arguments": [{ "b": [{ "_placeholder": true, "num": 0 }] }, { "_placeholder": 1, "num": 5 }],
            "number": null,
            "namespace": "/",
        }),
    );
    let none = json!({ "event": "a", "arguments": [], "number": null, "namespace": "/" });
    assert_eq!(read(V3, &[T(r#"50-["a"]"#)]), Ok(vec![none]));
    assert_eq!(read(V4, &[T(r#"50-["a"]"#)]), Err(BadPacket::Attachments));
}

#[test]
fn refuses_what_npm_refuses() {
    for (text, expected) in [
        ("", BadPacket::Type),
        ("7", BadPacket::Type),
        ("é", BadPacket::Type),
        ("1{}", BadPacket::Payload),
        ("2", BadPacket::Payload),
        ("2[]", BadPacket::Payload),
        ("2{}", BadPacket::Payload),
        ("2[null]", BadPacket::Payload),
        (r#"2["a"]x"#, BadPacket::Payload),
        (r#"2["a""#, BadPacket::Payload),
        (r#"2/n["a"]"#, BadPacket::Payload),
        (r#"2["\ud800"]"#, BadPacket::Payload),
        ("3[]", BadPacket::Number),
        ("31{}", BadPacket::Payload),
        (r#"29007199254740993["a"]"#, BadPacket::Number),
        (r#"299999999999999999999999["a"]"#, BadPacket::Number),
        (r#"5-["a"]"#, BadPacket::Attachments),
        (r#"5["a"]"#, BadPacket::Attachments),
        (r#"5+1-["a"]"#, BadPacket::Attachments),
        (r#"511-["a"]"#, BadPacket::TooManyAttachments),
        (r#"599999999999999999999999-["a"]"#, BadPacket::TooManyAttachments),
        (r#"51-["a",{"_placeholder":true,"num":1}]"#, BadPacket::Placeholder),
        (r#"51-["a",{"_placeholder":true}]"#, BadPacket::Placeholder),
        (r#"51-["a",[{"b":{"_placeholder":true,"num":-1}}]]"#, BadPacket::Placeholder),
        (r#"51-["a",{"_placeholder":true,"num":0.5}]"#, BadPacket::Placeholder),
        (r#"51-["a",{"_placeholder":true,"num":"0"}]"#, BadPacket::Placeholder),
        (r#"51-["a",{"\u005fplaceholder":true,"num":7}]"#, BadPacket::Placeholder),
        (r#"51-["a",{"_placeholder":false,"num":0,"_placeholder":true,"num":7}]"#, BadPacket::Placeholder),
    ] {
        for version in [V3, V4] {
            assert_eq!(read(version, &[T(text)]), Err(expected), "{text}");
        }
    }
    let deep = |depth: usize| format!("2[\"a\",{}{}]", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_eq!(read(V4, &[T(&deep(crate::MAX_DEPTH + 1))]), Err(BadPacket::TooDeep));
    assert!(read(V4, &[T(&deep(crate::MAX_DEPTH))]).is_ok());
}

#[test]
fn takes_nothing_out_of_order_and_nothing_beyond_its_limit() {
    let begun = T(r#"51-["a"]"#);
    for version in [V3, V4] {
        assert_eq!(read(version, &[begun, T(r#"2["b"]"#)]), Err(BadPacket::Order));
        assert_eq!(read(version, &[B(&[1])]), Err(BadPacket::Order));
        assert_eq!(read(version, &[begun, B(&[1]), B(&[1])]), Err(BadPacket::Order));
        assert_eq!(read(version, &[begun, B(&[0; 1000])]), Err(BadPacket::TooLarge));
        assert_eq!(read(version, &[T(&format!("2[\"{}\"]", "a".repeat(1000)))]), Err(BadPacket::TooLarge));
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap_or_else(|bad| panic!("{bad}"))
}

fn raw(text: &str) -> RawJson {
    RawJson::from_text(text.to_owned()).unwrap_or_else(|bad| panic!("{bad}"))
}

#[test]
fn writes_packets_as_npm_does() {
    assert_eq!(written(|out| push_connected(V3, "/", "x", out)), "0");
    assert_eq!(written(|out| push_connected(V3, "/newsite", "x", out)), "0/newsite,");
    assert_eq!(written(|out| push_connected(V4, "/", "x", out)), r#"0{"sid":"x"}"#);
    assert_eq!(written(|out| push_connected(V4, "/newsite", "x", out)), r#"0/newsite,{"sid":"x"}"#);
    assert_eq!(written(|out| push_disconnected("/newsite", out)), "1/newsite,");
    assert_eq!(written(|out| push_refusal(V3, "/newsite", "no \"x\"", out)), r#"4/newsite,"no \"x\"""#);
    assert_eq!(written(|out| push_refusal(V4, "/newsite", "no", out)), r#"4/newsite,{"message":"no"}"#);
    let details = raw(r#"{"a": 1}"#);
    assert_eq!(written(|out| push_refusal_with(V3, "/", "no", &details, out)), r#"4{"a": 1}"#);
    assert_eq!(
        written(|out| push_refusal_with(V4, "/", "no", &details, out)),
        r#"4{"message":"no","data":{"a": 1}}"#
    );
    let list = ArgumentList::of_array(&raw(r#" [ 1, {"a" : 2.0} ] "#)).unwrap_or_default();
    assert_eq!(
        written(|out| push_event("/n", Some(12), "na\"me", list.arguments(), 0, out)),
        r#"2/n,12["na\"me",1, {"a" : 2.0}]"#
    );
    assert_eq!(written(|out| push_event("/", None, "a", Arguments::default(), 0, out)), r#"2["a"]"#);
    assert_eq!(written(|out| push_ack("/n", 3, Arguments::default(), 0, out)), "3/n,3[]");
    let list = ArgumentList::new().binary(&[1_u8][..]).json(&raw("null")).binary(&[2_u8][..]);
    assert_eq!(
        written(|out| push_event("/", None, "a", list.arguments(), list.attachments().len(), out)),
        r#"52-["a",{"_placeholder":true,"num":0},null,{"_placeholder":true,"num":1}]"#
    );
    assert_eq!(
        written(|out| push_ack("/", 3, list.arguments(), list.attachments().len(), out)),
        r#"62-3[{"_placeholder":true,"num":0},null,{"_placeholder":true,"num":1}]"#
    );
}

#[test]
fn only_an_array_is_arguments() {
    assert_eq!(ArgumentList::of_array(&raw("{}")), None);
    assert_eq!(ArgumentList::of_array(&raw("\"[]\"")), None);
    assert_eq!(ArgumentList::of_array(&raw("[ ]")), Some(ArgumentList::new()));
    assert_eq!(ArgumentList::new().to_array(), "[]");
}

/// The placeholders of a value, by serde's reading: the number behind the highest, or `None` for a bad one.
fn placeholders(value: &Value) -> Option<u64> {
    match value {
        Value::Array(values) => values.iter().map(placeholders).try_fold(0, |end, next| Some(next?.max(end))),
        Value::Object(fields) => {
            let inner =
                fields.values().map(placeholders).try_fold(0, |end: u64, next| Some(next?.max(end)))?;
            if fields.get("_placeholder") != Some(&Value::Bool(true)) {
                return Some(inner);
            }
            Some(inner.max(fields.get("num")?.as_u64()?.checked_add(1)?))
        }
        _ => Some(0),
    }
}

/// JSON with something like placeholders in it.
fn values() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "true",
        "false",
        "null",
        "0",
        "1",
        "2",
        "-1",
        "0.5",
        "\"\"",
        "\"}\\\"\"",
        "\"num\"",
        "\"\\\\\"",
        "{}",
        "[]",
        r#"{"_placeholder":true,"num":0}"#,
        r#"{"num":1,"_placeholder":true}"#,
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        // No name twice: serde forgets what is overwritten.
        let names = prop::sample::subsequence(vec!["_placeholder", "\\u006eum", "a", "\\\"", "}"], 0..4);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            (names, prop::collection::vec(inner, 4)).prop_map(|(names, values)| {
                let fields: Vec<_> =
                    names.iter().zip(values).map(|(name, value)| format!("\"{name}\" : {value}")).collect();
                format!("{{ {} }}", fields.join(" , "))
            }),
        ]
    })
}

/// Texts that come close to a packet.
fn near_packets() -> impl Strategy<Value = String> {
    let front = "[0-7]?([0-9]{0,2}-)?(/[a-z?=é]{0,3},?)?[0-9]{0,3}";
    let payload =
        prop_oneof![values(), near_json(), mangled(), values().prop_map(|value| format!("[\"a\",{value}]"))];
    (front, payload).prop_map(|(front, payload)| front + &payload)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn arguments_come_back_as_they_were(
        arguments in prop::collection::vec(values(), 0..5),
        name in any::<String>(),
        number in prop::option::of(0..1_u64 << 53),
        namespace in "/[^,?]{0,8}",
        spaces in "[ \n\r\t]{0,2}",
    ) {
        let inside = arguments.join(&format!("{spaces},{spaces}"));
        let list = ArgumentList::of_array(&raw(&format!("{spaces}[{spaces}{inside}{spaces}]{spaces}"))).unwrap_or_default();
        prop_assert_eq!(list.arguments().as_str(), &inside);
        let text = written(|out| push_event(&namespace, number, &name, list.arguments(), 0, out));
        let expected = Packet {
            namespace: &namespace,
            query: None,
            body: Body::Event { number, name: name.clone().into(), arguments: list.arguments(), attachments: 0 },
        };
        for version in [V3, V4] {
            if !is_reserved(version, &name) {
                prop_assert_eq!(Packet::parse(version, &text), Ok(expected.clone()));
            }
        }
        let each: Vec<_> = list.arguments().iter().map(|argument| argument.as_str().to_owned()).collect();
        prop_assert_eq!(each, arguments);
    }

    #[test]
    fn finds_the_placeholders_that_serde_finds(value in values(), attachments in 1..4_usize) {
        let text = format!("5{attachments}-[\"a\",{value}]");
        let found = serde_json::from_str(&value).ok().as_ref().and_then(placeholders);
        let is_good = found.is_some_and(|end| end <= attachments as u64);
        let read = Decoder::new(V4, 10_000).text(&text);
        prop_assert_eq!(read, if is_good { Ok(None) } else { Err(BadPacket::Placeholder) });
    }

    #[test]
    fn no_text_is_too_odd(near in near_packets(), any in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..8)) {
        for version in [V3, V4] {
            for text in [&near, &any] {
                let mut decoder = Decoder::new(version, 200);
                if let Ok(Some(packet)) = decoder.text(text) {
                    shown(&packet, &[]);
                }
                for _ in 0..3 {
                    if let Ok(Some(whole)) = decoder.binary(bytes.clone()) {
                        let packet = whole.packet();
                        prop_assert!(packet.is_ok());
                        prop_assert_eq!(packet.map(|packet| packet.attachments()), Ok(whole.attachments.len()));
                    }
                }
            }
        }
    }
}
