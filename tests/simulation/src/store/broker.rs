//! A broker of one node whose history is on a simulated disk: what is published is written first, and takes effect when
//! it is synced, in the order in which it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use parking_lot::Mutex;
use tokensocket_server::keys::{KeyName, Keys, MAX_KEYS};
use tokensocket_server::log::Log;
use tokensocket_server::{
    Broker, BrokerError, BrokerHandler, Channel, Control, Epoch, History, HistoryPage, HistoryQuery,
    Kept as KeptPublication, NodeId, Pattern, Position, Publication, Publish, Published, RawJson, Timestamp,
};
use tokio::sync::oneshot;

use super::disk::{Mount, Record};

/// What is kept: not what came of it, which follows from the order.
#[derive(Clone)]
pub(crate) enum Kept {
    /// A channel begins.
    Begun { channel: Channel, epoch: Epoch, history: History, at: Timestamp },
    /// Something is published on it.
    Published(Publish),
    /// It is forgotten.
    Forgotten(Channel),
}

/// Publishes on this node, and keeps history on a disk.
#[derive(Clone)]
pub(crate) struct DiskBroker(Arc<Inner>);

struct Inner {
    mount: Mount,
    handler: OnceLock<Weak<dyn BrokerHandler>>,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    logs: BTreeMap<Channel, Log<RawJson>>,
    /// Channels whose beginning was written, and not synced yet.
    beginning: BTreeMap<Channel, Epoch>,
    /// Channels whose end was written, and not synced yet.
    ending: BTreeSet<Channel>,
    keys: Keys,
}

impl State {
    /// What a record does. Gives what is to be handed to the node.
    fn apply(&mut self, kept: Kept) -> Option<(Published, Option<Publication>)> {
        match kept {
            Kept::Begun { channel, epoch, history, at } => {
                self.beginning.remove(&channel);
                self.logs.entry(channel).or_insert_with(|| Log::new(epoch, history, at));
                None
            }
            Kept::Forgotten(channel) => {
                self.ending.remove(&channel);
                self.logs.remove(&channel);
                None
            }
            Kept::Published(Publish { channel, message, history, key, at }) => {
                let name =
                    key.as_ref().map(|key| KeyName { channel: channel.clone(), text: key.text.clone() });
                if let Some(position) = name.and_then(|name| self.keys.find(&name, at)) {
                    return Some((Published { position, duplicate: true }, None));
                }
                let position = history.zip(self.logs.get_mut(&channel)).map(|(history, log)| {
                    let bytes = message.as_bytes().len();
                    let offset = log.append(at, message.clone(), bytes, &history).offset;
                    Position { offset, ..log.position() }
                });
                if let Some(key) = key {
                    // Looked for room before it was written.
                    let _ = self.keys.remember(&channel, &key, position.clone(), at);
                }
                let published = Published { position: position.clone(), duplicate: false };
                Some((published, Some(Publication { channel, message, position })))
            }
        }
    }
}

impl DiskBroker {
    /// Opens what is on the disk. Gives all that was ever published with history, in order.
    pub(crate) fn open(mount: Mount, random: fastrand::Rng) -> (Self, BTreeMap<Channel, Vec<RawJson>>) {
        let (logs, beginning, ending) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut state = State { random, logs, beginning, ending, keys: Keys::new(MAX_KEYS) };
        let mut published: BTreeMap<Channel, Vec<RawJson>> = BTreeMap::new();
        for record in mount.records() {
            if let Record::Channel(kept) = record
                && let Some((_, Some(publication))) = state.apply(kept)
                && publication.position.is_some()
            {
                published.entry(publication.channel).or_default().push(publication.message);
            }
        }
        (Self(Arc::new(Inner { mount, handler: OnceLock::new(), state: Mutex::new(state) })), published)
    }

    fn deliver(&self, to: impl FnOnce(&dyn BrokerHandler)) {
        if let Some(handler) = self.0.handler.get().and_then(Weak::upgrade) {
            to(&*handler);
        }
    }

    /// Writes a record; when it is synced, does what it says, then tells the node, then `then`.
    fn keep(&self, kept: Kept, then: impl FnOnce(Option<Published>) + Send + 'static) {
        let broker = self.clone();
        self.0.mount.write(vec![Record::Channel(kept.clone())], move || {
            let applied = broker.0.state.lock().apply(kept);
            let (published, publication) = applied.unzip();
            if let Some(publication) = publication.flatten() {
                broker.deliver(|handler| handler.handle_publication(&publication));
            }
            then(published);
        });
    }

