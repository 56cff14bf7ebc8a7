//! The native codec takes any text whatever.
#![cfg(feature = "json")]

use bytes::Bytes;
use proptest::prelude::*;
use tokensocket_protocol::codec::{Codec, NativeCodec};

/// Messages of a server, which the test mangles.
const MESSAGES: [&str; 14] = [
    r#"{"rpc":"auth","token":"t","uuid":"u","resp":"success","session":{"id":"s","ping_ms":1,"max_message_bytes":2,"features":["cancel"]}}"#,
    r#"{"rpc":"a","uuid":"u","error":{"message":"é\n"},"code":"timeout","details":[1,{"x":null}]}"#,
    r#"{"internal":true,"command":"subscribe","data":{"rpc":"_subscribe","req":{"channel":"c"},"uuid":"u","channel":"c"}}"#,
    r#"{"internal":true,"command":"unsubscribe","data":{"channel":"c"}}"#,
    r#"{"internal":true,"command":"rpc","data":{"fid":"f","command":"a.b","args":[1e400,-0.0],"timeout_ms":7}}"#,
    r#"{"internal":true,"command":"reconnect","data":{"after_ms":18446744073709551615}}"#,
    r#"{"channel":"c","message":"\ud83d\ude00"}"#,
    r#"{"error":"Invalid message"}"#,
    r#"{"channel":"c","message":1,"offset":9007199254740991}"#,
    r#"{"internal":true,"command":"subscribe","data":{"channel":"c","epoch":"e","offset":3,"recovered":true,"publications":[{"offset":2,"message":[1]},{"offset":3,"message":null}]}}"#,
    r#"{"internal":true,"command":"join","data":{"channel":"c","member":{"client":"s","info":{"x":1},"since":5}}}"#,
    r#"{"internal":true,"command":"settings","data":{"device_ttl":60,"device":"d","epoch":"e","resumed":true}}"#,
    r#"{"internal":true,"command":"batch","data":{"id":2,"items":[{"id":1,"event":"a","args":[1]},{"id":2,"event":"b","args":[]}]}}"#,
    r#"{"internal":true,"command":"resync","data":{"id":1,"event":"a","reason":"overflow"}}"#,
];

fn decode(bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    let decoded = NativeCodec.decode(&bytes);
    // A transport hands over nothing but UTF-8; other bytes only must not do harm.
    if let Ok(text) = std::str::from_utf8(&bytes) {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        assert_eq!(decoded.is_ok(), json, "only what is no JSON is an error");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode(bytes);
    }

    #[test]
    fn mangled_messages_are_read_without_a_panic(
        message in prop::sample::select(&MESSAGES[..]),
        cut in 0..200_usize,
        changes in prop::collection::vec((0..200_usize, any::<u8>()), 0..4),
    ) {
        let mut bytes = message.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        decode(bytes.clone());
        bytes.truncate(cut);
        decode(bytes);
    }
}
