//! Socket.IO clients that change over from polling to a WebSocket: nothing is lost, and nothing comes twice.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it does not expect")]

use std::time::Duration;

use tokensocket_server::Socket;
use tokensocket_server::socketio::{EventArgs, NamespaceOptions, SocketIoOptions};
use tokensocket_tests::limit::{QUIET, until};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::packets::{Came, Packets, serve};
use tokensocket_tests::polling::Polling;

const BOTH: [u8; 2] = [3, 4];

/// A server whose event `count` is answered by as many events `n`.
async fn counting(options: SocketIoOptions) -> Node {
    let namespace = NamespaceOptions::new().on("count", |socket: Socket, args: EventArgs| async move {
        for n in 0..args.get::<u32>(0).unwrap() {
            socket.emit("n", n).unwrap();
            if n % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    serve(builder().outbox(10_000, 1 << 20), options, namespace).await.0
}

async fn plain() -> Node {
    counting(SocketIoOptions::new()).await
}

async fn joined(node: &Node, protocol: u8) -> Polling {
    Polling::join(node.address, protocol, "/n", "token=ann&deviceId=d").await
}

/// A WebSocket for a session that polls.
async fn websocket(client: &Polling) -> Packets {
    Packets::begin(client.address, client.protocol, &format!("&sid={}", client.sid)).await
}

async fn probe(socket: &mut Packets) {
    socket.say("2probe").await;
    assert_eq!(socket.text().await, "3probe");
}

#[tokio::test]
async fn a_probed_websocket_takes_over_once_polling_has_ended() {
    let node = plain().await;
    for protocol in BOTH {
        let client = joined(&node, protocol).await;
        let mut socket = websocket(&client).await;
        probe(&mut socket).await;
        // The poll that waits is answered, so that the client can stop polling.
        assert_eq!(client.poll().await, ["6"]);
        // Until the client says so, it still sends by requests.
        client.say(&["42/n,1[\"echo\",1]"]).await;
        socket.say("5").await;
        socket.say("42/n,2[\"echo\",2]").await;
        assert_eq!(socket.text().await, "43/n,1[1]");
        assert_eq!(socket.text().await, "43/n,2[2]");
        let refused = (400, r#"{"code":3,"message":"Bad request"}"#);
        assert_eq!(client.get().await.said(), refused);
        assert_eq!(client.post(client.body(&["42/n,[\"echo\"]"]), "text/plain").await.said(), refused);
        socket.still_there("/n").await;
        drop(socket);
        until("the socket to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn nothing_is_lost_or_twice_while_events_flow() {
    /// More than polls bring before the WebSocket takes over, however late they come.
    const EVENTS: u32 = 3000;
    let node = plain().await;
    for protocol in BOTH {
        let client = joined(&node, protocol).await;
        client.say(&[&format!("42/n,1[\"count\",{EVENTS}]")]).await;
        let mut came = client.poll().await;
        let mut socket = websocket(&client).await;
        probe(&mut socket).await;
        loop {
            let packets = client.poll().await;
            let is_over = packets == ["6"];
            came.extend(packets.into_iter().filter(|packet| packet != "6"));
            if is_over || came.len() > 200 {
                break;
            }
        }
        assert!(came.len() < EVENTS as usize, "some are left for the WebSocket");
        socket.say("5").await;
        while came.len() <= EVENTS as usize {
            came.push(socket.text().await);
        }
        let mut expected: Vec<_> = (0..EVENTS).map(|n| format!("42/n,[\"n\",{n}]")).collect();
        expected.push("43/n,1[]".to_owned());
        assert_eq!(came, expected);
    }
}

#[tokio::test]
async fn a_probe_that_breaks_leaves_the_session_polling() {
    let node = plain().await;
    for protocol in BOTH {
        let client = joined(&node, protocol).await;
        let mut silent = websocket(&client).await;
        silent.socket.close(None).await.unwrap();
        assert_eq!(silent.next().await, Came::End);
        for wrong in ["5", "4hello", "2", "x", ""] {
            let mut socket = websocket(&client).await;
            socket.say(wrong).await;
            assert_eq!(socket.next().await, Came::End, "{wrong:?}");
        }
        let mut probed = websocket(&client).await;
        probe(&mut probed).await;
        drop(probed);
        client.say(&["42/n,1[\"echo\"]"]).await;
        let mut packets = client.poll().await;
        packets.retain(|packet| packet != "6");
        if packets.is_empty() {
            packets = client.poll().await;
        }
        assert_eq!(packets, ["43/n,1[]"]);
        // And another one may take over.
        let mut socket = websocket(&client).await;
        probe(&mut socket).await;
        socket.say("5").await;
        socket.still_there("/n").await;
    }
}

#[tokio::test]
async fn a_websocket_that_does_not_probe_is_given_up() {
    let node = counting(SocketIoOptions::new().upgrade_timeout(QUIET)).await;
    let client = joined(&node, 4).await;
    let mut socket = websocket(&client).await;
    assert_eq!(socket.next().await, Came::End);
    client.say(&["42/n,1[\"echo\"]"]).await;
    assert_eq!(client.poll().await, ["43/n,1[]"]);
}

#[tokio::test]
async fn one_websocket_probes_at_a_time() {
    let node = plain().await;
    let client = joined(&node, 4).await;
    let mut first = websocket(&client).await;
    probe(&mut first).await;
    let mut second = websocket(&client).await;
    assert_eq!(second.next().await, Came::End);
    first.say("5").await;
    first.still_there("/n").await;
    // The session has its WebSocket.
    let mut third = websocket(&client).await;
    assert_eq!(third.next().await, Came::End);
    first.still_there("/n").await;
}

#[tokio::test]
async fn a_server_without_websockets_leaves_its_clients_polling() {
    let node = counting(SocketIoOptions::new().websocket(false)).await;
    let client = joined(&node, 4).await;
    let mut socket = websocket(&client).await;
    socket.say("2probe").await;
    assert_eq!(socket.next().await, Came::End);
    client.say(&["42/n,1[\"echo\"]"]).await;
    assert_eq!(client.poll().await, ["43/n,1[]"]);
}
