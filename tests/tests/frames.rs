//! WebSocket frames in all the ways an honest peer may cut, mask and mix them (RFC 6455, section 5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use serde_json::json;
use tokensocket_server::{Actions, Data, RawJson, RpcError};
use tokensocket_tests::limit::within;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::stream::{self, TEXT, frame, masked};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

async fn node() -> Node {
    let echo = Actions::new().action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value));
    Node::start(builder().actions(echo)).await
}

/// An authenticated connection, at the level of frames.
async fn connected(node: &Node) -> TcpStream {
    let mut stream = stream::upgraded(node.address).await;
    let token = node.token().await;
    stream
        .write_all(&masked(TEXT, json!({ "rpc": "auth", "token": token }).to_string().as_bytes()))
        .await
        .unwrap();
    let (opcode, answer) = read(&mut stream).await;
    assert_eq!(opcode, FIN | TEXT);
    assert!(answer.ends_with(r#""resp":"success"}"#), "{answer}");
    stream
}

/// The next frame: its first byte, and its payload as text.
async fn read(stream: &mut TcpStream) -> (u8, String) {
    within("a frame", async {
        let first = stream.read_u8().await.unwrap();
        let length = match stream.read_u8().await.unwrap() {
            126 => u64::from(stream.read_u16().await.unwrap()),
            127 => stream.read_u64().await.unwrap(),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        (first, String::from_utf8_lossy(&payload).into_owned())
    })
    .await
}

fn call(text: &str) -> String {
    json!({ "rpc": "echo", "req": text }).to_string()
}

fn answer(text: &str) -> (u8, String) {
    (FIN | TEXT, json!({ "rpc": "echo", "resp": text }).to_string())
}

/// Compares as JSON, since the order of fields is the server's affair.
fn assert_same((first, text): &(u8, String), expected: &(u8, String)) {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!((*first, json(text)), (expected.0, json(&expected.1)));
}

#[tokio::test]
async fn payloads_of_every_length_encoding_come_through() {
    let node = node().await;
    let mut stream = connected(&node).await;
    for length in
        [0, 1, 90, 94, 95, 96, 97, 98, 99, 100, 125, 126, 127, 1000, 65_500, 65_509, 65_510, 65_536, 200_000]
    {
        let text = "x".repeat(length);
        stream.write_all(&masked(TEXT, call(&text).as_bytes())).await.unwrap();
        assert_same(&read(&mut stream).await, &answer(&text));
    }
}

#[tokio::test]
async fn every_mask_is_taken_off() {
    let node = node().await;
    let mut stream = connected(&node).await;
    for mask in [[1, 2, 3, 4], [0xff, 0, 0xff, 0], [0x80, 0x7f, 0x0a, 0xd5]] {
        for length in 0..40 {
            let text: String = "é0123456789".chars().cycle().take(length).collect();
            let mut bytes = masked(TEXT, call(&text).as_bytes());
            let payload = bytes.len() - call(&text).len();
            bytes[payload - 4..payload].copy_from_slice(&mask);
            for (at, byte) in bytes[payload..].iter_mut().enumerate() {
                *byte ^= mask[at % 4];
            }
            stream.write_all(&bytes).await.unwrap();
            assert_same(&read(&mut stream).await, &answer(&text));
        }
    }
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte() {
    let node = node().await;
    let mut stream = connected(&node).await;
    stream.set_nodelay(true).unwrap();
    for byte in masked(TEXT, call("slowly, été").as_bytes()) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_same(&read(&mut stream).await, &answer("slowly, été"));
}

#[tokio::test]
async fn many_messages_may_come_in_one_piece() {
    let node = node().await;
    let mut stream = connected(&node).await;
    let texts: Vec<_> = (0..300).map(|n| format!("message {n} {}", "x".repeat(n))).collect();
    let bytes: Vec<u8> = texts.iter().flat_map(|text| masked(TEXT, call(text).as_bytes())).collect();
    stream.write_all(&bytes).await.unwrap();
    for text in texts {
        assert_same(&read(&mut stream).await, &answer(&text));
    }
}

#[tokio::test]
async fn fragments_are_joined_also_with_pings_between_them_and_within_a_character() {
    let node = node().await;
    let mut stream = connected(&node).await;
    let message = call("aé€😀z");
    for cut in 1..message.len() - 1 {
        let (first, second) = message.as_bytes().split_at(cut);
        let pieces = [
            frame(TEXT, MASKED, first),
            masked(PING, b"between"),
            frame(CONTINUATION, MASKED, b""),
            masked(PONG, b"unasked"),
            masked(CONTINUATION, second),
        ];
        stream.write_all(&pieces.concat()).await.unwrap();
        assert_eq!(read(&mut stream).await, (FIN | PONG, "between".to_owned()));
        assert_same(&read(&mut stream).await, &answer("aé€😀z"));
    }
}

#[tokio::test]
async fn a_long_fragmented_message_is_joined() {
    let node = node().await;
    let mut stream = connected(&node).await;
    let text = "0123456789".repeat(20_000);
    let message = call(&text);
    let mut bytes = Vec::new();
    let mut pieces = message.as_bytes().chunks(7777).enumerate().peekable();
    while let Some((at, piece)) = pieces.next() {
        let opcode = if at == 0 { TEXT } else { CONTINUATION };
        let fin = if pieces.peek().is_none() { FIN } else { 0 };
        bytes.extend(frame(fin | opcode, MASKED, piece));
    }
    stream.write_all(&bytes).await.unwrap();
    assert_same(&read(&mut stream).await, &answer(&text));
}

#[tokio::test]
async fn a_close_is_answered_in_kind_and_ends_the_connection() {
    let node = node().await;
    for (payload, answered) in [
        (&b""[..], None),
        (&[0x03, 0xe8], Some(1000)),
        (&[0x0f, 0xa0, b'b', b'y', b'e'], Some(4000)),
        // Codes that may not be sent, half a code, and a reason that is no text.
        (&[0x03, 0xed], Some(1002)),
        (&[0x03, 0xee], Some(1002)),
        (&[0x00, 0x01], Some(1002)),
        (&[0x03], Some(1002)),
        (&[0x03, 0xe8, 0xff, 0xfe], Some(1007)),
    ] {
        let mut stream = connected(&node).await;
        stream.write_all(&masked(CLOSE, payload)).await.unwrap();
        let expected = answered.or(Some(1005));
        let code = stream::close_code(&mut stream).await;
        assert!(
            code == expected || (payload.is_empty() && code == Some(1000)),
            "{payload:?} was answered with {code:?}"
        );
        let _ = stream.write_all(&masked(CLOSE, &[0x03, 0xe8])).await;
        stream::ended(&mut stream).await;
    }
}