    /// Sees to it that a channel with history has begun when what is written next takes effect.
    fn begin(&self, channel: &Channel, history: &History, at: Timestamp) {
        let state = &mut *self.0.state.lock();
        let is_there = state.logs.contains_key(channel) && !state.ending.contains(channel);
        if !is_there && !state.beginning.contains_key(channel) {
            let epoch = Epoch::from_random(state.random.u64(..));
            state.beginning.insert(channel.clone(), epoch.clone());
            let kept = Kept::Begun { channel: channel.clone(), epoch, history: history.clone(), at };
            self.keep(kept, |_| {});
        }
    }
}

/// Resolves to what is sent; never, when the process has ended.
fn answer<R: Send + 'static>(done: oneshot::Receiver<R>) -> BoxFuture<'static, Result<R, BrokerError>> {
    async move {
        match done.await {
            Ok(result) => Ok(result),
            Err(_) => pending().await,
        }
    }
    .boxed()
}

impl Broker for DiskBroker {
    fn has_others(&self) -> bool {
        false
    }

    fn start(&self, _: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        let started = self.0.handler.set(handler);
        started.map_err(|_| BrokerError::Unavailable("a broker serves one server".to_owned()))
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        if publish.history.is_none() && publish.key.is_none() {
            let applied = self.0.state.lock().apply(Kept::Published(publish));
            let (published, publication) = applied.unzip();
            if let Some(publication) = publication.flatten() {
                self.deliver(|handler| handler.handle_publication(&publication));
            }
            return ready(Ok(published.unwrap_or_default())).boxed();
        }
        if let Err(error) = self.0.mount.check() {
            return ready(Err(error.into())).boxed();
        }
        if publish.key.is_some() {
            let keys = &mut self.0.state.lock().keys;
            if !keys.has_room() {
                keys.expire(publish.at);
            }
            if !keys.has_room() {
                return ready(Err(BrokerError::TooMany("keys"))).boxed();
            }
        }
        if let Some(history) = &publish.history {
            self.begin(&publish.channel, history, publish.at);
        }
        let (told, done) = oneshot::channel();
        self.keep(Kept::Published(publish), move |published| {
            // Whoever waited may have given up.
            let _ = told.send(published.unwrap_or_default());
        });
        answer(done)
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        let is_there = {
            let state = self.0.state.lock();
            state.logs.contains_key(channel) && !state.ending.contains(channel)
        };
        if !is_there {
            if let Err(error) = self.0.mount.check() {
                return ready(Err(error.into())).boxed();
            }
            self.begin(channel, history, now);
        }
        let (told, done) = oneshot::channel();
        let (broker, channel, history) = (self.clone(), channel.clone(), history.clone());
        let read = move || {
            let state = &mut *broker.0.state.lock();
            let Some(log) = state.logs.get_mut(&channel) else { return };
            log.touch(now, &history);
            let selection = log.select(&query, now);
            let kept = |offset| {
                log.get(offset).map(|item| KeptPublication {
                    offset,
                    message: item.message.clone(),
                    at: item.at,
                })
            };
            let publications = selection.offsets().filter_map(kept).collect();
            let (position, gap, more) = (selection.position, selection.gap, selection.more);
            // Whoever asked may have given up.
            let _ = told.send(HistoryPage { position, publications, gap, more });
        };
        // What takes effect later is not seen; what is read is on the disk.
        if is_there {
            read();
        } else {
            self.0.mount.write(Vec::new(), read);
        }
        answer(done)
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.deliver(|handler| handler.handle_broadcast(&message));
        ready(Ok(())).boxed()
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.deliver(|handler| handler.handle_control(control));
        ready(Ok(())).boxed()
    }

    fn subscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn unsubscribe(&self, _: &Channel) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn subscribe_pattern(&self, _: &Pattern) -> BoxFuture<'static, Result<(), BrokerError>> {
        ready(Ok(())).boxed()
    }

    fn expire(&self, now: Timestamp) {
        let over: Vec<_> = {
            let state = &mut *self.0.state.lock();
            state.keys.expire(now);
            for log in state.logs.values_mut() {
                log.trim(now);
            }
            state
                .logs
                .iter()
                .filter(|(_, log)| log.is_forgotten(now))
                .map(|(channel, _)| channel.clone())
                .collect()
        };
        let handler = self.0.handler.get().and_then(Weak::upgrade);
        let Some(handler) = handler.filter(|_| self.0.mount.check().is_ok()) else { return };
        for channel in over {
            if !handler.follows(&channel) && self.0.state.lock().ending.insert(channel.clone()) {
                self.keep(Kept::Forgotten(channel), |_| {});
            }
        }
    }
}
