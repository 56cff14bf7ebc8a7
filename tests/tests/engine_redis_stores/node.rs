//! A node that has device queues, what it hears of others, and how it ends without a word.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokensocket_server::{
    Appended, Arrival, Arrived, Device, DeviceHandler, DeviceStore, Message, NodeId, QueueLimits, Queued,
    RawJson, Redis, RedisDeviceStore, RedisOptions, Resync, Timestamp, To,
};
use tokensocket_tests::engine::Redis as Engine;
use tokensocket_tests::limit::within;
use tokio::sync::mpsc;

/// Short, so that dead nodes are found soon.
const LEASE: Duration = Duration::from_secs(1);

pub(crate) async fn connected(url: &str, namespace: &str) -> Redis {
    let options = RedisOptions::new().lease(LEASE);
    Redis::connect(url, options).await.unwrap().namespace(namespace).unwrap()
}

/// What a node was told of other nodes.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    Queued(Device, Queued, Option<String>),
    Resync(Device, Resync),
    Gap,
}

struct Ear(mpsc::UnboundedSender<Heard>);

impl DeviceHandler for Ear {
    fn handle_queued(&self, device: &Device, queued: &Queued, message: Option<&Message>) {
        let message = message.map(|message| format!("{} {}", message.event, message.args.as_str()));
        let _ = self.0.send(Heard::Queued(device.clone(), queued.clone(), message));
    }

    fn handle_resync(&self, device: &Device, resync: &Resync) {
        let _ = self.0.send(Heard::Resync(device.clone(), resync.clone()));
    }

    fn handle_gap(&self) {
        let _ = self.0.send(Heard::Gap);
    }
}

/// A node's store, and what it hears.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) store: RedisDeviceStore,
    pub(crate) heard: mpsc::UnboundedReceiver<Heard>,
    _ear: Arc<Ear>,
}

impl Node {
    pub(crate) async fn new(url: &str, namespace: &str) -> Self {
        Self::with(url, namespace, QueueLimits::default()).await
    }

    pub(crate) async fn with(url: &str, namespace: &str, limits: QueueLimits) -> Self {
        Self::of(connected(url, namespace).await.device_store(limits))
    }

    pub(crate) fn of(store: RedisDeviceStore) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let ear = Arc::new(Ear(tell));
        let handler: Weak<dyn DeviceHandler> = Arc::downgrade(&(Arc::clone(&ear) as Arc<dyn DeviceHandler>));
        let id = NodeId::random().unwrap();
        store.start(id, handler).unwrap();
        Self { id, store, heard, _ear: ear }
    }

    pub(crate) async fn arrive(&self, user: &str, id: &str) -> Arrived {
        self.arrive_for(user, id, Duration::from_mins(1)).await
    }

    pub(crate) async fn arrive_for(&self, user: &str, id: &str, ttl: Duration) -> Arrived {
        let arrival = Arrival { device: device(user, id), rooms: vec!["staff".into()], ttl };
        self.store.arrive(arrival, Timestamp::now()).await.unwrap()
    }

    pub(crate) async fn arrive_at(&self, user: &str, id: &str, now: Timestamp) -> Arrived {
        let arrival = Arrival { device: device(user, id), rooms: vec![], ttl: Duration::from_mins(1) };
        self.store.arrive(arrival, now).await.unwrap()
    }

    pub(crate) async fn append(&self, to: To, args: &str) -> Appended {
        self.store.append(to, message(args), Timestamp::now()).await.unwrap()
    }

    pub(crate) async fn held(&self, user: &str, id: &str) -> Vec<(u64, String)> {
        let entries = self.store.read(device(user, id), 0, usize::MAX, Timestamp::now()).await.unwrap();
        entries.iter().map(|entry| (entry.seq, entry.message.args.as_str().to_owned())).collect()
    }

    pub(crate) async fn hears(&mut self) -> Heard {
        within("another node's hint", self.heard.recv()).await.unwrap()
    }

    /// Waits until the node's topics are listened to: hints come through, and nothing else.
    pub(crate) async fn listens(&mut self, other: &Self) {
        self.arrive_for("nobody", "probe", Duration::ZERO).await;
        within("a first hint", async {
            loop {
                other.append(To::user("nobody"), "[]").await;
                let hint = tokio::time::timeout(Duration::from_millis(50), self.heard.recv()).await;
                if matches!(hint, Ok(Some(Heard::Queued(..)))) {
                    break;
                }
            }
        })
        .await;
        self.store.depart(device("nobody", "probe"), Timestamp::now()).await.unwrap();
        while self.heard.try_recv().is_ok() {}
    }
}

pub(crate) fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

pub(crate) fn message(args: &str) -> Message {
    Message { event: "e".into(), args: RawJson::from_text(args.to_owned()).unwrap(), resync: true, key: None }
}

/// A node's store with a lease that nobody renews within a test.
pub(crate) async fn quiet_node(url: &str, namespace: &str) -> Node {
    let options = RedisOptions::new().lease(Duration::from_hours(1));
    let redis = Redis::connect(url, options).await.unwrap().namespace(namespace).unwrap();
    Node::of(redis.device_store(QueueLimits::default()))
}

/// As if `node` had said nothing for as long as its lease, and the others had not been away.
pub(crate) async fn lease_ends(engine: &Engine, namespace: &str, node: NodeId) {
    lapses(engine, namespace, node).await;
    engine.command(&["DEL", &format!("ts:{namespace}:d:{{ts:{namespace}:d.0/1}}:w")]).await;
}

/// As if `node` had said nothing for as long as its lease.
pub(crate) async fn lapses(engine: &Engine, namespace: &str, node: NodeId) {
    let key = format!("ts:{namespace}:d:{{ts:{namespace}:d.0/1}}:n");
    let now = Timestamp::now().0.to_string();
    engine.command(&["ZADD", &key, "XX", &now, &node.to_string()]).await;
}

/// What a node that dies leaves behind: it neither departs nor says anything.
pub(crate) fn dies<T: Send + 'static>(run: impl AsyncFnOnce() -> T + Send + 'static) {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let left = runtime.block_on(async { run().await });
        drop(runtime);
        // Dropped, it would say that it ends.
        std::mem::forget(left);
    };
    std::thread::spawn(run).join().unwrap();
}
