//! What npm's `engine.io-parser` 2.2 and 5.2 write and read, and any other bytes.

use proptest::prelude::*;

use super::Version::{V3, V4};
use super::*;

const BYTES: &[u8] = &[1, 2, 3, 4];

fn text(kind: Kind, text: &str) -> Outgoing<'_> {
    Outgoing::Text(kind, text.as_bytes())
}

fn encoded(version: Version, base64: bool, packets: &[Outgoing<'_>]) -> (String, bool) {
    let Payload { body, is_binary } = encode_payload(version, base64, packets);
    let shown = if is_binary {
        body.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
    } else {
        String::from_utf8(body).unwrap_or_else(|bad| panic!("{bad}"))
    };
    (shown, is_binary)
}

fn decoded(version: Version, is_binary: bool, body: &[u8]) -> Result<Vec<Packet<'_>>, BadPacket> {
    payload_packets(version, is_binary, body).collect()
}

fn packet(kind: Kind, text: &str) -> Packet<'_> {
    Packet { kind, data: Data::Text(text) }
}

fn bytes(data: &[u8]) -> Packet<'_> {
    Packet { kind: Kind::Message, data: Data::Binary(data.into()) }
}

#[test]
fn writes_payloads_as_npm_does() {
    let probe = [text(Kind::Ping, "probe"), Outgoing::bare(Kind::Noop), Outgoing::message("é€😀".as_bytes())];
    let mixed = [Outgoing::message("é😀".as_bytes()), Outgoing::Binary(BYTES), Outgoing::bare(Kind::Close)];
    let long = [Outgoing::message(b"xxxxxxxxxxxx"), Outgoing::Binary(b"")];
    for base64 in [false, true] {
        assert_eq!(encoded(V3, base64, &probe), ("6:2probe1:65:4é€😀".to_owned(), false));
        assert_eq!(encoded(V4, base64, &probe), ("2probe\u{1e}6\u{1e}4é€😀".to_owned(), false));
        assert_eq!(encoded(V4, base64, &mixed), ("4é😀\u{1e}bAQIDBA==\u{1e}1".to_owned(), false));
        assert_eq!(encoded(V4, base64, &long), ("4xxxxxxxxxxxx\u{1e}b".to_owned(), false));
    }
    assert_eq!(encoded(V3, true, &mixed), ("4:4é😀10:b4AQIDBA==1:1".to_owned(), false));
    assert_eq!(encoded(V3, false, &mixed), ("0007ff34c3a9f09f98800105ff04010203040001ff31".to_owned(), true));
    assert_eq!(encoded(V3, true, &long), ("13:4xxxxxxxxxxxx2:b4".to_owned(), false));
    assert_eq!(encoded(V3, false, &long), ("000103ff347878787878787878787878780101ff04".to_owned(), true));
}

#[test]
fn writes_texts_as_bytes_as_npm_1_does() {
    let probe = [text(Kind::Ping, "probe"), Outgoing::bare(Kind::Noop), Outgoing::message("é€😀".as_bytes())];
    let Payload { body, is_binary } = encode_payload_as_bytes(&probe);
    assert_eq!(body, b"\x00\x06\xff2probe\x00\x01\xff6\x00\x01\x00\xff4\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert!(is_binary);
}

#[test]
fn writes_websocket_frames_as_npm_does() {
    let written = |packet: Outgoing<'_>, version, base64| {
        let mut out = Vec::new();
        packet.push(version, base64, &mut out);
        out
    };
    assert_eq!(written(Outgoing::message("é".as_bytes()), V3, false), "4é".as_bytes());
    assert_eq!(written(Outgoing::bare(Kind::Ping), V4, true), b"2");
    assert_eq!(written(Outgoing::Binary(&[1, 2]), V3, false), [4, 1, 2]);
    assert_eq!(written(Outgoing::Binary(&[1, 2]), V4, false), [1, 2]);
    assert_eq!(written(Outgoing::Binary(&[1, 2]), V3, true), b"b4AQI=");
    assert_eq!(written(Outgoing::Binary(&[1, 2]), V4, true), b"bAQI=");
}

#[test]
fn reads_the_first_protocols_texts_as_npm_does() {
    let read = |body: &'static str| decoded(V3, false, body.as_bytes());
    let noop = packet(Kind::Noop, "");
    assert_eq!(read("1:61:6"), Ok(vec![noop.clone(), noop.clone()]));
    assert_eq!(read("0:"), Ok(vec![]));
    assert_eq!(read("0:1:6"), Ok(vec![noop.clone()]));
    assert_eq!(read("01:6"), Ok(vec![noop]));
    assert_eq!(read("3:4😀"), Ok(vec![packet(Kind::Message, "😀")]));
    assert_eq!(read("4:4é😀1:2"), Ok(vec![packet(Kind::Message, "é😀"), packet(Kind::Ping, "")]));
    assert_eq!(read("4:b4AQ"), Ok(vec![bytes(&[1])]));
    assert_eq!(read("10:b4AQIDBA=="), Ok(vec![bytes(BYTES)]));
    assert_eq!(read(""), Err(BadPacket::Empty));
    assert_eq!(read("1:7"), Err(BadPacket::Kind));
    assert_eq!(read("2:b9"), Err(BadPacket::Kind));
    assert_eq!(read("3:b4!"), Err(BadPacket::Base64));
    for body in ["1", "1:", "2:4", "x:4", "-1:4", "+1:4", ":4", "2:4😀", "1:6junk", "99999999999999999999:4"]
    {
        assert_eq!(read(body), Err(BadPacket::Length), "{body}");
    }
    assert_eq!(decoded(V3, false, b"2:4\xc3("), Err(BadPacket::NotUtf8));
}

