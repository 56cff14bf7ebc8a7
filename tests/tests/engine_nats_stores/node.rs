//! A node that has device queues, and what it hears of others.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokensocket_server::{
    Acknowledge, Appended, Arrival, Arrived, Device, DeviceHandler, DeviceStore, Member, Message, Nats,
    NatsDeviceStore, NatsOptions, NatsReplicaOptions, NodeId, QueueLimits, Queued, RawJson, Resync,
    StoreError, Timestamp, To,
};
use tokensocket_tests::engine;
use tokensocket_tests::limit::within;

/// How long a store may take to be back after its server is.
pub(crate) const BACK: Duration = Duration::from_secs(30);

pub(crate) async fn connect(server: &engine::Nats, namespace: &str) -> Nats {
    let nats = Nats::connect(&server.url(), NatsOptions::new()).await.expect("a connection");
    nats.namespace(namespace)
}

pub(crate) fn device(user: &str, id: &str) -> Device {
    Device { user: user.into(), id: id.into() }
}

pub(crate) fn message(args: impl serde::Serialize) -> Message {
    Message { event: "e".into(), args: RawJson::new(&[args]).unwrap(), resync: false, key: None }
}

pub(crate) fn arrival(user: &str, id: &str) -> Arrival {
    Arrival { device: device(user, id), rooms: vec!["room".into()], ttl: Duration::from_hours(1) }
}

/// What a node heard of others.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) queued: Mutex<Vec<(Device, Queued, String)>>,
    pub(crate) resyncs: Mutex<Vec<(Device, Resync)>>,
    pub(crate) gaps: Mutex<usize>,
}

impl DeviceHandler for Heard {
    fn handle_queued(&self, device: &Device, queued: &Queued, message: Option<&Message>) {
        let args = message.map_or_else(String::new, |message| message.args.as_str().to_owned());
        self.queued.lock().unwrap().push((device.clone(), queued.clone(), args));
    }

    fn handle_resync(&self, device: &Device, resync: &Resync) {
        self.resyncs.lock().unwrap().push((device.clone(), resync.clone()));
    }

    fn handle_gap(&self) {
        *self.gaps.lock().unwrap() += 1;
    }
}

/// A node with a connection of its own.
pub(crate) struct Node {
    pub(crate) store: NatsDeviceStore,
    pub(crate) heard: Arc<Heard>,
}

impl Node {
    pub(crate) async fn new(server: &engine::Nats, namespace: &str) -> Self {
        Self::with(server, namespace, QueueLimits::default(), NatsReplicaOptions::new()).await
    }

    pub(crate) async fn with(
        server: &engine::Nats,
        namespace: &str,
        limits: QueueLimits,
        options: NatsReplicaOptions,
    ) -> Self {
        Self::at(&connect(server, namespace).await, limits, options)
    }

    /// One over this connection.
    pub(crate) fn at(nats: &Nats, limits: QueueLimits, options: NatsReplicaOptions) -> Self {
        let store = NatsDeviceStore::with(nats, limits, options);
        let heard = Arc::new(Heard::default());
        let handler = Arc::downgrade(&heard) as Weak<dyn DeviceHandler>;
        store.start(NodeId::random().unwrap(), handler).expect("it has no node yet");
        Self { store, heard }
    }

    pub(crate) async fn arrive(&self, user: &str, id: &str) -> Arrived {
        within("an arrival", self.store.arrive(arrival(user, id), Timestamp::now())).await.unwrap()
    }

    pub(crate) async fn append(&self, to: To, args: impl serde::Serialize) -> Result<Appended, StoreError> {
        self.store.append(to, message(args), Timestamp::now()).await
    }

    pub(crate) async fn read(&self, user: &str, id: &str) -> Vec<(u64, String)> {
        let entries =
            within("entries", self.store.read(device(user, id), 0, usize::MAX, Timestamp::now())).await;
        entries
            .unwrap()
            .into_iter()
            .map(|entry| (entry.seq, entry.message.args.as_str().to_owned()))
            .collect()
    }

    /// Waits until the node has seen what every other did before.
    pub(crate) async fn is_up_to_date(&self) {
        within("its own call", self.store.told(device("nobody", "x"), Vec::new())).await.unwrap();
    }
}

/// Where the log of devices begins.
pub(crate) async fn begins(server: &engine::Nats) -> u64 {
    let client = async_nats::connect(server.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    jetstream.get_stream("ts_site_devices").await.unwrap().cached_info().state.first_sequence
}

impl Node {
    /// Appends until the log begins behind this place, because of an image.
    pub(crate) async fn appends_until(&self, server: &engine::Nats, place: u64) {
        let appending = async {
            while begins(server).await <= place {
                self.append(To::user("ann"), "more").await.unwrap();
                let kept = self.read("ann", "phone").await.last().map_or(0, |(seq, _)| *seq);
                let last = Acknowledge::Through(kept.saturating_sub(3));
                self.store.acknowledge(device("ann", "phone"), last, Timestamp::now()).await.unwrap();
            }
        };
        tokio::time::timeout(BACK, appending).await.expect("an image, and a log that forgets what is in it");
    }
}

/// Calls until it succeeds: the server was away.
pub(crate) async fn eventually<R>(what: &str, call: impl AsyncFn() -> Result<R, StoreError>) -> R {
    let trying = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(BACK, trying).await.unwrap_or_else(|_| panic!("waited {BACK:?} for {what}"))
}

pub(crate) fn member(client: &str, user: Option<&str>) -> Member {
    Member {
        client: client.into(),
        user: user.map(Into::into),
        info: RawJson::null(),
        since: Timestamp::now(),
    }
}
