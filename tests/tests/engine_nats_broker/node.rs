//! A node that publishes and follows, and what it was given.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, Gap, History, HistoryPage, HistoryQuery, Key, Nats,
    NatsBroker, NatsOptions, NodeId, Publication, Publish, Published, RawJson, Timestamp,
};
use tokio::time::timeout;

/// For what happens at once on a machine that does nothing else.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What a node was given.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) publications: Mutex<Vec<Publication>>,
    pub(crate) announcements: Mutex<Vec<(Channel, RawJson)>>,
    pub(crate) controls: Mutex<Vec<Control>>,
    pub(crate) gaps: Mutex<Vec<Gap>>,
}

impl BrokerHandler for Heard {
    fn handle_publication(&self, publication: &Publication) {
        self.publications.lock().unwrap().push(publication.clone());
    }

    fn handle_broadcast(&self, _: &RawJson) {}

    fn handle_control(&self, control: Control) {
        self.controls.lock().unwrap().push(control);
    }

    fn handle_announcement(&self, channel: &Channel, announcement: &RawJson) {
        self.announcements.lock().unwrap().push((channel.clone(), announcement.clone()));
    }

    fn handle_gap(&self, gap: Gap) {
        self.gaps.lock().unwrap().push(gap);
    }

    fn follows(&self, _: &Channel) -> bool {
        true
    }
}

/// A node with a connection of its own.
pub(crate) struct Node {
    pub(crate) nats: Nats,
    pub(crate) broker: NatsBroker,
    pub(crate) heard: Arc<Heard>,
    pub(crate) id: NodeId,
}

impl Node {
    pub(crate) async fn new(url: &str) -> Self {
        Self::with(url, NatsOptions::new()).await
    }

    pub(crate) async fn with(url: &str, options: NatsOptions) -> Self {
        Self::on(Nats::connect(url, options).await.expect("a connection"))
    }

    pub(crate) fn on(nats: Nats) -> Self {
        let (broker, heard, id) =
            (NatsBroker::new(&nats), Arc::new(Heard::default()), NodeId::random().unwrap());
        broker.start(id, Arc::downgrade(&heard) as Weak<dyn BrokerHandler>).expect("a broker starts");
        Self { nats, broker, heard, id }
    }

    pub(crate) async fn follow(&self, name: &str) {
        self.broker.subscribe(&channel(name)).await.expect("a channel can be followed");
    }

    pub(crate) async fn publish(&self, name: &str, n: u64) -> Result<Published, BrokerError> {
        self.broker.publish(publish(name, n, Some(kept()))).await
    }

    pub(crate) async fn read(&self, name: &str) -> HistoryPage {
        let query = HistoryQuery::default();
        self.broker.history(&channel(name), &kept(), query, Timestamp::now()).await.expect("a history")
    }

    pub(crate) async fn came(&self, count: usize) -> Vec<Publication> {
        until("publications", || self.heard.publications.lock().unwrap().len() >= count).await;
        self.heard.publications.lock().unwrap().clone()
    }

    /// Whether its server is one that is asked to purge what a channel does not need.
    pub(crate) fn purges(&self) -> bool {
        let version = self.nats.status().version.unwrap_or_default();
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
        (numbers.next(), numbers.next()) >= (Some(2), Some(10))
    }

    pub(crate) fn is_there(&self) -> bool {
        self.nats.status().away.is_none()
    }
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("{what} did not come"));
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(crate) fn kept() -> History {
    History::new(10_000, Duration::from_mins(10)).bytes(16 << 20)
}

pub(crate) fn publish(name: &str, n: u64, history: Option<History>) -> Publish {
    Publish {
        channel: channel(name),
        message: RawJson::new(&n).unwrap(),
        history,
        key: None,
        at: Timestamp::now(),
    }
}

pub(crate) fn with_key(mut publish: Publish, key: &str) -> Publish {
    publish.key = Some(Key { text: key.into(), window: Duration::from_mins(1) });
    publish
}

pub(crate) fn number(message: &RawJson) -> u64 {
    message.parse().unwrap()
}

pub(crate) fn numbers(publications: &[Publication]) -> Vec<u64> {
    publications.iter().map(|publication| number(&publication.message)).collect()
}

pub(crate) fn offset(published: &Published) -> u64 {
    published.position.as_ref().map_or(0, |position| position.offset)
}
