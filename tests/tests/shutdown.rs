//! The end of a server: what runs may finish, what is new is refused, and nothing is left running.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokensocket_server::{
    Actions, AuthenticateError, Data, Identity, RawJson, RpcError, Server, ServerBuilder,
};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::{self, Node};
use tokensocket_tests::stream::{self, TEXT};
use tokensocket_tests::wire::{Client, Framing, Received};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Longer than any test waits: whoever waits for a limit is found out.
const NEVER: Duration = Duration::from_hours(1);

/// A builder of servers that end when nothing is left to wait for, and not by their limits.
fn builder() -> ServerBuilder {
    node::builder().shutdown_timeout(NEVER).close_timeout(NEVER)
}

#[derive(Clone, Default)]
struct Gate {
    began: Arc<Notify>,
    go: Arc<Notify>,
}

impl Gate {
    fn builder(&self) -> ServerBuilder {
        let gate = self.clone();
        builder().actions(
            Actions::new()
                .action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value))
                .action("gate", move || {
                    let gate = gate.clone();
                    async move {
                        gate.began.notify_one();
                        gate.go.notified().await;
                        Ok::<_, RpcError>("through")
                    }
                }),
        )
    }
}

fn shut_down(node: &Node) -> tokio::task::JoinHandle<()> {
    let server = node.server.clone();
    tokio::spawn(async move { server.shutdown().await })
}

/// Waits for a shutdown that has nothing to wait for.
async fn ends(shutdown: tokio::task::JoinHandle<()>) {
    within("the shutdown", shutdown).await.unwrap();
}

fn restart() -> Received {
    Received::Closed(1012, "Service restart".to_owned())
}

#[tokio::test]
async fn calls_in_flight_finish_and_new_ones_are_overloaded() {
    let gate = Gate::default();
    let mut node = Node::start(gate.builder()).await;
    for framing in Framing::ALL {
        Client::ready(&node, framing).await.expect_alive().await;
    }
    let mut client = Client::ready(&node, Framing::SockJs).await;
    let running = client.start("gate", json!(null)).await;
    within("the call", gate.began.notified()).await;
    let shutdown = shut_down(&node);
    // The idle ones go at once; then the server is surely draining.
    until("the idle to be gone", || node.server.sockets().len() == 1).await;
    for (rpc, req) in [
        ("echo", json!(1)),
        ("_subscribe", json!({ "channel": "c" })),
        ("_publish", json!({ "channel": "c" })),
    ] {
        let answer = client.call(rpc, req).await;
        assert_eq!(
            (&answer["error"], &answer["code"]),
            (&json!("the server is shutting down"), &json!("overloaded"))
        );
    }
    assert!(!shutdown.is_finished());
    gate.go.notify_one();
    assert_eq!(client.answer(&running).await["resp"], "through");
    assert_eq!(client.drain().await, (Vec::new(), restart()));
    ends(shutdown).await;
    assert_eq!(node.server.sockets(), []);
    node.ended().await;
}

#[tokio::test]
async fn clients_that_said_hello_are_told_when_to_come_back() {
    let spread = 300;
    let node = Node::start(builder().reconnect_spread(Duration::from_millis(spread))).await;
    let mut ours = join_all((0..10).map(|_| Client::hello(&node))).await;
    let mut original = Client::ready(&node, Framing::Raw).await;
    let shutdown = shut_down(&node);
    let mut hints = Vec::new();
    for client in &mut ours {
        let (messages, end) = client.drain().await;
        assert_eq!(end, restart());
        let [hint] = &*messages else { panic!("{messages:?}") };
        let after = hint["data"]["after_ms"].as_u64().unwrap();
        assert_eq!(*hint, json!({ "internal": true, "command": "reconnect", "data": { "after_ms": after } }));
        assert!(after <= spread);
        hints.push(after);
    }
    hints.sort_unstable();
    hints.dedup();
    assert!(hints.len() > 1, "all come back at once: {hints:?}");
    assert_eq!(original.drain().await, (Vec::new(), restart()));
    ends(shutdown).await;
}

