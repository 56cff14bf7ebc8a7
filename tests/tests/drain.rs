//! A server that ends sends its clients elsewhere at a stated pace, and nothing is lost or comes twice by that.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tokensocket_client::{Error, TokenSocket};
use tokensocket_server::socketio::{NamespaceOptions, SocketIoOptions};
use tokensocket_server::{
    Actions, ChannelOptions, Data, DeliverOptions, Drain, History, Identity, RpcError, ServerBuilder,
    SockJsOptions, To,
};
use tokensocket_tests::balancer::Balancer;
use tokensocket_tests::bus::Bus;
use tokensocket_tests::device;
use tokensocket_tests::http;
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::connected;
use tokensocket_tests::node::Node;
use tokensocket_tests::packets::{self, Came, Packets};
use tokensocket_tests::wire::{Client, Framing, Received};

/// What whoever asks for a token is told.
const SHUTTING_DOWN: &str = "the server is shutting down: ask another node";

/// How many calls servers began and answered.
#[derive(Clone, Default)]
struct Calls(Arc<(AtomicUsize, AtomicUsize)>);

fn server(calls: &Calls) -> ServerBuilder {
    let calls = calls.clone();
    let work = move |Data(ms): Data<u64>| {
        let calls = calls.clone();
        async move {
            calls.0.0.fetch_add(1, Ordering::AcqRel);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            calls.0.1.fetch_add(1, Ordering::AcqRel);
            Ok::<_, RpcError>(ms)
        }
    };
    let history = History::new(100_000, Duration::from_hours(1));
    device::builder()
        .channels("news", ChannelOptions::new().history(history))
        .actions(Actions::new().action("work", work))
}

/// The most that stand within a second of each other.
fn most_in_a_second(times: &[Instant]) -> usize {
    let within = |from: &Instant| {
        times.iter().filter(|at| *at >= from && at.duration_since(*from) < Duration::from_secs(1)).count()
    };
    times.iter().map(within).max().unwrap_or_default()
}

/// A client of its own user, and all that it was given.
struct Follower {
    socket: TokenSocket,
    heard: Arc<Mutex<Vec<u64>>>,
    handed: Arc<Mutex<Vec<u64>>>,
    /// Calls that were answered with a result.
    answered: Arc<AtomicUsize>,
}

