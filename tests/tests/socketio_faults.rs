//! Socket.IO clients that break rules, do not read, or say too much.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at what it does not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::SinkExt;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokensocket_server::socketio::{NamespaceOptions, Refusal, SocketIoOptions};
use tokensocket_server::{Identity, Socket};
use tokensocket_tests::limit::{until, within};
use tokensocket_tests::node::builder;
use tokensocket_tests::packets::{Came, Packets, serve};
use tokio::net::TcpSocket;
use tokio::sync::Notify;

async fn ends(client: &mut Packets) {
    while client.next().await != Came::End {}
}

#[tokio::test]
async fn ends_the_connection_of_who_breaks_the_protocol() {
    // Longer than the test waits: it is the client's answer to the close that ends each.
    let options = SocketIoOptions::new().max_payload(10_000).close_timeout(Duration::from_hours(1));
    let (node, _) = serve(builder(), options, NamespaceOptions::new()).await;
    for protocol in [3, 4] {
        for bad in [
            "9".to_owned(),
            "4".to_owned(),
            "47".to_owned(),
            "42/n,{}".to_owned(),
            "42/n,[]".to_owned(),
            "42/n,[\"x\"".to_owned(),
            "43/n,[1]".to_owned(),
            "451-/n,[\"x\",{\"_placeholder\":true,\"num\":1}]".to_owned(),
            "4599-/n,[\"x\"]".to_owned(),
            format!("40/{}", "n".repeat(1000)),
            format!("42/n,[\"{}\"]", "x".repeat(10_000)),
            (if protocol == 3 { "3" } else { "2" }).to_owned(),
        ] {
            let mut client = Packets::join(node.address, protocol, "/n", "token=ann").await;
            client.say(&bad).await;
            ends(&mut client).await;
        }
        let mut client = Packets::join(node.address, protocol, "/n", "token=ann").await;
        client.say_bytes(b"\x04never announced").await;
        ends(&mut client).await;
        until("the sockets to be gone", || node.server.sockets().is_empty()).await;
    }
}

#[tokio::test]
async fn nonsense_of_all_kinds_harms_nobody_else() {
    let (node, _) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let alphabet: Vec<char> = "0123456789/n,-[]{}\":\\aé\u{1e}b🐢".chars().collect();
    let mut witness = Packets::join(node.address, 4, "/n", "token=zoe").await;
    for round in 0..60 {
        let mut client = Packets::join(node.address, 3 + round % 2, "/n", "token=ann").await;
        for _ in 0..20 {
            let length = rng.random_range(0..12);
            let noise: String = (0..length).map(|_| alphabet[rng.random_range(0..alphabet.len())]).collect();
            let front = ["4", "42/n,", "451-/n,", ""][rng.random_range(0..4)];
            let message = tokio_tungstenite::tungstenite::Message::text(format!("{front}{noise}"));
            if client.socket.send(message).await.is_err() {
                break;
            }
        }
    }
    witness.still_there("/n").await;
}

