//! The broker of a single node, with histories that survive the process.
//!
//! ```text
//! publish ──▶ Log, in memory ──▶ writer ──durable──▶ publisher's thread ──▶ handler ──▶ the publication's future
//! history ──▶ Log: at once, or behind what is being written of this channel
//! ```
//!
//! In: what [`Broker`] asks. Out: publications, kept before anybody sees them. Channels without history touch no
//! disk, unless a publication of theirs has a key. Knows no file.

use std::future::ready;
use std::sync::{Arc, Weak};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::{Channel, Pattern, RawJson};
use tokio::sync::oneshot;

use super::contents::Contents;
use super::histories::Histories;
use super::publisher::Publisher;
use super::record::{self, Write};
use super::writer::{Done, Restore, Submitted, Writer};
use crate::broker::{Broker, BrokerError, BrokerHandler, Control, Key, Publication, Publish, Published};
use crate::history::keys::KeyName;
use crate::history::{History, HistoryPage, HistoryQuery, Kept};
use crate::node_id::NodeId;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// The broker of an [`EmbeddedStore`](super::EmbeddedStore). Cloning shares it.
///
/// Publications of channels with history are on the disk, in the meaning of its
/// [`Durability`](super::Durability), before anybody gets them; they are read from memory, of which all channels
/// together take 1 GiB at most.
#[derive(Clone)]
pub struct EmbeddedBroker(pub(super) Arc<Channels>);

pub(super) struct Channels {
    state: Mutex<Histories>,
    writer: Arc<Writer>,
    publisher: Publisher,
}

type Outcome<R> = BoxFuture<'static, Result<R, BrokerError>>;

impl Channels {
    pub(super) fn new(writer: Arc<Writer>, publisher: Publisher) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(Histories::new(1)), writer, publisher })
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        let publications = state.channels.values().map(|slot| slot.log.offsets().count()).sum();
        (state.channels.len(), publications)
    }

    /// Hands a publication that is kept, or has a key, to the disk, and then to everybody.
    fn publish(&self, publish: Publish) -> Outcome<Published> {
        let Publish { channel, message, history, key, at } = publish;
        let mut state = self.state.lock();
        if let Err(error) = self.admit(true) {
            return ready(Err(error)).boxed();
        }
        let mut writes = Vec::new();
        let name = key.as_ref().map(|key| named(&channel, key));
        if let Some(name) = &name {
            if let Some(position) = state.keys.find(name, at) {
                let (submitted, told) = self.submit(Vec::new());
                drop(state);
                submitted.settle();
                return async move {
                    told.await.map_err(|_| StoreError::Closed)??;
                    Ok(Published { position, duplicate: true })
                }
                .boxed();
            }
            if !state.keys.has_room() {
                writes.extend(state.keys.expire(at).iter().map(record::delete_publication_key));
            }
            if !state.keys.has_room() {
                return ready(Err(BrokerError::TooMany("keys"))).boxed();
            }
        }
        let position = match &history {
            None => None,
            Some(history) => match state.append(&channel, &message, history, at, &mut writes) {
                Ok(position) => Some(position),
                Err(error) => {
                    // Keys that were forgotten are so on the disk, too.
                    self.leave(state, writes);
                    return ready(Err(error)).boxed();
                }
            },
        };
        if let (Some(key), Some(name)) = (&key, &name)
            && let Ok(end) = state.keys.remember(&channel, key, position.clone(), at)
        {
            writes.push(record::put_publication_key(name, position.as_ref(), end));
        }
        let published = Published { position: position.clone(), duplicate: false };
        let publication = Publication { channel, message, position };
        let (tell, told) = oneshot::channel();
        let handing = self.publisher.reserve();
        let done: Done = {
            let publication = publication.clone();
            Box::new(move |outcome| match outcome {
                Ok(()) => handing.publish(publication, tell),
                Err(error) => drop(tell.send(Err(error))),
            })
        };
        let submitted = self.writer.submit(writes, done);
        if let Some(slot) = state.channels.get_mut(&publication.channel) {
            slot.ticket = submitted.ticket;
        }
        drop(state);
        submitted.settle();
        async move {
            told.await.map_err(|_| StoreError::Closed)??;
            Ok(published)
        }
        .boxed()
    }

    fn admit(&self, needs_room: bool) -> Result<(), BrokerError> {
        if !self.publisher.has_room() {
            return Err(StoreError::Overloaded.into());
        }
        Ok(self.writer.admit(needs_room)?)
    }

    fn submit(&self, writes: Vec<Write>) -> (Submitted, oneshot::Receiver<Result<(), StoreError>>) {
        let (tell, told) = oneshot::channel();
        let submitted = self.writer.submit(writes, Box::new(move |outcome| drop(tell.send(outcome))));
        (submitted, told)
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: &HistoryQuery,
        now: Timestamp,
    ) -> Outcome<HistoryPage> {
        let mut state = self.state.lock();
        if let Err(error) = self.writer.admit(false) {
            return ready(Err(error.into())).boxed();
        }
        let mut writes = Vec::new();
        let slot = match state.slot(channel, history, now, &mut writes) {
            Ok(slot) => slot,
            Err(error) => return ready(Err(error)).boxed(),
        };
        if slot.log.history() != history {
            slot.log.touch(now, history);
            writes.push(slot.record(channel));
        }
        slot.log.touch(now, history);
        let selection = slot.log.select(query, now);
        let kept = |offset| {
            slot.log.get(offset).map(|item| Kept { offset, message: item.message.clone(), at: item.at })
        };
        let page = HistoryPage {
            publications: selection.offsets().filter_map(kept).collect(),
            position: selection.position,
            gap: selection.gap,
            more: selection.more,
        };
        // What was settled by a failure is not kept; that is known before it is settled.
        let is_kept = self.writer.is_settled(slot.ticket) && self.writer.admit(false).is_ok();
        if writes.is_empty() && is_kept {
            return ready(Ok(page)).boxed();
        }
        let (submitted, told) = self.submit(writes);
        slot.ticket = submitted.ticket;
        drop(state);
        submitted.settle();
        async move {
            told.await.map_err(|_| StoreError::Closed)??;
            Ok(page)
        }
        .boxed()
    }

    fn expire(&self, now: Timestamp) {
        let mut writes = Vec::new();
        let mut state = self.state.lock();
        if self.writer.admit(false).is_err() {
            return;
        }
        let over = state.keys.expire(now);
        writes.extend(over.iter().map(record::delete_publication_key));
        let mut forgettable = Vec::new();
        let mut freed = 0;
        for (channel, slot) in &mut state.channels {
            let before = slot.log.bytes();
            let trimmed = slot.log.trim(now);
            freed += before - slot.log.bytes();
            slot.trimmed(channel, trimmed, &mut writes);
            if slot.log.is_forgotten(now) {
                forgettable.push(channel.clone());
            }
        }
        state.bytes -= freed;
        self.leave(state, writes);
        if forgettable.is_empty() {
            return;
        }
        let handler = self.publisher.handler();
        forgettable.retain(|channel| !handler.as_ref().is_some_and(|handler| handler.follows(channel)));
        let mut writes = Vec::new();
        let mut state = self.state.lock();
        for channel in forgettable {
            // Somebody may have come back to it.
            if state.channels.get(&channel).is_some_and(|slot| slot.log.is_forgotten(now))
                && let Some(slot) = state.channels.remove(&channel)
            {
                state.bytes -= slot.log.bytes();
                writes
                    .extend(slot.log.offsets().map(|offset| record::delete_publication(slot.number, offset)));
                writes.push(record::delete_channel(slot.number));
            }
        }
        self.leave(state, writes);
    }

    /// Writes what nobody waits for, and lets go of the lock.
    fn leave(&self, state: parking_lot::MutexGuard<'_, Histories>, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        let submitted = self.writer.submit(writes, Box::new(|_| {}));
        drop(state);
        submitted.settle();
    }
}