impl Follower {
    async fn start(address: std::net::SocketAddr, number: usize, is_over: Arc<AtomicBool>) -> Self {
        let builder = TokenSocket::builder(format!("http://{address}"))
            .authentication(&json!({ "user": number }))
            .device("phone");
        let socket = connected(builder).await;
        let follower = Self {
            socket: socket.clone(),
            heard: Arc::default(),
            handed: Arc::default(),
            answered: Arc::default(),
        };
        let mut news = socket.subscribe("news").await.unwrap().typed::<u64>();
        let (heard, handed) = (Arc::clone(&follower.heard), Arc::clone(&follower.handed));
        tokio::spawn(async move {
            while let Some(item) = news.next().await {
                heard.lock().unwrap().push(item.unwrap());
            }
        });
        let _ = socket.on_delivery("e", move |(n,): (u64,)| {
            let handed = Arc::clone(&handed);
            async move {
                handed.lock().unwrap().push(n);
                Ok::<_, String>(())
            }
        });
        let answered = Arc::clone(&follower.answered);
        tokio::spawn(async move {
            while !is_over.load(Ordering::Acquire) {
                match socket.rpc::<u64>("work", &(number as u64 % 500 + 500)).await {
                    Ok(_) => drop(answered.fetch_add(1, Ordering::AcqRel)),
                    // It was never begun.
                    Err(Error::Server(error)) if error.code().as_str() == "overloaded" => {}
                    Err(Error::Disconnected | Error::Ended) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        follower
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_go_elsewhere_at_the_stated_rate_and_nothing_is_lost_or_comes_twice() {
    const CLIENTS: usize = 200;
    const RATE: u32 = 50;
    let bus = Bus::new();
    let calls = Calls::default();
    let closed: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noting = Arc::clone(&closed);
    let leaving =
        server(&calls).engine(&bus.seat()).drain(Drain::at_rate(RATE)).on_disconnect(move |_, _| {
            noting.lock().unwrap().push(Instant::now());
            async {}
        });
    let old = Node::start(leaving).await;
    let new = Node::start(server(&calls).engine(&bus.seat())).await;
    let balancer = Balancer::start([old.address, new.address]).await;
    balancer.take_out(1);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut followers = Vec::new();
    for number in 0..CLIENTS {
        followers.push(Follower::start(balancer.address, number, Arc::clone(&is_over)).await);
    }
    assert_eq!(old.server.sockets().len(), CLIENTS);
    balancer.put_back(1);
    balancer.take_out(0);
    let before = balancer.opened().len();

    let mut sent = 0;
    let shutdown = {
        let server = old.server.clone();
        tokio::spawn(async move { server.shutdown().await })
    };
    // Steady traffic from both, as long as there are both.
    while !shutdown.is_finished() {
        let from = if sent % 2 == 0 { &old.server } else { &new.server };
        from.publish("news", sent).await.unwrap();
        from.deliver(To::users(["0", "7", "199"]), "e", (sent,), DeliverOptions::new()).await.unwrap();
        sent += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(old.server.is_draining());
    until("all to be back", || new.server.sockets().len() == CLIENTS).await;
    is_over.store(true, Ordering::Release);

    let all: Vec<u64> = (0..sent).collect();
    for (number, follower) in followers.iter().enumerate() {
        until("everything to be heard", || follower.heard.lock().unwrap().len() >= all.len()).await;
        assert_eq!(*follower.heard.lock().unwrap(), all, "client {number}");
        if [0, 7, 199].contains(&number) {
            until("everything to be handed over", || follower.handed.lock().unwrap().len() >= all.len())
                .await;
            assert_eq!(*follower.handed.lock().unwrap(), all, "client {number}");
        }
    }
    let answered =
        || followers.iter().map(|follower| follower.answered.load(Ordering::Acquire)).sum::<usize>();
    until("each call that was begun to be answered", || {
        let (begun, done) = (calls.0.0.load(Ordering::Acquire), calls.0.1.load(Ordering::Acquire));
        (begun, answered()) == (done, done)
    })
    .await;
    let closed = closed.lock().unwrap().clone();
    assert_eq!(closed.len(), CLIENTS);
    let most = most_in_a_second(&closed);
    // Those whose turn it was may end together on a busy machine: never more than twice the rate.
    assert!(most <= 2 * RATE as usize, "{most} were closed within a second");
    let opened = &balancer.opened()[before..];
    assert_eq!(opened.len(), CLIENTS, "each came back once");
    let most = most_in_a_second(opened);
    assert!(most <= 2 * RATE as usize, "{most} came back within a second");
    for follower in &followers {
        follower.socket.end().await;
    }
}

#[tokio::test]
async fn who_has_not_been_sent_away_is_served_and_nobody_new_is_let_in() {
    let node = Node::start(server(&Calls::default()).drain(Drain::over(Duration::from_secs(2)))).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::hello(&node).await;
        client.subscribe("plain").await;
        clients.push(client);
    }
    let shutdown = {
        let server = node.server.clone();
        tokio::spawn(async move { server.shutdown().await })
    };
    let mut first = clients.remove(0);
    assert_eq!(first.drain().await.1, Received::Closed(1012, "Service restart".to_owned()));
    assert!(node.server.is_draining());
    let answer = http::get(node.address, "/socket/token").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(node.server.issue_token(Identity::anonymous()).await.unwrap_err().to_string(), SHUTTING_DOWN);
    let mut last = clients.pop().unwrap();
    assert_eq!(last.call("work", json!(1)).await["resp"], 1);
    last.call("_publish", json!({ "channel": "plain", "data": "still" })).await;
    last.expect(json!({ "channel": "plain", "message": "still" })).await;
    for client in clients.iter_mut().chain([&mut last]) {
        let (messages, end) = client.drain().await;
        assert_eq!(end, Received::Closed(1012, "Service restart".to_owned()));
        let hint = messages.last().unwrap();
        assert!(hint["data"]["after_ms"].as_u64().unwrap() <= 250, "{hint}");
    }
    within("the shutdown", shutdown).await.unwrap();
}

#[tokio::test]
async fn sessions_that_requests_carry_go_on_until_their_turn() {
    let node = Node::start(server(&Calls::default()).drain(Drain::over(Duration::from_secs(1)))).await;
    let mut first = Client::ready(&node, Framing::Raw).await;
    let base = "/sockets/000/polling";
    let post = async |path: &str, body: &str| {
        let path = format!("{base}{path}");
        http::request_with(node.address, Method::POST, &path, &[], body.to_owned()).await
    };
    assert_eq!(post("/xhr", "").await.body, "o\n");
    let token = node.token().await;
    let say = |message: Value| json!([message.to_string()]).to_string();
    assert_eq!(
        post("/xhr_send", &say(json!({ "rpc": "auth", "token": token, "uuid": "a" }))).await.status,
        204
    );
    assert!(post("/xhr", "").await.body.contains("success"));
    let shutdown = {
        let server = node.server.clone();
        tokio::spawn(async move { server.shutdown().await })
    };
    assert_eq!(first.drain().await.1, Received::Closed(1012, "Service restart".to_owned()));
    assert_eq!(node.server.sockets().len(), 1);
    assert_eq!(post("/xhr_send", &say(json!({ "rpc": "_ping", "req": {}, "uuid": "p" }))).await.status, 204);
    assert!(post("/xhr", "").await.body.contains("pong"));
    assert_eq!(post("/xhr", "").await.body, "c[1012,\"Service restart\"]\n");
    within("the shutdown", shutdown).await.unwrap();
}

#[tokio::test]
async fn services_by_themselves_wait_for_their_turn_too() {
    let echo = SockJsOptions::new();
    let builder = server(&Calls::default())
        .sockjs_with("/echo", echo, |mut socket| async move { while socket.recv().await.is_some() {} })
        .drain(Drain::at_rate(10));
    let node = Node::start(builder).await;
    let mut ends = Vec::new();
    for _ in 0..5 {
        let stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
        let url = format!("ws://{}/echo/websocket", node.address);
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        ends.push(tokio::spawn(async move {
            while socket.next().await.is_some_and(|frame| frame.is_ok_and(|frame| !frame.is_close())) {}
            let at = Instant::now();
            let _ = socket.next().await;
            at
        }));
    }
    within("the shutdown", node.server.shutdown()).await;
    let mut ends: Vec<_> = join_all(ends).await.into_iter().map(Result::unwrap).collect();
    ends.sort_unstable();
    assert!(ends[4] - ends[0] >= Duration::from_millis(350), "{:?}", ends[4] - ends[0]);
}

#[tokio::test]
async fn who_asks_twice_does_not_hurry_it() {
    let node = Node::start(server(&Calls::default()).drain(Drain::at_rate(10))).await;
    let clients = join_all((0..6).map(|_| Client::ready(&node, Framing::Raw))).await;
    let begun = Instant::now();
    let ended = clients.into_iter().map(|mut client| tokio::spawn(async move { client.drain().await.1 }));
    let ended: Vec<_> = ended.collect();
    within("both", async { tokio::join!(node.server.shutdown(), node.server.shutdown()) }).await;
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    let ends: HashSet<String> =
        join_all(ended).await.into_iter().map(|end| format!("{:?}", end.unwrap())).collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
}

#[tokio::test]
async fn socketio_clients_are_served_until_their_turn_too() {
    let builder = server(&Calls::default()).drain(Drain::over(Duration::from_secs(1)));
    let namespace = NamespaceOptions::new();
    let (node, _io) = packets::serve(builder, SocketIoOptions::new(), namespace).await;
    let mut first = Client::ready(&node, Framing::Raw).await;
    let mut packets = Packets::join(node.address, 4, "/n", "token=ann").await;
    let shutdown = {
        let server = node.server.clone();
        tokio::spawn(async move { server.shutdown().await })
    };
    assert_eq!(first.drain().await.1, Received::Closed(1012, "Service restart".to_owned()));
    packets.still_there("/n").await;
    while packets.next().await != Came::End {}
    within("the shutdown", shutdown).await.unwrap();
}