#[tokio::test]
async fn silence_ends_a_connection_of_either_protocol() {
    let (interval, patience) = (Duration::from_millis(100), Duration::from_millis(500));
    let options = SocketIoOptions::new().ping_interval(interval).ping_timeout(patience);
    let (node, _) = serve(builder(), options, NamespaceOptions::new()).await;
    let mut new = Packets::join(node.address, 4, "/n", "token=ann").await;
    for _ in 0..4 {
        assert_eq!(new.text().await, "2");
        new.say("3").await;
    }
    assert_eq!(new.text().await, "2");
    ends(&mut new).await;
    let mut old = Packets::join(node.address, 3, "/n", "token=ann").await;
    // Longer than it may be silent.
    for _ in 0..4 {
        tokio::time::sleep(2 * interval).await;
        old.say("2").await;
        assert_eq!(old.text().await, "3");
    }
    ends(&mut old).await;
    until("the sockets to be gone", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn who_joins_nothing_may_not_stay() {
    let options = SocketIoOptions::new().connect_timeout(Duration::from_millis(500));
    let (node, io) = serve(builder(), options, NamespaceOptions::new()).await;
    let mut stays = Packets::join(node.address, 4, "/n", "token=ann").await;
    // It came later, so its time ends when the other's is over.
    let mut new = Packets::open(node.address, 4, "").await;
    ends(&mut new).await;
    stays.still_there("/n").await;
    stays.say("41/n,").await;
    ends(&mut stays).await;
    until("the connections to be gone", || io.connections() == 0).await;
}

#[tokio::test]
async fn who_does_not_read_is_disconnected_and_others_are_not() {
    let (node, _) =
        serve(builder().outbox(1000, 1 << 20), SocketIoOptions::new(), NamespaceOptions::new()).await;
    let deaf = Packets::join(node.address, 4, "/n", "token=ann").await;
    let mut reads = Packets::join(node.address, 4, "/n", "token=bob").await;
    let large = "x".repeat(100_000);
    for n in 0..200 {
        node.server.emit_to_users(["ann"], "large", &large).await.expect("it is sent");
        if n % 20 == 0 {
            tokio::task::yield_now().await;
        }
    }
    until("the slow one to be gone", || node.server.sockets().len() == 1).await;
    reads.still_there("/n").await;
    drop(deaf);
}

#[tokio::test]
async fn who_asks_without_reading_is_not_listened_to() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&handled);
    let large = "x".repeat(40_000);
    let namespace = NamespaceOptions::new().on("large", move |_: Socket, _| {
        counting.fetch_add(1, Ordering::Relaxed);
        let large = large.clone();
        async move { large }
    });
    let (node, _) = serve(builder().outbox(1000, 1 << 20), SocketIoOptions::new(), namespace).await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    for n in 0..600 {
        let message = tokio_tungstenite::tungstenite::Message::text(format!("42/n,{n}[\"large\"]"));
        client.socket.send(message).await.expect("the connection is open");
    }
    // Then it reads, and gets all of it.
    for n in 0..600 {
        let answer = client.text().await;
        assert!(answer.starts_with(&format!("43/n,{n}[\"xxx")), "{n}: {}", &answer[..40]);
    }
    assert_eq!(handled.load(Ordering::Relaxed), 600);
}

#[tokio::test]
async fn refusals_that_nobody_reads_do_not_pile_up() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    // Its kernel takes little, so that not reading shows soon.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut client = Packets::over(socket.connect(node.address).await.unwrap(), node.address, 4, "").await;
    let name = "n".repeat(200);
    // The server stops reading, so the client cannot go on.
    let mut stopped = false;
    for n in 0..2_000_000_u32 {
        let message = tokio_tungstenite::tungstenite::Message::text(format!("40/{name}{n},"));
        let feeding = client.socket.feed(message);
        stopped = tokio::time::timeout(Duration::from_secs(1), feeding).await.is_err();
        if stopped {
            break;
        }
    }
    assert!(stopped, "all of it was taken");
    assert_eq!(io.connections(), 1);
    drop(client);
    until("the connection to be gone", || io.connections() == 0).await;
}

#[tokio::test]
async fn a_slow_hook_holds_up_no_other_namespace() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    io.namespace("/slow", NamespaceOptions::new(), &node.server, |_| {
        std::future::pending::<Result<Identity, Refusal>>()
    });
    let mut client = Packets::open(node.address, 4, "&token=ann").await;
    client.say("40/slow,").await;
    client.say("40/n,").await;
    assert!(client.text().await.starts_with("40/n,{"));
    let _settings = client.text().await;
    client.still_there("/n").await;
}

