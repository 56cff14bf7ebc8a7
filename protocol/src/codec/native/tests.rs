use serde_json::{Value, json};

use super::*;
use crate::message::Joined;

fn decode(text: &str) -> Result<ServerMessage<RawJson>, NotJson> {
    NativeCodec.decode(&Bytes::copy_from_slice(text.as_bytes()))
}

fn encode(message: &ClientMessage<RawJson>) -> Value {
    serde_json::from_slice(&NativeCodec.encode(message)).unwrap_or(Value::Null)
}

fn raw(value: &Value) -> RawJson {
    RawJson::new(value).unwrap_or_default()
}

#[test]
fn writes_every_message_of_a_client() {
    let (uuid, channel) = ("u".to_owned(), "a\"b".to_owned());
    let hello =
        Hello { name: "n".into(), version: "1".into(), features: vec!["cancel".into()], device: None };
    let failure = Failure {
        error: raw(&json!("no")),
        message: "no".into(),
        code: Some(ErrorCode::Timeout),
        details: Some(raw(&json!([1]))),
    };
    for (message, expected) in [
        (
            ClientMessage::Auth { token: "t".into(), uuid: uuid.clone(), hello: None },
            json!({"rpc": "auth", "token": "t", "uuid": "u"}),
        ),
        (
            ClientMessage::Auth { token: "t".into(), uuid: uuid.clone(), hello: Some(hello) },
            json!({"rpc": "auth", "token": "t", "uuid": "u",
                   "client": {"name": "n", "version": "1", "features": ["cancel"]}}),
        ),
        (
            ClientMessage::Call {
                path: "a.b".into(),
                request: raw(&json!({"x": [1]})),
                uuid: uuid.clone(),
                timeout_ms: Some(5),
            },
            json!({"rpc": "a.b", "req": {"x": [1]}, "uuid": "u", "timeout_ms": 5}),
        ),
        (
            ClientMessage::Subscribe {
                channel: channel.clone(),
                recover: None,
                presence: false,
                uuid: uuid.clone(),
            },
            json!({"rpc": "_subscribe", "req": {"channel": "a\"b"}, "uuid": "u"}),
        ),
        (
            ClientMessage::Unsubscribe { channel: channel.clone(), uuid: uuid.clone() },
            json!({"rpc": "_unsubscribe", "req": {"channel": "a\"b"}, "uuid": "u"}),
        ),
        (
            ClientMessage::Publish { channel, data: raw(&json!("5")), key: None, uuid: uuid.clone() },
            json!({"rpc": "_publish", "req": {"channel": "a\"b", "data": "5"}, "uuid": "u"}),
        ),
        (
            ClientMessage::Broadcast { data: RawJson::null(), uuid: uuid.clone() },
            json!({"rpc": "_broadcast", "req": {"data": null}, "uuid": "u"}),
        ),
        (ClientMessage::Ping { uuid: uuid.clone() }, json!({"rpc": "_ping", "req": {}, "uuid": "u"})),
        (
            ClientMessage::Cancel { target: "v".into(), uuid },
            json!({"rpc": "_cancel", "req": {"uuid": "v"}, "uuid": "u"}),
        ),
        (
            ClientMessage::Answer { fid: "f\n".into(), outcome: Ok(raw(&json!(1))) },
            json!({"rpc": "_rpc", "fid": "f\n", "resp": {"data": 1}}),
        ),
        (
            ClientMessage::Answer { fid: "f".into(), outcome: Err(failure) },
            json!({"rpc": "_rpc", "fid": "f",
                   "resp": {"error": "no", "code": "timeout", "details": [1]}}),
        ),
    ] {
        assert_eq!(encode(&message), expected);
    }
}

