//! The native client comes back: what is followed again, what is sent, what fails, and when.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokensocket_client::{ConnectionError, Error, Event, Subscription, SubscriptionError, TokenSocket};
use tokensocket_server::{Actions, Close, Data, RawJson, RpcError, Server, ServerBuilder, Socket};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::native::{Events, becomes_ready, connected, native, ready};
use tokensocket_tests::node::{Node, builder, listen};
use tokensocket_tests::proxy::{Direction, Proxy, Purpose};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

fn server() -> ServerBuilder {
    let actions = Actions::new()
        .action("echo", async |Data(value): Data<RawJson>| Ok::<_, RpcError>(value))
        .action("drop_me", async |socket: Socket| {
            socket.disconnect();
            Ok::<_, RpcError>("dropped")
        });
    builder().actions(actions)
}

async fn start_on(address: SocketAddr) -> Node {
    let listener = TcpListener::bind(address).await.expect("the port is free again");
    let server: Server = server().build().unwrap();
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve(listener).await.expect("the server serves") });
    Node::mounted(server, address, task)
}

async fn follow(socket: &TokenSocket, channel: &str) -> Subscription<u32> {
    within("a subscription", socket.subscribe(channel)).await.expect("the server confirms").typed()
}

async fn next(subscription: &mut Subscription<u32>) -> Option<Result<u32, SubscriptionError>> {
    within("a publication", subscription.next()).await
}

async fn echo(socket: &TokenSocket, value: u32) -> Result<u32, Error> {
    within("an answer", socket.rpc::<u32>("echo", &value).into_future()).await
}

/// Listens from after the `ready` that was.
async fn events(socket: &TokenSocket) -> Events {
    let mut events = Events::of(socket);
    assert_eq!(events.next().await, Event::Ready(Ok(())));
    events
}

/// The next two events are a loss and a return.
async fn comes_back(events: &mut Events) -> ConnectionError {
    let Event::Disconnect(error) = events.next().await else { panic!("nothing was lost") };
    assert_eq!(events.next().await, Event::Reconnect(Ok(())));
    error
}

// The server drops the socket.

#[tokio::test]
async fn a_dropped_client_comes_back_and_follows_its_channels() {
    let node = Node::start(server()).await;
    let socket = ready(node.address).await;
    let mut events = events(&socket).await;
    let mut streams = [follow(&socket, "one").await, follow(&socket, "two").await];
    let left = follow(&socket, "left").await;
    within("unsubscribe", socket.unsubscribe("left")).await.unwrap();
    drop(left);
    for round in 0..3 {
        let called = within("drop_me", socket.rpc::<Value>("drop_me", &()).into_future()).await;
        assert!(matches!(called, Ok(_) | Err(Error::Disconnected)), "{called:?}");
        assert_eq!(comes_back(&mut events).await, ConnectionError::Closed(Close::NORMAL));
        // The subscriptions stand before this call on the wire.
        assert_eq!(echo(&socket, round).await.unwrap(), round);
        let followed: Vec<_> = node.server.channels().iter().map(ToString::to_string).collect();
        assert_eq!(followed, ["one", "two"]);
        node.server.broadcast(round).await.unwrap();
        for stream in &mut streams {
            assert_eq!(next(stream).await, Some(Ok(round)));
        }
        for _ in 0..2 {
            assert!(matches!(events.next().await, Event::Message { .. }));
        }
    }
    assert_eq!(events.rest(), []);
}

