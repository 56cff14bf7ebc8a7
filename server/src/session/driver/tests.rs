//! What a burst of calls costs and says, over a real connection.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;

use serde_json::json;
use tokensocket_protocol::action::Data;
use tokensocket_protocol::{RawJson, RpcError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Actions;
use crate::identity::Identity;
use crate::server::Server;
use crate::session::outbox::WRITES;
use crate::socket::Socket;

/// How many calls come in one read.
const CALLS: usize = 16;

/// Reads until `count` of these have come, and gives all that has.
async fn read(stream: &mut TcpStream, what: &str, count: usize) -> String {
    let mut text = String::new();
    while text.matches(what).count() < count {
        let mut some = [0; 4096];
        let length = stream.read(&mut some).await.unwrap();
        assert!(length > 0, "the connection ended");
        text.push_str(&String::from_utf8_lossy(&some[..length]));
    }
    text
}

fn frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let head =
        if text.len() < 126 { vec![0x81, 0x80 | length[1]] } else { [&[0x81, 0xfe], &length[..]].concat() };
    // A mask of zeros leaves the text as it is.
    [&head[..], &[0; 4], text.as_bytes()].concat()
}

/// A connection of this path that has authenticated; `framed` is how its messages are framed.
async fn connect(server: &Server, path: &str, framed: impl Fn(&str) -> String) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener).await });
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    read(&mut stream, "\r\n\r\n", 1).await;
    let token = server.issue_token(Identity::new("ann")).await.unwrap();
    let auth = json!({ "rpc": "auth", "token": token.to_string(), "uuid": "0" });
    stream.write_all(&frame(&framed(&auth.to_string()))).await.unwrap();
    read(&mut stream, "success", 1).await;
    stream
}

/// Sixteen calls at once, each framed like this, on a connection of this path.
async fn calls_cost_one_write(path: &str, framed: impl Fn(&str) -> String) {
    let echo = async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value);
    let actions = Actions::new().action("echo", echo);
    let server = Server::builder().authenticate_anyone().actions(actions).build().unwrap();
    let mut stream = connect(&server, path, &framed).await;
    for _ in 0..3 {
        let call = |n| framed(&json!({ "rpc": "echo", "req": "x".repeat(64), "uuid": n }).to_string());
        let calls: Vec<u8> = (0..CALLS).flat_map(|n| frame(&call(n.to_string()))).collect();
        WRITES.set(0);
        stream.write_all(&calls).await.unwrap();
        assert_eq!(read(&mut stream, "uuid", CALLS).await.matches("uuid").count(), CALLS);
        assert_eq!(WRITES.get(), 1);
    }
}

#[tokio::test]
async fn calls_of_one_read_are_answered_in_one_write() {
    calls_cost_one_write("/sockets/websocket", str::to_owned).await;
}

#[tokio::test]
async fn calls_of_one_read_in_sockjs_are_answered_in_one_write() {
    calls_cost_one_write("/sockets/000/session1/websocket", |text| json!([text]).to_string()).await;
}

#[tokio::test]
async fn what_an_action_sends_to_one_socket_stands_behind_what_it_published() {
    let say = async |server: Server, socket: Socket| {
        for n in 0..5 {
            server.publish("c", format!("no. {}", 2 * n)).await.unwrap();
            socket.send("c", format!("no. {}", 2 * n + 1)).unwrap();
        }
        Ok::<_, RpcError>(())
    };
    let server =
        Server::builder().authenticate_anyone().actions(Actions::new().action("say", say)).build().unwrap();
    let mut stream = connect(&server, "/sockets/websocket", str::to_owned).await;
    let subscribe = json!({ "rpc": "_subscribe", "req": { "channel": "c" }, "uuid": "1" });
    stream.write_all(&frame(&subscribe.to_string())).await.unwrap();
    read(&mut stream, "\"internal\":true", 1).await;
    stream.write_all(&frame(&json!({ "rpc": "say", "uuid": "2" }).to_string())).await.unwrap();
    let said = read(&mut stream, "uuid", 1).await;
    let number = |rest: &str| rest.split('"').next().and_then(|number| number.parse::<u64>().ok());
    assert!(said.split("no. ").skip(1).filter_map(number).eq(0..10), "{said}");
}

#[tokio::test]
async fn a_call_finds_the_actions_that_one_before_it_in_the_same_read_has_changed() {
    let change = async |server: Server, Data(is_there): Data<bool>| {
        if is_there {
            server
                .insert_action("more", async || Ok::<_, RpcError>("more"))
                .map_err(|error| error.to_string())
        } else {
            Ok::<_, String>(server.remove_action("more"))
        }
    };
    let actions = Actions::new().action("change", change);
    let server = Server::builder().authenticate_anyone().actions(actions).build().unwrap();
    let mut stream = connect(&server, "/sockets/websocket", str::to_owned).await;
    let calls = ["more", "change", "more", "change", "more"].into_iter().zip([true, true, true, false, true]);
    let calls = calls.map(|(path, data)| json!({ "rpc": path, "req": data, "uuid": "0" }).to_string());
    let calls: Vec<u8> = calls.flat_map(|call| frame(&call)).collect();
    stream.write_all(&calls).await.unwrap();
    let answers = read(&mut stream, "uuid", 5).await;
    let answers: Vec<_> = answers.split("\"uuid\"").skip(1).collect();
    assert!(answers[0].contains("not_found"), "{answers:?}");
    assert!(answers[2].contains("\"resp\":\"more\""), "{answers:?}");
    assert!(answers[4].contains("not_found"), "{answers:?}");
}

#[tokio::test]
async fn an_idle_connection_keeps_no_action_that_was_removed() {
    let kept = Arc::new(());
    let keeps = Arc::clone(&kept);
    let keep = move || {
        let holders = Arc::strong_count(&keeps);
        async move { Ok::<_, RpcError>(holders) }
    };
    let actions = Actions::new().action("keep", keep);
    let server = Server::builder().authenticate_anyone().actions(actions).build().unwrap();
    let mut stream = connect(&server, "/sockets/websocket", str::to_owned).await;
    stream.write_all(&frame(&json!({ "rpc": "keep", "uuid": "0" }).to_string())).await.unwrap();
    read(&mut stream, "uuid", 1).await;
    // Answered, so the burst is over: the connection's task runs on this thread.
    assert!(server.remove_action("keep"));
    assert_eq!(Arc::strong_count(&kept), 1);
}
