//! Peers that do not read: bounded, told why, and nobody else waits for them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokensocket_server::{Actions, Close, Data, RawJson, RpcError, ServerBuilder};
use tokensocket_tests::limit::within;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::stream::{self, TEXT};
use tokensocket_tests::wire::{Client, Framing, Received};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

/// One message; a few hundred of them fill what the kernel buffers for a connection.
const MESSAGE: usize = 32 * 1024;
/// More messages than the kernel and the outbox hold together.
const PLENTY: usize = 500;

type Ends = mpsc::UnboundedReceiver<(u16, String)>;

/// A server with room for a few messages, that tells of each disconnect.
async fn start(builder: ServerBuilder) -> (Node, Ends) {
    let (tell, told) = mpsc::unbounded_channel();
    let builder = builder.outbox(64, 1 << 20).on_disconnect(move |_, close: Close| {
        // The test may have seen enough.
        let _ = tell.send((close.code, close.reason.into_owned()));
        async {}
    });
    (Node::start(builder).await, told)
}

/// A client whose kernel takes little, so that not reading shows soon.
async fn sluggish(node: &Node, framing: Framing) -> Client {
    let token = node.token_of("sluggish").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = socket.connect(node.address).await.unwrap();
    let mut client = Client::over(stream, node.address, framing).await;
    client.auth(&token).await;
    client
}

/// Publishes until `enough`, each message only when `reader` has the one before. Returns how many.
async fn publish_until(node: &Node, reader: &mut Client, mut enough: impl FnMut(usize) -> bool) -> usize {
    let text = "x".repeat(MESSAGE);
    for n in 0..PLENTY {
        if enough(n) {
            return n;
        }
        within("a publication", node.server.publish("c", json!([n, text]))).await.unwrap();
        assert_eq!(reader.next().await["message"][0], n);
    }
    PLENTY
}

#[tokio::test]
async fn a_subscriber_that_stops_reading_is_disconnected_and_nobody_waits_for_it() {
    for framing in Framing::ALL {
        // Nobody is missed for silence while the test lasts: who waited for a slow one would wait for longer.
        let builder = builder().heartbeat(Duration::from_hours(1)).close_timeout(Duration::from_millis(200));
        let (node, mut ends) = start(builder).await;
        let mut slow = sluggish(&node, framing).await;
        slow.subscribe("c").await;
        let mut reader = Client::ready(&node, Framing::Raw).await;
        reader.subscribe("c").await;

        let mut end = None;
        let published = publish_until(&node, &mut reader, |_| {
            end = ends.try_recv().ok();
            end.is_some()
        })
        .await;
        assert!(published > 64, "the outbox alone holds that many: {published}");
        if end.is_none() {
            end = within("the disconnect", ends.recv()).await;
        }
        assert_eq!(end.unwrap(), (4409, "Slow consumer".to_owned()));
        assert_eq!(node.server.sockets().len(), 1);
        reader.expect_alive().await;
    }
}

#[tokio::test]
async fn a_subscriber_that_reads_again_learns_why_it_was_disconnected() {
    for framing in Framing::ALL {
        let (node, mut ends) = start(builder().close_timeout(Duration::from_mins(1))).await;
        let mut slow = sluggish(&node, framing).await;
        slow.subscribe("c").await;
        let mut reader = Client::ready(&node, Framing::Raw).await;
        reader.subscribe("c").await;
        publish_until(&node, &mut reader, |_| false).await;

        let (messages, end) = slow.drain().await;
        assert_eq!(end, Received::Closed(4409, "Slow consumer".to_owned()));
        // What did arrive is the beginning, without a gap.
        assert!(messages.len() < PLENTY);
        for (n, message) in messages.iter().enumerate() {
            assert_eq!(message["message"][0], n);
        }
        assert_eq!(within("the disconnect", ends.recv()).await.unwrap().0, 4409);
        reader.expect_alive().await;
    }
}

#[tokio::test]
async fn on_channels_that_allow_it_the_oldest_messages_are_dropped_instead() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let actions = Actions::new().action("touch", move || {
        tell.send(()).unwrap();
        async { Ok::<_, RpcError>("touched") }
    });
    let (node, mut ends) =
        start(builder().actions(actions).drop_oldest_on(|channel| channel.as_str() == "c")).await;
    let mut slow = sluggish(&node, Framing::Raw).await;
    slow.subscribe("c").await;
    let mut reader = Client::ready(&node, Framing::Raw).await;
    reader.subscribe("c").await;
    publish_until(&node, &mut reader, |_| false).await;
    // What may be dropped keeps nobody from being heard, and what is no publication is not dropped.
    let call = slow.start("touch", json!(null)).await;
    within("the call of a client that lags", told.recv()).await.unwrap();

    let mut seen = Vec::new();
    while seen.last() != Some(&(PLENTY as u64 - 1)) {
        let message = slow.find("a publication", |message| message["channel"] == "c").await;
        seen.push(message["message"][0].as_u64().unwrap());
    }
    assert!(seen.len() < PLENTY, "all came, so nothing was put to the test");
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert_eq!(slow.answer(&call).await["resp"], "touched");
    assert!(ends.try_recv().is_err(), "nobody was disconnected");
}

#[tokio::test]
async fn a_peer_that_calls_and_never_reads_the_answers_is_bounded() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counts = handled.clone();
    let actions = Actions::new().action("echo", move |Data(value): Data<RawJson>| {
        counts.fetch_add(value.as_bytes().len(), Ordering::SeqCst);
        async { Ok::<_, RpcError>(value) }
    });
    let (node, mut ends) = start(
        builder()
            .actions(actions)
            .heartbeat(Duration::from_millis(300))
            .close_timeout(Duration::from_millis(100)),
    )
    .await;
    let mut other = Client::ready(&node, Framing::Raw).await;
    let token = node.token().await;
    let mut rude = stream::upgraded(node.address).await;
    let auth = json!({ "rpc": "auth", "token": token, "uuid": "a" }).to_string();
    rude.write_all(&stream::masked(TEXT, auth.as_bytes())).await.unwrap();
    let call = json!({ "rpc": "echo", "uuid": "1", "req": "x".repeat(MESSAGE) }).to_string();
    let call = stream::masked(TEXT, call.as_bytes());
    let writing = tokio::spawn(async move { while rude.write_all(&call).await.is_ok() {} });
    let end = within("the end of a peer that does not read", async {
        loop {
            // Others are served all the while.
            assert_eq!(other.call("echo", json!(1)).await["resp"], 1);
            if let Ok(end) = ends.try_recv() {
                return end;
            }
        }
    })
    .await;
    within("the writer to notice", writing).await.unwrap();
    assert_eq!(end.0, 4408, "{end:?}");
    let handled = handled.load(Ordering::SeqCst);
    assert!(handled < 32 << 20, "{handled} bytes were handled for a peer that reads nothing");
    other.expect_alive().await;
}