impl Restore for Channels {
    fn restore(&self, contents: &mut Contents) -> Vec<Write> {
        let mut state = self.state.lock();
        let now = Timestamp::now();
        let mut writes = Vec::new();
        let mut publications = std::mem::take(&mut contents.publications);
        let channels = std::mem::take(&mut contents.channels);
        let highest = channels.keys().next_back().copied().max(publications.keys().next_back().copied());
        *state = Histories::new(highest.unwrap_or_default() + 1);
        // A channel that is there twice was about to be made anew: the later one is whole.
        for (number, record) in channels.into_iter().rev() {
            if state.channels.contains_key(&record.channel) {
                writes.push(record::delete_channel(number));
                continue;
            }
            let kept = publications.remove(&number).unwrap_or_default();
            let is_lost = contents.loss.concerns_channel(number);
            if !state.restore(record, kept, is_lost, now, &mut writes) {
                contents.concerned.channels += 1;
            }
        }
        for (number, kept) in publications {
            writes.extend(kept.into_keys().map(|offset| record::delete_publication(number, offset)));
        }
        for (name, position, end) in std::mem::take(&mut contents.keys) {
            if end <= now {
                writes.push(record::delete_publication_key(&name));
            } else {
                state.keys.restore(name, position, end);
            }
        }
        writes
    }
}

fn named(channel: &Channel, key: &Key) -> KeyName {
    KeyName { channel: channel.clone(), text: Arc::clone(&key.text) }
}

impl std::fmt::Debug for EmbeddedBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmbeddedBroker")
    }
}

impl Broker for EmbeddedBroker {
    fn has_others(&self) -> bool {
        false
    }

    fn start(&self, _: NodeId, handler: Weak<dyn BrokerHandler>) -> Result<(), BrokerError> {
        self.0
            .publisher
            .start(handler)
            .map_err(|()| BrokerError::Unavailable("a broker serves one server".to_owned()))
    }

    fn publish(&self, publish: Publish) -> BoxFuture<'_, Result<Published, BrokerError>> {
        if publish.history.is_some() || publish.key.is_some() {
            return self.0.publish(publish);
        }
        let Publish { channel, message, .. } = publish;
        if let Some(handler) = self.0.publisher.handler() {
            handler.handle_publication(&Publication { channel, message, position: None });
        }
        ready(Ok(Published::default())).boxed()
    }

    fn history(
        &self,
        channel: &Channel,
        history: &History,
        query: HistoryQuery,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<HistoryPage, BrokerError>> {
        self.0.history(channel, history, &query, now)
    }

    fn broadcast(&self, message: RawJson) -> BoxFuture<'_, Result<(), BrokerError>> {
        if let Some(handler) = self.0.publisher.handler() {
            handler.handle_broadcast(&message);
        }
        ready(Ok(())).boxed()
    }

    fn control(&self, control: Control) -> BoxFuture<'_, Result<(), BrokerError>> {
        if let Some(handler) = self.0.publisher.handler() {
            handler.handle_control(control);
        }
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
        self.0.expire(now);
    }
}