#[tokio::test]
async fn limits_connections_and_namespaces() {
    let options = SocketIoOptions::new().max_connections(2).max_namespaces(1);
    let (node, io) = serve(builder(), options, NamespaceOptions::new()).await;
    io.namespace("/m", NamespaceOptions::new(), &node.server, |_| async { Ok(Identity::new(())) });
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    client.say("40/m,").await;
    assert_eq!(client.text().await, r#"44/m,{"message":"too many namespaces on one connection"}"#);
    let _second = Packets::open(node.address, 4, "").await;
    let third = tokensocket_tests::http::get(node.address, "/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(third.status, 503, "{}", third.body);
}

#[tokio::test]
async fn what_a_handler_does_not_finish_ends_with_its_socket() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&dropped);
    let namespace = NamespaceOptions::new().on("never", move |_: Socket, _| {
        let held = Dropped(Arc::clone(&counting));
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    });
    let quick = Duration::from_millis(100);
    let options = SocketIoOptions::new().ping_interval(quick).ping_timeout(quick);
    let (node, _) = serve(builder().max_calls_per_socket(10), options, namespace).await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    for _ in 0..20 {
        client.say("42/n,[\"never\"]").await;
    }
    // It is not listened to, and so not taken for alive.
    ends(&mut client).await;
    until("the handlers to be dropped", || dropped.load(Ordering::Relaxed) == 10).await;
    until("the socket to be gone", || node.server.sockets().is_empty()).await;
}

#[tokio::test]
async fn the_servers_end_waits_for_what_runs() {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let namespace = NamespaceOptions::new().on("soon", move |_: Socket, _| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            json!("done")
        }
    });
    let (node, _) = serve(builder(), SocketIoOptions::new(), namespace).await;
    let mut idle = Packets::join(node.address, 4, "/n", "token=bob").await;
    let mut client = Packets::join(node.address, 4, "/n", "token=ann").await;
    client.say("42/n,1[\"soon\"]").await;
    client.still_there("/n").await;
    let server = node.server.clone();
    let ending = tokio::spawn(async move { server.shutdown().await });
    // Who has nothing to do goes at once; then the server surely ends.
    ends(&mut idle).await;
    assert!(!ending.is_finished());
    gate.notify_one();
    assert_eq!(client.text().await, "43/n,1[\"done\"]");
    assert_eq!(client.next().await, Came::End);
    within("the end", ending).await.expect("it ends");
}

#[tokio::test]
async fn ends_the_connection_of_who_says_too_much_of_itself() {
    let options = SocketIoOptions::new().close_timeout(Duration::from_hours(1));
    let (node, _) = serve(builder(), options, NamespaceOptions::new()).await;
    let long = "x".repeat(17_000);
    for (protocol, hello) in
        [(3, format!("40/n?token={long},")), (4, format!("40/n,{{\"token\":\"{long}\"}}"))]
    {
        let mut client = Packets::open(node.address, protocol, "").await;
        client.say(&hello).await;
        ends(&mut client).await;
        assert!(node.server.sockets().is_empty());
    }
}

#[tokio::test]
async fn who_comes_to_a_server_that_ends_is_not_refused_for_good() {
    let (node, io) = serve(builder(), SocketIoOptions::new(), NamespaceOptions::new()).await;
    let ending =
        tokensocket_server::Server::builder().authenticate_anyone().build().expect("it can be built");
    io.namespace("/ending", NamespaceOptions::new(), &ending, |_| async {
        Ok(Identity::new(()).user("ann"))
    });
    ending.shutdown().await;
    for protocol in [3, 4] {
        let mut client = Packets::open(node.address, protocol, "").await;
        client.say("40/ending,").await;
        // No `44`: a client that is refused does not come back by itself.
        assert_eq!(client.next().await, Came::End);
    }
}

#[tokio::test]
async fn who_is_not_let_in_for_too_long_is_refused() {
    // Time enough to ask for a namespace.
    let options = SocketIoOptions::new().connect_timeout(Duration::from_millis(500));
    let (node, io) = serve(builder(), options, NamespaceOptions::new()).await;
    io.namespace("/hangs", NamespaceOptions::new(), &node.server, |_| std::future::pending());
    let mut client = Packets::open(node.address, 4, "").await;
    client.say("40/hangs,").await;
    assert_eq!(client.text().await, r#"44/hangs,{"message":"it took too long to find out who this is"}"#);
    ends(&mut client).await;
}
