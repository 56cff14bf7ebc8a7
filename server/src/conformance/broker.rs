//! What every [`Broker`] owes, as tests.
//!
//! In: a way to make brokers, each without anything kept. Out: a panic that names the duty that is not done.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Pattern, Position, RawJson};

use crate::broker::{Broker, BrokerError, BrokerHandler, Control, Key, Publication, Publish, Published};
use crate::history::{History, HistoryPage, HistoryQuery};
use crate::node_id::NodeId;
use crate::timestamp::Timestamp;

/// The moment at which the suite begins.
pub(super) const START: Timestamp = Timestamp(1_700_000_000_000);

/// How long a broker may take to bring what was published.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs the whole suite, on a tokio runtime of several threads. `make` gives a broker that has kept nothing.
///
/// # Panics
///
/// When the broker does not do one of its duties.
pub async fn broker<B: Broker>(make: impl Fn() -> B) {
    comes_back_once_if_followed(Bench::new(make())).await;
    offsets_are_contiguous_and_positions_are_returned(Bench::new(make())).await;
    history_gives_what_was_accepted(Bench::new(make())).await;
    history_pages_both_ways(Bench::new(make())).await;
    history_is_bounded(Bench::new(make())).await;
    an_empty_channel_has_a_place(Bench::new(make())).await;
    a_key_is_one_publication(Bench::new(make())).await;
    what_is_published_together_keeps_its_order(Bench::new(make())).await;
    many_publishers_are_in_one_order(Bench::new(make())).await;
    one_key_from_many_is_one_publication(Bench::new(make())).await;
    what_the_handler_was_given_can_be_read(Bench::new(make())).await;
    broadcasts_and_controls_come_back(Bench::new(make())).await;
    a_pattern_is_followed_or_refused(Bench::new(make())).await;
    what_is_idle_is_forgotten_unless_followed(Bench::new(make())).await;
}

/// A node, as a broker sees it.
#[derive(Default)]
pub(super) struct Node {
    pub(super) came: Mutex<Vec<Publication>>,
    pub(super) broadcasts: Mutex<Vec<RawJson>>,
    pub(super) controls: Mutex<Vec<Control>>,
    pub(super) announcements: Mutex<Vec<(Channel, RawJson)>>,
    follows: Mutex<bool>,
    /// Reads whenever something comes.
    reads: Mutex<Option<Reads>>,
}

type Reads = Box<dyn Fn(&Publication) + Send + Sync>;

impl BrokerHandler for Node {
    fn handle_publication(&self, publication: &Publication) {
        self.came.lock().push(publication.clone());
        if let Some(reads) = &*self.reads.lock() {
            reads(publication);
        }
    }

    fn handle_broadcast(&self, message: &RawJson) {
        self.broadcasts.lock().push(message.clone());
    }

    fn handle_control(&self, control: Control) {
        self.controls.lock().push(control);
    }

    fn handle_announcement(&self, channel: &Channel, announcement: &RawJson) {
        self.announcements.lock().push((channel.clone(), announcement.clone()));
    }

    fn follows(&self, _: &Channel) -> bool {
        *self.follows.lock()
    }
}

/// A broker that has begun.
pub(super) struct Bench<B> {
    pub(super) broker: Arc<B>,
    pub(super) node: Arc<Node>,
}

pub(super) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap_or_else(|_| unreachable!("this name is fine"))
}

pub(super) fn kept() -> History {
    History::new(100, Duration::from_mins(1))
}

pub(super) fn publish(name: &str, message: u64, history: Option<History>) -> Publish {
    let message = RawJson::new(&message).unwrap_or_default();
    Publish { channel: channel(name), message, history, key: None, at: START }
}

pub(super) fn with_key(mut publish: Publish, key: &str) -> Publish {
    publish.key = Some(Key { text: key.into(), window: Duration::from_mins(1) });
    publish
}

pub(super) fn number(message: &RawJson) -> u64 {
    message.parse().unwrap_or(u64::MAX)
}

fn offsets(page: &HistoryPage) -> Vec<u64> {
    page.publications.iter().map(|kept| kept.offset).collect()
}

impl<B: Broker> Bench<B> {
    fn new(broker: B) -> Self {
        Self::of(broker, 1)
    }

    /// A node with this number.
    pub(super) fn of(broker: B, id: u64) -> Self {
        let node = Arc::new(Node::default());
        let handler = Arc::downgrade(&node) as Weak<dyn BrokerHandler>;
        assert!(broker.start(NodeId::from_number(id), handler).is_ok(), "a broker starts");
        Self { broker: Arc::new(broker), node }
    }

    pub(super) async fn follow(&self, name: &str) {
        let told = self.broker.subscribe(&channel(name)).await;
        assert!(told.is_ok(), "a channel can be followed: {told:?}");
    }