#[tokio::test]
async fn what_is_asked_for_without_a_connection_is_sent_in_order_after_the_channels() {
    let gate = Arc::new(Semaphore::new(1));
    let closed = Arc::clone(&gate);
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let (seen, followed) = (Arc::clone(&order), Arc::clone(&order));
    let actions = Actions::new().action("note", move |Data(n): Data<u32>| {
        seen.lock().unwrap().push(format!("call {n}"));
        async move { Ok::<_, RpcError>(n) }
    });
    let server = Server::builder()
        .actions(actions)
        .on_subscribe(move |_, channel| {
            followed.lock().unwrap().push(format!("follow {channel}"));
            async { Ok(()) }
        })
        .authenticate(move |_| {
            let gate = Arc::clone(&closed);
            async move {
                gate.acquire().await.expect("the gate stays").forget();
                Ok(tokensocket_server::Identity::anonymous())
            }
        });
    let node = Node::start(server).await;
    let socket = ready(node.address).await;
    let mut events = events(&socket).await;
    let _kept = follow(&socket, "kept").await;
    order.lock().unwrap().clear();
    node.server.sockets()[0].disconnect();
    assert!(matches!(events.next().await, Event::Disconnect(_)));

    // The test's one thread begins them in this order.
    let mut asked = tokio::task::JoinSet::new();
    for n in 0..3 {
        let call = socket.rpc::<u32>("note", &n).into_future();
        asked.spawn(async move { call.await.map(drop) });
    }
    let (subscriber, publisher) = (socket.clone(), socket.clone());
    asked.spawn(async move { subscriber.subscribe("new").await.map(Subscription::detach) });
    asked.spawn(async move { publisher.publish("new", &77).await });
    let call = socket.rpc::<u32>("note", &9).into_future();
    asked.spawn(async move { call.await.map(drop) });
    gate.add_permits(1);

    for outcome in within("all that was asked", asked.join_all()).await {
        outcome.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["follow kept", "call 0", "call 1", "call 2", "follow new", "call 9"],);
    assert_eq!(events.next().await, Event::Reconnect(Ok(())));
    let Event::Message { channel, data } = events.next().await else { panic!("no message") };
    assert_eq!((&*channel, data.parse::<u32>().unwrap()), ("new", 77));
}