#[test]
fn reads_the_first_protocols_bytes_as_npm_does() {
    let read = |body: &'static [u8]| decoded(V3, true, body);
    assert_eq!(read(b"\x00\x01\xff4"), Ok(vec![packet(Kind::Message, "")]));
    assert_eq!(read(b"\x01\x01\xff\x04"), Ok(vec![bytes(b"")]));
    assert_eq!(read(b"\x01\x02\xff\x04\x99"), Ok(vec![bytes(&[0x99])]));
    assert_eq!(
        read(b"\x00\x07\xff4\xc3\xa9\xf0\x9f\x98\x80\x01\x05\xff\x04\x01\x02\x03\x04\x00\x01\xff1"),
        Ok(vec![packet(Kind::Message, "é😀"), bytes(BYTES), packet(Kind::Close, "")])
    );
    assert_eq!(
        read(b"\x00\x01\x03\xff4xxxxxxxxxxxx\x01\x01\xff\x04"),
        Ok(vec![packet(Kind::Message, "xxxxxxxxxxxx"), bytes(b"")])
    );
    assert_eq!(read(b""), Ok(vec![]));
    assert_eq!(read(b"\x00\x02\xff4\xe9"), Err(BadPacket::NotUtf8));
    assert_eq!(read(b"\x02\x01\xff4"), Err(BadPacket::Kind));
    assert_eq!(read(b"\x01\x01\xff4"), Err(BadPacket::Kind));
    assert_eq!(read(b"\x01\x00\xff"), Err(BadPacket::Empty));
    for body in
        [&b"\x00\xff4"[..], b"\x00\x02\xff4", b"\x00\x01", b"\x00", b"\x00\x0a\xff4", b"\x00\x01\xfe4"]
    {
        assert_eq!(read(body), Err(BadPacket::Length), "{body:?}");
    }
    let endless = [&[0][..], &[9; 400], &[255, b'4']].concat();
    assert_eq!(decoded(V3, true, &endless), Err(BadPacket::Length));
}

#[test]
fn reads_the_second_protocols_texts_as_npm_does() {
    let read = |body: &'static str| decoded(V4, false, body.as_bytes());
    assert_eq!(
        read("4a\u{1e}4b\u{1e}bAQID"),
        Ok(vec![packet(Kind::Message, "a"), packet(Kind::Message, "b"), bytes(&[1, 2, 3])])
    );
    assert_eq!(read("bAQ"), Ok(vec![bytes(&[1])]));
    assert_eq!(read("b"), Ok(vec![bytes(b"")]));
    assert_eq!(read("7"), Err(BadPacket::Kind));
    assert_eq!(read(""), Err(BadPacket::Empty));
    assert_eq!(read("4a\u{1e}"), Err(BadPacket::Empty));
    assert_eq!(decoded(V4, true, b"4a"), Err(BadPacket::Kind));
    // What stands in front of an error is read.
    let first = payload_packets(V4, false, b"4a\x1e7\x1e4b").collect::<Vec<_>>();
    assert_eq!(first, [Ok(packet(Kind::Message, "a")), Err(BadPacket::Kind)]);
}

#[test]
fn reads_websocket_frames_as_npm_does() {
    assert_eq!(Packet::from_text(V3, "2probe"), Ok(packet(Kind::Ping, "probe")));
    assert_eq!(Packet::from_text(V3, "b4AQ=="), Ok(bytes(&[1])));
    assert_eq!(Packet::from_text(V3, "b"), Err(BadPacket::Empty));
    assert_eq!(Packet::from_text(V4, "é"), Err(BadPacket::Kind));
    assert_eq!(Packet::from_binary(V3, &[4, 1]), Ok(bytes(&[1])));
    assert_eq!(Packet::from_binary(V3, &[7, 1]), Err(BadPacket::Kind));
    assert_eq!(Packet::from_binary(V3, b""), Err(BadPacket::Empty));
    assert_eq!(Packet::from_binary(V4, &[4, 1]), Ok(bytes(&[4, 1])));
}

