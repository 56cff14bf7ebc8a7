//! Answers of Redis that do not come: what was done all the same is told, and is not said to be undone.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_server::{
    Arrival, Broker, BrokerError, Channel, Device, DeviceHandler, DeviceStore, History, Key, Message, NodeId,
    Publish, QueueLimits, Queued, RawJson, Redis, RedisOptions, Resync, StoreError, Timestamp, To,
};
use tokensocket_tests::engine;
use tokensocket_tests::limit::within;
use tokensocket_tests::node::listen;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Between a node and Redis: withholds one answer.
struct Withholder {
    address: SocketAddr,
    /// What the command has in it whose answer is withheld.
    command: Arc<Mutex<Option<&'static str>>>,
    /// Whether connections are let through; not from the moment on at which an answer was withheld.
    is_open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Withholder {
    async fn start(target: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let (command, is_open) = (Arc::default(), watch::Sender::new(true));
        let (of, opened) = (Arc::clone(&command), is_open.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, target, Arc::clone(&of), opened.clone()));
            }
        });
        Self { address, command, is_open, task }
    }

    fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The connection ends on which this command was sent, when it is answered.
    fn withhold(&self, command: &'static str) {
        *self.command.lock().unwrap() = Some(command);
    }

    /// Waits until an answer was withheld.
    async fn withheld(&self) {
        let mut opened = self.is_open.subscribe();
        within("an answer to withhold", opened.wait_for(|is_open| !is_open)).await.unwrap();
    }

    fn open(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Withholder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether this has the command in it whose answer is withheld, which happens once.
fn is_sent(command: &Mutex<Option<&'static str>>, bytes: &[u8]) -> bool {
    let mut command = command.lock().unwrap();
    let is_sent = command.is_some_and(|command| String::from_utf8_lossy(bytes).contains(command));
    if is_sent {
        *command = None;
    }
    is_sent
}

async fn forward(
    mut client: TcpStream,
    target: SocketAddr,
    command: Arc<Mutex<Option<&'static str>>>,
    is_open: watch::Sender<bool>,
) {
    let mut opened = is_open.subscribe();
    if opened.wait_for(|is_open| *is_open).await.is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut withholds = false;
    loop {
        tokio::select! {
            biased;
            Ok(count) = client.read(&mut up) => {
                withholds |= is_sent(&command, &up[..count]);
                if count == 0 || server.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            Ok(count) = server.read(&mut down) => {
                if withholds {
                    is_open.send_replace(false);
                    return;
                }
                if count == 0 || client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

struct Ear(mpsc::UnboundedSender<()>);

impl DeviceHandler for Ear {
    fn handle_queued(&self, _: &Device, _: &Queued, _: Option<&Message>) {}

    fn handle_resync(&self, _: &Device, _: &Resync) {}

    fn handle_gap(&self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_node_is_told_of_a_page_whose_answer_did_not_come() {
    const DEVICES: usize = 1_500;
    let engine = engine::Redis::start().await;
    let between = Withholder::start(engine.address).await;
    let redis = Redis::connect(&between.url(), RedisOptions::new()).await.unwrap();
    let store = redis.namespace("page").unwrap().device_store(QueueLimits::default());
    let (tell, mut gaps) = mpsc::unbounded_channel();
    let ear = Arc::new(Ear(tell));
    let weak: Weak<Ear> = Arc::downgrade(&ear);
    store.start(NodeId::from_number(1), weak).unwrap();
    let arriving = (0..DEVICES).map(|n| {
        let device = Device { user: n.to_string().into(), id: "phone".into() };
        let arrival = Arrival { device, rooms: vec![], ttl: Duration::from_mins(1) };
        store.arrive(arrival, Timestamp::now())
    });
    for arrived in join_all(arriving.collect::<Vec<_>>()).await {
        arrived.unwrap();
    }
    while gaps.try_recv().is_ok() {}
    let args = RawJson::from_text(r#"["withhold"]"#.to_owned()).unwrap();
    let message = Message { event: "e".into(), args, resync: true, key: Some("key".into()) };
    between.withhold("withhold");
    let appending = store.append(To::everyone(), message, Timestamp::now());
    let opening = async {
        between.withheld().await;
        between.open();
    };
    let (appended, ()) = within("an outcome", futures_util::future::join(appending, opening)).await;
    let appended = appended.unwrap();
    assert_eq!((appended.queued.len(), appended.duplicate), (DEVICES - 1_000, false), "of the second page");
    within("a gap: the devices of the first page are to be looked at", gaps.recv()).await.unwrap();
    let last = Device { user: "0".into(), id: "phone".into() };
    assert_eq!(store.read(last, 0, 10, Timestamp::now()).await.unwrap().len(), 1, "each has it once");
}

#[tokio::test]
async fn a_publication_that_was_done_is_not_said_to_be_refused() {
    let engine = engine::Redis::start().await;
    let between = Withholder::start(engine.address).await;
    let broker = Redis::connect(&between.url(), RedisOptions::new()).await.unwrap().broker();
    let publication = || Publish {
        channel: Channel::new("news").unwrap(),
        message: RawJson::from_text(r#""withhold""#.to_owned()).unwrap(),
        history: Some(History::new(10, Duration::from_hours(1))),
        key: Some(Key { text: "key".into(), window: Duration::from_mins(5) }),
        at: Timestamp::now(),
    };
    between.withhold("withhold");
    let publishing = broker.publish(publication());
    let filling = async {
        between.withheld().await;
        engine.fill().await;
        between.open();
    };
    let (published, ()) = within("an outcome", futures_util::future::join(publishing, filling)).await;
    assert!(matches!(published, Err(BrokerError::Store(StoreError::Timeout))), "it may be: {published:?}");
    engine.empty().await;
    assert!(broker.publish(publication()).await.unwrap().duplicate, "and it was");
}
