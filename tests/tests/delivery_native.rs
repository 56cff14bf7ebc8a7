//! Deliveries to the native client: each handed over once and in order, whatever becomes of its connections.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokensocket_client::{Builder, TokenSocket};
use tokensocket_server::{DeliverOptions, QueueLimits, Server, To};
use tokensocket_tests::device::builder;
use tokensocket_tests::gate::GatedStore;
use tokensocket_tests::limit::until;
use tokensocket_tests::native::{becomes_ready, connected};
use tokensocket_tests::node::Node;
use tokensocket_tests::proxy::Proxy;

fn device(address: std::net::SocketAddr) -> Builder {
    TokenSocket::builder(format!("http://{address}")).authentication(&json!({ "user": "8" })).device("phone")
}

/// What a client's handler was given.
#[derive(Clone, Default)]
struct Handed(Arc<Mutex<Vec<u64>>>);

impl Handed {
    fn listen(socket: &TokenSocket) -> Self {
        let handed = Self::default();
        let to = handed.clone();
        // It stays as long as the client does.
        let _ = socket.on_delivery("e", move |(n,): (u64,)| {
            let to = to.clone();
            async move {
                tokio::task::yield_now().await;
                to.0.lock().unwrap().push(n);
                Ok::<_, String>(())
            }
        });
        handed
    }

    fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

async fn deliver(server: &Server, n: u64) {
    server.deliver(To::user("8"), "e", (n,), DeliverOptions::new().resync(true)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_is_handled_once_and_in_order_although_connections_break() {
    const MESSAGES: u64 = 400;
    let store = GatedStore::default();
    let node = Node::start(builder().device_store(store.clone())).await;
    let proxy = Proxy::start(node.address).await;
    let socket = connected(device(proxy.address)).await;
    let handed = Handed::listen(&socket);
    until("the device to arrive", || store.devices() == 1).await;
    for n in 0..MESSAGES {
        deliver(&node.server, n).await;
        if n % 40 == 20 {
            proxy.cut_all();
        }
        if n % 40 == 39 {
            becomes_ready(&socket).await;
        }
    }
    until("everything to be handled", || handed.all().len() as u64 >= MESSAGES).await;
    until("everything to be acknowledged", || store.entries() == 0).await;
    assert_eq!(handed.all(), (0..MESSAGES).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_queue_reaches_the_application_as_a_resync() {
    let store = GatedStore::new(QueueLimits { count: 3, ..QueueLimits::default() });
    let node = Node::start(builder().device_store(store.clone())).await;
    drop(connected(device(node.address)).await);
    until("the device to depart", || store.counts() == (1, 1)).await;
    for n in 0..5 {
        deliver(&node.server, n).await;
    }
    let socket = device(node.address).connect().unwrap();
    let handed = Handed::listen(&socket);
    let resyncs = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&resyncs);
    let _ = socket.on_resync(move |resync| {
        to.lock().unwrap().push(resync.reason.as_str());
        async { Ok::<_, String>(()) }
    });
    until("the rest to be handled", || handed.all() == [4]).await;
    assert_eq!(*resyncs.lock().unwrap(), ["overflow"]);
    until("the rest to be acknowledged", || store.entries() == 0).await;
    drop(socket);
    // It is not told again.
    let socket = connected(device(node.address)).await;
    let handed = Handed::listen(&socket);
    deliver(&node.server, 5).await;
    until("the next to be handled", || handed.all() == [5]).await;
    assert_eq!(resyncs.lock().unwrap().len(), 1);
    tokio::time::timeout(Duration::from_secs(5), socket.end()).await.unwrap();
}