    pub(super) async fn publish(&self, publish: Publish) -> Published {
        match self.broker.publish(publish).await {
            Ok(published) => published,
            Err(error) => panic!("a publication is accepted: {error}"),
        }
    }

    /// Publishes numbers with history, and returns the last place.
    async fn fill(&self, name: &str, history: &History, upto: u64) -> Position {
        let mut last = None;
        for n in 1..=upto {
            last = self.publish(publish(name, n, Some(history.clone()))).await.position;
        }
        last.unwrap_or_else(|| panic!("a publication on a channel with history has a position"))
    }

    pub(super) async fn read_at(
        &self,
        name: &str,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> HistoryPage {
        match self.broker.history(&channel(name), history, query, now).await {
            Ok(page) => page,
            Err(error) => panic!("a history can be read: {error}"),
        }
    }

    async fn read(&self, name: &str, query: HistoryQuery) -> HistoryPage {
        self.read_at(name, &kept(), query, START).await
    }

    /// Waits until so many publications came, and a moment for one too many.
    pub(super) async fn came(&self, count: usize) -> Vec<Publication> {
        self.wait("publications", || self.node.came.lock().len() >= count).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let came = self.node.came.lock().clone();
        assert_eq!(came.len(), count, "each publication comes back once: {came:?}");
        came
    }

    pub(super) async fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "{what} did not come back");
    }
}

async fn comes_back_once_if_followed<B: Broker>(bench: Bench<B>) {
    bench.follow("a").await;
    bench.follow("a").await;
    for n in 1..=3 {
        let published = bench.publish(publish("a", n, None)).await;
        assert_eq!(published, Published::default(), "without history there is no position");
    }
    let came = bench.came(3).await;
    let numbers: Vec<_> = came.iter().map(|publication| number(&publication.message)).collect();
    assert_eq!(numbers, [1, 2, 3], "in order");
    assert!(came.iter().all(|publication| publication.position.is_none()));
    assert!(bench.broker.unsubscribe(&channel("a")).await.is_ok());
}

async fn offsets_are_contiguous_and_positions_are_returned<B: Broker>(bench: Bench<B>) {
    bench.follow("a").await;
    let last = bench.fill("a", &kept(), 5).await;
    assert_eq!(last.offset, 5, "offsets count from 1");
    for (n, publication) in (1..).zip(bench.came(5).await) {
        let place = Position { offset: n, ..last.clone() };
        assert_eq!((publication.position, number(&publication.message)), (Some(place), n));
    }
    let other = bench.fill("b", &kept(), 1).await;
    assert_eq!(other.offset, 1, "each channel counts by itself");
}

async fn history_gives_what_was_accepted<B: Broker>(bench: Bench<B>) {
    let last = bench.fill("a", &kept(), 10).await;
    let page = bench.read("a", HistoryQuery::default()).await;
    assert_eq!((page.position, page.gap, page.more), (last, false, false));
    for (n, kept) in (1..).zip(&page.publications) {
        assert_eq!((kept.offset, number(&kept.message), kept.at), (n, n, START));
    }
    assert_eq!(page.publications.len(), 10, "what nobody follows is kept as well");
}

async fn history_pages_both_ways<B: Broker>(bench: Bench<B>) {
    let last = bench.fill("a", &kept(), 10).await;
    let at = |offset| Some(Position { offset, ..last.clone() });
    let page = bench.read("a", HistoryQuery { since: at(7), limit: Some(2), reverse: false }).await;
    assert_eq!((offsets(&page), page.more, page.gap), (vec![8, 9], true, false));
    let page = bench.read("a", HistoryQuery { since: at(3), limit: Some(2), reverse: true }).await;
    assert_eq!((offsets(&page), page.more, page.gap), (vec![3, 2], true, false));
    let page = bench.read("a", HistoryQuery { since: at(10), limit: None, reverse: false }).await;
    assert_eq!((offsets(&page), page.more, page.gap), (vec![], false, false));
    let other = tokensocket_protocol::Epoch::new("of-nobody").ok();
    let other = other.map(|epoch| Position { epoch, offset: 3 });
    let page = bench.read("a", HistoryQuery { since: other, limit: None, reverse: false }).await;
    assert_eq!((page.publications.len(), page.gap), (10, true), "another epoch is a gap");
    let page = bench.read("a", HistoryQuery { since: at(11), limit: None, reverse: false }).await;
    assert!(page.gap, "so is a place that is still to come");
}

