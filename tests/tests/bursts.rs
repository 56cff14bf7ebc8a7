//! Much at once: paced, answered whole, and never a connection that is not looked at again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::Method;
use serde_json::json;
use tokensocket_server::{Actions, Channel, ChannelOptions, History, RpcError, ServerBuilder, Socket};
use tokensocket_tests::http;
use tokensocket_tests::limit::within;
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::stream::{self, TEXT};
use tokensocket_tests::wire::{Client, Framing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

async fn leave(socket: Socket) -> Result<&'static str, RpcError> {
    socket.disconnect();
    Ok("bye")
}

/// A connection to the plain SockJS service under `/service`.
async fn service(node: &Node) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(node.address).await.unwrap();
    let url = format!("ws://{}/service/websocket", node.address);
    tokio_tungstenite::client_async(url, stream).await.unwrap().0
}

#[tokio::test]
async fn a_peer_that_reads_gets_every_large_answer_to_a_burst_of_small_calls() {
    let big = async || Ok::<_, RpcError>("x".repeat(16 * 1024));
    let node = Node::start(builder().actions(Actions::new().action("big", big))).await;
    let token = node.token().await;
    let mut stream = stream::upgraded(node.address).await;
    let auth = json!({ "rpc": "auth", "token": token }).to_string();
    stream.write_all(&stream::masked(TEXT, auth.as_bytes())).await.unwrap();
    let calls = stream::masked(TEXT, br#"{"rpc":"big"}"#).repeat(2000);
    let (mut reader, mut writer) = stream.split();
    let write = async { writer.write_all(&calls).await.unwrap() };
    let read = within("32 MiB of answers", async {
        let mut room = vec![0; 64 * 1024];
        let mut read = 0;
        while read < 2000 * 16 * 1024 {
            let count = reader.read(&mut room).await.unwrap();
            assert!(count > 0, "ended after {read} bytes");
            read += count;
        }
    });
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_peer_that_reads_gets_every_page_of_history_that_waited_for_a_slow_command() {
    const PAGES: usize = 400;
    let go = Arc::new(Notify::new());
    let (asked, told) = (Arc::clone(&go), Arc::clone(&go));
    let hook = move |_: Socket, channel: Channel| {
        let asked = Arc::clone(&asked);
        async move {
            if channel.as_str() == "slow" {
                asked.notified().await;
            }
            Ok(())
        }
    };
    let through = move || {
        told.notify_one();
        async { Ok::<_, RpcError>(()) }
    };
    let history = History::new(8, Duration::from_hours(1));
    let options = ChannelOptions::new().history(history.bytes(120 << 10));
    let builder = builder().on_subscribe(hook).channels("kept", options).outbox(16_384, 256 << 10);
    let node = Node::start(builder.actions(Actions::new().action("through", through))).await;
    for _ in 0..8 {
        node.server.publish("kept", "x".repeat(12 * 1024)).await.unwrap();
    }
    let mut client = Client::hello(&node).await;
    client.subscribe("kept").await;
    let page = json!({ "rpc": "_history", "req": { "channel": "kept" }, "uuid": "page" });
    let slow = json!({ "rpc": "_subscribe", "req": { "channel": "slow" }, "uuid": "slow" });
    let through = json!({ "rpc": "through", "uuid": "through" });
    let all = std::iter::once(slow).chain(std::iter::repeat_n(page, PAGES)).chain([through]);
    for request in all {
        client.socket.feed(Message::text(request.to_string())).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    client.answer("through").await;
    client.find("the subscription", |message| message["data"]["channel"] == "slow").await;
    // Heard while they come, though each fills what may wait.
    client.send(json!({ "rpc": "_ping", "uuid": "ping" })).await;
    let (mut pages, mut heard_after) = (0, None);
    while pages < PAGES || heard_after.is_none() {
        let message = client.next().await;
        if message["uuid"] == "ping" {
            heard_after = Some(pages);
        } else {
            assert_eq!(message["resp"]["publications"].as_array().unwrap().len(), 8, "{message}");
            pages += 1;
        }
    }
    assert!(heard_after.unwrap() < PAGES / 2, "after {heard_after:?} pages");
}

#[tokio::test]
async fn a_peer_that_reads_recovers_many_channels_with_one_burst() {
    const CHANNELS: usize = 200;
    let history = History::new(8, Duration::from_hours(1)).bytes(120 << 10);
    let builder = builder().channels("kept.*", ChannelOptions::new().history(history));
    let node = Node::start(builder.outbox(16_384, 256 << 10)).await;
    let mut client = Client::hello(&node).await;
    for n in 0..CHANNELS {
        let channel = format!("kept.{n}");
        let mut last = None;
        for _ in 0..8 {
            last = node.server.publish(&*channel, "x".repeat(12 * 1024)).await.unwrap().position;
        }
        let recover = json!({ "epoch": last.unwrap().epoch, "offset": 0 });
        let subscribe = json!({ "rpc": "_subscribe", "req": { "channel": channel, "recover": recover } });
        client.socket.feed(Message::text(subscribe.to_string())).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    for n in 0..CHANNELS {
        let told = client.next().await;
        assert_eq!(told["data"]["channel"], format!("kept.{n}"), "{told}");
        assert_eq!(told["data"]["publications"].as_array().unwrap().len(), 8);
    }
    client.expect_alive().await;
}

#[tokio::test]
async fn a_peer_that_reads_gets_every_large_answer_to_calls_that_waited_for_one_thing() {
    const CALLS: usize = 300;
    let go = Arc::new(Notify::new());
    let (waits, told) = (Arc::clone(&go), Arc::clone(&go));
    let big = move || {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            Ok::<_, RpcError>("x".repeat(32 * 1024))
        }
    };
    let through = move || {
        told.notify_waiters();
        async { Ok::<_, RpcError>(()) }
    };
    let actions = Actions::new().action("big", big).action("through", through);
    let node = Node::start(builder().actions(actions).outbox(16_384, 256 << 10)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    for rpc in std::iter::repeat_n("big", CALLS).chain(["through"]) {
        client.socket.feed(Message::text(json!({ "rpc": rpc, "uuid": rpc }).to_string())).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    client.answer("through").await;
    for _ in 0..CALLS {
        client.answer("big").await;
    }
    client.expect_alive().await;
}

/// A hook for subscriptions, of which that to "slow" waits until it is let through, and then says so.
fn slow_hook(builder: ServerBuilder) -> (ServerBuilder, Arc<Notify>, Arc<Notify>) {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (waits, says) = (Arc::clone(&go), Arc::clone(&done));
    let hook = move |_: Socket, _: Channel| {
        let (waits, says) = (Arc::clone(&waits), Arc::clone(&says));
        async move {
            waits.notified().await;
            says.notify_one();
            Ok(())
        }
    };
    (builder.on_subscribe(hook), go, done)
}

#[tokio::test]
async fn a_hook_goes_on_while_its_peer_does_not_read() {
    let big = async || Ok::<_, RpcError>("x".repeat(32 * 1024));
    let builder = builder().actions(Actions::new().action("big", big)).outbox(16_384, 256 << 10);
    let (builder, go, done) = slow_hook(builder);
    let node = Node::start(builder).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("_subscribe", json!({ "channel": "slow" })).await;
    let socket = node.server.sockets().pop().unwrap();
    while socket.waiting().bytes <= 128 << 10 {
        client.start("big", json!(null)).await;
    }
    go.notify_one();
    within("the hook", done.notified()).await;
}

#[tokio::test]
async fn a_subscription_is_done_while_its_peer_calls_more_and_more() {
    const CALLS: usize = 4000;
    let big = async || Ok::<_, RpcError>("x".repeat(16 * 1024));
    let builder = builder().actions(Actions::new().action("big", big)).outbox(16_384, 256 << 10);
    let (builder, go, _) = slow_hook(builder);
    let node = Node::start(builder).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("_subscribe", json!({ "channel": "slow" })).await;
    let (mut sink, mut stream) = client.socket.split();
    let call = json!({ "rpc": "big", "uuid": "big" }).to_string();
    let write = async {
        for _ in 0..CALLS {
            sink.send(Message::text(call.as_str())).await.unwrap();
        }
    };
    let read = within("all answers", async {
        let mut told_after = None;
        for n in 0..=CALLS {
            let text = stream.next().await.unwrap().unwrap().into_text().unwrap();
            if n == 10 {
                go.notify_one();
            }
            if text.contains("\"internal\":true") {
                told_after = Some(n);
            }
        }
        told_after.unwrap()
    });
    let ((), told_after) = tokio::join!(write, read);
    assert!(told_after < CALLS / 2, "after {told_after} answers");
}

#[tokio::test]
async fn what_was_published_before_a_close_is_sent() {
    let node = Node::start(builder()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.subscribe("c").await;
    let publish = json!({ "rpc": "_publish", "req": { "channel": "c", "data": 1 }, "uuid": "p" });
    client.socket.feed(Message::text(publish.to_string())).await.unwrap();
    client.socket.feed(Message::binary("x")).await.unwrap();
    client.socket.flush().await.unwrap();
    client.expect(json!({ "channel": "c", "message": 1 })).await;
    assert_eq!(client.answer("p").await["resp"], "success");
    assert_eq!(client.closed().await.0, 1003);
}

#[tokio::test]
async fn what_was_answered_before_a_disconnect_is_sent() {
    let echo = async || Ok::<_, RpcError>("here");
    let actions = Actions::new().action("echo", echo).action("leave", leave);
    let node = Node::start(builder().actions(actions)).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    for rpc in ["echo", "leave"] {
        let call = json!({ "rpc": rpc, "uuid": rpc }).to_string();
        client.socket.feed(Message::text(call)).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    client.expect(json!({ "rpc": "echo", "uuid": "echo", "resp": "here" })).await;
    client.expect(json!({ "rpc": "leave", "uuid": "leave", "resp": "bye" })).await;
    assert_eq!(client.closed().await.0, 1000);
}

#[tokio::test]
async fn a_peer_that_breaks_a_rule_is_heard_out_and_not_reset() {
    let node =
        Node::start(builder().max_message_bytes(1000).sockjs("/sockjs", |_| std::future::pending())).await;
    for path in ["/sockets/websocket", "/sockjs/websocket"] {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        let request = stream::upgrade_request(node.address).replace("/sockets/websocket", path);
        stream.write_all(request.as_bytes()).await.unwrap();
        stream::read_head(&mut stream).await;
        let huge = stream::masked(TEXT, &vec![b'x'; 8 << 20]);
        within("all to be taken", stream.write_all(&huge)).await.expect("the server reads on");
        let mut said = Vec::new();
        within("the end", stream.read_to_end(&mut said)).await.expect("an end, not a reset");
        assert_eq!(said[2..4], 1009_u16.to_be_bytes(), "{path}");
    }
}

#[tokio::test]
async fn a_sockjs_service_is_read_on_after_a_burst_of_pings() {
    let echo = |mut socket: tokensocket_server::SockJsSocket| async move {
        while let Some(message) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    };
    let node = Node::start(builder().heartbeat(Duration::from_hours(1)).sockjs("/service", echo)).await;
    let mut socket = service(&node).await;
    for _ in 0..200 {
        socket.feed(Message::Ping("x".into())).await.unwrap();
    }
    socket.flush().await.unwrap();
    within("the pongs", async {
        for _ in 0..200 {
            assert!(socket.next().await.unwrap().unwrap().is_pong());
        }
    })
    .await;
    socket.send("still here".into()).await.unwrap();
    let echoed = within("the echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(echoed.into_text().unwrap().as_str(), "still here");
}

#[tokio::test]
async fn a_sockjs_handler_may_read_in_a_task_of_its_own() {
    let go = Arc::new(Notify::new());
    let begin = Arc::clone(&go);
    let handler = move |mut socket: tokensocket_server::SockJsSocket| {
        let begin = Arc::clone(&begin);
        async move {
            let reads = tokio::spawn(async move {
                begin.notified().await;
                let mut count = 0;
                while socket.recv().await.is_some_and(|message| message != "last") {
                    count += 1;
                }
                socket.send(count.to_string()).await.unwrap();
                // The client ends it.
                socket.recv().await;
            });
            reads.await.unwrap();
        }
    };
    let node = Node::start(builder().heartbeat(Duration::from_hours(1)).sockjs("/service", handler)).await;
    let mut socket = service(&node).await;
    socket.feed(Message::Ping("behind".into())).await.unwrap();
    for _ in 0..500 {
        socket.feed("more".into()).await.unwrap();
    }
    socket.feed("last".into()).await.unwrap();
    socket.flush().await.unwrap();
    // The pong goes out when what came with the ping has been read, which is more than the queue holds.
    let pong = within("the pong", socket.next()).await.unwrap().unwrap();
    assert!(pong.is_pong());
    go.notify_one();
    let counted = within("the count", socket.next()).await.unwrap().unwrap();
    assert_eq!(counted.into_text().unwrap().as_str(), "500");
}

#[tokio::test]
async fn a_drain_ends_with_the_time_limit_of_the_last_call_down() {
    let node = Node::start(builder().shutdown_timeout(Duration::from_hours(1))).await;
    let mut client = Client::hello(&node).await;
    let socket = node.server.sockets().pop().unwrap();
    let called = tokio::spawn(async move {
        socket.rpc::<()>("never", ()).timeout(Duration::from_millis(300)).await.unwrap_err();
    });
    client.called().await;
    let server = node.server.clone();
    let ending = tokio::spawn(async move { server.shutdown().await });
    assert_eq!(client.closed().await.0, 1012);
    called.await.unwrap();
    within("the shutdown", ending).await.unwrap();
}

#[tokio::test]
async fn a_page_of_another_origin_may_read_info_with_credentials() {
    let node = Node::start(builder()).await;
    let origin = [("origin", "https://app.example")];
    let info = http::request(node.address, Method::GET, "/sockets/info", &origin).await;
    assert_eq!(info.header("access-control-allow-origin"), "https://app.example");
    assert_eq!(info.header("access-control-allow-credentials"), "true");
    let token = http::request(node.address, Method::GET, "/socket/token", &origin).await;
    assert_eq!(token.header("access-control-allow-origin"), "*");
    assert_eq!(token.header("access-control-allow-credentials"), "");
}
