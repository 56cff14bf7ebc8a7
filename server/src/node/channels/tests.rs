//! Many who publish, come, go and come back at once: each client has everything since it first came, once and in
//! order, whatever its format, with few followers and with very many, with a filter, and with a broker whose
//! publications come late.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use rand::Rng;
use tokensocket_protocol::command::subscribe::{Joined, subscribed_by_server};
use tokensocket_protocol::{Channel, Epoch, Position, RawJson};
use tokio::sync::mpsc;

use super::super::Node;
use crate::access::Filtered;
use crate::broker::{Broker, BrokerError, BrokerHandler, Control, Publication, Publish, Published};
use crate::builder::ServerBuilder;
use crate::channels::ChannelOptions;
#[cfg(feature = "embedded")]
use crate::embedded::{Durability, EmbeddedOptions, EmbeddedStore};
use crate::format::Format;
use crate::history::log::Log;
use crate::history::{History, HistoryPage, HistoryQuery, Kept};
use crate::node_id::NodeId;
use crate::server::Server;
use crate::socket::Socket;
use crate::timestamp::Timestamp;

const PUBLISHERS: u64 = 3;
/// How many publications of each publisher; on a large channel, with many followers, fewer.
const MANY: u64 = 400;
const FEW: u64 = 100;

fn channel() -> Channel {
    Channel::new("c").unwrap_or_else(|_| unreachable!("this name is fine"))
}

fn builder() -> ServerBuilder {
    let history = History::new(100_000, Duration::from_hours(1)).bytes(1 << 29);
    Server::builder()
        .authenticate_anyone()
        .channels("c", ChannelOptions::new().history(history))
        .outbox(1 << 20, 1 << 30)
}

/// What waits for a socket, as text without the quoting of SockJS.
fn text(socket: &Socket) -> String {
    let mut bytes = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let flushed = socket.outbox().poll_flush(&mut cx, |some, _| {
        bytes.extend_from_slice(some);
        Poll::Ready(Ok(some.len()))
    });
    assert!(flushed.is_ready());
    String::from_utf8_lossy(&bytes).replace('\\', "")
}

/// The numbers behind a name, in order.
fn numbers(text: &str, name: &str) -> Vec<u64> {
    let number = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    text.split(name).skip(1).filter_map(number).collect()
}

/// A client that comes and goes.
#[derive(Default)]
struct Client {
    /// Where it stands.
    position: Option<Position>,
    /// Where it began.
    from: u64,
    got: Vec<u64>,
}

impl Client {
    /// Comes, stays a while, and goes again.
    async fn visit(&mut self, node: &Arc<Node>, format: Format, stay: usize) {
        let socket = node.open(None, format, None);
        let mut confirm = |joined: &Joined<'_>| subscribed_by_server(&channel(), joined).into();
        let told = node.subscribe(&socket, &channel(), self.position.as_ref(), &mut confirm).await;
        assert!(matches!(told, Ok(None)), "{told:?}");
        for _ in 0..stay {
            tokio::task::yield_now().await;
        }
        node.unsubscribe(&socket, &channel());
        self.take(&text(&socket));
        node.close(&socket);
    }

    /// Takes in what came during a visit: the confirmation, what was missed, what came live.
    fn take(&mut self, text: &str) {
        let epoch = text.split("\"epoch\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let place = numbers(text.split("\"epoch\"").nth(1).unwrap_or_default(), "\"offset\":");
        let epoch = epoch.and_then(|epoch| Epoch::new(epoch).ok());
        let (Some(epoch), Some(place)) = (epoch, place.first()) else { panic!("no place in {text}") };
        let came = numbers(text, "\"message\":");
        match &self.position {
            None => self.from = *place,
            Some(_) => assert!(text.contains("\"recovered\":true"), "{text}"),
        }
        self.got.extend(came);
        self.position = Some(Position { epoch, offset: self.from + self.got.len() as u64 });
    }

    /// Compares with what the channel kept.
    fn check(&self, all: &[u64]) {
        let from = usize::try_from(self.from).unwrap_or_default();
        assert_eq!(self.got, all[from..], "since {from}");
    }
}

/// Publishers and clients at once, beside followers who stay.
async fn storm(builder: ServerBuilder, staying: usize, each: u64) {
    let Ok(server) = builder.build() else { panic!("the server can be built") };
    let node = Arc::clone(server.node());
    let formats = |n: usize| {
        let mut native = Format::ALL.iter().filter(|format| format.dialect().is_native()).cycle();
        native.nth(n).copied().unwrap_or(Format::Raw)
    };
    let mut all = Vec::new();
    for n in 0..staying {
        let socket = node.open(None, formats(n), None);
        let mut confirm = |joined: &Joined<'_>| subscribed_by_server(&channel(), joined).into();
        assert!(node.subscribe(&socket, &channel(), None, &mut confirm).await.is_ok());
        all.push(socket);
    }
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            for n in 0..each {
                let message = RawJson::new(&(publisher * 10_000 + n)).unwrap_or_default();
                assert!(node.publish(channel(), message, None).await.is_ok());
                if n % 8 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let clients = (0..12).map(|n| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let mut client = Client::default();
            for visit in 0..40 {
                let stay = rand::rng().random_range(0..20);
                client.visit(&node, formats(n + visit), stay).await;
            }
            client
        })
    });
    let clients: Vec<_> = clients.collect();
    for publisher in publishers {
        assert!(publisher.await.is_ok());
    }
    let query = HistoryQuery::default();
    let Ok(page) = node.history(&channel(), query).await else { panic!("the history can be read") };
    let kept: Vec<u64> = page.publications.iter().filter_map(|kept| kept.message.parse().ok()).collect();
    assert_eq!(kept.len() as u64, PUBLISHERS * each);
    for client in clients {
        let Ok(mut client) = client.await else { panic!("a client failed") };
        client.visit(&node, Format::Raw, 0).await;
        client.check(&kept);
    }
    // What came late is handed out once the last one has read it; large channels are served by tasks.
    while all.iter().any(|socket| socket.outbox().take_signal().is_some()) {}
    tokio::time::sleep(Duration::from_millis(50)).await;
    for socket in all {
        let mut client = Client::default();
        client.take(&text(&socket));
        client.check(&kept);
    }
}