async fn history_is_bounded<B: Broker>(bench: Bench<B>) {
    let three = History::new(3, Duration::from_mins(1));
    let last = bench.fill("a", &three, 5).await;
    let page = bench.read_at("a", &three, HistoryQuery::default(), START).await;
    assert_eq!(offsets(&page), [3, 4, 5], "by count");
    let since = Some(Position { offset: 1, ..last.clone() });
    let page = bench.read_at("a", &three, HistoryQuery { since, ..HistoryQuery::default() }, START).await;
    assert_eq!((offsets(&page), page.gap), (vec![3, 4, 5], true), "and says what is missing");
    let late = START.after(Duration::from_millis(60_001));
    let page = bench.read_at("a", &three, HistoryQuery::default(), late).await;
    assert_eq!((offsets(&page), page.position), (vec![], last), "by age");
    let bytes = History::new(100, Duration::from_mins(1)).bytes(3 * 65);
    bench.fill("b", &bytes, 5).await;
    let page = bench.read_at("b", &bytes, HistoryQuery::default(), START).await;
    assert_eq!(offsets(&page), [3, 4, 5], "by bytes: one of each message, and 64 around it");
}

async fn an_empty_channel_has_a_place<B: Broker>(bench: Bench<B>) {
    let empty = bench.read("a", HistoryQuery::default()).await;
    assert_eq!((empty.position.offset, empty.publications.len()), (0, 0));
    let first = bench.fill("a", &kept(), 1).await;
    assert_eq!(first.epoch, empty.position.epoch, "and keeps its epoch");
    let since = Some(empty.position);
    let page = bench.read("a", HistoryQuery { since, ..HistoryQuery::default() }).await;
    assert_eq!((offsets(&page), page.gap), (vec![1], false));
}

async fn a_key_is_one_publication<B: Broker>(bench: Bench<B>) {
    bench.follow("a").await;
    bench.follow("b").await;
    let first = bench.publish(with_key(publish("a", 1, Some(kept())), "k")).await;
    assert!(!first.duplicate);
    let again = bench.publish(with_key(publish("a", 2, Some(kept())), "k")).await;
    assert_eq!((again.duplicate, again.position), (true, first.position), "at the place of the first");
    assert!(!bench.publish(with_key(publish("b", 3, Some(kept())), "k")).await.duplicate, "by channel");
    assert!(!bench.publish(with_key(publish("b", 4, None), "plain")).await.duplicate);
    assert!(bench.publish(with_key(publish("b", 5, None), "plain")).await.duplicate, "without history too");
    let mut late = with_key(publish("a", 6, Some(kept())), "k");
    late.at = START.after(Duration::from_secs(61));
    assert!(!bench.publish(late).await.duplicate, "within its window");
    let numbers: Vec<_> = bench.came(4).await.iter().map(|came| number(&came.message)).collect();
    assert_eq!(numbers.iter().filter(|n| [1, 3, 4, 6].contains(*n)).count(), 4, "{numbers:?}");
}

async fn what_is_published_together_keeps_its_order<B: Broker>(bench: Bench<B>) {
    const MANY: u64 = 1000;
    bench.follow("a").await;
    let history = History::new(2000, Duration::from_mins(1));
    // None of them waits for another.
    let together = (0..MANY).map(|n| bench.publish(publish("a", n, Some(history.clone()))));
    let published = join_all(together).await;
    for (n, published) in (0..MANY).zip(&published) {
        let offset = published.position.as_ref().map(|position| position.offset);
        assert_eq!(offset, Some(n + 1), "kept in the order in which they were begun");
    }
    let came = bench.came(usize::try_from(MANY).unwrap()).await;
    let numbers: Vec<_> = came.iter().map(|publication| number(&publication.message)).collect();
    assert_eq!(numbers, (0..MANY).collect::<Vec<_>>(), "and they come in it");
    bench.follow("plain").await;
    join_all((0..MANY).map(|n| bench.publish(publish("plain", n, None)))).await;
    let came = bench.came(2 * usize::try_from(MANY).unwrap()).await;
    let plain = came.iter().filter(|publication| publication.channel.as_str() == "plain");
    let numbers: Vec<_> = plain.map(|publication| number(&publication.message)).collect();
    assert_eq!(numbers, (0..MANY).collect::<Vec<_>>(), "without history, too");
}

async fn many_publishers_are_in_one_order<B: Broker>(bench: Bench<B>) {
    const PUBLISHERS: u64 = 4;
    const EACH: u64 = 50;
    bench.follow("a").await;
    let bench = Arc::new(bench);
    let history = History::new(1000, Duration::from_mins(1));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (bench, history) = (Arc::clone(&bench), history.clone());
            tokio::spawn(async move {
                let mut last = 0;
                for n in 0..EACH {
                    let one = publish("a", publisher * 1000 + n, Some(history.clone()));
                    let place = bench.publish(one).await.position.map_or(0, |position| position.offset);
                    assert!(place > last, "one publisher's own order is kept");
                    last = place;
                }
            })
        })
        .collect();
    for publisher in publishers {
        assert!(publisher.await.is_ok());
    }
    let came = bench.came(usize::try_from(PUBLISHERS * EACH).unwrap_or_default()).await;
    let page = bench.read_at("a", &history, HistoryQuery::default(), START).await;
    for (n, (came, kept)) in (1..).zip(came.iter().zip(&page.publications)) {
        let place = came.position.as_ref().map(|position| position.offset);
        assert_eq!((place, &came.message), (Some(n), &kept.message), "offsets, history and handler agree");
    }
}