#[test]
fn reads_every_message_of_a_server() {
    let failure = |error: Value, message: &str| Failure {
        error: raw(&error),
        message: message.to_owned(),
        code: None,
        details: None,
    };
    let answer = |outcome, session| ServerMessage::Answer { uuid: "u".into(), outcome, session };
    let info =
        SessionInfo { id: "s".into(), ping_ms: 10, max_message_bytes: 1024, features: vec!["cancel".into()] };
    for (text, expected) in [
        (r#"{"rpc":"a","uuid":"u","resp":{"x":1}}"#, answer(Ok(raw(&json!({"x": 1}))), None)),
        (r#"{"rpc":"a","uuid":"u"}"#, answer(Ok(RawJson::null()), None)),
        (
            r#"{"rpc":"a","uuid":"u","error":{"message":"boom"}}"#,
            answer(Err(failure(json!({"message": "boom"}), "boom")), None),
        ),
        (
            r#"{"rpc":"a","uuid":"u","error":"plain","code":"no_such_code"}"#,
            answer(Err(failure(json!("plain"), "plain")), None),
        ),
        (
            r#"{"rpc":"a","uuid":"u","error":"x","code":"timeout","details":null}"#,
            answer(Err(Failure { code: Some(ErrorCode::Timeout), ..failure(json!("x"), "x") }), None),
        ),
        (
            r#"{"rpc":"auth","uuid":"u","resp":"success","session":{"id":"s","ping_ms":10,"max_message_bytes":1024,"features":["cancel"]}}"#,
            answer(Ok(raw(&json!("success"))), Some(info)),
        ),
        (
            r#"{"internal":true,"command":"subscribe","data":{"rpc":"_subscribe","req":{"channel":"c"},"uuid":"u","channel":"c"}}"#,
            ServerMessage::Subscribed {
                channel: "c".into(),
                uuid: Some("u".into()),
                joined: Joined::default(),
            },
        ),
        (
            r#"{"internal":true,"command":"subscribe","data":{"channel":"c"}}"#,
            ServerMessage::Subscribed { channel: "c".into(), uuid: None, joined: Joined::default() },
        ),
        (
            r#"{"internal":true,"command":"unsubscribe","data":{"channel":"c"}}"#,
            ServerMessage::Unsubscribed { channel: "c".into() },
        ),
        (
            r#"{"internal":true,"command":"rpc","data":{"fid":"f","command":"a.b","args":[1],"timeout_ms":7}}"#,
            ServerMessage::Call {
                fid: "f".into(),
                path: "a.b".into(),
                args: raw(&json!([1])),
                timeout_ms: Some(7),
            },
        ),
        (
            r#"{"internal":true,"command":"cancel","data":{"fid":"f"}}"#,
            ServerMessage::Cancel { fid: "f".into() },
        ),
        (
            r#"{"internal":true,"command":"reconnect","data":{"after_ms":12}}"#,
            ServerMessage::ReconnectHint { after_ms: 12 },
        ),
        (
            " {\"channel\":\"\\u0063\",\"message\":\"5\"}",
            ServerMessage::Publication { channel: "c".into(), message: raw(&json!("5")), offset: None },
        ),
        (
            r#"{"channel":"c"}"#,
            ServerMessage::Publication { channel: "c".into(), message: RawJson::null(), offset: None },
        ),
        (
            r#"{"error":"Invalid message"}"#,
            ServerMessage::Error(failure(json!("Invalid message"), "Invalid message")),
        ),
    ] {
        assert_eq!(decode(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_it_does_not_know_is_unknown() {
    for text in [
        "null",
        "5",
        "[]",
        r#"[true,"unsubscribe",{"channel":"c"}]"#,
        "{}",
        r#"{"rpc":"a","uuid":5,"resp":1}"#,
        r#"{"channel":["c"],"message":1}"#,
        r#"{"uuid":"u","uuid":"u"}"#,
        r#"{"internal":true}"#,
        r#"{"internal":true,"command":"later","data":{"x":1}}"#,
        r#"{"internal":true,"command":"rpc","data":{"fid":5,"command":"a"}}"#,
        r#"{"internal":true,"command":"unsubscribe","data":["c"]}"#,
        r#"{"internal":true,"command":"reconnect","data":{"after_ms":-1}}"#,
        r#"{"internal":true,"command":"batch","data":{"id":1,"items":[{"id":-1,"event":"e"}]}}"#,
        r#"{"internal":true,"command":"batch","data":{"id":1}}"#,
        r#"{"internal":true,"command":"deliver","data":{"id":1.5,"event":"e","args":[]}}"#,
        r#"{"internal":true,"command":"resync","data":{"event":"e"}}"#,
        r#"{"internal":true,"command":"settings","data":{"device":"d"}}"#,
        r#"{"internal":true,"command":"join","data":{"channel":"c"}}"#,
    ] {
        assert_eq!(decode(text), Ok(ServerMessage::Unknown), "{text}");
    }
}

#[test]
fn a_recovery_that_cannot_be_read_is_none() {
    for text in [
        r#"{"channel":"c","epoch":"e","offset":1,"recovered":true}"#,
        r#"{"channel":"c","epoch":"e","offset":1,"recovered":true,"publications":[{"message":1}]}"#,
        r#"{"channel":"c","epoch":"e","offset":1,"recovered":true,"publications":5}"#,
    ] {
        let text = format!(r#"{{"internal":true,"command":"subscribe","data":{text}}}"#);
        let Ok(ServerMessage::Subscribed { joined, .. }) = decode(&text) else { panic!("{text}") };
        assert_eq!((joined.recovered, joined.publications.len()), (Some(false), 0), "{text}");
    }
}

#[test]
fn text_that_is_not_json_is_told_apart() {
    for text in ["", "o", "{", "{\"a\":1}}", "\u{0}", "{\"a\":tru}"] {
        assert_eq!(decode(text), Err(NotJson), "{text}");
    }
    assert_eq!(NativeCodec.decode(&Bytes::from_static(b"{\"a\":\"\xff\"")), Err(NotJson));
}

#[test]
fn deep_nesting_costs_no_stack() {
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    let text = format!(r#"{{"rpc":"a","uuid":"u","resp":{deep}}}"#);
    assert!(matches!(decode(&text), Ok(ServerMessage::Answer { outcome: Ok(_), .. })));
    for field in ["error", "uuid", "session", "code"] {
        let text = format!(r#"{{"rpc":"a","{field}":{deep}}}"#);
        assert!(decode(&text).is_ok(), "{field}");
    }
}

#[test]
fn a_payload_shares_the_frame_it_came_in() {
    let frame = Bytes::from_static(br#"{"channel":"c","message":{"a":1}}"#);
    let Ok(ServerMessage::Publication { message, .. }) = NativeCodec.decode(&frame) else {
        panic!("not a publication");
    };
    assert!(frame.as_ptr_range().contains(&message.as_bytes().as_ptr()));
}