#[test]
fn says_what_a_session_begins_with() {
    let mut handshake = Handshake {
        sid: "a\"b",
        websocket: true,
        ping_interval: std::time::Duration::from_secs(25),
        ping_timeout: std::time::Duration::from_secs(5),
        max_payload: None,
    };
    assert_eq!(
        handshake.to_json(),
        r#"{"sid":"a\"b","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000}"#
    );
    handshake.websocket = false;
    handshake.max_payload = Some(1_000_000);
    assert_eq!(
        handshake.to_json(),
        r#"{"sid":"a\"b","upgrades":[],"pingInterval":25000,"pingTimeout":5000,"maxPayload":1000000}"#
    );
    assert_eq!(Refusal::SessionUnknown.to_json(), r#"{"code":1,"message":"Session ID unknown"}"#);
}

#[test]
fn carries_payloads_by_scripts_and_forms() {
    let mut script = Vec::new();
    push_jsonp(&mut script, "1]);alert(2", "4\"</script>\u{2028}".as_bytes());
    assert_eq!(String::from_utf8_lossy(&script), r#"___eio[12]("4\"\u003c/script>\u2028");"#);
    for (form, payload) in [
        ("a\\nb", "a\nb"),
        ("a\\\\nb", "a\\nb"),
        ("\\\\\\nb", "\\\\nb"),
        ("\\x\\", "\\x\\"),
        ("\\\"é", "\\\"é"),
    ] {
        assert_eq!(jsonp_payload(form), payload, "{form}");
    }
}

/// Packets of a body: texts, and bytes as messages.
fn packets() -> impl Strategy<Value = Vec<(Kind, Result<String, Vec<u8>>)>> {
    let text = prop_oneof!["[^\u{1e}]{0,12}", "[a-zé€😀:0-9]{0,6}"].prop_map(Ok);
    let data = prop_oneof![text, prop::collection::vec(any::<u8>(), 0..12).prop_map(Err)];
    prop::collection::vec((prop::sample::select(&Kind::ALL[..]), data), 1..6)
}

/// Bytes that come close to a body.
fn near_bodies() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        "[0-9]{0,3}:?[0-7b]?[a-zA-Z=😀é\u{1e}]{0,4}".prop_map(String::into_bytes),
        (0_u8..3, prop::collection::vec(0_u8..11, 0..3), prop::collection::vec(any::<u8>(), 0..4))
            .prop_map(|(first, length, data)| [&[first][..], &length, &[255], &data].concat()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn reads_back_what_it_writes(packets in packets()) {
        let outgoing: Vec<_> = packets
            .iter()
            .map(|(kind, data)| match data {
                Ok(text) => Outgoing::Text(*kind, text.as_bytes()),
                Err(bytes) => Outgoing::Binary(bytes),
            })
            .collect();
        let expected: Vec<_> = packets
            .iter()
            .map(|(kind, data)| match data {
                Ok(text) => packet(*kind, text),
                Err(data) => bytes(data),
            })
            .collect();
        for (version, base64) in [(V3, false), (V3, true), (V4, false), (V4, true)] {
            let payload = encode_payload(version, base64, &outgoing);
            prop_assert_eq!(decoded(version, payload.is_binary, &payload.body), Ok(expected.clone()));
            for (outgoing, expected) in outgoing.iter().zip(&expected) {
                let mut frame = Vec::new();
                outgoing.push(version, base64, &mut frame);
                prop_assert_eq!(frame.len(), outgoing.length(version, base64));
                let read = if matches!(outgoing, Outgoing::Binary(_)) && !base64 {
                    Packet::from_binary(version, &frame)
                } else {
                    std::str::from_utf8(&frame)
                        .map_err(|_| BadPacket::NotUtf8)
                        .and_then(|text| Packet::from_text(version, text))
                };
                prop_assert_eq!(read.as_ref(), Ok(expected));
            }
        }
    }

    #[test]
    fn counts_as_javascript_does(text in any::<String>()) {
        let units = text.encode_utf16().count() + 1;
        let (body, _) = encoded(V3, true, &[Outgoing::message(text.as_bytes())]);
        prop_assert_eq!(body, format!("{units}:4{text}"));
    }

    #[test]
    fn no_body_is_too_odd(body in near_bodies(), cut in any::<prop::sample::Index>()) {
        for body in [&body[..], &body[..cut.index(body.len() + 1)]] {
            for (version, is_binary) in [(V3, false), (V3, true), (V4, false), (V4, true)] {
                let packets: Vec<_> = payload_packets(version, is_binary, body).collect();
                // Each takes a byte at least, and nothing follows an error.
                prop_assert!(packets.len() <= body.len() + 1);
                let errors = packets.iter().filter(|packet| packet.is_err()).count();
                prop_assert!(errors == 0 || errors == 1 && packets.last().is_some_and(Result::is_err));
                drop(Packet::from_binary(version, body));
            }
            let text = String::from_utf8_lossy(body);
            drop(Packet::from_text(V3, &text));
            drop(Packet::from_text(V4, &text));
            jsonp_payload(&text);
        }
    }
}