#[tokio::test]
async fn who_subscribes_again_as_the_channel_becomes_large_gets_each_publication_once() {
    let Ok(server) = builder().build() else { panic!("the server can be built") };
    let node = Arc::clone(server.node());
    let mut sockets = Vec::new();
    for _ in 1..1024 {
        let socket = node.open(None, Format::Raw, None);
        sockets.push(socket);
    }
    let again = sockets[0].clone();
    for socket in sockets.iter().chain([&again]) {
        let mut confirm = |joined: &Joined<'_>| subscribed_by_server(&channel(), joined).into();
        assert!(node.subscribe(socket, &channel(), None, &mut confirm).await.is_ok());
    }
    let publish = async |n: u64| node.publish(channel(), RawJson::new(&n).unwrap_or_default(), None).await;
    assert!(publish(7).await.is_ok());
    assert_eq!(numbers(&text(&again), "\"message\":"), [7]);
    for socket in &sockets {
        node.unsubscribe(socket, &channel());
    }
    let _left = text(&again);
    assert!(publish(8).await.is_ok());
    assert!(numbers(&text(&again), "\"message\":").is_empty());
    assert!(node.channels().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_on_a_small_channel() {
    storm(builder(), 3, MANY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_on_a_channel_of_several_parts() {
    storm(builder(), 1500, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_through_a_filter() {
    storm(builder().filter(|_, _, _| Filtered::Keep), 3, MANY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_through_a_filter_on_a_channel_of_several_parts() {
    storm(builder().filter(|_, _, message| Filtered::Replace(message.clone())), 1200, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_where_the_oldest_may_be_dropped() {
    storm(builder().drop_oldest_on(|_| true), 3, MANY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_when_publications_come_late() {
    storm(builder().broker(LateBroker::default()), 3, MANY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_when_publications_come_late_through_a_filter() {
    storm(builder().broker(LateBroker::default()).filter(|_, _, _| Filtered::Keep), 3, MANY).await;
}

#[cfg(feature = "embedded")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_nothing_comes_twice_with_the_embedded_store() {
    let folder = tempfile::tempdir();
    let folder = folder.as_ref().map(|folder| folder.path().join("store"));
    let Ok(folder) = folder else { panic!("there is room for a folder") };
    let opened = EmbeddedStore::open(folder, EmbeddedOptions::new().durability(Durability::Written));
    let Ok((store, _)) = opened else { panic!("the store can be opened: {:?}", opened.err()) };
    storm(builder().broker(store.broker()), 3, FEW).await;
}

/// A broker that hands publications on a while after they were accepted, and whose history takes a while to read.
#[derive(Default)]
struct LateBroker {
    log: Arc<Mutex<Option<Log<RawJson>>>>,
    late: Mutex<Option<mpsc::UnboundedSender<Publication>>>,
}

impl LateBroker {
    fn with<R>(
        log: &Mutex<Option<Log<RawJson>>>,
        history: &History,
        work: impl FnOnce(&mut Log<RawJson>) -> R,
    ) -> R {
        let new = || Log::new(Epoch::from_random(7), history.clone(), Timestamp(0));
        work(log.lock().get_or_insert_with(new))
    }
}

impl Broker for LateBroker {
    fn start(&self, _: NodeId, handler: std::sync::Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        let (sender, mut late) = mpsc::unbounded_channel::<Publication>();
        *self.late.lock() = Some(sender);
        tokio::spawn(async move {
            while let Some(publication) = late.recv().await {
                if rand::rng().random_bool(0.2) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let Some(handler) = handler.upgrade() else { return };
                handler.handle_publication(&publication);
            }
        });
        Ok(())
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let Publish { channel, message, history, at, .. } = publish;
        let Some(history) = history else { return ready(Ok(Published::default())).boxed() };
        let position = Self::with(&self.log, &history, |log| {
            log.append(at, message.clone(), 1, &history);
            let position = log.position();
            let publication = Publication { channel, message, position: Some(position.clone()) };
            if let Some(late) = &*self.late.lock() {
                let _ = late.send(publication);
            }
            position
        });
        ready(Ok(Published { position: Some(position), duplicate: false })).boxed()
    }

    fn history(
        &self,
        _: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        let (log, history) = (Arc::clone(&self.log), history.clone());
        async move {
            tokio::task::yield_now().await;
            let page = Self::with(&log, &history, |log| {
                let selection = log.select(&query, now);
                let kept = |offset| {
                    log.get(offset).map(|item| Kept { offset, message: item.message.clone(), at: item.at })
                };
                HistoryPage {
                    publications: selection.offsets().filter_map(kept).collect(),
                    position: selection.position,
                    gap: selection.gap,
                    more: selection.more,
                }
            });
            tokio::task::yield_now().await;
            Ok(page)
        }
        .boxed()
    }

    fn broadcast(&self, _: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn control(&self, _: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn subscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        async {
            tokio::task::yield_now().await;
            Ok(())
        }
        .boxed()
    }

    fn unsubscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }
}