#[tokio::test]
async fn the_servers_own_calls_may_finish_too() {
    let mut node = Node::start(builder()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let socket = node.server.sockets().remove(0);
    let calling = tokio::spawn(async move { socket.rpc::<Value>("ask", ()).await });
    let (fid, ..) = client.called().await;
    let shutdown = shut_down(&node);
    // It answers only when the server is draining for sure.
    within("a refusal", async { while client.call("nope", json!(null)).await["code"] != "overloaded" {} })
        .await;
    client.reply(&fid, json!({ "data": "done" })).await;
    assert_eq!(calling.await.unwrap().unwrap(), "done");
    assert_eq!(client.drain().await.1, restart());
    ends(shutdown).await;
    node.ended().await;
}

#[tokio::test]
async fn a_call_that_never_ends_is_given_up_after_the_limit() {
    let gate = Gate::default();
    let node = Node::start(gate.builder().shutdown_timeout(Duration::from_millis(200))).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    client.start("gate", json!(null)).await;
    within("the call", gate.began.notified()).await;
    let start = Instant::now();
    let shutdown = shut_down(&node);
    assert_eq!(client.drain().await.1, restart());
    assert!(start.elapsed() >= Duration::from_millis(200), "it had no time");
    ends(shutdown).await;
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_close_is_left_behind() {
    let node = Node::start(builder().close_timeout(Duration::from_millis(200))).await;
    let mut stream = stream::upgraded(node.address).await;
    let auth = json!({ "rpc": "auth", "token": node.token().await, "uuid": "1" }).to_string();
    stream.write_all(&stream::masked(TEXT, auth.as_bytes())).await.unwrap();
    until("it to be ready", || {
        node.server.sockets().iter().any(tokensocket_server::Socket::is_authenticated)
    })
    .await;
    ends(shut_down(&node)).await;
    assert_eq!(stream::close_code(&mut stream).await, Some(1012));
}

#[tokio::test]
async fn connections_that_are_not_ready_do_not_hold_it_up() {
    let mut node = Node::start(builder().auth_timeout(None)).await;
    let mut silent = Client::connect(&node, Framing::SockJs).await;
    // An HTTP connection that idles, one amid a request's head, and one that said nothing.
    let mut half = TcpStream::connect(node.address).await.unwrap();
    half.write_all(b"GET /sockets/websocket HTTP/1.1\r\nHost:").await.unwrap();
    let mut idle = TcpStream::connect(node.address).await.unwrap();
    idle.write_all(b"GET /sockets HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut status = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut idle, &mut status).await.unwrap();
    let _nothing = TcpStream::connect(node.address).await.unwrap();
    let shutdown = shut_down(&node);
    assert_eq!(silent.drain().await, (Vec::new(), restart()));
    ends(shutdown).await;
    node.ended().await;
}

#[tokio::test]
async fn sockjs_services_are_ended_too() {
    let server =
        builder().sockjs("/echo", |mut socket| async move { while socket.recv().await.is_some() {} });
    let mut node = Node::start(server).await;
    let stream = TcpStream::connect(node.address).await.unwrap();
    let url = format!("ws://{}/echo/websocket", node.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let shutdown = shut_down(&node);
    let close = within("the close", futures_util::StreamExt::next(&mut socket)).await.unwrap().unwrap();
    let tokio_tungstenite::tungstenite::Message::Close(Some(close)) = close else { panic!("{close:?}") };
    assert_eq!(u16::from(close.code), 1012);
    let _ = futures_util::StreamExt::next(&mut socket).await;
    ends(shutdown).await;
    node.ended().await;
}

#[tokio::test]
async fn what_hangs_in_the_application_is_given_up() {
    let asked = Arc::new(Notify::new());
    let asks = asked.clone();
    let hangs = Server::builder().authenticate(move |_| {
        asks.notify_one();
        std::future::pending::<Result<Identity, AuthenticateError>>()
    });
    let server = hangs
        .shutdown_timeout(Duration::from_millis(100))
        .close_timeout(Duration::from_millis(100))
        .on_disconnect(|_, _| std::future::pending())
        .sockjs("/echo", |_| std::future::pending());
    let mut node = Node::start(server).await;
    let token = node.server.issue_token(Identity::anonymous()).await.unwrap().to_string();
    let mut client = Client::connect(&node, Framing::Raw).await;
    client.auth(&token).await;
    // A disconnect hook, a service and an authenticator that never end.
    drop(client);
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
    let stream = TcpStream::connect(node.address).await.unwrap();
    let url = format!("ws://{}/echo/websocket", node.address);
    let (_service, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut asking = TcpStream::connect(node.address).await.unwrap();
    asking.write_all(b"GET /socket/token HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    within("the authenticator", asked.notified()).await;
    ends(shut_down(&node)).await;
    node.ended().await;
}

#[tokio::test]
async fn it_may_be_asked_for_twice() {
    let node = Node::start(builder()).await;
    let mut client = Client::ready(&node, Framing::Raw).await;
    let both = [shut_down(&node), shut_down(&node)];
    assert_eq!(client.drain().await.1, restart());
    for shutdown in both {
        ends(shutdown).await;
    }
    ends(shut_down(&node)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_connection_ends_with_a_word() {
    const SOCKETS: usize = 300;
    let actions = Actions::new().action("work", async |Data(ms): Data<u64>| {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok::<_, RpcError>(ms)
    });
    for in_warp in [false, true] {
        let server = builder().actions(actions.clone()).build().unwrap();
        let node = if in_warp { Node::in_warp(server).await } else { Node::serve(server).await };
        let mut clients = Vec::new();
        for at in 0..SOCKETS {
            clients.push(Client::ready(&node, Framing::ALL[at % 2]).await);
        }
        let loaded = Arc::new(tokio::sync::Barrier::new(SOCKETS + 1));
        let working = clients.into_iter().enumerate().map(|(at, mut client)| {
            let loaded = loaded.clone();
            tokio::spawn(async move {
                client.subscribe("c").await;
                loaded.wait().await;
                let (mut answered, mut refused) = (0, 0);
                loop {
                    let n = answered + refused + 1;
                    let work = json!({ "rpc": "work", "req": at % 5, "uuid": n }).to_string();
                    client.try_send(&work).await;
                    loop {
                        match client.read().await {
                            Received::Message(text) => {
                                let message: Value = serde_json::from_str(&text).unwrap();
                                if message["uuid"] != n {
                                    continue;
                                }
                                if message["code"] == "overloaded" {
                                    refused += 1;
                                } else {
                                    assert_eq!(message["resp"], at % 5, "{message}");
                                    answered += 1;
                                }
                                break;
                            }
                            end => return (answered, refused, end),
                        }
                    }
                }
            })
        });
        let working: Vec<_> = working.collect();
        loaded.wait().await;
        for n in 0..20 {
            node.server.publish("c", n).await.unwrap();
            tokio::task::yield_now().await;
        }
        ends(shut_down(&node)).await;
        assert_eq!(node.server.sockets(), []);
        let ends = within("all clients", join_all(working)).await;
        for end in ends {
            let (_answered, _refused, end) = end.unwrap();
            assert_eq!(end, restart());
        }
    }
}