#[tokio::test]
async fn a_call_in_flight_fails_with_the_connection_and_is_not_sent_again() {
    let runs: Arc<Mutex<usize>> = Arc::default();
    let (count, begun) = (Arc::clone(&runs), Arc::new(Notify::new()));
    let begins = Arc::clone(&begun);
    let stuck = Actions::new().action("stuck", move || {
        *count.lock().unwrap() += 1;
        begins.notify_one();
        std::future::pending::<Result<(), RpcError>>()
    });
    let node = Node::start(server().actions(stuck)).await;
    let socket = ready(node.address).await;
    let mut events = events(&socket).await;
    let call = tokio::spawn(socket.rpc::<Value>("stuck", &()).into_future());
    within("the call to begin", begun.notified()).await;
    node.server.sockets()[0].disconnect();
    let outcome = within("the call", call).await.unwrap();
    assert!(matches!(outcome, Err(Error::Disconnected)), "{outcome:?}");
    comes_back(&mut events).await;
    assert_eq!(echo(&socket, 1).await.unwrap(), 1);
    assert_eq!(*runs.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_channel_that_is_forbidden_by_now_is_lost_with_the_reason() {
    let forbidden = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asks = Arc::clone(&forbidden);
    let node = Node::start(server().on_subscribe(move |_, channel| {
        let refuse = channel.as_str() == "secret" && asks.load(std::sync::atomic::Ordering::SeqCst);
        async move { if refuse { Err(RpcError::forbidden()) } else { Ok(()) } }
    }))
    .await;
    let socket = ready(node.address).await;
    let (mut secret, mut open) = (follow(&socket, "secret").await, follow(&socket, "open").await);
    forbidden.store(true, std::sync::atomic::Ordering::SeqCst);
    node.server.sockets()[0].disconnect();
    assert_eq!(next(&mut secret).await, Some(Err(SubscriptionError::Lost(Some(RpcError::forbidden())))));
    assert_eq!(next(&mut secret).await, None);
    until("the other to be followed", || !node.server.channels().is_empty()).await;
    node.server.publish("open", 5).await.unwrap();
    assert_eq!(next(&mut open).await, Some(Ok(5)));
    assert_eq!(socket.channels().await.iter().map(ToString::to_string).collect::<Vec<_>>(), ["open"]);
}

// The server goes, and another comes.

#[tokio::test]
async fn a_client_finds_the_server_that_takes_over_the_port() {
    let (listener, address) = listen().await;
    drop(listener);
    let mut first = start_on(address).await;
    let socket = ready(address).await;
    let mut events = events(&socket).await;
    let mut stream = follow(&socket, "news").await;
    within("the shutdown", first.server.shutdown()).await;
    first.ended().await;
    drop(first);
    let second = start_on(address).await;
    let Event::Disconnect(error) = events.next().await else { panic!("nothing was lost") };
    assert_eq!(error, ConnectionError::Closed(Close::RESTART));
    assert_eq!(echo(&socket, 3).await.unwrap(), 3);
    second.server.publish("news", 4).await.unwrap();
    assert_eq!(next(&mut stream).await, Some(Ok(4)));
}

#[tokio::test]
async fn a_client_stays_away_as_long_as_a_server_that_ends_asks_it_to() {
    let first = Node::start(server().reconnect_spread(Duration::from_millis(800))).await;
    let second = Node::start(server()).await;
    let proxy = Proxy::start(first.address).await;
    let socket = ready(proxy.address).await;
    let mut events = events(&socket).await;
    assert_eq!(proxy.opened(Purpose::Socket), 1);
    // Whenever it comes back, there is somebody.
    proxy.lead_to(second.address);
    let ending = first.server.clone();
    let begun = Instant::now();
    let shutdown = tokio::spawn(async move { ending.shutdown().await });
    assert_eq!(events.next().await, Event::Disconnect(ConnectionError::Closed(Close::RESTART)));
    assert_eq!(events.next().await, Event::Reconnect(Ok(())));
    let away = begun.elapsed();
    within("the shutdown", shutdown).await.unwrap();

    let said = proxy.seen(Purpose::Socket, Direction::Down);
    let said = String::from_utf8_lossy(&said);
    let (_, hint) = said.split_once(r#""after_ms":"#).expect("the server gives a hint");
    let hint: u64 = hint.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    assert!(away >= Duration::from_millis(hint), "{away:?} for {hint} ms");
    assert_eq!(second.server.sockets().len(), 1);
    assert_eq!(echo(&socket, 6).await.unwrap(), 6);
}

#[tokio::test]
async fn a_server_that_ends_still_answers_what_it_has_begun() {
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, released) = (Arc::clone(&begun), Arc::clone(&release));
    let slow = Actions::new().action("slow", move || {
        begins.notify_one();
        let released = Arc::clone(&released);
        async move {
            released.notified().await;
            Ok::<_, RpcError>("done")
        }
    });
    let node = Node::start(server().actions(slow)).await;
    let socket = ready(node.address).await;
    let mut events = events(&socket).await;
    let call = tokio::spawn(socket.rpc::<String>("slow", &()).into_future());
    within("the call to begin", begun.notified()).await;
    let ending = node.server.clone();
    let shutdown = tokio::spawn(async move { ending.shutdown().await });
    // Until the server has begun to end, it answers.
    let refused = loop {
        match echo(&socket, 1).await {
            Ok(_) => {}
            Err(Error::Server(error)) => break error,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert_eq!(refused.code(), tokensocket_server::ErrorCode::Overloaded);
    release.notify_one();
    assert_eq!(within("the call", call).await.unwrap().unwrap(), "done");
    assert_eq!(events.next().await, Event::Disconnect(ConnectionError::Closed(Close::RESTART)));
    within("the shutdown", shutdown).await.unwrap();
    within("the end", socket.end()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_move_to_the_next_server_with_their_channels() {
    const CLIENTS: u32 = 100;
    let first = Node::start(server().reconnect_spread(Duration::from_millis(300))).await;
    let second = Node::start(server()).await;
    let proxy = Proxy::start(first.address).await;
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let socket = ready(proxy.address).await;
        let stream = follow(&socket, &format!("channel {client}")).await;
        clients.push((socket, stream));
    }
    proxy.lead_to(second.address);
    within("the shutdown", first.server.shutdown()).await;
    until("all to come back", || second.server.channels().len() == CLIENTS as usize).await;
    assert_eq!(first.server.sockets().len(), 0);
    second.server.broadcast(5).await.unwrap();
    for (socket, stream) in &mut clients {
        assert_eq!(next(stream).await, Some(Ok(5)));
        within("the end", socket.end()).await;
    }
    until("all to leave", || second.server.sockets().is_empty()).await;
}

// The network breaks.

#[tokio::test]
async fn a_connection_that_is_cut_is_opened_anew() {
    let node = Node::start(server()).await;
    let proxy = Proxy::start(node.address).await;
    let socket = ready(proxy.address).await;
    let mut events = events(&socket).await;
    let mut stream = follow(&socket, "news").await;
    for round in 0..5 {
        proxy.cut_all();
        assert!(matches!(comes_back(&mut events).await, ConnectionError::Transport(_)));
        assert_eq!(echo(&socket, round).await.unwrap(), round);
        node.server.publish("news", round).await.unwrap();
        assert_eq!(next(&mut stream).await, Some(Ok(round)));
        assert!(matches!(events.next().await, Event::Message { .. }));
    }
    until("the old sockets to go", || node.server.sockets().len() == 1).await;
}

#[tokio::test]
async fn a_peer_that_is_only_half_there_is_noticed_by_a_ping() {
    let node = Node::start(server()).await;
    let proxy = Proxy::start(node.address).await;
    let builder =
        native(proxy.address).ping(Duration::from_millis(40)).pong_timeout(Duration::from_millis(300));
    let socket = connected(builder).await;
    let mut events = events(&socket).await;
    let mut stream = follow(&socket, "news").await;
    until("pings to be answered", || proxy.heard("pong") > 2).await;
    assert_eq!(events.rest(), []);

    proxy.stall_all();
    let call = tokio::spawn(socket.rpc::<u32>("echo", &1).into_future());
    assert_eq!(comes_back(&mut events).await, ConnectionError::Silent);
    let lost = within("the call", call).await.unwrap();
    assert!(matches!(lost, Err(Error::Disconnected)), "{lost:?}");
    assert_eq!(echo(&socket, 2).await.unwrap(), 2);
    node.server.publish("news", 8).await.unwrap();
    assert_eq!(next(&mut stream).await, Some(Ok(8)));
}

#[tokio::test]
async fn the_server_says_how_often_to_ping() {
    let node = Node::start(server().heartbeat(Duration::from_millis(100))).await;
    let proxy = Proxy::start(node.address).await;
    let _socket = ready(proxy.address).await;
    until("pings to be answered", || proxy.heard("pong") > 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_server_follows_what_the_client_wants() {
    const NAMES: u32 = 6;
    let mut random = StdRng::seed_from_u64(0x63_68_75_72_6e);
    let node = Node::start(server()).await;
    let proxy = Proxy::start(node.address).await;
    let socket = ready(proxy.address).await;
    let mut kept: HashMap<u32, Vec<Subscription<u32>>> = HashMap::new();
    for _ in 0..400 {
        let name = random.random_range(0..NAMES);
        let channel = name.to_string();
        match random.random_range(0..10) {
            0..4 => {
                let subscription = follow(&socket, &channel).await;
                kept.entry(name).or_default().push(subscription);
            }
            // A subscribe that is given up at once, or a little later.
            4 => drop(tokio::time::timeout(Duration::ZERO, socket.subscribe(&channel)).await),
            5 => {
                tokio::select! {
                    biased;
                    outcome = socket.subscribe(&channel) => drop(outcome),
                    _ = echo(&socket, name) => {}
                }
            }
            6 => drop(kept.entry(name).or_default().pop()),
            7 => {
                within("unsubscribe", socket.unsubscribe(&channel)).await.unwrap();
                kept.remove(&name);
            }
            8 => proxy.cut_all(),
            _ => {
                if let Some(peer) = node.server.sockets().first() {
                    peer.disconnect();
                }
            }
        }
    }
    kept.retain(|_, subscriptions| !subscriptions.is_empty());
    let mut wanted: Vec<String> = kept.keys().map(ToString::to_string).collect();
    wanted.sort_unstable();
    assert!(!wanted.is_empty());

    // Everything before this has been done by the client.
    while echo(&socket, 0).await.is_err() {}
    let mut said: Vec<_> = socket.channels().await.iter().map(ToString::to_string).collect();
    said.sort_unstable();
    assert_eq!(said, wanted);
    until("the server to follow the same", || {
        let followed: Vec<_> = node.server.channels().iter().map(ToString::to_string).collect();
        node.server.sockets().len() == 1 && followed == wanted
    })
    .await;
    for (name, subscriptions) in &mut kept {
        node.server.publish(name.to_string(), *name).await.unwrap();
        for subscription in subscriptions {
            assert_eq!(next(subscription).await, Some(Ok(*name)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_are_answered_once_or_lost_with_their_connection() {
    const CALLS: u32 = 10_000;
    const CUTS: usize = 25;
    const SEED: u64 = 0x70_6b_65_6e;

    // Which calls, counted as they arrive, take the connection with them.
    let mut random = StdRng::seed_from_u64(SEED);
    let mut fatal: Vec<usize> = (0..CUTS).map(|_| random.random_range(1..CALLS as usize * 3 / 4)).collect();
    fatal.sort_unstable();
    fatal.dedup();
    let cuts = fatal.len();

    let runs: Arc<Mutex<HashMap<u32, usize>>> = Arc::default();
    let (listener, address) = listen().await;
    let proxy = Arc::new(Proxy::start(address).await);
    let (counts, cutter, mut arrived) = (Arc::clone(&runs), Arc::clone(&proxy), 0);
    let fatal = Mutex::new(fatal.into_iter().peekable());
    let arrive = move |n: u32| {
        *counts.lock().unwrap().entry(n).or_default() += 1;
        let mut fatal = fatal.lock().unwrap();
        (fatal.next_if(|at| counts.lock().unwrap().len() > *at).is_some()).then(|| cutter.cut_all());
    };
    let arrive = Arc::new(arrive);
    let actions = Actions::new().action("count", move |Data(n): Data<u32>| {
        arrive(n);
        async move { Ok::<_, RpcError>(n) }
    });
    let server = builder().actions(actions).build().unwrap();
    let serving = server.clone();
    let task = tokio::spawn(async move { serving.serve(listener).await.expect("the server serves") });
    let _node = Node::mounted(server, address, task);
    let socket = ready(proxy.address).await;
    let mut events = events(&socket).await;

    let mut answered = vec![0_u32; CALLS as usize];
    let mut lost = 0;
    let mut calls = stream::iter(0..CALLS)
        .map(|n| {
            let call = socket.rpc::<u32>("count", &n);
            async move { (n, call.await) }
        })
        .buffer_unordered(200);
    while let Some((asked, outcome)) = within("a call", calls.next()).await {
        arrived += 1;
        match outcome {
            Ok(answer) => {
                assert_eq!(answer, asked);
                answered[asked as usize] += 1;
            }
            Err(Error::Disconnected) => lost += 1,
            Err(other) => panic!("{asked}: {other:?}"),
        }
    }

    assert_eq!(arrived, CALLS);
    becomes_ready(&socket).await;
    let disconnects = events.rest().iter().filter(|event| matches!(event, Event::Disconnect(_))).count();
    assert!(disconnects > cuts / 2 && disconnects <= cuts, "{disconnects} of {cuts}");
    assert!(lost > 0 && lost < CALLS / 2, "{lost} lost");
    assert_eq!(answered.iter().sum::<u32>() + lost, CALLS);
    let runs = runs.lock().unwrap();
    for n in 0..CALLS {
        let times = runs.get(&n).copied().unwrap_or_default();
        assert!(times <= 1, "{n} was sent {times} times");
        assert!(answered[n as usize] as usize <= times, "{n} was answered but never run");
    }
    assert_eq!(json!(runs.len()), json!(runs.values().sum::<usize>()));
}