async fn one_key_from_many_is_one_publication<B: Broker>(bench: Bench<B>) {
    bench.follow("a").await;
    let bench = Arc::new(bench);
    for round in 1..=10 {
        let publishers: Vec<_> = (0..8)
            .map(|n| {
                let bench = Arc::clone(&bench);
                let one = with_key(publish("a", n, Some(kept())), &format!("k{round}"));
                tokio::spawn(async move { bench.publish(one).await })
            })
            .collect();
        let mut fresh = 0;
        for publisher in publishers {
            let Ok(published) = publisher.await else { panic!("a publisher failed") };
            fresh += usize::from(!published.duplicate);
            assert_eq!(published.position.map(|position| position.offset), Some(round));
        }
        assert_eq!(fresh, 1, "one of those who publish with one key");
    }
    bench.came(10).await;
}

async fn what_the_handler_was_given_can_be_read<B: Broker>(bench: Bench<B>) {
    bench.follow("a").await;
    let runtime = tokio::runtime::Handle::current();
    let (reads, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    let broker = Arc::downgrade(&bench.broker);
    *bench.node.reads.lock() = Some(Box::new(move |publication| {
        let (Some(broker), publication) = (broker.upgrade(), publication.clone()) else { return };
        let reads = reads.clone();
        // Not here: a broker may hold the channel meanwhile.
        runtime.spawn(async move {
            let page = broker.history(&channel("a"), &kept(), HistoryQuery::default(), START).await;
            let offset = publication.position.map(|position| position.offset);
            let all = page.into_iter().flat_map(|page| page.publications);
            let _ = reads.send(all.into_iter().any(|kept| Some(kept.offset) == offset));
        });
    }));
    bench.fill("a", &kept(), 50).await;
    for _ in 0..50 {
        let outcome = tokio::time::timeout(LIMIT, outcomes.recv()).await;
        assert_eq!(outcome.ok().flatten(), Some(true), "what the handler was given can be read");
    }
}

async fn broadcasts_and_controls_come_back<B: Broker>(bench: Bench<B>) {
    assert!(bench.broker.broadcast(RawJson::null()).await.is_ok());
    assert!(bench.broker.control(Control::UnsubscribeAll(channel("a"))).await.is_ok());
    bench.wait("a broadcast", || bench.node.broadcasts.lock().len() == 1).await;
    bench.wait("a control message", || bench.node.controls.lock().len() == 1).await;
}

async fn a_pattern_is_followed_or_refused<B: Broker>(bench: Bench<B>) {
    let Ok(pattern) = Pattern::new("a.*") else { return };
    match bench.broker.subscribe_pattern(&pattern).await {
        Ok(()) => {
            bench.follow("a.x").await;
            bench.publish(publish("a.x", 1, Some(kept()))).await;
            bench.publish(publish("a.y", 2, None)).await;
            bench.came(2).await;
            assert!(bench.broker.unsubscribe_pattern(&pattern).await.is_ok());
        }
        Err(BrokerError::Unsupported(_)) => {}
        Err(error) => panic!("a pattern is followed, or refused as unsupported: {error}"),
    }
}

async fn what_is_idle_is_forgotten_unless_followed<B: Broker>(bench: Bench<B>) {
    let last = bench.fill("a", &kept(), 3).await;
    let later = START.after(Duration::from_secs(121));
    *bench.node.follows.lock() = true;
    bench.broker.expire(later);
    let page = bench.read_at("a", &kept(), HistoryQuery::default(), START).await;
    assert_eq!(page.position, last, "a channel that is followed is not forgotten");
    bench.broker.expire(later);
    *bench.node.follows.lock() = false;
    bench.broker.expire(later.after(Duration::from_secs(121)));
    let page = bench.read_at("a", &kept(), HistoryQuery::default(), later).await;
    let is_new = page.position.epoch != last.epoch && page.position.offset == 0;
    assert!(is_new || page.position == last, "a channel is forgotten as a whole, with its epoch");
}

#[cfg(test)]
mod tests {
    use crate::broker::MemoryBroker;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_memory_broker_does_its_duties() {
        super::broker(MemoryBroker::new).await;
    }
}
